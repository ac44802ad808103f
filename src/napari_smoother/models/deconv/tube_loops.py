"""Compiled loops over the values of spots under the smoothed absolute loss of a tube."""

from __future__ import annotations

import numba
import numpy as np

from napari_smoother.models.deconv.pointwise import FAST
from napari_smoother.solvers.local_quadratic import LANES

ADDED = 64
"""Genes after which sums in the precision of the values are added to those in float64."""

STEPS = 32767
"""Multipliers are kept as whole numbers of 16 bits, in steps of this part of their bound."""


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _renew(y, fitted, shift, kept, width, band, fresh):  # type: ignore[no-untyped-def]
    """Write the shares at the present residuals, signed, as multipliers; sum the smoothed loss."""
    number = fitted.dtype.type
    most, zero, half, one = number(STEPS), number(0), number(0.5), number(1)
    scale, slope = one / most, one / band
    smoothed = zero
    for spot in range(y.size):
        around = scale * number(kept[spot])
        moved = fitted[spot] - y[spot] + shift[spot] + band * around
        over = abs(moved) - width
        part = over * slope
        part = zero if part < zero else part
        part = one if part > one else part
        smoothed += part * over - band * half * (part * part + around * around)
        part = part * most + half
        fresh[spot] = np.int16(part if moved > zero else -part)
    return smoothed


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _lean(y, fitted, shift, kept, price, width, band, net, bend):  # type: ignore[no-untyped-def]
    """Add by how much a gene pushes the constants, and how that changes with them."""
    number = fitted.dtype.type
    zero, one = number(0), number(1)
    scale, slope = band / number(STEPS), one / band
    stiff = price * slope
    for spot in range(y.size):
        moved = fitted[spot] - y[spot] + shift[spot] + scale * number(kept[spot])
        part = (abs(moved) - width) * slope
        bend[spot] += stiff if part > zero and part < one else zero
        part = zero if part < zero else part
        part = one if part > one else part
        net[spot] += price * (part if moved > zero else -part)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _move(net, bend, most, shift):  # type: ignore[no-untyped-def]
    """Take Newton's step for the constants, at most so long, and clear the sums."""
    zero = net.dtype.type(0)
    for spot in range(net.size):
        if bend[spot] > zero:
            step = net[spot] / bend[spot]
            step = most if step > most else step
            step = -most if step < -most else step
            shift[spot] -= step
        net[spot] = zero
        bend[spot] = zero


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def settle(  # type: ignore[no-untyped-def]
    y, fitted, cost, centre, renewed, settings, constants, shift
):
    """Move the constants of some spots to where what pushes them up and down is about equal.

    `y` and `fitted` are genes x spots, and `shift` gets what is to be added to a spot. `settings`
    is (e, d, the next d or 0). Where the last is above 0, the multipliers in `centre` are then
    renewed into `renewed`, and constants are moved under those too. Returns the smoothed loss
    between the two.
    """
    genes, spots = fitted.shape
    width, band, after = settings[0], settings[1], settings[2]
    number = fitted.dtype.type
    net, bend = np.zeros(spots, fitted.dtype), np.zeros(spots, fitted.dtype)
    if constants:
        for gene in range(genes):
            seen, here, price = y[gene], fitted[gene], number(cost[gene])
            _lean(seen, here, shift, centre[gene], price, width, band, net, bend)
        _move(net, bend, band, shift)
    smoothed = 0.0
    if after > 0:
        for gene in range(genes):
            price = number(cost[gene])
            if price == 0:
                continue
            seen, here, fresh = y[gene], fitted[gene], renewed[gene]
            found = _renew(seen, here, shift, centre[gene], width, band, fresh)
            smoothed += np.float64(price) * np.float64(found)
            if constants:
                _lean(seen, here, shift, fresh, price, width, after, net, bend)
        _move(net, bend, after, shift)
    return smoothed


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _push(y, fitted, shift, kept, price, width, band, residual, push):  # type: ignore[no-untyped-def]
    """Write residuals and signed pushes, and sum both losses."""
    number = fitted.dtype.type
    zero, half, one = number(0), number(0.5), number(1)
    scale, slope = one / number(STEPS), one / band
    smoothed = sharp = zero
    for spot in range(y.size):
        left = fitted[spot] - y[spot] + shift[spot]
        residual[spot] = left
        around = scale * number(kept[spot])
        moved = left + band * around
        over = abs(moved) - width
        part = over * slope
        part = zero if part < zero else part
        part = one if part > one else part
        smoothed += part * over - band * half * (part * part + around * around)
        apart = abs(left) - width
        sharp += zero if apart < zero else apart
        size = price * part
        push[spot] = size if moved > zero else -size
    return smoothed, sharp


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _part(push, price, above, below, inside):  # type: ignore[no-untyped-def]
    """Part pushes by their sign, and mark those in the band."""
    zero = push.dtype.type(0)
    for spot in range(push.size):
        up = push[spot] if push[spot] > zero else zero
        down = up - push[spot]
        above[spot] = up
        below[spot] = down
        size = up + down
        inside[spot] = size > zero and size < price


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def _add_products(sums, values, factors):  # type: ignore[no-untyped-def]
    for spot in range(values.size):
        sums[spot] += values[spot] * factors[spot]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def tube_values(  # type: ignore[no-untyped-def]
    y, fitted, shift, below, inside, cost, centre, width, band, reaches
):
    """Turn fitted values into what each value pushes; return the smoothed and the true loss.

    Takes what `settle` takes, `shift` to be added to every fitted value of a spot. `fitted` is
    overwritten by the sizes of the multipliers of values above the tube, and `below` by those
    below; `inside` gets a one where a value is in the band. `reaches` (2 x spots, above and
    below) gets the sums over genes of multipliers times residuals.
    """
    genes, spots = fitted.shape
    push, residual = np.empty(spots, fitted.dtype), np.empty(spots, fitted.dtype)
    some = np.zeros((2, spots), fitted.dtype)
    smoothed = sharp = 0.0
    for gene in range(genes):
        price = fitted.dtype.type(cost[gene])
        if price == 0:
            fitted[gene] = 0
            below[gene] = 0
        else:
            here = fitted[gene]
            found = _push(y[gene], here, shift, centre[gene], price, width, band, residual, push)
            smoothed += np.float64(price) * np.float64(found[0])
            sharp += np.float64(price) * np.float64(found[1])
            _part(push, price, here, below[gene], inside[gene])
            _add_products(some[0], here, residual)
            _add_products(some[1], below[gene], residual)
        # Long sums are in float64, whatever the values are in.
        if gene % ADDED == ADDED - 1 or gene == genes - 1:
            for spot in range(spots):
                reaches[0, spot] += some[0, spot]
                reaches[1, spot] -= some[1, spot]
            some[:] = 0
    return smoothed, sharp


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def bend_few(above, inside, words, cost, band, centred, products, packed, cross, own):  # type: ignore[no-untyped-def]
    """Add second derivatives value by value, where few values are in the band.

    `words` is `inside`, eight values a number. `packed` (spots x pairs of types) has the
    derivatives between abundances, `cross` (2 x spots x types) those between abundances and
    constants and `own` (2 x spots) those of constants; the last two are kept apart for values
    above and below the tube.
    """
    genes = above.shape[0]
    types, pairs = centred.shape[1], products.shape[1]
    for gene in range(genes):
        bend = np.float32(cost[gene] / band)
        for word in range(words.shape[1]):
            if words[gene, word] == 0:
                continue
            for spot in range(8 * word, 8 * word + 8):
                if inside[gene, spot] == 0:
                    continue
                side = 0 if above[gene, spot] > 0 else 1
                own[side, spot] += bend
                for k in range(types):
                    cross[side, spot, k] += bend * centred[gene, k]
                for pair in range(pairs):
                    packed[spot, pair] += bend * products[gene, pair]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def bend_many(above, inside, bends, cost, band, centred, products, packed, cross, own):  # type: ignore[no-untyped-def]
    """Do the same by products of matrices; `bends` (2 x genes x spots) is room for them."""
    genes, spots = above.shape
    for gene in range(genes):
        bend = np.float32(cost[gene] / band)
        for spot in range(spots):
            here = bend * np.float32(inside[gene, spot])
            first = here if above[gene, spot] > 0 else np.float32(0)
            bends[0, gene, spot] = first
            bends[1, gene, spot] = here - first
            own[0, spot] += first
            own[1, spot] += here - first
    for side in range(2):
        cross[side] += np.dot(bends[side].T, centred)
    bends[0] += bends[1]
    packed += np.dot(bends[0].T, products)


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
