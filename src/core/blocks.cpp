#include "blocks.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace core {
namespace {

using Lanes = Row<float, lanes>;

// Largest ratio of two entries of a block that count as alike: the condition it adds.
constexpr double alike = 1.5;

// The same ratio from which a spot is given a factor of its own.
constexpr double weak = 2.0;

// Most directions that are kept apart; with more, factors cost less.
constexpr int most_directions = 4;

// Share of a spot's largest diagonal entry that the preconditioner of a local block adds to all of them.
constexpr float local_ridge = 1e-6f;

float* at(float* factors, std::int64_t entry) { return factors + entry * lanes; }
const float* at(const float* factors, std::int64_t entry) { return factors + entry * lanes; }

constexpr std::int64_t line(int a) { return static_cast<std::int64_t>(a) * (a + 1) / 2; }

// L of sixteen blocks in place; its diagonal becomes the reciprocal. Pivots are kept above the ridge, so
// that duplicate types do not stop the factorisation: a preconditioner may be perturbed, the answer is not.
void factor_lanes(float* entries, int count, float ridge) {
    for (int a = 0; a < count; ++a) {
        float* mine = at(entries, line(a));
        for (int b = 0; b < a; ++b) {
            const float* other = at(entries, line(b));
            Lanes total = Lanes::load(at(mine, b));
            for (int c = 0; c < b; ++c) total -= Lanes::load(at(mine, c)) * Lanes::load(at(other, c));
            (total * Lanes::load(at(other, b))).store(at(mine, b));
        }
        Lanes pivot = Lanes::load(at(mine, a));
        for (int c = 0; c < a; ++c) {
            const Lanes entry = Lanes::load(at(mine, c));
            pivot -= entry * entry;
        }
        pivot = pivot.larger(Lanes::all(ridge));
        float roots[lanes];
        pivot.store(roots);
        for (int lane = 0; lane < lanes; ++lane) roots[lane] = 1.0f / std::sqrt(roots[lane]);
        std::memcpy(at(mine, a), roots, sizeof roots);
    }
}

// Solve with the factors of sixteen blocks in place; `work` is types x lanes.
void solve_lanes(const float* entries, int count, float* work) {
    for (int a = 0; a < count; ++a) {
        const float* mine = at(entries, line(a));
        Lanes total = Lanes::load(at(work, a));
        for (int c = 0; c < a; ++c) total -= Lanes::load(at(mine, c)) * Lanes::load(at(work, c));
        (total * Lanes::load(at(mine, a))).store(at(work, a));
    }
    for (int a = count - 1; a >= 0; --a) {
        Lanes total = Lanes::load(at(work, a));
        for (int b = a + 1; b < count; ++b) {
            total -= Lanes::load(at(entries, line(b) + a)) * Lanes::load(at(work, b));
        }
        (total * Lanes::load(at(entries, line(a) + a))).store(at(work, a));
    }
}

// 1 where a member is free in a lane: members x lanes, from rows of `stride` of a group.
std::vector<float> masks_of(const Mask* free, int stride, int size, const std::int16_t* members, int count) {
    std::vector<float> masks(static_cast<std::size_t>(count) * lanes, 0.0f);
    for (int a = 0; a < count; ++a) {
        for (int lane = 0; lane < size; ++lane) masks[a * lanes + lane] = free[lane * stride + members[a]];
    }
    return masks;
}

}  // namespace

void DiagonalBlocks::solve(std::int64_t start, std::int64_t stop, const float* right, float* out) const {
    over_panels(stride_, [&](auto width, int begin) {
        using R = Row<float, decltype(width)::value>;
        const R own = R::load(gram_ + begin);
        for (std::int64_t row = start; row < stop; ++row) {
            const std::int64_t here = (row - start) * stride_ + begin;
            (R::load(right + here) / (own + R::all(shift_[row]))).store(out + here);
        }
    });
}

FreeBlocks::FreeBlocks(const Mask* free, std::int64_t rows, int stride)
    : rows_(rows),
      groups_((rows + lanes - 1) / lanes),
      stride_(stride),
      members_(static_cast<std::size_t>(groups_ * stride)),
      counts_(static_cast<std::size_t>(groups_)),
      places_(static_cast<std::size_t>(groups_) + 1, 0) {
    parallel(groups_, rows * stride / 4, [&](std::int64_t first, std::int64_t last) {
        std::vector<Mask> any(static_cast<std::size_t>(stride));
        for (std::int64_t group = first; group < last; ++group) {
            std::fill(any.begin(), any.end(), Mask{0});
            const std::int64_t stop = std::min((group + 1) * lanes, rows);
            for (std::int64_t row = group * lanes; row < stop; ++row) {
                for (int k = 0; k < stride; ++k) any[k] |= free[row * stride + k];
            }
            int count = 0;
            for (int k = 0; k < stride; ++k) {
                if (any[k]) members_[group * stride + count++] = static_cast<std::int16_t>(k);
            }
            counts_[group] = count;
        }
    });
    for (std::int64_t group = 0; group < groups_; ++group) {
        places_[group + 1] = places_[group] + packed_size(counts_[group]);
    }
    factors_ = Buffer<float>(places_[groups_] * lanes);
}

