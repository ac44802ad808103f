"""Write results beside everything that stands in the file a section was read from.

Only what was chosen of a file is in memory: spots in tissue, of one section, with the genes that
have counts. Saving over that file must not lose the rest. So the file is copied, entry by entry
as it stands, and only the results are written, for all of its spots: those that were not opened
have missing values.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.io.h5ad_elements import Elements, Unreadable
from napari_smoother.io.h5ad_names import NAMES, Record, read_record, with_safe_names
from napari_smoother.io.h5ad_writing import write_element, write_group
from napari_smoother.keys import PLACES, SMOOTHER, WRITTEN, key_beside, own_entries, with_report

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from napari_smoother.annotated_section import AnnotatedSection

ANOTHER_NAME = "Save under another file name, and keep this file as it is"


def write_results_beside(
    adata: AnnotatedSection, source: Path, file: h5py.File, left_out: dict[str, str]
) -> None:
    """Copy a file and write results beside its content.

    Parameters
    ----------
    adata
        The section with its results.
    source
        The file it was read from.
    file
        An empty one, open for writing.
    left_out
        Place and reason of what could not be written are added to it.

    Raises
    ------
    InputError
        If it cannot be told which spots of the file were opened, or a part of it cannot be
        copied.
    """
    with h5py.File(source, "r") as old:
        elements = Elements(old)
        try:
            obs, var = elements.read(old, "obs"), elements.read(old, "var")
            modern = isinstance(old["obs"], h5py.Group) and "column-order" in old["obs"].attrs
        except Unreadable as fault:
            raise InputError(
                f"The file can no longer be read: {fault}", where=str(source), remedy=ANOTHER_NAME
            ) from fault
        modern &= all(isinstance(old.get(place, {}), h5py.Group | dict) for place in PLACES)
        if not modern or "__categories" in old["obs"]:
            raise InputError(
                "The file is damaged, or of an old form that nothing can be added to",
                where=str(source),
                remedy=ANOTHER_NAME,
            )
        spots = _places(adata.obs_names, obs.index)
        if spots is None:
            raise InputError(
                "It cannot be told which spots of the file the results belong to: names come "
                "several times there, or have changed since it was opened",
                where=f"{source}, obs",
                remedy=ANOTHER_NAME,
            )
        genes = _places(adata.var_names, var.index)
        record: Record = []
        content = _content(adata, obs, spots, len(var), genes, left_out)
        earlier = elements.read_all(old["uns"], SMOOTHER) if _is_dict(old) else {}
        content = _beside(content, adata.uns[SMOOTHER], earlier, old)
        content = {
            place: with_safe_names(entries, (place,), record) for place, entries in content.items()
        }
        record = [*_still_valid(earlier.get(NAMES), content), *record]
        content["uns"][SMOOTHER].pop(NAMES, None)
        if record:
            content["uns"] = with_report(content["uns"], {NAMES: json.dumps(record)})
        _copy(old, file, {place: set(entries) for place, entries in content.items()})
    for place, entries in content.items():
        group = file[place] if place in file else write_group(file, place)
        for key, value in entries.items():
            write_element(group, key, value, left_out)
    order = [*(name for name in file["obs"].attrs["column-order"] if name not in content["obs"])]
    written = [name for name in content["obs"] if name in file["obs"]]
    file["obs"].attrs.create("column-order", [*order, *written], dtype=h5py.string_dtype())


def _places(names: pd.Index[str], all_names: pd.Index[Any]) -> NDArray[np.intp] | None:
    """Return where the opened rows are among all of the file; None when it cannot be told."""
    from anndata.utils import make_index_unique

    everything = all_names.astype(str)
    if len(names) == len(everything) and names.equals(make_index_unique(everything)):
        return np.arange(len(names))
    if not everything.is_unique:
        return None
    found = everything.get_indexer(names)
    return None if (found < 0).any() else found


def _content(
    adata: AnnotatedSection,
    obs: pd.DataFrame,
    spots: NDArray[np.intp],
    n_genes: int,
    genes: NDArray[np.intp] | None,
    left_out: dict[str, str],
) -> dict[str, dict[str, Any]]:
    """Return the results by place and key, for all rows of the file."""
    results = adata.results
    found: dict[str, dict[str, Any]] = {
        "obs": {
            name: adata.obs[name].set_axis(spots).reindex(range(len(obs))).array
            for name in results.get("obs", ())
        },
        "obsm": {
            name: _rows(adata.obsm[name], spots, obs.index) for name in results.get("obsm", ())
        },
        "obsp": {
            name: _pairs(adata.obsp[name], spots, len(obs)) for name in results.get("obsp", ())
        },
        "varm": {},
        "uns": {name: adata.uns[name] for name in results.get("uns", ())},
    }
    for name in results.get("varm", ()):
        if genes is None:
            left_out[f'varm["{name}"]'] = "its genes are those of raw, not those of the file"
            continue
        whole = np.zeros((n_genes, *adata.varm[name].shape[1:]))
        whole[genes] = adata.varm[name]
        found["varm"][name] = whole
    return found


def _is_dict(old: h5py.File) -> bool:
    """Whether reports stand in the file, from before."""
    return isinstance(old.get(f"uns/{SMOOTHER}"), h5py.Group)


def _beside(
    content: dict[str, dict[str, Any]],
    reports: dict[str, Any],
    earlier: dict[str, Any],
    old: h5py.File,
) -> dict[str, dict[str, Any]]:
    """Return the results under keys that are free or ours, and the reports added to earlier ones.

    The file may have been written to since it was opened, by us and by others.
    """
    ours = own_entries({SMOOTHER: earlier})
    found: dict[str, dict[str, Any]] = {}
    for place, entries in content.items():
        there = set(old.get(place, ()))
        found[place] = {}
        for name, value in entries.items():
            key = key_beside(name, there, ours.get(place, ()))
            found[place][key] = value
            if key != name:
                warnings.warn(
                    f'A result stands in {place}["{key}"], since {place}["{name}"] was written to '
                    "the file by something else after it was opened.",
                    stacklevel=4,
                )
    written = {
        place: sorted({*ours.get(place, ()), *entries})
        for place, entries in found.items()
        if entries or ours.get(place)
    }
    found["uns"][SMOOTHER] = {**earlier, **reports, WRITTEN: written}
    return found


def _rows(values: Any, spots: NDArray[np.intp], names: pd.Index[Any]) -> Any:
    if isinstance(values, pd.DataFrame):
        return values.set_axis(spots).reindex(range(len(names))).set_axis(names)
    whole = np.full((len(names), *values.shape[1:]), np.nan)
    whole[spots] = values
    return whole


def _pairs(values: Any, spots: NDArray[np.intp], n_spots: int) -> Any:
    pairs = sparse.coo_array(values)
    row, column = pairs.coords
    return sparse.csr_matrix((pairs.data, (spots[row], spots[column])), shape=(n_spots, n_spots))


def _still_valid(text: Any, content: dict[str, dict[str, Any]]) -> Record:
    """Return the exact names of what an earlier save wrote and this one leaves as it is."""
    return [
        entry
        for entry in (read_record(text) if isinstance(text, str) else [])
        if len(entry["place"]) == 1 or entry["place"][1] not in content.get(entry["place"][0], ())
    ]


def _copy(old: h5py.Group, new: h5py.Group, replaced: dict[str, set[str]]) -> None:
    """Copy everything but what is replaced; links stay links to where they lead."""
    _copy_attributes(old, new)
    for name in old:
        if name in replaced and isinstance(old.get(name, getlink=True), h5py.HardLink):
            group = new.create_group(name)
            _copy_attributes(old[name], group)
            for key in old[name]:
                if key not in replaced[name]:
                    _copy_entry(old[name], group, key)
        else:
            _copy_entry(old, new, name)


def _copy_entry(old: h5py.Group, new: h5py.Group, name: str) -> None:
    link = old.get(name, getlink=True)
    if isinstance(link, h5py.HardLink):
        old.copy(name, new, name=name)
    else:
        new[name] = link


def _copy_attributes(old: h5py.Group, new: h5py.Group) -> None:
    for name in old.attrs:
        new.attrs.create(name, old.attrs[name], dtype=old.attrs.get_id(name).dtype)
