"""Non-negative least squares with a spatial prior, for arrays and tensors."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.composition import proportions
from napari_smoother.models.deconv.expression import (
    GeneWeights,
    check_choice,
    damped_weights,
    gene_moments,
    given_weights,
)
from napari_smoother.models.deconv.fit import FitReport, fit_abundance
from napari_smoother.models.deconv.preparation import reduce_genes
from napari_smoother.models.deconv.spatial_prior import prior_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

TRAINING_SETTINGS = frozenset(
    {"lr", "max_epochs", "patience", "tol", "init_with_lr_sol", "verbose", "quiet"}
)
"""Arguments of gradient descent that scripts for other packages pass."""


class NNLS:
    r"""Non-negative least squares with a spatial prior, solved to the optimum.

    .. math::
        \min_{B \ge 0, g} \frac{1}{Gn} \|Y - XB^\top - 1g^\top\|^2
        + \frac{\lambda}{Kn} \sum_k s_k b_k^\top Q b_k

    for G genes, n spots and K types; Q and the confidences s come from the spatial loss
    (Su et al. 2023, Genome Biology 24:291).

    Parameters
    ----------
    bias
        Whether every spot has a free constant g.

    Attributes
    ----------
    report : FitReport or None
        Objective, KKT residual, iterations and seconds of the last fit.
    """

    def __init__(self, bias: bool = True) -> None:
        self.use_bias = bias
        self.report: FitReport | None = None
        self._abundance: NDArray[np.float64] | None = None
        self._intercepts: NDArray[np.float64] | None = None
        self._types: pd.Index[str] | None = None
        self._spots: pd.Index[str] | None = None

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
            What the abundances are to be smooth under; None for no prior. Its precision (or one
            for each type) and its confidences are used.
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
        **training
            ``lr``, ``max_epochs``, ``patience``, ``tol``, ``init_with_lr_sol``, ``verbose`` and
            ``quiet`` of scripts written for gradient descent: ignored, as nothing is trained.

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
            If arguments of gradient descent are given; they are named.
        """
        _check_training(training)
        _check_names(x, y)
        signature = _dense(x, "x")
        expression = _spots_first(y)
        n_genes = signature.shape[0]
        if expression.shape[1] != n_genes:
            raise InputError(
                f"x has {n_genes} genes and y {expression.shape[1]}",
                where="deconvolution",
                remedy="Give both with the same genes as rows",
            )
        use_bias = self.use_bias if bias is None else bias
        weights = _weights(gene_weights, expression, signature)
        gram, linear, spot_norm = reduce_genes(expression, signature, weights, intercept=use_bias)
        precision, confidences = None, None
        if spatial_loss is not None and lambda_spatial_loss != 0:
            precision, confidences = prior_of(
                spatial_loss, expression.shape[0], signature.shape[1]
            )
        abundance, report = fit_abundance(
            gram,
            linear,
            float(spot_norm.sum()),
            n_genes,
            precision=precision,
            lambda_=lambda_spatial_loss,
            confidences=confidences,
            start=None if start is None else np.asarray(start),
            tolerance=tolerance,
            cancelled=cancelled,
        )
        left = expression @ weights - abundance @ (weights @ signature)
        self.use_bias = use_bias
        self.report = report
        self._abundance = abundance
        self._intercepts = left / weights.sum() if use_bias else np.zeros(len(abundance))
        self._types = x.columns if isinstance(x, pd.DataFrame) else None
        self._spots = y.columns if isinstance(y, pd.DataFrame) else None

    @property
    def abundance(self) -> NDArray[np.float64]:
        """Abundances of the last fit, spots x types."""
        if self._abundance is None:
            raise _not_fitted()
        return self._abundance

    @property
    def intercepts(self) -> NDArray[np.float64]:
        """The constant of every spot; zeros without a bias."""
        if self._intercepts is None:
            raise _not_fitted()
        return self._intercepts

    def get_props(self) -> pd.DataFrame | NDArray[np.float64]:
        """Proportions of the last fit, spots x types.

        Returns
        -------
        pandas.DataFrame or numpy.ndarray
            A DataFrame when x or y came with names. Rows add up to one; a spot in which
            nothing was found is zero.
        """
        props = proportions(self.abundance)
        if self._types is None and self._spots is None:
            return props
        return pd.DataFrame(props, index=self._spots, columns=self._types)


def _not_fitted() -> InputError:
    return InputError(
        "There is no result yet", where="NNLS", remedy="Call deconv(x, y, ...) first"
    )


def _check_training(training: dict[str, Any]) -> None:
    unknown = sorted(set(training) - TRAINING_SETTINGS)
    if unknown:
        raise TypeError(f"deconv() got an unexpected keyword argument {unknown[0]!r}")
    told = sorted(set(training) - {"verbose", "quiet"})
    if told:
        warnings.warn(
            f"Nothing is trained here, so {', '.join(told)} is ignored; "
            "use `tolerance` to ask for a more exact optimum",
            UserWarning,
            stacklevel=3,
        )


def _check_names(x: Any, y: Any) -> None:
    both = isinstance(x, pd.DataFrame) and isinstance(y, pd.DataFrame)
    if both and not x.index.equals(y.index):
        raise InputError(
            "The rows of x and y have different names",
            where="genes",
            remedy="Select the same genes in the same order, as y = y.loc[x.index]",
        )


def _weights(
    gene_weights: GeneWeights | ArrayLike, expression: Any, signature: NDArray[np.float64]
) -> NDArray[np.float64]:
    if not isinstance(gene_weights, str):
        return given_weights(gene_weights, len(signature))
    check_choice("counts", gene_weights)
    named = cast("GeneWeights", gene_weights)
    weights = damped_weights(*gene_moments([expression]), named)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise InputError(
            f"y has negative means, which have no {gene_weights} weights",
            where="gene weights",
            remedy="Choose inverse_variance or none, or give counts",
        )
    energy = float((weights[:, None] * signature**2).sum())
    factor = float((signature**2).sum()) / energy if energy > 0 else 1.0
    return weights * factor


def _dense(values: Any, name: str) -> NDArray[np.float64]:
    if hasattr(values, "detach"):  # a torch tensor, on whatever device
        values = values.detach().cpu().numpy()
    is_sparse: bool = sparse.issparse(values)
    array = np.asarray(values.toarray() if is_sparse else values, dtype=np.float64)
    if array.ndim != 2:
        raise InputError(
            f"{name} has {array.ndim} dimensions",
            where="deconvolution",
            remedy=f"Give {name} as a matrix with genes as rows",
        )
    _check_finite(array, name)
    return array


def _spots_first(y: Any) -> Any:
    is_sparse: bool = sparse.issparse(y)
    if not is_sparse:
        return np.ascontiguousarray(_dense(y, "y").T)
    turned = sparse.csr_matrix(y.T, dtype=np.float64)
    turned.sum_duplicates()
    _check_finite(turned.data, "y")
    return turned


def _check_finite(values: NDArray[np.float64], name: str) -> None:
    if not np.isfinite(values).all():
        raise InputError(
            f"{int((~np.isfinite(values)).sum())} values of {name} are missing or infinite",
            where="deconvolution",
            remedy="Remove these genes or spots",
        )
