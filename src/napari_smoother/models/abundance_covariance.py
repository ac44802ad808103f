"""How the abundances of a spot vary together: what their scores vary, passed through the solve.

With A the Gram matrix, d_k its eigenvalues and V its eigenvectors, least squares under a prior
solves ``H_k^-1 = d_k I + weight Q`` along each of them. Three things make its errors:

- noise of the scores that differs from spot to spot (`score_noise`). Between the directions k
  and l it is passed as ``H_k H_l = (H_k - H_l) / (d_l - d_k)``; so is what goes beyond s A. What
  a spot's own noise s_i is above that of all, s, adds ``(s_i - s) h_ik h_il``, h_k being the
  diagonal of H_k: its neighbours count with the noise of all;
- errors of the signature (`signature_noise`), common to all spots: they pass as smoothly as the
  abundances they multiply;
- the prior, which draws the abundances away from the truth: ``s (H_k - d_k H_k^2)`` if they vary
  as much as weight and noise say, and so many times that as they are rougher.

Without the second, with noise s A and as rough as said, that adds up to ``s H_k``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.models.score_noise import score_noise, signature_noise, whole_gram
from napari_smoother.solvers.selected_inverse import inverse_diagonals
from napari_smoother.solvers.sparse_factor import SparseFactor

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from scipy import sparse

    from napari_smoother.models.deconv.preparation import PreparedDeconvolution
    from napari_smoother.solvers import DataTerm

NEAR = 1e-5
"""Eigenvalues whose ratio is so near to 1 count as one, and a slope is taken over so much."""


@dataclass(frozen=True, slots=True, eq=False)
class SolveDiagonals:
    """Diagonals of the solves, n x K.

    Parameters
    ----------
    once
        Of H_k: h.
    twice
        Of ``H_k^2``.
    """

    once: NDArray[np.float64]
    twice: NDArray[np.float64]

    @classmethod
    def find(
        cls,
        precision: sparse.csr_array,
        eigenvalues: NDArray[np.float64],
        weight: float,
        *,
        cancelled: Callable[[], bool] | None = None,
    ) -> SolveDiagonals:
        """Factor every H_k, and one so near that its product with H_k is ``H_k^2``.

        Parameters
        ----------
        precision
            Q, n x n.
        eigenvalues
            d, K.
        weight
            Of the prior.
        cancelled
            Asked every few milliseconds.

        Raises
        ------
        InputError
            If one of the matrices is singular or indefinite.
        Cancelled
            If ``cancelled`` returned True.
        """
        step = NEAR * np.maximum(eigenvalues, NEAR * eigenvalues.max())
        found = inverse_diagonals(
            SparseFactor.prepare(precision, cancelled=cancelled),
            np.concatenate([eigenvalues, eigenvalues + step]),
            weight,
            cancelled=cancelled,
        )
        once, near = np.split(found, 2, axis=1)
        return cls(np.ascontiguousarray(once), (once - near) / step)

    def of_spots(self, spots: slice) -> SolveDiagonals:
        """Return those of some spots."""
        return SolveDiagonals(self.once[spots], self.twice[spots])


@dataclass(frozen=True, slots=True, eq=False)
class AbundanceCovariance:
    """Covariances of abundances in the eigenbasis of A, for the P pairs k <= l of directions.

    Parameters
    ----------
    eigenvalues, basis
        K, and K x K: d and V.
    pairs
        k and l of every pair.
    common
        s: noise variance over all spots.
    beyond
        P: noise of the scores of all spots beyond s A.
    own
        P: noise of the scores for a noise variance of 1.
    signature
        K x P: what errors of the signature add to the covariance of the abundances, times the
        squared abundance of each type. None where they are not known.
    roughness
        Variance of the abundances over that of the prior.
    """

    eigenvalues: NDArray[np.float64]
    basis: NDArray[np.float64]
    pairs: tuple[NDArray[np.int64], NDArray[np.int64]]
    common: float
    beyond: NDArray[np.float64]
    own: NDArray[np.float64]
    signature: NDArray[np.float64] | None
    roughness: float

    @classmethod
    def prepare(
        cls,
        prepared: PreparedDeconvolution,
        data: DataTerm,
        precision: sparse.csr_array,
        weight: float,
        values: NDArray[np.float64],
        common: float,
        solved: SolveDiagonals,
    ) -> AbundanceCovariance:
        """Gather what all spots have in common.

        Parameters
        ----------
        prepared, data
            The problem, and its data term for the m spots that have counts.
        precision, weight
            The prior: Q, m x m, and its weight.
        values
            m x K: the fit.
        common
            s.
        solved
            Of this prior.
        """
        basis, eigenvalues = data.basis, data.eigenvalues
        pairs = np.triu_indices(prepared.n_types)
        beyond = score_noise(prepared, common) - common * prepared.gram
        beyond = basis.T @ beyond @ basis
        errors = signature_noise(prepared)
        if errors is not None:
            # How rough each type is decides how much of its error the prior takes.
            squared = np.einsum("ik,ik->k", values, values)
            rough = np.einsum("ik,ik->k", values, precision @ values)
            rough = np.divide(rough, squared, out=np.zeros_like(rough), where=squared > 0)
            passed = 1 / (eigenvalues + weight * np.maximum(rough, 0)[:, None])
            errors = basis.T @ errors @ basis
            errors = (errors * passed[:, :, None] * passed[:, None, :])[:, *pairs]
        along = (values - values.mean(axis=0)) @ basis
        return cls(
            eigenvalues=eigenvalues,
            basis=basis,
            pairs=pairs,
            common=common,
            beyond=beyond[pairs],
            own=(basis.T @ whole_gram(prepared) @ basis)[pairs],
            signature=errors,
            roughness=_roughness(
                weight * float(np.einsum("ik,ik->", along, precision @ along)),
                eigenvalues,
                common * eigenvalues + np.diag(beyond),
                common,
                solved,
            ),
        )

    def of_spots(
        self,
        solved: SolveDiagonals,
        noise: NDArray[np.float64],
        values: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Covariances of m spots.

        Parameters
        ----------
        solved
            Of these spots.
        noise
            m: s_i.
        values
            m x K: abundances.

        Returns
        -------
        numpy.ndarray
            m x P.
        """
        one, other = self.pairs
        left, right = solved.once[:, one], solved.once[:, other]
        covariance = left * right
        covariance *= (noise - self.common)[:, None]
        covariance *= self.own
        if self.signature is not None:
            covariance += values**2 @ self.signature
        gaps = self.eigenvalues[other] - self.eigenvalues[one]
        tied = np.abs(gaps) <= NEAR * np.abs(self.eigenvalues[other])
        left -= right
        left *= np.divide(self.beyond, gaps, out=np.zeros_like(gaps), where=~tied)
        covariance += left
        covariance[:, tied] += solved.twice[:, one[tied]] * self.beyond[tied]
        excess = (self.roughness - 1) * (solved.once - self.eigenvalues * solved.twice)
        covariance[:, one == other] += self.common * (solved.once + excess)
        return covariance

    def form(self, first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
        """Coefficients, P x rows, of the covariance of each row of `first` with that of `second`.

        Rows are combinations of the directions.
        """
        one, other = self.pairs
        coefficients = first[:, one] * second[:, other]
        coefficients += np.where(one == other, 0, first[:, other] * second[:, one])
        return coefficients.T


def _roughness(
    found: float,
    eigenvalues: NDArray[np.float64],
    noise: NDArray[np.float64],
    common: float,
    solved: SolveDiagonals,
) -> float:
    """Variance of the abundances over that of the prior, from ``weight tr(B'QB)`` of the fit.

    By moments, as variance components are (Harville 1977, J. Am. Stat. Assoc. 72): of abundances
    of r times the prior's variance, and scores of noise m_k, solving leaves the expected
    ``r s d_k^2 tr(H_k^2) + m_k (tr(H_k) - d_k tr(H_k^2))``, summed over k. The levels of the
    types were taken off: they are not rough.
    """
    twice = eigenvalues * solved.twice.sum(axis=0)
    of_noise = float(noise @ (solved.once.sum(axis=0) - twice))
    of_prior = common * float(eigenvalues @ twice)
    # Bounded abundances are smoother than the formula has them, so less than 1 says little.
    return max(1.0, (found - of_noise) / of_prior) if of_prior > 0 else 1.0
