"""New colours are on screen, whichever way they got there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from napari.layers import Points

from napari_smoother.layers import recolouring
from napari_smoother.layers.recolouring import recolour

if TYPE_CHECKING:
    from collections.abc import Callable

    import napari


def colours(seed: int, n_points: int) -> np.ndarray:
    return np.column_stack(
        [np.random.default_rng(seed).random((n_points, 3)), np.ones(n_points)]
    ).astype(np.float32)


@pytest.fixture
def layer() -> Points:
    rows, columns = np.divmod(np.arange(400), 20)
    return Points(np.column_stack([rows, columns]) * 10.0, size=9, border_width=0)


def test_colours_are_kept_where_nothing_is_drawn(layer: Points) -> None:
    new = colours(0, 400)
    recolour(layer, new)
    np.testing.assert_array_equal(layer.face_color, new)


def test_the_short_way_paints_what_the_long_one_does(
    make_napari_viewer: Callable[..., napari.Viewer],
    layer: Points,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_layer(layer)
    layer.shown = np.arange(400) % 7 > 0
    new = colours(1, 400)
    recolour(layer, new)
    assert recolouring._drawn(layer) is not None, "napari or vispy draw points in another way"
    short = viewer.screenshot(flash=False)
    recolour(layer, colours(2, 400))
    other = viewer.screenshot(flash=False)
    monkeypatch.setattr(recolouring, "_drawn", lambda layer: None)
    recolour(layer, new)
    long = viewer.screenshot(flash=False)
    np.testing.assert_array_equal(short, long)
    assert (short != other).any()
    np.testing.assert_array_equal(layer.face_color, new)


def test_positions_are_not_built_anew(
    make_napari_viewer: Callable[..., napari.Viewer], layer: Points
) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_layer(layer)
    markers, attributes = recolouring._drawn(layer)
    recolour(layer, colours(3, 400))
    assert markers._data is attributes
