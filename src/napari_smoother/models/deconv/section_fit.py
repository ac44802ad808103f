"""Fit any of the models to a section that was prepared for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.models.deconv.catalogue import make_model
from napari_smoother.models.deconv.fit import Fitted

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.catalogue import TubeLoss
    from napari_smoother.models.deconv.section_expression import SectionExpression


@dataclass(frozen=True, slots=True, eq=False)
class KnownPrecision:
    """A precision in the place of a spatial loss.

    Parameters
    ----------
    inv_cov
        Q, n x n sparse.
    """

    inv_cov: Any

    @property
    def precisions(self) -> list[Any]:
        """Q, the same for all types."""
        return [self.inv_cov]


def fit_section(
    given: SectionExpression,
    precision: Any,
    lambda_: float,
    *,
    intercept: bool,
    tube_loss: TubeLoss = "l2",
    nonneg: bool = True,
    start: NDArray[np.floating] | None = None,
    tolerance: float = 1e-5,
    cancelled: Callable[[], bool] | None = None,
    report: Callable[[NDArray[np.float64], float], None] | None = None,
) -> Fitted:
    """Find abundances and constants of a section by a model that passes over its genes.

    Parameters
    ----------
    given
        The section, prepared for the model.
    precision
        Q of the m spots that have counts, m x m sparse.
    lambda_
        Strength of the prior; 0 solves every spot for itself.
    intercept
        Whether every spot has a free constant.
    tube_loss, nonneg
        Of nu-SVR.
    start
        Abundances to start from, n x K.
    tolerance
        KKT residual to stop at.
    cancelled
        Asked inside the loops.
    report
        Called with the abundances so far, n x K, and their residual.

    Returns
    -------
    Fitted
        For all n spots; zeros where there are no counts.

    Raises
    ------
    Cancelled
        If ``cancelled`` returned True.
    """
    used = np.flatnonzero(~given.empty)
    model = make_model(given.model, intercept=intercept, tube_loss=tube_loss, nonneg=nonneg)
    shape = (given.empty.size, given.n_types)

    def everywhere(values: NDArray[np.float64]) -> NDArray[np.float64]:
        full = np.zeros(shape if values.ndim == 2 else shape[:1])
        full[used] = values
        return full

    def tell(values: NDArray[np.float64], residual: float) -> None:
        if report is not None:
            report(everywhere(values), residual)

    model.deconv(
        given.signature,
        given.expression,
        KnownPrecision(precision) if lambda_ != 0 else None,
        lambda_,
        gene_weights=given.gene_weights,
        start=None if start is None else np.asarray(start, dtype=np.float64)[used],
        tolerance=tolerance,
        cancelled=cancelled,
        report=tell,
    )
    assert model.report is not None
    return Fitted(everywhere(model.abundance), everywhere(model.intercepts), model.report)
