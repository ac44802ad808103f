"""The steps of the pipeline that know of sections: pure functions, each the work of one stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.expression import normalise_counts
from napari_smoother.weights.histology import spot_colours
from napari_smoother.weights.lattice import Spacing, spacing_of
from napari_smoother.weights.scaling import identity_factors, similarity_factors
from napari_smoother.weights.summary import edge_list

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.section import Section
    from napari_smoother.weights.neighbours import Neighbourhood


def spacing(section: Section) -> Spacing:
    """Return how far apart the spots of a section are."""
    return spacing_of(section.positions)


def region_factors(
    neighbourhood: Neighbourhood, labels: NDArray[np.integer], connectivity: float
) -> NDArray[np.float64]:
    """Return what each edge keeps between the regions of its ends."""
    return identity_factors(neighbourhood.weights, labels, connectivity)


def expression_factors(
    section: Section, neighbourhood: Neighbourhood, n_components: int
) -> NDArray[np.float64]:
    """Return how alike the expression at the ends of each edge is."""
    logged = normalise_counts(section.adata.X, "log1p")
    return similarity_factors(neighbourhood, logged, n_components=n_components)


def histology_factors(section: Section, neighbourhood: Neighbourhood) -> NDArray[np.float64]:
    """Return how alike the tissue image at the ends of each edge is.

    Raises
    ------
    InputError
        If the section has no image.
    """
    if not section.images:
        raise InputError(
            "The section has no image to compare",
            where=section.name,
            remedy="Open a section with an image, or untick the scaling by histology",
        )
    image = section.images[0]
    colours = spot_colours(
        section.positions,
        image.pixels,
        scale=image.scale,
        diameter=section.spot_diameter or spacing_of(section.positions).distance,
    )
    return similarity_factors(neighbourhood, colours, metric="euclidean", reduce="none")


def similar_weights(
    neighbourhood: Neighbourhood,
    expression: NDArray[np.float64] | None,
    histology: NDArray[np.float64] | None,
) -> csr_array:
    """Return the weights scaled by what was asked for."""
    weights = neighbourhood.weights
    for factors in (expression, histology):
        if factors is not None:
            weights = scaled(weights, factors)
    return weights


def scaled(weights: csr_array, factors: NDArray[np.float64]) -> csr_array:
    """Return weights times factors on the same pattern."""
    return csr_array(
        (weights.data * factors, weights.indices, weights.indptr), shape=weights.shape
    )


def edges(weights: csr_array) -> tuple[NDArray[np.integer], NDArray[np.float64]]:
    """Return each pair of neighbours once (m x 2), and their weights."""
    first, second, values = edge_list(weights)
    return np.column_stack([first, second]), values


def crossing(edges: NDArray[np.integer], labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return which edges join two regions."""
    crossing: NDArray[np.bool_] = labels[edges[:, 0]] != labels[edges[:, 1]]
    return crossing
