// A multigrid cycle on the free entries only, as a preconditioner.
//
// Truncated multigrid (Graeser and Kornhuber 2009, J. Comput. Math. 27), for several types at once.
// Interpolation from an aggregate to a spot is 1 where the spot's entry is free and 0 where it is held, a
// type at a time. The coarse operator is then exact and small: the prior keeps one value an edge and type,
// and the data keep, for each aggregate, A times the number of its spots that are free in both types. The
// smoother is damped block Jacobi with the factor of each spot or aggregate; the coarsest level is
// factored as a dense matrix. Where A is diagonal and nothing is held, all types share one value an edge.
#pragma once

#include <memory>
#include <vector>

#include "newton.hpp"
#include "prior.hpp"

namespace core {

class Multigrid final : public Cycle {
  public:
    // A (padded rows; its diagonal alone where `diagonal`), the prior and its weight, what it adds to each
    // spot's diagonal, a ridge, and the free entries.
    Multigrid(const Prior& prior, float weight, const float* gram, bool diagonal, const float* shift,
              float ridge, const Mask* free, int stride);

    void apply(const float* right, float* out) override;

  private:
    struct Level {
        const Coarsening* step = nullptr;
        std::int64_t nodes = 0;
        // Of the prior: what couples nodes, row sums and diagonal, `each` numbers; of the data: free spots in each
        // two types, or the number of spots.
        Buffer<float> edges, surplus, own, shared;
        Buffer<Mask> free;
        Buffer<float> node_shift;
        std::unique_ptr<Blocks> blocks;
        std::vector<float> damping;
        Buffer<float> right, values, left, kept, total;
    };

    void collect(std::size_t depth);
    void smooth(const Blocks& blocks, const std::vector<float>& damping, std::int64_t rows,
                const float* right, float* out, bool again) const;
    void spot_residual(const float* right, const float* values);
    void node_residual(const Level& level, const float* right, float* out) const;
    void correct(std::size_t depth, const float* left, const Mask* free, std::int64_t rows, float* values);
    void solve(std::size_t depth);
    void factor_coarsest();

    const Prior& prior_;
    float weight_;
    const float* gram_;
    bool diagonal_;
    float ridge_;
    const Mask* free_;
    int stride_, each_;
    std::unique_ptr<Blocks> blocks_;
    std::vector<float> damping_;
    Buffer<float> left_;
    std::vector<Level> levels_;
    // Cholesky factor of the coarsest level on its free unknowns.
    std::vector<std::int64_t> unknowns_;
    std::vector<double> dense_;
};

}  // namespace core
