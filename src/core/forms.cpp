// Values come as dims x spots. They are turned to spots x dims, 32 dims at a time, so that all of
// them lie side by side and a row of Q is applied to them in registers, and what comes out is
// turned back. Forms are summed in double by block, in the order of the blocks.
#include "forms.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <numeric>
#include <vector>

#include "lanes.hpp"
#include "pool.hpp"

namespace core {
namespace {

// Spots a block: of every dim some lines of memory are written at a time.
constexpr std::int64_t block_spots = 256;

// Call `work(start, stop)` for blocks of spots.
template <class Work>
void over_spots(std::int64_t spots, std::int64_t operations, Work&& work) {
    parallel((spots + block_spots - 1) / block_spots, operations,
             [&](std::int64_t first, std::int64_t last) {
                 for (auto block = first; block < last; ++block) {
                     work(block * block_spots, std::min((block + 1) * block_spots, spots));
                 }
             });
}

// The sum of what `work` returns for blocks of spots, in order.
template <class Work>
double sum_over_spots(std::int64_t spots, std::int64_t operations, Work&& work) {
    std::vector<double> parts(static_cast<std::size_t>((spots + block_spots - 1) / block_spots));
    over_spots(spots, operations, [&](std::int64_t start, std::int64_t stop) {
        parts[static_cast<std::size_t>(start / block_spots)] = work(start, stop);
    });
    return std::accumulate(parts.begin(), parts.end(), 0.0);
}

Graph without_diagonal(std::span<const std::int32_t> pointers,
                       std::span<const std::int32_t> columns, std::span<const double> values) {
    const std::size_t rows = pointers.size() - 1;
    std::vector<std::int32_t> fewer{0}, neighbours;
    std::vector<double> entries, diagonal(rows, 0.0);
    fewer.reserve(rows + 1);
    neighbours.reserve(columns.size());
    entries.reserve(values.size());
    for (std::size_t row = 0; row < rows; ++row) {
        for (auto place = pointers[row]; place < pointers[row + 1]; ++place) {
            if (columns[place] == static_cast<std::int32_t>(row)) {
                diagonal[row] += values[place];
            } else {
                neighbours.push_back(columns[place]);
                entries.push_back(values[place]);
            }
        }
        fewer.push_back(static_cast<std::int32_t>(neighbours.size()));
    }
    return Graph(fewer, neighbours, entries, diagonal);
}

// Memory that is written before it is read.
template <class T>
std::unique_ptr<T[]> unwritten(std::int64_t values) {
    return std::unique_ptr<T[]>(new T[static_cast<std::size_t>(values)]);
}

// Some dims of values, spots x dims, and the distance of two spots (a number, or a `Width`).
template <class T, class Stride>
struct Columns {
    const T* values;
    Stride stride;

    template <int N>
    INLINE Row<T, N> row(std::int64_t spot) const {
        return Row<T, N>::load(values + spot * stride);
    }
};

// A panel of up to N dims of dims x spots; those that are missing to N are zeros, and not written.
template <class T, int N>
struct Panel {
    const T* values;
    T* product;
    int dims;
    std::int64_t spots;

    // Block of spots from dims x spots to spots x N, four dims at a time.
    void turn(std::int64_t start, std::int64_t stop, T* columns) const {
        static constexpr T nothing[block_spots] = {};
        T tile[block_spots * row_unit];
        const auto count = stop - start;
        for (int first = 0; first < N; first += row_unit) {
            const auto from = [&](int k) {
                return first + k < dims ? values + (first + k) * spots + start : nothing;
            };
            const T *a = from(0), *b = from(1), *c = from(2), *d = from(3);
            for (std::int64_t i = 0; i < count; ++i) {
                tile[row_unit * i] = a[i];
                tile[row_unit * i + 1] = b[i];
                tile[row_unit * i + 2] = c[i];
                tile[row_unit * i + 3] = d[i];
            }
            for (std::int64_t i = 0; i < count; ++i) {
                Row<T, row_unit>::load(tile + row_unit * i).store(columns + (start + i) * N + first);
            }
        }
    }

