"""How well deconvolution finds known proportions, and what each part of it is worth.

Writes docs/accuracy.md. Run from the repository: ``python benchmarks/accuracy.py``; the folder
with the real sections is ``../shared/data`` unless given as the first argument.
"""

from __future__ import annotations

import itertools
import sys
import time
import warnings
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args
from unittest.mock import patch

import anndata as ad
import numpy as np
from known_sections import KnownSection, known_sections
from low_rank_covariance import with_covariance

import napari_smoother
from napari_smoother.models.deconv import noise_model, preparation
from napari_smoother.models.deconv.catalogue import MODELS
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.models.deconv.fit import fit_abundance
from napari_smoother.models.deconv.preparation import (
    DEFAULT_GENE_WEIGHTS,
    DEFAULT_INTERCEPT,
    DEFAULT_LAMBDA,
    DEFAULT_SCALE,
    DataScale,
    GeneWeights,
    PreparedDeconvolution,
    prepare_deconvolution,
)
from napari_smoother.weights.neighbours import nearest_neighbours
from napari_smoother.weights.precision import precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

HERE = Path(__file__).resolve().parent
REPORT = HERE.parent / "docs" / "accuracy.md"
PEERS = HERE / "composition_peers.json"
LAMBDAS = (0.0, 0.03, 0.1, 0.2, 0.3, 1.0, 3.0, 10.0)
RHO = 0.99
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Setting:
    scale: DataScale
    gene_weights: GeneWeights
    intercept: bool

    def __str__(self) -> str:
        constant = "with" if self.intercept else "without"
        return f"{self.scale}, {self.gene_weights}, {constant} intercept"

    def prepare(self, section: KnownSection) -> PreparedDeconvolution:
        return prepare_deconvolution(
            section.counts,
            section.var,
            section.reference,
            scale=self.scale,
            gene_weights=self.gene_weights,
            intercept=self.intercept,
        )


SETTINGS = [
    Setting(*choice)
    for choice in itertools.product(get_args(DataScale), get_args(GeneWeights), (False, True))
    if choice[:2] != ("log1p", "within_type")  # which is inverse_mean there
]
DEFAULT = Setting(DEFAULT_SCALE, DEFAULT_GENE_WEIGHTS, DEFAULT_INTERCEPT)
BEFORE = Setting("counts", "inverse_mean", True)
"""The defaults of version 0.1, with `BEFORE_LAMBDA` and shares of RNA."""
BEFORE_LAMBDA = 0.1

SENSITIVITY = {
    "TRUST_IN_SECTION": (0.1, 0.2, 0.5),
    "MOST_REMOVED": (0.5, 0.8, 0.9),
    "NOISE_FLOOR": (0.01, 0.05),
}


class Section:
    """A known section with its prior; errors of whatever is prepared from it."""

    def __init__(self, known: KnownSection) -> None:
        self.known = known
        self.prior = precision(nearest_neighbours(known.positions).weights, "icar", RHO)

    def errors(
        self, prepared: PreparedDeconvolution, lambdas: tuple[float, ...] = LAMBDAS
    ) -> np.ndarray:
        """Lambdas x (shares that the truth counts, shares of RNA)."""
        known = self.known
        divided = known.reference.totals_for("cells") if known.of_cells else None
        found = np.empty((len(lambdas), 2))
        for at, lambda_ in enumerate(lambdas):
            abundance, report = fit_abundance(
                prepared.gram,
                prepared.linear,
                prepared.data_norm,
                prepared.n_genes,
                precision=self.prior,
                lambda_=lambda_,
                tolerance=TOLERANCE,
            )
            if not report.converged:
                raise RuntimeError(f"{known.name}, lambda {lambda_}: {report}")
            for column, totals in enumerate((divided, None)):
                found[at, column] = known.scores(proportions(abundance, totals))[0]
        return found


