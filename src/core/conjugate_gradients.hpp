// Preconditioned conjugate gradients on the free entries, two passes over the data a step.
//
// The arrangement of Chronopoulos and Gear (1989, J. Comput. Appl. Math. 25): the product is taken of
// the preconditioned residual and that of the direction follows by recurrence, so that all updates and the
// preconditioner share one pass. In float: the caller asks for a tenth or a hundredth of the residual and
// forms it afresh. Only where nearly collinear types meet a stiff prior are there directions so flat that
// float does not see them; the same is then done in double, with a preconditioner that stays what it is.
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
          ahead_(size_),
          product_(size_),
          direction_(size_),
          turned_(size_) {}

    // Solve H step = -gradient on the free entries to `reduction` of the first residual; return the number
    // of products taken.
    int solve(Quadratic& problem, const Preconditioner& preconditioner, const Point& point,
              double reduction, std::int64_t most, Control& control) {
        auto [dot, squares] = advance(problem, preconditioner, point, 0, 0, Stage::begin);
        const double enough = squares * reduction * reduction;
        double alpha = 0, before = 0;
        int taken = 0, updates = 0;
        while (squares > enough && taken < most && dot > 0) {
            control.check();
            const double curvature = problem.multiply(ahead_.data(), product_.data());
            const double beta = taken > 0 ? dot / before : 0.0;
            const double bend = curvature - (taken > 0 ? beta * dot / alpha : 0.0);
            ++taken;
            if (!(bend > 0)) break;
            alpha = dot / bend;
            before = dot;
            std::tie(dot, squares) = advance(problem, preconditioner, point, static_cast<T>(alpha),
                                             static_cast<T>(beta), updates == 0 ? Stage::first : Stage::next);
            ++updates;
        }
        if (updates == 0) step_.fill(T(0));
        return taken;
    }

    const T* step() const { return step_.data(); }

  private:
    enum class Stage { begin, first, next };

    // Advance the vectors, then precondition their residual; return <residual, ahead> and <residual, residual>.
    std::tuple<double, double> advance(Quadratic& problem, const Preconditioner& preconditioner,
                                       const Point& point, T alpha, T beta, Stage stage) {
        const int stride = problem.stride;
        const auto sums = sum_over_rows<2>(
            problem.rows, 2 * size_, [&](std::int64_t start, std::int64_t stop) -> std::array<double, 2> {
                const std::int64_t begin = start * stride, size = (stop - start) * stride;
                update(begin, size, point, alpha, beta, stage);
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

    // Rows are multiples of four values: `work` takes sixteen at a time, and four at the end.
    template <class Pass>
    static INLINE void over_values(std::int64_t size, Pass&& work) {
        std::int64_t i = 0;
        for (; i + 16 <= size; i += 16) work(Width<16>{}, i);
        for (; i < size; i += 4) work(Width<4>{}, i);
    }

    void update(std::int64_t begin, std::int64_t size, const Point& point, T alpha, T beta, Stage stage) {
        T *z = ahead_.data() + begin, *w = product_.data() + begin, *p = direction_.data() + begin;
        T *s = turned_.data() + begin, *x = step_.data() + begin, *r = right_.data() + begin;
        const Mask* free = point.free.data() + begin;
        if (stage == Stage::begin) {
            const float* slope = point.gradient.data() + begin;
            over_values(size, [&](auto width, std::int64_t i) {
                using R = Row<T, decltype(width)::value>;
                (R::all(T(0)) - R::load(slope + i) * R::load(free + i)).store(r + i);
            });
            return;
        }
        over_values(size, [&](auto width, std::int64_t i) {
            using R = Row<T, decltype(width)::value>;
            R along = R::load(z + i), image = R::load(w + i);
            R moved = R::all(T(0));
            if (stage == Stage::next) {
                along += R::load(p + i) * beta;
                image += R::load(s + i) * beta;
                moved = R::load(x + i);
            }
            along.store(p + i);
            image.store(s + i);
            (moved + along * alpha).store(x + i);
            ((R::load(r + i) - image * alpha) * R::load(free + i)).store(r + i);
        });
    }

    void solve_blocks(const Blocks& blocks, std::int64_t start, std::int64_t stop, std::int64_t begin,
                      std::int64_t size) {
        if constexpr (std::is_same_v<T, float>) {
            blocks.solve(start, stop, right_.data() + begin, ahead_.data() + begin);
        } else {
            std::vector<float> right(right_.data() + begin, right_.data() + begin + size), out(right.size());
            blocks.solve(start, stop, right.data(), out.data());
            std::copy(out.begin(), out.end(), ahead_.data() + begin);
        }
    }

    void apply_cycle(Cycle& cycle) {
        if constexpr (std::is_same_v<T, float>) {
            cycle.apply(right_.data(), ahead_.data());
        } else {
            std::vector<float> right(right_.begin(), right_.end()), out(right.size());
            cycle.apply(right.data(), out.data());
            std::copy(out.begin(), out.end(), ahead_.begin());
        }
    }

    std::array<double, 2> dots(std::int64_t begin, std::int64_t size) const {
        const T *r = right_.data() + begin, *z = ahead_.data() + begin;
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
    Buffer<T> step_, right_, ahead_, product_, direction_, turned_;
};

}  // namespace core
