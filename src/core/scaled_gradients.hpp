// Conjugate gradients scaled by the diagonal, from a guess.
#pragma once

#include <cstdint>
#include <span>

#include "control.hpp"

namespace core {

// Improve `values` as a solution of A x = b for a symmetric positive definite A, given by rows with
// its whole diagonal, until the relative residual is at the tolerance or for so many steps. Return
// the relative residual.
double improve(std::span<const int> pointers, const int* columns, const double* entries,
               const double* right, double* values, double tolerance, long steps,
               Control& control);

}  // namespace core
