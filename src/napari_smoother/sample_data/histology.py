"""An H&E picture of an anatomy, by mixing optical densities of the two stains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.sample_data.slide import (
    GRID_STEP,
    MICROMETRES_PER_PIXEL,
    Field,
    Slide,
    smooth_noise,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from napari_smoother.sample_data.anatomy import Anatomy

HAEMATOXYLIN = np.array([0.62, 0.66, 0.34], np.float32)
"""Optical density of red, green and blue for one unit of haematoxylin (blue-purple)."""

EOSIN = np.array([0.20, 0.80, 0.42], np.float32)
"""Optical density of red, green and blue for one unit of eosin (pink)."""

GLASS = np.array([243, 242, 245], np.float32)
"""Colour of the slide where there is no tissue."""


@dataclass(frozen=True, slots=True)
class Stain:
    """How a region takes the stains.

    Parameters
    ----------
    haematoxylin, eosin
        Of the ground between the nuclei, in optical density.
    small_nuclei, large_nuclei
        Per square millimetre: lymphocytes and glia, neurons and tumour cells.
    fibres
        Share of the eosin that is gathered into fibres, 0 to 1.
    blotches
        Unevenness over some tens of micrometres, as a share of the stain.
    septa
        How far strands of connective tissue displace the cells along their way, 0 to 1.
    """

    haematoxylin: float
    eosin: float
    small_nuclei: float
    large_nuclei: float
    fibres: float = 0.0
    blotches: float = 0.08
    septa: float = 0.0


def paint(
    slide: Slide, anatomy: Anatomy, stains: Mapping[str, Stain], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Paint a section as a slide scanner would show it.

    Parameters
    ----------
    slide, anatomy
        What lies where.
    stains
        For each region of the anatomy.
    rng
        Where randomness comes from.

    Returns
    -------
    numpy.ndarray
        Rows x columns x 3, uint8.
    """
    ground = _blend(anatomy, stains)
    unevenness = 1 + 0.05 * smooth_noise(slide.grid_shape, 500 / slide.grid_micrometres, rng)
    unevenness += ground["blotches"] * smooth_noise(
        slide.grid_shape, 28 / slide.grid_micrometres, rng
    )
    _part_by_septa(slide, ground, rng)
    haematoxylin = slide.over_image(ground["haematoxylin"] * unevenness)
    eosin = slide.over_image(ground["eosin"] * unevenness)

    grain = _blurred(rng.standard_normal(slide.shape, dtype=np.float32), 1.0)
    eosin *= 1 + 0.35 * grain
    haematoxylin *= 1 + 0.25 * grain
    fibres = slide.over_image(ground["fibres"]) * _fibres(slide, anatomy.fibres, rng)
    eosin *= np.clip(1 + fibres, 0.3, 2.5)

    edge = slide.over_image(anatomy.tissue)
    haematoxylin += _nuclei(slide, anatomy, ground["small_nuclei"], 2.6, rng)
    haematoxylin += _nuclei(slide, anatomy, ground["large_nuclei"], 4.6, rng)
    _stamp_glands(slide, anatomy.glands, haematoxylin, eosin, rng)
    _stamp_vessels(slide, anatomy, haematoxylin, eosin, rng)
    # Sections curl and dry at their rim, where they take up more stain.
    eosin *= 1 + 0.45 * np.exp(-np.clip(edge, 0, None) / 14)

    cover = np.clip((edge + 5 * grain) / slide.micrometres_per_image_pixel + 0.5, 0, 1)
    haematoxylin *= cover
    eosin *= cover
    glare = 1.2 * rng.standard_normal(slide.shape, dtype=np.float32)
    picture = np.empty((*slide.shape, 3), np.uint8)
    for channel in range(3):
        density = haematoxylin * HAEMATOXYLIN[channel] + eosin * EOSIN[channel]
        picture[..., channel] = np.clip(GLASS[channel] * np.exp(-density) + glare, 0, 255)
    return picture


