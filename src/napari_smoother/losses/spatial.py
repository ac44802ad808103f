"""`SpatialLoss`: how much a spatial quantity varies over the tissue."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch

from napari_smoother.errors import InputError
from napari_smoother.losses.correlation import correlation_decay
from napari_smoother.losses.quadratic import Product, QuadraticForm
from napari_smoother.losses.symmetric_form import SymmetricForm
from napari_smoother.weights.conversion import as_array, as_features, sparse_tensor
from napari_smoother.weights.matrix import SpatialWeightMatrix
from napari_smoother.weights.moving_average import MovingAverage
from napari_smoother.weights.precision import Process, is_singular, rho_range

if TYPE_CHECKING:
    import pandas as pd


class SpatialLoss(torch.nn.Module):
    """Quadratic form of a spatial precision Q: sum_k s_k x_k Q x_k' / (dims x spots).

    Up to a constant the negative log density of a Gaussian Markov random field. The gradient
    is exact and costs one sparse product with the value.

    Parameters
    ----------
    prior
        Spatial process: ``car``, ``sar``, ``icar``, ``isar`` or ``sma``.
    spatial_weights
        One `SpatialWeightMatrix` for all dims, or a list with one for each. They are read once;
        scaling them later changes nothing here.
    rho
        Autocorrelation.
    use_sparse
        False multiplies with dense matrices, for comparison on small sections.
    standardize_cov
        Scale to unit marginal variance; a singular precision gets a unit diagonal.

    Raises
    ------
    InputError
        If the process is unknown, weights are missing, or rho makes the precision indefinite
        (for ``sma``, singular); the message gives the valid range.

    Warns
    -----
    UserWarning
        If rho is at the end of its range: the precision is then singular. Levels of whole
        components cost nothing, which models with data usually want.
    """

    def __init__(
        self,
        prior: Process,
        spatial_weights: SpatialWeightMatrix | Sequence[SpatialWeightMatrix],
        rho: float = 1,
        use_sparse: bool = True,
        standardize_cov: bool = False,
    ) -> None:
        super().__init__()
        if prior not in get_args(Process):
            raise InputError(
                f"Unknown spatial process {prior!r}",
                where="SpatialLoss",
                remedy=f"Take one of {', '.join(get_args(Process))}",
            )
        self.prior: Process = prior
        self.rho = float(rho)
        self.use_sparse = use_sparse
        self.standardize_cov = standardize_cov
        self.spatial_weights = spatial_weights
        self._weights = _listed(spatial_weights)
        self._forms = [
            QuadraticForm(self._matrix(weights), dense=not use_sparse) for weights in self._weights
        ]
        #: Relative weight of each group, a tensor of length 1 or dims.
        self.confidences = torch.ones(len(self._forms))
        self._report_range()

    @property
    def n_spots(self) -> int:
        """Number of spots."""
        return self._forms[0].n_spots

    @property
    def precisions(self) -> list[Any]:
        """Precision of each group as float64 scipy matrix (`MovingAverage` for sma)."""
        return [form.precision for form in self._forms]

    @property
    def inv_cov(self) -> torch.Tensor:
        """Precision of all groups: sparse tensor, (1 or groups) x spots x spots, float32.

        For ``sma`` it is dense in content and takes n solves; the loss itself never forms it.
        """
        return torch.stack([_as_tensor(form.precision) for form in self._forms])

    def rho_range(self) -> tuple[float, float]:
        """Open interval of rho in which every group's precision is positive definite."""
        ranges = [rho_range(weights.scaled, self.prior) for weights in self._weights]
        return max(low for low, _ in ranges), min(high for _, high in ranges)

    def forward(self, coefs: torch.Tensor, normalize: bool = True) -> torch.Tensor:
        """Calculate the loss.

        Parameters
        ----------
        coefs
            Dims x spots, any floating dtype and device; arrays are taken too.
        normalize
            Divide by dims x spots.

        Returns
        -------
        loss
            A scalar of the same dtype and device.

        Raises
        ------
        InputError
            If the shape does not fit the graph or the number of groups.
        """
        values, dtype = self._checked(coefs)
        loss = self._form(values, 1 / values.numel() if normalize else 1.0)
        return loss if loss.dtype == dtype else loss.to(dtype)

    def estimate_confidence(self, ref_exp: Any, st_exp: Any, method: str = "lr") -> None:
        """Set `confidences` from how much each group varies over the section.

        The standard deviation over spots of an unconstrained least-squares deconvolution,
        divided by the largest: groups that vary more are smoothed more.

        Parameters
        ----------
        ref_exp
            Signature, genes x groups.
        st_exp
            Expression, genes x spots; dense or sparse.
        method
            ``lr``, least squares, is the only one.
        """
        if method != "lr":
            raise InputError(
                f"Unknown method {method!r}",
                where="estimate_confidence",
                remedy='Take "lr"',
            )
        signature = as_array(ref_exp).astype(np.float64)
        expression = as_features(st_exp)
        if expression.shape[1] != len(signature):
            raise InputError(
                f"The signature has {len(signature)} genes, expression {expression.shape[1]}",
                where="estimate_confidence",
                remedy="Give both as genes x groups and genes x spots, for the same genes",
            )
        found = np.asarray(expression @ np.linalg.pinv(signature).T)
        spread = found.std(axis=0, ddof=1)
        if not spread.max() > 0:
            raise InputError(
                "No group varies over the section",
                where="estimate_confidence",
                remedy="Leave the confidences at 1",
            )
        self.confidences = torch.from_numpy(spread / spread.max()).float()

    def calc_corr_decay_stats(
        self,
        coords: Any,
        min_k: int = 0,
        max_k: int = 50,
        cov_ind: int = 0,
        return_var: bool = False,
        n_samples: int = 1000,
        seed: int = 0,
    ) -> pd.DataFrame | tuple[pd.DataFrame, pd.DataFrame]:
        """Quantiles of the prior correlation between a spot and its k-th nearest neighbour.

        Parameters
        ----------
        coords
            Spots x 2 or 3.
        min_k, max_k
            Orders of neighbours; 0 is the spot itself.
        cov_ind
            Which group, where each has a graph of its own.
        return_var
            Also return quantiles of the marginal variance.
        n_samples
            Spots to look at, drawn at random; all of them when there are no more.
        seed
            Of that draw.

        Returns
        -------
        correlations
            One row for each k, columns Q10, Q25, Q50, Q75, Q90 and k.
        variances
            One row with the same quantiles over all spots, if asked for.

        Raises
        ------
        InputError
            If the precision is singular, the group does not exist, or max_k is too large.
        """
        if not 0 <= cov_ind < len(self._forms):
            raise InputError(
                f"There is no group {cov_ind}",
                where="calc_corr_decay_stats",
                remedy=f"Take one from 0 to {len(self._forms) - 1}",
            )
        if self._singular(self._weights[cov_ind]):
            raise self._improper()
        correlations, variances = correlation_decay(
            self._forms[cov_ind].precision, as_array(coords), min_k, max_k, n_samples, seed
        )
        return (correlations, variances) if return_var else correlations

    def extra_repr(self) -> str:
        """Return the settings, for printing."""
        return f"prior={self.prior!r}, rho={self.rho:g}, spots={self.n_spots}"

    # --- inside -----------------------------------------------------------------------------

    def _matrix(self, weights: SpatialWeightMatrix) -> Any:
        if self.prior == "sma":
            return MovingAverage(weights.scaled, self.rho, standardise=self.standardize_cov)
        return weights.precision(self.prior, self.rho, self.standardize_cov)

    def _checked(self, coefs: torch.Tensor) -> tuple[torch.Tensor, torch.dtype]:
        """Values in float32 or float64, and the dtype of the answer.

        Sums over a section overflow half precision, so it is widened first and rounded once.
        """
        values = coefs if isinstance(coefs, torch.Tensor) else torch.as_tensor(as_array(coefs))
        if not values.is_floating_point():
            values = values.float()
        dtype = values.dtype
        if dtype not in (torch.float32, torch.float64):
            values = values.float()
        shape = values.shape
        if len(shape) != 2 or shape[1] != self.n_spots:
            raise InputError(
                f"The tensor has the shape {tuple(shape)} for {self.n_spots} spots",
                where="spatial loss",
                remedy="Give dims x spots",
            )
        for what, count in (
            ("graphs", len(self._forms)),
            ("confidences", self.confidences.numel()),
        ):
            if count not in (1, shape[0]):
                raise InputError(
                    f"There are {count} {what} for {shape[0]} dims",
                    where="spatial loss",
                    remedy="Give one for all, or one for each",
                )
        return values, dtype

    def _form(
        self, values: torch.Tensor, scale: float, products: Sequence[Product] | None = None
    ) -> torch.Tensor:
        """Sum of the form over dims, by the precisions or by others made from them."""
        confidences = self.confidences
        if confidences.dtype != values.dtype or confidences.device != values.device:
            confidences = confidences.to(values)
        form: torch.Tensor = SymmetricForm.apply(  # type: ignore[no-untyped-call]
            values, confidences, products or [form.product for form in self._forms], scale
        )
        return form

    def _singular(self, weights: SpatialWeightMatrix) -> bool:
        return is_singular(weights.scaled, self.prior, self.rho)

    def _report_range(self) -> None:
        if self.prior != "sma" and any(self._singular(weights) for weights in self._weights):
            warnings.warn(str(self._improper()), UserWarning, stacklevel=3)

    def _improper(self) -> InputError:
        lowest, highest = self.rho_range()
        return InputError(
            f"With rho = {self.rho:g} the precision is singular",
            where=f"process {self.prior}",
            remedy=f"For a proper prior choose rho between {lowest:.6g} and {highest:.6g}",
        )


def _listed(
    spatial_weights: SpatialWeightMatrix | Sequence[SpatialWeightMatrix],
) -> list[SpatialWeightMatrix]:
    if isinstance(spatial_weights, SpatialWeightMatrix):
        return [spatial_weights]
    listed = list(spatial_weights) if isinstance(spatial_weights, Sequence) else []
    if not listed or not all(isinstance(weights, SpatialWeightMatrix) for weights in listed):
        raise InputError(
            "There are no spatial weights",
            where="SpatialLoss",
            remedy="Pass a SpatialWeightMatrix, or a list of them",
        )
    if len({weights.n_spots for weights in listed}) > 1:
        raise InputError(
            "The graphs have different numbers of spots",
            where="SpatialLoss",
            remedy="Build every graph on the same spots",
        )
    return listed


def _as_tensor(precision: Any) -> torch.Tensor:
    if isinstance(precision, MovingAverage):
        return torch.from_numpy(precision.product(np.eye(precision.shape[0]))).float().to_sparse()
    return sparse_tensor(precision)