template <class Fill>
void FreeBlocks::factor(float ridge, Fill&& fill) {
    parallel(groups_, places_[groups_] * lanes * 4, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t group = first; group < last; ++group) {
            float* entries = at(factors_.data(), places_[group]);
            const int size = static_cast<int>(std::min<std::int64_t>(lanes, rows_ - group * lanes));
            fill(group, size, members_.data() + group * stride_, counts_[group], entries);
            factor_lanes(entries, counts_[group], ridge);
        }
    });
}

FreeBlocks::FreeBlocks(const float* gram, const float* shift, int each, float ridge, const Mask* free,
                       std::int64_t rows, int stride)
    : FreeBlocks(free, rows, stride) {
    factor(ridge, [&](std::int64_t group, int size, const std::int16_t* members, int count, float* entries) {
        const std::vector<float> masks = masks_of(free + group * lanes * stride, stride, size, members, count);
        const Lanes one = Lanes::all(1.0f);
        for (int a = 0; a < count; ++a) {
            const float* row = gram + members[a] * stride;
            const Lanes mine = Lanes::load(masks.data() + a * lanes);
            for (int b = 0; b < a; ++b) {
                (mine * Lanes::load(masks.data() + b * lanes) * row[members[b]]).store(at(entries, line(a) + b));
            }
            float added[lanes] = {};
            for (int lane = 0; lane < size; ++lane) {
                const std::int64_t spot = group * lanes + lane;
                added[lane] = row[members[a]] + ridge + (each == 1 ? shift[spot] : shift[spot * each + members[a]]);
            }
            (Lanes::load(added) * mine + one - mine).store(at(entries, line(a) + a));
        }
    });
}

void FreeBlocks::solve(std::int64_t start, std::int64_t stop, const float* right, float* out) const {
    std::memset(out, 0, static_cast<std::size_t>((stop - start) * stride_) * sizeof(float));
    std::vector<float> work(static_cast<std::size_t>(stride_) * lanes, 0.0f);
    for (std::int64_t begin = start; begin < stop; begin += lanes) {
        const std::int64_t group = begin / lanes;
        const int size = static_cast<int>(std::min<std::int64_t>(lanes, stop - begin));
        const std::int16_t* members = members_.data() + group * stride_;
        const float* from = right + (begin - start) * stride_;
        float* to = out + (begin - start) * stride_;
        const int count = counts_[group];
        for (int a = 0; a < count; ++a) {
            for (int lane = 0; lane < size; ++lane) work[a * lanes + lane] = from[lane * stride_ + members[a]];
            for (int lane = size; lane < lanes; ++lane) work[a * lanes + lane] = 0;
        }
        solve_lanes(at(factors_.data(), places_[group]), count, work.data());
        for (int a = 0; a < count; ++a) {
            for (int lane = 0; lane < size; ++lane) to[lane * stride_ + members[a]] = work[a * lanes + lane];
        }
    }
}

LocalBlocks::LocalBlocks(const float* blocks, int types, const float* shift, int each, const Mask* free,
                         std::int64_t rows, int stride)
    : FreeBlocks(free, rows, stride) {
    auto added = [&](std::int64_t spot, int k) { return each == 1 ? shift[spot] : shift[spot * each + k]; };
    factor(1e-30f, [&](std::int64_t group, int size, const std::int16_t* members, int count, float* entries) {
        const float* given = blocks + group * packed_size(types) * lanes;
        float ridge[lanes] = {};
        for (int lane = 0; lane < size; ++lane) {
            float largest = 1e-30f;
            for (int k = 0; k < types; ++k) {
                largest = std::max(largest, at(given, line(k) + k)[lane] + added(group * lanes + lane, k));
            }
            ridge[lane] = local_ridge * largest;
        }
        const std::vector<float> masks = masks_of(free + group * lanes * stride, stride, size, members, count);
        const Lanes one = Lanes::all(1.0f);
        for (int a = 0; a < count; ++a) {
            const int ka = members[a];
            const Lanes mine = Lanes::load(masks.data() + a * lanes);
            for (int b = 0; b < a; ++b) {
                const Lanes both = mine * Lanes::load(masks.data() + b * lanes);
                (Lanes::load(at(given, line(ka) + members[b])) * both).store(at(entries, line(a) + b));
            }
            float more[lanes] = {};
            for (int lane = 0; lane < size; ++lane) more[lane] = added(group * lanes + lane, ka) + ridge[lane];
            const Lanes own = Lanes::load(at(given, line(ka) + ka)) + Lanes::load(more);
            (own * mine + one - mine).store(at(entries, line(a) + a));
        }
    });
}

