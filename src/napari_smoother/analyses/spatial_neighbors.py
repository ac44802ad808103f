"""Neighbours and weights of an AnnData, as squidpy has them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.weights.annotated import linked, sections_of, write_graph
from napari_smoother.weights.linking import link
from napari_smoother.weights.scaling import identity_factors, similarity_factors

if TYPE_CHECKING:
    from anndata import AnnData


def spatial_neighbors(
    adata: AnnData,
    *,
    spatial_key: str = "spatial",
    library_key: str | None = None,
    n_neighs: int = 6,
    radius: float | None = None,
    delaunay: bool = False,
    mutual: bool = True,
    bandwidth: float | None = None,
    scale_by_expression: str | None = None,
    metric: str = "cosine",
    n_components: int = 10,
    scale_by_obs: str | None = None,
    boundary_connectivity: float = 0.0,
    key_added: str = "spatial",
    copy: bool = False,
) -> AnnData | None:
    """Link neighbouring spots, and scale the links by what is known about the spots.

    Parameters
    ----------
    adata
        Spots x genes, with ``obsm[spatial_key]``.
    spatial_key
        Where the positions are.
    library_key
        Column of ``obs`` that says which section a spot is of, as in squidpy: neighbours are
        looked for in each section by itself. None takes all spots for one section, and refuses
        spots of several that lie over each other.
    n_neighs
        Link every spot to its nearest neighbours; without effect with a radius or a
        triangulation. See `napari_smoother.weights.neighbours.nearest_neighbours`.
    radius
        Instead, link all spots within this distance, in the unit of the positions; with
        ``delaunay`` the length of the longest edge.
    delaunay
        Instead, link spots that share an edge of the Delaunay triangulation.
    mutual
        Of nearest neighbours: keep a pair only where each is among the other's nearest.
    bandwidth
        With a radius: weights fall with distance as a Gaussian of this standard deviation, in
        the unit of the positions. None gives every link the weight 1.
    scale_by_expression
        Multiply links by the similarity of expression of their spots: ``"X"`` or a layer, as it
        is, reduced to principal components; or a key of ``obsm``, as it is. The window compares
        log1p of counts per ten thousand: a layer of these gives its weights.
    metric, n_components
        Of that similarity; see `napari_smoother.weights.scaling.similarity_factors`.
    scale_by_obs
        Multiply links between spots that differ in this column of ``obs`` by
        `boundary_connectivity`. Spots without a label form one region.
    boundary_connectivity
        What a link between two regions keeps: 0 cuts it, 1 leaves it.
    key_added
        What the keys of the results begin with. Analyses read the graph that
        ``uns["spatial_neighbors"]`` names: one under another key is there for others.
    copy
        Whether to return a copy and leave ``adata`` as it is.

    Returns
    -------
    AnnData or None
        The copy, when asked for. It has

        ``obsp[key_added + "_connectivities"]``
            The weights, n x n, without links that were cut.
        ``obsp[key_added + "_distances"]``
            Distances of the same pairs, in the unit of the positions.
        ``uns[key_added + "_neighbors"]``
            The names of these two, and the settings, as squidpy writes them.
        ``uns["smoother"]["weights"]``
            The settings and counts (numbers and text only).

    Raises
    ------
    InputError
        If positions, columns or settings cannot be used, sections lie over each other and no
        ``library_key`` tells them apart, or a radius makes more edges than can be worked with.

    References
    ----------
    The names are those of ``squidpy.gr.spatial_neighbors`` (Palla et al. 2022, Nature Methods
    19:171); scaling by similarity and by regions is Su et al. 2023, Genome Biology 24:291.

    Examples
    --------
    >>> import napari_smoother as ns
    >>> from napari_smoother.sample_data import simulate_cortex
    >>> adata = simulate_cortex(rows=20, n_genes=50).section.adata
    >>> ns.spatial_neighbors(adata, scale_by_obs="region", boundary_connectivity=0.1)
    >>> adata.uns["spatial_neighbors"]["connectivities_key"]
    'spatial_connectivities'
    """
    if bandwidth is not None and (radius is None or delaunay):
        raise InputError(
            f"A bandwidth of {bandwidth:g} was given without a radius",
            where="spatial neighbors",
            remedy="Give the radius up to which spots are neighbours",
        )
    sections = sections_of(adata, library_key, spatial_key)
    found = linked(
        adata,
        sections,
        lambda spots: link(
            spots,
            k=n_neighs,
            mutual=mutual,
            radius=radius,
            bandwidth=bandwidth,
            delaunay=delaunay,
        ),
        spatial_key,
    )
    recipe: dict[str, Any]
    if delaunay:
        recipe = {"rule": "delaunay"}
    elif radius is not None:
        recipe = {"rule": "radius"}
    else:
        recipe = {"rule": "nearest", "neighbours": int(n_neighs), "mutual": bool(mutual)}
    if radius is not None:
        recipe["radius"] = float(radius)
    if bandwidth is not None:
        recipe["bandwidth"] = float(bandwidth)
    if library_key is not None:
        recipe["library_key"] = library_key

    values = found.weights.data.copy()
    if scale_by_expression is not None:
        features, reduce = features_of(adata, scale_by_expression)
        values *= similarity_factors(
            found, features, metric=metric, reduce=reduce, n_components=n_components
        )
        recipe |= {"scale_by_expression": scale_by_expression, "metric": metric}
        if reduce == "pca":
            recipe["n_components"] = int(n_components)
    if scale_by_obs is not None:
        labels = column_of(adata, scale_by_obs)
        values *= identity_factors(found, labels, boundary_connectivity)
        recipe |= {
            "scale_by_obs": scale_by_obs,
            "boundary_connectivity": float(boundary_connectivity),
        }
    pattern = found.weights
    weights = sparse.csr_array((values, pattern.indices, pattern.indptr), shape=pattern.shape)
    target = adata.copy() if copy else adata
    write_graph(target, weights, found.distances, recipe, key_added)
    return target if copy else None


def spatial_weights(
    adata: AnnData, *, k: int | None = None, radius: float | None = None, **further: Any
) -> AnnData | None:
    """Link neighbouring spots: the old spelling of `spatial_neighbors`.

    Parameters
    ----------
    adata, radius, **further
        As in `spatial_neighbors`.
    k
        Its ``n_neighs``.
    """
    warnings.warn(
        "spatial_weights(k=...) is called spatial_neighbors(n_neighs=...) now",
        DeprecationWarning,
        stacklevel=2,
    )
    if k is not None and radius is not None:
        raise InputError(
            f"Both k = {k} and a radius of {radius:g} were given",
            where="spatial weights",
            remedy="Choose one of them",
        )
    return spatial_neighbors(adata, n_neighs=6 if k is None else k, radius=radius, **further)


def features_of(adata: AnnData, key: str) -> tuple[Any, str]:
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


def column_of(adata: AnnData, name: str) -> Any:
    """Return a column of ``obs``, one value a spot."""
    if name not in adata.obs:
        columns = ", ".join(map(str, adata.obs.columns[:8])) or "none"
        raise InputError(
            f'The spots have no column "{name}"; there are: {columns}',
            where="spatial weights, obs",
            remedy="Choose the column that holds the regions",
        )
    return adata.obs[name].to_numpy()
