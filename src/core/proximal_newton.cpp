#include "proximal_newton.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "local_quadratic.hpp"
#include "product.hpp"

namespace core {
namespace {

// Share of the slope by which the objective must fall along a step, and the shortest step.
constexpr double sufficient = 1e-4, shortest = 1e-6;

// Relative rounding of the objective, by which it may rise.
constexpr double rounding = 1e-14;

// Of the residual here, what the quadratic model is solved to, and the least residual it is solved to: of the
// tolerance, and for the absolute loss.
constexpr double forcing = 0.015, least_share = 0.03, least_absolute = 3e-9;

constexpr int most_steps = 100, most_steps_absolute = 300;

// Steps without half the residual after which nothing more is expected; steps that found nothing in a row.
constexpr int patience = 10, failures_allowed = 2;

// Poisson: the first steps, with the curvature kept below so many times the expected one.
constexpr int cautious_steps = 3;
constexpr double cautious_multiple = 4.0;

// Absolute loss: Newton steps from one renewal of the multipliers to the next; how the band is narrowed where the
// steps were so long; and the narrowest, as shares of the width and of the band at first.
constexpr int steps_at_multipliers = 2;
constexpr double narrowing = 0.55, whole = 0.8, narrowest = 0.05, sharpest = 1e-4;

double dot(const std::vector<double>& one, const std::vector<double>& other) {
    return std::inner_product(one.begin(), one.end(), other.begin(), 0.0);
}

double norm(const std::vector<double>& values) { return std::sqrt(dot(values, values)); }

State along(const State& from, const State& change, double length) {
    State to = from;
    for (std::size_t i = 0; i < to.values.size(); ++i) to.values[i] += length * change.values[i];
    for (std::size_t i = 0; i < to.constants.size(); ++i) to.constants[i] += length * change.constants[i];
    to.width += length * change.width;
    return to;
}

// A state with everything known about it.
struct Place {
    State state;
    Expansion at;
    // weight Q B; the objective; the norm of the quadratic model's linear term and that of the projected gradient
    // over it.
    std::vector<double> smooth;
    double value = 0, scale = 1, residual = 0;
};

class Descent {
  public:
    Descent(Likelihood& likelihood, const Prior& prior, double weight, bool bounded, Control& control)
        : likelihood_(likelihood), prior_(prior), weight_(weight), bounded_(bounded), control_(control) {}

    // Expand around a state; under renewed multipliers where there is a next band.
    Place at(State state, double next_band = 0) {
        Place place{std::move(state), {}, {}};
        if (next_band > 0) {
            likelihood_.expand_renewed(place.state, next_band, place.at, control_);
        } else {
            likelihood_.expand(place.state, true, place.at, control_);
        }
        const State& here = place.state;
        const std::int64_t rows = likelihood_.spots, stride = padded(likelihood_.types);
        Buffer<double> values(rows * stride), product(rows * stride);
        product.fill(0);
        pad_rows(here.values.data(), rows, likelihood_.types, nullptr, values.data());
        over_rows(rows, rows * stride * 16, [&](std::int64_t start, std::int64_t stop) {
            add_prior(prior_.graph().view<double>(), weight_, values.data(), static_cast<int>(stride), start, stop,
                      product.data() + start * stride);
        });
        place.smooth.resize(here.values.size());
        unpad_rows(product.data(), rows, likelihood_.types, nullptr, place.smooth.data());
        const double apart = dot(here.values, place.smooth) / 2;
        place.value = place.at.value + apart;
        place.at.before += apart;
        const double size = norm(place.at.linear);
        place.scale = size > 0 ? size : 1.0;
        double squares = 0;
        const auto add = [&](double value, double slope, bool held_at_zero) {
            squares += held_at_zero && value <= 0 && slope > 0 ? 0.0 : slope * slope;
        };
        for (std::size_t i = 0; i < here.values.size(); ++i) {
            add(here.values[i], place.at.gradient[i] + place.smooth[i], bounded_);
        }
        for (std::size_t i = 0; i < here.constants.size() && likelihood_.bias(); ++i) {
            add(here.constants[i], place.at.by_constant[i], false);
        }
        if (likelihood_.has_width()) add(here.width, place.at.by_width, true);
        place.residual = std::sqrt(squares) / place.scale;
        return place;
    }

    // The way to the optimum of the quadratic model, found to a residual.
    State direction(const Place& place, double tolerance) {
        const Expansion& at = place.at;
        const LocalTerm term{at.curvature->blocks.data(), at.linear.data(),
                             at.coupling.empty() ? nullptr : at.coupling.data(), likelihood_.types};
        Request request;
        request.weight = weight_;
        request.bounded = bounded_;
        request.tolerance = tolerance;
        State change = place.state;
        inner_steps += solve_local(term, prior_, request, place.scale, change.values.data(), control_).steps;
        for (std::size_t i = 0; i < change.values.size(); ++i) change.values[i] -= place.state.values[i];
        likelihood_.complete(place.state, at, change);
        return change;
    }