NOTHING = {
    "_gene_factors": lambda mean, *_: (np.ones(len(mean)), 1.0),
    "_updated": lambda fit, signature, errors, smallest: (signature, errors),
    "signature_error": lambda gram, *_, **__: np.zeros(len(gram)),
}
"""What does nothing in place of a part of `noise_model`."""

found_factors = noise_model._gene_factors
ALL_CONFIRMED = {"_gene_factors": lambda *given: (found_factors(*given)[0], 1.0)}


@contextmanager
def with_parts(replaced: dict[str, Callable[..., Any]]) -> Iterator[None]:
    """Put others in the place of parts of the noise model."""
    with ExitStack() as stack:
        for name, other in replaced.items():
            for module in (noise_model, preparation):
                if hasattr(module, name):
                    stack.enter_context(patch.object(module, name, other))
        yield


def parts(section: Section) -> dict[str, float]:
    """Error as the parts of the default come one by one, shares of RNA but for the last."""
    before = section.errors(BEFORE.prepare(section.known), (BEFORE_LAMBDA, DEFAULT_LAMBDA))[:, 1]
    steps = {
        f"inverse mean, lambda {BEFORE_LAMBDA:g}, shares of RNA": before[0],
        f"lambda {DEFAULT_LAMBDA:g}": before[1],
    }
    for name, replaced in {
        "noise within types": NOTHING,
        "factors on the genes": {**NOTHING, **ALL_CONFIRMED},
        "update of the signature": {
            **ALL_CONFIRMED,
            "signature_error": NOTHING["signature_error"],
        },
        "correction of the Gram matrix": ALL_CONFIRMED,
        "as far as the section confirms the error": {},
    }.items():
        with with_parts(replaced):
            prepared = DEFAULT.prepare(section.known)
        of_truth, steps[name] = section.errors(prepared, (DEFAULT_LAMBDA,))[0]
    steps["shares of cells (the default)"] = of_truth
    if section.known.cells is not None:
        whitened = with_covariance(section.known, prepared)
        of_truth = section.errors(whitened, (DEFAULT_LAMBDA,))[0, 0]
    steps["factors of the covariance (not in the default)"] = of_truth
    return {name: float(error) for name, error in steps.items()}


def sensitivity(section: Section) -> list[float]:
    errors = []
    for name, values in SENSITIVITY.items():
        for value in values:
            with patch.object(noise_model, name, value):
                prepared = DEFAULT.prepare(section.known)
            errors.append(float(section.errors(prepared, (DEFAULT_LAMBDA,))[0, 0]))
    return errors


def models(known: KnownSection) -> dict[str, tuple[float, float, float]]:
    """Error, correlation and seconds of every model with its own settings."""
    adata = ad.AnnData(known.counts, var=known.var)
    adata.obsm["spatial"] = known.positions
    found = {}
    for model in MODELS:
        began = time.perf_counter()
        napari_smoother.deconvolve(
            adata, known.reference, model=model, shares="cells" if known.of_cells else "rna"
        )
        seconds = time.perf_counter() - began
        found[model] = (*known.scores(adata.obsm[model].to_numpy()), seconds)
    return found


@dataclass(frozen=True)
class Measured:
    """What was found on one section; errors as the truth counts, unless of RNA."""

    known: KnownSection
    grid: np.ndarray  # settings x lambdas x (as the truth counts, of RNA)
    parts: dict[str, float]
    sensitivity: list[float]
    models: dict[str, tuple[float, float, float]]

    @property
    def default(self) -> float:
        return float(self.by_lambda[LAMBDAS.index(DEFAULT_LAMBDA)])

    @property
    def by_lambda(self) -> np.ndarray:
        return self.grid[SETTINGS.index(DEFAULT), :, 0]

    @property
    def before(self) -> float:
        return float(self.grid[SETTINGS.index(BEFORE), LAMBDAS.index(BEFORE_LAMBDA), 1])


