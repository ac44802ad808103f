"""A gene as it was measured and as it is smoothed: in turn, side by side, and their difference."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.imputed import (
    Imputed,
    difference_numbers,
    imputed_numbers,
    raw_numbers,
)
from napari_smoother.figures.colours import map_numbers, percentile_limits
from napari_smoother.layers import spot_map, tissue
from napari_smoother.layers.analysis_map import COLORMAP, PERCENTILES, AnalysisMap
from napari_smoother.layers.coordinates import World, to_rows_and_columns
from napari_smoother.layers.plain_text import as_text
from napari_smoother.layers.recolouring import recolour
from napari_smoother.printing.on_screen import imputed_picture

if TYPE_CHECKING:
    from napari.layers import Image, Points
    from numpy.typing import NDArray

    from napari_smoother.analyses.imputed import DenserGrid
    from napari_smoother.analyses.quantities import Classes, Mixture, Numbers
    from napari_smoother.analyses.shown import ImputationShown
    from napari_smoother.figures.picture import Picture
    from napari_smoother.layers.scene import Scene
    from napari_smoother.section import Section
    from napari_smoother.study.analysis import Analysis

GRID = "imputed grid"
RAW = "imputed raw"
RAW_IMAGE = "imputed raw image"

COVER = 1.2
"""Diameter of a position of the denser grid relative to their distance, to leave no gaps."""

GAP = 0.06
"""Between raw and smoothed tissue, relative to the width of one."""


class ImputationMap(AnalysisMap[Imputed]):
    """The spots of one gene, with a denser grid over them and raw ones beside them on demand.

    Raw and smoothed values share the limits of their colours, those of the raw values: what
    smoothing takes away is seen, and the limits stay where they are while lambda moves.

    Parameters
    ----------
    scene
        Where it is shown.
    analysis
        Whose result it shows.
    """

    def __init__(self, scene: Scene, analysis: Analysis[Any, Imputed]) -> None:
        super().__init__(scene, analysis)
        self._camera: tuple[Any, float] | None = None
        self._drawn: NDArray[np.float64] | None = None
        self._beside: NDArray[np.float64] | None = None
        scene.stage_changed.connect(self._on_stage_changed)

    @property
    def shown(self) -> ImputationShown:
        """What is on screen; of both the raw gene is at the left."""
        return self.scene.shown.imputation

    @property
    def is_in_front(self) -> bool:
        """Whether it is the map that is looked at."""
        return self.scene.stage == self.analysis.name

    def values(self, result: Imputed) -> Numbers:
        """Return the numbers on the spots."""
        if self.shown.what == "raw":
            return raw_numbers(result)
        if self.shown.what == "difference":
            return difference_numbers(result)
        return imputed_numbers(result)

    def colours(self, values: Numbers | Classes | Mixture) -> tuple[NDArray[Any], spot_map.Key]:
        """Return the colour of each spot (n x 4) and the key to them."""
        return self._picture().colours()

    def limits(self) -> tuple[float, float]:
        """Return the numbers at the ends of the colour bar."""
        return self._picture().found_limits()

    def _picture(self) -> Picture:
        assert self._announced is not None
        return imputed_picture(self._announced, self.shown)

    def change(self, **changes: Any) -> None:
        """Show something else of the result: fields of `ImputationShown`."""
        self.scene.change(stage=self.analysis.name, imputation=replace(self.shown, **changes))

    def resize(self, diameter: float) -> None:
        """Draw the raw spots as large as the smoothed ones."""
        raw = self.scene.layer(RAW)
        if raw is not None:
            raw.size = diameter

    def show(self) -> None:
        """Paint the result and what belongs beside it."""
        super().show()
        result, main = self._announced, self.scene.layer(self.analysis.name)
        if result is None or main is None or not self.is_in_front:
            return
        self._show_grid(result)
        self._show_raw_beside(result)

    # The denser grid

    def _show_grid(self, result: Imputed) -> None:
        grid = result.grid if self.shown.what in ("smoothed", "both") else None
        shelf = self.scene.shelf
        layer = self.scene.layer(GRID)
        if grid is None:
            self._hide_grid()
            return
        if layer is None or self._drawn is not grid.positions:
            layer = self._grid_layer(grid)
            self._drawn = grid.positions
            # Right above the spots, so that edges and outlines stay above it.
            shelf.put(GRID, layer, below="", above=self.analysis.name)
        low, high = self.limits()
        recolour(layer, map_numbers(grid.values, low, high, COLORMAP))
        quantity = imputed_numbers(result).quantity
        name = as_text(f"denser grid: {quantity}")
        if layer.name != name:
            layer.name = name
        if self.analysis.is_up_to_date:
            layer.features = pd.DataFrame({quantity: grid.values})
        if not layer.visible:  # napari draws all anew even where nothing changes
            layer.visible = True

    def _hide_grid(self) -> None:
        layer = self.scene.layer(GRID)
        if layer is not None and layer.visible:
            layer.visible = False

    def _grid_layer(self, grid: DenserGrid) -> Points:
        section = self.scene.study.section
        assert section is not None
        return tissue.point_layer(grid.positions, World.of(section), COVER * grid.spacing, GRID)

    # The raw gene beside the smoothed one

    def _show_raw_beside(self, result: Imputed) -> None:
        if self.shown.what != "both":
            self._take_away_raw()
            return
        layer = self.scene.layer(RAW)
        arrives = layer is None
        if layer is None:
            layer = self._put_raw_beside()
        if self._beside is not result.raw:
            self._beside = result.raw
            raw, limits = raw_numbers(result), percentile_limits(result.raw, *PERCENTILES)
            recolour(layer, map_numbers(result.raw, *limits, COLORMAP))
            section = self.scene.study.section
            assert section is not None
            spot_map.label(layer, section, raw)
            layer.name = as_text(f"raw: {raw.quantity}")
        viewer = self.scene.shelf.viewer
        if arrives and viewer is not None:
            self._camera = viewer.scene.camera.center, viewer.scene.camera.zoom
            viewer.fit_to_view(layers=[self.scene.layer(self.analysis.name), layer])

    def _put_raw_beside(self) -> Points:
        """Add a copy of the spots, and of the image under them, the tissue's width to the left."""
        scene, shelf = self.scene, self.scene.shelf
        main, image = scene.layer(self.analysis.name), scene.layer("image")
        section = scene.study.section
        assert main is not None
        assert section is not None
        low, high = main.extent.world[:, -1]
        gap = GAP * (high - low)
        shift = np.array([0.0, low - high - gap])
        if image is not None:
            copy = self._copy_of_image(section, image, margin=gap / 2)
            copy.translate = copy.translate + shift
            shelf.put(RAW_IMAGE, copy, below=self.analysis.name)
        layer = tissue.spot_layer(section, scene.spot_diameter, RAW)
        layer.translate = main.translate + shift
        shelf.put(RAW, layer, below="", above=self.analysis.name)
        self._beside = None
        return layer

    def _copy_of_image(self, section: Section, image: Image, *, margin: float) -> Image:
        """Return the part of the image under the spots, with a margin in world units."""
        copy = tissue.image_layer(section, section.images[0])
        side = float(copy.scale[0])
        corners = to_rows_and_columns(section.positions) * World.of(section).pixel
        first = np.floor((corners.min(axis=0) - margin) / side).astype(int).clip(0)
        last = np.ceil((corners.max(axis=0) + margin) / side).astype(int) + 1
        copy.data = copy.data[first[0] : last[0], first[1] : last[1]]
        copy.translate = first * side
        copy.name = f"{image.name}, beside"
        copy.opacity, copy.visible = image.opacity, image.visible
        image.events.opacity.connect(self._fade_image)
        image.events.visible.connect(self._fade_image)
        return copy

    def _fade_image(self) -> None:
        image, copy = self.scene.layer("image"), self.scene.layer(RAW_IMAGE)
        if image is not None and copy is not None:
            copy.opacity, copy.visible = image.opacity, image.visible

    def _take_away_raw(self) -> None:
        scene, viewer = self.scene, self.scene.shelf.viewer
        was_there = scene.layer(RAW) is not None
        scene.shelf.remove(RAW, RAW_IMAGE)
        if was_there and viewer is not None and self._camera is not None:
            viewer.scene.camera.center, viewer.scene.camera.zoom = self._camera
        self._camera = None

    def _on_stage_changed(self, stage: str) -> None:
        if stage != self.analysis.name:
            self._take_away_raw()
            self._hide_grid()

    def _on_result(self, result: Imputed | None) -> None:
        if result is None:
            self.scene.shelf.remove(GRID)
            self._take_away_raw()
        super()._on_result(result)
