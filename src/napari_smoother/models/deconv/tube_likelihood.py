"""The absolute loss outside a tube, made smooth around multipliers that are renewed.

``c max(|r| - e, 0)`` has two kinks. Its envelope around a multiplier c q of a residual (the
augmented Lagrangian; Rockafellar 1976, Mathematics of Operations Research 1:97-116) is quadratic
in a band of the width d and smooth everywhere: with ``t = r + d q`` and the new share
``m = min(max((|t| - e) / d, 0), 1)``, it is ``c (m (|t| - e) - d m^2 / 2 - d q^2 / 2)``. Its
minimum tends to that of the loss as q is replaced by m sign(t), whatever d.

The shares are also a point of the dual problem, once they are scaled to be feasible in it, from
which `lower_bound` has a number that no choice of abundances, constants and width can go below.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_smoother.models.deconv.likelihood import Expansion, Likelihood
from napari_smoother.models.deconv.quadratic_model import Curvature, reduced_model
from napari_smoother.models.deconv.rooms import Rooms
from napari_smoother.models.deconv.tube_loops import bend_few, bend_many, pack, settle, tube_values
from napari_smoother.solvers.local_quadratic import LANES
from napari_smoother.solvers.row_blocks import share_out
from napari_smoother.solvers.threads import one_blas_thread

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_smoother.models.deconv.descent import State
    from napari_smoother.models.deconv.inputs import Inputs

SPOTS_AT_ONCE = 4 * LANES

MANY = 0.12
"""Share of values in the band from which dense products cost less than one value at a time."""

FLOOR = 8e-3
"""Share of the curvature inside the band that all values have in Newton's model, so that spots
with no value in the band have a model too."""


def _nothing() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True)
class TubeExpansion(Expansion):
    """The smoothed loss around a state, and what the bound needs.

    Attributes
    ----------
    state
        The state that is expanded around: the one asked for, or one with other constants.
    before
        The value there under the multipliers before, where they were renewed; else that now.
    excess
        The true loss less the smoothed one.
    rounding
        By how much the multipliers fall short of the true loss: what the band costs the bound.
    pushes, amounts, reaches
        Sums over the values above (first) and below the tube, by spot: derivatives by abundances
        (2 x n x K), sizes of the multipliers, and multipliers times residuals (both 2 x n).
    """

    state: State = field(default_factory=list)
    before: float = 0.0
    excess: float = 0.0
    rounding: float = 0.0
    pushes: NDArray[np.float64] = field(default_factory=_nothing)
    amounts: NDArray[np.float64] = field(default_factory=_nothing)
    reaches: NDArray[np.float64] = field(default_factory=_nothing)


def _pieces(n_spots: int) -> list[slice]:
    """Return the pieces that spots are worked through in."""
    ends = [*range(SPOTS_AT_ONCE, n_spots, SPOTS_AT_ONCE), n_spots]
    return [slice(end - (end - 1) % SPOTS_AT_ONCE - 1, end) for end in ends]


class _Room:
    """What one thread writes into, piece after piece: fresh memory costs as much as the work."""

    def __init__(self, genes: int) -> None:
        self.genes = genes
        self.values: NDArray[Any] = np.empty(0)
        self.inside = np.empty(genes * SPOTS_AT_ONCE, np.int8)
        self.bends = np.empty(0, np.float32)

    def for_spots(
        self, size: int, kind: type[np.floating]
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.int8]]:
        """Return fitted values, values below the tube, and marks in whole words, all zero."""
        if self.values.size == 0 or self.values.dtype != kind:
            self.values = np.empty((2, self.genes * SPOTS_AT_ONCE), kind)
        shape, whole = (self.genes, size), -(-size // 8) * 8
        inside = self.inside[: self.genes * whole].reshape(self.genes, whole)
        inside[:] = 0
        fitted, below = (part[: self.genes * size].reshape(shape) for part in self.values)
        return fitted, below, inside

    def for_bends(self, size: int) -> NDArray[np.float32]:
        """Return the second derivatives at either side."""
        if self.bends.size == 0:
            self.bends = np.empty(2 * self.genes * SPOTS_AT_ONCE, np.float32)
        return self.bends[: 2 * self.genes * size].reshape(2, self.genes, size)


class TubeLikelihood(Likelihood):
    """The absolute loss outside a tube around multipliers, which are zero at first.

    Multipliers take four bytes for every gene and spot: those in force, and those of a point that
    is tried.

    Attributes
    ----------
    band
        d: may be set between expansions while there are no multipliers.
    exact
        Whether residuals are formed in float64; float32 does for a share of 1e-5 and up.
    cost
        Slope of the loss of every gene outside the tube and the band.

    Parameters
    ----------
    inputs
        Signature, expression and weights.
    bias
        Whether every spot has a free constant.
    cost
        C: the loss of a value is ``C/2 max(|r| - e, 0)`` times the weight of its gene.
    band
        d, above zero.
    ridge, tube
        See `Likelihood`.
    """

    def __init__(
        self,
        inputs: Inputs,
        bias: bool,
        cost: float,
        band: float,
        *,
        ridge: NDArray[np.float64],
        tube: float,
    ) -> None:
        super().__init__(inputs, bias, ridge=ridge, tube=tube)
        self.band, self.exact = band, True
        self.cost = cost * inputs.weights / 2
        # A piece of the spots after the other, each genes x spots and without gaps: rows of a
        # few spots, each on another page of memory, would take twice as long to read.
        self._centre = self._none()
        self._tried: tuple[list[NDArray[np.int16]], float] = ([], 0.0)
        self._kept: list[NDArray[Any] | None] = [None] * len(self._centre)
        self._rooms = Rooms(lambda: _Room(inputs.n_genes))
        # Curvature of all values, for FLOOR: abundances, with constants, constants.
        self._base = (
            (self.cost @ self._products).astype(np.float32),
            (self.cost @ self._centred).astype(np.float32),
            np.float32(self.cost.sum()),
        )

    @property
    def noise(self) -> float:
        """Relative rounding of the value, by which it may rise in a step."""
        return 1e-14 if self.exact else 1e-7

    def expand(self, state: State, curvature: bool = True) -> TubeExpansion:
        """Return value, gradients and, unless not wanted, the quadratic model at a state."""
        return self._expand(state, curvature=curvature)

    def settle(self, state: State) -> TubeExpansion:
        """Expand where every constant has taken a step of Newton alone from this state."""
        return self._expand(state, settled=True)

    def renew(self, state: State, band: float) -> TubeExpansion:
        """Do the same under multipliers renewed there and with another band.

        They hold from `adopt` on, so that a point can be refused.
        """
        return self._expand(state, settled=True, after=band)

    def multipliers(self, stride: int) -> NDArray[np.int16]:
        """Return those of every `stride`-th spot, genes x spots, in parts of `STEPS`."""
        begins = [spots.start for spots in _pieces(self.inputs.n_spots)]
        parts = zip(begins, self._centre, strict=True)
        return np.hstack([part[:, -begin % stride :: stride] for begin, part in parts])

    def adopt(self) -> None:
        """Let the multipliers and the band of the last `renew` hold."""
        fresh, band = self._tried
        self._tried = (self._centre, self.band)
        self._centre, self.band = fresh, band

    def _expand(
        self, state: State, *, curvature: bool = True, settled: bool = False, after: float = 0.0
    ) -> TubeExpansion:
        inputs, values, width = self.inputs, state[0], state[-1].item()
        n_spots, n_types = inputs.n_spots, inputs.n_types
        assert self.tube is not None
        kind = np.float64 if self.exact else np.float32
        settings = np.array([width, self.band, after], kind)
        centre, band = self._centre, self.band
        if after:
            self._tried = centre, band = self._tried[0] or self._none(), after
        # A last column for constants, and for the sizes of the multipliers.
        signature: NDArray[Any] = np.ones((inputs.n_genes, n_types + 1), kind)
        signature[:, :-1] = inputs.signature
        rounded: NDArray[Any] = np.zeros((n_spots, n_types + 1), kind)
        rounded[:, :-1] = values
        if self.bias:
            rounded[:, -1] = state[1]
        pushes = np.empty((2, n_spots, n_types))
        amounts, reaches = np.empty((2, n_spots)), np.empty((2, n_spots))
        known = Curvature(n_spots if curvature else 0, n_types)
        shifts: NDArray[Any] = np.zeros(n_spots, kind)
        pieces = _pieces(n_spots)
        sums = np.zeros((len(pieces), 4))

        def expand_pieces(first: int, last: int) -> None:
            with self._rooms.one() as room:
                for piece in range(first, last):
                    self.asked()
                    spots = pieces[piece]
                    size = spots.stop - spots.start
                    fitted, below, inside = room.for_spots(size, kind)
                    np.dot(signature, rounded[spots].T, out=fitted)
                    seen, shift, reach = self._seen_in(piece), shifts[spots], np.zeros((2, size))
                    kept = centre[piece]
                    if after or (settled and self.bias):
                        centres = (self._centre[piece], kept)
                        sums[piece, 3] = settle(
                            seen, fitted, self.cost, *centres, settings, self.bias, shift
                        )
                    width_and_band = (settings[0], kind(band))
                    sums[piece, :2] = tube_values(
                        seen, fitted, shift, below, inside, self.cost, kept, *width_and_band, reach
                    )
                    for side, pushed in enumerate((fitted, below)):
                        summed = pushed.T @ signature
                        pushes[side, spots] = summed[:, :-1] * (1 - 2 * side)
                        amounts[side, spots] = summed[:, -1]
                    reaches[:, spots] = reach
                    if curvature:
                        packed, cross, own = self._floor(size, band)
                        given = (self.cost, band, self._centred, self._products)
                        if np.count_nonzero(inside) > MANY * fitted.size:
                            bends = room.for_bends(size)
                            bend_many(fitted, inside, bends, *given, packed, cross, own)
                        else:
                            words = inside.view(np.int64)
                            bend_few(fitted, inside, words, *given, packed, cross, own)
                        groups = known.blocks[spots.start // LANES :]
                        pack(packed, cross, own, self.ridge, self.bias, groups)
                        self._keep(known, spots, cross, own)
                        sums[piece, 2] = own.sum(dtype=np.float64)

        with one_blas_thread():
            share_out(expand_pieces, len(pieces), self.n_values, ())
        smoothed, true, known.width_own, before = (float(column) for column in sums.sum(axis=0))
        apart = float((self.ridge * values**2).sum()) / 2 + self.tube * width
        gradients = [pushes[0] + pushes[1] + self.ridge * values]
        if self.bias:
            gradients.append(amounts[0] - amounts[1])
        gradients.append(np.array([self.tube - float(amounts.sum())]))
        if self.bias:
            state = [values, state[1] + shifts, state[-1]]
        model = None
        if curvature:
            model = reduced_model(state, gradients, known, bias=self.bias, tube=True)
        rounding = true - float(reaches.sum()) + width * float(amounts.sum())
        return TubeExpansion(
            smoothed + apart,
            gradients,
            model,
            state,
            (before if after else smoothed) + apart,
            true - smoothed,
            rounding,
            pushes,
            amounts,
            reaches,
        )

    def _none(self) -> list[NDArray[np.int16]]:
        return [
            np.zeros((self.inputs.n_genes, spots.stop - spots.start), np.int16)
            for spots in _pieces(self.inputs.n_spots)
        ]

    def _seen_in(self, piece: int) -> NDArray[Any]:
        """Return expression in a piece, in the precision of the values; dense ones are kept."""
        kind = np.float64 if self.exact else np.float32
        found = self._kept[piece]
        if found is None or found.dtype != kind:
            block = self.inputs.expression[:, _pieces(self.inputs.n_spots)[piece]]
            is_sparse: bool = sparse.issparse(block)
            found = np.ascontiguousarray(block.toarray() if is_sparse else block, dtype=kind)
            if not is_sparse:
                self._kept[piece] = found
        return found

    def _floor(
        self, spots: int, band: float
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """Return the sums of curvature of some spots as they begin, half of it at either side."""
        share = np.float32(FLOOR / band)
        packed = np.tile(self._base[0] * share, (spots, 1))
        cross = np.tile(self._base[1] * (share / 2), (2, spots, 1))
        return packed, cross, np.full((2, spots), self._base[2] * share / 2, np.float32)

    def _keep(
        self,
        known: Curvature,
        spots: slice,
        cross: NDArray[np.float32],
        own: NDArray[np.float32],
    ) -> None:
        """Keep what constants and width need, for the signature as it is."""
        whole = cross + own[:, :, None] * self._shift
        known.cross[spots] = whole[0] + whole[1]
        known.own[spots] = own[0] + own[1]
        known.width_cross[spots] = whole[1] - whole[0]
        known.width_constant[spots] = own[1] - own[0]


def lower_bound(
    likelihood: TubeLikelihood,
    here: TubeExpansion,
    state: State,
    smooth: NDArray[np.float64],
    *,
    nonneg: bool,
) -> float:
    """Return a number that the objective nowhere goes below.

    The multipliers at either side are scaled so that they sum to zero in every spot with a
    constant, and all of them so that their sizes sum to no more than the derivative by the
    width. That makes a feasible point of the dual problem (weak duality), whose value is taken
    at the present abundances, less the most that other abundances could take from it, for which
    the ridge alone is counted.

    Parameters
    ----------
    likelihood
        The data's part.
    here, state
        Its expansion at a state.
    smooth
        ``weight Q B``, n x K.
    nonneg
        Whether abundances must not be negative.

    Returns
    -------
    float
        On the scale of `Likelihood`, the prior included.
    """
    assert likelihood.tube is not None
    amounts, ridge = here.amounts, likelihood.ridge
    least = amounts.min(axis=0) if likelihood.bias else amounts
    kept = np.divide(least, amounts, out=np.ones_like(amounts), where=amounts > 0)
    total = float((kept * amounts).sum())
    scale = min(1.0, likelihood.tube / total) if total > 0 else 1.0
    kept *= scale
    values = state[0]
    push = kept[0][:, None] * here.pushes[0] + kept[1][:, None] * here.pushes[1]
    slope = push + ridge * values + smooth
    fall = slope**2 / (2 * ridge)
    if nonneg:
        # Down the slope, an abundance only goes to zero.
        to_zero = slope * values - ridge * values**2 / 2
        fall = np.where(slope > ridge * values, to_zero, fall)
    own = float(np.vdot(values, ridge * values + smooth)) / 2
    return own + float((kept * here.reaches).sum()) - float(fall.sum())
