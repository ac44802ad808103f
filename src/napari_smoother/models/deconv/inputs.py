"""Read what a deconvolution model is given: signature, expression, gene weights, names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
from scipy import sparse

from napari_smoother.errors import InputError
from napari_smoother.models.deconv.expression import (
    GeneWeights,
    check_choice,
    damped_weights,
    gene_moments,
    given_weights,
)

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """A signature and the expression to be explained by it.

    Parameters
    ----------
    signature
        X, genes x types, float64.
    expression
        Y, genes x spots: dense float32 or float64, or a CSC matrix. Not copied where it comes
        in such a form.
    weights
        One weight for every gene, float64.
    types, spots
        Names, where there are any.
    """

    signature: NDArray[np.float64]
    expression: Any
    weights: NDArray[np.float64]
    types: pd.Index[str] | None
    spots: pd.Index[str] | None

    @property
    def n_genes(self) -> int:
        """G."""
        return int(self.signature.shape[0])

    @property
    def n_types(self) -> int:
        """K."""
        return int(self.signature.shape[1])

    @property
    def n_spots(self) -> int:
        """Number of spots, n."""
        return int(self.expression.shape[1])

    def every(self, stride: int) -> NDArray[np.floating]:
        """Return expression in the first spot and every `stride`-th after it, genes x spots."""
        block: Any = self.expression[:, ::stride]
        is_sparse: bool = sparse.issparse(block)
        return np.asarray(block.toarray() if is_sparse else block)

    def with_signature(self, signature: NDArray[np.float64]) -> Inputs:
        """Return the same with another signature."""
        return replace(self, signature=np.ascontiguousarray(signature))


def read_inputs(x: Any, y: Any, gene_weights: GeneWeights | ArrayLike) -> Inputs:
    """Check signature, expression and weights, and bring them to plain arrays.

    Parameters
    ----------
    x
        Signature, genes x types: array, tensor or DataFrame.
    y
        Expression, genes x spots: array, tensor, DataFrame or scipy sparse matrix.
    gene_weights
        ``"none"``, ``"inverse_mean"``, ``"inverse_variance"`` or one weight for every gene.

    Returns
    -------
    Inputs

    Raises
    ------
    InputError
        If shapes or names disagree, a value is not finite, or weights are unusable.
    """
    both = isinstance(x, pd.DataFrame) and isinstance(y, pd.DataFrame)
    if both and not x.index.equals(y.index):
        raise InputError(
            "The rows of x and y have different names",
            where="genes",
            remedy="Select the same genes in the same order, as y = y.loc[x.index]",
        )
    signature = np.ascontiguousarray(_dense(x, "x"), dtype=np.float64)
    expression = _expression(y)
    n_genes = signature.shape[0]
    if expression.shape[0] != n_genes:
        raise InputError(
            f"x has {n_genes} genes and y {expression.shape[0]}",
            where="deconvolution",
            remedy="Give both with the same genes as rows",
        )
    return Inputs(
        signature=signature,
        expression=expression,
        weights=_weights(gene_weights, expression, signature),
        types=x.columns if isinstance(x, pd.DataFrame) else None,
        spots=y.columns if isinstance(y, pd.DataFrame) else None,
    )


def _weights(
    gene_weights: GeneWeights | ArrayLike, expression: Any, signature: NDArray[np.float64]
) -> NDArray[np.float64]:
    if not isinstance(gene_weights, str):
        return given_weights(gene_weights, len(signature))
    check_choice("counts", gene_weights)
    named = cast("GeneWeights", gene_weights)
    if named == "none":
        return np.ones(len(signature))
    weights = damped_weights(*gene_moments([expression.T.astype(np.float64)]), named)
    if not (np.isfinite(weights) & (weights > 0)).all():
        raise InputError(
            f"y has negative means, which have no {gene_weights} weights",
            where="gene weights",
            remedy="Choose inverse_variance or none, or give counts",
        )
    energy = float((weights[:, None] * signature**2).sum())
    factor = float((signature**2).sum()) / energy if energy > 0 else 1.0
    return weights * factor


def _expression(y: Any) -> Any:
    is_sparse: bool = sparse.issparse(y)
    if not is_sparse:
        return _dense(y, "y")
    columns = sparse.csc_matrix(y, dtype=np.float64)
    columns.sum_duplicates()
    _check_finite(columns.data, "y")
    return columns


def _dense(values: Any, name: str) -> NDArray[np.floating]:
    if hasattr(values, "detach"):  # a torch tensor, on whatever device
        values = values.detach().cpu().numpy()
    is_sparse: bool = sparse.issparse(values)
    array = np.asarray(values.toarray() if is_sparse else values)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    if array.ndim != 2:
        raise InputError(
            f"{name} has {array.ndim} dimensions",
            where="deconvolution",
            remedy=f"Give {name} as a matrix with genes as rows",
        )
    _check_finite(array, name)
    return array


def _check_finite(values: NDArray[np.floating], name: str) -> None:
    # The sum is finite only if all values are, and takes no memory.
    with np.errstate(invalid="ignore", over="ignore"):
        if np.isfinite(values.sum()):
            return
    missing = int((~np.isfinite(values)).sum())
    if missing:
        raise InputError(
            f"{missing} values of {name} are missing or infinite",
            where="deconvolution",
            remedy="Remove these genes or spots",
        )