NodeBlocks::NodeBlocks(const float* gram, const float* shared, const float* own, float weight, float ridge,
                       const Mask* free, std::int64_t rows, int stride)
    : FreeBlocks(free, rows, stride) {
    factor(ridge, [&](std::int64_t group, int size, const std::int16_t* members, int count, float* entries) {
        for (int a = 0; a < count; ++a) {
            const int ka = members[a];
            for (int b = 0; b <= a; ++b) {
                const int kb = members[b];
                float* target = at(entries, line(a) + b);
                for (int lane = 0; lane < lanes; ++lane) {
                    const std::int64_t node = group * lanes + lane;
                    const bool held = lane >= size || !free[node * stride + ka] || !free[node * stride + kb];
                    if (held) {
                        target[lane] = a == b ? 1.0f : 0.0f;
                        continue;
                    }
                    target[lane] = gram[ka * stride + kb] * shared[(node * stride + ka) * stride + kb];
                    if (a == b) target[lane] += weight * own[node * stride + ka] + ridge;
                }
            }
        }
    });
}

StandingOut standing_out(const double* eigenvalues, const double* basis, int types, int stride, double shift) {
    StandingOut close;
    const double lowest = eigenvalues[0] + shift;
    int same = 0;
    while (same < types && eigenvalues[same] + shift <= alike * lowest) ++same;
    if (types - same > most_directions || same == 0) return close;
    const double highest = eigenvalues[same - 1] + shift;
    const double delta = std::sqrt(lowest * highest) - shift;
    close.found = true;
    close.delta = static_cast<float>(delta);
    close.rank = types - same;
    close.directions.assign(static_cast<std::size_t>(close.rank) * stride, 0.0f);
    for (int a = 0; a < close.rank; ++a) {
        const double root = std::sqrt(std::max(eigenvalues[same + a] - delta, 0.0));
        for (int k = 0; k < types; ++k) {
            close.directions[a * stride + k] = static_cast<float>(basis[k * types + same + a] * root);
        }
    }
    close.least = static_cast<float>((eigenvalues[same - 1] - weak * eigenvalues[0]) / (weak - 1));
    return close;
}

