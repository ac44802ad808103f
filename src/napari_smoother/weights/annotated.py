"""Neighbours and weights of an AnnData: what a scanpy user calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.keys import with_report
from napari_smoother.weights.lattice import nearest_on_section
from napari_smoother.weights.neighbours import Neighbourhood, neighbours_within
from napari_smoother.weights.precision import check_weights
from napari_smoother.weights.scaling import identity_factors, similarity_factors
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

CONNECTIVITIES = "spatial_connectivities"
DISTANCES = "spatial_distances"


def spatial_weights(
    adata: AnnData,
    *,
    k: int | None = None,
    radius: float | None = None,
    mutual: bool = True,
    bandwidth: float | None = None,
    scale_by_expression: str | None = None,
    metric: str = "cosine",
    n_components: int = 10,
    scale_by_obs: str | None = None,
    boundary_connectivity: float = 0.0,
    library_key: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    """Link neighbouring spots, and scale the links by what is known about the spots.

    Parameters
    ----------
    adata
        Spots x genes, with ``obsm["spatial"]``.
    k
        Link every spot to its k nearest neighbours: 6 where neither k nor a radius is given.
        See `nearest_on_section`.
    radius
        Instead, link all spots within this distance, in the unit of the positions.
    mutual
        With k: keep a pair only where each is among the other's nearest.
    bandwidth
        With a radius: weights fall with distance as a Gaussian of this standard deviation, in
        the unit of the positions. None gives every link the weight 1.
    scale_by_expression
        Multiply links by the similarity of expression of their spots: ``"X"`` or a layer, reduced
        to principal components; or a key of ``obsm``, taken as it is.
    metric, n_components
        Of that similarity; see `similarity_factors`.
    scale_by_obs
        Multiply links between spots that differ in this column of ``obs`` by
        `boundary_connectivity`. Spots without a label form one region.
    boundary_connectivity
        What a link between two regions keeps: 0 cuts it, 1 leaves it.
    library_key
        Column of ``obs`` that says which section a spot is of, as in squidpy: neighbours are
        looked for in each section by itself. None takes all spots for one section, and refuses
        spots of several that lie over each other.
    copy
        Whether to return a copy and leave ``adata`` as it is.

    Returns
    -------
    AnnData or None
        The copy, when asked for. ``obsp["spatial_connectivities"]`` holds the weights, without
        links that were cut; ``obsp["spatial_distances"]`` the distances of the same pairs;
        ``uns["smoother"]["weights"]`` the settings and counts (numbers and text only).

    Raises
    ------
    InputError
        If positions, columns or settings cannot be used, or sections lie over each other and no
        ``library_key`` tells them apart.
    """
    if k is not None and radius is not None:
        raise InputError(
            f"Both k = {k} and a radius of {radius:g} were given",
            where="spatial weights",
            remedy="Choose one of them",
        )
    if bandwidth is not None and radius is None:
        raise InputError(
            f"A bandwidth of {bandwidth:g} was given without a radius",
            where="spatial weights",
            remedy="Give the radius up to which spots are neighbours",
        )
    sections = _sections(adata, library_key)
    recipe: dict[str, Any]
    if radius is not None:
        reach = radius
        found = _linked(
            adata, sections, lambda spots: neighbours_within(spots, reach, bandwidth=bandwidth)
        )
        recipe = {"graph": "radius", "radius": float(radius)}
        if bandwidth is not None:
            recipe["bandwidth"] = float(bandwidth)
    else:
        most = 6 if k is None else k
        found = _linked(
            adata, sections, lambda spots: nearest_on_section(spots, most, mutual=mutual)
        )
        recipe = {"graph": "nearest neighbours", "k": int(most), "mutual": bool(mutual)}
    if library_key is not None:
        recipe["library_key"] = library_key

    values = found.weights.data.copy()
    if scale_by_expression is not None:
        features, reduce = _features(adata, scale_by_expression)
        values *= similarity_factors(
            found, features, metric=metric, reduce=reduce, n_components=n_components
        )
        recipe |= {"scale_by_expression": scale_by_expression, "metric": metric}
        if reduce == "pca":
            recipe["n_components"] = int(n_components)
    if scale_by_obs is not None:
        labels = _column(adata, scale_by_obs)
        values *= identity_factors(found, labels, boundary_connectivity)
        recipe |= {
            "scale_by_obs": scale_by_obs,
            "boundary_connectivity": float(boundary_connectivity),
        }
    pattern = found.weights
    summary = graph_summary(
        sparse.csr_array((values, pattern.indices, pattern.indptr), shape=pattern.shape)
    )
    kept = values > 0
    rows = np.repeat(np.arange(adata.n_obs), np.diff(pattern.indptr))[kept]
    places = (rows, pattern.indices[kept])
    weights = sparse.csr_matrix((values[kept], places), shape=pattern.shape)
    distances = sparse.csr_matrix((found.distances.data[kept], places), shape=pattern.shape)

    target = adata.copy() if copy else adata
    target.obsp[CONNECTIVITIES] = weights
    target.obsp[DISTANCES] = distances
    report = {
        "n_spots": int(summary.n_spots),
        "n_edges": int(summary.n_edges),
        "n_cut": int(summary.n_cut),
        "n_isolated": int(summary.n_isolated),
        "n_components": int(summary.n_components),
    }
    target.uns = with_report(target.uns, {"weights": {"recipe": recipe, "report": report}})
    return target if copy else None


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
        Column of ``obs`` that says which section a spot is of; see `spatial_weights`.

    Returns
    -------
    weights
        n x n float64, sorted, without a diagonal or stored zeros.
    graph
        In words, for the recipe.

    Raises
    ------
    InputError
        If there is neither graph nor positions, weights are negative or not finite, or the graph
        joins sections that lie over each other.
    """
    if CONNECTIVITIES not in adata.obsp:
        if "spatial" not in adata.obsm:
            raise InputError(
                "The section has neither a graph nor positions",
                where=f'obsp["{CONNECTIVITIES}"], obsm["spatial"]',
                remedy='Store (x, y) in full-resolution pixels as obsm["spatial"]',
            )
        sections = _sections(adata, library_key)
        weights = _linked(
            adata, sections, lambda spots: nearest_on_section(spots, n_neighbors)
        ).weights
        graph = f"mutual {n_neighbors} nearest neighbours"
        return weights, graph if sections is None else f"{graph} within {sections.source}"
    weights = sparse.csr_array(adata.obsp[CONNECTIVITIES], dtype=np.float64, copy=True)
    weights.setdiag(0)
    weights.eliminate_zeros()
    weights.sort_indices()
    check_weights(weights)
    _check_edges(adata, weights, library_key)
    return weights, f'obsp["{CONNECTIVITIES}"]'


