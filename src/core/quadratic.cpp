#include "quadratic.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "product.hpp"
#include "spot_solver.hpp"

namespace core {
namespace {

// Added to A in preconditioners only, as a share of its largest eigenvalue.
constexpr double ridge_share = 1e-6;

// Steps for one tenth of the residual that count as slow; a step by blocks of low rank takes a seventh of a
// step of multigrid.
constexpr int patience_blocks = 25, patience_low_rank = 60;

// Ratios of prior to weakest data direction below which spots hardly hear their neighbours, and below which
// most of what is left to do lies within spots.
constexpr double alone = 0.5, weak = 8.0;

// Condition of a spot's own block from which its optimum is worth a factorisation.
constexpr double coherent = 30.0;

// Of the weight on the coarser graph: constant pieces make smooth fields look too steep.
constexpr double softened = 0.4;

// Residual at which the coarser answer is good enough, and steps spent on it.
constexpr double loose = 1e-2;
constexpr std::int64_t coarse_steps = 100;

class SharedQuadratic final : public Quadratic {
  public:
    // C with padded rows, in the order of the prior; A diagonal where `diagonal`.
    SharedQuadratic(const DataTerm& data, const double* linear, const Prior& prior, double weight,
                    bool bounded, bool diagonal, const Control& control)
        : Quadratic(prior.rows(), data.types, bounded, control),
          data_(data),
          prior_(prior),
          linear_(linear),
          weight_(weight),
          diagonal_(diagonal),
          shift_(rows * prior.graph().each) {
        const double largest = data.eigenvalues[types - 1];
        ridge_ = ridge_share * largest + 1e-30;
        kappa = weight * prior.largest_diagonal() / (data.eigenvalues[0] + ridge_);
        if (diagonal) {
            gram_ = Buffer<double>(stride);
            gram_single_ = Buffer<float>(stride);
            jacobi_ = Buffer<float>(stride);
            for (int k = 0; k < stride; ++k) {
                gram_[k] = k < types ? data.eigenvalues[k] : 1.0;
                gram_single_[k] = static_cast<float>(gram_[k]);
                jacobi_[k] = static_cast<float>(gram_[k] + ridge_);
            }
        } else {
            gram_ = pad_square<double>(data.gram, types);
            gram_single_ = pad_square<float>(data.gram, types);
            std::vector<double> raised(data.eigenvalues, data.eigenvalues + types);
            for (double& value : raised) value += ridge_;
            if (prior.graph().each == 1) {
                close_ = standing_out(raised.data(), data.basis, types, stride, weight * prior.common_diagonal());
            }
        }
        for (std::int64_t i = 0; i < shift_.size(); ++i) {
            shift_[i] = static_cast<float>(weight * prior.graph().diagonal[i]);
        }
    }

    void measure(Point& point, const Point& before) override {
        const auto q = prior_.graph().view<double>();
        const double weight = weight_;
        const auto sums = sum_over_rows<6>(
            rows, rows * stride * 8, [&](std::int64_t start, std::int64_t stop) {
                std::array<double, 6> part{};
                over_panels(stride, [&](auto width, int begin) {
                    constexpr int N = decltype(width)::value;
                    using R = Row<double, N>;
                    const R zero = R::all(0.0), all = R::load(real.data() + begin);
                    R residual = zero, energy = zero, fitted = zero, at_start = zero, at_end = zero, count = zero;
                    auto finish = [&](std::int64_t row, const R& own, const R& total) {
                        const std::int64_t here = row * stride + begin;
                        const R target = R::load(linear_ + here);
                        const R slope = total - target;
                        const R free = bounded ? R::free(own, slope) : all;
                        const R step = own - R::load(before.values.data() + here);
                        const R projected = slope * free;
                        residual += projected * projected;
                        energy += own * slope;
                        fitted += own * target;
                        at_start += step * R::load(before.gradient.data() + here);
                        at_end += step * slope;
                        count += free;
                        slope.store(point.gradient.data() + here);
                        free.store(point.free.data() + here);
                    };
                    const double* none = nullptr;
                    if (diagonal_) {
                        product_rows<N, Data::diagonal>(q, weight, gram_.data(), point.values.data(), stride,
                                                        begin, start, stop, none, finish);
                    } else {
                        product_rows<N, Data::gram>(q, weight, gram_.data(), point.values.data(), stride, begin,
                                                    start, stop, none, finish);
                    }
                    const double found[] = {residual.sum(), energy.sum(),  fitted.sum(),
                                            at_start.sum(), at_end.sum(), count.sum()};
                    for (int i = 0; i < 6; ++i) part[i] += found[i];
                });
                return part;
            });
        point.residual = std::sqrt(sums[0]) / scale;
        point.objective = (sums[1] - sums[2]) / 2;
        point.slope = sums[3];
        point.slope_after = sums[4];
        point.free_count = static_cast<std::int64_t>(sums[5]);
    }

