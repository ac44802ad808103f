// What the tissue asks of the abundances, 1/2 tr(B' Q B), and what all weights share of it.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "buffer.hpp"
#include "coarsening.hpp"
#include "graph.hpp"

namespace core {

class Prior;

// A prior with one row an aggregate of spots, scaled so that A stays what it is: P' Q P with the
// columns of P divided by the roots of the sizes of their aggregates.
struct CoarserPrior {
    std::vector<std::int32_t> aggregate, cuts, members;
    std::vector<double> root;
    std::unique_ptr<Prior> prior;
};

class Prior {
  public:
    // Rows of Q without their diagonal, and its diagonal (`each` numbers an entry). The spots are
    // worked on in `order` where it is not empty: row i is spot order[i].
    Prior(std::span<const std::int32_t> pointers, std::span<const std::int32_t> neighbours,
          std::span<const double> entries, std::span<const double> diagonal,
          std::span<const std::int32_t> order, int each);

    const Graph& graph() const { return graph_; }
    std::int64_t rows() const { return graph_.rows; }
    const std::int32_t* order() const { return order_.empty() ? nullptr : order_.data(); }

    double largest_diagonal() const { return largest_; }
    double mean_diagonal() const { return mean_; }
    // A diagonal entry that nineteen of twenty spots reach.
    double common_diagonal() const { return common_; }

    // Spots sorted by colour and where each colour begins: those of one colour share no entry.
    struct Colours {
        std::vector<std::int32_t> cuts, spots;
    };
    const Colours& colours() const;

    // Aggregates of spots, aggregates of those, and so on.
    const std::vector<Coarsening>& coarsening() const;

    // The same prior on a coarser graph; null where that would save nothing.
    const CoarserPrior* coarser() const;

    // Compute what all weights share now, and not when a solve first asks for it.
    void prepare() const;

  private:
    const std::vector<Coarsening>& first_coarsening() const;

    Graph graph_;
    std::vector<std::int32_t> order_;
    double largest_ = 0, mean_ = 0, common_ = 0;
    mutable std::once_flag coloured_, gathered_, coarsened_, made_coarser_;
    mutable Colours colours_;
    mutable std::vector<Coarsening> first_, steps_;
    mutable CoarserPrior coarser_;
};

}  // namespace core
