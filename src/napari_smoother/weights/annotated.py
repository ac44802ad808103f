"""Neighbours and weights of an AnnData: what a scanpy user calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.keys import with_report
from napari_smoother.weights.linking import link
from napari_smoother.weights.neighbours import Neighbourhood
from napari_smoother.weights.precision import check_weights, symmetric_part
from napari_smoother.weights.sections import (
    Sections,
    declared_columns,
    overlapping_sections,
    sections_of_column,
    unexplained_overlap,
)
from napari_smoother.weights.summary import graph_summary

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from numpy.typing import NDArray

SPATIAL = "spatial"
CONNECTIVITIES = "spatial_connectivities"


def write_graph(
    adata: AnnData,
    weights: sparse.csr_array,
    distances: sparse.csr_array,
    recipe: dict[str, Any],
    key_added: str = "spatial",
) -> None:
    """Write a graph as squidpy does.

    Parameters
    ----------
    adata
        Gets ``obsp[key_added + "_connectivities"]``, the weights without links that were cut,
        ``obsp[key_added + "_distances"]``, the distances of the same pairs,
        ``uns[key_added + "_neighbors"]``, which names them, and ``uns["smoother"]["weights"]``.
    weights, distances
        n x n, of one pattern; cut links are zeros in the weights.
    recipe
        How they were found: numbers and text only.
    key_added
        What keys begin with.
    """
    values, shape = weights.data, weights.shape
    kept = values > 0
    rows = np.repeat(np.arange(shape[0]), np.diff(weights.indptr))[kept]
    places = (rows, weights.indices[kept])
    names = {
        "connectivities_key": f"{key_added}_connectivities",
        "distances_key": f"{key_added}_distances",
    }
    adata.obsp[names["connectivities_key"]] = sparse.csr_matrix((values[kept], places), shape)
    adata.obsp[names["distances_key"]] = sparse.csr_matrix((distances.data[kept], places), shape)
    summary = graph_summary(weights)
    report = {
        "n_spots": int(summary.n_spots),
        "n_edges": int(summary.n_edges),
        "n_cut": int(summary.n_cut),
        "n_isolated": int(summary.n_isolated),
        "n_components": int(summary.n_components),
    }
    neighbors_key = f"{key_added}_neighbors"
    entry = {"recipe": recipe, "report": report, **names, "neighbors_key": neighbors_key}
    adata.uns = with_report(adata.uns, {"weights": entry})
    adata.uns[neighbors_key] = {**names, "params": dict(recipe)}


def section_graph(
    adata: AnnData, n_neighbors: int = 6, library_key: str | None = None
) -> tuple[sparse.csr_array, str]:
    """Weights that a section has, or those of its nearest neighbours, and where they come from.

    Parameters
    ----------
    adata
        With ``obsp["spatial_connectivities"]``, or else ``obsm["spatial"]``, of which mutual
        nearest neighbours are taken.
    n_neighbors
        How many neighbours to take where there is no graph.
    library_key
        Column of ``obs`` that says which section a spot is of; see `spatial_neighbors`.

    Returns
    -------
    weights
        n x n float64, symmetric, sorted, without a diagonal or stored zeros. Of a graph that is
        not symmetric, the mean with its transpose.
    graph
        In words, for the recipe.

    Raises
    ------
    InputError
        If there is neither graph nor positions, weights are negative or not finite, or the graph
        joins sections that lie over each other.
    """
    key = connectivities_key(adata)
    if key not in adata.obsp:
        if "spatial" not in adata.obsm:
            raise InputError(
                "The section has neither a graph nor positions",
                where=f'obsp["{CONNECTIVITIES}"], obsm["spatial"]',
                remedy='Store (x, y) in full-resolution pixels as obsm["spatial"]',
            )
        sections = sections_of(adata, library_key)
        weights = linked(adata, sections, lambda spots: link(spots, k=n_neighbors)).weights
        graph = f"mutual {n_neighbors} nearest neighbours"
        return weights, graph if sections is None else f"{graph} within {sections.source}"
    weights = sparse.csr_array(adata.obsp[key], dtype=np.float64, copy=True)
    weights.setdiag(0)
    weights.eliminate_zeros()
    weights.sort_indices()
    check_weights(weights)
    # Who is among the nearest of a spot need not have it among its own: such graphs of squidpy
    # have edges of one direction, which are half an edge here.
    weights = symmetric_part(weights)
    _check_edges(adata, weights, library_key)
    return weights, f'obsp["{key}"]'


def connectivities_key(adata: AnnData) -> str:
    """Return where the weights of a section are, as ``uns["spatial_neighbors"]`` has it."""
    named: Any = adata.uns.get("spatial_neighbors")
    key = named.get("connectivities_key") if hasattr(named, "get") else None
    return key if isinstance(key, str) and key in adata.obsp else CONNECTIVITIES


def refuse_overlap(adata: AnnData, spatial_key: str = SPATIAL) -> None:
    """Refuse spots of several sections that lie over each other.

    Parameters
    ----------
    adata
        With positions. Three coordinates tell sections apart by themselves.
    spatial_key
        Where in ``obsm`` they are.

    Raises
    ------
    InputError
        If there are such sections; it names the column that tells them apart.
    """
    positions = positions_of(adata, spatial_key)
    if positions.shape[1] != 2:
        return
    found = overlapping_sections(adata.obs, positions, further=declared_columns(adata.uns))
    if found is not None:
        raise _overlapping(found)
    reason = unexplained_overlap(adata.obs, positions)
    if reason is not None:
        raise InputError(
            f"{reason}: they are of several sections that lie over each other",
            where=f'obsm["{spatial_key}"]',
            remedy="Name a column of obs that says which section a spot is of as library_key",
        )


def sections_of(
    adata: AnnData, library_key: str | None, spatial_key: str = SPATIAL
) -> Sections | None:
    """Sections to find neighbours in, each by itself; None for one section."""
    if library_key is not None:
        return sections_of_column(adata.obs, library_key)
    refuse_overlap(adata, spatial_key)
    return None


def linked(
    adata: AnnData,
    sections: Sections | None,
    link: Callable[[Any], Neighbourhood],
    spatial_key: str = SPATIAL,
) -> Neighbourhood:
    """Neighbours in each section, in the order of the spots."""
    positions = positions_of(adata, spatial_key)
    if sections is None or not sections.names:
        return link(positions)
    rows = [np.flatnonzero(sections.labels == k) for k in range(len(sections.names))]
    blocks = [link(positions[spots]) for spots in rows]
    order = np.concatenate(rows)
    return Neighbourhood(
        _in_order([block.weights for block in blocks], order),
        _in_order([block.distances for block in blocks], order),
    )


def _in_order(blocks: list[sparse.csr_array], order: NDArray[np.int64]) -> sparse.csr_array:
    """Set blocks beside each other, and put their rows and columns where they come from."""
    entries = [block.tocoo() for block in blocks]
    starts = np.cumsum([0, *(block.shape[0] for block in blocks)])[:-1]
    shift = zip(entries, starts, strict=True)
    rows, columns = np.concatenate([[b.row + s, b.col + s] for b, s in shift], axis=1)
    values = np.concatenate([entry.data for entry in entries])
    # A stored 0 is the distance of two spots at the same place: sums of duplicates keep it.
    joined = sparse.csr_array((values, (order[rows], order[columns])), shape=(len(order),) * 2)
    joined.sort_indices()
    joined.indices, joined.indptr = joined.indices.astype(np.int32), joined.indptr.astype(np.int32)
    return joined


def _check_edges(adata: AnnData, weights: sparse.csr_array, library_key: str | None) -> None:
    """Refuse a graph that joins sections."""
    sections: Sections | None = None
    if library_key is not None:
        sections = sections_of_column(adata.obs, library_key)
    elif "spatial" in adata.obsm and positions_of(adata).shape[1] == 2:
        sections = overlapping_sections(
            adata.obs, positions_of(adata), further=declared_columns(adata.uns)
        )
    if sections is None:
        return
    rows = np.repeat(sections.labels, np.diff(weights.indptr))
    across = int((rows != sections.labels[weights.indices]).sum()) // 2
    if across:
        raise InputError(
            f"{across} edges of the graph join spots of different sections, as {sections.source} "
            "names them",
            where=f'obsp["{CONNECTIVITIES}"]',
            remedy="Build the graph again by spatial_neighbors, this column being its library_key",
        )


def _overlapping(found: Sections) -> InputError:
    listed = ", ".join(found.names[:6]) + (", ..." if len(found.names) > 6 else "")
    if len(found.columns) == 1:
        remedy = f'Give library_key="{found.columns[0]}", or take the spots of one section'
    else:
        remedy = "Make one column of obs of them, and give its name as library_key"
    return InputError(
        f"The spots are of {len(found.names)} sections that lie over each other, as "
        f"{found.source} names them: {listed}",
        where='obsm["spatial"]',
        remedy=remedy,
    )


def positions_of(adata: AnnData, spatial_key: str = SPATIAL) -> NDArray[Any]:
    """Return the positions of spots, n x 2 or n x 3, as they are stored."""
    place = f'obsm["{spatial_key}"]'
    if spatial_key not in adata.obsm:
        raise InputError(
            "The section has no positions",
            where=place,
            remedy=f"Store (x, y) in full-resolution pixels as {place}",
        )
    try:
        positions = np.asarray(adata.obsm[spatial_key])
        if positions.dtype.kind not in "iuf":
            positions = positions.astype(np.float64)
    except (TypeError, ValueError) as fault:
        raise InputError(
            f"Positions are not numbers: {fault}",
            where=place,
            remedy="Store (x, y) in full-resolution pixels as numbers",
        ) from fault
    if positions.ndim != 2 or positions.shape[1] not in (2, 3):
        raise InputError(
            f"Positions have the shape {positions.shape}, not spots x 2 or spots x 3",
            where=place,
            remedy="Store one (x, y) pair for each spot",
        )
    return positions