    double multiply(const float* values, float* out) override {
        return multiply_in(prior_.graph().view<float>(), gram_single_.data(), values, out);
    }
    double multiply(const double* values, double* out) override {
        return multiply_in(prior_.graph().view<double>(), gram_.data(), values, out);
    }

    Preconditioner precondition(const Point& point) override {
        // The factors of before go first: they are as large as the vectors.
        cycle_.reset();
        blocks_.reset();
        const float ridge = static_cast<float>(ridge_);
        if (stiff_) {
            cycle_ = std::make_unique<Multigrid>(prior_, static_cast<float>(weight_),
                                                 diagonal_ ? jacobi_.data() : gram_single_.data(), diagonal_,
                                                 shift_.data(), ridge, point.free.data(), stride);
            return {nullptr, cycle_.get(), diagonal_ ? "multigrid" : "multigrid on free types"};
        }
        if (diagonal_) {
            blocks_ = std::make_unique<DiagonalBlocks>(jacobi_.data(), shift_.data(), stride);
        } else if (close_.found) {
            blocks_ = std::make_unique<LowRankBlocks>(close_, gram_single_.data(), shift_.data(), ridge,
                                                      point.free.data(), rows, stride);
        } else {
            blocks_ = std::make_unique<FreeBlocks>(gram_single_.data(), shift_.data(), prior_.graph().each, ridge,
                                                   point.free.data(), rows, stride);
        }
        return {blocks_.get(), nullptr, blocks_->name()};
    }

    void stiffen() override { stiff_ = stiff_ || (!insists_ && prior_.graph().each == 1); }
    int patience() const override { return close_.found || diagonal_ ? patience_low_rank : patience_blocks; }

    void descend(const Point& from, Point& to) override {
        std::copy(from.values.begin(), from.values.end(), to.values.begin());
        sweep(to.values.data(), 3);
    }

    // Projected block coordinate descent: visit every spot once, `passes` rounds over its types given its
    // neighbours, or to its own optimum where there are none. Spots of one colour share no entry of Q, so that
    // they may be visited at once, with the same result in any order.
    void sweep(double* values, int passes) {
        const Prior::Colours& colours = prior_.colours();
        for (std::size_t colour = 0; colour + 1 < colours.cuts.size(); ++colour) {
            const std::int32_t* spots = colours.spots.data() + colours.cuts[colour];
            const std::int64_t count = colours.cuts[colour + 1] - colours.cuts[colour];
            parallel((count + 31) / 32, count * stride * (passes == 0 ? 64 : 16), [&](std::int64_t first, std::int64_t last) {
                for (std::int64_t piece = first; piece < last; ++piece) {
                    const std::int64_t begin = piece * 32, size = std::min<std::int64_t>(32, count - begin);
                    if (passes == 0) {
                        solve_spots(values, spots + begin, size);
                    } else {
                        improve_spots(values, spots + begin, size, passes);
                    }
                }
            });
        }
    }

    // Use one preconditioner whatever the stiffness.
    void insist(const std::string& preconditioner) {
        if (preconditioner.empty()) return;
        insists_ = true;
        stiff_ = preconditioner == "multigrid";
        if (preconditioner == "blocks") close_.found = false;
    }

    void begin_cold(double* values, bool finest, Control& progress);

    double kappa = 0;

