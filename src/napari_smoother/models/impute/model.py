"""`ImputeModel`: imputation from a spatial loss, for arrays and tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.impute.missing import impute_missing
from napari_smoother.models.shared_prior import shared_prior
from napari_smoother.models.training_settings import ignore_training

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from napari_smoother.models.impute.report import ImputationReport


class ImputeModel:
    """Values of all spots from those of some, solved when the model is made.

    See `impute_missing` for the problem; lambda means what it means in ``smoother-omics``.

    Parameters
    ----------
    y_obs
        Observations, observed spots x features: array, tensor, DataFrame or scipy sparse matrix.
    spatial_loss_all
        A `SpatialLoss` on all spots, with one graph for all features.
    fixed_obs
        Whether observations stay as they are; otherwise they are smoothed too.
    nonneg
        Whether values must not be negative.
    observed
        Which spots are observed: booleans over all spots or increasing indices. None: the first
        ones.
    lambda_spatial_loss
        Strength of the prior, for observations that are not fixed.
    tolerance
        Relative residual to stop at.
    cancelled
        Asked between blocks of features.
    **training
        ``lr``, ``max_epochs``, ``patience``, ``tol``, ``verbose`` and ``quiet`` of scripts
        written for gradient descent: ignored, as nothing is trained.

    Attributes
    ----------
    report : ImputationReport
        Objective, residual, unreached spots and seconds.
    unreached : numpy.ndarray
        Spots in pieces of the graph without any observation; their values are NaN.
    impute_time : float
        Seconds.
    impute_flag : bool
        Whether the solve converged.
    """

    def __init__(
        self,
        y_obs: Any,
        spatial_loss_all: Any,
        fixed_obs: bool = True,
        nonneg: bool = False,
        *,
        observed: ArrayLike | None = None,
        lambda_spatial_loss: float = 1.0,
        tolerance: float = 1e-7,
        cancelled: Callable[[], bool] | None = None,
        **training: Any,
    ) -> None:
        ignore_training(training, "ImputeModel")
        self.spatial_loss_all = spatial_loss_all
        self.fixed_obs, self.nonneg = bool(fixed_obs), bool(nonneg)
        self._observed = observed
        self._lambda = float(lambda_spatial_loss)
        self._tolerance = float(tolerance)
        self(y_obs, cancelled=cancelled)

    def __call__(self, y_obs: Any, *, cancelled: Callable[[], bool] | None = None) -> Any:
        """Impute other features of the same spots, and return what `get_results` does."""
        is_tensor = hasattr(y_obs, "detach")
        given: Any = y_obs.detach().cpu().numpy() if is_tensor else y_obs
        is_sparse: bool = sparse.issparse(given)
        if not is_sparse:
            given = np.asarray(given)
        if given.ndim != 2:
            raise InputError(
                f"Observations have the shape {given.shape}",
                where="ImputeModel",
                remedy="Give observed spots x features",
            )
        precision, confidence = shared_prior(self.spatial_loss_all, self._n_spots())
        observed = np.arange(given.shape[0]) if self._observed is None else self._observed
        found = impute_missing(
            given,
            observed,
            precision,
            lambda_=self._lambda * confidence,
            fixed=self.fixed_obs,
            nonneg=self.nonneg,
            tolerance=self._tolerance,
            cancelled=cancelled,
        )
        self.report: ImputationReport = found.report
        self.unreached: NDArray[np.bool_] = found.unreached
        self.values: NDArray[np.float64] = found.values
        self.impute_time = found.report.seconds
        self.impute_flag = found.report.converged
        self.n_all, self.n_feature = found.values.shape
        self.n_obs = int(given.shape[0])
        self.n_missing = self.n_all - self.n_obs
        self._like = y_obs if is_tensor else None
        self._features = y_obs.columns if isinstance(y_obs, pd.DataFrame) else None
        return self.get_results()

    def get_results(self) -> Any:
        """Values of all spots x features; a tensor or a DataFrame where one was given."""
        if self._like is not None:
            import torch

            return torch.from_numpy(self.values).to(self._like)
        if self._features is not None:
            return pd.DataFrame(self.values, columns=self._features)
        return self.values.copy()

    def _n_spots(self) -> int:
        count = getattr(self.spatial_loss_all, "n_spots", None)
        if count is None:
            count = self.spatial_loss_all.inv_cov.shape[-1]
        return int(count)
