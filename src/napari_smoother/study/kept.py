"""Results as entries of a file, and back: texts, numbers and arrays, nested to any depth."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

TREE = "tree"
"""Key of everything that is no array, as JSON: names in it may be any text."""

ARRAY = "array"
"""Key in the tree in place of an array; its value is where the array stands."""


def to_entries(kept: Any) -> dict[str, Any]:
    """Return what HDF5 can hold of dictionaries, lists, texts, numbers, None and arrays.

    Parameters
    ----------
    kept
        Dictionaries have texts as keys.

    Returns
    -------
    dict
        ``"tree"``, and the arrays by number.
    """
    arrays: dict[str, Any] = {}

    def without_arrays(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            name = f"{len(arrays):04d}"
            arrays[name] = value
            return {ARRAY: name}
        if isinstance(value, dict):
            return {key: without_arrays(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [without_arrays(item) for item in value]
        return value.item() if isinstance(value, np.generic) else value

    tree = without_arrays(kept)
    return {TREE: json.dumps(tree), **arrays}


def from_entries(entries: Mapping[str, Any]) -> Any:
    """Return what `to_entries` was given; tuples come back as lists.

    Raises
    ------
    Exception
        Of many kinds, if the entries were changed.
    """

    def with_arrays(value: Any) -> Any:
        if isinstance(value, dict):
            if set(value) == {ARRAY}:
                return np.asarray(entries[value[ARRAY]])
            return {key: with_arrays(item) for key, item in value.items()}
        return [with_arrays(item) for item in value] if isinstance(value, list) else value

    return with_arrays(json.loads(entries[TREE]))
