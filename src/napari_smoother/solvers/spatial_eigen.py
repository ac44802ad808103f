"""Leading eigenvectors of X'(I - weight Q)X, the eigenproblem behind spatial principal components.

X is spots x genes, Q a precision of spots. By the theorem of Ky Fan (1949, PNAS 35) the k
orthonormal directions U with the largest tr(U'X'(I - weight Q)XU) are the eigenvectors of the k
algebraically largest eigenvalues, whether the matrix is indefinite or not.

Few genes: the matrix is formed and decomposed. Many: block Lanczos with full
reorthogonalisation and thick restarts (Golub and Underwood 1977; Wu and Simon 2000, SIAM J.
Matrix Anal. Appl. 22), in float32; the answer is then certified, and if need be improved, by
products in float64.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import Cancelled, InputError
from napari_smoother.solvers.spatial_scatter import SpatialScatter

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["Eigenvectors", "SpatialScatter", "leading_eigenvectors"]

FEW_GENES = 700
"""Up to here the whole matrix costs less than iterating."""

FORMABLE_GENES = 6000
"""Up to here the whole matrix is a way out where Lanczos iterations do not converge."""

BLOCK, WIDE_BLOCK, MANY = 8, 16, 16
"""Directions multiplied at a time, and the same for so many components and more of dense X: that
is read from memory, which takes as long for twice as many, though more are needed in all."""

KEPT, WIDE_KEPT = 160, 288
"""Directions kept besides the components before the search begins anew from the best."""

MOST_STEPS = 250
FORMED_STEPS = 40
"""As many cost what it takes to decompose the whole matrix, once that is formed."""

SINGLE_LIMIT = 3e-6
"""Relative residual below which products in float32 are of no more use."""


@dataclass(frozen=True, slots=True, eq=False)
class Eigenvectors:
    """Leading eigenvectors and what is known about them.

    Attributes
    ----------
    vectors
        Genes x k, float64, orthonormal, largest eigenvalue first. The entries of each add up to
        a positive number, or where they add up to nothing the largest is positive. Vectors of
        equal eigenvalues are any basis of their subspace.
    values
        k, float64, descending.
    residual
        Largest ||M u - value u|| over the largest |value|, from float64 products.
    spread
        tr(U'X'XU), the sum of squares of all scores.
    products
        Columns multiplied with the matrix; 0 where it was decomposed whole.
    seconds
        Wall time.
    converged
        Whether `residual` is at or below the tolerance (or rounding in float64).
    method
        ``"eigendecomposition"`` or ``"block Lanczos"``.
    """

    vectors: NDArray[np.float64]
    values: NDArray[np.float64]
    residual: float
    spread: float
    products: int
    seconds: float
    converged: bool
    method: str


def leading_eigenvectors(
    scatter: SpatialScatter,
    weight: float,
    k: int,
    *,
    start: NDArray[Any] | None = None,
    tolerance: float = SINGLE_LIMIT,
    seed: int = 0,
    cancelled: Callable[[], bool] | None = None,
) -> Eigenvectors:
    """Find the eigenvectors of the k algebraically largest eigenvalues.

    Parameters
    ----------
    scatter
        X and Q.
    weight
        Factor of Q, zero or more.
    k
        How many, from 1 to the number of genes.
    start
        A guess, genes x any number, for example the answer for another weight.
    tolerance
        Relative residual to stop at. The error of the sum of eigenvalues goes with its square.
    seed
        Of the start vectors.
    cancelled
        Asked between products.

    Returns
    -------
    Eigenvectors

    Raises
    ------
    InputError
        If the weight is negative or not finite, or k is not possible.
    Cancelled
        If ``cancelled`` returned True.
    """
    began = time.perf_counter()
    n_genes = scatter.n_genes
    if not (np.isfinite(weight) and weight >= 0):
        raise InputError(
            f"The weight of the prior is {weight}",
            where="spatial components",
            remedy="Choose a finite weight of at least 0",
        )
    if not 1 <= k <= n_genes:
        raise InputError(
            f"{k} components are asked for, and there are {n_genes} genes",
            where="spatial components",
            remedy=f"Choose from 1 to {n_genes}",
        )

    def asked() -> None:
        if cancelled is not None and cancelled():
            raise Cancelled("the search for components was cancelled")

    asked()
    products = 0
    method = "eigendecomposition"
    if n_genes <= FEW_GENES or 4 * k > n_genes:
        vectors = _decomposed(scatter, weight, k, asked)
        found = _certified(scatter, weight, vectors)
    else:
        method = "block Lanczos"
        search = _BlockLanczos(scatter, weight, k, tolerance, seed, asked, start is not None)
        found = search.run(start)
        products = search.products
        if not found.good_for(tolerance) and n_genes <= FORMABLE_GENES:
            method = "eigendecomposition"
            found = _certified(scatter, weight, _decomposed(scatter, weight, k, asked))
    return Eigenvectors(
        vectors=_signed(found.vectors),
        values=found.values,
        residual=found.residual,
        spread=found.spread,
        products=products,
        seconds=time.perf_counter() - began,
        converged=found.good_for(tolerance),
        method=method,
    )


def _decomposed(
    scatter: SpatialScatter, weight: float, k: int, asked: Callable[[], None]
) -> NDArray[np.float64]:
    from scipy.linalg import eigh

    plain, spatial = scatter.matrices(asked)
    n_genes = scatter.n_genes
    wanted = [n_genes - k, n_genes - 1]
    vectors = eigh(plain - weight * spatial, subset_by_index=wanted)[1]
    return np.asarray(vectors[:, ::-1])


@dataclass(frozen=True)
class _Certified:
    vectors: NDArray[np.float64]
    values: NDArray[np.float64]
    residual: float
    floor: float
    spread: float

    def good_for(self, tolerance: float) -> bool:
        return self.residual <= max(tolerance, self.floor)


def _certified(scatter: SpatialScatter, weight: float, vectors: NDArray[Any]) -> _Certified:
    """Best vectors of a subspace, and what is known of them."""
    basis = np.linalg.qr(np.asarray(vectors, np.float64))[0]
    image, spread = scatter.product_and_spread(basis, weight)
    values, turn = np.linalg.eigh(_symmetric(basis.T @ image))
    values, turn = values[::-1], turn[:, ::-1]
    basis, image = basis @ turn, image @ turn
    size = float(np.abs(values).max())
    distance = float(np.linalg.norm(image - basis * values, axis=0).max())
    residual = distance / size if size > 0 else distance
    # What rounding leaves of a product whose terms are larger than their sum.
    terms = scatter.size * (1 + weight * scatter.stiffness)
    floor = 1e-14 * terms / size if size > 0 else np.inf
    return _Certified(basis, values, residual, floor, spread)


class _BlockLanczos:
    """One search: its basis, the images of the basis, and the projected matrix."""

    def __init__(
        self,
        scatter: SpatialScatter,
        weight: float,
        k: int,
        tolerance: float,
        seed: int,
        asked: Callable[[], None],
        warm: bool,
    ) -> None:
        self.scatter, self.weight, self.k = scatter, weight, k
        self.tolerance, self.asked = tolerance, asked
        self.random = np.random.default_rng(seed)
        wide = k >= MANY and scatter.is_read_whole and not warm
        self.block = min(WIDE_BLOCK if wide else BLOCK, scatter.n_genes // 4)
        kept = WIDE_KEPT if wide else KEPT
        self.room = min(scatter.n_genes, max(3 * k, k + kept))
        self.products = 0
        self.most_steps = FORMED_STEPS if scatter.is_formed else MOST_STEPS

    def run(self, start: NDArray[Any] | None) -> _Certified:
        """Search in float32 as far as that goes, then in float64 where it is not enough."""
        shape = (self.scatter.n_genes, self.block)
        guess = self.random.standard_normal(shape)
        if start is not None:
            # A few mixtures of the start: a block of all of them would leave no room for their
            # images, and a little of everything else, which the start may lack.
            mixed = np.asarray(start, np.float64) @ self.random.standard_normal(
                (np.shape(start)[1], self.block)
            )
            guess = mixed + 0.01 * np.linalg.norm(mixed) / np.linalg.norm(guess) * guess
        if self.scatter.has_single:
            single = self._search(guess.astype(np.float32), max(self.tolerance, SINGLE_LIMIT))
            found = _certified(self.scatter, self.weight, single)
            if found.good_for(self.tolerance) or self.scatter.is_formed:
                return found
            guess = found.vectors @ self.random.standard_normal((self.k, self.block))
        return _certified(self.scatter, self.weight, self._search(guess, self.tolerance))

    def _search(self, guess: NDArray[Any], tolerance: float) -> NDArray[Any]:
        n_genes, k = self.scatter.n_genes, self.k
        basis = np.empty((n_genes, self.room), guess.dtype, order="F")
        image = np.empty_like(basis)
        projected = np.zeros((self.room, self.room))
        fresh = np.linalg.qr(guess)[0][:, : self.room]
        used = 0
        best = fresh[:, :k]
        for step in range(self.most_steps):
            self.asked()
            last, used = used, used + fresh.shape[1]
            basis[:, last:used] = fresh
            image[:, last:used] = self.scatter.product(fresh, self.weight)
            self.products += fresh.shape[1]
            part = basis[:, :used].T @ image[:, last:used]
            projected[:used, last:used] = part
            projected[last:used, :used] = part.T
            full = used + self.block > self.room
            remainder = image[:, last:used] - basis[:, :used] @ part
            if used >= k and (full or (step % 4 == 3 and used >= 3 * k)):
                values, turn = np.linalg.eigh(_symmetric(projected[:used, :used]))
                keep = min(k + self.block, used - 1)
                values, turn = values[::-1][:keep], turn[:, ::-1][:, :keep]
                wanted = turn[:, :k].astype(basis.dtype)
                best = basis[:, :used] @ wanted
                apart = image[:, :used] @ wanted - best * values[:k].astype(basis.dtype)
                error = float(np.linalg.norm(apart, axis=0).max())
                if error <= tolerance * float(np.abs(values[:k]).max()):
                    break
                if full:
                    kept = turn.astype(basis.dtype)
                    basis[:, :keep] = basis[:, :used] @ kept
                    image[:, :keep] = image[:, :used] @ kept
                    projected[...] = 0
                    projected[np.arange(keep), np.arange(keep)] = values
                    used = keep
                    remainder = apart
            fresh = self._orthonormal(remainder, basis[:, :used])
        return best

    def _orthonormal(self, block: NDArray[Any], basis: NDArray[Any]) -> NDArray[Any]:
        """Orthonormal block beside the basis; directions that vanish are replaced at random."""
        if block.shape[1] > self.block:
            block = np.linalg.svd(block, full_matrices=False)[0][:, : self.block]
        size = np.linalg.norm(block, axis=0)
        lost = size <= 1e-30
        for _ in range(3):
            if lost.any():
                drawn = self.random.standard_normal((len(block), int(lost.sum())))
                block[:, lost] = drawn.astype(block.dtype)
            block = block - basis @ (basis.T @ block)
            # Directions beside the basis and beside each other, the largest first.
            block = block / np.maximum(np.linalg.norm(block, axis=0), 1e-30)
            values, turn = np.linalg.eigh(_symmetric(block.T @ block))
            lost = values <= 100 * np.finfo(block.dtype).eps
            root = np.sqrt(np.where(lost, 1.0, values))
            block = block @ (turn / root).astype(block.dtype)
        return block


def _symmetric(matrix: NDArray[Any]) -> NDArray[np.float64]:
    wide = np.asarray(matrix, np.float64)
    return (wide + wide.T) / 2


def _signed(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn every vector to one of its two signs.

    By the sum, because it seldom passes through zero while a weight moves: the largest entry
    changes to one of the other sign far more often.
    """
    largest = np.abs(vectors).argmax(axis=0)
    total = vectors.sum(axis=0)
    entry = vectors[largest, np.arange(vectors.shape[1])]
    decisive = np.where(np.abs(total) > 1e-9 * np.sqrt(len(vectors)), total, entry)
    return vectors * np.where(decisive < 0, -1.0, 1.0)
