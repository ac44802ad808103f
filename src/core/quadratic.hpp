// The exact solver behind live sliders: one convex quadratic, abundances not below zero.
//
//     min over B >= 0 of  1/2 tr(B A B') - <C, B> + weight/2 tr(B' Q B)
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "multigrid.hpp"
#include "newton.hpp"
#include "prior.hpp"

namespace core {

// What the data ask: A (types x types), its eigenvalues, ascending and not below zero, its eigenvectors in
// columns, and C (spots x types).
struct DataTerm {
    const double *gram, *eigenvalues, *basis, *linear;
    int types;
};

struct Request {
    double weight = 0;
    bool bounded = true;
    double tolerance = 1e-5;
    std::int64_t maximum_steps = 5000;
    std::chrono::steady_clock::time_point deadline = std::chrono::steady_clock::time_point::max();
    // "low rank", "blocks" or "multigrid"; empty to choose by stiffness.
    std::string preconditioner;
};

struct Solution {
    double residual = 0, objective = 0;
    std::int64_t steps = 0, products = 0;
    bool converged = false;
    std::string method;
};

// Writes the values of a point where the caller wants them, spots x types.
using Write = std::function<void(const Point&, double*)>;

// Newton's steps from a point that has been measured; where none is taken, `begun` says what led there. Iterates
// on the way are published where they are wanted.
Solution finish_newton(Quadratic& problem, Point point, const Request& request, const std::string& begun,
                       const Write& write, double* values, Control& control);

// Solve; `values` (spots x types) holds the start where `warm`, and the answer afterwards.
Solution solve_bounded(const DataTerm& data, const Prior& prior, const Request& request, bool warm,
                       double* values, Control& control);

}  // namespace core
