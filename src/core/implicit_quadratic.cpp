#include "implicit_quadratic.hpp"

#include <algorithm>
#include <cmath>

namespace core {
namespace {

constexpr double ridge_share = 1e-6;

// Power iterations for a bound on Q, which has a tenth to spare.
constexpr int power_steps = 12;

// Steps of one inner solve from which exact systems pay for their factors.
constexpr int patient = 15;

constexpr int gradient_steps = 4;

// A vector of signs that depends on nothing but the place (the finaliser of MurmurHash3).
double sign_at(std::uint64_t place) {
    std::uint64_t hash = place + 0x9e3779b97f4a7c15u;
    hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
    hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
    return (hash ^ (hash >> 33)) & 1 ? 1.0 : -1.0;
}

// Solve (A + weight Q) z = r as if nothing were held, then mask.
class ExactSystems final : public Cycle {
  public:
    ExactSystems(const DataTerm& data, const Covariance& covariance, double weight, double ridge,
                 std::int64_t rows, const Control& control)
        : data_(data), covariance_(covariance), rows_(rows), control_(control) {
        for (int k = 0; k < data.types; ++k) {
            control.check();
            factors_.emplace_back(covariance.pattern, weight, data.eigenvalues[k] + ridge, control);
        }
    }

    void mask(const Mask* free) { free_ = free; }

    void apply(const float* right, float* out) override {
        const int types = data_.types, stride = padded(types);
        std::vector<double> turned(static_cast<std::size_t>(rows_ * types)), line(static_cast<std::size_t>(rows_));
        rotate([&](std::int64_t row, int k) { return static_cast<double>(right[row * stride + k]); }, false, turned.data());
        for (int k = 0; k < types; ++k) {
            // S r, then (d S + weight I)^-1 of it.
            for (std::int64_t row = 0; row < rows_; ++row) {
                double total = 0;
                for (int place = covariance_.pointers[row]; place < covariance_.pointers[row + 1]; ++place) {
                    total += covariance_.entries[place] * turned[static_cast<std::int64_t>(covariance_.columns[place]) * types + k];
                }
                line[row] = total;
            }
            factors_[k].solve(line.data(), 1, control_);
            column_[k] = line;
        }
        std::vector<double> back(turned.size());
        rotate([&](std::int64_t row, int k) { return column_[k][row]; }, true, back.data());
        for (std::int64_t row = 0; row < rows_; ++row) {
            for (int k = 0; k < stride; ++k) {
                const bool kept = k < types && free_[row * stride + k];
                out[row * stride + k] = kept ? static_cast<float>(back[row * types + k]) : 0.0f;
            }
        }
    }

  private:
    template <class Value>
    void rotate(Value&& value, bool back, double* out) const {
        const int types = data_.types;
        over_rows(rows_, rows_ * types * types, [&](std::int64_t start, std::int64_t stop) {
            for (std::int64_t row = start; row < stop; ++row) {
                double* to = out + row * types;
                std::fill(to, to + types, 0.0);
                for (int a = 0; a < types; ++a) {
                    const double given = value(row, a);
                    for (int b = 0; b < types; ++b) {
                        to[b] += given * (back ? data_.basis[b * types + a] : data_.basis[a * types + b]);
                    }
                }
            }
        });
    }

    const DataTerm& data_;
    const Covariance& covariance_;
    std::int64_t rows_;
    const Control& control_;
    const Mask* free_ = nullptr;
    std::vector<Factor> factors_;
    std::vector<std::vector<double>> column_ = std::vector<std::vector<double>>(static_cast<std::size_t>(data_.types));
};

class ImplicitQuadratic final : public Quadratic {
  public:
    ImplicitQuadratic(const DataTerm& data, const double* linear, const Covariance& covariance, double weight,
                      bool bounded, const Control& control)
        : Quadratic(covariance.pattern->size(), data.types, bounded, control),
          data_(data),
          linear_(linear),
          covariance_(covariance),
          weight_(weight),
          factor_(covariance.pattern, 0.0, 1.0, control),
          gram_(pad_square<double>(data.gram, types)),
          gram_single_(pad_square<float>(data.gram, types)),
          shift_(rows),
          smooth_(rows * stride) {
        ridge_ = ridge_share * data.eigenvalues[types - 1] + 1e-30;
        // The mean of the diagonal that a vector of signs sees stands for every entry; power iterations go on
        // from there to the largest eigenvalue.
        std::vector<double> vector(static_cast<std::size_t>(rows)), image;
        for (std::int64_t row = 0; row < rows; ++row) vector[row] = sign_at(static_cast<std::uint64_t>(row));
        double size = 1;
        for (int step = 0; step < power_steps; ++step) {
            image = vector;
            factor_.solve(image.data(), 1, control);
            double dot = 0, squares = 0;
            for (std::int64_t row = 0; row < rows; ++row) {
                dot += vector[row] * image[row];
                squares += image[row] * image[row];
            }
            if (step == 0) shift_.fill(static_cast<float>(weight * dot / static_cast<double>(rows)));
            size = std::sqrt(squares);
            for (std::int64_t row = 0; row < rows; ++row) vector[row] = size > 0 ? image[row] / size : 0.0;
        }
        bound_ = 1.1 * (data.eigenvalues[types - 1] + weight * size);
    }

