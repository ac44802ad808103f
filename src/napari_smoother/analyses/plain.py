"""Settings as numbers, texts, lists and dictionaries, and back: what JSON and TOML can hold."""

from __future__ import annotations

import difflib
import types
from dataclasses import fields, is_dataclass
from functools import cache
from typing import (
    TYPE_CHECKING,
    Any,
    Literal,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

import numpy as np

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

Record = TypeVar("Record")


def to_plain(value: Any) -> Any:
    """Return a frozen record, with all that is in it, as plain values.

    Parameters
    ----------
    value
        A record of settings, or what stands in its fields.

    Returns
    -------
    object
        Dictionaries for records, lists for tuples and arrays; None stays None.
    """
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[Record], values: Mapping[str, Any], where: str = "recipe") -> Record:
    """Return the record that plain values stand for; missing fields have their defaults.

    Parameters
    ----------
    kind
        Class of the record.
    values
        By field.
    where
        What the values are called in errors; fields are added behind a dot.

    Returns
    -------
    object
        Of that class.

    Raises
    ------
    InputError
        If a field is not known, or a value is of another type or refused by the record itself.
        ``where`` of the error is the path of the field.
    """
    if not hasattr(values, "items"):
        raise _of_wrong_type(values, "a table of fields", where)
    hints: dict[str, Any] = _hints(kind)  # type: ignore[arg-type]  # a class can be hashed
    for name in values:
        if name not in hints:
            near = difflib.get_close_matches(str(name), hints, n=1)
            raise InputError(
                f'There is no setting "{name}"',
                where=f"{where}.{name}",
                remedy=f'Is it "{near[0]}"?' if near else f"There are {', '.join(hints)}",
            )
    given = {name: _read(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return kind(**given)
    except InputError as refused:
        named = refused.where.rsplit(" ", 1)[-1].rsplit(".", 1)[-1]
        field = next((name for name in (named, f"{named}_") if name in hints), None)
        place = where if field is None else f"{where}.{field}"
        raise InputError(refused.problem, where=place, remedy=refused.remedy) from refused


@cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _read(hint: Any, value: Any, where: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None:
            return None
        (hint,) = (argument for argument in arguments if argument is not type(None))
        return _read(hint, value, where)
    if origin is Literal:
        if value not in arguments:
            raise InputError(
                f"{value!r} is not one of the choices",
                where=where,
                remedy=f"Choose one of {', '.join(map(repr, arguments))}",
            )
        return value
    if origin is tuple:
        return _read_tuple(arguments, value, where)
    if origin is np.ndarray:
        return _read_array(hint, value, where)
    if is_dataclass(hint):
        return from_plain(hint, value, where)  # type: ignore[arg-type]  # a class, not an instance
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise _of_wrong_type(value, _WORDS.get(hint, hint.__name__), where)
    return value


def _read_tuple(arguments: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _of_wrong_type(value, "a list", where)
    if arguments[-1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(value) != len(arguments):
        raise _of_wrong_type(value, f"a list of {len(arguments)}", where)
    return tuple(
        _read(hint, item, f"{where}[{place}]")
        for place, (hint, item) in enumerate(zip(arguments, value, strict=True))
    )


def _read_array(hint: Any, value: Any, where: str) -> Any:
    kind = get_args(get_args(hint)[1])[0]
    try:
        return np.asarray(value, dtype=kind)
    except (TypeError, ValueError) as fault:
        raise _of_wrong_type(value, "a list of numbers", where) from fault


def _of_wrong_type(value: Any, wanted: str, where: str) -> InputError:
    return InputError(f"{value!r} is not {wanted}", where=where, remedy=f"Give {wanted}")


_WORDS = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
