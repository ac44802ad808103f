// Preconditioned conjugate gradients on the free entries (Hestenes and Stiefel 1952), four vectors in all.
//
// The loops wait for memory: the product and the preconditioned residual share one vector, and the step
// is advanced along a direction when that is read the next time. In float: the caller asks for a tenth or a
// hundredth of the residual and forms it afresh. Only where nearly collinear types meet a stiff prior are
// there directions so flat that float does not see them; the same is then done in double, with a
// preconditioner that stays what it is.
#pragma once

#include "newton.hpp"

namespace core {

template <class T>
class ConjugateGradients {
  public:
    explicit ConjugateGradients(const Quadratic& problem)
        : size_(problem.rows * problem.stride),
          step_(size_),
          right_(size_),
          direction_(size_),
          product_(size_) {}

    // Solve H step = -gradient on the free entries to `reduction` of the first residual; return the number
    // of products taken.
    int solve(Quadratic& problem, const Preconditioner& preconditioner, const Point& point,
              double reduction, std::int64_t most, Control& control) {
        auto [dot, squares] = precondition(problem, preconditioner, [&](std::int64_t begin, std::int64_t size) {
            begin_residual(begin, size, point);
        });
        const double enough = squares * reduction * reduction;
        T alpha = 0, beta = 0;
        int taken = 0;
        while (squares > enough && taken < most && dot > 0) {
            control.check();
            // The direction of before is added to the step on the way.
            turn(problem, beta, alpha, taken);
            const double curvature = problem.multiply(direction_.data(), product_.data());
            ++taken;
            if (!(curvature > 0)) {
                alpha = 0;
                break;
            }
            alpha = static_cast<T>(dot / curvature);
            const double before = dot;
            std::tie(dot, squares) = precondition(problem, preconditioner, [&](std::int64_t begin, std::int64_t size) {
                advance_residual(begin, size, point, alpha);
            });
            beta = static_cast<T>(dot / before);
        }
        finish(problem, alpha, taken);
        return taken;
    }

    const T* step() const { return step_.data(); }

  private:
    // Rows are multiples of four values: `work` takes sixteen at a time, and four at the end.
    template <class Pass>
    static INLINE void over_values(std::int64_t size, Pass&& work) {
        std::int64_t i = 0;
        for (; i + 16 <= size; i += 16) work(Width<16>{}, i);
        for (; i < size; i += 4) work(Width<4>{}, i);
    }

    void begin_residual(std::int64_t begin, std::int64_t size, const Point& point) {
        T* r = right_.data() + begin;
        const float* slope = point.gradient.data() + begin;
        const Mask* free = point.free.data() + begin;
        over_values(size, [&](auto width, std::int64_t i) {
            using R = Row<T, decltype(width)::value>;
            (R::all(T(0)) - R::load(slope + i) * R::load(free + i)).store(r + i);
        });
    }

    void advance_residual(std::int64_t begin, std::int64_t size, const Point& point, T alpha) {
        T* r = right_.data() + begin;
        const T* image = product_.data() + begin;
        const Mask* free = point.free.data() + begin;
        over_values(size, [&](auto width, std::int64_t i) {
            using R = Row<T, decltype(width)::value>;
            ((R::load(r + i) - R::load(image + i) * alpha) * R::load(free + i)).store(r + i);
        });
    }

    // Renew the residual by `update`, write M^-1 r over the product, and return <r, M^-1 r> and <r, r>.
    template <class Update>
    std::tuple<double, double> precondition(Quadratic& problem, const Preconditioner& preconditioner,
                                            Update&& update) {
        const int stride = problem.stride;
        const auto sums = sum_over_rows<2>(
            problem.rows, 2 * size_, [&](std::int64_t start, std::int64_t stop) -> std::array<double, 2> {
                const std::int64_t begin = start * stride, size = (stop - start) * stride;
                update(begin, size);
                if (preconditioner.blocks == nullptr) return {};
                solve_blocks(*preconditioner.blocks, start, stop, begin, size);
                return dots(begin, size);
            });
        if (preconditioner.blocks != nullptr) return {sums[0], sums[1]};
        apply_cycle(*preconditioner.cycle);
        const auto whole = sum_over_rows<2>(problem.rows, size_ / 2, [&](std::int64_t start, std::int64_t stop) {
            return dots(start * stride, (stop - start) * stride);
        });
        return {whole[0], whole[1]};
    }

