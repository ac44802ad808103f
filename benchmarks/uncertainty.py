"""How honest posterior deviations are where the truth is known, and how long they take.

Writes docs/uncertainty.md. Run from the repository:
``python benchmarks/uncertainty.py [--data FOLDER]``.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from accuracy import table
from known_sections import KnownSection, known_sections, reference_of
from scipy.special import ndtri

from napari_smoother.models.choice import choose
from napari_smoother.models.deconv.cell_spread import RANDOM_SUMS, CellSpread
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.models.deconv.fit import fit_abundance
from napari_smoother.models.deconv.noise_model import NoiseModel
from napari_smoother.models.deconv.preparation import (
    DEFAULT_GENE_WEIGHTS,
    DEFAULT_INTERCEPT,
    DEFAULT_LAMBDA,
    DEFAULT_SCALE,
    PreparedDeconvolution,
    lambda_to_weight,
    prepare_deconvolution,
)
from napari_smoother.models.uncertainty import posterior_deviation
from napari_smoother.sample_data import simulate_cortex, simulate_tumour
from napari_smoother.sample_data.slide import visium_lattice
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision

REPORT = Path(__file__).resolve().parent.parent / "docs" / "uncertainty.md"
DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NOMINAL = 0.9
QUANTILE = float(ndtri((1 + NOMINAL) / 2))
WANTED = (0.88, 0.92)
RHO = 0.99
TOO_STRONG = 100 * DEFAULT_LAMBDA
PRIORS = (
    "By defaults",
    "With the choice of rho and lambda",
    f"With a prior that is far too strong, lambda {TOO_STRONG:g}",
)
N_TYPES = 20
SIMULATED = (
    (simulate_cortex, 0, 4000.0),
    (simulate_cortex, 1, 4000.0),
    (simulate_cortex, 2, 600.0),
    (simulate_tumour, 0, 4000.0),
    (simulate_tumour, 1, 600.0),
)
HEADER = [
    "section", "cells", "rho, lambda", "types at 0", "covered", "at 0", "above 0",
    "above 0, noise alone", "error above 0", "deviation above 0",
]  # fmt: skip


@dataclass(frozen=True)
class Covered:
    """How often intervals held the truth on one section, with one prior."""

    name: str
    cells: float
    prior: str
    at_bound: float
    all: float
    at_zero: float
    above_zero: float
    noise_alone: float
    error: float
    deviation: float

    def row(self) -> str:
        shares = (self.at_bound, self.all, self.at_zero, self.above_zero, self.noise_alone)
        cells = f"{self.cells:.0f}" if np.isfinite(self.cells) else ""
        parts = [self.name, cells, self.prior, *(f"{100 * share:.0f} %" for share in shares)]
        parts += [f"{self.error:.4f}", f"{self.deviation:.4f}"]
        return "| " + " | ".join(parts) + " |"


def simulated() -> list[KnownSection]:
    """The package's simulations: reference from another platform, truth in shares of RNA."""
    sections = []
    for simulate, seed, depth in SIMULATED:
        sample = simulate(rows=40, seed=seed, median_counts=depth)
        cells = sample.reference.copy()
        cells.obs["type"] = cells.obs["cell_type"].astype(str)
        name = simulate.__name__.removeprefix("simulate_")
        sections.append(
            KnownSection(
                f"{name}, {depth:g} counts, seed {seed}",
                "simulated",
                "",
                sample.section.adata.X.tocsr(),
                sample.section.adata.var,
                sample.section.positions,
                reference_of(cells, "simulated"),
                cells,
                sample.proportions,
                of_cells=False,
            )
        )
    return sections


