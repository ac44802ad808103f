// Without its neighbours every spot is a small problem of its own, solved exactly by an active set.
//
// min 1/2 b (A + own I) b' - target b over b >= 0. All types on the wrong side are exchanged at once
// (Portugal, Judice and Vicente 1994, Math. Comput. 63), which ends after a few small systems nearly
// always; else types come in one by one (Lawson and Hanson 1974, Solving Least Squares Problems,
// chapter 23, in the form of Bro and de Jong 1997, J. Chemometrics 11). Types that are combinations
// of others in the set bring no descent and stay out, so that singular A is no obstacle.
#pragma once

#include <cstdint>
#include <vector>

namespace core {

class SpotSolver {
  public:
    // A is types x types in rows of `stride`.
    SpotSolver(const double* gram, int types, int stride);

    // Minimise in place, from `here` >= 0; both arrays have `stride` values, zero beyond the types.
    void solve(double own, const double* target, double* here);

  private:
    bool solve_inside(double own, const double* target);
    void shorten(double own, const double* target, double* here);
    void list_members();
    void descents(double own, const double* target, const double* here);
    bool exchange(double own, const double* target, double enough, double* here);
    void add_one_by_one(double own, const double* target, double enough, double* here);

    double entry(int a, int b) const { return gram_[a * stride_ + b]; }

    const double* gram_;
    int types_, stride_, count_ = 0;
    std::vector<std::uint8_t> inside_, barred_;
    std::vector<int> members_;
    std::vector<double> factor_, trial_, slope_;
};

}  // namespace core
