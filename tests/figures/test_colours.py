"""Colours of numbers and classes, against matplotlib's own and by hand."""

from __future__ import annotations

import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import Normalize
from skimage.color import deltaE_ciede2000, rgb2lab

from napari_smoother.errors import InputError
from napari_smoother.figures import colours


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("name", ["viridis", "magma", "coolwarm"])
def test_numbers_have_the_colours_matplotlib_gives_them(name: str, dtype: type) -> None:
    values = np.random.default_rng(0).integers(-50, 150, 2000).astype(dtype)
    found = colours.map_numbers(values, -20, 100, name)
    expected = mpl.colormaps[name](Normalize(-20, 100, clip=True)(values.astype(float)))
    assert found.dtype == np.float32
    # One step of the colormap's 256 is allowed for rounding at the border of two.
    step = np.abs(np.diff(mpl.colormaps[name](np.arange(256)), axis=0)).max()
    assert np.abs(found - expected).max() <= step + 1e-6
    assert (np.abs(found - expected).max(axis=1) < 1e-6).mean() > 0.99


def test_ends_beyond_limits_and_missing_values() -> None:
    values = np.array([-np.inf, -1, 0, 1, 2, np.inf, np.nan], np.float32)
    found = colours.map_numbers(values, 0, 1, "viridis")
    ends = mpl.colormaps["viridis"]([0.0, 1.0])
    np.testing.assert_allclose(found[:3], np.tile(ends[0], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(found[3:6], np.tile(ends[1], (3, 1)), atol=1e-6)
    np.testing.assert_allclose(found[6], colours.MISSING, atol=1e-6)


def test_small_differences_of_large_numbers_survive() -> None:
    values = np.array([1e6, 1e6 + 1], np.float32)
    found = colours.map_numbers(values, 1e6, 1e6 + 1, "gray")
    np.testing.assert_allclose(found[:, 0], [0, 1], atol=1e-6)


def test_values_are_left_as_they_were() -> None:
    values = np.array([0.0, np.nan, 5.0])
    colours.map_numbers(values, 0, 1, "viridis")
    np.testing.assert_array_equal(values, [0.0, np.nan, 5.0])


def test_percentile_limits() -> None:
    values = np.arange(101.0)
    assert colours.percentile_limits(values, 1, 99) == (1.0, 99.0)
    assert colours.percentile_limits(np.append(values, [np.nan, np.inf]), 0, 100) == (0, 100)
    rare = np.zeros(1000)
    rare[0] = 7
    assert colours.percentile_limits(rare) == (0.0, 7.0)
    assert colours.percentile_limits(np.full(5, 3)) == (3.0, 4.0)
    assert colours.percentile_limits([np.nan]) == (0.0, 1.0)
    with pytest.raises(InputError, match="Percentiles"):
        colours.percentile_limits(values, 99, 1)


# What eyes see in linear RGB; Machado, Oliveira and Fernandes (2009), severity 1.
EYES = {
    "normal": np.eye(3),
    "deuteranope": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "protanope": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
}


def closest(colours_: np.ndarray, eyes: str) -> float:
    """CIEDE2000 difference of the two colours that these eyes tell apart worst."""
    linear = np.where(colours_ <= 0.04045, colours_ / 12.92, ((colours_ + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ EYES[eyes].T, 0, 1)
    shown = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    lab = rgb2lab(shown[None])[0]
    difference = deltaE_ciede2000(lab[:, None], lab[None])
    np.fill_diagonal(difference, np.inf)
    return float(difference.min())


@pytest.mark.parametrize(
    ("classes", "normal", "others"), [(8, 20, 11), (12, 20, 11), (20, 14, 9.5), (40, 10.5, 6)]
)
def test_classes_can_be_told_apart_by_all_eyes(classes: int, normal: float, others: float) -> None:
    palette = colours.categorical_palette(classes)[:, :3].astype(float)
    assert closest(palette, "normal") > normal
    assert closest(palette, "deuteranope") > others
    assert closest(palette, "protanope") > others
    on_paper = np.vstack([palette, [[1, 1, 1], colours.MISSING[:3]]])
    assert min(closest(on_paper, eyes) for eyes in EYES) > 6


def test_first_colours_do_not_depend_on_the_number_of_classes() -> None:
    palette = colours.categorical_palette(40)
    assert palette.shape == (40, 4)
    np.testing.assert_array_equal(colours.categorical_palette(5), palette[:5])
    assert len(np.unique(colours.categorical_palette(80), axis=0)) == 80
    assert colours.categorical_palette(0).shape == (0, 4)


def test_classes_take_their_colour_and_minus_one_takes_grey() -> None:
    palette = np.array([[1, 0, 0, 1], [0, 1, 0, 0.5]])
    found = colours.map_classes([1, -1, 0], palette)
    np.testing.assert_allclose(found, [palette[1], colours.MISSING, palette[0]], atol=1e-6)
    with pytest.raises(InputError, match="2 colours"):
        colours.map_classes([2], palette)
    with pytest.raises(InputError, match="2 colours"):
        colours.map_classes([-2], palette)


def test_an_unknown_colormap_is_named() -> None:
    with pytest.raises(InputError, match="no colormap 'rainbows'"):
        colours.map_numbers([1.0], 0, 1, "rainbows")


def test_importing_figures_loads_neither_matplotlib_nor_a_window() -> None:
    code = (
        "import sys, napari_smoother.figures, napari_smoother.figures.colours\n"
        "print(sorted({'matplotlib', 'napari', 'qtpy', 'torch', 'scanpy'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
