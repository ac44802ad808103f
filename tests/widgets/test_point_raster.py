"""Which point is seen at each pixel, against looking at every point for every pixel."""

from __future__ import annotations

import numpy as np
import pytest

from napari_smoother.widgets.point_raster import Frame, PointRaster, packed


def within(frame: Frame, points: np.ndarray, diameter: float) -> np.ndarray:
    """Return whether each point covers each pixel, height x width x n."""
    pixels = np.floor(frame.to_pixels(points))
    rows, columns = np.mgrid[: frame.height, : frame.width]
    across = columns[..., None] - pixels[:, 0]
    down = rows[..., None] - pixels[:, 1]
    return across**2 + down**2 <= (diameter / 2) ** 2


@pytest.mark.parametrize("diameter", [1.0, 2.0, 3.0, 4.5, 7.0])
def test_every_pixel_shows_a_point_that_covers_it(diameter: float) -> None:
    points = np.random.default_rng(1).normal(size=(60, 2))
    frame = Frame.around(points, 50, 40)
    frame = frame.zoomed(1.7, 20, 15)  # some points are outside, and some reach in
    covers = within(frame, points, diameter)
    seen = PointRaster(points).on_top(frame, diameter)
    assert seen.shape == (40, 50)
    np.testing.assert_array_equal(seen >= 0, covers.any(axis=-1))
    rows, columns = np.nonzero(seen >= 0)
    assert covers[rows, columns, seen[rows, columns]].all()


def test_one_point_is_above_another_everywhere_whatever_their_order_says() -> None:
    points = np.zeros((4000, 2))
    points[0] = (10, 10)
    points[1] = (-10, -10)
    frame = Frame.around(points, 30, 30)
    seen = PointRaster(points).on_top(frame, 5.0)
    middle = np.unique(seen[10:20, 10:20])
    middle = middle[middle >= 0]
    assert len(middle) == 1
    # Neither the first nor the last of the list is favoured.
    assert 100 < middle[0] < 3900


def test_chosen_points_lie_above_all_others() -> None:
    random = np.random.default_rng(2)
    points, first = random.normal(size=(500, 2)), random.random(500) < 0.1
    frame = Frame.around(points, 60, 60)
    seen = PointRaster(points).on_top(frame, 7.0, first)
    covered = within(frame, points[first], 7.0).any(axis=-1)
    assert first[seen[covered]].all()
    assert not first[seen[~covered & (seen >= 0)]].any()


def test_no_points_and_points_in_one_place_have_a_frame() -> None:
    for points in (np.empty((0, 2)), np.full((3, 2), 4.0)):
        frame = Frame.around(points, 20, 10)
        seen = PointRaster(points).on_top(frame, 3.0)
        assert seen.shape == (10, 20)
        assert (seen >= 0).any() == (len(points) > 0)


def test_frames_keep_what_they_say_they_keep() -> None:
    points = np.random.default_rng(3).normal(size=(20, 2)) * (3, 40)
    frame = Frame.around(points, 200, 100)
    pixels = frame.to_pixels(points)
    assert pixels.min() >= 0
    assert (pixels < (200, 100)).all()
    np.testing.assert_allclose(frame.to_plane(pixels), points)
    assert pixels[np.argmax(points[:, 1]), 1] == pixels[:, 1].min(), "upwards"
    nearer = frame.zoomed(2.0, *pixels[7]).to_pixels(points)
    np.testing.assert_allclose(nearer[7], pixels[7])
    np.testing.assert_allclose(np.ptp(nearer, axis=0), 2 * np.ptp(pixels, axis=0))
    moved = frame.moved(5, -3).to_pixels(points)
    np.testing.assert_allclose(moved - pixels, np.tile((5.0, -3.0), (20, 1)))
    np.testing.assert_allclose(frame.resized(400, 50).to_pixels(points), pixels * (2, 0.5))


def test_colours_are_packed_as_qt_reads_them() -> None:
    pixels = packed(np.array([[1.0, 0.5, 0.0], [0.0, 0.0, 1.0]]), np.array([1.0, 0.2]))
    assert [f"{pixel:08x}" for pixel in pixels] == ["ffff8000", "33000033", "00000000"]
