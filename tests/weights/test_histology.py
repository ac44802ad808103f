from __future__ import annotations

import numpy as np
import pytest

from napari_smoother.errors import InputError
from napari_smoother.weights.histology import channels, spot_colours, spot_patches


def right_half_red(rows=200, columns=300):
    image = np.zeros((rows, columns, 3), np.uint8)
    image[:, columns // 2 :, 0] = 200
    return image


def test_image_is_read_at_row_y_and_column_x():
    # x runs along the columns: only a spot far to the right is red.
    colours = spot_colours([[250, 20], [20, 180]], right_half_red(), scale=1, diameter=10)
    np.testing.assert_array_equal(colours, [[200, 0, 0], [0, 0, 0]])
    patches = spot_patches([[250, 20], [20, 180]], right_half_red(), scale=1, diameter=10)
    assert patches.shape == (2, 10 * 10 * 3)
    np.testing.assert_array_equal(patches.reshape(2, 100, 3)[:, :, 0], [[200] * 100, [0] * 100])


def test_a_column_beyond_the_number_of_rows_is_inside_a_wide_image():
    colours = spot_colours([[280, 100]], right_half_red(), scale=1, diameter=4)
    np.testing.assert_array_equal(colours, [[200, 0, 0]])


def test_windows_by_hand():
    image = np.arange(48, dtype=np.uint16).reshape(6, 8)
    # Twice the full resolution apart: centre at column 4, row 3; window rows 1-4, columns 2-5.
    window = image[1:5, 2:6]
    found = spot_patches([[8.9, 6.2]], image, scale=0.5, diameter=8.0)
    np.testing.assert_array_equal(found.reshape(4, 4), window)
    mean = spot_colours([[8.9, 6.2]], image, scale=0.5, diameter=8.0)
    np.testing.assert_allclose(mean, [[window.mean()]])


def test_beyond_the_edge():
    image = np.arange(48.0).reshape(6, 8)
    found = spot_patches([[0.5, 5.5]], image, scale=1, diameter=4.0).reshape(4, 4)
    padded = np.pad(image, 2, mode="edge")
    np.testing.assert_array_equal(found, padded[5:9, 0:4])
    # The mean takes the pixels that are there: rows 3-5, columns 0-1.
    mean = spot_colours([[0.5, 5.5]], image, scale=1, diameter=4.0)
    np.testing.assert_allclose(mean, [[image[3:6, 0:2].mean()]])


def test_a_spot_smaller_than_a_pixel_is_that_pixel():
    image = np.arange(48.0).reshape(6, 8)
    assert spot_patches([[33, 21]], image, scale=0.1, diameter=3.0).tolist() == [[image[2, 3]]]
    assert spot_colours([[33, 21]], image, scale=0.1, diameter=3.0).tolist() == [[image[2, 3]]]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float16, np.float32, bool])
@pytest.mark.parametrize("n_channels", [None, 1, 2, 3, 7])
def test_any_number_type_and_count_of_channels(dtype, n_channels):
    shape = (12, 10) if n_channels is None else (12, 10, n_channels)
    image = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    found = spot_colours([[5, 6]], image, scale=1, diameter=6)
    np.testing.assert_allclose(
        found[0], image[3:9, 2:8].astype(float).mean(axis=(0, 1)), rtol=1e-6
    )
    assert found.shape == (1, n_channels or 1)


def test_transparent_pixels_are_white_paper():
    image = np.zeros((2, 2, 4), np.uint8)
    image[..., 0] = 100
    image[0, :, 3] = 255
    found = channels(image)
    np.testing.assert_allclose(found[0, 0], [100, 0, 0])
    np.testing.assert_allclose(found[1, 1], [255, 255, 255])


def test_opaque_alpha_is_left_out_and_a_fourth_dye_is_kept():
    image = np.random.default_rng(0).integers(0, 255, (4, 4, 4), dtype=np.uint8)
    image[..., 3] = 255
    np.testing.assert_array_equal(channels(image), image[..., :3])
    dyes = np.random.default_rng(0).uniform(size=(4, 4, 4))
    np.testing.assert_array_equal(channels(dyes), dyes)
    dyes[..., 3] = 1
    np.testing.assert_array_equal(channels(dyes), dyes[..., :3])


def test_bad_input_is_named():
    image = right_half_red()
    with pytest.raises(InputError, match="1 of 2 spots lie outside"):
        spot_colours([[10, 10], [10, 250]], image, scale=1, diameter=10)
    with pytest.raises(InputError, match="outside"):
        spot_patches([[-20, 10]], image, scale=1, diameter=10)
    with pytest.raises(InputError, match="scale"):
        spot_patches([[10, 10]], image, scale=0, diameter=10)
    with pytest.raises(InputError, match="shape"):
        spot_colours([[10, 10]], np.zeros(5), scale=1, diameter=10)
    with pytest.raises(InputError, match="Positions"):
        spot_colours([10, 10], image, scale=1, diameter=10)
