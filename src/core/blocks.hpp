// Preconditioners that know each spot alone: the inverse, or nearly, of its own block on its free types.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "buffer.hpp"

namespace core {

using Mask = std::uint8_t;

// A symmetric positive map on the free entries of blocks of rows (padded types, float).
class Blocks {
  public:
    virtual ~Blocks() = default;
    virtual const char* name() const = 0;
    // Solve rows `start` to `stop` (a block of rows, or its beginning): `right` and `out` begin at row `start`;
    // what is held becomes zero.
    virtual void solve(std::int64_t start, std::int64_t stop, const float* right, float* out) const = 0;
};

// Division by d_k + shift_i: exact where A is diagonal and nothing is held.
class DiagonalBlocks final : public Blocks {
  public:
    DiagonalBlocks(const float* gram_diagonal, const float* shift, int stride)
        : gram_(gram_diagonal), shift_(shift), stride_(stride) {}
    const char* name() const override { return "diagonal"; }
    void solve(std::int64_t start, std::int64_t stop, const float* right, float* out) const override;

  private:
    const float *gram_, *shift_;
    int stride_;
};

// Spots side by side in the lanes of registers while their blocks are factored and solved.
inline constexpr int lanes = 16;

inline constexpr int packed_size(int types) { return types * (types + 1) / 2; }

// Each spot's own Cholesky factor on the types that are free there.
//
// Sixteen neighbouring spots are factored together, one a lane: the types free in any of them make up
// the rows of the factor, and where a type is held in one lane its row and column are those of the
// identity.
class FreeBlocks : public Blocks {
  public:
    // A in rows of `stride`, what the prior adds to each spot's diagonal (`each` numbers a spot), what keeps
    // the factors of duplicate types moderate, and 1 where an entry is free (rows of `stride`).
    FreeBlocks(const float* gram, const float* shift, int each, float ridge, const Mask* free,
               std::int64_t rows, int stride);
    const char* name() const override { return "blocks of free types"; }
    void solve(std::int64_t start, std::int64_t stop, const float* right, float* out) const override;

  protected:
    FreeBlocks(const Mask* free, std::int64_t rows, int stride);

    // Write the entries of groups with `fill(group, size, members, count, entries)` and factor them.
    template <class Fill>
    void factor(float ridge, Fill&& fill);

    std::int64_t rows_, groups_;
    int stride_;
    std::vector<std::int16_t> members_;
    std::vector<std::int32_t> counts_;
    std::vector<std::int64_t> places_;
    Buffer<float> factors_;
};

// As `FreeBlocks`, every spot with a Gram matrix of its own: packed lower triangles of `types` rows,
// sixteen spots side by side.
class LocalBlocks final : public FreeBlocks {
  public:
    LocalBlocks(const float* blocks, int types, const float* shift, int each, const Mask* free,
                std::int64_t rows, int stride);
    const char* name() const override { return "blocks of free types"; }
};

// As `FreeBlocks` for the nodes of a coarser graph: A times the numbers of spots free in each two types
// (`shared`, a matrix a node), plus what the prior leaves of the node (`own`, a number a node and type).
class NodeBlocks final : public FreeBlocks {
  public:
    NodeBlocks(const float* gram, const float* shared, const float* own, float weight, float ridge,
               const Mask* free, std::int64_t rows, int stride);
};

// A as delta I + U U', close to it beside a prior of some strength.
struct StandingOut {
    bool found = false;
    // What stands for the eigenvalues that are alike.
    float delta = 0;
    // Columns of U, each a row of `stride`.
    std::vector<float> directions;
    int rank = 0;
    // Where the prior adds less than this to the diagonal, A is not close to it.
    float least = 0;
};

// The few eigenvalues of A that stand out beside what the prior adds to the diagonal of nearly every
// spot; not found where there are more than a few. Eigenvectors in columns of `basis` (types x types).
StandingOut standing_out(const double* eigenvalues, const double* basis, int types, int stride, double shift);

// Inverse of each spot's free block with A replaced by delta I + U U': it is
// (I - U_F (c I + U_F' U_F)^-1 U_F') / c with c = delta + weight q_ii (Woodbury 1950). Held types are left
// out exactly, at a twentieth of the memory of factors. The few spots that hardly hear their neighbours
// keep factors of their own.
class LowRankBlocks final : public Blocks {
  public:
    LowRankBlocks(const StandingOut& close, const float* gram, const float* shift, float ridge,
                  const Mask* free, std::int64_t rows, int stride);
    const char* name() const override { return "blocks of low rank"; }
    void solve(std::int64_t start, std::int64_t stop, const float* right, float* out) const override;

  private:
    template <int Rank>
    void solve_rank(std::int64_t start, std::int64_t stop, const float* right, float* out) const;
    void solve_alone(std::int64_t number, const float* right, float* out) const;

    const StandingOut& close_;
    const Mask* free_;
    int stride_;
    Buffer<float> cores_, inverse_;
    // Spots with a factor of their own, their free types and packed factors.
    std::vector<std::int32_t> alone_;
    std::vector<std::vector<std::int16_t>> alone_types_;
    std::vector<std::vector<float>> alone_factors_;
};

}  // namespace core
