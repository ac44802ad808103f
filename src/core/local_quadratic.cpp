#include "local_quadratic.hpp"

#include <algorithm>
#include <cmath>

#include "product.hpp"

namespace core {
namespace {

// Gradient steps that never raise the objective, where Newton's step fails.
constexpr int gradient_steps = 4;

// b_i H_i of the sixteen spots of a group; rows of `stride`, `out` beginning at the first of them.
template <class T>
void multiply_group(const float* blocks, int types, int stride, int size, const T* values, T* out,
                    std::vector<T>& work) {
    using L = Row<T, lanes>;
    work.assign(static_cast<std::size_t>(2 * types) * lanes, T(0));
    T *given = work.data(), *found = given + types * lanes;
    for (int lane = 0; lane < size; ++lane) {
        for (int k = 0; k < types; ++k) given[k * lanes + lane] = values[lane * stride + k];
    }
    const float* entry = blocks;
    for (int a = 0; a < types; ++a) {
        const L mine = L::load(given + a * lanes);
        L total = L::all(T(0));
        for (int b = 0; b < a; ++b, entry += lanes) {
            const L both = L::load(entry);
            total += both * L::load(given + b * lanes);
            (L::load(found + b * lanes) + both * mine).store(found + b * lanes);
        }
        total += L::load(entry) * mine;
        entry += lanes;
        total.store(found + a * lanes);
    }
    for (int lane = 0; lane < size; ++lane) {
        for (int k = 0; k < types; ++k) out[lane * stride + k] = found[k * lanes + lane];
        for (int k = types; k < stride; ++k) out[lane * stride + k] = T(0);
    }
}

class LocalQuadratic final : public Quadratic {
  public:
    // C and U with padded rows.
    LocalQuadratic(const LocalTerm& term, const double* linear, const double* coupling, const Prior& prior,
                   double weight, bool bounded, const Control& control)
        : Quadratic(prior.rows(), term.types, bounded, control),
          term_(term),
          prior_(prior),
          linear_(linear),
          coupling_(coupling),
          weight_(weight),
          shift_(rows * prior.graph().each) {
        for (std::int64_t i = 0; i < shift_.size(); ++i) {
            shift_[i] = static_cast<float>(weight * prior.graph().diagonal[i]);
        }
    }

    void measure(Point& point, const Point& before) override {
        const auto q = prior_.graph().view<double>();
        Buffer<double> slopes(rows * stride);
        // <values, slope>, <values, C>, <values, U>.
        auto sums = sum_over_rows<3>(rows, rows * stride * types * 2, [&](std::int64_t start, std::int64_t stop) {
            multiply_rows(point.values.data(), slopes.data(), start, stop);
            add_prior(q, weight_, point.values.data(), stride, start, stop, slopes.data() + start * stride);
            std::array<double, 3> part{};
            for (std::int64_t i = start * stride; i < stop * stride; ++i) {
                slopes[i] -= linear_[i];
                part[0] += point.values[i] * slopes[i];
                part[1] += point.values[i] * linear_[i];
                if (coupling_) part[2] += point.values[i] * coupling_[i];
            }
            return part;
        });
        const auto more = sum_over_rows<4>(rows, rows * stride * 4, [&](std::int64_t start, std::int64_t stop) {
            std::array<double, 4> part{};
            for (std::int64_t i = start * stride; i < stop * stride; ++i) {
                const double value = point.values[i];
                const double slope = coupling_ ? slopes[i] - sums[2] * coupling_[i] : slopes[i];
                const bool free = real[i % stride] && !(bounded && value <= 0 && slope >= 0);
                const double moved = value - before.values[i];
                part[0] += free ? slope * slope : 0.0;
                part[1] += moved * static_cast<double>(before.gradient[i]);
                part[2] += moved * slope;
                part[3] += free;
                point.free[i] = free;
                point.gradient[i] = static_cast<float>(slope);
            }
            return part;
        });
        point.objective = (sums[0] - sums[1] - sums[2] * sums[2]) / 2;
        point.residual = std::sqrt(more[0]) / scale;
        point.slope = more[1];
        point.slope_after = more[2];
        point.free_count = static_cast<std::int64_t>(more[3]);
    }

