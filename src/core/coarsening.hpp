// Coarser and coarser graphs: spots gathered into aggregates, aggregates into larger ones.
//
// Only the pattern lives here. It depends on Q alone and is computed once for all weights and all
// free sets; the values on it are filled in by multigrid.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace core {

struct Coarsening {
    // Node of the next level that a node belongs to, or -1 for one without neighbours.
    std::vector<std::int32_t> aggregate;
    // Nodes of aggregate a are members[cuts[a]] to members[cuts[a + 1]].
    std::vector<std::int32_t> cuts, members;
    // Sparse rows of the next level's pattern, without its diagonal.
    std::vector<std::int32_t> pointers, neighbours;
    // For each entry of this level, its place in the next level's rows, or -1 on its diagonal.
    std::vector<std::int32_t> target;

    std::int64_t nodes() const { return static_cast<std::int64_t>(cuts.size()) - 1; }
};

// Members of numbered groups side by side: where each group begins (one more entry than groups), and
// who is in it, ascending. Those below zero are in none.
void sort_by_group(std::span<const std::int32_t> groups, std::int64_t count,
                   std::vector<std::int32_t>& cuts, std::vector<std::int32_t>& members);

// Coarsen until no more than `smallest` nodes, or none with neighbours, remain, or for `most` levels;
// those in `begun` are known. Negative entries couple, the more the lower they are.
std::vector<Coarsening> coarsen(std::span<const std::int32_t> pointers,
                                std::span<const std::int32_t> neighbours,
                                std::span<const double> entries, std::int64_t smallest,
                                std::size_t most, const std::vector<Coarsening>& begun = {});

}  // namespace core
