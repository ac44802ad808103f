"""One gene smoothed over the tissue, as an analysis of the open section.

gene -> raw values -----------------------> values -> denser grid
hidden spots -> observed spots ------------^
graph -> precision ------------------------^
"""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.analyses.context import Progress
from napari_smoother.analyses.imputation_settings import ImputationSettings
from napari_smoother.analyses.shown import View
from napari_smoother.analyses.stage import Stage
from napari_smoother.errors import InputError
from napari_smoother.models.impute.interpolation import Interpolation
from napari_smoother.models.impute.missing import solve_missing
from napari_smoother.models.impute.positions import denser_positions, distance_between
from napari_smoother.study.analysis import Analysis, Request
from napari_smoother.study.imputed import DenserGrid, Imputed
from napari_smoother.study.observed_spots import observed_spots, spots_with_counts
from napari_smoother.study.view import Numbers, gene_names, values_of
from napari_smoother.weights.precision import precision

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray
    from scipy.sparse import csr_array

    from napari_smoother.analyses.context import Context
    from napari_smoother.models.impute.report import Imputation as Solution
    from napari_smoother.section import Section
    from napari_smoother.study.open_section import OpenSection

NAME = "imputed"

TOLERANCE = 1e-7
"""Relative residual of the numbers that stay: the default of the library's `impute`."""

WHILE_MOVING = 1e-5
"""Relative residual while a slider moves."""

MOST_POSITIONS = 1_000_000
"""Positions of a denser grid that the window still draws."""