def measure(known: KnownSection) -> Measured:
    section = Section(known)
    found = Measured(
        known,
        np.stack([section.errors(setting.prepare(known)) for setting in SETTINGS]),
        parts(section),
        sensitivity(section),
        models(known),
    )
    print(f"{known.name}: {found.before:.4f} before, {found.default:.4f} now", flush=True)
    return found


def table(header: list[str], rows: list[str]) -> list[str]:
    return ["| " + " | ".join(header) + " |", "|" + "-|" * len(header), *rows, ""]


def row(name: str, values: Iterable[float], digits: int = 3) -> str:
    return f"| {name} | " + " | ".join(f"{value:.{digits}f}" for value in values) + " |"


def mean_ratio(ratios: Iterable[float]) -> float:
    return float(np.exp(np.mean(np.log(list(ratios)))))


def by_source(found: list[Measured]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for place, each in enumerate(found):
        groups.setdefault(each.known.source, []).append(place)
    return groups


def over_sources(name: str, ratios: list[float], found: list[Measured]) -> str:
    """A row: geometric mean within every source, over all sections, and the worst section."""
    within = [mean_ratio(ratios[i] for i in mine) for mine in by_source(found).values()]
    return row(name, [*within, mean_ratio(ratios), max(ratios)])


def report(found: list[Measured]) -> str:
    """Markdown of everything measured."""
    sources = [*by_source(found), "all sections", "worst section"]
    return "\n".join(
        [
            "# Accuracy of deconvolution",
            "",
            "Written by `benchmarks/accuracy.py`; every number here is printed by it.",
            "",
            "Error is the root mean square difference of proportions from the truth, over spots "
            f"and types. Prior: ICAR, rho {RHO:g}, mutual 6 nearest neighbours; every fit is "
            f"solved to a KKT residual of {TOLERANCE:g}. Shares are those that the truth counts: "
            "of cells, where the reference has counted cells to tell them by, or of RNA in the "
            "simulations. Ratios are geometric means. Halves of one tissue are not independent of "
            "each other, and simulations hold what was put into them: read the order, not the "
            "third digit.",
            "",
            *_data(found),
            *_against_before(found, sources),
            *_parts(found, sources),
            *_sensitivity(found, sources),
            *_settings(found),
            *_models(found, sources),
            *_shares(found),
            *_losses(found),
            *_peers(),
        ]
    )


def _data(found: list[Measured]) -> list[str]:
    return [
        "## Data",
        "",
        *table(
            ["section", "spots", "types", "genes", "median counts", "cells a type", "what"],
            [
                f"| {k.name} | {k.counts.shape[0]} | {k.reference.n_types} | "
                f"{k.counts.shape[1]} | {np.median(np.asarray(k.counts.sum(axis=1))):.0f} | "
                f"{_cells(k)} | {k.about} |"
                for k in (each.known for each in found)
            ],
        ),
    ]


def _cells(known: KnownSection) -> str:
    cells = known.reference.cells_per_type
    return "-" if cells is None else f"{cells.min()} to {cells.max()}"


def _against_before(found: list[Measured], sources: list[str]) -> list[str]:
    ratios = np.array([each.by_lambda / each.before for each in found])
    at = LAMBDAS.index(DEFAULT_LAMBDA)
    lambdas = [f"lambda {value:g}" for value in LAMBDAS]
    lambdas[at] += " (default)"
    worse = [e.known.name for e, r in zip(found, ratios[:, at], strict=True) if r > 1]
    over = mean_ratio(mean_ratio(ratios[mine, at]) for mine in by_source(found).values())
    return [
        "## The default against the one before",
        "",
        f"Now: {DEFAULT}, lambda {DEFAULT_LAMBDA:g}, shares of cells. Before: {BEFORE}, lambda "
        f"{BEFORE_LAMBDA:g}, shares of RNA. Error now / error before is "
        f"{mean_ratio(ratios[:, at]):.3f} over the sections and {over:.3f} over the sources; on "
        f"{len(worse)} of {len(found)} sections it is above 1"
        + (f" ({'; '.join(worse)})." if worse else "."),
        "",
        *table(
            ["section", "error before", "error now", *lambdas],
            [
                f"| {each.known.name} | {each.before:.4f} | {each.default:.4f} | "
                + " | ".join(f"{value:.3f}" for value in line)
                + " |"
                for each, line in zip(found, ratios, strict=True)
            ],
        ),
        "By source:",
        "",
        *table(
            ["error / before", *sources],
            [
                over_sources(name, list(column), found)
                for name, column in zip(lambdas, ratios.T, strict=True)
            ],
        ),
    ]


def _parts(found: list[Measured], sources: list[str]) -> list[str]:
    steps = list(found[0].parts)
    first = [each.parts[steps[0]] for each in found]
    return [
        "## What each part is worth",
        "",
        "Error / error before, as the parts come one after another. Factors of the covariance "
        "(`benchmarks/low_rank_covariance.py`) are not part of the default: genes that go "
        "together within a type, whitened too. A reference without cells has no noise within "
        "types: its row stays what inverse means give.",
        "",
        *table(
            ["", *sources],
            [
                over_sources(
                    step, [e.parts[step] / f for e, f in zip(found, first, strict=True)], found
                )
                for step in steps
            ],
        ),
    ]


def _sensitivity(found: list[Measured], sources: list[str]) -> list[str]:
    names = [f"`{name}` {value:g}" for name, values in SENSITIVITY.items() for value in values]
    return [
        "## How little the constants matter",
        "",
        "Error / error with the constants of `noise_model`, each moved alone.",
        "",
        *table(
            ["", *sources],
            [
                over_sources(name, [e.sensitivity[at] / e.default for e in found], found)
                for at, name in enumerate(names)
            ],
        ),
    ]


def _settings(found: list[Measured]) -> list[str]:
    errors = np.stack([each.grid[:, :, 0] for each in found])
    relative = np.log(errors / errors.min(axis=(1, 2), keepdims=True))
    sources = by_source(found)
    ratio = np.exp(np.mean([relative[mine].mean(axis=0) for mine in sources.values()], axis=0))
    at = LAMBDAS.index(DEFAULT_LAMBDA)
    left_out = []
    for name, mine in sources.items():
        others = [relative[group].mean(axis=0) for key, group in sources.items() if key != name]
        i, j = np.unravel_index(np.mean(others, axis=0).argmin(), ratio.shape)
        left_out.append(
            f"| {name} | {SETTINGS[i]}, lambda {LAMBDAS[j]:g} | "
            f"{np.exp(relative[mine][:, i, j].mean()):.3f} | "
            f"{np.exp(relative[mine][:, SETTINGS.index(DEFAULT), at].mean()):.3f} |"
        )
    return [
        "## Which setting",
        "",
        "Error / lowest error of this grid on the same section (which only the truth can find), "
        "mean over the sources, each weighing the same; all with the same shares.",
        "",
        *table(
            ["", "no prior", f"lambda {DEFAULT_LAMBDA:g}", "best lambda", "worst section at it"],
            [
                f"| {setting} | {ratio[i, 0]:.3f} | {ratio[i, at]:.3f} | {ratio[i].min():.3f} "
                f"(lambda {LAMBDAS[int(ratio[i].argmin())]:g}) | "
                f"{np.exp(relative[:, i, ratio[i].argmin()].max()):.3f} |"
                for i, setting in enumerate(SETTINGS)
            ],
        ),
        "Chosen on the other sources and measured on the one that is left out:",
        "",
        *table(
            ["source left out", "chosen", "its error / lowest there", "the default's"], left_out
        ),
    ]


def _models(found: list[Measured], sources: list[str]) -> list[str]:
    def of(model: str, value: int) -> list[float]:
        return [each.models[model][value] for each in found]

    first = next(iter(MODELS))
    lowest = [min(each.models, key=lambda model: each.models[model][0]) for each in found]
    summary = []
    for model, facts in MODELS.items():
        ratios = [mine / other for mine, other in zip(of(model, 0), of(first, 0), strict=True)]
        summary.append(
            f"{over_sources(facts.title, ratios, found)} {np.mean(of(model, 0)):.3f} | "
            f"{np.mean(of(model, 1)):.3f} | {np.median(of(model, 2)):.2f} | "
            f"{max(of(model, 2)):.1f} | {lowest.count(model)} |"
        )
    columns = ["section", *(facts.short for facts in MODELS.values())]
    return [
        "## The other models",
        "",
        f"Each with its own settings and lambda {DEFAULT_LAMBDA:g}: error / that of "
        f"{MODELS[first].title.lower()}, mean error, mean correlation with the truth, median and "
        "largest seconds from counts to proportions (on a machine that did other work too), and "
        "on how many sections the error is the lowest of all.",
        "",
        *table(
            ["", *sources, "error", "correlation", "seconds", "longest", "lowest on"],
            summary,
        ),
        "Error:",
        "",
        *table(columns, [row(e.known.name, (v[0] for v in e.models.values()), 4) for e in found]),
        "Correlation with the truth:",
        "",
        *table(columns, [row(e.known.name, (v[1] for v in e.models.values())) for e in found]),
    ]


def _shares(found: list[Measured]) -> list[str]:
    at = LAMBDAS.index(DEFAULT_LAMBDA)
    lines, ratios = [], []
    for each in found:
        if not each.known.of_cells or each.known.reference.totals_for("cells") is None:
            continue
        cells, rna = each.grid[SETTINGS.index(DEFAULT), at]
        ratios.append(cells / rna)
        lines.append(f"| {each.known.name} | {cells:.4f} | {rna:.4f} | {cells / rna:.3f} |")
    return [
        "## Shares of cells and of RNA",
        "",
        "Where the truth counts cells: abundances divided by the mean total of a cell of each "
        f"type, and as they are. The ratio is {mean_ratio(ratios):.3f} in the mean, "
        f"{max(ratios):.3f} at worst.",
        "",
        *table(["section", "shares of cells", "shares of RNA", "ratio"], lines),
    ]


def _losses(found: list[Measured]) -> list[str]:
    lines = []
    for each in found:
        if each.default > 1.005 * each.before:
            lines.append(
                f"- {each.known.name} ({each.known.about}): {each.default:.4f}, the default "
                f"before {each.before:.4f}."
            )
    for each in found:
        best = min(each.models, key=lambda model: each.models[model][0])
        lowest = each.models[best][0]
        if each.default > 1.02 * lowest:
            lines.append(
                f"- {each.known.name}: {MODELS[best].title.lower()} has {lowest:.4f}, the default "
                f"{each.default:.4f} ({100 * (each.default / lowest - 1):.0f} % more)."
            )
    for each in found:
        lowest = each.by_lambda.min()
        if each.default > 1.05 * lowest:
            lines.append(
                f"- {each.known.name}: lambda {LAMBDAS[int(each.by_lambda.argmin())]:g} would "
                f"have {lowest:.4f}, the default {each.default:.4f}."
            )
    return [
        "## Where the default loses",
        "",
        "Sections on which it is worse than the default before by more than half a per cent, than "
        "another model by more than 2 %, or than itself with the best lambda by more than 5 %:",
        "",
        *(lines or ["There are none."]),
        "",
    ]


def _peers() -> list[str]:
    """What other packages find, once `benchmarks/composition_peers.py` has been run."""
    if not PEERS.exists():
        return []
    from composition_peers import peers_section

    return peers_section(PEERS)


def main() -> None:
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parents[1] / "shared" / "data"
    warnings.filterwarnings("ignore", "The cell types", UserWarning)
    found = [measure(known) for known in known_sections(data)]
    REPORT.write_text(report(found), encoding="utf-8")


if __name__ == "__main__":
    main()
