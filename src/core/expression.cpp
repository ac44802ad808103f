#include "expression.hpp"

#include <algorithm>

#include "buffer.hpp"

namespace core {
namespace {

// Genes whose sums stay in the precision of the expression.
constexpr std::int64_t summed = 64;

// Factors whose sums stay in registers, beside spots of so many registers.
constexpr int factors_together = 6;
constexpr int registers = register_bytes == 64 ? 4 : 2;

template <class T>
constexpr int spots_together = registers * register_bytes / static_cast<int>(sizeof(T));

// Some genes of some spots that lie side by side: add their products with F factors to `sums` (F x S).
template <class T, int S, int F>
INLINE void add_tile(const T* values, std::int64_t line, std::int64_t genes, const T* factors, int stride,
                     double* sums) {
    Row<T, S> total[F];
    for (auto& row : total) row = Row<T, S>::all(T(0));
    for (std::int64_t gene = 0; gene < genes; ++gene) {
        const auto given = Row<T, S>::load(values + gene * line);
        for (int f = 0; f < F; ++f) total[f] += given * factors[gene * stride + f];
    }
    for (int f = 0; f < F; ++f) {
        (Row<double, S>::load(sums + f * S) + to_double(total[f])).store(sums + f * S);
    }
}

// Spots `start` to `stop` of genes x spots.
template <class T>
double reduce_lines(const T* expression, std::int64_t genes, std::int64_t spots, std::int64_t start,
                    std::int64_t stop, const T* factors, int count, int stride, const double* weights,
                    double* products) {
    constexpr int S = spots_together<T>, F = factors_together;
    double norm = 0;
    std::vector<T> last(static_cast<std::size_t>(S) * summed, T(0));
    std::vector<double> sums(static_cast<std::size_t>(stride) * S);
    for (std::int64_t begin = start; begin < stop; begin += S) {
        const int size = static_cast<int>(std::min<std::int64_t>(S, stop - begin));
        std::fill(sums.begin(), sums.end(), 0.0);
        auto squares = Row<double, S>::all(0.0);
        for (std::int64_t first = 0; first < genes; first += summed) {
            const std::int64_t some = std::min(summed, genes - first);
            const T* values = expression + first * spots + begin;
            std::int64_t line = spots;
            if (size < S) {
                // The end of the rows is not a whole tile.
                for (std::int64_t gene = 0; gene < some; ++gene) {
                    std::copy(values + gene * spots, values + gene * spots + size, last.data() + gene * S);
                }
                values = last.data();
                line = S;
            }
            for (std::int64_t gene = 0; gene < some; ++gene) {
                const auto wide = Row<double, S>::load(values + gene * line);
                squares += wide * wide * weights[first + gene];
            }
            for (int f = 0; f < count; f += F) {
                add_tile<T, S, F>(values, line, some, factors + first * stride + f, stride, sums.data() + f * S);
            }
        }
        norm += squares.sum();
        for (int spot = 0; spot < size; ++spot) {
            for (int f = 0; f < count; ++f) products[(begin + spot) * count + f] = sums[f * S + spot];
        }
    }
    return norm;
}

// Spots `start` to `stop` of spots x genes.
template <class T>
double reduce_rows(const T* expression, std::int64_t genes, std::int64_t start, std::int64_t stop,
                   const T* factors, int count, int stride, const double* weights, double* products) {
    constexpr int M = 4;
    double norm = 0;
    std::vector<double> sums(static_cast<std::size_t>(stride) * M);
    for (std::int64_t spot = start; spot < stop; spot += M) {
        const int size = static_cast<int>(std::min<std::int64_t>(M, stop - spot));
        std::fill(sums.begin(), sums.end(), 0.0);
        const T* given[M];
        for (int m = 0; m < M; ++m) given[m] = expression + (spot + std::min(m, size - 1)) * genes;
        for (std::int64_t first = 0; first < genes; first += summed) {
            const std::int64_t end = std::min(first + summed, genes);
            over_panels(stride, [&](auto width, int begin) {
                constexpr int N = decltype(width)::value;
                Row<T, N> total[M];
                for (auto& row : total) row = Row<T, N>::all(T(0));
                for (std::int64_t gene = first; gene < end; ++gene) {
                    const auto line = Row<T, N>::load(factors + gene * stride + begin);
                    for (int m = 0; m < M; ++m) total[m] += line * given[m][gene];
                }
                for (int m = 0; m < M; ++m) {
                    double* sum = sums.data() + m * stride + begin;
                    (Row<double, N>::load(sum) + to_double(total[m])).store(sum);
                }
            });
        }
        for (int m = 0; m < size; ++m) {
            auto squares = Row<double, 16>::all(0.0);
            std::int64_t gene = 0;
            for (; gene + 16 <= genes; gene += 16) {
                const auto wide = Row<double, 16>::load(given[m] + gene);
                squares += wide * wide * Row<double, 16>::load(weights + gene);
            }
            norm += squares.sum();
            for (; gene < genes; ++gene) norm += static_cast<double>(given[m][gene]) * given[m][gene] * weights[gene];
            for (int f = 0; f < count; ++f) products[(spot + m) * count + f] = sums[m * stride + f];
        }
    }
    return norm;
}

}  // namespace

template <class T>
double reduce_expression(const T* expression, bool by_spot, std::int64_t genes, std::int64_t spots,
                         const T* factors, int count, int stride, const double* weights, double* products) {
    return sum_over_rows<1>(spots, spots * genes, [&](std::int64_t start, std::int64_t stop) {
        if (by_spot) {
            return std::array<double, 1>{reduce_rows(expression, genes, start, stop, factors, count, stride,
                                                     weights, products)};
        }
        return std::array<double, 1>{reduce_lines(expression, genes, spots, start, stop, factors, count, stride,
                                                  weights, products)};
    })[0];
}

template double reduce_expression(const float*, bool, std::int64_t, std::int64_t, const float*, int, int,
                                  const double*, double*);
template double reduce_expression(const double*, bool, std::int64_t, std::int64_t, const double*, int, int,
                                  const double*, double*);

}  // namespace core
