"""Where each region lies: signed distances on the slide's grid.

A region is painted over those before it wherever its field is positive, so that one
list of fields gives the labels of spots and the colours of pixels alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.sample_data.slide import Field, Lattice, Slide, smooth_noise

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Anatomy:
    """Tissue and its regions on the grid of a slide.

    Parameters
    ----------
    tissue
        Micrometres inside the tissue's outline, negative outside.
    regions
        Name and field in micrometres, in the order of painting. The first fills the tissue.
    fibres
        Micrometres across the fibres: they run along its level lines.
    glands
        (x, y, radius) of glands in micrometres, as many rows as there are.
    """

    tissue: Field
    regions: tuple[tuple[str, Field], ...]
    fibres: Field
    glands: NDArray[np.float64]

    @property
    def names(self) -> tuple[str, ...]:
        """Regions in the order of painting."""
        return tuple(name for name, _ in self.regions)

    def labels(self, slide: Slide, pixels: NDArray[np.float64]) -> NDArray[np.int64]:
        """Region of each (x, y) in full-resolution pixels, as a place in ``names``."""
        label = np.zeros(len(pixels), np.int64)
        for code, (_, field) in enumerate(self.regions):
            label[slide.at(field, pixels) > 0] = code
        return label


CORTEX_BORDERS = (
    ("L1", 0.0),
    ("L2/3", 0.10),
    ("L4", 0.38),
    ("L5", 0.51),
    ("L6", 0.73),
    ("WM", 1.0),
)
"""Upper border of each layer as a fraction of the cortex's thickness, after human area 46."""


def cortex_anatomy(slide: Slide, lattice: Lattice, rng: np.random.Generator) -> Anatomy:
    """Layers curved along a gyrus, with white matter below, a crack and a hole."""
    x, y = slide.grid_positions()
    width = lattice.width
    height = float(np.ptp(lattice.positions[:, 1]))

    def wave(length: float, height: float) -> Field:
        """Undulation of a wavelength and height given as fractions of the width."""
        noise = smooth_noise(slide.grid_shape, length * width / slide.grid_micrometres, rng)
        return height * width * noise

    radius = 1.15 * width
    centre_x, crown = 0.16 * width, -0.435 * height
    from_centre = np.hypot(x - centre_x, y - crown - radius)
    depth = radius - from_centre + wave(0.16, 0.018)
    thickness = 0.60 * width + wave(0.2, 0.022)
    borders = [
        (name, depth - part * thickness + wave(0.05, 0.004)) for name, part in CORTEX_BORDERS
    ]

    lean = 0.06 * y
    side = np.minimum(x - lean + 0.435 * width, 0.445 * width - x - lean) + wave(0.05, 0.007)
    bottom = 0.46 * height - y + 0.05 * x + wave(0.05, 0.008)
    outline = _rounded([depth + wave(0.02, 0.002), side, bottom], 0.03 * width)
    hole = np.hypot((x - 0.21 * width) * 0.8, y - 0.16 * height) - 0.026 * width
    crack_line = y + 0.02 * height - 0.22 * (x + 0.45 * width) + wave(0.03, 0.006)
    crack = np.maximum(
        np.abs(crack_line) - 0.012 * width * np.clip((-0.24 * width - x) / (0.2 * width), 0, 1),
        x + 0.24 * width,
    )
    tissue = np.minimum.reduce([outline, hole + wave(0.02, 0.007), crack]) + wave(0.008, 0.0012)
    along = (x - centre_x) * 0.9 + 0.5 * y + wave(0.1, 0.03)
    return Anatomy(tissue, tuple(borders), along, np.zeros((0, 3)))


