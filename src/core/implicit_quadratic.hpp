// The bounded quadratic under the precision of a moving average, which is dense: Q = S^-1 with S sparse.
//
// A product with Q is a solve with the factor of S, and (d I + weight Q)^-1 = (d S + weight I)^-1 S is sparse,
// too: where steps turn out slow, an exact solve for every eigenvector of A, masked to the free entries, is
// the preconditioner.
#pragma once

#include <memory>

#include "factor.hpp"
#include "quadratic.hpp"

namespace core {

// Where S lies, and its rows.
struct Covariance {
    std::shared_ptr<const Pattern> pattern;
    const int *pointers, *columns;
    const double* entries;
};

// As `solve_bounded`.
Solution solve_implicit(const DataTerm& data, const Covariance& covariance, const Request& request, bool warm,
                        double* values, Control& control);

}  // namespace core
