"""What an imputation of one gene is set to, and what it finds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.analyses.stage import ComparedByValue
from napari_smoother.errors import InputError
from napari_smoother.study.view import Numbers, gene_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.models.impute.report import ImputationReport
    from napari_smoother.section import Section
    from napari_smoother.weights.precision import Process

MOST_HELD_OUT = 0.9


@dataclass(frozen=True, slots=True)
class ImputationSettings(ComparedByValue):
    """How one gene is smoothed and filled in.

    Parameters
    ----------
    gene
        Its name; values are log1p of counts per ten thousand of the spot.
    fixed
        Whether observed values stay as they are and only missing ones are filled in.
    nonneg
        Whether values must not be negative.
    process
        The spatial process of the prior.
    rho
        Its autocorrelation, 0 (none) to 1 (intrinsic).
    lambda_
        Weight of the prior, where observed values are not fixed.
    hidden_column, hidden_class
        Spots of this class of an obs column are hidden; ``""`` hides none.
    held_out
        Share of the other spots that is hidden at random.
    seed
        Of that draw.
    denser
        Whether values are also interpolated on a grid denser than the spots.
    factor
        How many times closer its positions are than spots.
    """

    gene: str = ""
    fixed: bool = False
    nonneg: bool = True
    process: Process = "icar"
    rho: float = 1.0
    lambda_: float = 1.0
    hidden_column: str = ""
    hidden_class: str = ""
    held_out: float = 0.0
    seed: int = 0
    denser: bool = False
    factor: float = 3.0

    def __post_init__(self) -> None:
        for fulfilled, problem, field, remedy in (
            (
                0.0 <= self.rho <= 1.0,
                f"rho {self.rho} is outside the valid range",
                "rho",
                "Set a number from 0 to 1",
            ),
            (
                math.isfinite(self.lambda_) and self.lambda_ >= 0,
                f"lambda {self.lambda_} is not a weight",
                "lambda",
                "Set a number of at least 0",
            ),
            (
                0.0 <= self.held_out <= MOST_HELD_OUT,
                f"A share of {self.held_out} cannot be held out",
                "held_out",
                f"Set a number from 0 to {MOST_HELD_OUT}",
            ),
            (
                math.isfinite(self.factor) and self.factor >= 1,
                f"A grid cannot be {self.factor} times denser",
                "factor",
                "Set a number of at least 1",
            ),
        ):
            if not fulfilled:
                raise InputError(problem, where=f"imputation {field}", remedy=remedy)


@dataclass(frozen=True, slots=True, eq=False)
class DenserGrid:
    """Values between the spots.

    Parameters
    ----------
    positions
        m x 2, (x, y) in full-resolution pixels.
    values
        m, NaN where no spot is near.
    spacing
        Distance between positions, in full-resolution pixels.
    """

    positions: NDArray[np.float64]
    values: NDArray[np.float64]
    spacing: float


@dataclass(frozen=True, slots=True, eq=False)
class HiddenSpots:
    """How well values were predicted where they were hidden but are known.

    Parameters
    ----------
    count
        Of spots that were hidden, have counts, and were reached.
    error
        Root-mean-square difference of prediction and raw values there.
    error_of_mean
        The same for the mean of the observed spots as the prediction.
    """

    count: int
    error: float
    error_of_mean: float


@dataclass(frozen=True, eq=False)
class Imputed:
    """One gene, smoothed over the tissue and filled in.

    Parameters
    ----------
    section
        Whose spots they are.
    gene
        Its name in the rows of ``var``.
    raw
        n floats, log1p of counts per ten thousand; NaN for spots without any count.
    values
        n floats; NaN for spots out of reach of any observed one.
    observed
        n booleans: the spots that were seen.
    fixed
        Whether observed values were kept.
    report
        Of the solve.
    seconds
        Time of everything.
    grid
        Values between the spots, if they were asked for.
    """

    section: Section
    gene: str
    raw: NDArray[np.float64]
    values: NDArray[np.float64]
    observed: NDArray[np.bool_]
    fixed: bool
    report: ImputationReport
    seconds: float
    grid: DenserGrid | None = None

    @property
    def label(self) -> str:
        """Name of the gene that is shown."""
        return gene_names(self.section).label(self.gene)

    @property
    def n_unreached(self) -> int:
        """Number of spots without a value."""
        return self.report.n_unreached

    @cached_property
    def difference(self) -> NDArray[np.float64]:
        """Values minus raw ones, n; NaN where either is missing."""
        return self.values - self.raw

    @cached_property
    def compared(self) -> NDArray[np.bool_]:
        """Which spots have a raw value and a new one, n."""
        return np.isfinite(self.difference)

    @cached_property
    def correlation(self) -> float:
        """Pearson correlation of raw and new values; NaN where either does not vary."""
        before, after = self.raw[self.compared], self.values[self.compared]
        if len(before) < 2 or np.ptp(before) == 0 or np.ptp(after) == 0:
            return float("nan")
        return float(np.corrcoef(before, after)[0, 1])

    @cached_property
    def hidden(self) -> HiddenSpots | None:
        """How well hidden values were predicted; None where none was hidden that is known."""
        known = self.compared & ~self.observed
        if not known.any():
            return None
        truth, mean = self.raw[known], self.raw[self.observed].mean()
        return HiddenSpots(
            int(known.sum()),
            float(np.sqrt(np.square(self.difference[known]).mean())),
            float(np.sqrt(np.square(truth - mean).mean())),
        )

    def derived(self) -> Imputed:
        """Return it with everything worked out, off the main thread."""
        _ = self.correlation, self.hidden
        return self


SCALE = "log1p of counts per 10,000"


def raw_numbers(imputed: Imputed) -> Numbers:
    """Return the gene as it was measured."""
    return Numbers(f"{imputed.label}, {SCALE}", imputed.raw)


def imputed_numbers(imputed: Imputed) -> Numbers:
    """Return the gene as it was smoothed or filled in."""
    done = "filled in" if imputed.fixed else "smoothed"
    return Numbers(f"{imputed.label} {done}, {SCALE}", imputed.values)


def difference_numbers(imputed: Imputed) -> Numbers:
    """Return what smoothing changed."""
    done = "filled in" if imputed.fixed else "smoothed"
    return Numbers(f"{imputed.label}, {done} minus raw, {SCALE}", imputed.difference)
