"""The simulated tissues on offer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.errors import InputError
from napari_smoother.sample_data.assemble import Plan, Sample, assemble
from napari_smoother.sample_data.slide import SPOT_DIAMETER, Slide, smooth_noise, visium_lattice
from napari_smoother.section import SectionImage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from napari_smoother.sample_data.anatomy import Anatomy
    from napari_smoother.sample_data.histology import Stain
    from napari_smoother.sample_data.slide import Lattice


@dataclass(frozen=True, slots=True)
class _Tissue:
    """What tells one kind of simulated tissue from another."""

    name: str
    lay_out: Callable[[Slide, Lattice, np.random.Generator], Anatomy]
    markers: dict[str, tuple[str, ...]]
    shared: tuple[tuple[tuple[str, ...], str], ...]
    profiles: Mapping[str, tuple[float, ...]]
    depths: Mapping[str, float]
    stains: Mapping[str, Stain]


def simulate_cortex(
    *,
    rows: int = 78,
    n_genes: int = 1500,
    median_counts: float = 4000.0,
    image_size: int = 2000,
    seed: int = 0,
) -> Sample:
    """Simulate a section of layered cortex: L1, L2/3, L4, L5, L6 and white matter.

    Twelve cell types; positions on a Visium lattice; an H&E-like picture.

    Parameters
    ----------
    rows
        Rows of spots of the capture area, at least 16. The area keeps the shape of a true
        one, which has 78 rows of 64 spots, and the tissue shrinks with it.
    n_genes
        Genes measured, 36 to about 2,600.
    median_counts
        Counts of a typical spot over these genes.
    image_size
        Pixels of the picture's long side; fewer where that would surpass full resolution.
    seed
        The same seed gives the same sample, bit for bit.

    Raises
    ------
    InputError
        If a number is out of its range.
    """
    from napari_smoother.sample_data import anatomy, genes, profiles

    tissue = _Tissue(
        "Simulated cortex",
        anatomy.cortex_anatomy,
        genes.CORTEX_MARKERS,
        genes.CORTEX_SHARED,
        profiles.CORTEX_PROFILES,
        profiles.CORTEX_DEPTHS,
        profiles.CORTEX_STAINS,
    )
    return _simulate(tissue, rows, n_genes, median_counts, image_size, seed)


def simulate_tumour(
    *,
    rows: int = 78,
    n_genes: int = 1500,
    median_counts: float = 4000.0,
    image_size: int = 2000,
    seed: int = 0,
) -> Sample:
    """Simulate a carcinoma beside normal tissue.

    Nests with necrotic cores, invasive margin, stroma, immune aggregates, normal glands.
    Twelve cell types; positions on a Visium lattice; an H&E-like picture.

    Parameters
    ----------
    rows
        Rows of spots of the capture area, at least 16. The area keeps the shape of a true
        one, which has 78 rows of 64 spots, and the tissue shrinks with it.
    n_genes
        Genes measured, 36 to about 2,600.
    median_counts
        Counts of a typical spot over these genes.
    image_size
        Pixels of the picture's long side; fewer where that would surpass full resolution.
    seed
        The same seed gives the same sample, bit for bit.

    Raises
    ------
    InputError
        If a number is out of its range.
    """
    from napari_smoother.sample_data import anatomy, genes, profiles

    tissue = _Tissue(
        "Simulated tumour",
        anatomy.tumour_anatomy,
        genes.TUMOUR_MARKERS,
        genes.TUMOUR_SHARED,
        profiles.TUMOUR_PROFILES,
        profiles.TUMOUR_DEPTHS,
        profiles.TUMOUR_STAINS,
    )
    return _simulate(tissue, rows, n_genes, median_counts, image_size, seed)


def simulate_large(
    n_spots: int,
    *,
    n_types: int = 20,
    n_genes: int = 1000,
    n_regions: int = 8,
    median_counts: float = 3000.0,
    seed: int = 0,
) -> Sample:
    """Simulate a section of any size, without a picture, for benchmarks.

    Parameters
    ----------
    n_spots
        Exactly so many spots, on a hexagonal lattice about as high as wide.
    n_types, n_genes, n_regions
        Cell types, genes (at least three a type), and regions.
    median_counts
        Counts of a typical spot over these genes.
    seed
        The same seed gives the same sample, bit for bit.

    Raises
    ------
    InputError
        If there are no spots, types or regions, or fewer than three genes a type.
    """
    from napari_smoother.sample_data.genes import Panel

    _require(n_spots >= 1, "n_spots", f"{n_spots} spots", "Ask for at least one")
    _require(n_types >= 1, "n_types", f"{n_types} cell types", "Ask for at least one")
    _require(n_regions >= 1, "n_regions", f"{n_regions} regions", "Ask for at least one")
    _require(
        n_genes >= 3 * n_types, "n_genes", f"{n_genes} genes", f"Ask for at least {3 * n_types}"
    )
    rng = np.random.default_rng(seed)
    columns = max(int(np.sqrt(n_spots * np.sqrt(3) / 2)), 1)
    lattice = visium_lattice(-(-n_spots // columns), columns)
    kept = np.arange(n_spots)
    slide = Slide.around(lattice, 1200)
    pixels = slide.full_resolution(lattice.positions[kept])
    length = 0.07 * max(slide.grid_shape)
    domains = np.stack(
        [slide.at(smooth_noise(slide.grid_shape, length, rng), pixels) for _ in range(n_regions)]
    )
    label = domains.argmax(axis=0)

    types = tuple(f"Type {code + 1:02d}" for code in range(n_types))
    width = len(str(n_genes))
    names = tuple(f"GENE{code + 1:0{width}d}" for code in range(n_genes))
    marked = min(8 * n_types, n_genes // 2 + n_types)
    owners = tuple((code % n_types,) if code < marked else () for code in range(n_genes))
    panel = Panel(names, tuple(f"ENSG{code + 1:011d}" for code in range(n_genes)), owners)
    profiles = rng.dirichlet(np.full(n_types, 0.4), n_regions) + 0.002
    plan = Plan(
        name="Simulated section",
        lattice=lattice,
        slide=slide,
        kept=kept,
        regions=tuple(f"Region {code + 1}" for code in range(n_regions)),
        labels=label,
        types=types,
        profiles=profiles,
        depths=np.ones(n_regions),
        panel=panel,
        median_counts=median_counts,
        images=(),
        parameters={
            "n_spots": n_spots,
            "n_genes": n_genes,
            "median_counts": float(median_counts),
            "seed": seed,
        },
    )
    return assemble(plan, rng)


def _simulate(
    tissue: _Tissue, rows: int, n_genes: int, median_counts: float, image_size: int, seed: int
) -> Sample:
    """Lay out a tissue, paint it, and draw its counts."""
    from napari_smoother.sample_data.genes import gene_panel
    from napari_smoother.sample_data.histology import paint

    _require(rows >= 16, "rows", f"{rows} rows of spots", "Ask for at least 16")
    _require(image_size >= 200, "image_size", f"{image_size} pixels", "Ask for at least 200")
    _require(median_counts > 0, "median_counts", f"{median_counts} counts", "Ask for more than 0")
    rng = np.random.default_rng(seed)
    panel = gene_panel(tissue.markers, tissue.shared, n_genes, rng)
    lattice = visium_lattice(rows, round(rows * 64 / 78))
    slide = Slide.around(lattice, image_size)
    anatomy = tissue.lay_out(slide, lattice, rng)
    picture = paint(slide, anatomy, tissue.stains, rng)

    everywhere = slide.full_resolution(lattice.positions)
    # Half a spot of tissue or more counts as under tissue.
    kept = np.flatnonzero(slide.at(anatomy.tissue, everywhere) > SPOT_DIAMETER / 4)
    label = anatomy.labels(slide, everywhere[kept])
    plan = Plan(
        name=tissue.name,
        lattice=lattice,
        slide=slide,
        kept=kept,
        regions=anatomy.names,
        labels=label,
        types=tuple(tissue.markers),
        profiles=np.array([tissue.profiles[name] for name in anatomy.names]),
        depths=np.array([tissue.depths[name] for name in anatomy.names]),
        panel=panel,
        median_counts=median_counts,
        images=(SectionImage("hires", picture, slide.scale),),
        parameters={
            "rows": rows,
            "n_genes": n_genes,
            "median_counts": float(median_counts),
            "image_size": image_size,
            "seed": seed,
        },
    )
    return assemble(plan, rng)


def _require(holds: bool, where: str, problem: str, remedy: str) -> None:
    """Refuse a number that is out of its range."""
    if not holds:
        raise InputError(f"{problem} cannot be simulated", where=where, remedy=remedy)