  private:
    template <class T>
    double multiply_in(const GraphView<T>& q, const T* gram, const T* values, T* out) {
        const T weight = static_cast<T>(weight_);
        return sum_over_rows<1>(rows, rows * stride * 4, [&](std::int64_t start, std::int64_t stop) {
            std::array<double, 1> part{};
            over_panels(stride, [&](auto width, int begin) {
                constexpr int N = decltype(width)::value;
                using R = Row<T, N>;
                R dot = R::all(T(0));
                auto finish = [&](std::int64_t row, const R& own, const R& total) {
                    dot += own * total;
                    total.store(out + row * stride + begin);
                };
                const T* none = nullptr;
                if (diagonal_) {
                    product_rows<N, Data::diagonal>(q, weight, gram, values, stride, begin, start, stop, none, finish);
                } else {
                    product_rows<N, Data::gram>(q, weight, gram, values, stride, begin, start, stop, none, finish);
                }
                part[0] += static_cast<double>(dot.sum());
            });
            return part;
        })[0];
    }

    void target_of(std::int64_t row, const double* values, double* target) const;
    void improve_spots(double* values, const std::int32_t* spots, std::int64_t count, int passes) const;
    void solve_spots(double* values, const std::int32_t* spots, std::int64_t count) const;
    bool begin_on_coarser(double* values, Control& progress);

