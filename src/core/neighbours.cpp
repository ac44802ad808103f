// Searches in a balanced k-d tree (Friedman, Bentley and Finkel, ACM TOMS 3, 1977), for all spots at
// once: each begins in the leaf of its spot and climbs from there, so that it seldom looks far.
//
// Every node is halved at the median of its spots. Nodes are therefore numbered as in a heap (the
// halves of v are 2v and 2v + 1), and neither crowds nor spots at one place make the tree deeper.
// What is found depends neither on the tree nor on the number of threads.
#include "neighbours.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "lanes.hpp"
#include "pool.hpp"

namespace core {
namespace {

using Index = std::int32_t;

constexpr double infinity = std::numeric_limits<double>::infinity();

// Most spots in a leaf: their distances are found at once.
constexpr int leaf_size = 8;

struct alignas(64) Gaps : std::array<double, leaf_size> {};
using Lanes = Row<double, leaf_size>;

// Boxes are left out where they are this much too far: powers and roots do not round evenly.
constexpr double rounding = 1 + 1e-9;

// Operations a spot, roughly: what decides whether threads are worth it.
constexpr std::int64_t sorting = 100, searching = 200;

// Levels of the tree that are halved one after another; threads share the nodes below.
constexpr int shared_levels = 6;

// Instead of a number of neighbours: more spots are equally near than were looked at.
constexpr Index crowded = -1;

// The norm of a difference: 1, 2, 0 for the largest, -1 for any other order. The Euclidean one stays
// squared, as that sorts alike.
template <int Kind>
struct Norm {
    double order = Kind;

    template <std::size_t D>
    double operator()(const std::array<double, D>& along) const {
        double sum = 0, longest = 0;
        for (const double side : along) {
            if constexpr (Kind == 2) sum += side * side;
            if constexpr (Kind == 1) sum += std::abs(side);
            if constexpr (Kind < 1) longest = std::max(longest, std::abs(side));
        }
        if constexpr (Kind == 0) return longest;
        if constexpr (Kind == -1) {
            if (longest == 0) return 0;
            for (const double side : along) sum += std::pow(std::abs(side) / longest, order);
            return longest * std::pow(sum, 1 / order);
        }
        return sum;
    }
    double from_distance(double distance) const { return Kind == 2 ? distance * distance : distance; }
    double to_distance(double gap) const { return Kind == 2 ? std::sqrt(gap) : gap; }
};

using Euclidean = Norm<2>;

template <std::size_t D>
struct Box {
    std::array<double, D> low, high;

    // The difference between the nearest places of two boxes.
    std::array<double, D> nearest(const Box& other) const {
        std::array<double, D> along;
        for (std::size_t d = 0; d < D; ++d) {
            along[d] = std::max(std::max(low[d] - other.high[d], other.low[d] - high[d]), 0.0);
        }
        return along;
    }
    void take_in(const Box& other) {
        for (std::size_t d = 0; d < D; ++d) {
            low[d] = std::min(low[d], other.low[d]);
            high[d] = std::max(high[d], other.high[d]);
        }
    }
};

// A spot in the tree: its number there, and the leaf that it is in.
struct Site {
    Index spot, leaf;
    int lane;
};

template <std::size_t D>
class Tree {
  public:
    Tree(const Positions& given, const Control& control)
        : spots(given.spots),
          leaves(static_cast<Index>(std::bit_ceil((given.spots + leaf_size - 1u) / leaf_size))),
          number(spots),
          boxes_(2 * leaves) {
        std::vector<Spot> sorted(spots);
        Box<D> all;
        all.low.fill(infinity);
        all.high.fill(-infinity);
        for (Index i = 0; i < spots; ++i) {
            std::copy_n(given.values + static_cast<std::ptrdiff_t>(i) * D, D, sorted[i].at.begin());
            sorted[i].number = i;
            all.take_in({sorted[i].at, sorted[i].at});
        }
        boxes_[1] = all;
        const Index shared = std::min(leaves, Index{1} << shared_levels);
        for (Index level = 1; level < shared; level *= 2) {
            control.check();
            parallel(level, sorting * spots, [&](std::int64_t first, std::int64_t last) {
                for (; first < last; ++first) halve(sorted, level + static_cast<Index>(first));
            });
        }
        for (auto& axis : along_) axis.resize(leaves);
        parallel(shared, sorting * spots, [&](std::int64_t first, std::int64_t last) {
            for (; first < last; ++first) build(sorted, shared + static_cast<Index>(first), control);
        });
        for (Index node = shared - 1; node > 0; --node) unite(node);
    }

