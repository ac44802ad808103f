#include "coarsening.hpp"

#include <algorithm>
#include <utility>

namespace core {
namespace {

// A neighbour counts as strong from this share of the strongest coupling of the spot.
constexpr double strong = 0.25;

// Gather strongly coupled nodes; return the number of aggregates.
std::int32_t aggregate_nodes(std::span<const std::int32_t> pointers,
                             std::span<const std::int32_t> neighbours,
                             std::span<const double> coupling, std::vector<std::int32_t>& aggregate) {
    const auto nodes = static_cast<std::int32_t>(pointers.size()) - 1;
    std::vector<double> threshold(static_cast<std::size_t>(nodes), 0.0);
    aggregate.assign(static_cast<std::size_t>(nodes), -1);
    for (std::int32_t node = 0; node < nodes; ++node) {
        for (auto place = pointers[node]; place < pointers[node + 1]; ++place) {
            threshold[node] = std::max(threshold[node], strong * coupling[place]);
        }
    }
    std::int32_t count = 0;
    // First, nodes whose strong neighbours are all unclaimed take them.
    for (std::int32_t node = 0; node < nodes; ++node) {
        if (aggregate[node] >= 0 || !(threshold[node] > 0)) continue;
        bool unclaimed = true;
        for (auto place = pointers[node]; place < pointers[node + 1] && unclaimed; ++place) {
            unclaimed = coupling[place] < threshold[node] || aggregate[neighbours[place]] < 0;
        }
        if (!unclaimed) continue;
        aggregate[node] = count;
        for (auto place = pointers[node]; place < pointers[node + 1]; ++place) {
            if (coupling[place] >= threshold[node]) aggregate[neighbours[place]] = count;
        }
        ++count;
    }
    // Then the rest joins the aggregate it is coupled to most strongly.
    const std::vector<std::int32_t> settled = aggregate;
    for (std::int32_t node = 0; node < nodes; ++node) {
        if (settled[node] >= 0 || !(threshold[node] > 0)) continue;
        double best = 0;
        for (auto place = pointers[node]; place < pointers[node + 1]; ++place) {
            if (settled[neighbours[place]] >= 0 && coupling[place] > best) {
                best = coupling[place];
                aggregate[node] = settled[neighbours[place]];
            }
        }
    }
    // What is left by then has no claimed neighbour: it gathers its own kind.
    for (std::int32_t node = 0; node < nodes; ++node) {
        if (aggregate[node] >= 0 || !(threshold[node] > 0)) continue;
        aggregate[node] = count;
        for (auto place = pointers[node]; place < pointers[node + 1]; ++place) {
            if (aggregate[neighbours[place]] < 0 && coupling[place] > 0) aggregate[neighbours[place]] = count;
        }
        ++count;
    }
    return count;
}

// List the distinct aggregates next to each, and where every entry goes.
void fill_pattern(std::span<const std::int32_t> pointers, std::span<const std::int32_t> neighbours,
                  Coarsening& step) {
    const auto groups = static_cast<std::int32_t>(step.nodes());
    std::vector<std::int32_t> found(static_cast<std::size_t>(groups), -1);
    step.pointers.assign(1, 0);
    step.target.assign(neighbours.size(), -1);
    for (std::int32_t group = 0; group < groups; ++group) {
        const auto begin = static_cast<std::int32_t>(step.neighbours.size());
        for (auto visit = step.cuts[group]; visit < step.cuts[group + 1]; ++visit) {
            const auto node = step.members[visit];
            for (auto place = pointers[node]; place < pointers[node + 1]; ++place) {
                const auto other = step.aggregate[neighbours[place]];
                if (other == group || other < 0) continue;
                if (found[other] < begin) {
                    found[other] = static_cast<std::int32_t>(step.neighbours.size());
                    step.neighbours.push_back(other);
                }
                step.target[place] = found[other];
            }
        }
        step.pointers.push_back(static_cast<std::int32_t>(step.neighbours.size()));
    }
}

}  // namespace

void sort_by_group(std::span<const std::int32_t> groups, std::int64_t count,
                   std::vector<std::int32_t>& cuts, std::vector<std::int32_t>& members) {
    cuts.assign(static_cast<std::size_t>(count) + 1, 0);
    for (const auto group : groups) {
        if (group >= 0) ++cuts[group + 1];
    }
    for (std::int64_t group = 0; group < count; ++group) cuts[group + 1] += cuts[group];
    members.resize(static_cast<std::size_t>(cuts[count]));
    std::vector<std::int32_t> following(cuts.begin(), cuts.end() - 1);
    for (std::size_t number = 0; number < groups.size(); ++number) {
        if (groups[number] >= 0) members[following[groups[number]]++] = static_cast<std::int32_t>(number);
    }
}

std::vector<Coarsening> coarsen(std::span<const std::int32_t> pointers,
                                std::span<const std::int32_t> neighbours,
                                std::span<const double> entries, std::int64_t smallest,
                                std::size_t most, const std::vector<Coarsening>& begun) {
    std::vector<Coarsening> steps;
    steps.reserve(most);  // the rows of one step are read while the next is made
    std::vector<double> coupling(entries.size());
    for (std::size_t place = 0; place < entries.size(); ++place) coupling[place] = -entries[place];
    while (static_cast<std::int64_t>(pointers.size()) - 1 > smallest && steps.size() < most) {
        Coarsening step;
        if (steps.size() < begun.size()) {
            step = begun[steps.size()];
        } else {
            const auto count = aggregate_nodes(pointers, neighbours, coupling, step.aggregate);
            sort_by_group(step.aggregate, count, step.cuts, step.members);
            if (count == 0 || count >= static_cast<std::int32_t>(step.members.size())) break;
            fill_pattern(pointers, neighbours, step);
        }
        std::vector<double> onward(step.neighbours.size(), 0.0);
        for (std::size_t place = 0; place < coupling.size(); ++place) {
            if (step.target[place] >= 0) onward[step.target[place]] += coupling[place];
        }
        coupling = std::move(onward);
        steps.push_back(std::move(step));
        pointers = steps.back().pointers;
        neighbours = steps.back().neighbours;
    }
    return steps;
}

}  // namespace core
