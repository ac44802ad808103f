"""What an imputation of one gene finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.gene_values import SCALE
from napari_smoother.analyses.quantities import Numbers
from napari_smoother.keys import with_report

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from napari_smoother.analyses.imputation_settings import ImputationSettings
    from napari_smoother.analyses.kept_spots import KeptSpots
    from napari_smoother.models.impute.report import ImputationReport

NAME = "imputed"

TOLERANCE = 1e-7
"""Relative residual of the numbers that stay."""


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
    settings
        What it was found with.
    label
        How the gene is shown.
    spots
        n barcodes.
    raw
        n floats, log1p of counts per ten thousand; NaN for spots without any count.
    values
        n floats; NaN for spots out of reach of any observed one.
    observed
        n booleans: the spots that were seen.
    report
        Of the solve.
    seconds
        Time of everything.
    grid
        Values between the spots, if they were asked for.
    """

    settings: ImputationSettings
    label: str
    spots: pd.Index[str]
    raw: NDArray[np.float64]
    values: NDArray[np.float64]
    observed: NDArray[np.bool_]
    report: ImputationReport
    seconds: float
    grid: DenserGrid | None = None

    @property
    def gene(self) -> str:
        """Name of the gene, as it was asked for."""
        return self.settings.gene

    @property
    def fixed(self) -> bool:
        """Whether observed values were kept."""
        return self.settings.fixed

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

    def over(self, kept: KeptSpots) -> Imputed:
        """Return the gene of kept spots as that of all: others have no value."""
        return replace(
            self,
            spots=kept.spots,
            raw=kept.over_all(self.raw),
            values=kept.over_all(self.values),
            observed=kept.over_all(self.observed, missing=False),
        ).derived()

    def derived(self) -> Imputed:
        """Return it with everything worked out, off the main thread."""
        _ = self.correlation, self.hidden
        return self

    def describe(self) -> str:
        """Return the residual and the time, and how many spots are out of reach."""
        text = f"residual {self.report.residual:.0e} · {1000 * self.seconds:.0f} ms"
        if self.report.converged:
            text = f"optimum · {text}"
        if self.n_unreached:
            text += (
                f" · {self.n_unreached:,} spots have no value: no observed spot is in their "
                "piece of the graph; join it on the Graph page, or hide fewer spots"
            )
        return text

    def entry(self) -> dict[str, Any]:
        """Return settings, the report of the solve, and the error at hidden spots."""
        report: dict[str, Any] = {
            "n_spots": len(self.values),
            "n_observed": int(self.observed.sum()),
            **self.report.as_dict(),
        }
        if self.hidden is not None:
            report["hidden"] = asdict(self.hidden)
        if self.grid is not None:
            report["n_grid"] = len(self.grid.positions)
        recipe = {"model": "impute", **asdict(self.settings), "tolerance": TOLERANCE}
        return {"recipe": recipe, "report": report}

    def write(self, adata: AnnData, key_added: str = NAME) -> None:
        """Write it into the section that it was found in.

        Parameters
        ----------
        adata
            Gets ``obsm[key_added]`` (a DataFrame with the gene as its column),
            ``uns[key_added + "_grid"]`` where there is a denser grid, and recipe and report in
            ``uns["smoother"][key_added]``.
        key_added
            Where.
        """
        adata.obsm[key_added] = pd.DataFrame({self.gene: self.values}, index=adata.obs_names)
        if self.grid is not None:
            x, y = self.grid.positions.T
            table = {"x": x, "y": y, self.gene: self.grid.values}
            adata.uns[f"{key_added}_grid"] = pd.DataFrame(table)
        adata.uns = with_report(adata.uns, {key_added: self.entry()})


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
