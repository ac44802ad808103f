// Sparse factors L D L' of symmetric positive definite matrices `shift I + scale Q`: one order of
// elimination and one pattern for all matrices of a graph, solves, and the diagonal of the inverse.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "control.hpp"

namespace core {

// Where the entries of L lie, and Q in the order of elimination.
//
// Rows are ordered by approximate minimum degree (Amestoy, Davis and Duff 1996, SIAM J. Matrix Anal.
// Appl. 17:886-905), and the pattern follows from the elimination tree (Liu 1990, SIAM J. Matrix
// Anal. Appl. 11:134-172).
class Pattern {
  public:
    // Q by rows, all its entries, each once, in a symmetric pattern. Refused where L would have
    // more than `most` entries below its diagonal.
    Pattern(std::span<const int> pointers, std::span<const int> columns,
            std::span<const double> entries, std::int64_t most, const Control& control);

    std::int64_t size() const { return static_cast<std::int64_t>(order_.size()); }

    // Entries of L below its diagonal.
    std::int64_t entries() const { return pointers_.back(); }

    // Multiplications that a factorisation takes, about.
    double operations() const;

    // Rows of Q in the order of elimination.
    const std::vector<int>& order() const { return order_; }

    // Write L (its entries below the diagonal, by columns) and D of `shift I + scale Q`; Refused
    // where a pivot is not safely positive.
    void factorise(double shift, double scale, double* lower, double* pivots,
                   const Control& control) const;

    // The diagonals of the inverses of `shift I + scale Q`, rows x shifts; Refused as above.
    std::vector<double> inverse_diagonals(std::span<const double> shifts, double scale,
                                          const Control& control) const;

  private:
    friend class Factor;

    void take_upper(std::span<const int> pointers, std::span<const int> columns,
                    std::span<const double> entries);
    void grow_tree(std::int64_t most);
    void fill_rows(const Control& control);
    void invert(double* lower, const double* pivots, double* diagonal,
                const Control& control) const;

    std::vector<int> order_;
    // Columns of the upper triangle of the ordered Q, with its diagonal.
    std::vector<int> upper_pointers_, upper_rows_;
    std::vector<double> upper_entries_;
    std::vector<int> parent_;
    // Columns of L below the diagonal, rows ascending.
    std::vector<std::int64_t> pointers_;
    std::vector<int> rows_;
};

// L and D of one matrix `shift I + scale Q`.
class Factor {
  public:
    Factor(std::shared_ptr<const Pattern> pattern, double shift, double scale,
           const Control& control);

    std::int64_t size() const { return pattern_->size(); }

    // Overwrite values (rows x columns, row-major) by the solution for them.
    void solve(double* values, int columns, const Control& control) const;

    // Write the solution for `right` and return its largest ||b - A x|| / ||b|| over the columns.
    double solve(const double* right, double* values, int columns, const Control& control) const;

  private:
    template <int N>
    void solve_rows(double* values, const Control& control) const;
    template <int N>
    void subtract_product(const double* values, double* out) const;
    template <int N>
    double solve_panel(const double* right, double* values, int columns, int begin, bool compare,
                       const Control& control) const;

    double solve_columns(const double* right, double* values, int columns, bool compare,
                         const Control& control) const;

    std::shared_ptr<const Pattern> pattern_;
    double shift_, scale_;
    // Not written before they are found: L may be large.
    std::unique_ptr<double[]> lower_, pivots_;
};

}  // namespace core