class Imputation(Analysis[ImputationSettings, Imputed]):
    """Smooths one gene and fills in spots that are hidden or have no counts.

    The numbers are those of `napari_smoother.models.impute.impute` on the study's graph and log1p
    of counts per ten thousand; the denser grid those of `predict_at` from them, with fixed
    observations. Without changes of data, graph or hidden spots only the last solve is done
    again, and the denser grid's factorisation is kept over all of them.

    Parameters
    ----------
    study
        Whose section and graph it is about.
    """

    name = NAME
    field = "imputation"
    work = "smoothing"

    def __init__(self, study: OpenSection) -> None:
        super().__init__(study)
        self.counted = Stage(spots_with_counts)
        self.raw = Stage(_raw)
        self.observed = Stage(observed_spots)
        self.precision = Stage(precision)
        self.settled = Stage(self._solve_from_canonical_start)
        self.lattice = Stage(_lattice)
        self.interpolation = Stage(self._interpolation)
        self._unreached = np.zeros(0, dtype=bool)

    def compute(self, request: Request[ImputationSettings, Imputed], context: Context) -> Imputed:
        """Find the values of all spots, and of the denser grid if it is asked for."""
        began = time.perf_counter()
        assert request.graph is not None
        section, chosen, start = request.section, request.settings, request.start
        counted = self.counted(section)
        raw = self.raw(section, counted, chosen.gene)
        observed = self.observed(
            section,
            counted,
            chosen.hidden_column,
            chosen.hidden_class,
            chosen.held_out,
            chosen.seed,
        )
        prior = self.precision(request.graph.weights, chosen.process, chosen.rho)
        self.look_up()
        problem = (raw, observed, prior, chosen.lambda_, chosen.fixed, chosen.nonneg)
        if start is None:
            found = self.settled(*problem)
        else:
            found = self._solve(*problem, start=start.values)
        values = found.values[:, 0]
        grid = (
            self._grid(section, values, found.unreached, chosen.factor) if chosen.denser else None
        )
        seconds = time.perf_counter() - began
        return Imputed(
            section, chosen.gene, raw, values, observed, chosen.fixed, found.report, seconds, grid
        ).derived()

    def is_optimum(self, result: Imputed) -> bool:
        """Whether the solve reached its tolerance."""
        return result.report.converged

    def describe(self, result: Imputed) -> str:
        """Return the residual and the time, and how many spots are out of reach."""
        text = f"residual {result.report.residual:.0e} · {1000 * result.seconds:.0f} ms"
        if result.report.converged:
            text = f"optimum · {text}"
        if result.n_unreached:
            text += (
                f" · {result.n_unreached:,} spots have no value: no observed spot is in their "
                "piece of the graph; join it on the Graph page, or hide fewer spots"
            )
        return text

    def describe_settings(self, settings: ImputationSettings) -> str:
        """Return gene, lambda and rho."""
        section = self.study.section
        gene = settings.gene if section is None else gene_names(section).label(settings.gene)
        if settings.fixed:
            return f"{gene} filled in with ρ {settings.rho:.3g}"
        return f"{gene} smoothed with λ {settings.lambda_:.3g}, ρ {settings.rho:.3g}"

    def write(self, adata: AnnData, result: Imputed) -> None:
        """Put values in ``obsm["imputed"]``, the grid in ``uns["imputed_grid"]``."""
        adata.obsm[NAME] = pd.DataFrame({result.gene: result.values}, index=adata.obs_names)
        if result.grid is not None:
            x, y = result.grid.positions.T
            table = {"x": x, "y": y, result.gene: result.grid.values}
            adata.uns[f"{NAME}_grid"] = pd.DataFrame(table)

    def recipe(self, settings: ImputationSettings, result: Imputed) -> dict[str, Any]:
        """Return settings, the report of the solve, and the error at hidden spots."""
        report: dict[str, Any] = {
            "n_spots": len(result.values),
            "n_observed": int(result.observed.sum()),
            **result.report.as_dict(),
        }
        if result.hidden is not None:
            report["hidden"] = asdict(result.hidden)
        if result.grid is not None:
            report["n_grid"] = len(result.grid.positions)
        chosen = asdict(settings)
        chosen["lambda"] = chosen.pop("lambda_")
        return {
            "recipe": {"model": "impute", "scale": "log1p", **chosen, "tolerance": TOLERANCE},
            "report": report,
        }

    def _solve_from_canonical_start(
        self,
        raw: NDArray[np.float64],
        observed: NDArray[np.bool_],
        prior: csr_array,
        lambda_: float,
        fixed: bool,
        nonneg: bool,
    ) -> Solution:
        return self._solve(raw, observed, prior, lambda_, fixed, nonneg, start=None)

    def _solve(
        self,
        raw: NDArray[np.float64],
        observed: NDArray[np.bool_],
        prior: csr_array,
        lambda_: float,
        fixed: bool,
        nonneg: bool,
        *,
        start: NDArray[np.float64] | None,
    ) -> Solution:
        return solve_missing(
            raw[observed][:, None],
            observed,
            prior,
            lambda_=lambda_,
            fixed=fixed,
            nonneg=nonneg,
            tolerance=TOLERANCE if start is None else WHILE_MOVING,
            start=None if start is None else start[:, None],
            cancelled=self._context.cancelled,
        )

    def _grid(
        self,
        section: Section,
        values: NDArray[np.float64],
        unreached: NDArray[np.bool_],
        factor: float,
    ) -> DenserGrid:
        positions, spacing = self.lattice(section, factor)
        self.tell(Progress(f"interpolating at {len(positions):,} positions"))
        self.look_up()
        if not np.array_equal(unreached, self._unreached):
            self._unreached = unreached  # otherwise the same object, which a stage knows again
        interpolation = self.interpolation(section, positions, self._unreached)
        self.look_up()
        return DenserGrid(positions, interpolation.at(values[~unreached]), spacing)

    def _interpolation(
        self, section: Section, positions: NDArray[np.float64], unreached: NDArray[np.bool_]
    ) -> Interpolation:
        spots = section.positions[~unreached]
        return Interpolation(spots, positions, cancelled=lambda: self.is_cancelled())


def _raw(section: Section, counted: NDArray[np.bool_], gene: str) -> NDArray[np.float64]:
    if not gene:
        raise InputError("No gene is chosen", where="imputation", remedy="Type the name of a gene")
    numbers = values_of(section, View("gene", gene))
    assert isinstance(numbers, Numbers)
    return np.where(counted, numbers.values.astype(np.float64), np.nan)


def _lattice(section: Section, factor: float) -> tuple[NDArray[np.float64], float]:
    """Return the positions of a denser grid, and the distance between them."""
    if section.n_spots * factor**2 > MOST_POSITIONS:
        raise InputError(
            f"The denser grid would have about {section.n_spots * factor**2:,.0f} positions",
            where="denser grid",
            remedy="Choose a smaller factor",
        )
    positions = denser_positions(section.positions, factor)
    return positions, distance_between(section.positions) / factor
