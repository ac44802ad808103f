"""The map of the quality of spots, with those that are left out in grey."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.analyses.quality import Quality
from napari_smoother.analyses.quantities import Numbers
from napari_smoother.analyses.stage import Stage
from napari_smoother.figures.colours import percentile_limits
from napari_smoother.layers import spot_map
from napari_smoother.layers.analysis_map import COLORMAP, PERCENTILES, AnalysisMap

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from napari_smoother.analyses.quality_settings import Metric
    from napari_smoother.analyses.quantities import Classes, Mixture
    from napari_smoother.layers.scene import Scene
    from napari_smoother.study.analysis import Analysis


class QualityMap(AnalysisMap[Quality]):
    """Counts, genes or mitochondrial share of every spot.

    Parameters
    ----------
    scene
        Where it is shown.
    analysis
        Whose result it shows.
    """

    def __init__(self, scene: Scene, analysis: Analysis[Any, Quality]) -> None:
        super().__init__(scene, analysis)
        # Of all spots: colours stay as they are while others are left out.
        self._limits = Stage(lambda values: percentile_limits(values, *PERCENTILES))

    @property
    def metric(self) -> Metric:
        """What is shown of a spot."""
        return self.scene.shown.quality

    def values(self, result: Quality) -> Numbers | None:
        """Return the metric of all spots; None where it is not known."""
        return result.metrics.numbers(self.metric)

    def table(self, result: Quality) -> pd.DataFrame:
        """Return all metrics, and which spots are kept."""
        return result.table()

    def colours(self, values: Numbers | Classes | Mixture) -> tuple[NDArray[Any], spot_map.Key]:
        """Return the colour of each spot (n x 4) and the key to them."""
        assert self._announced is not None
        return self._colours(values, self._announced)

    def _colours(
        self, values: Numbers | Classes | Mixture, found: Quality
    ) -> tuple[NDArray[Any], spot_map.Key]:
        assert isinstance(values, Numbers)
        limits = self._limits(found.metrics.values(self.metric))
        kept = Numbers(values.quantity, np.where(found.kept, values.values, np.nan))
        return spot_map.colour_numbers(kept, colormap=COLORMAP, limits=limits)

    def show_metric(self, metric: Metric) -> None:
        """Show another metric; undo does not stop there."""
        self.scene.study.show_without_step(quality=metric, stage=self.analysis.name)

    def show_trial(self, trial: Quality) -> None:
        """Show the spots that other limits would keep, as the hand moves one."""
        layer = self.scene.layer(self.analysis.name)
        values = self.values(trial)
        if layer is not None and layer.visible and values is not None:
            self.scene.paint(layer, values, *self._colours(values, trial))
