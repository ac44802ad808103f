"""The data's part of an objective that weighs every gene of every spot in its own way.

Sums over genes of any pointwise loss: value, gradient and a Gram matrix for every spot, a few
hundred spots at a time, so that nothing of the size genes x spots is held. The Gram matrices of a
piece are one product of the pointwise curvatures with the products of pairs of signatures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_smoother.models.deconv.likelihood import Expansion, Likelihood
from napari_smoother.models.deconv.quadratic_model import Curvature, reduced_model
from napari_smoother.models.deconv.rooms import Rooms
from napari_smoother.solvers.local_quadratic import LANES, group_count
from napari_smoother.solvers.row_blocks import share_out
from napari_smoother.solvers.threads import one_blas_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.inputs import Inputs

SPOTS_AT_ONCE = 4 * LANES

SAFETY = np.float32(1e-6)
"""Share of their diagonal that is added to Gram matrices; it changes steps, not the optimum."""


class _Room:
    """What one thread writes into, piece after piece: fresh memory costs as much as the work."""

    def __init__(self, genes: int) -> None:
        self.genes = genes
        self._wide = np.empty((2, genes * SPOTS_AT_ONCE))
        self._single = np.empty((2, genes * SPOTS_AT_ONCE), np.float32)

    def wide(self, size: int) -> NDArray[np.float64]:
        """Two times genes x so many spots, for expression and slopes."""
        return self._wide[:, : self.genes * size].reshape(2, self.genes, size)

    def single(self, size: int) -> NDArray[np.float32]:
        """Two times genes x so many spots, for curvatures and those with the slope's sign."""
        return self._single[:, : self.genes * size].reshape(2, self.genes, size)


class PointwiseLikelihood(Likelihood):
    """A likelihood from a loss with second derivatives.

    Parameters
    ----------
    inputs
        Signature, expression and weights.
    bias
        Whether every spot has a free constant.
    kernel
        One of `pointwise`.
    settings
        Numbers for the kernel; its second is the width of the tube, where there is one.
    by_spot
        Makes the kernel's numbers for some spots of their place and expression (genes x spots).
    ridge, tube, constant_curvature
        See `Likelihood`.
    """

    def __init__(
        self,
        inputs: Inputs,
        bias: bool,
        kernel: Callable[..., None],
        settings: tuple[float, ...],
        *,
        by_spot: Callable[[slice, NDArray[np.float64]], NDArray[np.float64]] | None = None,
        ridge: NDArray[np.float64] | None = None,
        tube: float | None = None,
        constant_curvature: bool = False,
    ) -> None:
        super().__init__(
            inputs, bias, ridge=ridge, tube=tube, constant_curvature=constant_curvature
        )
        self.kernel, self.by_spot = kernel, by_spot
        self.settings = np.array(settings, dtype=np.float64)
        self._known: Curvature | None = None
        self._pairs = np.ascontiguousarray(self._products.T)
        self._single = inputs.signature.astype(np.float32)
        self._rooms = Rooms(lambda: _Room(inputs.n_genes))

    def expand(self, state: State, curvature: bool = True) -> Expansion:
        """Return value, gradients and, unless not wanted, the quadratic model at a state."""
        inputs = self.inputs
        values = state[0]
        settings = self.settings.copy()
        if self.tube is not None:
            settings[1] = state[-1].item()
        fresh = curvature and self._known is None
        collected = Curvature(inputs.n_spots, inputs.n_types) if fresh else None
        gradient = np.empty_like(values)
        by_constant = np.zeros(inputs.n_spots)
        pieces = -(-inputs.n_spots // SPOTS_AT_ONCE)
        sums = np.zeros((pieces, 3))

        def expand_pieces(first: int, last: int) -> None:
            with self._rooms.one() as room:
                for piece in range(first, last):
                    self.asked()
                    begin = piece * SPOTS_AT_ONCE
                    spots = slice(begin, min(begin + SPOTS_AT_ONCE, inputs.n_spots))
                    slope, curve, sums[piece, :2] = self._pointwise(state, spots, settings, room)
                    gradient[spots] = (inputs.signature.T @ slope).T
                    by_constant[spots] = slope.sum(axis=0)
                    if collected is not None:
                        sums[piece, 2] = self._collect(collected, spots, curve, slope, room)

        with one_blas_thread():
            share_out(expand_pieces, pieces, self.n_values, ())
        total, by_width, width_own = (float(column) for column in sums.sum(axis=0))
        if collected is not None:
            collected.width_own = width_own
        total += float((self.ridge * values**2).sum()) / 2
        gradient += self.ridge * values
        gradients = [gradient]
        if self.bias:
            gradients.append(by_constant)
        if self.tube is not None:
            total += self.tube * settings[1]
            gradients.append(np.array([self.tube - by_width]))
        if not curvature:
            return Expansion(total, gradients)
        known = collected if self._known is None else self._known
        assert known is not None
        if self.constant_curvature:
            self._known = known
        model = reduced_model(state, gradients, known, bias=self.bias, tube=self.tube is not None)
        return Expansion(total, gradients, model)

    def _pointwise(
        self, state: State, spots: slice, settings: NDArray[np.float64], room: _Room
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]]:
        """Return slope and curvature for every gene of some spots, and the kernel's sums."""
        inputs = self.inputs
        seen, slope = room.wide(spots.stop - spots.start)
        inputs.read_spots(spots.start, spots.stop, seen)
        np.matmul(inputs.signature, state[0][spots].T, out=slope)
        if self.bias:
            slope += state[1][spots]
        curve = room.single(slope.shape[1])[0]
        sums = np.zeros((2, inputs.n_genes))
        each = np.zeros(0) if self.by_spot is None else self.by_spot(spots, seen)
        self.kernel(seen, slope, inputs.weights, each, settings, curve, sums, 0, inputs.n_genes)
        return slope, curve, sums.sum(axis=1)

    def _collect(
        self,
        collected: Curvature,
        spots: slice,
        curve: NDArray[np.float32],
        slope: NDArray[np.float64],
        room: _Room,
    ) -> float:
        """Sum the pointwise curvatures of some spots over genes; return the sum of all."""
        packed = self._pairs @ curve
        own = curve.sum(axis=0)
        if self.bias:
            cross = self._centred.T @ curve
            inverse = np.divide(1, own, out=np.zeros_like(own), where=own > 0)
            packed -= cross[self._lower[0]] * (cross[self._lower[1]] * inverse)
            collected.cross[spots] = cross.T + own[:, None] * self._shift
            collected.own[spots] = own
        diagonal = [k * (k + 1) // 2 + k for k in range(self.inputs.n_types)]
        # Rounded to float32, the matrix of collinear signatures can have a direction that is
        # bent down, in which a quadratic model has no optimum.
        packed[diagonal] *= 1 + SAFETY
        packed[diagonal] += self.ridge[:, None]
        size = spots.stop - spots.start
        groups = group_count(size)
        if size < groups * LANES:
            packed = np.pad(packed, ((0, 0), (0, groups * LANES - size)))
        begin = spots.start // LANES
        collected.blocks[begin : begin + groups] = packed.reshape(-1, groups, LANES).transpose(
            1, 0, 2
        )
        if self.tube is not None:
            signed = room.single(size)[1]
            np.copysign(curve, slope, out=signed, casting="same_kind")
            collected.width_cross[spots] = -(self._single.T @ signed).T
            collected.width_constant[spots] = -signed.sum(axis=0)
        return float(own.sum(dtype=np.float64))
