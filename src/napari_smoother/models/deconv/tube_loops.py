"""Compiled loops over the values of spots under the smoothed absolute loss of a tube."""

from __future__ import annotations

import numba
import numpy as np

from napari_smoother.models.deconv.pointwise import FAST
from napari_smoother.solvers.free_blocks import LANES

STEPS = 32767
"""Multipliers are kept as whole numbers of 16 bits, in steps of this part of their bound."""


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _renew(y, fitted, kept, width, band):  # type: ignore[no-untyped-def]
    """Put the shares at the present residuals, signed, in place of the multipliers."""
    number = fitted.dtype.type
    most, zero, half, one = number(STEPS), number(0), number(0.5), number(1)
    scale, slope = band / most, one / band
    for spot in range(y.size):
        moved = fitted[spot] - y[spot] + scale * number(kept[spot])
        part = (abs(moved) - width) * slope
        part = zero if part < zero else part
        part = one if part > one else part
        part = part * most + half
        kept[spot] = np.int16(part if moved > zero else -part)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _shares_around(y, fitted, kept, width, band, share):  # type: ignore[no-untyped-def]
    """Overwrite fitted values by residuals; write signed shares, and sum both losses."""
    number = fitted.dtype.type
    zero, half, one = number(0), number(0.5), number(1)
    scale, slope = one / number(STEPS), one / band
    smoothed = sharp = zero
    for spot in range(y.size):
        left = fitted[spot] - y[spot]
        fitted[spot] = left
        around = scale * number(kept[spot])
        moved = left + band * around
        over = abs(moved) - width
        part = over * slope
        part = zero if part < zero else part
        part = one if part > one else part
        smoothed += part * over - band * half * (part * part + around * around)
        apart = abs(left) - width
        sharp += zero if apart < zero else apart
        share[spot] = part if moved > zero else -part
    return smoothed, sharp


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _shares(y, fitted, width, band, share):  # type: ignore[no-untyped-def]
    """Do the same without multipliers."""
    number = fitted.dtype.type
    zero, half, one = number(0), number(0.5), number(1)
    slope = one / band
    smoothed = sharp = zero
    for spot in range(y.size):
        left = fitted[spot] - y[spot]
        fitted[spot] = left
        over = abs(left) - width
        over = zero if over < zero else over
        part = over * slope
        part = one if part > one else part
        smoothed += part * (over - band * half * part)
        sharp += over
        share[spot] = part if left > zero else -part
    return smoothed, sharp


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def tube_pass(  # type: ignore[no-untyped-def]
    y,
    fitted,
    cost,
    centre,
    offset,
    settings,
    signature,
    centred,
    products,
    curved,
    pushes,
    amounts,
    reaches,
    packed,
    cross,
    own,
):
    """Sum over genes what the values of a few spots ask for; return smoothed and true loss.

    Fitted values are overwritten by residuals.

    `settings` is (e, d, the d of before or 0): where that is above 0, the multipliers in
    `centre`, whose column `offset` is the first spot, are renewed first. What values above
    (first) and below the tube add is kept apart: derivatives by abundances and constants
    (`pushes`, `amounts`), multipliers times residuals (`reaches`), and, where `curved`, second
    derivatives between abundances and constants and of constants (`cross`, `own`); those of the
    abundances are packed in `packed`, a row a spot.
    """
    genes, spots = y.shape
    types = signature.shape[1]
    pairs = products.shape[1]
    held = centre.shape[0] > 0
    width, band, before = settings[0], settings[1], settings[2]
    share = np.zeros(LANES, fitted.dtype)
    value = 0.0
    true = 0.0
    # A few spots at a time, so that what is summed stays in the first caches.
    for start in range(0, spots, LANES):
        stop = min(start + LANES, spots)
        for gene in range(genes):
            price = cost[gene]
            if price == 0:
                continue
            seen, left = y[gene, start:stop], fitted[gene, start:stop]
            if held:
                kept = centre[gene, offset + start : offset + stop]
                if before > 0:
                    _renew(seen, left, kept, width, before)
                smoothed, sharp = _shares_around(seen, left, kept, width, band, share)
            else:
                smoothed, sharp = _shares(seen, left, width, band, share)
            value += price * smoothed
            true += price * sharp
            bend = np.float32(price / band)
            for lane in range(stop - start):
                part = share[lane]
                if part == 0:
                    continue
                spot = start + lane
                side = 0 if part > 0 else 1
                push = price * part
                amounts[side, spot] += abs(push)
                reaches[side, spot] += push * left[lane]
                row = pushes[side, spot]
                for k in range(types):
                    row[k] += push * signature[gene, k]
                if curved and abs(part) < 1:
                    own[side, spot] += bend
                    for k in range(types):
                        cross[side, spot, k] += bend * centred[gene, k]
                    for pair in range(pairs):
                        packed[spot, pair] += bend * products[gene, pair]
    return value, true


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def pack(packed, cross, own, ridge, constants, blocks):  # type: ignore[no-untyped-def]
    """Eliminate constants, if wanted, add the ridge, and lay spots side by side in `blocks`."""
    spots, types = cross.shape[1:]
    for spot in range(spots):
        group, lane = spot // LANES, spot % LANES
        total = own[0, spot] + own[1, spot]
        inverse = 1 / total if constants and total > 0 else np.float32(0)
        place = 0
        for a in range(types):
            for b in range(a + 1):
                entry = packed[spot, place]
                along = cross[0, spot, a] + cross[1, spot, a]
                entry -= along * inverse * (cross[0, spot, b] + cross[1, spot, b])
                blocks[group, place, lane] = entry
                place += 1
            blocks[group, place - 1, lane] += ridge[a]