def refuse_overlap(adata: AnnData) -> None:
    """Refuse spots of several sections that lie over each other.

    Parameters
    ----------
    adata
        With ``obsm["spatial"]``. Three coordinates tell sections apart by themselves.

    Raises
    ------
    InputError
        If there are such sections; it names the column that tells them apart.
    """
    positions = _positions(adata)
    if positions.shape[1] != 2:
        return
    found = overlapping_sections(adata.obs, positions, further=declared_columns(adata.uns))
    if found is not None:
        raise _overlapping(found)
    reason = unexplained_overlap(adata.obs, positions)
    if reason is not None:
        raise InputError(
            f"{reason}: they are of several sections that lie over each other",
            where='obsm["spatial"]',
            remedy="Name a column of obs that says which section a spot is of as library_key",
        )


def _sections(adata: AnnData, library_key: str | None) -> Sections | None:
    """Sections to find neighbours in, each by itself; None for one section."""
    if library_key is not None:
        return sections_of_column(adata.obs, library_key)
    refuse_overlap(adata)
    return None


def _linked(
    adata: AnnData, sections: Sections | None, link: Callable[[Any], Neighbourhood]
) -> Neighbourhood:
    """Neighbours in each section, in the order of the spots."""
    positions = _positions(adata)
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
    elif "spatial" in adata.obsm and _positions(adata).shape[1] == 2:
        sections = overlapping_sections(
            adata.obs, _positions(adata), further=declared_columns(adata.uns)
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
            remedy="Build the graph again by spatial_weights, this column being its library_key",
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


def _positions(adata: AnnData) -> NDArray[Any]:
    if "spatial" not in adata.obsm:
        raise InputError(
            "The section has no positions",
            where='obsm["spatial"]',
            remedy='Store (x, y) in full-resolution pixels as obsm["spatial"]',
        )
    try:
        positions = np.asarray(adata.obsm["spatial"])
        if positions.dtype.kind not in "iuf":
            positions = positions.astype(np.float64)
    except (TypeError, ValueError) as fault:
        raise InputError(
            f"Positions are not numbers: {fault}",
            where='obsm["spatial"]',
            remedy="Store (x, y) in full-resolution pixels as numbers",
        ) from fault
    if positions.ndim != 2 or positions.shape[1] not in (2, 3):
        raise InputError(
            f"Positions have the shape {positions.shape}, not spots x 2 or spots x 3",
            where='obsm["spatial"]',
            remedy="Store one (x, y) pair for each spot",
        )
    return positions


def _features(adata: AnnData, key: str) -> tuple[Any, str]:
    """Spots x features, and how they are to be reduced."""
    if key in adata.obsm:
        return np.asarray(adata.obsm[key], dtype=np.float64), "none"
    if key == "X" or key in adata.layers:
        values: Any = adata.X if key == "X" else adata.layers[key]
        return (values.to_memory() if hasattr(values, "to_memory") else values), "pca"
    there = ", ".join(["X", *adata.layers, *(name for name in adata.obsm if name != "spatial")])
    raise InputError(
        f'There is no expression or embedding "{key}"; there are: {there}',
        where="spatial weights",
        remedy="Choose one of these",
    )


def _column(adata: AnnData, name: str) -> Any:
    if name not in adata.obs:
        columns = ", ".join(map(str, adata.obs.columns[:8])) or "none"
        raise InputError(
            f'The spots have no column "{name}"; there are: {columns}',
            where="spatial weights, obs",
            remedy="Choose the column that holds the regions",
        )
    return adata.obs[name].to_numpy()
