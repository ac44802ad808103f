#include "multigrid.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "product.hpp"

namespace core {
namespace {

// Of the block Jacobi steps.
constexpr float usual_damping = 0.7f;

// The coarsest level is factored as one matrix up to this size, else only smoothed.
constexpr std::int64_t most_dense = 640;

}  // namespace

Multigrid::Multigrid(const Prior& prior, float weight, const float* gram, bool diagonal, const float* shift,
                     float ridge, const Mask* free, int stride)
    : prior_(prior),
      weight_(weight),
      gram_(gram),
      diagonal_(diagonal),
      ridge_(ridge),
      free_(free),
      stride_(stride),
      each_(diagonal ? 1 : stride),
      left_(prior.rows() * stride) {
    const Graph& graph = prior.graph();
    const auto& steps = prior.coarsening();
    if (diagonal) {
        blocks_ = std::make_unique<DiagonalBlocks>(gram, shift, stride);
    } else {
        blocks_ = std::make_unique<FreeBlocks>(gram, shift, 1, ridge, free, graph.rows, stride);
    }
    damping_.resize(static_cast<std::size_t>(graph.rows));
    for (std::int64_t row = 0; row < graph.rows; ++row) {
        const bool alone = graph.pointers[row + 1] == graph.pointers[row] || (!steps.empty() && steps[0].aggregate[row] < 0);
        damping_[row] = alone ? 1.0f : usual_damping;
    }
    levels_.resize(steps.size());
    for (std::size_t depth = 0; depth < steps.size(); ++depth) {
        Level& level = levels_[depth];
        level.step = &steps[depth];
        level.nodes = steps[depth].nodes();
        const std::int64_t nodes = level.nodes, size = nodes * stride;
        level.edges = Buffer<float>(static_cast<std::int64_t>(steps[depth].neighbours.size()) * each_);
        level.surplus = Buffer<float>(nodes * each_);
        level.own = Buffer<float>(nodes * each_);
        level.shared = Buffer<float>(nodes * (diagonal ? 1 : stride * stride));
        for (auto* array : {&level.edges, &level.surplus, &level.own, &level.shared}) array->fill(0.0f);
        for (auto* array : {&level.right, &level.values, &level.left, &level.kept, &level.total}) *array = Buffer<float>(size);
        collect(depth);
        level.damping.resize(static_cast<std::size_t>(nodes));
        for (std::int64_t node = 0; node < nodes; ++node) {
            level.damping[node] = level.step->pointers[node + 1] == level.step->pointers[node] ? 1.0f : usual_damping;
        }
        if (diagonal) {
            // d_k m + weight q = m (d_k + weight q / m): the right side is divided by m before, see `smooth`.
            level.node_shift = Buffer<float>(nodes);
            for (std::int64_t node = 0; node < nodes; ++node) {
                level.node_shift[node] = weight * level.own[node] / level.shared[node];
            }
            level.blocks = std::make_unique<DiagonalBlocks>(gram, level.node_shift.data(), stride);
            for (std::int64_t node = 0; node < nodes; ++node) level.damping[node] /= level.shared[node];
        } else {
            level.free = Buffer<Mask>(size);
            for (std::int64_t i = 0; i < size; ++i) {
                const std::int64_t node = i / stride, k = i % stride;
                level.free[i] = level.shared[(node * stride + k) * stride + k] > 0;
            }
            level.blocks = std::make_unique<NodeBlocks>(gram, level.shared.data(), level.own.data(), weight, ridge,
                                                        level.free.data(), nodes, stride);
        }
    }
    if (!levels_.empty() && levels_.back().nodes * stride <= most_dense) factor_coarsest();
}

// Fill a level from the spots, or from the level below it.
//
// What an aggregate keeps of the prior is gathered from the sums of rows and from what leaves it, not from its
// diagonal less its inner edges: nothing cancels.
void Multigrid::collect(std::size_t depth) {
    Level& level = levels_[depth];
    const Coarsening& step = *level.step;
    const bool spots = depth == 0;
    const Graph& graph = prior_.graph();
    const Level* finer = spots ? nullptr : &levels_[depth - 1];
    const std::int32_t* pointers = spots ? graph.pointers.data() : finer->step->pointers.data();
    const std::int32_t* neighbours = spots ? graph.neighbours.data() : finer->step->neighbours.data();
    const int each = each_, stride = stride_;
    auto is_free = [&](std::int64_t spot, int k) { return diagonal_ ? 1.0f : static_cast<float>(free_[spot * stride + k]); };
    parallel(level.nodes, level.nodes * each * 64, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t group = first; group < last; ++group) {
            float* surplus = level.surplus.data() + group * each;
            float* own = level.own.data() + group * each;
            for (auto visit = step.cuts[group]; visit < step.cuts[group + 1]; ++visit) {
                const std::int64_t node = step.members[visit];
                for (int k = 0; k < each; ++k) {
                    surplus[k] += spots ? graph.surplus_single[node] * is_free(node, k) : finer->surplus[node * each + k];
                }
                for (auto place = pointers[node]; place < pointers[node + 1]; ++place) {
                    const std::int64_t neighbour = neighbours[place], goal = step.target[place];
                    const bool outside = step.aggregate[neighbour] < 0;
                    for (int k = 0; k < each; ++k) {
                        float both;
                        if (spots) {
                            const float half = graph.entries_single[place] * is_free(node, k);
                            both = half * is_free(neighbour, k);
                            surplus[k] -= half - both;
                        } else {
                            both = finer->edges[static_cast<std::int64_t>(place) * each + k];
                        }
                        if (goal >= 0) {
                            level.edges[goal * each + k] += both;
                            own[k] -= both;
                        } else if (outside) {
                            surplus[k] -= both;
                        }
                    }
                }
                if (diagonal_) {
                    level.shared[group] += spots ? 1.0f : finer->shared[node];
                    continue;
                }
                float* shared = level.shared.data() + group * stride * stride;
                if (spots) {
                    const Mask* mask = free_ + node * stride;
                    for (int k = 0; k < stride; ++k) {
                        if (!mask[k]) continue;
                        for (int other = 0; other < stride; ++other) shared[k * stride + other] += mask[other];
                    }
                } else {
                    const float* from = finer->shared.data() + node * stride * stride;
                    for (int i = 0; i < stride * stride; ++i) shared[i] += from[i];
                }
            }
            for (int k = 0; k < each; ++k) own[k] += surplus[k];
        }
    });
}

