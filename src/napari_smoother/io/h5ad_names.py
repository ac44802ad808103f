"""Names that no file can hold as they are: how they are written, and what they were.

The exact names stand in ``uns["smoother"]["names"]`` as JSON: a list of places, each with what
was written for what.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd

from napari_smoother.keys import SMOOTHER, safe_keys, safe_texts

NAMES = "names"
"""Key of ``uns["smoother"]`` with the exact names."""

Record = list[dict[str, Any]]


def with_safe_names(value: Any, place: tuple[str, ...], record: Record) -> Any:
    """Return a value whose names and texts can be written.

    Parameters
    ----------
    value
        Anything an AnnData holds; never changed.
    place
        Keys that lead to it, as they are written.
    record
        What was written otherwise is added to it.
    """
    if isinstance(value, pd.DataFrame):
        return _frame(value, place, record)
    if isinstance(value, dict):
        keys = _renamed(safe_keys(map(str, value)), place, "keys", record)
        return {
            keys[str(name)]: with_safe_names(item, (*place, keys[str(name)]), record)
            for name, item in value.items()
        }
    if isinstance(value, pd.Categorical):
        texts = _texts(value.categories, place, record)
        return value if texts is None else value.rename_categories(texts)
    if isinstance(value, str):
        texts = _texts([value], place, record)
        return value if texts is None else texts[value]
    if isinstance(value, tuple):
        value = list(value)
    if isinstance(value, list) or (isinstance(value, np.ndarray) and value.ndim == 1):
        texts = _texts(value, place, record)
        if texts is not None:
            return [texts[each] if isinstance(each, str) else each for each in value]
    return value


def with_exact_names(adata: Any) -> None:
    """Give an AnnData that was read the names it was written with, and forget the record."""
    ours = adata.uns.get(SMOOTHER)
    if not isinstance(ours, dict) or not isinstance(ours.get(NAMES), str):
        return
    record = read_record(ours[NAMES])
    adata.uns[SMOOTHER] = {name: item for name, item in ours.items() if name != NAMES}
    # From the inside out: a place is named by what was written.
    for entry in sorted(record, key=lambda entry: -len(entry["place"])):
        _restore(adata, entry["place"], entry["kind"], entry["exact"])


def read_record(text: str) -> Record:
    """Return a record that was read from a file; what is no record is not followed."""
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(record, list):
        return []
    return [
        entry
        for entry in record
        if isinstance(entry, dict)
        and isinstance(entry.get("place"), list)
        and entry["place"]
        and all(isinstance(part, str) for part in entry["place"])
        and entry.get("kind") in ("keys", "texts", "index")
        and isinstance(entry.get("exact"), dict)
        and all(isinstance(exact, str) for exact in entry["exact"].values())
    ]


def _frame(frame: pd.DataFrame, place: tuple[str, ...], record: Record) -> pd.DataFrame:
    names = list(map(str, frame.columns))
    keys = _renamed(safe_keys(names), place, "keys", record)
    safe = {}
    for position, name in enumerate(names):
        column = frame.iloc[:, position].array
        plain = column.to_numpy() if isinstance(column, pd.arrays.NumpyExtensionArray) else column
        changed = with_safe_names(plain, (*place, keys[name]), record)
        safe[keys[name]] = changed
    index = frame.index
    texts = safe_texts(map(str, index)) if _is_unstorable(index) else None
    if texts is not None:
        _renamed(texts, place, "index", record)
        index = pd.Index([texts[str(each)] for each in index], name=index.name)
    result = pd.DataFrame(safe, index=index)
    if index.name is not None:
        taken = set(result.columns)
        name = next(iter(safe_keys([str(index.name)]).values()))
        result.index.name = None if name in taken or name == "_index_" else name
    return result


def _texts(values: Any, place: tuple[str, ...], record: Record) -> dict[str, str] | None:
    if not _is_unstorable(values):
        return None
    texts = safe_texts(each for each in values if isinstance(each, str))
    return _renamed(texts, place, "texts", record)


def _is_unstorable(values: Any) -> bool:
    """Whether a text among values holds NUL or half a character."""
    if getattr(getattr(values, "dtype", None), "kind", "O") not in "OUT":
        return False
    whole = "".join(each for each in values if isinstance(each, str))
    if "\0" in whole:
        return True
    try:
        whole.encode()
    except UnicodeEncodeError:
        return True
    return False


def _renamed(
    names: dict[str, str], place: tuple[str, ...], kind: str, record: Record
) -> dict[str, str]:
    exact = {written: name for name, written in names.items() if name != written}
    if exact:
        record.append({"place": list(place), "kind": kind, "exact": exact})
    return names


def _restore(adata: Any, place: list[str], kind: str, exact: dict[str, str]) -> None:
    first, *rest = place
    if first == "raw" and adata.raw is not None and kind == "keys":
        adata.raw.var.rename(columns=exact, inplace=True)
    if first not in ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns"):
        return
    holder: Any = getattr(adata, first)
    for part in rest[:-1]:
        if not hasattr(holder, "keys") or part not in holder:
            return
        holder = holder[part]
    if not rest:
        changed = _exact(holder, kind, exact)
        if changed is not None and kind == "keys" and first not in ("obs", "var"):
            for written, name in exact.items():
                if written in holder and name not in holder:
                    holder[name] = holder[written]
                    del holder[written]
        elif changed is not None:
            setattr(adata, first, changed)
        return
    if hasattr(holder, "keys") and rest[-1] in holder:
        changed = _exact(holder[rest[-1]], kind, exact)
        if changed is not None:
            holder[rest[-1]] = changed


def _exact(value: Any, kind: str, exact: dict[str, str]) -> Any:
    """Return a value with its exact names; None where they do not belong to it."""
    if isinstance(value, pd.DataFrame):
        return value.rename(index=exact) if kind == "index" else value.rename(columns=exact)
    if kind == "keys" and hasattr(value, "keys"):
        return {exact.get(name, name): item for name, item in value.items()}
    if kind != "texts":
        return None
    if isinstance(value, pd.Series):
        if isinstance(value.dtype, pd.CategoricalDtype):
            return value.cat.rename_categories(exact)
        return value.map(lambda each: exact.get(each, each))
    if isinstance(value, str):
        return exact.get(value, value)
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return np.array([exact.get(each, each) for each in value], dtype=object)
    return None
