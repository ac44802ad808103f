// What least squares wants of expression: its products with a few factors a gene, and its weighted squares.
#pragma once

#include <cstdint>

namespace core {

// Write Y' F (spots x `factors`, double) and return sum_g w_g sum_i y_gi^2.
//
// Y is genes x spots in rows, or spots x genes in rows where `by_spot`; F is genes x `stride` in the
// precision of Y, zero beyond its `factors` columns. Products are summed in that precision over 64 genes at a
// time and added in double: sums over all genes in float would be off by some 1e-7, those of so few by less
// than the rounding of the expression itself. Squares are summed in double: those of the same few counts
// round alike.
template <class T>
double reduce_expression(const T* expression, bool by_spot, std::int64_t genes, std::int64_t spots,
                         const T* factors, int count, int stride, const double* weights, double* products);

}  // namespace core
