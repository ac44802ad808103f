// Quadratic forms x Q x' of a sparse symmetric matrix Q, and the products their gradients are.
#pragma once

#include <cstdint>
#include <span>

#include "graph.hpp"

namespace core {

// A multiple of the identity and of the matrix of ones: own I + other 11'.
struct Mean {
    double own = 0.0;
    double other = 0.0;
};

// scale times each of the numbers in `each`, or times 1 where that is null.
template <class T>
struct Factors {
    double scale;
    const T* each = nullptr;

    double operator[](int k) const { return each ? scale * each[k] : scale; }
};

class Form {
  public:
    // Rows of Q, its diagonal among them.
    Form(std::span<const std::int32_t> pointers, std::span<const std::int32_t> columns,
         std::span<const double> values);

    std::int64_t spots() const { return graph_.rows; }

    // Of values x, dims x spots, with a factor f_k for each dim or one for all: returns the sum of
    // f_k x_k (Q - mean) x_k', and writes f_k (Q - mean) x_k' to `product` unless that is null.
    template <class T>
    double product(const T* values, int dims, Factors<T> factors, Mean mean, T* product) const;

    // The same for spots x dims, of which there are four or more.
    template <class T>
    double product_by_spot(const T* values, int dims, Factors<T> factors, Mean mean,
                           T* product) const;

    // As `product`, with `ratio` times the mean of P'QP over some relabelings of the spots in
    // place of the mean: `orders` is relabelings x spots, and spot i becomes spot order[i].
    template <class T>
    double contrasted_product(const T* values, int dims, Factors<T> factors,
                              std::span<const std::int32_t> orders, double ratio,
                              T* product) const;

  private:
    Graph graph_;
};

}  // namespace core
