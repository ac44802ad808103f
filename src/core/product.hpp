// Products with the quadratic form of all spots: B A + weight Q B, a few rows at a time.
#pragma once

#include "graph.hpp"
#include "lanes.hpp"

namespace core {

// What the data add to a product.
enum class Data {
    none,      // nothing: the prior is added to what is in the result already
    diagonal,  // a number a type
    gram,      // one matrix for all spots
};

// Rows whose products with A are summed side by side: each row of A is then loaded once for all.
template <class T, int N>
inline constexpr int rows_together = N * static_cast<int>(sizeof(T)) <= 2 * register_bytes ? 4 : 2;

// Rows `row` to `row + M` of B A + weight Q B, columns `begin` to `begin + N`; `base` is what is there before.
template <int M, int N, Data D, bool Each, class T, class V>
INLINE void sum_rows(const GraphView<T>& q, T weight, const T* data, const V* values, int stride,
                     int begin, std::int64_t row, const T* base, Row<T, N> (&own)[M],
                     Row<T, N> (&total)[M]) {
    using R = Row<T, N>;
    for (int m = 0; m < M; ++m) {
        const V* here = values + (row + m) * stride + begin;
        own[m] = R::load(here);
        if constexpr (Each) {
            total[m] = own[m] * R::load(q.surplus + (row + m) * stride + begin);
        } else {
            total[m] = own[m] * q.surplus[row + m];
        }
        for (std::int32_t place = q.pointers[row + m]; place < q.pointers[row + m + 1]; ++place) {
            const std::int64_t neighbour = q.neighbours[place];
            const R apart = R::load(values + neighbour * stride + begin) - own[m];
            if constexpr (Each) {
                total[m] += apart * R::load(q.entries + static_cast<std::int64_t>(place) * stride + begin);
            } else {
                total[m] += apart * q.entries[place];
            }
        }
        total[m] = total[m] * weight;
        if constexpr (D == Data::none) total[m] += R::load(base + m * stride + begin);
        if constexpr (D == Data::diagonal) total[m] += own[m] * R::load(data + begin);
    }
    if constexpr (D == Data::gram) {
        const V* here = values + row * stride;
        for (int k = 0; k < stride; ++k) {
            const R line = R::load(data + static_cast<std::int64_t>(k) * stride + begin);
            for (int m = 0; m < M; ++m) total[m] += line * static_cast<T>(here[m * stride + k]);
        }
    }
}

// Call `finish(row, own, total)` with N types of rows `start` to `stop` of B A + weight Q B.
// `base` (Data::none only) begins at row `start`.
template <int N, Data D, bool Each, class T, class V, class Finish>
INLINE void finish_rows(const GraphView<T>& q, T weight, const T* data, const V* values, int stride,
                        int begin, std::int64_t start, std::int64_t stop, const T* base,
                        Finish&& finish) {
    constexpr int M = rows_together<T, N>;
    std::int64_t row = start;
    auto before = [&](std::int64_t at) {
        if constexpr (D == Data::none) return base + (at - start) * stride;
        return base;
    };
    for (; row + M <= stop; row += M) {
        Row<T, N> own[M], total[M];
        sum_rows<M, N, D, Each>(q, weight, data, values, stride, begin, row, before(row), own, total);
        for (int m = 0; m < M; ++m) finish(row + m, own[m], total[m]);
    }
    for (; row < stop; ++row) {
        Row<T, N> own[1], total[1];
        sum_rows<1, N, D, Each>(q, weight, data, values, stride, begin, row, before(row), own, total);
        finish(row, own[0], total[0]);
    }
}

// The same, whether all types share one Q or each has its own.
template <int N, Data D, class T, class V, class Finish>
INLINE void product_rows(const GraphView<T>& q, T weight, const T* data, const V* values, int stride,
                         int begin, std::int64_t start, std::int64_t stop, const T* base,
                         Finish&& finish) {
    if (q.each == 1) {
        finish_rows<N, D, false>(q, weight, data, values, stride, begin, start, stop, base, finish);
    } else {
        finish_rows<N, D, true>(q, weight, data, values, stride, begin, start, stop, base, finish);
    }
}

// Add weight Q B to `out`, which begins at row `start`.
template <class T, class V>
void add_prior(const GraphView<T>& q, T weight, const V* values, int stride, std::int64_t start,
               std::int64_t stop, T* out) {
    over_panels(stride, [&](auto width, int begin) {
        constexpr int N = decltype(width)::value;
        product_rows<N, Data::none>(
            q, weight, static_cast<const T*>(nullptr), values, stride, begin, start, stop,
            static_cast<const T*>(out),
            [&](std::int64_t row, const Row<T, N>&, const Row<T, N>& total) {
                total.store(out + (row - start) * stride + begin);
            });
    });
}

}  // namespace core