    const Index spots, leaves;

    // What the caller calls each spot; the tree numbers them leaf by leaf.
    std::vector<Index> number;

    // Spots of a node.
    std::pair<Index, Index> range(Index node) const {
        const int depth = std::bit_width(static_cast<std::uint32_t>(node)) - 1;
        const std::int64_t place = node - (std::int64_t{1} << depth);
        return {static_cast<Index>(place * spots >> depth),
                static_cast<Index>((place + 1) * spots >> depth)};
    }

    const Box<D>& box(Index node) const { return boxes_[node]; }

    // Coordinates of a leaf's spots along an axis, infinite where it has fewer than fit into it.
    const Gaps& along(std::size_t axis, Index leaf) const { return along_[axis][leaf - leaves]; }

    Box<D> place(const Site& site) const {
        Box<D> box;
        for (std::size_t d = 0; d < D; ++d) box.low[d] = box.high[d] = along(d, site.leaf)[site.lane];
        return box;
    }

    // Distances of a leaf's spots from a place.
    template <class N>
    Gaps measure(const Box<D>& from, Index leaf, const N& norm) const {
        Gaps gaps;
        for (int i = 0; i < leaf_size; ++i) {
            std::array<double, D> difference;
            for (std::size_t d = 0; d < D; ++d) difference[d] = along(d, leaf)[i] - from.low[d];
            gaps[i] = norm(difference);
        }
        return gaps;
    }

    // Leaves below a node that may hold spots within `limit` of a box.
    template <class N>
    void find_leaves(Index node, const Box<D>& from, double limit, const N& norm,
                     std::vector<Index>& found) const {
        if (norm(box(node).nearest(from)) > limit * rounding) return;
        if (node >= leaves) return found.push_back(node);
        find_leaves(2 * node, from, limit, norm, found);
        find_leaves(2 * node + 1, from, limit, norm, found);
    }

  private:
    struct Spot {
        std::array<double, D> at;
        Index number;
    };

    // Put the spots of a node on either side of their median along the widest side of its box.
    void halve(std::vector<Spot>& sorted, Index node) {
        const Box<D>& box = boxes_[node];
        std::size_t widest = 0;
        for (std::size_t d = 1; d < D; ++d) {
            if (box.high[d] - box.low[d] > box.high[widest] - box.low[widest]) widest = d;
        }
        const auto [first, last] = range(node);
        const auto middle = sorted.begin() + range(2 * node).second;
        std::nth_element(sorted.begin() + first, middle, sorted.begin() + last,
                         [widest](const Spot& one, const Spot& other) {
                             return one.at[widest] < other.at[widest];
                         });
        boxes_[2 * node] = boxes_[2 * node + 1] = box;
        boxes_[2 * node].high[widest] = boxes_[2 * node + 1].low[widest] = middle->at[widest];
    }

    // Halve what is below a node; boxes then shrink to the spots that they hold.
    void build(const std::vector<Spot>& sorted, Index leaf) {
        const auto [first, last] = range(leaf);
        boxes_[leaf] = {sorted[first].at, sorted[first].at};
        for (std::size_t d = 0; d < D; ++d) along_[d][leaf - leaves].fill(infinity);
        for (Index i = first; i < last; ++i) {
            boxes_[leaf].take_in({sorted[i].at, sorted[i].at});
            for (std::size_t d = 0; d < D; ++d) along_[d][leaf - leaves][i - first] = sorted[i].at[d];
            number[i] = sorted[i].number;
        }
    }

