// Graphs of neighbours from the positions of spots: the nearest of each, or all within a radius.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "control.hpp"

namespace core {

// Positions of n spots, row by row; 2 or 3 dimensions.
struct Positions {
    const double* values;
    std::int32_t spots;
    int dimensions;
};

// A symmetric sparse matrix, twice: columns are sorted in every row, the diagonal is empty.
struct NeighbourRows {
    std::vector<std::int32_t> starts;
    std::unique_ptr<std::int32_t[]> columns;
    std::unique_ptr<double[]> distances, weights;
};

struct NearestRule {
    std::int32_t most;  // neighbours to take, fewer than there are spots
    double relative;    // distances are equal that differ by less than this share,
    double absolute;    // and so much
    bool mutual;        // keep pairs that take each other, or all of which one takes the other
};

struct BandRule {
    double radius;
    double order;      // of the norm, at least 1
    double bandwidth;  // of the Gaussian weights; 0 for weights of 1
};

// Link every spot to its nearest. Spots at equal distances are taken together or not at all, as long
// as no more than `most` are taken; the nearest group always. Refused where there would be more than
// `most_edges` entries.
NeighbourRows nearest_neighbours(const Positions&, const NearestRule&, std::int64_t most_edges,
                                 const Control&);

// Link all spots within a radius. Refused where there would be more than `most_edges` entries.
NeighbourRows neighbours_within(const Positions&, const BandRule&, std::int64_t most_edges,
                                const Control&);

}  // namespace core
