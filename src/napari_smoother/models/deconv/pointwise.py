"""Losses of one gene at one spot, with first and second derivatives, compiled.

Every kernel takes observed and fitted values of a few spots (genes x spots), overwrites the fitted
values by the derivative of the loss, writes a curvature, and leaves the sum of the loss for each
gene in the first row of `sums`. A tube leaves minus the derivative by its width in the second
row. All losses are halves, as in ``1/2 (y - m)^2``. A fitted value that a loss cannot have makes
the sum infinite.
"""

from __future__ import annotations

import numba
import numpy as np

FAST = {"reassoc", "contract", "arcp", "nsz"}


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def damped_square(y, fitted, weights, by_spot, settings, curve, sums, first, last):  # type: ignore[no-untyped-def]
    """``1/2 w (y - m)^2`` with ``w = min(c, min(c^2, y^-2) / u)``, u being ``by_spot``.

    ``settings`` is (c,).
    """
    most = settings[0]
    spots = y.shape[1]
    for gene in range(first, last):
        total = 0.0
        weight = weights[gene]
        for spot in range(spots):
            square = y[gene, spot] * y[gene, spot]
            inverse = 1 / square if square * most * most > 1 else most * most
            scale = weight * min(inverse / by_spot[spot], most)
            left = fitted[gene, spot] - y[gene, spot]
            slope = scale * left
            total += slope * left
            fitted[gene, spot] = slope
            curve[gene, spot] = np.float32(scale)
        sums[0, gene] = total / 2


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def tube_square(y, fitted, weights, by_spot, settings, curve, sums, first, last):  # type: ignore[no-untyped-def]
    """``C/2 max(|y - m| - e, 0)^2``; ``settings`` is (C, e)."""
    cost, width = settings[0], settings[1]
    spots = y.shape[1]
    for gene in range(first, last):
        total = 0.0
        by_width = 0.0
        weight = cost * weights[gene]
        for spot in range(spots):
            left = fitted[gene, spot] - y[gene, spot]
            over = abs(left) - width
            inside = over <= 0
            over = 0.0 if inside else over
            slope = weight * (over if left > 0 else -over)
            total += weight * over * over
            by_width += weight * over
            fitted[gene, spot] = slope
            curve[gene, spot] = np.float32(0.0 if inside else weight)
        sums[0, gene] = total / 2
        sums[1, gene] = by_width


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def log_square(y, fitted, weights, by_spot, settings, curve, sums, first, last):  # type: ignore[no-untyped-def]
    """``1/2 (log(m + e) - log(y + e))^2``; ``settings`` is (e, lowest curvature kept).

    The curvature ``(1 - r) / (m + e)^2``, r being the difference of logarithms, is kept above a
    share of the Gauss-Newton curvature, so that steps lead down where the loss is not convex.
    """
    pseudo, share = settings[0], settings[1]
    spots = y.shape[1]
    for gene in range(first, last):
        total = 0.0
        weight = weights[gene]
        for spot in range(spots):
            moved = fitted[gene, spot] + pseudo
            if not moved > 0:
                total = np.inf
                moved = 1.0
            left = np.log(moved / (y[gene, spot] + pseudo))
            slope = weight * left / moved
            total += weight * left * left
            fitted[gene, spot] = slope
            curve[gene, spot] = np.float32(weight * max(1 - left, share) / (moved * moved))
        sums[0, gene] = total / 2


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
def poisson_deviance(y, fitted, weights, by_spot, settings, curve, sums, first, last):  # type: ignore[no-untyped-def]
    """``y log(y / t m) - y + t m`` with the depth t in ``by_spot``: half the deviance.

    The curvature ``y / m^2`` gets a share of its expectation ``t / m``, without which spots with
    few counts have none in some directions, and is kept below a multiple of it: where m is far
    too small, steps by the full curvature only double it, while steps by the expected one would
    lead to the count itself. ``settings`` is (share, value added to m there, multiple).
    """
    share, floor, most = settings[0], settings[1], settings[2]
    spots = y.shape[1]
    for gene in range(first, last):
        total = 0.0
        weight = weights[gene]
        for spot in range(spots):
            depth = by_spot[spot]
            rate = fitted[gene, spot]
            seen = y[gene, spot]
            if depth == 0 or weight == 0:
                fitted[gene, spot] = 0.0
                curve[gene, spot] = np.float32(0.0)
                continue
            expected = depth * rate
            slope = depth
            bend = share * depth / (max(rate, 0.0) + floor)
            total += weight * (expected - seen)
            if seen > 0:
                if expected > 0:
                    total += weight * seen * np.log(seen / expected)
                    slope -= seen / rate
                    bend += min(seen / (rate * rate), most * depth / rate)
                else:
                    total = np.inf
            elif expected < 0:
                total = np.inf
            fitted[gene, spot] = weight * slope
            curve[gene, spot] = np.float32(weight * bend)
        sums[0, gene] = total
