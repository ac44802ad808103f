"""Spatial components of the features of any layer of points."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import napari.layers
import napari.viewer
from magicgui import magic_factory

from napari_smoother.errors import InputError
from napari_smoother.layers import point_features
from napari_smoother.models import point_features as models
from napari_smoother.widgets.commands.form import FeatureChoices, Result, in_thread, show, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from magicgui.widgets import FunctionGui


def _begin(form: FunctionGui[Any, Any]) -> None:
    form.offered = FeatureChoices(form, "features", all_chosen=True)


@magic_factory(
    call_button="Find components",
    widget_init=_begin,
    features={"widget_type": "Select", "choices": ()},
    components={"min": 1, "max": 50},
    lambda_={"label": "λ", "min": 0.0, "max": 1e6, "step": 0.1},
    neighbours={"min": 1, "max": 100},
)
def spatial_components(
    viewer: napari.viewer.Viewer,
    points: napari.layers.Points,
    features: list[str],
    components: int = 3,
    lambda_: float = 0.1,
    neighbours: int = 6,
    unit_variance: bool = True,
) -> None:
    """Find the spatial principal components of many features.

    Parameters
    ----------
    viewer
        That the points are in.
    points
        Any layer of points with features, in two or three dimensions.
    features
        The numbers to reduce; points that lack one are left out.
    components
        How many components to find, at most as many as features.
    lambda_
        Penalty on what varies between neighbours: 0 is plain principal component analysis.
    neighbours
        How many nearest points each is held against; on a lattice the ring around a spot.
    unit_variance
        Let every feature count alike, whatever its unit.
    """
    with told():
        if not features:
            raise InputError(
                "No feature is chosen",
                where=f"layer {points.name}",
                remedy="Choose at least one in the list",
            )
        found = partial(
            models.spatial_components,
            point_features.values_of(points, features),
            point_features.positions_of(points),
            n_components=components,
            n_neighbors=neighbours,
            lambda_=lambda_,
            unit_variance=unit_variance,
        )

        def work(cancelled: Callable[[], bool]) -> Result:
            scores = found(cancelled=cancelled)
            return Result({f"spatial component {n + 1}": c for n, c in enumerate(scores.T)})

        in_thread(viewer, points, work, show, f"components of {points.name}")
