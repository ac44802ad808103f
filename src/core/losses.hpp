// Losses of one gene, with first and second derivative by the fitted value, at as many spots as a register
// holds. All are halves, as in 1/2 (y - m)^2. A fitted value that a loss cannot have makes it infinite.
#pragma once

#include <cstdint>
#include <limits>

#include "lanes.hpp"

namespace core {

inline constexpr int register_values = register_bytes / static_cast<int>(sizeof(double));

inline constexpr double infinite = std::numeric_limits<double>::infinity();

// Values of neighbouring spots.
using Values = Register<double, register_values>::type;
using Bits = Register<std::uint64_t, register_values>::type;

INLINE Values all(double value) { return Row<double, register_values>::all(value).head; }
INLINE Values larger(Values one, Values other) { return one > other ? one : other; }
INLINE Values smaller(Values one, Values other) { return one < other ? one : other; }
INLINE Values size_of(Values values) { return larger(values, -values); }

// Natural logarithm of positive, normal numbers, to the last bit or two: 2 artanh((m - 1) / (m + 1)) of the
// mantissa m, between the roots of 1/2 and of 2.
INLINE Values logarithm(Values values) {
    constexpr std::uint64_t root_half = 0x3fe6a09e667f3bcd, one = std::uint64_t{1} << 52;
    Bits bits;
    std::memcpy(&bits, &values, sizeof(bits));
    // The exponent, counted from -2048 so that it is no negative number.
    const Bits power = (bits - root_half + 2048 * one) >> 52;
    bits -= (power - 2048) << 52;
    Values mantissa, exponent;
    std::memcpy(&mantissa, &bits, sizeof(bits));
    // A whole number below 2^52 becomes a double by its bits.
    bits = power | std::uint64_t{0x4330000000000000};
    std::memcpy(&exponent, &bits, sizeof(bits));
    exponent -= 0x1p52 + 2048.0;
    const Values share = (mantissa - 1.0) / (mantissa + 1.0), square = share * share;
    Values series = all(1.0 / 21);
    for (int odd = 19; odd >= 3; odd -= 2) series = series * square + 1.0 / odd;
    constexpr double log_two = 0x1.62e42fefa38p-1, rest = 0x1.ef35793c7673p-45;
    return exponent * log_two + (exponent * rest + 2.0 * share * (series * square) + 2.0 * share);
}

struct Slope {
    Values loss, slope, curvature;
};

// 1/2 w (y - m)^2 with w = min(c, min(c^2, y^-2) / u), u being the least of min(c^2, y^-2) in the spot.
struct DampedSquare {
    double most;

    INLINE Slope at(Values seen, Values fitted, Values least) const {
        const Values inverse = 1.0 / larger(seen * seen, all(1 / (most * most)));
        const Values weight = smaller(inverse / least, all(most)), left = fitted - seen;
        return {weight * left * left / 2.0, weight * left, weight};
    }
};

// 1/2 max(|y - m| - e, 0)^2, e being the width.
struct TubeSquare {
    double width;

    INLINE Slope at(Values seen, Values fitted, Values) const {
        const Values left = fitted - seen, none = all(0);
        const Values above = larger(left - width, none), below = larger(-left - width, none);
        const Values over = above + below;
        return {over * over / 2.0, above - below, over > 0.0 ? all(1) : none};
    }
};

// 1/2 (log(m + e) - log(y + e))^2, e being the added count.
//
// The curvature (1 - r) / (m + e)^2, r being the difference of logarithms, is kept above a share of the
// Gauss-Newton curvature, so that steps lead down where the loss is not convex.
struct LogSquare {
    double added, share;

    INLINE Slope at(Values seen, Values fitted, Values) const {
        const Values moved = fitted + added, safe = moved > 0.0 ? moved : all(1);
        const Values left = logarithm(safe / (seen + added));
        const Values bend = larger(1.0 - left, all(share)) / (safe * safe);
        return {moved > 0.0 ? left * left / 2.0 : all(infinite), left / safe, bend};
    }
};

// y log(y / t m) - y + t m, t being the depth of the spot: half the deviance of a Poisson count.
//
// The curvature y / m^2 gets a share of its expectation t / m (of t / (m + floor)), without which spots with
// few counts have none in some directions, and is kept below a multiple of it: where m is far too small, steps
// by the full curvature only double it, while steps by the expected one would lead to the count itself.
struct PoissonDeviance {
    double share, floor, multiple;

    INLINE Slope at(Values seen, Values fitted, Values depth) const {
        const Values mean = depth * fitted, none = all(0), one = all(1);
        const Values rate = mean > 0.0 ? fitted : one;
        const Values ratio = seen > 0.0 ? seen / (mean > 0.0 ? mean : one) : one;
        const Values loss = mean - seen + seen * logarithm(ratio);
        const Values bend = smaller(seen / (rate * rate), multiple * depth / rate);
        const Values expected = share * depth / (larger(fitted, none) + floor);
        // Nothing may be below zero, nor zero where something was counted.
        const Values allowed = seen > 0.0 ? mean : mean >= 0.0 ? one : none;
        const Values defined = allowed > 0.0 ? loss : all(infinite);
        return {depth > 0.0 ? defined : none, depth > 0.0 ? depth - seen / rate : none,
                depth > 0.0 ? expected + (seen > 0.0 ? bend : none) : none};
    }
};

// max(|r| - e, 0) for r = m - y, made smooth around a multiplier q between -1 and 1.
//
// Its envelope around the multiplier (the augmented Lagrangian: Rockafellar 1976, Mathematics of Operations
// Research 1) is quadratic in a band of the size d beside the width e and smooth everywhere: with t = r + d q
// and the new size s = min(max((|t| - e) / d, 0), 1) it is s (|t| - e) - d s^2 / 2 - d q^2 / 2. Its minimum
// tends to that of the loss as q is replaced by s sign(t), whatever d is.
struct TubeAbsolute {
    TubeAbsolute(double half_width, double size) : width(half_width), band(size), steep(1 / size) {}

    double width, band, steep;

    struct Found {
        Values loss, multiplier, inside;
    };

    INLINE Found at(Values residual, Values multiplier) const {
        const Values moved = residual + band * multiplier, none = all(0), one = all(1);
        const Values over = size_of(moved) - width, size = smaller(larger(over * steep, none), one);
        const Values loss = size * over - band / 2 * (size * size + multiplier * multiplier);
        const Values inside = size > 0.0 ? (size < 1.0 ? one : none) : none;
        return {loss, moved > 0.0 ? size : -size, inside};
    }
};

}  // namespace core