// Write damping * block^-1 right into `out`, or add it where `again`.
void Multigrid::smooth(const Blocks& blocks, const std::vector<float>& damping, std::int64_t rows,
                       const float* right, float* out, bool again) const {
    const int stride = stride_;
    over_rows(rows, rows * stride * 4, [&](std::int64_t start, std::int64_t stop) {
        std::vector<float> solved(static_cast<std::size_t>((stop - start) * stride));
        blocks.solve(start, stop, right + start * stride, solved.data());
        for (std::int64_t row = start; row < stop; ++row) {
            const float factor = damping[row];
            const float* from = solved.data() + (row - start) * stride;
            float* to = out + row * stride;
            for (int k = 0; k < stride; ++k) to[k] = (again ? to[k] : 0.0f) + factor * from[k];
        }
    });
}

// left = right - (values A + weight Q values) where free.
void Multigrid::spot_residual(const float* right, const float* values) {
    const auto q = prior_.graph().view<float>();
    over_rows(prior_.rows(), prior_.rows() * stride_ * 4, [&](std::int64_t start, std::int64_t stop) {
        over_panels(stride_, [&](auto width, int begin) {
            constexpr int N = decltype(width)::value;
            using R = Row<float, N>;
            auto finish = [&](std::int64_t row, const R&, const R& total) {
                const std::int64_t here = row * stride_ + begin;
                R apart = total;
                if (!diagonal_) apart = apart * R::load(free_ + here);
                (R::load(right + here) - apart).store(left_.data() + here);
            };
            const float* none = nullptr;
            if (diagonal_) {
                product_rows<N, Data::diagonal>(q, weight_, gram_, values, stride_, begin, start, stop, none, finish);
            } else {
                product_rows<N, Data::gram>(q, weight_, gram_, values, stride_, begin, start, stop, none, finish);
            }
        });
    });
}

