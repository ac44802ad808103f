#include "newton.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <tuple>
#include <vector>

#include "conjugate_gradients.hpp"

namespace core {
namespace {

// What an inner solve aims at: more is wasted before the free set has settled.
constexpr double reduction_bounded = 0.1, reduction_unbounded = 1e-3;

// Steps of one inner solve where nothing is held.
constexpr std::int64_t most_unbounded = 200;

// Newton steps without half the residual after which double takes over inside, too, and after which
// nothing more is expected.
constexpr int stalled = 6, hopeless = 200;

// Lengths tried along one projected step.
constexpr int trials = 3;

// Of the entries that a step too long would clip, how many may be when it is cut short.
constexpr std::array<double, 3> shares_clipped = {0.5, 0.1, 0.0};

// Write the projected point into `out`.
template <class T>
void project(const Quadratic& problem, const Point& point, const T* step, double length, Point& out) {
    const int stride = problem.stride;
    over_rows(problem.rows, problem.rows * stride / 2, [&](std::int64_t start, std::int64_t stop) {
        const double* from = point.values.data();
        double* to = out.values.data();
        for (std::int64_t i = start * stride; i < stop * stride; ++i) {
            const double value = from[i] + length * static_cast<double>(step[i]);
            to[i] = problem.bounded && value < 0 ? 0.0 : value;
        }
    });
}

// Go to a length along the projected step; whether the objective falls enough there.
template <class T>
bool falls(Quadratic& problem, const Point& point, const T* step, double length, Point& trial, Work& work) {
    project(problem, point, step, length, trial);
    problem.measure(trial, point);
    ++work.products;
    const double change = (trial.slope + trial.slope_after) / 2;
    return trial.slope < 0 && change <= 0.05 * trial.slope;
}

// Go further along a step that still leads downhill at its end, if that pays: nearly singular A makes
// steps that the bounds cut short, and what is left of them is too small.
template <class T>
void lengthen(Quadratic& problem, const Point& point, const T* step, double length, Point& trial, Work& work) {
    const double reached = trial.objective, bend = trial.slope_after - trial.slope;
    const double further = length * std::min(bend > 0 ? -trial.slope / bend : 16.0, 16.0);
    falls(problem, point, step, further, trial, work);
    if (!(trial.objective < reached)) falls(problem, point, step, length, trial, work);
}

// Search along the projected step; the accepted point is left in `trial`.
template <class T>
bool search(Quadratic& problem, const Point& point, const T* step, Point& trial, Work& work) {
    double length = 1.0;
    for (int attempt = 0; attempt < trials; ++attempt) {
        if (falls(problem, point, step, length, trial, work)) {
            if (trial.slope_after < 0.5 * trial.slope && trial.residual > 0.5 * point.residual) {
                lengthen(problem, point, step, length, trial, work);
            }
            return true;
        }
        if (trial.residual < 0.5 * point.residual) return true;
        const double bend = trial.slope_after - trial.slope;
        length *= bend > 0 && trial.slope < 0 ? std::clamp(-trial.slope / bend, 0.1, 0.7) : 0.25;
    }
    if (!problem.bounded) return false;
    // Where types are nearly collinear a Newton step is many times longer than the way to the bound: go as
    // far as some of what it would clip allow.
    std::vector<double> ways;
    for (std::int64_t i = 0; i < point.values.size(); ++i) {
        const double change = static_cast<double>(step[i]), value = point.values[i];
        if (change < 0 && value > 0 && value < -change) ways.push_back(value / -change);
    }
    if (ways.empty()) return false;
    for (const double share : shares_clipped) {
        const auto place = ways.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(ways.size() - 1));
        std::nth_element(ways.begin(), place, ways.end());
        if (falls(problem, point, step, *place, trial, work)) return true;
    }
    return false;
}

}  // namespace

Point newton(Quadratic& problem, Point point, const Options& options, Work& work, Control& control) {
    Point other(problem.rows, problem.stride);
    std::unique_ptr<ConjugateGradients<float>> single;
    std::unique_ptr<ConjugateGradients<double>> wide;
    double halved = std::numeric_limits<double>::infinity();
    int since = 0;
    for (;;) {
        control.step.store(work.steps, std::memory_order_relaxed);
        control.residual.store(point.residual, std::memory_order_relaxed);
        if (options.report) options.report(point);
        if (point.residual <= options.tolerance || work.steps >= options.maximum_steps) break;
        if (std::chrono::steady_clock::now() >= options.deadline) break;
        control.check();
        if (point.residual < 0.5 * halved) {
            halved = point.residual;
            since = 0;
        } else if (++since >= hopeless) {
            break;
        }
        if (since >= stalled && !wide) {
            single.reset();
            wide = std::make_unique<ConjugateGradients<double>>(problem);
        }
        const Preconditioner preconditioner = problem.precondition(point);
        work.method = preconditioner.name;
        const double reduction = std::max(problem.bounded ? reduction_bounded : reduction_unbounded,
                                          0.3 * options.tolerance / point.residual);
        const std::int64_t patience = problem.bounded ? problem.patience() : most_unbounded;
        const std::int64_t most = std::clamp<std::int64_t>(options.maximum_steps - work.steps, 1, patience);
        int taken = 0;
        bool found = false;
        auto go = [&](auto& inner) {
            taken = inner.solve(problem, preconditioner, point, reduction, most, control);
            found = search(problem, point, inner.step(), other, work);
        };
        if (wide) {
            go(*wide);
        } else {
            if (!single) single = std::make_unique<ConjugateGradients<float>>(problem);
            go(*single);
        }
        // Slow steps mean that the prior couples more than a spot's own block can see.
        if (taken >= problem.patience()) problem.stiffen();
        work.steps += std::max(taken, 1);
        work.products += taken;
        if (found) {
            std::swap(point, other);
        } else if (problem.bounded) {
            problem.descend(point, other);
            ++work.steps;
            ++work.products;
            problem.measure(other, point);
            std::swap(point, other);
        } else if (!wide) {
            since = stalled;
        } else {
            break;
        }
    }
    return point;
}

}  // namespace core
