"""Smooth a feature of any layer of points."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import napari.layers
import napari.viewer
from magicgui import magic_factory

from napari_smoother.layers import point_features
from napari_smoother.models.point_features import smoothed_feature
from napari_smoother.widgets.commands.form import FeatureChoices, Result, in_thread, show, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from magicgui.widgets import FunctionGui


def _begin(form: FunctionGui[Any, Any]) -> None:
    form.offered = FeatureChoices(form, "feature")


@magic_factory(
    call_button="Smooth",
    widget_init=_begin,
    feature={"widget_type": "ComboBox", "choices": ()},
    lambda_={"label": "λ", "min": 0.0, "max": 1e6, "step": 0.1},
    neighbours={"min": 1, "max": 100},
)
def smooth_feature(
    viewer: napari.viewer.Viewer,
    points: napari.layers.Points,
    feature: str,
    lambda_: float = 1.0,
    neighbours: int = 6,
) -> None:
    """Take the noise off a feature: its posterior mean under a spatial prior.

    Parameters
    ----------
    viewer
        That the points are in.
    points
        Any layer of points with features, in two or three dimensions.
    feature
        The numbers to smooth; points without one are left out.
    lambda_
        Strength of the prior: 0 leaves the numbers as they are, 1 takes much of the noise off,
        more smooths more.
    neighbours
        How many nearest points each is held against; on a lattice the ring around a spot.
    """
    with told():
        smoothed = partial(
            smoothed_feature,
            point_features.values_of(points, [feature])[:, 0],
            point_features.positions_of(points),
            n_neighbors=neighbours,
            lambda_=lambda_,
        )
        name = f"{feature}, smoothed (λ {lambda_:g})"

        def work(cancelled: Callable[[], bool]) -> Result:
            return Result({name: smoothed(cancelled=cancelled)})

        in_thread(viewer, points, work, show, f"smoothing {feature}")
