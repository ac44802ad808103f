"""The data's part of an objective that weighs every gene of every spot in its own way.

Sums over genes of any pointwise loss: value, gradient and a Gram matrix for every spot, a few
hundred spots at a time, so that nothing of the size genes x spots is held. The Gram matrices of a
piece are one product of the pointwise curvatures with the products of pairs of signatures.

Constants of spots, and the one width that all spots of nu-SVR share, are eliminated from the
quadratic model (Schur complements), so the solver sees abundances only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_smoother.errors import Cancelled
from napari_smoother.models.deconv.fit import FitReport, Fitted
from napari_smoother.models.deconv.threads import one_blas_thread
from napari_smoother.solvers.free_blocks import LANES
from napari_smoother.solvers.local_blocks import group_count, packed_size
from napari_smoother.solvers.local_quadratic import LocalTerm, block_product
from napari_smoother.solvers.row_blocks import share_out

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.inputs import Inputs

SPOTS_AT_ONCE = 4 * LANES


@dataclass(frozen=True)
class Expansion:
    """A quadratic model of the data's part around a state.

    Attributes
    ----------
    value
        The data's part here.
    gradients
        Its derivatives by every part of the state.
    term
        The model of the abundances alone: the rest at its best for each of them.
    fill
        Turns a change of the abundances into the change of the whole state.
    excess, gap
        Of a smoothed tube: the true loss minus the smoothed one, and the most that the true loss
        can fall where the smoothed one is at its minimum.
    """

    value: float
    gradients: State
    term: LocalTerm | None = None
    fill: Callable[[NDArray[np.float64]], State] | None = None
    excess: float = 0.0
    gap: float = 0.0


class Likelihood:
    """A pointwise loss of ``Y - X B' - 1 g'``, times genes x spots / 2.

    The state is [B], with a bias [B, g], and the width of a tube comes last.

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
    ridge
        Added to the curvature of every type: K numbers.
    tube
        Derivative of the data's part by the width apart from the losses, where there is a tube.
    constant_curvature
        Whether the Gram matrices are the same at every state.

    Attributes
    ----------
    cancelled
        Asked at every piece of the spots.
    report
        Called with the abundances and their residual after every step of Newton.
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
        self.inputs, self.bias, self.kernel = inputs, bias, kernel
        self.settings = np.array(settings, dtype=np.float64)
        self.by_spot, self.tube = by_spot, tube
        self.ridge = np.zeros(inputs.n_types) if ridge is None else ridge
        self.constant_curvature = constant_curvature
        self._known: _Curvature | None = None
        self.cancelled: Callable[[], bool] | None = None
        self.report: Callable[[NDArray[np.float64], float], None] | None = None
        # Constants absorb any shift of the signature; a small one keeps rounding small.
        signature = inputs.signature
        self._shift = signature.mean(axis=0) if bias else np.zeros(inputs.n_types)
        self._centred = (signature - self._shift).astype(np.float32)
        self._lower = np.tril_indices(inputs.n_types)
        self._pairs = np.ascontiguousarray(
            (self._centred[:, self._lower[0]] * self._centred[:, self._lower[1]]).T
        )

    @property
    def n_values(self) -> int:
        """Genes x spots."""
        return self.inputs.n_genes * self.inputs.n_spots

    def expand(self, state: State, curvature: bool = True) -> Expansion:
        """Return value, gradients and, unless not wanted, the quadratic model at a state."""
        inputs = self.inputs
        values = state[0]
        settings = self.settings.copy()
        if self.tube is not None:
            settings[1] = state[-1].item()
        fresh = curvature and self._known is None
        collected = _Curvature(inputs.n_spots, inputs.n_types) if fresh else None
        gradient = np.empty_like(values)
        by_constant = np.zeros(inputs.n_spots)
        pieces = -(-inputs.n_spots // SPOTS_AT_ONCE)
        sums = np.zeros((pieces, 5))

        def expand_pieces(first: int, last: int) -> None:
            for piece in range(first, last):
                if self.cancelled is not None and self.cancelled():
                    raise Cancelled("the fit was cancelled")
                begin = piece * SPOTS_AT_ONCE
                spots = slice(begin, min(begin + SPOTS_AT_ONCE, inputs.n_spots))
                slope, curve, sums[piece, :4] = self._pointwise(state, spots, settings)
                gradient[spots] = (inputs.signature.T @ slope).T
                by_constant[spots] = slope.sum(axis=0)
                sums[piece, 4] = curve.sum(dtype=np.float64)
                if collected is not None:
                    self._collect(collected, spots, curve, slope)

        with one_blas_thread():
            share_out(expand_pieces, pieces, self.n_values, ())
        total, by_width, true, bound, width_own = (float(column) for column in sums.sum(axis=0))
        excess, gap = true - total, true - bound
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
            return Expansion(total, gradients, excess=excess, gap=gap)
        known = collected if self._known is None else self._known
        assert known is not None
        if self.constant_curvature:
            self._known = known
        return self._reduced(total, state, gradients, known)

    def _pointwise(
        self, state: State, spots: slice, settings: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float32], NDArray[np.float64]]:
        """Return slope and curvature for every gene of some spots, and the kernel's sums."""
        inputs = self.inputs
        seen = inputs.spots_block(spots.start, spots.stop)
        slope = inputs.signature @ state[0][spots].T
        if self.bias:
            slope += state[1][spots]
        curve = np.empty(slope.shape, np.float32)
        sums = np.zeros((4, inputs.n_genes))
        each = np.zeros(0) if self.by_spot is None else self.by_spot(spots, seen)
        self.kernel(seen, slope, inputs.weights, each, settings, curve, sums, 0, inputs.n_genes)
        return slope, curve, sums.sum(axis=1)

    def _collect(
        self,
        collected: _Curvature,
        spots: slice,
        curve: NDArray[np.float32],
        slope: NDArray[np.float64],
    ) -> None:
        """Sum the pointwise curvatures of some spots over genes."""
        packed = self._pairs @ curve
        if self.bias:
            cross = self._centred.T @ curve
            own = curve.sum(axis=0)
            inverse = np.divide(1, own, out=np.zeros_like(own), where=own > 0)
            packed -= cross[self._lower[0]] * (cross[self._lower[1]] * inverse)
            collected.cross[spots] = cross.T + own[:, None] * self._shift
            collected.own[spots] = own
        types = self.inputs.n_types
        packed[[k * (k + 1) // 2 + k for k in range(types)]] += self.ridge[:, None]
        size = spots.stop - spots.start
        groups = group_count(size)
        if size < groups * LANES:
            packed = np.pad(packed, ((0, 0), (0, groups * LANES - size)))
        begin = spots.start // LANES
        collected.blocks[begin : begin + groups] = packed.reshape(-1, groups, LANES).transpose(
            1, 0, 2
        )
        if self.tube is not None:
            signed = np.copysign(curve, slope)
            collected.width_cross[spots] = -(self.inputs.signature.T @ signed).T
            collected.width_constant[spots] = -signed.sum(axis=0)

    def _reduced(
        self, total: float, state: State, gradients: State, known: _Curvature
    ) -> Expansion:
        """Eliminate constants and width from the quadratic model."""
        gradient = gradients[0]
        inverse = np.divide(1, known.own, out=np.zeros_like(known.own), where=known.own > 0)
        if self.bias:
            gradient = gradient - known.cross * (gradients[1] * inverse)[:, None]
        coupling, pull, stiffness = None, 0.0, 0.0
        if self.tube is not None:
            across, along = known.width_cross, known.width_constant
            stiffness, pull = known.width_own, gradients[-1].item()
            if self.bias:
                across = across - known.cross * (along * inverse)[:, None]
                stiffness -= float((along**2 * inverse).sum())
                pull -= float((along * inverse * gradients[1]).sum())
            at_rest = state[-1].item() <= 0 and pull > 0
            if stiffness > 1e-9 * known.width_own and not at_rest:
                coupling = across / np.sqrt(stiffness)
                gradient = gradient - across * (pull / stiffness)
            else:
                stiffness = 0.0
        linear = block_product(known.blocks, state[0]) - gradient
        if coupling is not None:
            linear -= coupling * float(np.vdot(coupling, state[0]))

        def fill(change: NDArray[np.float64]) -> State:
            parts = [change]
            width = 0.0
            if stiffness > 0:
                assert coupling is not None
                width = -(pull / stiffness) - float(np.vdot(coupling, change)) / np.sqrt(stiffness)
                width = max(width, -state[-1].item())
            if self.bias:
                moved = np.einsum("nk,nk->n", known.cross, change) + known.width_constant * width
                parts.append(-inverse * (gradients[1] + moved))
            if self.tube is not None:
                parts.append(np.array([width]))
            return parts

        return Expansion(total, gradients, LocalTerm(known.blocks, linear, coupling), fill)

    # What `descend` needs, on the scale of the published objective.

    def state(self, fitted: Fitted) -> State:  # noqa: D102
        parts = [fitted.abundance]
        if self.bias:
            parts.append(fitted.intercepts)
        if self.tube is not None:
            parts.append(np.array([fitted.extra or 0.0]))
        return parts

    def bounds(self, nonneg: bool) -> list[bool]:  # noqa: D102
        return [nonneg] + [False] * self.bias + [True] * (self.tube is not None)

    def evaluate(self, state: State) -> tuple[float, State]:  # noqa: D102
        found = self.expand(state, curvature=False)
        scale = 2 / self.n_values
        return scale * found.value, [scale * gradient for gradient in found.gradients]

    def fitted(self, state: State, report: FitReport) -> Fitted:  # noqa: D102
        return Fitted(
            abundance=state[0],
            intercepts=state[1] if self.bias else np.zeros(self.inputs.n_spots),
            report=report,
            extra=state[-1].item() if self.tube is not None else None,
        )


class _Curvature:
    """Second derivatives of the data's part, summed over genes.

    Attributes
    ----------
    blocks
        Gram matrices, packed; constants already eliminated.
    cross, own
        Between abundances and the constant of each spot (n x K), and of the constant (n).
    width_cross, width_constant, width_own
        Between the width of the tube and abundances, constants and itself.
    """

    def __init__(self, n_spots: int, n_types: int) -> None:
        shape = (group_count(n_spots), packed_size(n_types), LANES)
        self.blocks: NDArray[np.float32] = np.zeros(shape, np.float32)
        self.cross: NDArray[Any] = np.zeros((n_spots, n_types))
        self.own: NDArray[Any] = np.zeros(n_spots)
        self.width_cross: NDArray[Any] = np.zeros((n_spots, n_types))
        self.width_constant: NDArray[Any] = np.zeros(n_spots)
        self.width_own = 0.0
