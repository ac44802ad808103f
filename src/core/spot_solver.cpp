#include "spot_solver.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "lanes.hpp"

namespace core {
namespace {

// Sets tried by exchanging all types on the wrong side at once.
constexpr int most_exchanges = 40;

// Exchanges in a row that may leave no fewer types on the wrong side than the best before.
constexpr int allowed_failures = 3;

}  // namespace

SpotSolver::SpotSolver(const double* gram, int types, int stride)
    : gram_(gram),
      types_(types),
      stride_(stride),
      inside_(types),
      barred_(types),
      members_(types + 1),
      factor_(static_cast<std::size_t>(types) * types),
      trial_(stride),
      slope_(stride) {}

// List the types of the set, without branches, which nobody could predict.
void SpotSolver::list_members() {
    count_ = 0;
    for (int k = 0; k < types_; ++k) {
        members_[count_] = k;
        count_ += inside_[k];
    }
}

// Solve the block of the set into `trial_`; false where it is numerically singular.
bool SpotSolver::solve_inside(double own, const double* target) {
    list_members();
    const int count = count_;
    std::fill(trial_.begin(), trial_.end(), 0.0);
    for (int a = 0; a < count; ++a) {
        const int ka = members_[a];
        double* line = factor_.data() + a * types_;
        for (int b = 0; b < a; ++b) {
            const double* other = factor_.data() + b * types_;
            double value = entry(ka, members_[b]);
            for (int c = 0; c < b; ++c) value -= line[c] * other[c];
            line[b] = value * other[b];
        }
        const double whole = entry(ka, ka) + own;
        double pivot = whole;
        for (int c = 0; c < a; ++c) pivot -= line[c] * line[c];
        if (!(pivot > 1e-13 * whole)) return false;
        // The reciprocal of the diagonal is what the substitutions need.
        line[a] = 1 / std::sqrt(pivot);
    }
    for (int a = 0; a < count; ++a) {
        const double* line = factor_.data() + a * types_;
        double value = target[members_[a]];
        for (int c = 0; c < a; ++c) value -= line[c] * trial_[members_[c]];
        trial_[members_[a]] = value * line[a];
    }
    for (int a = count - 1; a >= 0; --a) {
        double value = trial_[members_[a]];
        for (int c = a + 1; c < count; ++c) value -= factor_[c * types_ + a] * trial_[members_[c]];
        trial_[members_[a]] = value * factor_[a * types_ + a];
    }
    return true;
}

// Go from `here` towards the answer of its set, dropping what would turn negative.
void SpotSolver::shorten(double own, const double* target, double* here) {
    for (;;) {
        double length = 1.0;
        for (int k = 0; k < types_; ++k) {
            if (inside_[k] && !(trial_[k] > 0)) length = std::min(length, here[k] / (here[k] - trial_[k]));
        }
        if (length == 1.0) break;
        for (int k = 0; k < types_; ++k) {
            if (!inside_[k]) continue;
            const bool leaves = !(trial_[k] > 0) && here[k] <= length * (here[k] - trial_[k]);
            here[k] += length * (trial_[k] - here[k]);
            if (leaves || !(here[k] > 0)) {
                inside_[k] = 0;
                here[k] = 0;
            }
        }
        if (!solve_inside(own, target)) break;
    }
    for (int k = 0; k < types_; ++k) here[k] = inside_[k] ? trial_[k] : 0.0;
}

// Write target - here (A + own I) for a point that is zero but for `count_` members.
void SpotSolver::descents(double own, const double* target, const double* here) {
    over_panels(stride_, [&](auto width, int begin) {
        using R = Row<double, decltype(width)::value>;
        R total = R::load(target + begin) - R::load(here + begin) * own;
        for (int m = 0; m < count_; ++m) {
            const int k = members_[m];
            total -= R::load(gram_ + static_cast<std::int64_t>(k) * stride_ + begin) * here[k];
        }
        total.store(slope_.data() + begin);
    });
}

// Exchange all types on the wrong side at once; false where that does not end.
bool SpotSolver::exchange(double own, const double* target, double enough, double* here) {
    int fewest = types_ + 1, failures = allowed_failures;
    for (int round = 0; round < most_exchanges; ++round) {
        if (!solve_inside(own, target)) return false;
        descents(own, target, trial_.data());
        int wrong = 0;
        for (int k = 0; k < types_; ++k) {
            const std::uint8_t belongs = inside_[k] ? trial_[k] > 0 : slope_[k] > enough;
            wrong += belongs != inside_[k];
            barred_[k] = belongs;
        }
        if (wrong == 0) {
            std::copy(trial_.begin(), trial_.begin() + types_, here);
            return true;
        }
        if (wrong < fewest) {
            fewest = wrong;
            failures = allowed_failures;
        } else if (failures-- == 0) {
            return false;
        }
        std::swap(inside_, barred_);
    }
    return false;
}

// Let the steepest type in, drop what turns negative, and so on.
void SpotSolver::add_one_by_one(double own, const double* target, double enough, double* here) {
    bool started = false;
    for (int k = 0; k < types_; ++k) {
        inside_[k] = here[k] > 0;
        barred_[k] = 0;
        started = started || inside_[k];
    }
    if (started) {
        if (solve_inside(own, target)) {
            shorten(own, target, here);
        } else {
            std::fill(inside_.begin(), inside_.end(), 0);
            std::fill(here, here + types_, 0.0);
        }
    }
    for (int round = 0; round < 30 * types_; ++round) {
        int entering = -1;
        double steepest = enough;
        list_members();
        descents(own, target, here);
        for (int k = 0; k < types_; ++k) {
            if (inside_[k] || barred_[k] || !(entry(k, k) + own > 0)) continue;
            if (slope_[k] > steepest) {
                steepest = slope_[k];
                entering = k;
            }
        }
        if (entering < 0) break;
        inside_[entering] = 1;
        if (!solve_inside(own, target) || !(trial_[entering] > 0)) {
            inside_[entering] = 0;
            barred_[entering] = 1;
            continue;
        }
        shorten(own, target, here);
        std::fill(barred_.begin(), barred_.end(), 0);
    }
}

void SpotSolver::solve(double own, const double* target, double* here) {
    double scale = 0;
    bool started = false;
    for (int k = 0; k < types_; ++k) {
        scale = std::max(scale, std::abs(target[k]));
        inside_[k] = here[k] > 0;
        started = started || inside_[k];
    }
    const double enough = 1e-13 * scale;
    // From nothing an exchange would let nearly all types in.
    if (!(started && exchange(own, target, enough, here))) add_one_by_one(own, target, enough, here);
}

}  // namespace core
