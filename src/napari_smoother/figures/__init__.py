"""Publication figures of a section through matplotlib, without a window.

:func:`spatial_figure` and :func:`spatial_grid` draw values on the tissue in one call;
:func:`compose_figure` draws panels made elsewhere; :func:`save_figure` writes any of them, and
:func:`recipe_of_figure` reads back what one was made by.
matplotlib is loaded when the first figure is drawn.
"""

from __future__ import annotations

from napari_smoother.figures.compose import compose_figure
from napari_smoother.figures.embedded import recipe_of_figure
from napari_smoother.figures.panels import (
    ClassKey,
    EdgeOverlay,
    NumberKey,
    Panel,
    RegionOutline,
)
from napari_smoother.figures.save import save_figure
from napari_smoother.figures.values import spatial_figure, spatial_grid

__all__ = [
    "ClassKey",
    "EdgeOverlay",
    "NumberKey",
    "Panel",
    "RegionOutline",
    "compose_figure",
    "recipe_of_figure",
    "save_figure",
    "spatial_figure",
    "spatial_grid",
]