    double multiply(const float* values, float* out) override {
        return multiply_in(prior_.graph().view<float>(), values, out);
    }
    double multiply(const double* values, double* out) override {
        return multiply_in(prior_.graph().view<double>(), values, out);
    }

    Preconditioner precondition(const Point& point) override {
        cycle_.reset();
        blocks_.reset();
        if (stiff_) {
            if (gram_.size() == 0) mean_gram();
            float largest = 0;
            for (float entry : gram_) largest = std::max(largest, std::abs(entry));
            cycle_ = std::make_unique<Multigrid>(prior_, static_cast<float>(weight_), gram_.data(), false,
                                                 shift_.data(), 1e-6f * largest + 1e-30f, point.free.data(), stride);
            return {nullptr, cycle_.get(), "multigrid on free types"};
        }
        blocks_ = std::make_unique<LocalBlocks>(term_.blocks, types, shift_.data(), prior_.graph().each,
                                                point.free.data(), rows, stride);
        return {blocks_.get(), nullptr, blocks_->name()};
    }

    void stiffen() override { stiff_ = may_stiffen(); }

    // Steps scaled by a diagonal that is nowhere below the quadratic form (sums of rows).
    void descend(const Point& from, Point& to) override {
        const Graph& graph = prior_.graph();
        Buffer<double> bound(rows * stride);
        over_rows(rows, rows * stride * types, [&](std::int64_t start, std::int64_t stop) {
            for (std::int64_t row = start; row < stop; ++row) {
                const float* block = term_.blocks + row / lanes * packed_size(types) * lanes + row % lanes;
                double* sum = bound.data() + row * stride;
                std::fill(sum, sum + stride, 0.0);
                for (int a = 0, place = 0; a < types; ++a) {
                    for (int b = 0; b <= a; ++b, ++place) {
                        const double size = std::abs(block[static_cast<std::int64_t>(place) * lanes]);
                        sum[a] += size;
                        if (b != a) sum[b] += size;
                    }
                }
                for (int k = 0; k < types; ++k) {
                    const auto number = [&](std::int64_t entry) { return graph.each == 1 ? entry : entry * graph.each + k; };
                    double edges = graph.diagonal[number(row)];
                    for (auto place = graph.pointers[row]; place < graph.pointers[row + 1]; ++place) {
                        edges += std::abs(graph.entries[number(place)]);
                    }
                    sum[k] += weight_ * edges;
                }
            }
        });
        Point here(rows, stride), next(rows, stride);
        std::copy(from.values.begin(), from.values.end(), here.values.begin());
        std::copy(from.gradient.begin(), from.gradient.end(), here.gradient.begin());
        for (int step = 0; step < gradient_steps; ++step) {
            for (std::int64_t i = 0; i < rows * stride; ++i) {
                const double change = bound[i] > 0 ? here.gradient[i] / bound[i] : 0.0;
                next.values[i] = bounded ? std::max(here.values[i] - change, 0.0) : here.values[i] - change;
            }
            measure(next, here);
            std::swap(here, next);
        }
        std::swap(to.values, here.values);
    }

  private:
    template <class T>
    double multiply_in(const GraphView<T>& q, const T* values, T* out) {
        const T weight = static_cast<T>(weight_);
        const auto sums = sum_over_rows<2>(rows, rows * stride * types, [&](std::int64_t start, std::int64_t stop) {
            multiply_rows(values, out, start, stop);
            std::array<double, 2> part{};
            over_panels(stride, [&](auto width, int begin) {
                constexpr int N = decltype(width)::value;
                using R = Row<T, N>;
                R dot = R::all(T(0)), along = dot;
                product_rows<N, Data::none>(
                    q, weight, static_cast<const T*>(nullptr), values, stride, begin, start, stop,
                    static_cast<const T*>(out + start * stride),
                    [&](std::int64_t row, const R& own, const R& total) {
                        const std::int64_t here = row * stride + begin;
                        total.store(out + here);
                        dot += own * total;
                        if (coupling_) along += own * R::load(coupling_ + here);
                    });
                part[0] += static_cast<double>(dot.sum());
                part[1] += static_cast<double>(along.sum());
            });
            return part;
        });
        if (coupling_ == nullptr) return sums[0];
        over_rows(rows, rows * stride, [&](std::int64_t start, std::int64_t stop) {
            for (std::int64_t i = start * stride; i < stop * stride; ++i) {
                out[i] -= static_cast<T>(sums[1] * coupling_[i]);
            }
        });
        return sums[0] - sums[1] * sums[1];
    }

