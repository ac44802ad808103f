#include "factor.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <string>

#include <Eigen/SparseCore>
// After the matrices it orders.
#include <Eigen/OrderingMethods>

#include "lanes.hpp"
#include "pool.hpp"

namespace core {
namespace {

// Consecutive rows of L (or columns of the inverse) worked on side by side: whatever they meet is
// read once for all of them, and they are one register.
constexpr int width = 8;
using Lanes = Row<double, width>;
using Square = std::array<std::array<double, width>, width>;

// Smallest share of its diagonal entry that rounding alone cannot leave as a pivot.
constexpr double smallest_pivot = 1e-13;

// What the factors of several shifts may take at once.
constexpr std::int64_t most_bytes = 2'000'000'000;

// Rows of N values each, the first at the beginning of a cache line.
template <int N>
class Rows {
  public:
    explicit Rows(std::int64_t rows) : kept_(static_cast<std::size_t>(rows * N + 8)) {
        const auto address = reinterpret_cast<std::uintptr_t>(kept_.data());
        first_ = kept_.data() + (64 - address % 64) % 64 / sizeof(double);
    }
    double* operator[](std::int64_t row) { return first_ + row * N; }

  private:
    std::vector<double> kept_;
    double* first_;
};

std::vector<int> minimum_degree(std::span<const int> pointers, std::span<const int> columns) {
    const auto n = static_cast<int>(pointers.size()) - 1;
    std::vector<int> order(static_cast<std::size_t>(n));
    for (int row = 0; row < n; ++row) order[row] = row;
    if (n < 3) return order;
    // The upper triangle, with the diagonal that the ordering counts on.
    Eigen::SparseMatrix<signed char, Eigen::ColMajor, int> upper(n, n);
    upper.resizeNonZeros(static_cast<Eigen::Index>(columns.size()) + n);
    int end = 0;
    for (int row = 0; row < n; ++row) {
        upper.outerIndexPtr()[row] = end;
        for (int place = pointers[row]; place < pointers[row + 1]; ++place) {
            if (columns[place] < row) upper.innerIndexPtr()[end++] = columns[place];
        }
        upper.innerIndexPtr()[end++] = row;
    }
    upper.outerIndexPtr()[n] = end;
    upper.resizeNonZeros(end);
    Eigen::PermutationMatrix<Eigen::Dynamic, Eigen::Dynamic, int> found;
    Eigen::AMDOrdering<int>()(upper.selfadjointView<Eigen::Upper>(), found);
    std::copy_n(found.indices().data(), n, order.begin());
    return order;
}

std::unique_ptr<double[]> uninitialised(std::int64_t count) {
    return std::unique_ptr<double[]>(new double[static_cast<std::size_t>(count)]);
}

[[noreturn]] void refuse_pivot() { throw Refused("the matrix is singular or indefinite"); }

}  // namespace

Pattern::Pattern(std::span<const int> pointers, std::span<const int> columns,
                 std::span<const double> entries, std::int64_t most, const Control& control)
    : order_(minimum_degree(pointers, columns)) {
    control.check();
    take_upper(pointers, columns, entries);
    control.check();
    grow_tree(most);
    fill_rows(control);
}

void Pattern::take_upper(std::span<const int> pointers, std::span<const int> columns,
                         std::span<const double> entries) {
    const auto n = static_cast<int>(order_.size());
    std::vector<int> place(order_.size());
    for (int column = 0; column < n; ++column) place[order_[column]] = column;
    upper_pointers_.assign(order_.size() + 1, 0);
    upper_rows_.reserve(columns.size() / 2 + order_.size());
    upper_entries_.reserve(columns.size() / 2 + order_.size());
    for (int column = 0; column < n; ++column) {
        const int row = order_[column];
        for (int e = pointers[row]; e < pointers[row + 1]; ++e) {
            if (place[columns[e]] > column) continue;
            upper_rows_.push_back(place[columns[e]]);
            upper_entries_.push_back(entries[e]);
        }
        upper_pointers_[column + 1] = static_cast<int>(upper_rows_.size());
    }
}

// Parent of every column, and where columns of L begin.
void Pattern::grow_tree(std::int64_t most) {
    const auto n = static_cast<int>(order_.size());
    parent_.assign(order_.size(), -1);
    pointers_.assign(order_.size() + 1, 0);
    std::vector<int> seen(order_.size(), -1);
    for (int row = 0; row < n; ++row) {
        seen[row] = row;
        for (int e = upper_pointers_[row]; e < upper_pointers_[row + 1]; ++e) {
            for (int node = upper_rows_[e]; seen[node] != row; node = parent_[node]) {
                if (parent_[node] < 0) parent_[node] = row;
                ++pointers_[node + 1];
                seen[node] = row;
            }
        }
    }
    for (int column = 0; column < n; ++column) pointers_[column + 1] += pointers_[column];
    if (entries() > most) {
        throw Refused("The factor of " + std::to_string(n) + " spots has " +
                      std::to_string(entries()) + " entries");
    }
}

// A row lies in all columns on its paths up the tree.
void Pattern::fill_rows(const Control& control) {
    const auto n = static_cast<int>(order_.size());
    rows_.resize(static_cast<std::size_t>(entries()));
    std::vector<std::int64_t> end(pointers_.begin(), pointers_.end() - 1);
    std::vector<int> seen(order_.size(), -1);
    for (int row = 0; row < n; ++row) {
        control.check();
        seen[row] = row;
        for (int e = upper_pointers_[row]; e < upper_pointers_[row + 1]; ++e) {
            for (int node = upper_rows_[e]; seen[node] != row; node = parent_[node]) {
                rows_[end[node]++] = row;
                seen[node] = row;
            }
        }
    }
}

double Pattern::operations() const {
    double total = 0;
    for (std::size_t column = 0; column < order_.size(); ++column) {
        const auto length = static_cast<double>(pointers_[column + 1] - pointers_[column]);
        total += length * length / 2;
    }
    return total;
}

// Row after row from the columns to the left (Davis 2005, ACM Trans. Math. Softw. 31:587-591), a
// few rows at a time: every column in which one of them has an entry is read once for all.
void Pattern::factorise(double shift, double scale, double* lower, double* pivots,
                        const Control& control) const {
    const auto n = static_cast<int>(order_.size());
    Rows<width> value(n);
    std::vector<std::int64_t> end(pointers_.begin(), pointers_.end() - 1);
    std::vector<int> seen(order_.size(), -1), path(order_.size()), stack(order_.size());
    for (int begin = 0; begin < n; begin += width) {
        const int stop = std::min(begin + width, n);
        // The columns to the left in which the rows have entries, those deeper in the tree first.
        Square square{};
        int top = n;
        for (int row = begin; row < stop; ++row) {
            const int lane = row - begin;
            square[lane][lane] += shift;
            for (int e = upper_pointers_[row]; e < upper_pointers_[row + 1]; ++e) {
                int node = upper_rows_[e];
                const double entry = scale * upper_entries_[e];
                if (node >= begin) {
                    square[node - begin][lane] += entry;
                    continue;
                }
                value[node][lane] += entry;
                int length = 0;
                for (; node < begin && seen[node] != begin; node = parent_[node]) {
                    path[length++] = node;
                    seen[node] = begin;
                }
                while (length > 0) stack[--top] = path[--length];
            }
        }
        std::array<double, width> own;
        Lanes left[width];
        for (int a = 0; a < width; ++a) {
            own[a] = square[a][a];
            left[a] = Lanes::load(square[a].data());
        }
        for (int visit = top; visit < n; ++visit) {
            control.check();
            const int node = stack[visit];
            const Lanes entry = Lanes::load(value[node]);
            Lanes::all(0).store(value[node]);
            std::int64_t last = end[node];
            for (std::int64_t e = pointers_[node]; e < last; ++e) {
                double* there = value[rows_[e]];
                (Lanes::load(there) - entry * lower[e]).store(there);
            }
            std::array<double, width> scaled;
            (entry * (1 / pivots[node])).store(scaled.data());
            for (int a = 0; a < width; ++a) left[a] -= entry * scaled[a];
            for (; last < pointers_[node + 1] && rows_[last] < stop; ++last) {
                lower[last] = scaled[rows_[last] - begin];
            }
            end[node] = last;
        }
        // What is left of the rows themselves, of which the upper triangle is right.
        for (int a = 0; a < width; ++a) left[a].store(square[a].data());
        for (int a = 0; a < stop - begin; ++a) {
            const double pivot = square[a][a];
            if (!(pivot > smallest_pivot * own[a])) refuse_pivot();
            pivots[begin + a] = pivot;
            for (int b = a + 1; b < stop - begin; ++b) {
                const double share = square[a][b] / pivot;
                for (int c = b; c < stop - begin; ++c) square[b][c] -= share * square[a][c];
                square[b][a] = share;
            }
            std::int64_t& last = end[begin + a];
            for (; last < pointers_[begin + a + 1] && rows_[last] < stop; ++last) {
                lower[last] = square[rows_[last] - begin][a];
            }
        }
    }
}

// The inverse Z on the pattern of L, from the last column backwards (Takahashi, Fagan and Chen
// 1973, PICA Conference; Erisman and Tinney 1975, Commun. ACM 18:177-179): with J a few columns,
// R the rows below them and M the inverse of L_JJ,
//
//     Z_RJ = -Z_RR L_RJ M,    Z_JJ = M' (D_J^-1 + L_RJ' Z_RR L_RJ) M.
//
// Where a row is not in the pattern of a column the sums are wrong, and meet no entry that is kept:
// rows of a column are rows of all columns between them. Z takes the place of L.
void Pattern::invert(double* lower, const double* pivots, double* diagonal,
                     const Control& control) const {
    const auto n = static_cast<int>(order_.size());
    Rows<width> weight(n), total(n);
    std::vector<int> seen(order_.size(), -1), below;
    for (int begin = (n - 1) / width * width; begin >= 0; begin -= width) {
        const int stop = std::min(begin + width, n), count = stop - begin;
        Square unit{};
        below.clear();
        for (int column = begin; column < stop; ++column) {
            for (std::int64_t e = pointers_[column]; e < pointers_[column + 1]; ++e) {
                const int row = rows_[e];
                if (row < stop) {
                    unit[row - begin][column - begin] = lower[e];
                    continue;
                }
                if (seen[row] != begin) {
                    seen[row] = begin;
                    below.push_back(row);
                    Lanes::all(0).store(total[row]);
                }
                weight[row][column - begin] = lower[e];
            }
        }
        // Z_RR L_RJ: each entry of Z stands for two.
        for (const int row : below) {
            control.check();
            const Lanes mine = Lanes::load(weight[row]);
            Lanes own = mine * diagonal[row];
            for (std::int64_t e = pointers_[row]; e < pointers_[row + 1]; ++e) {
                double* there = total[rows_[e]];
                (Lanes::load(there) + mine * lower[e]).store(there);
                own += Lanes::load(weight[rows_[e]]) * lower[e];
            }
            (Lanes::load(total[row]) + own).store(total[row]);
        }
        // M, row by row.
        Square inverse{};
        for (int a = 0; a < count; ++a) {
            inverse[a][a] = 1;
            for (int c = 0; c < a; ++c) {
                for (int b = 0; b <= c; ++b) inverse[a][b] -= unit[a][c] * inverse[c][b];
            }
        }
        Lanes form[width], rows[width];
        for (int a = 0; a < width; ++a) {
            form[a] = Lanes::all(0);
            rows[a] = Lanes::load(inverse[a].data());
        }
        for (const int row : below) {
            double* sums = total[row];
            const double* mine = weight[row];
            const Lanes here = Lanes::load(sums);
            Lanes found = Lanes::all(0);
            for (int a = 0; a < width; ++a) {
                form[a] += here * mine[a];
                found -= rows[a] * sums[a];
            }
            found.store(sums);
            Lanes::all(0).store(weight[row]);
        }
        // Z_JJ, from the upper triangle of the form.
        Square middle, half, own{};
        for (int a = 0; a < width; ++a) form[a].store(middle[a].data());
        for (int a = 0; a < count; ++a) {
            middle[a][a] += 1 / pivots[begin + a];
            for (int b = 0; b < a; ++b) middle[a][b] = middle[b][a];
        }
        for (int a = 0; a < count; ++a) {
            for (int b = 0; b < count; ++b) {
                half[a][b] = 0;
                for (int c = b; c < count; ++c) half[a][b] += middle[a][c] * inverse[c][b];
            }
        }
        for (int a = 0; a < count; ++a) {
            for (int b = 0; b <= a; ++b) {
                for (int c = a; c < count; ++c) own[a][b] += inverse[c][a] * half[c][b];
            }
        }
        for (int column = begin; column < stop; ++column) {
            const int lane = column - begin;
            diagonal[column] = own[lane][lane];
            for (std::int64_t e = pointers_[column]; e < pointers_[column + 1]; ++e) {
                const int row = rows_[e];
                lower[e] = row < stop ? own[row - begin][lane] : total[row][lane];
            }
        }
    }
}

std::vector<double> Pattern::inverse_diagonals(std::span<const double> shifts, double scale,
                                               const Control& control) const {
    const auto count = static_cast<std::int64_t>(shifts.size());
    std::vector<double> result(static_cast<std::size_t>(size() * count));
    const std::int64_t held = 8 * (entries() + (2 * width + 2) * size()) + 1;
    const std::int64_t together =
        std::clamp<std::int64_t>(most_bytes / held, 1, thread_count());
    // One share a thread, each of which takes the next shift until there is none.
    std::atomic<std::int64_t> next{0};
    parallel(std::min(together, count), count * entries() * 20, [&](std::int64_t, std::int64_t) {
        const auto lower = uninitialised(entries());
        std::vector<double> pivots(order_.size()), diagonal(order_.size());
        for (std::int64_t at = next++; at < count; at = next++) {
            factorise(shifts[at], scale, lower.get(), pivots.data(), control);
            invert(lower.get(), pivots.data(), diagonal.data(), control);
            for (std::size_t i = 0; i < order_.size(); ++i) {
                result[static_cast<std::size_t>(order_[i] * count + at)] = diagonal[i];
            }
        }
    });
    return result;
}

Factor::Factor(std::shared_ptr<const Pattern> pattern, double shift, double scale,
               const Control& control)
    : pattern_(std::move(pattern)),
      shift_(shift),
      scale_(scale),
      lower_(uninitialised(pattern_->entries())),
      pivots_(uninitialised(pattern_->size())) {
    pattern_->factorise(shift, scale, lower_.get(), pivots_.get(), control);
}

// Both triangular solves for rows of N values in the order of elimination.
template <int N>
void Factor::solve_rows(double* values, const Control& control) const {
    using Values = Row<double, N>;
    const std::int64_t n = size();
    const std::int64_t* pointers = pattern_->pointers_.data();
    const int* rows = pattern_->rows_.data();
    const double* lower = lower_.get();
    for (std::int64_t column = 0; column < n; ++column) {
        control.check();
        const Values own = Values::load(values + column * N);
        for (std::int64_t e = pointers[column]; e < pointers[column + 1]; ++e) {
            double* there = values + static_cast<std::int64_t>(rows[e]) * N;
            (Values::load(there) - own * lower[e]).store(there);
        }
    }
    for (std::int64_t column = n - 1; column >= 0; --column) {
        control.check();
        Values own = Values::load(values + column * N) * (1 / pivots_[column]);
        for (std::int64_t e = pointers[column]; e < pointers[column + 1]; ++e) {
            own -= Values::load(values + static_cast<std::int64_t>(rows[e]) * N) * lower[e];
        }
        own.store(values + column * N);
    }
}

// Take the matrix times `values` from `out`.
template <int N>
void Factor::subtract_product(const double* values, double* out) const {
    using Values = Row<double, N>;
    for (std::int64_t column = 0; column < size(); ++column) {
        const Values own = Values::load(values + column * N);
        Values left = Values::load(out + column * N) - own * shift_;
        for (int e = pattern_->upper_pointers_[column]; e < pattern_->upper_pointers_[column + 1];
             ++e) {
            const std::int64_t row = pattern_->upper_rows_[e];
            const double entry = scale_ * pattern_->upper_entries_[e];
            left -= Values::load(values + row * N) * entry;
            if (row == column) continue;
            (Values::load(out + row * N) - own * entry).store(out + row * N);
        }
        left.store(out + column * N);
    }
}

// Solve for the columns from `begin`, N of them or as many as there are; return the largest relative
// residual, where it is asked for.
template <int N>
double Factor::solve_panel(const double* right, double* values, int columns, int begin,
                           bool compare, const Control& control) const {
    using Values = Row<double, N>;
    const std::int64_t n = size();
    const int wanted = std::min(N, columns - begin);
    const int* order = pattern_->order().data();
    const auto take = [&](const double* from, Rows<N>& to) {
        for (std::int64_t row = 0; row < n; ++row) {
            std::copy_n(from + static_cast<std::int64_t>(order[row]) * columns + begin, wanted,
                        to[row]);
        }
    };
    const auto squares = [&](Rows<N>& rows) {
        Values total = Values::all(0);
        for (std::int64_t row = 0; row < n; ++row) {
            const Values own = Values::load(rows[row]);
            total += own * own;
        }
        std::array<double, N> sums;
        total.store(sums.data());
        return sums;
    };
    Rows<N> found(n);
    take(right, found);
    double worst = 0;
    if (!compare) {
        solve_rows<N>(found[0], control);
    } else {
        Rows<N> left(n);
        take(right, left);
        const std::array<double, N> given = squares(left);
        solve_rows<N>(found[0], control);
        subtract_product<N>(found[0], left[0]);
        const std::array<double, N> apart = squares(left);
        for (int k = 0; k < wanted; ++k) {
            const double share = std::sqrt(apart[k] / (given[k] > 0 ? given[k] : 1));
            if (share > worst || std::isnan(share)) worst = share;
        }
    }
    for (std::int64_t row = 0; row < n; ++row) {
        std::copy_n(found[row], wanted,
                    values + static_cast<std::int64_t>(order[row]) * columns + begin);
    }
    return worst;
}

// Share panels of columns out over threads; a column meets the same numbers in any of them.
double Factor::solve_columns(const double* right, double* values, int columns, bool compare,
                             const Control& control) const {
    if (columns == 0 || size() == 0) return 0;
    const int panel = std::min(widest_row, padded((columns + thread_count() - 1) / thread_count()));
    const int panels = (columns + panel - 1) / panel;
    std::vector<double> worst(static_cast<std::size_t>(panels));
    const std::int64_t operations = pattern_->entries() * columns;
    parallel(panels, operations, [&](std::int64_t first, std::int64_t last) {
        for (auto at = static_cast<int>(first); at < last; ++at) {
            const int begin = at * panel;
            over_panels(std::min(panel, padded(columns - begin)), [&](auto count, int) {
                worst[at] = solve_panel<count.value>(right, values, columns, begin, compare, control);
            });
        }
    });
    double most = 0;
    for (const double share : worst) {
        if (share > most || std::isnan(share)) most = share;
    }
    return most;
}

void Factor::solve(double* values, int columns, const Control& control) const {
    solve_columns(values, values, columns, false, control);
}

double Factor::solve(const double* right, double* values, int columns,
                     const Control& control) const {
    return solve_columns(right, values, columns, true, control);
}

}  // namespace core