def _blend(anatomy: Anatomy, stains: Mapping[str, Stain]) -> dict[str, Field]:
    """Paint every property of the stains over the grid, region upon region."""
    properties = tuple(Stain.__dataclass_fields__)
    ground = {name: np.zeros_like(anatomy.tissue) for name in properties}
    for code, (region, field) in enumerate(anatomy.regions):
        share = np.clip(field / 50 + 0.5, 0, 1) if code else np.ones_like(field)
        for name in properties:
            ground[name] += share * (np.float32(getattr(stains[region], name)) - ground[name])
    return ground


def _part_by_septa(slide: Slide, ground: dict[str, Field], rng: np.random.Generator) -> None:
    """Draw a network of strands: the zero lines of two random fields."""
    strands = np.zeros(slide.grid_shape, np.float32)
    for length in (70.0, 130.0):
        field = smooth_noise(slide.grid_shape, length / slide.grid_micrometres, rng)
        # Dividing by the length makes strands of either field about equally thin.
        strands = np.maximum(strands, np.exp(-((field * length / 11) ** 2)))
    strands *= ground["septa"]
    for name in ("haematoxylin", "small_nuclei", "large_nuclei"):
        ground[name] *= 1 - 0.85 * strands
    ground["eosin"] += 0.15 * strands