// out = right - H values on a level.
void Multigrid::node_residual(const Level& level, const float* right, float* out) const {
    const GraphView<float> q{level.step->pointers.data(), level.step->neighbours.data(), level.edges.data(),
                             level.surplus.data(), each_};
    const int stride = stride_;
    const float* values = level.values.data();
    over_rows(level.nodes, level.nodes * stride * 16, [&](std::int64_t start, std::int64_t stop) {
        for (std::int64_t node = start; node < stop; ++node) {
            const float* value = values + node * stride;
            float* here = out + node * stride;
            std::memcpy(here, right + node * stride, static_cast<std::size_t>(stride) * sizeof(float));
            if (diagonal_) {
                for (int k = 0; k < stride; ++k) here[k] -= gram_[k] * level.shared[node] * value[k];
                continue;
            }
            const float* shared = level.shared.data() + node * stride * stride;
            for (int other = 0; other < stride; ++other) {
                if (value[other] == 0) continue;
                for (int k = 0; k < stride; ++k) {
                    here[k] -= gram_[other * stride + k] * shared[other * stride + k] * value[other];
                }
            }
        }
        add_prior(q, -weight_, values, stride, start, stop, out + start * stride);
    });
}

// Add the correction from a level to the values of the one below it, of which `left` is left over.
void Multigrid::correct(std::size_t depth, const float* left, const Mask* free, std::int64_t rows, float* values) {
    Level& coarse = levels_[depth];
    const Coarsening& step = *coarse.step;
    const int stride = stride_;
    over_rows(coarse.nodes, rows * stride, [&](std::int64_t start, std::int64_t stop) {
        for (std::int64_t group = start; group < stop; ++group) {
            float* sum = coarse.right.data() + group * stride;
            std::fill(sum, sum + stride, 0.0f);
            for (auto visit = step.cuts[group]; visit < step.cuts[group + 1]; ++visit) {
                const float* from = left + static_cast<std::int64_t>(step.members[visit]) * stride;
                for (int k = 0; k < stride; ++k) sum[k] += from[k];
            }
        }
    });
    solve(depth);
    if (depth == 0 && levels_.size() > 1) {
        // One second visit: measured, further ones deeper down save no steps.
        std::copy(coarse.right.begin(), coarse.right.end(), coarse.kept.begin());
        std::copy(coarse.values.begin(), coarse.values.end(), coarse.total.begin());
        node_residual(coarse, coarse.kept.data(), coarse.right.data());
        solve(depth);
        for (std::int64_t i = 0; i < coarse.values.size(); ++i) coarse.values[i] += coarse.total[i];
    }
    over_rows(rows, rows * stride, [&](std::int64_t start, std::int64_t stop) {
        for (std::int64_t node = start; node < stop; ++node) {
            const std::int64_t group = step.aggregate[node];
            if (group < 0) continue;
            const float* from = coarse.values.data() + group * stride;
            float* to = values + node * stride;
            for (int k = 0; k < stride; ++k) {
                if (free == nullptr || free[node * stride + k]) to[k] += from[k];
            }
        }
    });
}