    const DataTerm& data_;
    const Prior& prior_;
    const double* linear_;
    const double weight_;
    const bool diagonal_;
    double ridge_ = 0;
    bool stiff_ = false, insists_ = false;
    StandingOut close_;
    Buffer<double> gram_;
    Buffer<float> gram_single_, jacobi_, shift_;
    std::unique_ptr<Blocks> blocks_;
    std::unique_ptr<Cycle> cycle_;
};

// Write what a spot's neighbours ask of it: C less the off-diagonal part of weight Q B.
void SharedQuadratic::target_of(std::int64_t row, const double* values, double* target) const {
    const Graph& graph = prior_.graph();
    over_panels(stride, [&](auto width, int begin) {
        using R = Row<double, decltype(width)::value>;
        R total = R::load(linear_ + row * stride + begin);
        if (weight_ != 0) {
            for (auto place = graph.pointers[row]; place < graph.pointers[row + 1]; ++place) {
                const R there = R::load(values + static_cast<std::int64_t>(graph.neighbours[place]) * stride + begin);
                if (graph.each == 1) {
                    total -= there * (weight_ * graph.entries[place]);
                } else {
                    total -= there * R::load(graph.entries.data() + static_cast<std::int64_t>(place) * stride + begin) * weight_;
                }
            }
        }
        total.store(target + begin);
    });
}

void SharedQuadratic::improve_spots(double* values, const std::int32_t* spots, std::int64_t count,
                                    int passes) const {
    const Graph& graph = prior_.graph();
    std::vector<double> work(static_cast<std::size_t>(3 * stride), 0.0);
    double *descent = work.data(), *here = descent + stride, *inverse = here + stride;
    // What the spot's own entry of Q adds is kept out of `descent`: a register of which a part has just
    // been stored is slow to load.
    auto subtract_line = [&](double change, int k) {
        const double* line = gram_.data() + static_cast<std::int64_t>(k) * stride;
        over_panels(stride, [&](auto width, int begin) {
            using R = Row<double, decltype(width)::value>;
            (R::load(descent + begin) - R::load(line + begin) * change).store(descent + begin);
        });
    };
    auto own = [&](std::int64_t row, int k) {
        return weight_ * graph.diagonal[graph.each == 1 ? row : row * graph.each + k];
    };
    double known = -1;
    for (std::int64_t visit = 0; visit < count; ++visit) {
        const std::int64_t row = spots[visit];
        double* value = values + row * stride;
        std::copy(value, value + stride, here);
        target_of(row, values, descent);
        for (int k = 0; k < types; ++k) {
            if (here[k] != 0) subtract_line(here[k], k);
        }
        if (graph.each != 1 || own(row, 0) != known) {
            known = own(row, 0);
            for (int k = 0; k < types; ++k) {
                const double curvature = gram_[static_cast<std::int64_t>(k) * stride + k] + own(row, k);
                inverse[k] = curvature > 0 ? 1 / curvature : 0.0;
            }
        }
        for (int pass = 0; pass < passes; ++pass) {
            for (int k = 0; k < types; ++k) {
                const double steep = descent[k] - (graph.each == 1 ? known : own(row, k)) * here[k];
                if (here[k] == 0 && steep <= 0) continue;
                const double next = std::max(here[k] + steep * inverse[k], 0.0), change = next - here[k];
                if (change == 0) continue;
                here[k] = next;
                subtract_line(change, k);
            }
        }
        std::copy(here, here + types, value);
    }
}

void SharedQuadratic::solve_spots(double* values, const std::int32_t* spots, std::int64_t count) const {
    SpotSolver solver(gram_.data(), types, stride);
    std::vector<double> target(static_cast<std::size_t>(stride));
    for (std::int64_t visit = 0; visit < count; ++visit) {
        const std::int64_t row = spots[visit];
        target_of(row, values, target.data());
        solver.solve(weight_ == 0 ? 0.0 : weight_ * prior_.graph().diagonal[row], target.data(), values + row * stride);
    }
}

// Where a solve without a guess begins: the same problem on a coarser graph, then local optima.
//
// With B one row an aggregate the objective is 1/2 tr(B A B' M) - <P'C, B> + weight/2 tr(B'P'QPB) for
// piecewise constant P and M the number of spots in each aggregate. Times the roots of M it has the form of the
// problem itself, so the same steps solve it, down to few aggregates. What comes back is nearly smooth enough;
// sweeps that bring every spot to its optimum given its neighbours find the zeros.
void SharedQuadratic::begin_cold(double* values, bool finest, Control& progress) {
    const bool coarse = kappa >= alone && begin_on_coarser(values, progress);
    if (!coarse) sweep(values, 3);
    const double own = weight_ * prior_.mean_diagonal();
    // Types that look alike trade places too slowly one at a time.
    const bool alike = data_.eigenvalues[types - 1] + ridge_ + own > coherent * (data_.eigenvalues[0] + ridge_ + own);
    if (coarse && finest && kappa >= weak) {
        sweep(values, 2);
    } else if (alike && prior_.graph().each == 1) {
        sweep(values, 0);
        if (finest) sweep(values, 0);
    } else {
        sweep(values, 3);
    }
}

bool SharedQuadratic::begin_on_coarser(double* values, Control& progress) {
    const CoarserPrior* coarser = prior_.coarser();
    if (coarser == nullptr) return false;
    const std::int64_t nodes = coarser->prior->rows();
    Buffer<double> linear(nodes * stride);
    const double squares = sum_over_rows<1>(nodes, rows * stride, [&](std::int64_t start, std::int64_t stop) {
        std::array<double, 1> part{};
        for (std::int64_t node = start; node < stop; ++node) {
            double* sum = linear.data() + node * stride;
            std::fill(sum, sum + stride, 0.0);
            for (auto visit = coarser->cuts[node]; visit < coarser->cuts[node + 1]; ++visit) {
                const double* from = linear_ + static_cast<std::int64_t>(coarser->members[visit]) * stride;
                for (int k = 0; k < stride; ++k) sum[k] += from[k];
            }
            for (int k = 0; k < stride; ++k) {
                sum[k] /= coarser->root[node];
                part[0] += sum[k] * sum[k];
            }
        }
        return part;
    })[0];
    if (squares == 0) return false;
    SharedQuadratic problem(data_, linear.data(), *coarser->prior, softened * weight_, true, false, progress);
    problem.scale = std::sqrt(squares);
    Point point(nodes, stride);
    point.values.fill(0.0);
    point.gradient.fill(0.0f);
    problem.begin_cold(point.values.data(), false, progress);
    problem.measure(point, point);
    Options options;
    options.tolerance = loose;
    options.maximum_steps = coarse_steps;
    Work work;
    point = newton(problem, std::move(point), options, work, progress);
    over_rows(rows, rows * stride / 2, [&](std::int64_t start, std::int64_t stop) {
        for (std::int64_t row = start; row < stop; ++row) {
            const std::int64_t group = coarser->aggregate[row];
            if (group < 0) continue;
            const double share = 1 / coarser->root[group];
            const double* from = point.values.data() + group * stride;
            for (int k = 0; k < stride; ++k) values[row * stride + k] = share * from[k];
        }
    });
    return true;
}

double norm(const double* values, std::int64_t rows, int stride) {
    return std::sqrt(sum_over_rows<1>(rows, rows * stride / 4, [&](std::int64_t start, std::int64_t stop) {
        std::array<double, 1> part{};
        over_panels(stride, [&](auto width, int begin) {
            using R = Row<double, decltype(width)::value>;
            R sum = R::all(0.0);
            for (std::int64_t row = start; row < stop; ++row) {
                const R value = R::load(values + row * stride + begin);
                sum += value * value;
            }
            part[0] += sum.sum();
        });
        return part;
    })[0]);
}

// Rows times the basis, or times its transpose.
void turn(const double* basis, int types, bool back, std::int64_t rows, double* values) {
    const int stride = padded(types);
    over_rows(rows, rows * stride * 8, [&](std::int64_t start, std::int64_t stop) {
        std::vector<double> turned(static_cast<std::size_t>(types));
        for (std::int64_t row = start; row < stop; ++row) {
            double* value = values + row * stride;
            std::fill(turned.begin(), turned.end(), 0.0);
            for (int a = 0; a < types; ++a) {
                for (int b = 0; b < types; ++b) {
                    turned[b] += value[a] * (back ? basis[b * types + a] : basis[a * types + b]);
                }
            }
            std::copy(turned.begin(), turned.end(), value);
        }
    });
}

}  // namespace

Solution finish_newton(Quadratic& problem, Point point, const Request& request, const std::string& begun,
                       const Write& write, double* values, Control& control) {
    Options options;
    options.tolerance = request.tolerance;
    options.maximum_steps = request.maximum_steps;
    options.deadline = request.deadline;
    if (control.wants_iterates) {
        options.report = [&](const Point& at) {
            std::vector<double> iterate(static_cast<std::size_t>(problem.rows * problem.types));
            write(at, iterate.data());
            control.publish(std::move(iterate), at.residual);
        };
    }
    Work work;
    point = newton(problem, std::move(point), options, work, control);
    write(point, values);
    return {point.residual, point.objective, work.steps, work.products, point.residual <= request.tolerance,
            work.method.empty() ? begun : "projected Newton, " + work.method};
}

Solution solve_bounded(const DataTerm& data, const Prior& prior, const Request& request, bool warm,
                       double* values, Control& control) {
    control.check();
    const std::int64_t rows = prior.rows();
    const int types = data.types, stride = padded(types);
    // Where nothing is held the types come apart in the eigenbasis of A.
    const bool diagonal = !request.bounded && prior.graph().each == 1;
    Buffer<double> linear(rows * stride);
    pad_rows(data.linear, rows, types, prior.order(), linear.data());
    Point point(rows, stride);
    point.gradient.fill(0.0f);
    if (warm) {
        pad_rows(values, rows, types, prior.order(), point.values.data());
        if (request.bounded) {
            for (double& value : point.values) value = std::max(value, 0.0);
        }
    } else {
        point.values.fill(0.0);
    }
    const double scale = norm(linear.data(), rows, stride);
    if (diagonal) {
        turn(data.basis, types, false, rows, linear.data());
        if (warm) turn(data.basis, types, false, rows, point.values.data());
    }
    SharedQuadratic problem(data, linear.data(), prior, request.weight, request.bounded, diagonal, control);
    problem.scale = scale > 0 ? scale : 1.0;
    problem.insist(request.preconditioner);
    const Write write = [&](const Point& at, double* into) {
        if (!diagonal) {
            unpad_rows(at.values.data(), rows, types, prior.order(), into);
            return;
        }
        Buffer<double> turned(rows * stride);
        std::copy(at.values.begin(), at.values.end(), turned.begin());
        turn(data.basis, types, true, rows, turned.data());
        unpad_rows(turned.data(), rows, types, prior.order(), into);
    };
    std::string begun = warm ? "the start" : "block coordinate descent";
    bool done = false;
    if (scale == 0) {
        point.values.fill(0.0);
        begun = "zero";
        done = true;
    } else if (request.weight == 0 && request.bounded) {
        // Every spot alone.
        problem.sweep(point.values.data(), 0);
        begun = "active set at every spot";
        done = true;
    } else if (!warm && request.bounded) {
        problem.begin_cold(point.values.data(), true, control);
    }
    problem.measure(point, point);
    Request left = request;
    if (done) left.maximum_steps = 0;
    return finish_newton(problem, std::move(point), left, begun, write, values, control);
}

}  // namespace core
