"""Results as entries of a file, and back: records, texts, numbers and arrays, to any depth."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

TREE = "tree"
"""Key of everything that is no array, as JSON: names in it may be any text."""

ARRAY, RECORD, TUPLE = "array", "record", "tuple"
"""Keys in the tree for what JSON has no form of."""


def to_entries(kept: Any, left_out: Collection[str] = ()) -> dict[str, Any]:
    """Return what HDF5 can hold of a result.

    Parameters
    ----------
    kept
        Frozen records, dictionaries with texts as keys, lists, tuples, texts, numbers, None and
        arrays.
    left_out
        Fields of records that are known when it is read; arrays of these names are kept.

    Returns
    -------
    dict
        ``"tree"``, and the arrays by number.
    """
    arrays: dict[str, Any] = {}

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            name = f"{len(arrays):04d}"
            arrays[name] = value
            return {ARRAY: name}
        if is_dataclass(value):
            own = {field.name: getattr(value, field.name) for field in fields(value)}
            content = {
                name: plain(item)
                for name, item in own.items()
                # Places of spots are called as their names are, and only these are known.
                if name not in left_out or isinstance(item, np.ndarray)
            }
            return {RECORD: type(value).__name__, **content}
        if isinstance(value, dict):
            return {key: plain(item) for key, item in value.items()}
        if isinstance(value, tuple):
            return {TUPLE: [plain(item) for item in value]}
        if isinstance(value, list):
            return [plain(item) for item in value]
        return value.item() if isinstance(value, np.generic) else value

    tree = plain(kept)
    return {TREE: json.dumps(tree), **arrays}


def from_entries(
    entries: Mapping[str, Any],
    records: Iterable[type[Any]] = (),
    known: Mapping[str, Any] | None = None,
) -> Any:
    """Return what `to_entries` was given.

    Parameters
    ----------
    entries
        Of a file.
    records
        Classes of the records that may be in it.
    known
        The fields that were left out, by name: each record takes those that it has.

    Raises
    ------
    Exception
        Of many kinds, if the entries were changed.
    """
    kinds = {kind.__name__: kind for kind in records}
    known = {} if known is None else known

    def whole(value: Any) -> Any:
        if isinstance(value, list):
            return [whole(item) for item in value]
        if not isinstance(value, dict):
            return value
        if set(value) == {ARRAY}:
            return np.asarray(entries[value[ARRAY]])
        if set(value) == {TUPLE}:
            return tuple(whole(item) for item in value[TUPLE])
        content = {key: whole(item) for key, item in value.items() if key != RECORD}
        if RECORD not in value:
            return content
        kind = kinds[value[RECORD]]
        names = {field.name for field in fields(kind)}
        given = {name: item for name, item in known.items() if name in names}
        return kind(**{**given, **content})

    return whole(json.loads(entries[TREE]))