    // The next direction, M^-1 r + beta times the last, which is added to the step.
    void turn(const Quadratic& problem, T beta, T alpha, int number) {
        over_rows(problem.rows, size_, [&](std::int64_t start, std::int64_t stop) {
            const std::int64_t begin = start * problem.stride, size = (stop - start) * problem.stride;
            T *p = direction_.data() + begin, *x = step_.data() + begin;
            const T* z = product_.data() + begin;
            over_values(size, [&](auto width, std::int64_t i) {
                using R = Row<T, decltype(width)::value>;
                R along = R::load(z + i);
                if (number > 0) {
                    const R last = R::load(p + i);
                    along += last * beta;
                    (number == 1 ? last * alpha : R::load(x + i) + last * alpha).store(x + i);
                }
                along.store(p + i);
            });
        });
    }

    // Add the last direction to the step.
    void finish(const Quadratic& problem, T alpha, int number) {
        over_rows(problem.rows, size_ / 2, [&](std::int64_t start, std::int64_t stop) {
            const std::int64_t begin = start * problem.stride, size = (stop - start) * problem.stride;
            const T* p = direction_.data() + begin;
            T* x = step_.data() + begin;
            over_values(size, [&](auto width, std::int64_t i) {
                using R = Row<T, decltype(width)::value>;
                R moved = R::all(T(0));
                if (number > 1) moved = R::load(x + i);
                if (number > 0) moved += R::load(p + i) * alpha;
                moved.store(x + i);
            });
        });
    }

    void solve_blocks(const Blocks& blocks, std::int64_t start, std::int64_t stop, std::int64_t begin,
                      std::int64_t size) {
        if constexpr (std::is_same_v<T, float>) {
            blocks.solve(start, stop, right_.data() + begin, product_.data() + begin);
        } else {
            std::vector<float> right(right_.data() + begin, right_.data() + begin + size), out(right.size());
            blocks.solve(start, stop, right.data(), out.data());
            std::copy(out.begin(), out.end(), product_.data() + begin);
        }
    }

    void apply_cycle(Cycle& cycle) {
        if constexpr (std::is_same_v<T, float>) {
            cycle.apply(right_.data(), product_.data());
        } else {
            std::vector<float> right(right_.begin(), right_.end()), out(right.size());
            cycle.apply(right.data(), out.data());
            std::copy(out.begin(), out.end(), product_.begin());
        }
    }

    std::array<double, 2> dots(std::int64_t begin, std::int64_t size) const {
        const T *r = right_.data() + begin, *z = product_.data() + begin;
        Row<T, 16> dot = Row<T, 16>::all(T(0)), squares = dot;
        Row<T, 4> dot_end = Row<T, 4>::all(T(0)), squares_end = dot_end;
        over_values(size, [&](auto width, std::int64_t i) {
            using R = Row<T, decltype(width)::value>;
            const R residual = R::load(r + i);
            if constexpr (decltype(width)::value == 16) {
                dot += residual * R::load(z + i);
                squares += residual * residual;
            } else {
                dot_end += residual * R::load(z + i);
                squares_end += residual * residual;
            }
        });
        return {static_cast<double>(dot.sum()) + static_cast<double>(dot_end.sum()),
                static_cast<double>(squares.sum()) + static_cast<double>(squares_end.sum())};
    }

    std::int64_t size_;
    // M^-1 r and H p take turns in the last.
    Buffer<T> step_, right_, direction_, product_;
};

}  // namespace core