    void measure(Point& point, const Point& before) override {
        smoothen(point.values.data());
        const auto sums = sum_over_rows<6>(rows, rows * stride * types, [&](std::int64_t start, std::int64_t stop) {
            std::array<double, 6> part{};
            std::vector<double> product(static_cast<std::size_t>(stride));
            for (std::int64_t row = start; row < stop; ++row) {
                row_product(point.values.data() + row * stride, product.data());
                for (int k = 0; k < stride; ++k) {
                    const std::int64_t i = row * stride + k;
                    const double value = point.values[i];
                    const double slope = product[k] + weight_ * smooth_[i] - linear_[i];
                    const bool free = real[k] && !(bounded && value <= 0 && slope >= 0);
                    const double moved = value - before.values[i];
                    part[0] += free ? slope * slope : 0.0;
                    part[1] += value * slope;
                    part[2] += value * linear_[i];
                    part[3] += moved * static_cast<double>(before.gradient[i]);
                    part[4] += moved * slope;
                    part[5] += free;
                    point.gradient[i] = static_cast<float>(slope);
                    point.free[i] = free;
                }
            }
            return part;
        });
        point.residual = std::sqrt(sums[0]) / scale;
        point.objective = (sums[1] - sums[2]) / 2;
        point.slope = sums[3];
        point.slope_after = sums[4];
        point.free_count = static_cast<std::int64_t>(sums[5]);
    }

    double multiply(const float* values, float* out) override { return multiply_in(values, out); }
    double multiply(const double* values, double* out) override { return multiply_in(values, out); }

    Preconditioner precondition(const Point& point) override {
        if (slow_) {
            if (!exact_) exact_ = std::make_unique<ExactSystems>(data_, covariance_, weight_, ridge_, rows, control);
            exact_->mask(point.free.data());
            return {nullptr, exact_.get(), "exact systems"};
        }
        blocks_.reset();
        blocks_ = std::make_unique<FreeBlocks>(gram_single_.data(), shift_.data(), 1, static_cast<float>(ridge_),
                                               point.free.data(), rows, stride);
        return {blocks_.get(), nullptr, blocks_->name()};
    }

    void stiffen() override { slow_ = true; }
    int patience() const override { return slow_ ? 60 : patient; }

    void descend(const Point& from, Point& to) override {
        Point here(rows, stride), next(rows, stride);
        std::copy(from.values.begin(), from.values.end(), here.values.begin());
        std::copy(from.gradient.begin(), from.gradient.end(), here.gradient.begin());
        for (int step = 0; step < gradient_steps; ++step) {
            for (std::int64_t i = 0; i < rows * stride; ++i) {
                const double value = here.values[i] - here.gradient[i] / bound_;
                next.values[i] = bounded ? std::max(value, 0.0) : value;
            }
            measure(next, here);
            std::swap(here, next);
        }
        std::swap(to.values, here.values);
    }

  private:
    // Q times values, into `smooth_`.
    template <class T>
    void smoothen(const T* values) {
        std::copy(values, values + rows * stride, smooth_.begin());
        factor_.solve(smooth_.data(), stride, control);
    }

    template <class T>
    void row_product(const T* value, double* out) const {
        std::fill(out, out + stride, 0.0);
        for (int a = 0; a < types; ++a) {
            const double* line = gram_.data() + static_cast<std::int64_t>(a) * stride;
            for (int b = 0; b < stride; ++b) out[b] += static_cast<double>(value[a]) * line[b];
        }
    }

    template <class T>
    double multiply_in(const T* values, T* out) {
        smoothen(values);
        return sum_over_rows<1>(rows, rows * stride * types, [&](std::int64_t start, std::int64_t stop) {
            std::array<double, 1> part{};
            std::vector<double> product(static_cast<std::size_t>(stride));
            for (std::int64_t row = start; row < stop; ++row) {
                row_product(values + row * stride, product.data());
                for (int k = 0; k < stride; ++k) {
                    const std::int64_t i = row * stride + k;
                    const double whole = product[k] + weight_ * smooth_[i];
                    part[0] += static_cast<double>(values[i]) * whole;
                    out[i] = static_cast<T>(whole);
                }
            }
            return part;
        })[0];
    }

    const DataTerm& data_;
    const double* linear_;
    const Covariance& covariance_;
    const double weight_;
    Factor factor_;
    Buffer<double> gram_;
    Buffer<float> gram_single_, shift_;
    Buffer<double> smooth_;
    double ridge_ = 0, bound_ = 1;
    bool slow_ = false;
    std::unique_ptr<Blocks> blocks_;
    std::unique_ptr<ExactSystems> exact_;
};

}  // namespace

Solution solve_implicit(const DataTerm& data, const Covariance& covariance, const Request& request, bool warm,
                        double* values, Control& control) {
    control.check();
    const std::int64_t rows = covariance.pattern->size();
    const int types = data.types, stride = padded(types);
    Buffer<double> linear(rows * stride);
    pad_rows(data.linear, rows, types, nullptr, linear.data());
    Point point(rows, stride);
    point.gradient.fill(0.0f);
    if (warm) {
        pad_rows(values, rows, types, nullptr, point.values.data());
    } else {
        point.values.fill(0.0);
    }
    if (request.bounded) {
        for (double& value : point.values) value = std::max(value, 0.0);
    }
    double squares = 0;
    for (const double value : linear) squares += value * value;
    ImplicitQuadratic problem(data, linear.data(), covariance, request.weight, request.bounded, control);
    problem.scale = squares > 0 ? std::sqrt(squares) : 1.0;
    problem.measure(point, point);
    const Write write = [&](const Point& at, double* into) {
        unpad_rows(at.values.data(), rows, types, nullptr, into);
    };
    return finish_newton(problem, std::move(point), request, "the start", write, values, control);
}

}  // namespace core
