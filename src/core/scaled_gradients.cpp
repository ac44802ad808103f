// Hestenes and Stiefel 1952, J. Res. Natl. Bur. Stand. 49:409-436; Saad 2003, Iterative Methods for
// Sparse Linear Systems, algorithm 9.1, with the diagonal for M.
#include "scaled_gradients.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "lanes.hpp"
#include "pool.hpp"

namespace core {
namespace {

double dot(const double* one, const double* other, std::int64_t count) {
    auto sums = Row<double, 16>::all(0);
    std::int64_t i = 0;
    for (; i + 16 <= count; i += 16) {
        sums += Row<double, 16>::load(one + i) * Row<double, 16>::load(other + i);
    }
    double total = sums.sum();
    for (; i < count; ++i) total += one[i] * other[i];
    return total;
}

}  // namespace

double improve(std::span<const int> pointers, const int* columns, const double* entries,
               const double* right, double* values, double tolerance, long steps,
               Control& control) {
    const auto n = static_cast<std::int64_t>(pointers.size()) - 1;
    const std::int64_t products = n > 0 ? pointers[static_cast<std::size_t>(n)] : 0;
    std::vector<double> scale(static_cast<std::size_t>(n), 1.0), residual(scale.size()),
        scaled(scale.size()), direction(scale.size()), product(scale.size());
    const auto row_times = [&](std::int64_t row, const double* vector) {
        double total = 0;
        for (int e = pointers[row]; e < pointers[row + 1]; ++e) {
            total += entries[e] * vector[columns[e]];
        }
        return total;
    };
    // The residual from the start, its square, its product with the scaled one, and |b|^2.
    const auto begin = [&] {
        return sum_over_rows<3>(n, products, [&](std::int64_t start, std::int64_t stop) {
            for (std::int64_t row = start; row < stop; ++row) {
                for (int e = pointers[row]; e < pointers[row + 1]; ++e) {
                    if (columns[e] == row) scale[row] = 1 / entries[e];
                }
                residual[row] = right[row] - row_times(row, values);
                scaled[row] = scale[row] * residual[row];
            }
            const std::int64_t count = stop - start;
            return std::array{dot(&residual[start], &residual[start], count),
                              dot(&residual[start], &scaled[start], count),
                              dot(right + start, right + start, count)};
        });
    };
    auto [left, slope, wanted] = begin();
    if (wanted == 0) {
        std::fill_n(values, n, 0.0);
        return 0;
    }
    const double enough = tolerance * tolerance * wanted;
    double share = 0;
    for (long step = 0; step < steps && left > enough; ++step) {
        control.check();
        over_rows(n, n, [&](std::int64_t start, std::int64_t stop) {
            for (std::int64_t row = start; row < stop; ++row) {
                direction[row] = scaled[row] + share * direction[row];
            }
        });
        const double curvature =
            sum_over_rows<1>(n, products, [&](std::int64_t start, std::int64_t stop) {
                for (std::int64_t row = start; row < stop; ++row) {
                    product[row] = row_times(row, direction.data());
                }
                return std::array{dot(&direction[start], &product[start], stop - start)};
            })[0];
        const double length = slope / curvature;
        const auto sums = sum_over_rows<2>(n, 2 * n, [&](std::int64_t start, std::int64_t stop) {
            for (std::int64_t row = start; row < stop; ++row) {
                values[row] += length * direction[row];
                residual[row] -= length * product[row];
                scaled[row] = scale[row] * residual[row];
            }
            const std::int64_t count = stop - start;
            return std::array{dot(&residual[start], &residual[start], count),
                              dot(&residual[start], &scaled[start], count)};
        });
        share = sums[1] / slope;
        left = sums[0];
        slope = sums[1];
        control.step.store(step + 1, std::memory_order_relaxed);
        control.residual.store(std::sqrt(left / wanted), std::memory_order_relaxed);
    }
    return std::sqrt(begin()[0] / wanted);
}

}  // namespace core