def _blurred(field: Field, sigma: float) -> Field:
    """Blur with a Gaussian of ``sigma`` pixels."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(field, sigma, truncate=3.0), np.float32)


def _nuclei(
    slide: Slide, anatomy: Anatomy, density: Field, radius: float, rng: np.random.Generator
) -> Field:
    """Haematoxylin of nuclei of a radius in micrometres, scattered by density."""
    clumping = np.exp(0.35 * smooth_noise(slide.grid_shape, 35 / slide.grid_micrometres, rng))
    expected = density * clumping * (anatomy.tissue > 0) * (slide.grid_micrometres / 1000) ** 2
    cumulative = np.cumsum(expected, dtype=np.float64)
    count = int(rng.poisson(cumulative[-1]))
    node = np.searchsorted(cumulative, rng.uniform(0, cumulative[-1], count))
    row, column = np.divmod(node, slide.grid_shape[1])
    row = ((row + rng.uniform(-0.5, 0.5, count)) * GRID_STEP).astype(np.int64)
    column = ((column + rng.uniform(-0.5, 0.5, count)) * GRID_STEP).astype(np.int64)
    inside = (row >= 0) & (row < slide.shape[0]) & (column >= 0) & (column < slide.shape[1])
    flat = (row * slide.shape[1] + column)[inside]
    weight = rng.gamma(6.0, 1 / 6.0, count)[inside]
    points = np.bincount(flat, weight, slide.shape[0] * slide.shape[1])
    sigma = 0.62 * radius / slide.micrometres_per_image_pixel
    area = np.pi * (radius / slide.micrometres_per_image_pixel) ** 2
    stain = _blurred(points.reshape(slide.shape).astype(np.float32), sigma) * area
    # Overlapping nuclei do not darken without end.
    return np.asarray(1.15 * np.tanh(stain), np.float32)


def _fibres(slide: Slide, across: Field, rng: np.random.Generator) -> Field:
    """Ridges along the level lines of a field, around zero, unevenly spaced."""
    ridges = np.zeros(slide.shape, np.float32)
    steps = 4096
    for width in (13.0, 6.0):
        warp = smooth_noise(slide.grid_shape, 70 / slide.grid_micrometres, rng)
        strength = smooth_noise(slide.grid_shape, 45 / slide.grid_micrometres, rng)
        profile = _blurred_periodic(rng.standard_normal(steps, dtype=np.float32))
        place = slide.over_image((across + 40 * warp) * np.float32(4 / width)).astype(np.int32)
        ridges += profile[place % steps] * slide.over_image(0.5 + 0.4 * strength)
    return ridges


def _blurred_periodic(profile: Field) -> Field:
    """Blur a closed line of random numbers over four steps, to unit variance."""
    from scipy.ndimage import gaussian_filter1d

    blurred = gaussian_filter1d(profile, 4.0, mode="wrap")
    return np.asarray(blurred / blurred.std(), np.float32)


def _patch(
    slide: Slide, x: float, y: float, reach: float
) -> tuple[tuple[slice, slice], Field, Field]:
    """Pixels within ``reach`` of a place, and their offsets from it, in micrometres."""
    size = slide.micrometres_per_image_pixel
    column = (x / MICROMETRES_PER_PIXEL + slide.origin[0]) * slide.scale
    row = (y / MICROMETRES_PER_PIXEL + slide.origin[1]) * slide.scale
    pixels = reach / size
    rows = slice(max(int(row - pixels), 0), min(int(row + pixels) + 2, slide.shape[0]))
    columns = slice(max(int(column - pixels), 0), min(int(column + pixels) + 2, slide.shape[1]))
    dy = (np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - row) * size
    dx = (np.arange(columns.start, columns.stop, dtype=np.float32)[None, :] - column) * size
    return (rows, columns), dx, dy


def _stamp_glands(
    slide: Slide,
    glands: NDArray[np.float64],
    haematoxylin: Field,
    eosin: Field,
    rng: np.random.Generator,
) -> None:
    """Draw glands: a ring of epithelium with basal nuclei around a pale lumen."""
    for x, y, radius in glands:
        patch, dx, dy = _patch(slide, x, y, 1.6 * radius)
        turn = np.arctan2(dy, dx)
        lobes = rng.uniform(-1, 1, 3) * np.array([0.10, 0.07, 0.02])
        start = rng.uniform(0, 2 * np.pi, 3)
        shape = 1 + sum(lobes[k] * np.cos((k + 2) * turn + start[k]) for k in range(3))
        distance = np.hypot(dx, dy) / shape
        epithelium = np.clip((radius - distance) / 6, 0, 1)
        lumen = np.clip((0.45 * radius - distance) / 6, 0, 1)
        basal = np.exp(-(((distance - 0.83 * radius) / 9) ** 2))
        haematoxylin[patch] *= 1 - epithelium
        haematoxylin[patch] += 0.12 * epithelium * (1 - lumen) + 0.75 * basal
        eosin[patch] *= 1 - epithelium
        eosin[patch] += epithelium * (0.42 - 0.32 * lumen)


def _stamp_vessels(
    slide: Slide,
    anatomy: Anatomy,
    haematoxylin: Field,
    eosin: Field,
    rng: np.random.Generator,
) -> None:
    """Draw small vessels cut at a slant: a wall, and plasma or red cells inside."""
    x, y = slide.grid_positions()
    inside = np.flatnonzero(anatomy.tissue > 120)
    extent = inside.size * (slide.grid_micrometres / 1000) ** 2
    for node in rng.choice(inside, int(1.3 * extent)):
        width = rng.uniform(7, 20)
        length = width * rng.uniform(1, 6)
        angle = rng.uniform(0, np.pi)
        full = rng.uniform() < 0.5
        patch, dx, dy = _patch(slide, x.flat[node], y.flat[node], length + 20)
        along = dx * np.cos(angle) + dy * np.sin(angle)
        across = dy * np.cos(angle) - dx * np.sin(angle) + 0.06 * along**2 / length
        distance = (np.hypot(along / length, across / width) - 1) * width
        lumen = np.clip(0.5 - distance / 5, 0, 1)
        wall = np.exp(-(((distance - 3) / 5) ** 2))
        haematoxylin[patch] *= 1 - lumen
        eosin[patch] *= 1 - lumen
        eosin[patch] += lumen * (0.95 if full else 0.14) + 0.35 * wall
        haematoxylin[patch] += 0.22 * wall