    void build(std::vector<Spot>& sorted, Index node, const Control& control) {
        if (node >= leaves) return build(sorted, node);
        control.check();
        halve(sorted, node);
        build(sorted, 2 * node, control);
        build(sorted, 2 * node + 1, control);
        unite(node);
    }

    void unite(Index node) {
        boxes_[node] = boxes_[2 * node];
        boxes_[node].take_in(boxes_[2 * node + 1]);
    }

    std::vector<Box<D>> boxes_;
    std::array<std::vector<Gaps>, D> along_;
};

// All spots within some distance of one: first look around, then ask for each.
template <std::size_t D, class N>
struct Within {
    const Tree<D>& tree;
    const N norm;
    std::vector<Index> near{};
    Index leaf = 0;

    void look_around(const Box<D>& from, double limit) {
        near.clear();
        tree.find_leaves(1, from, limit, norm, near);
    }

    // Call `take(other, gap)` for all within `limit` of a site, other than itself.
    template <class Take>
    void each(const Site& site, double limit, Take&& take) const {
        const Box<D> from = tree.place(site);
        for (const Index node : near) {
            const auto [first, last] = tree.range(node);
            const Gaps gaps = tree.measure(from, node, norm);
            // Few are taken, and which cannot be foretold: no branch for each.
            std::array<int, leaf_size> taken;
            int held = 0;
            for (int i = 0; i < last - first; ++i) {
                taken[held] = i;
                held += int(gaps[i] <= limit) & int(first + i != site.spot);
            }
            for (int i = 0; i < held; ++i) take(first + taken[i], gaps[taken[i]]);
        }
    }
};

// The nearest of all spots of a leaf at once, one in each lane.
template <std::size_t D>
struct Ranking {
    const Tree<D>& tree;

    // Squared distances of the nearest: the spot itself first, and one more than are asked for, to see
    // whether the last has an equal.
    std::vector<Gaps> ranked;

    // Spots that were among the nearest of any lane when they were looked at.
    std::vector<Index> seen{};
    std::vector<Gaps> gaps{};

    std::array<Lanes, D> at{};

    void search(Index leaf) {
        for (auto& each : ranked) each.fill(infinity);
        seen.clear();
        gaps.clear();
        for (std::size_t d = 0; d < D; ++d) at[d] = Lanes::load(tree.along(d, leaf).data());
        rank(leaf);
        for (Index node = leaf; node > 1; node /= 2) descend(node ^ 1, to_box(node ^ 1));
    }

    Lanes to_box(Index node) const {
        const Box<D>& box = tree.box(node);
        Lanes gap = Lanes::all(0);
        for (std::size_t d = 0; d < D; ++d) {
            const Lanes below = Lanes::all(box.low[d]) - at[d], above = at[d] - Lanes::all(box.high[d]);
            const Lanes along = below.larger(above).larger(Lanes::all(0));
            gap += along * along;
        }
        return gap;
    }

    void descend(Index node, const Lanes& gap) {
        if (!gap.any_below(Lanes::load(ranked.back().data()))) return;
        if (node >= tree.leaves) return rank(node);
        const Lanes left = to_box(2 * node), right = to_box(2 * node + 1);
        const bool swapped = right.head[0] < left.head[0];
        descend(2 * node + swapped, swapped ? right : left);
        descend(2 * node + !swapped, swapped ? left : right);
    }

