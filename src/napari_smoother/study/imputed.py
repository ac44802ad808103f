"""What an imputation of one gene finds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.study.view import Numbers, gene_names

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.models.impute.report import ImputationReport
    from napari_smoother.section import Section


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
