"""Names in files: which entries of an AnnData are ours, and how a name becomes a key.

Names of types, regions and genes are data, and any text may come; keys of an HDF5 file are
paths. A name that cannot be a key is stored under one that looks like it, and the exact name
beside, as JSON, where no text is a path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

SMOOTHER = "smoother"
"""Key of ``uns`` that settings and reports are under."""

WRITTEN = "written"
"""Key of ``uns["smoother"]`` with the names of the entries that are ours, a list each place."""

PLACES = ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns")

LOOK_ALIKES = str.maketrans({"/": "\N{DIVISION SLASH}", "\0": "\N{SYMBOL FOR NULL}"})

LONGEST = 200
"""Characters of a key; the format has a limit, and so has the patience of who reads it."""


def safe_text(name: str) -> str:
    """Return text that a file can hold: without NUL and halves of characters."""
    return name.translate(LOOK_ALIKES).encode("utf-8", "replace").decode() if unstorable(name) else name


def unstorable(name: str) -> bool:
    """Whether text holds NUL or half a character, which HDF5 cannot store at all."""
    return "\0" in name or any("\ud800" <= letter <= "\udfff" for letter in name)


def safe_keys(names: Iterable[str]) -> dict[str, str]:
    """Give every name a key of its own that is no path.

    Parameters
    ----------
    names
        All of one place, without repeats.

    Returns
    -------
    dict
        Name to key; most are the same.
    """
    names = list(names)
    keys = {name: name for name in names if _safe_key(name) == name}
    taken = set(keys.values())
    for name in names:
        if name not in keys:
            key = base = _safe_key(name)
            number = 2
            while key in taken:
                key = f"{base} {number}"
                number += 1
            keys[name] = key
            taken.add(key)
    return {name: keys[name] for name in names}


def _safe_key(name: str) -> str:
    key = safe_text(name).translate(LOOK_ALIKES)
    if not key.strip("."):
        key = key.replace(".", "\N{ONE DOT LEADER}") or "unnamed"
    if key == "_index":  # what anndata calls the names of rows
        key = "_index_"
    return key if len(key) <= LONGEST else f"{key[: LONGEST - 3]}..."


def own_entries(uns: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return which entries of an AnnData were written by us, by place.

    Parameters
    ----------
    uns
        Of the AnnData.
    """
    ours = uns.get(SMOOTHER)
    written = ours.get(WRITTEN) if hasattr(ours, "get") else None
    if not hasattr(written, "get"):
        return {}
    return {
        place: {str(name) for name in written.get(place, ())}
        for place in PLACES
        if not isinstance(written.get(place, ()), str)
    }


def key_beside(key: str, there: Collection[str], ours: Collection[str]) -> str:
    """Return a key for what is ours that replaces nothing of anybody else.

    Parameters
    ----------
    key
        What it would be called.
    there
        All keys of the place.
    ours
        Those of them that we wrote, which may be replaced.

    Returns
    -------
    str
        ``key`` where it is free or ours, else ``key`` with ``_smoother`` behind it.
    """
    number, free = 1, key
    while free in there and free not in ours:
        free = f"{key}_smoother" + (f"_{number}" if number > 1 else "")
        number += 1
    return free


def with_report(uns: Mapping[str, Any], **entries: Any) -> dict[str, Any]:
    """Return ``uns`` with entries added to those of ``uns["smoother"]``.

    Parameters
    ----------
    uns
        Left as it is: the copy of an AnnData may share it.
    entries
        Replace those of the same name only.

    Returns
    -------
    dict
        New, also under ``"smoother"``. Something under that key that is no dictionary is kept
        as ``"smoother_before"``.
    """
    before = uns.get(SMOOTHER, {})
    if hasattr(before, "items"):
        return {**uns, SMOOTHER: {**before, **entries}}
    kept = key_beside(f"{SMOOTHER}_before", uns, ())
    return {**uns, kept: before, SMOOTHER: dict(entries)}
