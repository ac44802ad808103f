"""`ContrastiveSpatialLoss`: near neighbours alike, random spots apart."""

from __future__ import annotations

import warnings
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_smoother.errors import InputError
from napari_smoother.losses.spatial import SpatialLoss
from napari_smoother.weights.moving_average import MovingAverage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from napari_smoother.losses.quadratic import Product
    from napari_smoother.weights.matrix import SpatialWeightMatrix
    from napari_smoother.weights.precision import Process


class ContrastiveSpatialLoss(SpatialLoss):
    """Spatial loss minus a share of its mean over random relabelings of spots.

    Zhu, Sun and Koniusz 2021, Contrastive Laplacian eigenmaps. With `num_perm` a number, each
    call draws that many relabelings; with None it takes the mean over all n! of them, which has
    a closed form (see `QuadraticForm.average`), costs no product and has no noise.

    Parameters
    ----------
    prior, spatial_weights, rho, use_sparse
        As for `SpatialLoss`. At the defaults, the graph Laplacian.
    standardize_cov
        Scale to unit marginal variance; a singular precision, as at the defaults, gets a unit
        diagonal (the normalised Laplacian).
    num_perm
        Random relabelings in a call, or None for the exact expectation.
    neg2pos_ratio
        Weight of the mean over relabelings.
    lower_bound
        The normalised loss is not allowed below it; beyond, its gradient is 0.
    check_positive_definite
        Warn when the expected precision is indefinite, so that only the bound keeps the loss
        from minus infinity.
    seed
        Of the relabelings. Calls draw on: the same sequence of calls gives the same numbers.
    """

    def __init__(
        self,
        prior: Process = "icar",
        spatial_weights: SpatialWeightMatrix | Sequence[SpatialWeightMatrix] = (),
        rho: float = 1,
        use_sparse: bool = True,
        standardize_cov: bool = True,
        num_perm: int | None = 10,
        neg2pos_ratio: float = 0.5,
        lower_bound: float = -1,
        check_positive_definite: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(prior, spatial_weights, rho, use_sparse, standardize_cov)
        if num_perm is not None and num_perm < 1:
            raise InputError(
                f"num_perm is {num_perm}",
                where="ContrastiveSpatialLoss",
                remedy="Ask for at least one relabeling, or None for the exact expectation",
            )
        self.num_perm = num_perm
        self.neg2pos_ratio = float(neg2pos_ratio)
        self.lower_bound = float(lower_bound)
        self._random = np.random.default_rng(seed)
        if check_positive_definite:
            self.check_positive_definite()

    def forward(self, coefs: torch.Tensor, normalize: bool = True) -> torch.Tensor:
        """Calculate the loss.

        Parameters
        ----------
        coefs
            Dims x spots, any floating dtype and device.
        normalize
            Divide by dims x spots; otherwise `lower_bound` is multiplied by them.

        Returns
        -------
        loss
            A scalar.
        """
        values, dtype = self._checked(coefs)
        size = values.numel()
        ratio, orders = self.neg2pos_ratio, self._relabelings()
        products: list[Product] = [
            partial(form.contrasted_product, ratio=ratio, orders=orders) for form in self._forms
        ]
        loss = self._form(values, 1 / size, products)
        bounded = torch.clamp(loss, min=self.lower_bound)
        return (bounded if normalize else bounded * size).to(dtype)

    def check_positive_definite(self) -> bool:
        """Whether the expected contrastive precision of every group is positive semi-definite.

        Warns
        -----
        UserWarning
            If it is not.
        """
        lowest = min(self._lowest_eigenvalue(group) for group in range(len(self._forms)))
        if lowest < -1e-7:
            warnings.warn(
                f"The contrastive precision is indefinite: its lowest eigenvalue is {lowest:.3g}, "
                f"so only lower_bound = {self.lower_bound:g} ends the descent in that direction",
                UserWarning,
                stacklevel=2,
            )
        return lowest >= -1e-7

    def _relabelings(self) -> NDArray[np.int32] | None:
        """Draw relabelings x spots, or None where their expectation is taken."""
        if self.num_perm is None:
            return None
        orders = np.empty((self.num_perm, self.n_spots), np.int32)
        for row in orders:
            row[:] = self._random.permutation(self.n_spots)
        return orders

    def _lowest_eigenvalue(self, group: int) -> float:
        from scipy.sparse.linalg import LinearOperator, eigsh

        form = self._forms[group]
        own, other = form.average()
        n = self.n_spots

        def apply(vector: NDArray[np.float64]) -> NDArray[np.float64]:
            flat = vector.ravel()
            precision = form.precision
            direct = (
                precision.product(flat)
                if isinstance(precision, MovingAverage)
                else precision @ flat
            )
            mean = (own - other) * flat + other * flat.sum()
            return np.asarray(direct - self.neg2pos_ratio * mean)

        if n < 200:
            matrix = np.column_stack([apply(unit) for unit in np.eye(n)])
            return float(np.linalg.eigvalsh(matrix)[0])
        operator = LinearOperator((n, n), matvec=apply, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(n)
        found = eigsh(operator, k=1, which="SA", v0=start, tol=1e-4, return_eigenvectors=False)
        return float(found[0])

    def _report_range(self) -> None:
        """Stay silent: the default, a Laplacian, is singular on purpose."""
