// Newton steps for losses that are not quadratic, each on the exact quadratic solver.
//
// Around the present state the data's part is replaced by a quadratic with a Gram matrix for every spot, the
// spatial prior and the bound are kept as they are, and the step to its optimum is halved until the true
// objective falls (proximal Newton: Lee, Sun and Saunders 2014, SIAM J. Optim. 24).
//
// The absolute loss of nu-SVR is made smooth around multipliers (see `TubeAbsolute`). They are renewed where
// every second step ends, and the band is narrowed while that does not shorten the steps (a semismooth Newton
// augmented Lagrangian method, as of Li, Sun and Toh 2018, SIAM J. Optim. 28), until the true objective is
// within a share of a lower bound from the dual problem.
#pragma once

#include "likelihood.hpp"
#include "prior.hpp"

namespace core {

struct Minimum {
    State state;
    // Data's part plus prior, at the scale of the likelihood.
    double value = 0;
    // Norm of the projected gradient over that of the quadratic model's linear term; of the absolute loss the
    // gap to the lower bound over the objective.
    double residual = 0;
    // Newton steps, and steps of the linear solver in them.
    std::int64_t steps = 0, inner_steps = 0;
    // The objective at the start and after every step.
    std::vector<double> history;
    bool converged = false;
};

// Minimise the likelihood plus weight/2 tr(B' Q B), over B >= 0 where bounded, from a state where it is finite.
// The prior keeps the order of the spots.
Minimum minimise(Likelihood& likelihood, const Prior& prior, double weight, bool bounded, double tolerance,
                 State start, Control& control);

}  // namespace core