def coverage(section: KnownSection) -> list[Covered]:
    """With each of `PRIORS`."""
    graph = nearest_neighbours(section.positions).weights
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The best of the grid|Little was gained", UserWarning)
        chosen = choose(section.counts, section.var, section.reference, graph)
    prepared = prepare_deconvolution(
        section.counts,
        section.var,
        section.reference,
        scale=DEFAULT_SCALE,
        gene_weights=DEFAULT_GENE_WEIGHTS,
        intercept=DEFAULT_INTERCEPT,
    )
    model = prepared.noise_model
    noise_alone = replace(prepared, noise_model=None, gene_residuals=None)
    truth = section.truth.reindex(columns=list(prepared.types), fill_value=0).to_numpy()
    cells = section.reference.totals_for("cells" if section.of_cells else "rna")
    found = []
    for rho, lambda_ in (
        (RHO, DEFAULT_LAMBDA),
        (chosen.rho, chosen.lambda_),
        (RHO, TOO_STRONG),
    ):
        q = precision(graph, "icar", rho)
        abundance, _ = fit_abundance(
            prepared.gram,
            prepared.linear,
            prepared.data_norm,
            prepared.n_genes,
            precision=q,
            lambda_=lambda_,
            tolerance=1e-6,
        )
        weight = lambda_to_weight(lambda_, prepared.n_genes, prepared.n_types)
        off = np.abs(proportions(abundance, cells) - truth)
        less, all_ = (
            posterior_deviation(data, q, weight, abundance, cell_totals=cells)
            for data in (noise_alone, prepared)
        )
        known = np.isfinite(all_.proportion_deviation) & np.isfinite(truth)
        above, at_zero = known & ~all_.at_bound, known & all_.at_bound
        inside = off < QUANTILE * all_.proportion_deviation
        found.append(
            Covered(
                section.name,
                model.cells_per_spot if model is not None else np.nan,
                f"{rho:g}, {lambda_:g}",
                float(at_zero.sum() / known.sum()),
                float(inside[known].mean()),
                float(inside[at_zero].mean()),
                float(inside[above].mean()),
                float((off < QUANTILE * less.proportion_deviation)[above].mean()),
                float(np.sqrt((off[above] ** 2).mean())),
                float(np.sqrt((all_.proportion_deviation[above] ** 2).mean())),
            )
        )
        print(found[-1].row(), flush=True)
    return found


def verdict(found: list[Covered]) -> str:
    """Say in words how many sections the intervals held on, and where they did not."""
    low, high = WANTED
    # As printed: whole per cent.
    rounded = {case.name: round(case.above_zero, 2) for case in found}
    within = [name for name, share in rounded.items() if low <= share <= high]
    said = f"Of types above zero, {len(within)} of {len(rounded)} sections "
    said += f"have {100 * low:.0f} to {100 * high:.0f} % covered."
    for word, names in (
        ("Too few", [name for name, share in rounded.items() if share < low]),
        ("Too many", [name for name, share in rounded.items() if share > high]),
    ):
        if names:
            listed = "; ".join(f"{name}: {100 * rounded[name]:.0f} %" for name in names)
            said += f" {word} in {len(names)} ({listed})."
    ratio = np.median([case.error / case.deviation for case in found])
    return f"{said} The median ratio of error to claimed deviation is {ratio:.2f}."


