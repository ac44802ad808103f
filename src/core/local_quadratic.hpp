// The bounded quadratic problem when every spot weighs the data in its own way.
//
//     min over B >= 0 of  sum_i (1/2 b_i H_i b_i' - <c_i, b_i>) - 1/2 <U, B>^2 + weight/2 tr(B' Q B)
//
// with a Gram matrix H_i for every spot. U, usually absent, is what remains of one number that all spots share
// and that has been minimised over: H - U U' must not be indefinite.
#pragma once

#include "quadratic.hpp"

namespace core {

struct LocalTerm {
    // Packed lower triangles, `lanes` spots side by side: groups x types (types + 1) / 2 x lanes; zero beyond the
    // last spot.
    const float* blocks;
    // C and U, spots x types; U may be null.
    const double *linear, *coupling;
    int types;
};

// Solve; `values` (spots x types) holds the start, and the answer afterwards. Residuals are measured against
// `scale`. The prior keeps the order of the spots.
Solution solve_local(const LocalTerm& term, const Prior& prior, const Request& request, double scale,
                     double* values, Control& control);

// Write b_i H_i for every spot, spots x types.
void multiply_blocks(const float* blocks, int types, std::int64_t rows, const double* values, double* out);

// Write Q B, spots x types, for a prior in the order of the spots.
void multiply_prior(const Prior& prior, int types, const double* values, double* out);

}  // namespace core