def tumour_anatomy(slide: Slide, lattice: Lattice, rng: np.random.Generator) -> Anatomy:
    """Nests with necrotic cores in stroma, immune aggregates beside them, normal glands."""
    x, y = slide.grid_positions()
    width = lattice.width
    height = float(np.ptp(lattice.positions[:, 1]))

    def wave(length: float, height: float) -> Field:
        """Undulation of a wavelength and height given as fractions of the width."""
        noise = smooth_noise(slide.grid_shape, length * width / slide.grid_micrometres, rng)
        return height * width * noise

    def discs(rows: NDArray[np.float64]) -> Field:
        """Micrometres inside the nearest of some discs (x, y, radius)."""
        inside = [radius - np.hypot(x - cx, y - cy) for cx, cy, radius in rows]
        return np.asarray(np.maximum.reduce(inside), np.float32)

    place = np.array([width, height, width])
    nests = NEST_DISCS * place
    nest = discs(nests) + wave(0.035, 0.022) + wave(0.012, 0.005)
    # Cells die where oxygen no longer reaches them: at a depth, not at a share of the nest.
    necrosis = discs(nests) + wave(0.03, 0.008) + wave(0.01, 0.003) - 0.088 * width
    margin = nest + 0.03 * width + wave(0.03, 0.006)
    normal = (x + 0.75 * y) - 0.31 * width + wave(0.08, 0.03)
    aggregates = AGGREGATE_DISCS * place
    aggregate = np.minimum(discs(aggregates) + wave(0.018, 0.010), -nest)

    turn = np.arctan2(y / height, x / width)
    rim = 0.475 * width - np.hypot(x, y * width / height) * (1 + 0.045 * np.cos(3 * turn + 0.6))
    rim += wave(0.12, 0.012) + wave(0.02, 0.004)
    hole = np.hypot(x - 0.03 * width, (y + 0.04 * height) * 1.3) - 0.032 * width
    tear_line = x + 0.17 * width + 0.35 * (y - 0.3 * height) + wave(0.03, 0.005)
    tear = np.maximum(
        np.abs(tear_line) - 0.014 * width * np.clip((y - 0.30 * height) / (0.15 * height), 0, 1),
        0.30 * height - y,
    )
    tissue = np.minimum.reduce([rim, hole + wave(0.02, 0.009), tear]) + wave(0.008, 0.0012)
    regions = (
        ("stroma", np.full(slide.grid_shape, np.inf, np.float32)),
        ("normal tissue", np.minimum(normal, -margin)),
        ("invasive margin", margin),
        ("tumour", nest),
        ("necrosis", np.minimum(necrosis, nest)),
        ("immune aggregate", aggregate),
    )
    glands = _glands(slide, np.minimum.reduce([regions[1][1], tissue, -aggregate]), width, rng)
    return Anatomy(tissue, regions, np.minimum(nest, normal) + wave(0.03, 0.01), glands)


NEST_DISCS = np.array(
    [
        [-0.20, -0.20, 0.165],
        [-0.10, -0.27, 0.12],
        [0.17, -0.26, 0.095],
        [0.24, -0.20, 0.08],
        [-0.24, 0.17, 0.125],
        [-0.16, 0.22, 0.10],
        [0.03, 0.10, 0.075],
        [-0.37, -0.01, 0.05],
        [0.08, 0.18, 0.05],
    ]
)
"""(x, y, radius) of the discs that make the nests, as fractions of the capture area."""

AGGREGATE_DISCS = np.array(
    [
        [0.03, -0.13, 0.034],
        [-0.10, 0.005, 0.030],
        [0.145, -0.07, 0.036],
        [-0.035, 0.29, 0.030],
        [-0.31, 0.05, 0.022],
    ]
)
"""(x, y, radius) of the immune aggregates, as fractions of the capture area."""


def _glands(
    slide: Slide, inside: Field, width: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Scatter glands over a field's positive part, none nearer than they are wide."""
    x, y = slide.grid_positions()
    tries = rng.uniform(-0.5, 0.5, (2500, 2)) * width
    radii = rng.uniform(45, 85, len(tries))
    nodes_x, nodes_y = x[0], y[:, 0]
    column = np.clip(np.searchsorted(nodes_x, tries[:, 0]), 0, nodes_x.size - 1)
    row = np.clip(np.searchsorted(nodes_y, tries[:, 1]), 0, nodes_y.size - 1)
    fits = inside[row, column] > radii
    kept: list[NDArray[np.float64]] = []
    for gland in np.column_stack([tries, radii])[fits]:
        gaps = [np.hypot(*(gland[:2] - other[:2])) - gland[2] - other[2] for other in kept]
        if not gaps or min(gaps) > 14:
            kept.append(gland)
    return np.array(kept).reshape(-1, 3)


def _rounded(fields: list[Field], radius: float) -> Field:
    """Intersect fields, rounding the corners where two of them meet (a soft minimum)."""
    total = np.zeros_like(fields[0])
    for field in fields:
        total += np.exp(-np.clip(field / radius, -20, 20))
    return np.asarray(-radius * np.log(total), np.float32)
