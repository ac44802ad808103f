"""Names in files: which entries of an AnnData are ours, and how a name becomes a key.

Names of types, regions and genes are data, and any text may come; keys of an HDF5 file are
paths. A name that cannot be a key is stored under one that looks like it, and the exact name
beside, as JSON, where no text is a path.
"""

from __future__ import annotations

import re
import warnings
from typing import TYPE_CHECKING, Any

from napari_smoother.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

SMOOTHER = "smoother"
"""Key of ``uns`` that settings and reports are under."""

SESSION = "session"
"""Key of ``uns["smoother"]`` with what brings everything back when a file is opened."""

SESSION_FORMAT = 1
"""Grows when an older version could not read what is under `SESSION`."""

WRITTEN = "written"
"""Key of ``uns["smoother"]`` with the names of the entries that are ours, a list each place."""

WRITTEN_BY, OURS = "written_by", "napari-smoother"
"""Key and value that tell entries in the layout of another package from that package's own."""

PLACES = ("obs", "var", "obsm", "varm", "obsp", "varp", "layers", "uns")

HALVES = re.compile("[\ud800-\udfff]")

TAKEN = {"": "unnamed", ".": "\N{ONE DOT LEADER}", "_index": "_index_"}
"""Keys with a meaning: none, the group itself, what anndata calls the names of rows."""

LONGEST = 200
"""Characters of a key; the format has a limit, and so has the patience of who reads it."""


def safe_keys(names: Iterable[str]) -> dict[str, str]:
    """Give every name a key of its own that is no path.

    Parameters
    ----------
    names
        All of one place.

    Returns
    -------
    dict
        Name to key; most are the same.
    """
    return _distinct(names, _safe_key)


def safe_texts(values: Iterable[str]) -> dict[str, str]:
    """Give every text a form of its own that a file can hold: no NUL, no half of a character.

    Parameters
    ----------
    values
        All texts of one place.

    Returns
    -------
    dict
        Text to stored text; most are the same.
    """
    return _distinct(values, safe_text)


def _distinct(names: Iterable[str], safe: Callable[[str], str]) -> dict[str, str]:
    found = {name: safe(name) for name in names}
    taken = {name for name, key in found.items() if name == key}
    for name, base in found.items():
        if name != base:
            key, number = base, 2
            while key in taken:
                key, number = f"{base} {number}", number + 1
            found[name] = key
            taken.add(key)
    return found


def safe_text(text: str) -> str:
    """Return text that can be stored and drawn: without NUL and halves of characters."""
    return HALVES.sub("\N{REPLACEMENT CHARACTER}", text.replace("\0", "\N{SYMBOL FOR NULL}"))


def _safe_key(name: str) -> str:
    key = safe_text(name).replace("/", "\N{DIVISION SLASH}")
    key = TAKEN.get(key, key)
    return key if len(key) <= LONGEST else f"{key[: LONGEST - 3]}..."


def own_entries(uns: Mapping[str, Any]) -> dict[str, set[str]]:
    """Return which entries of an AnnData were written by us, by place.

    Parameters
    ----------
    uns
        Of the AnnData.
    """
    ours: Any = uns.get(SMOOTHER)
    if not hasattr(ours, "items"):
        return {}
    found: dict[str, set[str]] = {place: set() for place in PLACES}
    written: Any = ours.get(WRITTEN)
    if hasattr(written, "items"):
        for place, names in written.items():
            if place in found and not isinstance(names, str):
                found[place].update(map(str, names))
    for name, entry in ours.items():
        if hasattr(entry, "items") and {"recipe", "report"} <= set(entry):
            # What a function of the library was called for.
            if name == "weights":
                found["obsp"] |= {
                    str(entry.get("connectivities_key", "spatial_connectivities")),
                    str(entry.get("distances_key", "spatial_distances")),
                }
                if "neighbors_key" in entry:  # version 0.1 wrote no such entry of uns
                    found["uns"].add(str(entry["neighbors_key"]))
                continue
            found["obsm"] |= {name, f"{name}_abundance", f"{name}_deviation", f"X_{name}"}
            found["varm"].add(name)
            found["obs"].add(name)
            found["layers"].add(name)
            found["uns"] |= {name, f"{name}_regions"}
    found["uns"] = {name for name in found["uns"] if not _is_of_scanpy(uns.get(name))}
    return found


def _is_of_scanpy(entry: Any) -> bool:
    """Whether scanpy has written its ranking of genes where one of ours may have been."""
    params: Any = entry.get("params") if hasattr(entry, "get") else None
    ranks = hasattr(params, "get") and "corr_method" in params
    return ranks and params.get(WRITTEN_BY) != OURS


def check_session_format(uns: Mapping[str, Any], where: str) -> None:
    """Refuse what a newer version saved in a form that this one does not know.

    Parameters
    ----------
    uns
        Of the AnnData.
    where
        The file.

    Raises
    ------
    InputError
        Naming that version.
    """
    ours: Any = uns.get(SMOOTHER)
    session: Any = ours.get(SESSION) if hasattr(ours, "get") else None
    if not hasattr(session, "get"):
        return
    form = session.get("format", SESSION_FORMAT)
    if form != SESSION_FORMAT:
        raise InputError(
            f"The file was saved by version {session.get('version', '(unknown)')}, whose form "
            f"{form} of a session this older version does not know",
            where=f'{where}, uns["{SMOOTHER}"]["{SESSION}"]',
            remedy="Install that version or a later one; scanpy opens the file all the same",
        )


def key_beside(
    key: str, there: Collection[str], ours: Collection[str], suffix: str = "_smoother"
) -> str:
    """Return a key for what is ours that replaces nothing of anybody else.

    Parameters
    ----------
    key
        What it would be called.
    there
        All keys of the place.
    ours
        Those of them that we wrote, which may be replaced.
    suffix
        What is put behind a key that is not free.

    Returns
    -------
    str
        ``key`` where it is free or ours, else ``key`` with the suffix behind it, and a number
        where that is taken as well.
    """
    number, free = 1, key
    while free in there and free not in ours:
        free = f"{key}{suffix}" + (f"_{number}" if number > 1 else "")
        number += 1
    return free


def with_report(uns: Mapping[str, Any], entries: Mapping[str, Any]) -> dict[str, Any]:
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


def without_none(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out settings at None, which HDF5 cannot hold: they are the defaults."""
    return {
        name: without_none(value) if isinstance(value, dict) else value
        for name, value in settings.items()
        if value is not None
    }


def warn_of_paths(names: Iterable[str], what: str) -> None:
    """Warn of names of columns that anndata would take for paths, or could not write.

    Parameters
    ----------
    names
        Of columns that were written into an AnnData in memory.
    what
        What they name.
    """
    odd = [name for name, key in safe_keys(names).items() if name != key]
    if odd:
        warnings.warn(
            f"{what} {', '.join(map(ascii, odd[:3]))} cannot be columns of a file, where names "
            "are paths: save with napari_smoother.io.h5ad.write_h5ad, which keeps them; "
            "AnnData.write_h5ad may destroy other entries.",
            stacklevel=3,
        )