    void rank(Index leaf) {
        const auto [first, last] = tree.range(leaf);
        for (Index spot = first; spot < last; ++spot) {
            Lanes gap = Lanes::all(0);
            for (std::size_t d = 0; d < D; ++d) {
                const Lanes along = at[d] - Lanes::all(tree.along(d, leaf)[spot - first]);
                gap += along * along;
            }
            Lanes here = Lanes::load(ranked.back().data());
            if (!gap.any_below(here)) continue;
            seen.push_back(spot);
            gap.store(gaps.emplace_back().data());
            for (auto place = ranked.size() - 1; place > 0; --place) {
                const Lanes before = Lanes::load(ranked[place - 1].data());
                here.smaller(before.larger(gap)).store(ranked[place].data());
                here = before;
            }
            here.smaller(gap).store(ranked[0].data());
        }
    }
};

// The lists of all spots, and how far each reaches: a spot has in its list all others whose squared
// distance is at most its reach.
template <std::size_t D>
struct Lists {
    const Tree<D>& tree;
    const std::size_t stride;  // a place more than are taken: it is written to and not counted
    std::unique_ptr<Index[]> spots;
    std::unique_ptr<double[]> gaps;
    std::vector<Index> counts;
    std::vector<double> reach;

    Lists(const Tree<D>& among, const NearestRule& rule, const Control& control)
        : tree(among),
          stride(rule.most + std::size_t{1}),
          spots(std::make_unique_for_overwrite<Index[]>(tree.spots * stride)),
          gaps(std::make_unique_for_overwrite<double[]>(tree.spots * stride)),
          counts(tree.spots),
          reach(tree.spots) {
        parallel(tree.leaves, searching * tree.spots, [&](std::int64_t start, std::int64_t stop) {
            Ranking<D> ranking{tree, std::vector<Gaps>(stride + 1)};
            for (; start < stop; ++start) {
                control.check();
                const Index leaf = tree.leaves + static_cast<Index>(start);
                ranking.search(leaf);
                const auto [first, last] = tree.range(leaf);
                for (Index spot = first; spot < last; ++spot) keep(spot, spot - first, ranking, rule);
            }
        });
    }

    bool has(Index spot, double gap) const { return gap <= reach[spot]; }

    // Call `take(other, gap)` for the list of a spot.
    template <class Take>
    void each(const Site& site, Within<D, Euclidean>& within, Take&& take) const {
        if (counts[site.spot] == crowded) {
            within.look_around(tree.place(site), reach[site.spot]);
            return within.each(site, reach[site.spot], take);
        }
        const auto begin = site.spot * stride, end = begin + counts[site.spot];
        for (auto e = begin; e < end; ++e) take(spots[e], gaps[e]);
    }

  private:
    void keep(Index spot, int lane, const Ranking<D>& ranking, const NearestRule& rule) {
        const auto distance = [&](Index place) { return std::sqrt(ranking.ranked[place][lane]); };
        // All nearer than the first that is not taken; all are taken where there is none.
        const double bound = distance(rule.most + 1) * (1 - rule.relative) - rule.absolute;
        Index held = rule.most;
        while (held > 0 && !(distance(held) < bound)) --held;
        if (held == 0) {
            const double farthest = (distance(1) + rule.absolute) / (1 - rule.relative);
            counts[spot] = crowded;
            reach[spot] = farthest * farthest;
            return;
        }
        counts[spot] = held;
        reach[spot] = ranking.ranked[held][lane];
        auto at = spot * stride;
        for (std::size_t e = 0; e < ranking.seen.size(); ++e) {
            spots[at] = ranking.seen[e];
            gaps[at] = ranking.gaps[e][lane];
            at += int(gaps[at] <= reach[spot]) & int(spots[at] != spot);
        }
    }
};

using Entry = std::pair<Index, double>;

// The spots that have a spot in their lists, without being in its own.
struct Listers {
    std::vector<Index> ends;
    std::vector<Entry> entries;

