"""From a laid-out tissue to a section, its reference and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.sample_data.slide import (
    MICROMETRES_PER_PIXEL,
    SPOT_DIAMETER,
    smooth_noise,
)
from napari_smoother.section import Section, SectionImage

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.sample_data.genes import Panel
    from napari_smoother.sample_data.slide import Lattice, Slide

CELLS_PER_TYPE = (80, 100)
"""Fewest and most single cells of a type in the reference."""

CELL_DEPTH = 6000.0
"""Median counts of a single cell of the reference."""


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """A simulated section and what it was made from.

    Parameters
    ----------
    section
        Counts, positions, picture and scale; ``obs["region"]`` names each spot's region and
        ``obsm["proportions"]`` repeats the truth.
    reference
        Single cells x genes, raw counts, with ``obs["cell_type"]``.
    proportions
        Spots x types: the share of each type in a spot's RNA; rows sum to one.
    """

    section: Section
    reference: AnnData
    proportions: pd.DataFrame


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """Everything decided before counts are drawn.

    Parameters
    ----------
    name
        Of the section.
    lattice, slide
        Where spots may lie, and the picture's frame.
    kept
        Which spots of the lattice lie under tissue.
    regions, labels
        Names of the regions, and for each kept spot its place among them.
    types
        Names of the cell types.
    profiles
        Regions x types, composition up to a factor.
    depths
        Counts caught in each region, relative to the section's median.
    panel
        The genes.
    median_counts
        Of a typical spot.
    images
        Pictures of the tissue.
    parameters
        What the caller asked for; kept in ``uns["simulation"]``.
    """

    name: str
    lattice: Lattice
    slide: Slide
    kept: NDArray[np.int64]
    regions: tuple[str, ...]
    labels: NDArray[np.int64]
    types: tuple[str, ...]
    profiles: NDArray[np.float64]
    depths: NDArray[np.float64]
    panel: Panel
    median_counts: float
    images: tuple[SectionImage, ...]
    parameters: dict[str, int | float | str]


def assemble(plan: Plan, rng: np.random.Generator) -> Sample:
    """Draw composition and counts of a plan.

    Parameters
    ----------
    plan
        The tissue as laid out.
    rng
        Where randomness comes from.
    """
    import pandas as pd

    from napari_smoother.sample_data import counts

    pixels = plan.slide.full_resolution(plan.lattice.positions[plan.kept])
    signatures = counts.draw_signatures(plan.panel.owners, len(plan.types), rng)
    profiles = plan.profiles / plan.profiles.sum(axis=1, keepdims=True)
    fields = _smooth_fields(plan, pixels, rng)
    truth = counts.draw_proportions(profiles[plan.labels], fields, rng)
    on_platform = signatures * counts.platform_effect(signatures.shape[1], rng)
    on_platform /= on_platform.sum(axis=1, keepdims=True)
    depth = plan.median_counts * plan.depths[plan.labels]
    depth = depth * rng.lognormal(0.0, 0.3, len(depth))
    observed = counts.draw_counts(truth, on_platform, depth, rng, dispersion=0.1)

    barcodes = _barcodes(plan.kept, "-1")
    proportions = pd.DataFrame(truth, index=barcodes, columns=list(plan.types))
    obs = pd.DataFrame(
        {
            "in_tissue": np.ones(len(barcodes), np.int64),
            "array_row": plan.lattice.array_row[plan.kept],
            "array_col": plan.lattice.array_col[plan.kept],
            "region": _categorical(plan.labels, plan.regions),
        },
        index=barcodes,
    )
    adata = _annotated(observed, obs, plan.panel)
    adata.obsm["spatial"] = pixels
    adata.obsm["proportions"] = proportions.copy()
    adata.uns["simulation"] = dict(plan.parameters)
    section = Section(
        plan.name,
        adata,
        images=plan.images,
        spot_diameter=SPOT_DIAMETER / MICROMETRES_PER_PIXEL,
        micrometres_per_pixel=MICROMETRES_PER_PIXEL,
    )
    return Sample(section, _reference(plan, signatures, rng), proportions)


def _smooth_fields(
    plan: Plan, pixels: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Let every type's share drift over some hundred micrometres, spots x types."""
    shape = plan.slide.grid_shape
    length = max(300 / plan.slide.grid_micrometres, 1.0)
    drift = [plan.slide.at(smooth_noise(shape, length, rng), pixels) for _ in plan.types]
    return 0.3 * np.stack(drift, axis=1)


def _reference(plan: Plan, signatures: NDArray[np.float64], rng: np.random.Generator) -> AnnData:
    """Draw single cells of every type."""
    import pandas as pd

    from napari_smoother.sample_data import counts

    low, high = CELLS_PER_TYPE
    code = np.repeat(np.arange(len(plan.types)), rng.integers(low, high + 1, len(plan.types)))
    code = rng.permutation(code)
    depth = CELL_DEPTH * rng.lognormal(0.0, 0.35, len(code))
    pure = np.eye(len(plan.types))[code]
    cells = counts.draw_counts(pure, signatures, depth, rng, dispersion=0.5)
    obs = pd.DataFrame(
        {"cell_type": _categorical(code, plan.types)},
        index=_barcodes(np.arange(len(code)), "-cell"),
    )
    return _annotated(cells, obs, plan.panel)


def _annotated(counts: object, obs: pd.DataFrame, panel: Panel) -> AnnData:
    """Put counts and names together."""
    import pandas as pd
    from anndata import AnnData

    var = pd.DataFrame({"gene_ids": list(panel.identifiers)}, index=list(panel.names))
    return AnnData(counts, obs=obs, var=var)


def _categorical(codes: NDArray[np.int64], names: tuple[str, ...]) -> pd.Categorical:
    """Name codes, keeping the names' order."""
    import pandas as pd

    return pd.Categorical(np.array(names)[codes], categories=list(names))


def _barcodes(numbers: NDArray[np.int64], ending: str) -> list[str]:
    """Write numbers as 16 letters of DNA, so scrambled that neighbours look unalike."""
    scrambled = (numbers.astype(np.uint64) * np.uint64(2654435761)) % np.uint64(4**16)
    shifts = np.arange(30, -1, -2, dtype=np.uint64)
    letters = np.array(list("ACGT"))[(scrambled[:, None] >> shifts) & np.uint64(3)]
    return ["".join(word) + ending for word in letters]