def timed(rows: int, columns: int, lambda_: float) -> str:
    """Seconds of all deviations of a hexagonal section of random numbers."""
    random = np.random.default_rng(0)
    positions = visium_lattice(rows, columns).positions
    n, n_genes = len(positions), 1000
    signature = random.gamma(0.5, 1.0, (n_genes, N_TYPES))
    gram = signature.T @ (signature - signature.mean(axis=0))
    abundance = random.dirichlet(np.full(N_TYPES, 0.3), n)
    errors = 0.01 * signature
    model = NoiseModel(
        signature=signature,
        signature_variance=errors,
        noise=np.ones(n_genes),
        cells_per_spot=8.0,
        unexplained=0.1,
        gene_factors=np.ones(n_genes),
        residuals=np.ones(n_genes),
        spread=CellSpread(
            variance=np.ones(n_genes),
            counting=1.0,
            cells_per_type=np.full(N_TYPES, 100),
            random_sums=random.normal(0, 0.1, (RANDOM_SUMS, n_genes)).astype(np.float32),
            total_variation=0.2,
        ),
    )
    prepared = PreparedDeconvolution(
        gram=gram,
        linear=abundance @ gram,
        types=tuple(f"Type {code}" for code in range(N_TYPES)),
        genes=pd.Index([f"g{gene}" for gene in range(n_genes)]),
        intercept=True,
        gene_weights=np.ones(n_genes),
        spot_norm=np.einsum("ik,kl,il->i", abundance, gram, abundance) + n_genes,
        empty=np.zeros(n, dtype=bool),
        spot_total=1.0,
        signature=signature,
        signature_error=errors.sum(axis=0),
        noise_model=model,
        gene_residuals=model.residuals,
    )
    q = precision(nearest_neighbours(positions).weights, "icar", RHO)
    weight = lambda_to_weight(lambda_, n_genes, N_TYPES)
    cells = random.uniform(1, 3, N_TYPES)
    # Once for the compiler.
    few = replace(
        prepared,
        linear=prepared.linear[:50],
        spot_norm=prepared.spot_norm[:50],
        empty=prepared.empty[:50],
    )
    posterior_deviation(few, q[:50][:, :50], weight, abundance[:50], cell_totals=cells)
    began, used = time.perf_counter(), time.process_time()
    posterior_deviation(prepared, q, weight, abundance, cell_totals=cells)
    wall, processor = time.perf_counter() - began, time.process_time() - used
    line = f"| {n} | {lambda_:g} | {wall:.2f} | {processor:.2f} | {os.getloadavg()[0]:.1f} |"
    print(line, flush=True)
    return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    sizes = [timed(72, 57, 1.0), timed(72, 57, 100.0), timed(250, 200, 1.0)]
    lines = [
        "# How far posterior deviations can be trusted",
        "",
        "Written by `benchmarks/uncertainty.py`; every number here is printed by it.",
        "",
        f"How often proportion +- {QUANTILE:.3f} deviations holds the true proportion (nominal "
        f"{100 * NOMINAL:.0f} %), by default scale, weights and intercept. Nothing in a deviation "
        "was fitted to a truth. `error` and `deviation` are root mean squares, over the spots and "
        "types that were found above zero, of what the proportions are off and of what was "
        "claimed. `noise alone` is what the residuals of the section and the roughness of the "
        "fit tell; the rest comes from the reference's cells: errors of the signature, genes that "
        "vary together within a type, and, for shares of cells, how unequal the cells of a spot "
        "are. `cells` is how many a spot is found to be worth, which decides over the last two.",
        "",
    ]
    for title, about, sections in (
        (
            "Simulated sections",
            "Counting noise, anatomy with sharp borders and a reference from another platform; "
            "shares of RNA.",
            simulated(),
        ),
        (
            "Sections of known composition",
            "Those of `benchmarks/known_sections.py`: real cells binned or mixed, and cells drawn "
            "like them; shares of cells, but for the simulations. The table of STARmap tells "
            "nothing of its cells, and the names of its types were matched by hand. Halves of a "
            "tissue have types that the reference lacks, whose cells no deviation knows of. "
            "With 33 genes for 31 types, as in osmFISH, the data decide little and intervals are "
            "wider than they need to be: that no abundance is negative would rule out most of "
            "what they hold, and is ignored. Where counting noise drowns the differences between "
            "cells, as in the cells drawn like those of STARmap, a spot of eight cells passes for "
            "one of many, and intervals are too short.",
            known_sections(parser.parse_args().data),
        ),
    ):
        found = [coverage(section) for section in sections]
        lines += [f"## {title}", "", about, ""]
        for case, prior in enumerate(PRIORS):
            said = f"{prior}: {verdict([pair[case] for pair in found])}"
            print(said, flush=True)
            lines += [said, ""]
        lines += table(HEADER, [case.row() for pair in found for case in pair])
    lines += [
        "Where the model holds (Gaussian noise, abundances drawn from the prior) the tests ask "
        "for a coverage of 88 to 92 %. A type at zero is right more often than an interval "
        "says: most are not there.",
        "",
        "## Time",
        "",
        f"All deviations of {N_TYPES} types on a hexagonal lattice, everything counted in, one "
        f"run on {os.cpu_count()} cores.",
        "",
        *table(["spots", "lambda", "wall, s", "processor, s", "load"], sizes),
    ]
    REPORT.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
