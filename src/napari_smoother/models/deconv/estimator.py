"""What all deconvolution models have in common: their life, their checks and their results."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.models.deconv.descent import descend
from napari_smoother.models.deconv.inputs import Inputs, read_inputs
from napari_smoother.models.deconv.preparation import lambda_to_weight
from napari_smoother.models.deconv.spatial_prior import Prior, is_quadratic, read_prior
from napari_smoother.solvers.threads import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.models.deconv.descent import DataLoss
    from napari_smoother.models.deconv.expression import GeneWeights
    from napari_smoother.models.deconv.fit import FitReport, Fitted

TRAINING_SETTINGS = frozenset(
    {"lr", "max_epochs", "patience", "tol", "init_with_lr_sol", "verbose", "quiet"}
)
"""Arguments of gradient descent that scripts for other packages pass."""


class DeconvolutionModel(ABC):
    """Life of a deconvolution model: settings, `deconv`, results.

    Parameters
    ----------
    bias
        Whether every spot has a free constant.

    Attributes
    ----------
    report : FitReport or None
        Objective, KKT residual, iterations and seconds of the last fit.
    """

    nonneg: bool = True
    """Whether abundances must not be negative."""

    def __init__(self, bias: bool = True) -> None:
        self.use_bias = bias
        self.report: FitReport | None = None
        self._abundance: NDArray[np.float64] | None = None
        self._intercepts: NDArray[np.float64] | None = None
        self._extra: float | None = None
        self._types: pd.Index[str] | None = None
        self._spots: pd.Index[str] | None = None
        self._watch: Callable[[NDArray[np.float64], float], None] | None = None

    @one_blas_thread()
    def deconv(
        self,
        x: Any,
        y: Any,
        spatial_loss: Any = None,
        lambda_spatial_loss: float = 1.0,
        *,
        bias: bool | None = None,
        gene_weights: GeneWeights | ArrayLike = "none",
        start: ArrayLike | None = None,
        tolerance: float = 1e-5,
        cancelled: Callable[[], bool] | None = None,
        report: Callable[[NDArray[np.float64], float], None] | None = None,
        **training: Any,
    ) -> None:
        """Fit the abundances.

        Parameters
        ----------
        x
            Signature, genes x types: array, tensor or DataFrame.
        y
            Expression on the signature's scale, genes x spots: array, tensor, DataFrame or scipy
            sparse matrix. Sparse stays sparse.
        spatial_loss
            What the abundances are to be smooth under; None for no prior. Of a `SpatialLoss` the
            precision (or one for each type) and the confidences are used, and the answer is the
            optimum. Any other torch loss of a tensor (types x spots) is descended by gradient.
        lambda_spatial_loss
            Strength of the prior, zero or more.
        bias
            Overrides the setting of the constructor.
        gene_weights
            ``"none"``, ``"inverse_mean"`` or ``"inverse_variance"`` over the spots, normalised so
            that the mean diagonal of the Gram matrix stays what it is without; or one weight for
            every gene, taken as it is.
        start
            Abundances to start from, spots x types.
        tolerance
            KKT residual to stop at.
        cancelled
            Asked in every step.
        report
            Called with the abundances so far (spots x types) and their KKT residual, after
            every outer step of models that take several. It must not change them.
        **training
            ``lr``, ``max_epochs``, ``patience``, ``tol``, ``init_with_lr_sol``, ``verbose`` and
            ``quiet`` of scripts written for gradient descent. ``lr`` and ``max_epochs`` are used
            for losses that are descended by gradient; otherwise nothing is trained and they are
            ignored.

        Raises
        ------
        InputError
            If shapes or names disagree, a value is not finite, or weights are unusable.
        Cancelled
            If ``cancelled`` returned True; results of an earlier fit are kept.
        TypeError
            If another argument is given.

        Warns
        -----
        UserWarning
            If arguments of gradient descent are ignored; they are named.
        """
        used_prior = spatial_loss is not None and lambda_spatial_loss != 0
        general = used_prior and not is_quadratic(spatial_loss)
        _check_training(training, {"lr", "max_epochs"} if general else set())
        lambda_to_weight(lambda_spatial_loss, 1, 1)  # refuses what is not a strength
        inputs = read_inputs(x, y, gene_weights)
        begin = _start(start, inputs)
        use_bias = self.use_bias if bias is None else bias
        prior = Prior()
        if used_prior and not general:
            prior = read_prior(spatial_loss, lambda_spatial_loss, inputs.n_spots, inputs.n_types)
        self._watch = report
        try:
            fitted = self._solve(inputs, prior, use_bias, begin, tolerance, cancelled)
        finally:
            self._watch = None
        if general:
            fitted = descend(
                self._data_loss(inputs, use_bias, fitted),
                fitted,
                spatial_loss,
                lambda_spatial_loss,
                start=begin,
                nonneg=self.nonneg,
                tolerance=tolerance,
                cancelled=cancelled,
                **{key: training[key] for key in ("lr", "max_epochs") if key in training},
            )
        self.use_bias = use_bias
        self.report = fitted.report
        self._abundance, self._intercepts = fitted.abundance, fitted.intercepts
        self._extra = fitted.extra
        self._types, self._spots = inputs.types, inputs.spots

    @abstractmethod
    def _solve(
        self,
        inputs: Inputs,
        prior: Prior,
        bias: bool,
        start: NDArray[np.float64] | None,
        tolerance: float,
        cancelled: Callable[[], bool] | None,
    ) -> Fitted:
        """Find the optimum under a quadratic prior (or none)."""

    @abstractmethod
    def _data_loss(self, inputs: Inputs, bias: bool, fitted: Fitted) -> DataLoss:
        """Return the data's part of the objective, for losses descended by gradient."""

    @property
    def abundance(self) -> NDArray[np.float64]:
        """Abundances of the last fit, spots x types."""
        if self._abundance is None:
            raise self._not_fitted()
        return self._abundance

    @property
    def intercepts(self) -> NDArray[np.float64]:
        """The constant of every spot; zeros without a bias."""
        if self._intercepts is None:
            raise self._not_fitted()
        return self._intercepts

    def get_props(self) -> pd.DataFrame | NDArray[np.float64]:
        """Proportions of the last fit, spots x types.

        Returns
        -------
        pandas.DataFrame or numpy.ndarray
            A DataFrame when x or y came with names. Rows add up to one; a spot in which
            nothing was found is zero. Negative abundances of models without a bound count as
            zero.
        """
        props = proportions(self.abundance)
        if self._types is None and self._spots is None:
            return props
        return pd.DataFrame(props, index=self._spots, columns=self._types)

    def _not_fitted(self) -> InputError:
        return InputError(
            "There is no result yet",
            where=type(self).__name__,
            remedy="Call deconv(x, y, ...) first",
        )


def _start(start: ArrayLike | None, inputs: Inputs) -> NDArray[np.float64] | None:
    if start is None:
        return None
    given = np.asarray(start, dtype=np.float64)
    shape = (inputs.n_spots, inputs.n_types)
    if given.shape != shape or not np.isfinite(given).all():
        raise InputError(
            f"The start has shape {given.shape} or values that are not finite",
            where="start",
            remedy=f"Pass a finite array of shape {shape}, or nothing",
        )
    return given


def _check_training(training: dict[str, Any], used: set[str]) -> None:
    unknown = sorted(set(training) - TRAINING_SETTINGS)
    if unknown:
        raise TypeError(f"deconv() got an unexpected keyword argument {unknown[0]!r}")
    told = sorted(set(training) - {"verbose", "quiet"} - used)
    if told:
        warnings.warn(
            f"Nothing is trained here, so {', '.join(told)} is ignored; "
            "use `tolerance` to ask for a more exact optimum",
            UserWarning,
            stacklevel=3,
        )
