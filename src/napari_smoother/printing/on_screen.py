"""Which picture the recipe puts on screen: one logic for the layers and for print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.imputed import NAME as IMPUTED
from napari_smoother.analyses.imputed import difference_numbers, imputed_numbers, raw_numbers
from napari_smoother.analyses.quantities import Classes, Mixture, Numbers
from napari_smoother.figures.colours import percentile_limits
from napari_smoother.figures.picture import PERCENTILES, Picture, proportion_picture
from napari_smoother.study.view import (
    deviation_of,
    dominant_types,
    misfit_of,
    proportion_of,
    values_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from napari_smoother.analyses.composition import Composition
    from napari_smoother.analyses.embedding import Embedding
    from napari_smoother.analyses.imputed import Imputed
    from napari_smoother.analyses.recipe import Recipe
    from napari_smoother.analyses.regions import Regions
    from napari_smoother.analyses.shown import EmbeddingShown, ImputationShown, Shown, View
    from napari_smoother.section import Section

DIVERGING = "RdBu_r"


def picture_on_screen(
    section: Section,
    recipe: Recipe,
    labels: NDArray[np.integer],
    composition: Composition | None,
    found: Mapping[str, Any],
    values: Callable[[Section, View], Numbers | Classes] = values_of,
) -> Picture | None:
    """Return what a recipe puts on screen; None for one plain colour.

    Parameters
    ----------
    section
        The spots.
    recipe
        Says what is shown.
    labels
        Region of each spot.
    composition
        As it was found, if it was.
    found
        Results of the other analyses, by their names.
    values
        Finds genes and columns; it may remember what it found last.
    """
    shown = recipe.shown
    if shown.stage == "composition" and composition is not None:
        return composition_picture(composition, shown)
    if shown.stage == "regions":
        return region_picture(recipe.regions, labels)
    result = found.get(shown.stage)
    if shown.stage == IMPUTED and result is not None:
        return imputed_picture(result, shown.imputation)
    if result is not None:
        field = "reduction" if shown.stage == "spatial_pca" else "autoencoder"
        embedded = embedding_values(result, getattr(shown, field))
        return None if embedded is None else Picture(embedded)
    return None if shown.view is None else view_picture(section, shown.view, values)


def view_picture(
    section: Section,
    view: View,
    values: Callable[[Section, View], Numbers | Classes] = values_of,
) -> Picture:
    """Return the picture of a gene or a column; ``values`` may remember what it found last."""
    return Picture(
        values(section, view), colormap=view.colormap, percentiles=(view.low, view.high)
    )


def region_picture(regions: Regions, labels: NDArray[np.integer]) -> Picture | None:
    """Return the picture of the regions; None without any."""
    if not regions.classes:
        return None
    names = tuple(region.name for region in regions.classes)
    palette = np.array([(*region.colour, 1.0) for region in regions.classes])
    classes = Classes("region", labels, names)
    return Picture(classes, palette=palette, missing_name="no region")


def composition_picture(composition: Composition, shown: Shown) -> Picture | None:
    """Return the picture of a composition; None while it is not known yet."""
    if shown.quantity == "misfit":
        misfit = misfit_of(composition)
        return None if misfit is None else Picture(misfit, colormap="magma")
    if shown.cell_type not in composition.types:
        return Picture(dominant_types(composition))
    if shown.quantity == "deviation":
        deviation = deviation_of(composition, shown.cell_type)
        return None if deviation is None else Picture(deviation, colormap="magma")
    return proportion_picture(proportion_of(composition, shown.cell_type))


def embedding_values(
    result: Embedding, shown: EmbeddingShown
) -> Numbers | Classes | Mixture | None:
    """Return what is shown of an embedding; None while domains are not known yet."""
    last = result.n_dims - 1
    if shown.what == "domains":
        return result.domain_classes()
    if shown.what == "mixture":
        red, green, blue = (min(channel, last) for channel in shown.channels)
        return result.mixture((red, green, blue))
    return result.component(min(shown.component, last))


def imputed_picture(result: Imputed, shown: ImputationShown) -> Picture:
    """Return the picture of a gene on its spots."""
    if shown.what == "difference":
        difference = difference_numbers(result)
        high = percentile_limits(np.abs(difference.values), 0, PERCENTILES[1])[1]
        return Picture(difference, colormap=DIVERGING, limits=(-high, high))
    values = raw_numbers(result) if shown.what == "raw" else imputed_numbers(result)
    own = shown.own_limits and shown.what == "smoothed"
    limits = percentile_limits(values.values if own else result.raw, *PERCENTILES)
    if shown.what == "both":
        values = Numbers(f"left: raw, right: {values.quantity}", values.values)
    return Picture(values, limits=limits)