    // Go along a change of the state until the objective falls, first to `longest`; the length gone, zero where it
    // falls nowhere.
    // `next_band(length)` is that after a step of this length, zero where multipliers stay.
    template <class NextBand>
    double step(Place& place, const State& change, double longest, NextBand&& next_band) {
        double slope = dot(place.at.gradient, change.values) + dot(place.smooth, change.values);
        slope += dot(place.at.by_constant, change.constants) + place.at.by_width * change.width;
        const double allowed = rounding * std::abs(place.value);
        for (double length = longest; length > shortest; length /= 2) {
            Place there = at(along(place.state, change, length), next_band(length));
            if (there.at.before <= place.value + sufficient * length * std::min(slope, 0.0) + allowed) {
                place = std::move(there);
                return length;
            }
        }
        return 0;
    }

    double lower_bound(const Place& place) const {
        return likelihood_.lower_bound(place.state, place.at, place.smooth.data(), bounded_);
    }

    std::int64_t inner_steps = 0;

  private:
    Likelihood& likelihood_;
    const Prior& prior_;
    const double weight_;
    const bool bounded_;
    Control& control_;
};

// The next band of the absolute loss.
struct Renewal {
    const Likelihood& likelihood;
    const double widest = likelihood.band;
    // Steps since multipliers were renewed, and the shortest of them.
    int steps = 0;
    double length = 1;

    bool due() const { return likelihood.certified() && steps + 1 >= steps_at_multipliers; }

    double band(double width) const {
        const double least = std::max(narrowest * width, sharpest * widest);
        return std::max(narrowing * likelihood.band, std::min(least, likelihood.band));
    }
};

}  // namespace

Minimum minimise(Likelihood& likelihood, const Prior& prior, double weight, bool bounded, double tolerance,
                 State start, Control& control) {
    const bool certified = likelihood.certified();
    Descent descent(likelihood, prior, weight, bounded, control);
    Minimum found;
    const auto be_cautious = [&](std::int64_t step) {
        likelihood.multiple = step < cautious_steps ? cautious_multiple : std::numeric_limits<double>::infinity();
    };
    be_cautious(0);
    Place place = descent.at(std::move(start));
    Renewal renewal{likelihood};
    std::vector<double> least_residuals;
    double bound = -std::numeric_limits<double>::infinity();
    int failures = 0;
    for (;;) {
        // The absolute loss is reported as it is, not as it is smoothed, and may rise.
        const double value = place.value + (certified ? place.at.excess : 0.0);
        if (found.history.empty() || value < found.history.back() || !certified) {
            found.state = place.state;
            found.history.push_back(value);
        } else {
            found.history.push_back(found.history.back());
        }
        found.value = found.history.back();
        found.residual = place.residual;
        if (certified) {
            bound = std::max(bound, descent.lower_bound(place));
            found.residual = std::max(found.value - bound, 0.0) / std::max(std::abs(found.value), 1e-300);
        }
        control.step.store(found.steps);
        control.residual.store(found.residual);
        if (control.wants_iterates) control.publish(std::vector<double>(found.state.values), found.residual);
        control.check();
        const auto count = least_residuals.size();
        const bool stuck = !certified && count > patience + 1 && found.residual > 0.5 * least_residuals[count - patience];
        least_residuals.push_back(std::min(found.residual, count ? least_residuals.back() : found.residual));
        found.converged = found.residual <= tolerance;
        if (found.converged || stuck || failures > failures_allowed) break;
        if (found.steps >= (certified ? most_steps_absolute : most_steps)) break;
        const double least = certified ? least_absolute : least_share * tolerance;
        const double exact = likelihood.constant_curvature() ? 0.3 * tolerance : std::max(forcing * place.residual, least);
        const State change = descent.direction(place, exact);
        be_cautious(found.steps + 1);
        const bool due = renewal.due();
        // The first model of the absolute loss is of a band too wide for its full step.
        const double longest = certified && found.steps == 0 ? 0.5 : 1.0;
        const double length = descent.step(place, change, longest, [&](double tried) {
            if (!due) return 0.0;
            return std::min(renewal.length, tried) > whole ? renewal.band(place.state.width) : likelihood.band;
        });
        failures = length > 0 ? 0 : failures + 1;
        if (length > 0) {
            ++renewal.steps;
            renewal.length = std::min(renewal.length, length);
            ++found.steps;
        } else if (certified) {
            place = descent.at(place.state, likelihood.band);
            ++found.steps;
        } else {
            break;
        }
        if (certified && (due || length == 0)) {
            likelihood.adopt();
            renewal.steps = 0;
            renewal.length = 1;
        }
    }
    found.inner_steps = descent.inner_steps;
    return found;
}

}  // namespace core