LowRankBlocks::LowRankBlocks(const StandingOut& close, const float* gram, const float* shift, float ridge,
                             const Mask* free, std::int64_t rows, int stride)
    : close_(close), free_(free), stride_(stride), cores_(rows * close.rank * close.rank), inverse_(rows) {
    const int rank = close.rank;
    // Products of directions with each other, a row of types each: what free types keep of them is a sum.
    std::vector<float> squares(static_cast<std::size_t>(packed_size(rank)) * stride);
    for (int a = 0, pair = 0; a < rank; ++a) {
        for (int b = 0; b <= a; ++b, ++pair) {
            for (int k = 0; k < stride; ++k) {
                squares[pair * stride + k] = close.directions[a * stride + k] * close.directions[b * stride + k];
            }
        }
    }
    over_rows(rows, rows * stride * packed_size(rank), [&](std::int64_t start, std::int64_t stop) {
        for (std::int64_t row = start; row < stop; ++row) {
            const float c = close.delta + shift[row];
            inverse_[row] = shift[row] < close.least ? 0.0f : 1.0f / c;
            float matrix[most_directions][most_directions] = {};
            for (int a = 0, pair = 0; a < rank; ++a) {
                for (int b = 0; b <= a; ++b, ++pair) {
                    float overlap = 0;
                    over_panels(stride, [&](auto width, int begin) {
                        using R = Row<float, decltype(width)::value>;
                        overlap += (R::load(free + row * stride + begin) * R::load(squares.data() + pair * stride + begin)).sum();
                    });
                    matrix[a][b] = matrix[b][a] = overlap;
                }
                matrix[a][a] += c;
            }
            // Gauss-Jordan without pivoting, the matrix being positive.
            for (int pivot = 0; pivot < rank; ++pivot) {
                const float inverse = 1.0f / matrix[pivot][pivot];
                matrix[pivot][pivot] = 1.0f;
                for (int b = 0; b < rank; ++b) matrix[pivot][b] *= inverse;
                for (int a = 0; a < rank; ++a) {
                    if (a == pivot) continue;
                    const float factor = matrix[a][pivot];
                    matrix[a][pivot] = 0.0f;
                    for (int b = 0; b < rank; ++b) matrix[a][b] -= factor * matrix[pivot][b];
                }
            }
            for (int a = 0; a < rank; ++a) {
                for (int b = 0; b < rank; ++b) cores_[(row * rank + a) * rank + b] = matrix[a][b];
            }
        }
    });
    for (std::int64_t row = 0; row < rows; ++row) {
        if (!(shift[row] < close.least)) continue;
        alone_.push_back(static_cast<std::int32_t>(row));
        std::vector<std::int16_t> types;
        for (int k = 0; k < stride; ++k) {
            if (free[row * stride + k]) types.push_back(static_cast<std::int16_t>(k));
        }
        std::vector<float> factor(static_cast<std::size_t>(packed_size(static_cast<int>(types.size()))));
        for (int a = 0; a < static_cast<int>(types.size()); ++a) {
            float* mine = factor.data() + line(a);
            for (int b = 0; b < a; ++b) {
                const float* other = factor.data() + line(b);
                float total = gram[types[a] * stride + types[b]];
                for (int c = 0; c < b; ++c) total -= mine[c] * other[c];
                mine[b] = total * other[b];
            }
            float pivot = gram[types[a] * stride + types[a]] + shift[row] + ridge;
            for (int c = 0; c < a; ++c) pivot -= mine[c] * mine[c];
            mine[a] = 1.0f / std::sqrt(std::max(pivot, ridge));
        }
        alone_types_.push_back(std::move(types));
        alone_factors_.push_back(std::move(factor));
    }
}

template <int Rank>
void LowRankBlocks::solve_rank(std::int64_t start, std::int64_t stop, const float* right, float* out) const {
    const float* directions = close_.directions.data();
    for (std::int64_t row = start; row < stop; ++row) {
        const std::int64_t here = (row - start) * stride_;
        float along[Rank + 1] = {}, amounts[Rank + 1];
        over_panels(stride_, [&](auto width, int begin) {
            using R = Row<float, decltype(width)::value>;
            const R given = R::load(right + here + begin);
            for (int a = 0; a < Rank; ++a) along[a] += (given * R::load(directions + a * stride_ + begin)).sum();
        });
        for (int a = 0; a < Rank; ++a) {
            amounts[a] = 0;
            for (int b = 0; b < Rank; ++b) amounts[a] += cores_[(row * Rank + a) * Rank + b] * along[b];
        }
        const float inverse = inverse_[row];
        over_panels(stride_, [&](auto width, int begin) {
            using R = Row<float, decltype(width)::value>;
            R value = R::load(right + here + begin);
            for (int a = 0; a < Rank; ++a) value -= R::load(directions + a * stride_ + begin) * amounts[a];
            (value * inverse * R::load(free_ + row * stride_ + begin)).store(out + here + begin);
        });
    }
}

void LowRankBlocks::solve_alone(std::int64_t number, const float* right, float* out) const {
    const auto& types = alone_types_[number];
    const float* factor = alone_factors_[number].data();
    const int count = static_cast<int>(types.size());
    for (int a = 0; a < count; ++a) {
        float total = right[types[a]];
        for (int c = 0; c < a; ++c) total -= factor[line(a) + c] * out[types[c]];
        out[types[a]] = total * factor[line(a) + a];
    }
    for (int a = count - 1; a >= 0; --a) {
        float total = out[types[a]];
        for (int b = a + 1; b < count; ++b) total -= factor[line(b) + a] * out[types[b]];
        out[types[a]] = total * factor[line(a) + a];
    }
}

void LowRankBlocks::solve(std::int64_t start, std::int64_t stop, const float* right, float* out) const {
    switch (close_.rank) {
        case 0: solve_rank<0>(start, stop, right, out); break;
        case 1: solve_rank<1>(start, stop, right, out); break;
        case 2: solve_rank<2>(start, stop, right, out); break;
        case 3: solve_rank<3>(start, stop, right, out); break;
        default: solve_rank<4>(start, stop, right, out); break;
    }
    auto next = std::lower_bound(alone_.begin(), alone_.end(), start);
    for (; next != alone_.end() && *next < stop; ++next) {
        const std::int64_t here = (*next - start) * stride_;
        solve_alone(next - alone_.begin(), right + here, out + here);
    }
}

}  // namespace core