    // The same block of a product, spots x N, back to dims x spots.
    void turn_back(std::int64_t start, std::int64_t stop, const T* columns) const {
        T nothing[block_spots];
        T tile[block_spots * row_unit];
        const auto count = stop - start;
        for (int first = 0; first < N; first += row_unit) {
            for (std::int64_t i = 0; i < count; ++i) {
                Row<T, row_unit>::load(columns + i * N + first).store(tile + row_unit * i);
            }
            const auto to = [&](int k) {
                return first + k < dims ? product + (first + k) * spots + start : nothing;
            };
            T *a = to(0), *b = to(1), *c = to(2), *d = to(3);
            for (std::int64_t i = 0; i < count; ++i) {
                a[i] = tile[row_unit * i];
                b[i] = tile[row_unit * i + 1];
                c[i] = tile[row_unit * i + 2];
                d[i] = tile[row_unit * i + 3];
            }
        }
    }
};

// A row of Q, less `level` on its diagonal, times the columns.
template <int N, class T, class Stride>
INLINE Row<T, N> row_product(GraphView<T> q, Columns<T, Stride> columns, std::int64_t row,
                             const Row<T, N>& own, T level) {
    auto total = own * (q.surplus[row] - level);
    for (auto place = q.pointers[row]; place < q.pointers[row + 1]; ++place) {
        total += (columns.template row<N>(q.neighbours[place]) - own) * q.entries[place];
    }
    return total;
}

// Rows of a product, times the factors, to `out`; their forms.
template <int N, class T, class Stride>
Row<T, N> block_product(GraphView<T> q, Columns<T, Stride> columns, Row<T, N> factors,
                        Row<T, N> shift, T level, std::int64_t start, std::int64_t stop, T* out,
                        Stride stride) {
    auto form = Row<T, N>::all(0);
    for (auto row = start; row < stop; ++row, out += stride) {
        const auto own = columns.template row<N>(row);
        const auto total = row_product<N>(q, columns, row, own, level) - shift;
        form += own * total;
        (total * factors).store(out);
    }
    return form;
}

// What ``other 11'`` takes from every spot of a dim: other times their sum.
template <int N, class T, class Stride>
Row<T, N> shift_of(Columns<T, Stride> columns, std::int64_t spots, double other) {
    if (other == 0.0) return Row<T, N>::all(0);
    auto sums = sum_over_rows<N>(spots, spots * N / 8, [&](std::int64_t start, std::int64_t stop) {
        auto sum = Row<double, N>::all(0);
        for (auto row = start; row < stop; ++row) {
            sum += Row<double, N>::load(columns.values + row * columns.stride);
        }
        std::array<double, N> part;
        sum.store(part.data());
        return part;
    });
    for (double& sum : sums) sum *= other;
    return Row<T, N>::load(sums.data());
}

// Factors of the dims from `begin`; zeros where there are no more than `count` of them.
template <int N, class T>
Row<double, N> factors_of(const Factors<T>& factors, int begin, int count) {
    std::array<double, N> all{};
    for (int k = 0; k < count; ++k) all[k] = factors[begin + k];
    return Row<double, N>::load(all.data());
}

template <int N, class T>
Row<T, N> rounded(const Row<double, N>& row) {
    std::array<T, N> values;
    row.store(values.data());
    return Row<T, N>::load(values.data());
}

// The sum of the forms of a block, each times its factor, from the one at `first`.
template <int N, class T>
double weighted(const Row<T, N>& forms, const Row<double, N>& factors, int first = 0) {
    std::array<double, N> each;
    forms.store(each.data());
    (Row<double, N>::load(each.data()) * factors).store(each.data());
    double total = 0.0;
    for (int k = first; k < N; ++k) total += each[k];
    return total;
}

// The sum of `work(Width<N>, first dim, number of dims)` over all panels of dims. Panels are
// shared out where there are many of them, and otherwise, by `work`, the spots of each.
template <class Work>
double over_dims(int dims, std::int64_t operations, Work&& work) {
    const int panels = (dims + widest_row - 1) / widest_row;
    std::vector<double> sums(static_cast<std::size_t>(panels));
    auto some = [&](std::int64_t first, std::int64_t last) {
        for (auto panel = first; panel < last; ++panel) {
            const int begin = static_cast<int>(panel) * widest_row;
            const int count = std::min(widest_row, dims - begin);
            over_panels(padded(count), [&](auto width, int) {
                sums[static_cast<std::size_t>(panel)] = work(width, begin, count);
            });
        }
    };
    if (panels >= 2 * thread_count()) {
        parallel(panels, operations, some);
    } else {
        some(0, panels);
    }
    return std::accumulate(sums.begin(), sums.end(), 0.0);
}

}  // namespace

Form::Form(std::span<const std::int32_t> pointers, std::span<const std::int32_t> columns,
           std::span<const double> values)
    : graph_(without_diagonal(pointers, columns, values)) {}

template <class T>
double Form::product(const T* values, int dims, Factors<T> factors, Mean mean, T* product) const {
    const auto n = graph_.rows;
    const auto q = graph_.view<T>();
    return over_dims(dims, n * dims / 2, [&](auto width, int begin, int count) {
        constexpr int N = decltype(width)::value;
        const Panel<T, N> panel{values + begin * n, product ? product + begin * n : nullptr, count,
                                n};
        const auto turned = unwritten<T>(n * N);
        over_spots(n, n * N / 2, [&](std::int64_t start, std::int64_t stop) {
            panel.turn(start, stop, turned.get());
        });
        const Columns<T, Width<N>> columns{turned.get(), {}};
        const auto shift = shift_of<N>(columns, n, mean.other);
        const auto wide = factors_of<N>(factors, begin, count);
        const auto scale = rounded<N, T>(wide);
        return sum_over_spots(n, n * N / 2, [&](std::int64_t start, std::int64_t stop) {
            T block[block_spots * N];
            const auto form = block_product<N>(q, columns, scale, shift, static_cast<T>(mean.own),
                                               start, stop, block, Width<N>{});
            if (product) panel.turn_back(start, stop, block);
            return weighted(form, wide);
        });
    });
}

template <class T>
double Form::product_by_spot(const T* values, int dims, Factors<T> factors, Mean mean,
                             T* product) const {
    const auto n = graph_.rows;
    const auto q = graph_.view<T>();
    // Where there are several panels, few rows at a time: they are then fetched end to end.
    const std::int64_t rows = dims > widest_row ? 4 : block_spots;
    // What is left of a multiple of four is done with the last four dims, as far as it is new.
    const int whole = dims / row_unit * row_unit;
    const auto over_all = [&](auto&& work) {
        over_panels(whole, [&](auto width, int begin) { work(width, begin, begin); });
        if (whole < dims) work(Width<row_unit>{}, dims - row_unit, whole);
    };
    std::vector<T> shifts(static_cast<std::size_t>(dims));
    over_all([&](auto width, int begin, int) {
        constexpr int N = decltype(width)::value;
        const Columns<T, std::int64_t> columns{values + begin, dims};
        shift_of<N>(columns, n, mean.other).store(shifts.data() + begin);
    });
    return sum_over_spots(n, n * dims / 2, [&](std::int64_t start, std::int64_t stop) {
        T unwanted[block_spots * widest_row];
        double total = 0.0;
        for (auto first = start; first < stop; first += rows) {
            const auto last = std::min(first + rows, stop);
            over_all([&](auto width, int begin, int fresh) {
                constexpr int N = decltype(width)::value;
                const Columns<T, std::int64_t> columns{values + begin, dims};
                T* out = product ? product + first * dims + begin : unwanted;
                const auto wide = factors_of<N>(factors, begin, N);
                const auto form = block_product<N>(
                    q, columns, rounded<N, T>(wide), Row<T, N>::load(shifts.data() + begin),
                    static_cast<T>(mean.own), first, last, out, product ? std::int64_t{dims} : N);
                total += weighted(form, wide, fresh - begin);
            });
        }
        return total;
    });
}

template <class T>
double Form::contrasted_product(const T* values, int dims, Factors<T> factors,
                                std::span<const std::int32_t> orders, double ratio,
                                T* product) const {
    const auto n = graph_.rows;
    const auto q = graph_.view<T>();
    const auto relabelings = static_cast<std::int64_t>(orders.size()) / n;
    const auto part = static_cast<T>(ratio / static_cast<double>(relabelings));
    return over_dims(dims, n * dims * relabelings, [&](auto width, int begin, int count) {
        constexpr int N = decltype(width)::value;
        const Panel<T, N> panel{values + begin * n, product ? product + begin * n : nullptr, count,
                                n};
        const auto turned = unwritten<T>(n * N), moved = unwritten<T>(n * N);
        const auto total = unwritten<T>(n * N);
        over_spots(n, n * N / 2, [&](std::int64_t start, std::int64_t stop) {
            panel.turn(start, stop, turned.get());
        });
        const Columns<T, Width<N>> columns{turned.get(), {}}, relabelled{moved.get(), {}};
        over_spots(n, n * N / 2, [&](std::int64_t start, std::int64_t stop) {
            for (auto row = start; row < stop; ++row) {
                const auto own = columns.template row<N>(row);
                row_product<N>(q, columns, row, own, T{0}).store(total.get() + row * N);
            }
        });
        for (std::int64_t relabeling = 0; relabeling < relabelings; ++relabeling) {
            const std::int32_t* order = orders.data() + relabeling * n;
            over_spots(n, n * N / 2, [&](std::int64_t start, std::int64_t stop) {
                for (auto row = start; row < stop; ++row) {
                    columns.template row<N>(order[row]).store(moved.get() + row * N);
                }
            });
            // Every spot is met once, and so are no two threads at one.
            over_spots(n, n * N / 2, [&](std::int64_t start, std::int64_t stop) {
                for (auto row = start; row < stop; ++row) {
                    T* here = total.get() + std::int64_t{order[row]} * N;
                    const auto own = relabelled.template row<N>(row);
                    const auto there = row_product<N>(q, relabelled, row, own, T{0});
                    (Row<T, N>::load(here) - there * part).store(here);
                }
            });
        }
        const auto wide = factors_of<N>(factors, begin, count);
        const auto scale = rounded<N, T>(wide);
        return sum_over_spots(n, n * N / 2, [&](std::int64_t start, std::int64_t stop) {
            T block[block_spots * N];
            auto form = Row<T, N>::all(0);
            for (auto row = start; row < stop; ++row) {
                const auto here = Row<T, N>::load(total.get() + row * N);
                form += here * columns.template row<N>(row);
                (here * scale).store(block + (row - start) * N);
            }
            if (product) panel.turn_back(start, stop, block);
            return weighted(form, wide);
        });
    });
}

template double Form::product(const float*, int, Factors<float>, Mean, float*) const;
template double Form::product(const double*, int, Factors<double>, Mean, double*) const;
template double Form::product_by_spot(const float*, int, Factors<float>, Mean, float*) const;
template double Form::product_by_spot(const double*, int, Factors<double>, Mean, double*) const;
template double Form::contrasted_product(const float*, int, Factors<float>,
                                         std::span<const std::int32_t>, double, float*) const;
template double Form::contrasted_product(const double*, int, Factors<double>,
                                         std::span<const std::int32_t>, double, double*) const;

}  // namespace core
