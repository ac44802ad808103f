#include "prior.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace core {
namespace {

// Multigrid makes no coarser level than one of about so many nodes.
constexpr std::int64_t fewest_nodes = 6;
constexpr std::size_t most_levels = 20;

// Graphs with no more spots than this are not made coarser for a start.
constexpr std::int64_t fewest_spots = 1000;

// Rows and columns in another order.
Graph reordered(std::span<const std::int32_t> pointers, std::span<const std::int32_t> neighbours,
                std::span<const double> entries, std::span<const double> diagonal,
                std::span<const std::int32_t> order, int each) {
    const std::size_t rows = order.size();
    std::vector<std::int32_t> place(rows), begins(rows + 1, 0), columns(neighbours.size());
    std::vector<double> values(entries.size()), own(diagonal.size());
    for (std::size_t row = 0; row < rows; ++row) {
        place[order[row]] = static_cast<std::int32_t>(row);
        begins[row + 1] = begins[row] + pointers[order[row] + 1] - pointers[order[row]];
    }
    over_rows(static_cast<std::int64_t>(rows), static_cast<std::int64_t>(entries.size()) * 4,
              [&](std::int64_t start, std::int64_t stop) {
                  std::vector<std::int32_t> sorted;
                  for (std::int64_t row = start; row < stop; ++row) {
                      const auto old = order[row];
                      sorted.resize(static_cast<std::size_t>(begins[row + 1] - begins[row]));
                      std::iota(sorted.begin(), sorted.end(), pointers[old]);
                      std::sort(sorted.begin(), sorted.end(), [&](auto a, auto b) {
                          return place[neighbours[a]] < place[neighbours[b]];
                      });
                      std::int64_t to = begins[row];
                      for (const auto from : sorted) {
                          columns[to] = place[neighbours[from]];
                          for (int k = 0; k < each; ++k) {
                              values[to * each + k] = entries[static_cast<std::int64_t>(from) * each + k];
                          }
                          ++to;
                      }
                      for (int k = 0; k < each; ++k) own[row * each + k] = diagonal[static_cast<std::int64_t>(old) * each + k];
                  }
              });
    return Graph(begins, columns, values, own, each);
}

}  // namespace

Prior::Prior(std::span<const std::int32_t> pointers, std::span<const std::int32_t> neighbours,
             std::span<const double> entries, std::span<const double> diagonal,
             std::span<const std::int32_t> order, int each)
    : graph_(order.empty() ? Graph(pointers, neighbours, entries, diagonal, each)
                           : reordered(pointers, neighbours, entries, diagonal, order, each)),
      order_(order.begin(), order.end()) {
    std::vector<double> sorted(graph_.diagonal);
    largest_ = *std::max_element(sorted.begin(), sorted.end());
    mean_ = std::accumulate(sorted.begin(), sorted.end(), 0.0) / static_cast<double>(sorted.size());
    const auto twentieth = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 20);
    std::nth_element(sorted.begin(), twentieth, sorted.end());
    common_ = *twentieth;
}

const Prior::Colours& Prior::colours() const {
    std::call_once(coloured_, [this] {
        std::vector<std::int32_t> colour(static_cast<std::size_t>(rows())), taken;
        std::int32_t most = 0;
        for (std::int32_t row = 0; row < rows(); ++row) {
            for (auto place = graph_.pointers[row]; place < graph_.pointers[row + 1]; ++place) {
                const auto neighbour = graph_.neighbours[place];
                if (neighbour < row) taken[colour[neighbour]] = row + 1;
            }
            std::int32_t free = 0;
            while (free < most && taken[free] == row + 1) ++free;
            if (free == most) {
                ++most;
                taken.push_back(0);
            }
            colour[row] = free;
        }
        sort_by_group(colour, most, colours_.cuts, colours_.spots);
    });
    return colours_;
}

const std::vector<Coarsening>& Prior::first_coarsening() const {
    std::call_once(gathered_, [this] {
        first_ = coarsen(graph_.pointers, graph_.neighbours, graph_.entries, fewest_nodes, 1);
    });
    return first_;
}

const std::vector<Coarsening>& Prior::coarsening() const {
    std::call_once(coarsened_, [this] {
        steps_ = coarsen(graph_.pointers, graph_.neighbours, graph_.entries, fewest_nodes, most_levels,
                         first_coarsening());
    });
    return steps_;
}

const CoarserPrior* Prior::coarser() const {
    if (rows() <= fewest_spots || graph_.each != 1 || first_coarsening().empty()) return nullptr;
    std::call_once(made_coarser_, [this] {
        const Coarsening& step = first_coarsening().front();
        coarser_.aggregate = step.aggregate;
        coarser_.cuts = step.cuts;
        coarser_.members = step.members;
        const auto nodes = static_cast<std::size_t>(step.nodes());
        std::vector<double> own(nodes, 0.0), between(step.neighbours.size(), 0.0);
        coarser_.root.resize(nodes);
        for (std::size_t group = 0; group < nodes; ++group) {
            coarser_.root[group] = std::sqrt(static_cast<double>(step.cuts[group + 1] - step.cuts[group]));
        }
        for (std::int64_t row = 0; row < rows(); ++row) {
            const auto group = step.aggregate[row];
            if (group < 0) continue;
            own[group] += graph_.diagonal[row];
            for (auto place = graph_.pointers[row]; place < graph_.pointers[row + 1]; ++place) {
                const auto other = step.aggregate[graph_.neighbours[place]];
                if (other == group) {
                    own[group] += graph_.entries[place];
                } else if (other >= 0) {
                    between[step.target[place]] += graph_.entries[place] / (coarser_.root[group] * coarser_.root[other]);
                }
            }
        }
        for (std::size_t group = 0; group < nodes; ++group) {
            // A piece of the graph in one row keeps nothing of an intrinsic prior but rounding.
            own[group] = std::max(own[group], 0.0) / (coarser_.root[group] * coarser_.root[group]);
        }
        coarser_.prior = std::make_unique<Prior>(step.pointers, step.neighbours, between, own,
                                                 std::span<const std::int32_t>(), 1);
    });
    return &coarser_;
}

void Prior::prepare() const {
    colours();
    coarsening();
    for (const CoarserPrior* next = coarser(); next != nullptr; next = next->prior->coarser()) {
        next->prior->colours();
    }
}

}  // namespace core
