"""A map of spots that shows the result of an analysis."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from napari_smoother.analyses.quantities import Classes, Mixture, Numbers
from napari_smoother.layers import spot_map, tissue
from napari_smoother.layers.plain_text import as_text

if TYPE_CHECKING:
    import pandas as pd
    from napari.layers import Points
    from numpy.typing import NDArray

    from napari_smoother.layers.scene import Scene
    from napari_smoother.study.analysis import Analysis

Found = TypeVar("Found")

COLORMAP = "viridis"
PERCENTILES = (1.0, 99.0)


class AnalysisMap(ABC, Generic[Found]):
    """One layer, named after what it shows, that follows the result of an analysis.

    Parameters
    ----------
    scene
        Where it is shown: under the analysis' name among its maps.
    analysis
        Whose result it shows.
    """

    def __init__(self, scene: Scene, analysis: Analysis[Any, Found]) -> None:
        self.scene = scene
        self.analysis = analysis
        self._announced: Found | None = analysis.result
        scene.maps[analysis.name] = self
        analysis.result_changed.connect(self._on_result)

    @abstractmethod
    def values(self, result: Found) -> Numbers | Classes | Mixture | None:
        """Return what is shown of a result; None leaves the map as it is."""

    def colours(self, values: Numbers | Classes | Mixture) -> tuple[NDArray[Any], spot_map.Key]:
        """Return the colour of each spot (n x 4) and the key to them."""
        if isinstance(values, Classes):
            return spot_map.colour_classes(values)
        if isinstance(values, Mixture):
            return spot_map.colour_mixture(values, percentiles=PERCENTILES)
        return spot_map.colour_numbers(values, colormap=COLORMAP, percentiles=PERCENTILES)

    def table(self, result: Found) -> pd.DataFrame | None:
        """Return all of a result, spots x columns, where the map shows a part of it."""
        return None

    def new_layer(self, result: Found) -> Points:
        """Return a layer for a result, not yet coloured."""
        section = self.scene.study.section
        assert section is not None
        return tissue.spot_layer(section, self.scene.spot_diameter, self.analysis.name)

    def resize(self, diameter: float) -> None:
        """Draw spots beside those of the map as large as these are, if there are any."""

    def show(self) -> None:
        """Paint the result and bring it to the top; without one everything stays as it is."""
        result = self._announced
        section = self.scene.study.section
        values = self.values(result) if result is not None else None
        if result is None or values is None or section is None:
            return
        name = self.analysis.name
        layer = self.scene.layer(name)
        if layer is None:
            # Above the spots, but below outlines of regions.
            layer = self.new_layer(result)
            layer.visible = False
            self.scene.shelf.put(name, layer, below="", above=tissue.SPOTS)
        if not layer.visible:
            self.scene.put_on_top(name)
        self.scene.paint(layer, values, *self.colours(values))
        layer.metadata[spot_map.TABLE] = self.table(result)
        if layer.name != as_text(values.quantity):
            layer.name = as_text(values.quantity)
        shown = self.analysis.shown
        if shown is not None and shown.result is result and shown.request.start is None:
            spot_map.label(layer, section, values)

    def _on_result(self, result: Found | None) -> None:
        self._announced = result
        scene = self.scene
        if result is None:
            scene.shelf.remove(self.analysis.name)
            if scene.stage == self.analysis.name:
                scene.show_stage("data")
        elif scene.stage == self.analysis.name:
            self.show()
