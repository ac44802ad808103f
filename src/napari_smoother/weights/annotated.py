"""Neighbours and weights of an AnnData: what a scanpy user calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.keys import with_report
from napari_smoother.weights.lattice import nearest_on_section
from napari_smoother.weights.neighbours import neighbours_within
from napari_smoother.weights.precision import check_weights
from napari_smoother.weights.scaling import identity_factors, similarity_factors
from napari_smoother.weights.summary import graph_summary

if TYPE_CHECKING:
    from anndata import AnnData

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
        If positions, columns or settings cannot be used.
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
    positions = _positions(adata)
    recipe: dict[str, Any]
    if radius is not None:
        found = neighbours_within(positions, radius, bandwidth=bandwidth)
        recipe = {"graph": "radius", "radius": float(radius)}
        if bandwidth is not None:
            recipe["bandwidth"] = float(bandwidth)
    else:
        k = 6 if k is None else k
        found = nearest_on_section(positions, k, mutual=mutual)
        recipe = {"graph": "nearest neighbours", "k": int(k), "mutual": bool(mutual)}

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


def section_graph(adata: AnnData, n_neighbors: int = 6) -> tuple[sparse.csr_array, str]:
    """Weights that a section has, or those of its nearest neighbours, and where they come from.

    Parameters
    ----------
    adata
        With ``obsp["spatial_connectivities"]``, or else ``obsm["spatial"]``, of which mutual
        nearest neighbours are taken.
    n_neighbors
        How many neighbours to take where there is no graph.

    Returns
    -------
    weights
        n x n float64, sorted, without a diagonal or stored zeros.
    graph
        In words, for the recipe.

    Raises
    ------
    InputError
        If there is neither graph nor positions, or weights are negative or not finite.
    """
    if CONNECTIVITIES not in adata.obsp:
        if "spatial" not in adata.obsm:
            raise InputError(
                "The section has neither a graph nor positions",
                where=f'obsp["{CONNECTIVITIES}"], obsm["spatial"]',
                remedy='Store (x, y) in full-resolution pixels as obsm["spatial"]',
            )
        weights = nearest_on_section(_positions(adata), n_neighbors).weights
        return weights, f"mutual {n_neighbors} nearest neighbours"
    weights = sparse.csr_array(adata.obsp[CONNECTIVITIES], dtype=np.float64, copy=True)
    weights.setdiag(0)
    weights.eliminate_zeros()
    weights.sort_indices()
    check_weights(weights)
    return weights, f'obsp["{CONNECTIVITIES}"]'


def _positions(adata: AnnData) -> Any:
    if "spatial" not in adata.obsm:
        raise InputError(
            "The section has no positions",
            where='obsm["spatial"]',
            remedy='Store (x, y) in full-resolution pixels as obsm["spatial"]',
        )
    return np.asarray(adata.obsm["spatial"])


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