// Improve H values = right on a level, from nothing.
void Multigrid::solve(std::size_t depth) {
    Level& level = levels_[depth];
    if (depth + 1 == levels_.size() && !dense_.empty()) {
        const std::size_t n = unknowns_.size();
        std::vector<double> x(n);
        for (std::size_t a = 0; a < n; ++a) {
            double total = level.right[unknowns_[a]];
            for (std::size_t c = 0; c < a; ++c) total -= dense_[a * n + c] * x[c];
            x[a] = total * dense_[a * n + a];
        }
        for (std::size_t a = n; a-- > 0;) {
            double total = x[a];
            for (std::size_t b = a + 1; b < n; ++b) total -= dense_[b * n + a] * x[b];
            x[a] = total * dense_[a * n + a];
        }
        level.values.fill(0.0f);
        for (std::size_t a = 0; a < n; ++a) level.values[unknowns_[a]] = static_cast<float>(x[a]);
        return;
    }
    smooth(*level.blocks, level.damping, level.nodes, level.right.data(), level.values.data(), false);
    if (depth + 1 == levels_.size()) return;
    node_residual(level, level.right.data(), level.left.data());
    correct(depth + 1, level.left.data(), diagonal_ ? nullptr : level.free.data(), level.nodes, level.values.data());
    node_residual(level, level.right.data(), level.left.data());
    smooth(*level.blocks, level.damping, level.nodes, level.left.data(), level.values.data(), true);
}

void Multigrid::factor_coarsest() {
    const Level& level = levels_.back();
    const int stride = stride_;
    std::vector<std::int64_t> number(static_cast<std::size_t>(level.nodes * stride), -1);
    for (std::int64_t i = 0; i < level.nodes * stride; ++i) {
        const bool used = diagonal_ ? gram_[i % stride] > 0 : level.free[i] != 0;
        if (!used) continue;
        number[i] = static_cast<std::int64_t>(unknowns_.size());
        unknowns_.push_back(i);
    }
    const std::size_t n = unknowns_.size();
    dense_.assign(n * n, 0.0);
    double largest = 1e-30;
    for (std::size_t a = 0; a < n; ++a) {
        const std::int64_t node = unknowns_[a] / stride;
        const int k = static_cast<int>(unknowns_[a] % stride), e = each_ == 1 ? 0 : k;
        for (int other = 0; other < stride; ++other) {
            const std::int64_t b = number[node * stride + other];
            if (b < 0 || (diagonal_ && other != k)) continue;
            dense_[a * n + b] += diagonal_ ? static_cast<double>(gram_[k]) * level.shared[node]
                                           : static_cast<double>(gram_[k * stride + other]) *
                                                 level.shared[(node * stride + k) * stride + other];
        }
        dense_[a * n + a] += static_cast<double>(weight_) * level.own[node * each_ + e];
        largest = std::max(largest, dense_[a * n + a]);
        for (auto place = level.step->pointers[node]; place < level.step->pointers[node + 1]; ++place) {
            const std::int64_t b = number[static_cast<std::int64_t>(level.step->neighbours[place]) * stride + k];
            if (b >= 0) dense_[a * n + b] += static_cast<double>(weight_) * level.edges[static_cast<std::int64_t>(place) * each_ + e];
        }
    }
    for (std::size_t a = 0; a < n; ++a) dense_[a * n + a] += 1e-6 * largest;
    for (std::size_t a = 0; a < n; ++a) {
        double* mine = dense_.data() + a * n;
        for (std::size_t b = 0; b < a; ++b) {
            const double* other = dense_.data() + b * n;
            double total = mine[b];
            for (std::size_t c = 0; c < b; ++c) total -= mine[c] * other[c];
            mine[b] = total * other[b];
        }
        double pivot = mine[a];
        for (std::size_t c = 0; c < a; ++c) pivot -= mine[c] * mine[c];
        mine[a] = 1.0 / std::sqrt(std::max(pivot, 1e-9 * largest));
    }
}

void Multigrid::apply(const float* right, float* out) {
    const std::int64_t rows = prior_.rows();
    smooth(*blocks_, damping_, rows, right, out, false);
    if (levels_.empty()) return;
    spot_residual(right, out);
    correct(0, left_.data(), diagonal_ ? nullptr : free_, rows, out);
    spot_residual(right, out);
    smooth(*blocks_, damping_, rows, left_.data(), out, true);
}

}  // namespace core
