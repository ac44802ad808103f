"""Colours of classes that a file brings along, in every form they are found in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from napari_smoother.errors import InputError
from napari_smoother.palette import class_palette

WANTED = [[1, 0x57 / 255, 0x33 / 255, 1], [0x34 / 255, 0x98 / 255, 0xDB / 255, 1]]
CODES = ["#ff5733", "#3498db"]
BYTES = [[255, 0x57, 0x33], [0x34, 0x98, 0xDB]]


def palette(stored, classes=("a", "b")):
    return class_palette({"cluster_colors": stored}, "cluster", classes, where="file")


@pytest.mark.parametrize(
    "stored",
    [
        CODES,
        tuple(CODES),
        np.array(CODES),
        np.array(CODES, dtype=object),
        np.array(CODES, dtype="S"),
        pd.Series(CODES),
        pd.Categorical(CODES),
        [f"{code}80" for code in CODES],
        WANTED,
        np.array(WANTED, np.float32),
        np.array(WANTED)[:, :3],
        np.array(BYTES, np.uint8),
        [tuple(row) for row in BYTES],
        dict(zip("ba", CODES[::-1], strict=True)),
        [*CODES, "#000000"],
    ],
)
def test_every_form(stored) -> None:
    np.testing.assert_allclose(palette(stored), WANTED, atol=1e-6)


def test_names_that_matplotlib_knows() -> None:
    np.testing.assert_allclose(
        palette(["tomato", "k"]), [[1, 99 / 255, 71 / 255, 1], [0, 0, 0, 1]], atol=1e-6
    )


def test_no_colours() -> None:
    assert class_palette({"other_colors": CODES}, "cluster", ("a", "b"), where="file") is None


@pytest.mark.parametrize("stored", [CODES[:1], [], np.array([]), "red", 3, None, {"a": "red"}])
def test_too_few_colours_are_nobodys(stored) -> None:
    with pytest.raises(
        InputError, match=r"colours for 2 classes.*file, uns\[\"cluster_colors\"\]"
    ):
        palette(stored)


@pytest.mark.parametrize(
    "stored",
    [
        ["red", "nothing"],
        ["red", ""],
        ["red", None],
        ["red", {}],
        [1.0, 2.0],
        [[1, 0], [0, 1]],
        [[np.nan] * 3] * 2,
        [[-1, 0, 0], [0, 0, 0]],
    ],
)
def test_what_is_no_colour(stored) -> None:
    with pytest.raises(InputError, match="is no colour, so the colours are not used"):
        palette(stored)