    bool may_stiffen() const { return prior_.graph().each == 1; }

    template <class T>
    void multiply_rows(const T* values, T* out, std::int64_t start, std::int64_t stop) const {
        std::vector<T> work;
        for (std::int64_t row = start; row < stop; row += lanes) {
            multiply_group(term_.blocks + row / lanes * packed_size(types) * lanes, types, stride,
                           static_cast<int>(std::min<std::int64_t>(lanes, stop - row)), values + row * stride,
                           out + row * stride, work);
        }
    }

    // The mean Gram matrix over spots.
    void mean_gram() {
        std::vector<double> packed(static_cast<std::size_t>(packed_size(types)), 0.0);
        for (std::int64_t group = 0; group < (rows + lanes - 1) / lanes; ++group) {
            const float* entry = term_.blocks + group * packed_size(types) * lanes;
            for (double& sum : packed) {
                sum += static_cast<double>(Row<float, lanes>::load(entry).sum());
                entry += lanes;
            }
        }
        gram_ = Buffer<float>(static_cast<std::int64_t>(stride) * stride);
        gram_.fill(0.0f);
        for (int a = 0, place = 0; a < types; ++a) {
            for (int b = 0; b <= a; ++b, ++place) {
                const float mean = static_cast<float>(packed[place] / static_cast<double>(rows));
                gram_[a * stride + b] = gram_[b * stride + a] = mean;
            }
        }
    }

    const LocalTerm& term_;
    const Prior& prior_;
    const double *linear_, *coupling_;
    const double weight_;
    bool stiff_ = false;
    Buffer<float> shift_, gram_;
    std::unique_ptr<Blocks> blocks_;
    std::unique_ptr<Cycle> cycle_;
};

}  // namespace

Solution solve_local(const LocalTerm& term, const Prior& prior, const Request& request, double scale,
                     double* values, Control& control) {
    const std::int64_t rows = prior.rows();
    const int types = term.types, stride = padded(types);
    Buffer<double> linear(rows * stride), coupling(term.coupling ? rows * stride : 0);
    pad_rows(term.linear, rows, types, nullptr, linear.data());
    if (term.coupling) pad_rows(term.coupling, rows, types, nullptr, coupling.data());
    Point point(rows, stride);
    point.gradient.fill(0.0f);
    pad_rows(values, rows, types, nullptr, point.values.data());
    if (request.bounded) {
        for (double& value : point.values) value = std::max(value, 0.0);
    }
    LocalQuadratic problem(term, linear.data(), term.coupling ? coupling.data() : nullptr, prior, request.weight,
                           request.bounded, control);
    problem.scale = scale;
    problem.measure(point, point);
    const Write write = [&](const Point& at, double* into) {
        unpad_rows(at.values.data(), rows, types, nullptr, into);
    };
    return finish_newton(problem, std::move(point), request, "the start", write, values, control);
}

void multiply_blocks(const float* blocks, int types, std::int64_t rows, const double* values, double* out) {
    over_rows(rows, rows * types * types * 2, [&](std::int64_t start, std::int64_t stop) {
        std::vector<double> work;
        for (std::int64_t row = start; row < stop; row += lanes) {
            multiply_group(blocks + row / lanes * packed_size(types) * lanes, types, types,
                           static_cast<int>(std::min<std::int64_t>(lanes, stop - row)), values + row * types,
                           out + row * types, work);
        }
    });
}

void multiply_prior(const Prior& prior, int types, const double* values, double* out) {
    const std::int64_t rows = prior.rows();
    const int stride = padded(types);
    Buffer<double> given(rows * stride), found(rows * stride);
    pad_rows(values, rows, types, nullptr, given.data());
    const auto q = prior.graph().view<double>();
    over_rows(rows, rows * stride * 4, [&](std::int64_t start, std::int64_t stop) {
        double* here = found.data() + start * stride;
        std::fill(here, found.data() + stop * stride, 0.0);
        add_prior(q, 1.0, given.data(), stride, start, stop, here);
    });
    unpad_rows(found.data(), rows, types, nullptr, out);
}

}  // namespace core