    template <std::size_t D>
    Listers(const Lists<D>& lists, Within<D, Euclidean> within, const Control& control)
        : ends(lists.tree.spots + 1) {
        const auto over_lists = [&](auto&& work) {
            for (Index leaf = lists.tree.leaves; leaf < 2 * lists.tree.leaves; ++leaf) {
                control.check();
                const auto [first, last] = lists.tree.range(leaf);
                for (Index spot = first; spot < last; ++spot) {
                    lists.each({spot, leaf, spot - first}, within, [&](Index other, double gap) {
                        if (!lists.has(other, gap)) work(other, Entry(spot, gap));
                    });
                }
            }
        };
        over_lists([&](Index other, const Entry&) { ++ends[other + 1]; });
        std::partial_sum(ends.begin(), ends.end(), ends.begin());
        entries.resize(ends.back());
        // While they are laid down, the end of the spot before is the next free place.
        over_lists([&](Index other, const Entry& entry) { entries[ends[other]++] = entry; });
    }

    template <class Take>
    void each(Index spot, Take&& take) const {
        for (Index e = spot > 0 ? ends[spot - 1] : 0; e < ends[spot]; ++e) {
            take(entries[e].first, entries[e].second);
        }
    }
};

Refused too_many(double edges) { return Refused(std::to_string(std::llround(edges)) + " edges"); }

// Refuse, by a sample, what would have too many edges: all pairs within `limit_of(spot)`.
template <std::size_t D, class N, class Limit>
void refuse_too_many(Within<D, N> within, std::int64_t most_edges, const Control& control,
                     Limit limit_of) {
    const Tree<D>& tree = within.tree;
    const Index step = std::max(1, tree.leaves / 500);
    const double in_all = static_cast<double>(tree.spots) / ((tree.leaves + step - 1) / step);
    std::int64_t counted = 0;
    for (Index leaf = tree.leaves; leaf < 2 * tree.leaves; leaf += step) {
        control.check();
        const Site site{tree.range(leaf).first, leaf, 0};
        const double limit = limit_of(site.spot);
        within.look_around(tree.place(site), limit);
        within.each(site, limit, [&](Index, double) { ++counted; });
        if (counted * in_all > static_cast<double>(most_edges)) throw too_many(counted * in_all);
    }
}

// A matrix in the caller's numbering. `row(site, within, take)` calls `take(other, gap)` for the
// entries of a row. They are found leaf by leaf, and moved once the lengths of all rows are known.
template <std::size_t D, class N, class Row>
NeighbourRows assemble(const Within<D, N>& within, double bandwidth, std::int64_t most_edges,
                       const Control& control, Row&& row) {
    const Tree<D>& tree = within.tree;
    NeighbourRows made;
    made.starts.resize(tree.spots + 1);
    std::vector<std::vector<Entry>> blocks(block_count(tree.leaves));
    std::atomic<std::int64_t> edges{0};
    // Call `work(own, block, first leaf, last)` for all blocks of leaves.
    const auto over_blocks = [&](const auto& scratch, auto&& work) {
        const std::int64_t operations = searching * tree.spots;
        parallel(block_count(tree.leaves), operations, [&](std::int64_t first, std::int64_t last) {
            auto own = scratch;
            for (; first < last; ++first) {
                control.check();
                const auto start = tree.leaves + static_cast<Index>(first * block_rows);
                const auto stop = std::min<Index>(start + block_rows, 2 * tree.leaves);
                work(own, blocks[first], start, stop);
            }
        });
    };
    const auto empty = std::pair(within, std::vector<Entry>());
    over_blocks(empty, [&](auto& own, auto& block, Index leaf, Index stop) {
        auto& entries = own.second;
        entries.clear();
        for (; leaf < stop; ++leaf) {
            control.check();
            const auto [first, last] = tree.range(leaf);
            for (Index spot = first; spot < last; ++spot) {
                const auto before = static_cast<std::ptrdiff_t>(entries.size());
                row(Site{spot, leaf, spot - first}, own.first, [&](Index other, double gap) {
                    entries.emplace_back(tree.number[other], gap);
                });
                std::sort(entries.begin() + before, entries.end(),
                          [](const Entry& one, const Entry& other) { return one.first < other.first; });
                made.starts[tree.number[spot]] = static_cast<Index>(entries.size() - before);
            }
        }
        edges += static_cast<std::int64_t>(entries.size());
        if (edges > most_edges) throw too_many(static_cast<double>(edges));
        block = entries;
    });
    std::exclusive_scan(made.starts.begin(), made.starts.end(), made.starts.begin(), Index{0});
    made.columns = std::make_unique_for_overwrite<Index[]>(edges);
    made.distances = std::make_unique_for_overwrite<double[]>(edges);
    made.weights = std::make_unique_for_overwrite<double[]>(edges);
    over_blocks(0, [&](int, auto& block, Index leaf, Index stop) {
        auto entry = block.begin();
        for (Index spot = tree.range(leaf).first; spot < tree.range(stop - 1).second; ++spot) {
            const Index number = tree.number[spot];
            for (Index at = made.starts[number]; at < made.starts[number + 1]; ++at, ++entry) {
                const double distance = within.norm.to_distance(entry->second);
                const double scaled = distance / bandwidth;
                made.columns[at] = entry->first;
                made.distances[at] = distance;
                made.weights[at] = bandwidth > 0 ? std::exp(-0.5 * scaled * scaled) : 1.0;
            }
        }
        std::vector<Entry>().swap(block);
    });
    return made;
}

template <std::size_t D>
NeighbourRows nearest(const Positions& positions, const NearestRule& rule, std::int64_t most_edges,
                      const Control& control) {
    const Tree<D> tree(positions, control);
    const Lists<D> lists(tree, rule, control);
    const Within<D, Euclidean> within{tree, {}};
    refuse_too_many(within, most_edges, control, [&](Index spot) {
        return lists.counts[spot] == crowded ? lists.reach[spot] : -1.0;
    });
    const auto make = [&](auto&& row) { return assemble(within, 0.0, 2 * most_edges, control, row); };
    if (rule.mutual) {
        return make([&](const Site& site, auto& own, auto&& take) {
            lists.each(site, own, [&](Index other, double gap) {
                if (lists.has(other, gap)) take(other, gap);
            });
        });
    }
    const Listers listers(lists, within, control);
    return make([&](const Site& site, auto& own, auto&& take) {
        lists.each(site, own, take);
        listers.each(site.spot, take);
    });
}

template <std::size_t D, class N>
NeighbourRows band(const Positions& positions, const BandRule& rule, const N& norm,
                   std::int64_t most_edges, const Control& control) {
    const Tree<D> tree(positions, control);
    const double limit = norm.from_distance(rule.radius);
    const Within<D, N> start{tree, norm};
    refuse_too_many(start, most_edges, control, [limit](Index) { return limit; });
    return assemble(start, rule.bandwidth, most_edges, control,
                    [&](const Site& site, Within<D, N>& within, auto&& take) {
                        if (site.leaf != within.leaf) within.look_around(tree.box(site.leaf), limit);
                        within.leaf = site.leaf;
                        within.each(site, limit, take);
                    });
}

template <std::size_t D>
NeighbourRows band(const Positions& positions, const BandRule& rule, std::int64_t most_edges,
                   const Control& control) {
    if (rule.order == 2) return band<D>(positions, rule, Norm<2>{}, most_edges, control);
    if (rule.order == 1) return band<D>(positions, rule, Norm<1>{}, most_edges, control);
    if (rule.order == infinity) return band<D>(positions, rule, Norm<0>{}, most_edges, control);
    return band<D>(positions, rule, Norm<-1>{rule.order}, most_edges, control);
}

}  // namespace

NeighbourRows nearest_neighbours(const Positions& positions, const NearestRule& rule,
                                 std::int64_t most_edges, const Control& control) {
    return positions.dimensions == 2 ? nearest<2>(positions, rule, most_edges, control)
                                     : nearest<3>(positions, rule, most_edges, control);
}

NeighbourRows neighbours_within(const Positions& positions, const BandRule& rule,
                                std::int64_t most_edges, const Control& control) {
    return positions.dimensions == 2 ? band<2>(positions, rule, most_edges, control)
                                     : band<3>(positions, rule, most_edges, control);
}

}  // namespace core
