// A sparse symmetric matrix Q as a graph: what couples neighbours, and the sums of its rows.
//
// Q is applied to differences between neighbours and, by the sums of its rows, to the values
// themselves: (Q b)_i = surplus_i b_i + sum_j q_ij (b_j - b_i). A stiff prior on nearly constant
// values then leaves little rounding. Its diagonal appears in the sums only.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

namespace core {

template <class T>
struct GraphView {
    const std::int32_t* pointers;
    const std::int32_t* neighbours;
    const T* entries;
    const T* surplus;
    int each;
};

struct Graph {
    std::int64_t rows = 0;
    // Numbers an entry: 1, or one for each (padded) type where every type has a Q of its own.
    int each = 1;
    std::vector<std::int32_t> pointers, neighbours;
    std::vector<double> entries, surplus, diagonal;
    std::vector<float> entries_single, surplus_single;

    Graph() = default;

    // Rows without their diagonal, columns ascending, and the diagonal.
    Graph(std::span<const std::int32_t> row_pointers, std::span<const std::int32_t> columns,
          std::span<const double> values, std::span<const double> own, int numbers = 1)
        : rows(static_cast<std::int64_t>(row_pointers.size()) - 1),
          each(numbers),
          pointers(row_pointers.begin(), row_pointers.end()),
          neighbours(columns.begin(), columns.end()),
          entries(values.begin(), values.end()),
          surplus(own.begin(), own.end()),
          diagonal(own.begin(), own.end()) {
        for (std::int64_t row = 0; row < rows; ++row) {
            const int count = pointers[row + 1] - pointers[row];
            for (int k = 0; k < each; ++k) {
                double& sum = surplus[row * each + k];
                for (auto place = pointers[row]; place < pointers[row + 1]; ++place) {
                    sum += entries[static_cast<std::size_t>(place) * each + k];
                }
                // Exactly zero where only rounding is left of an intrinsic prior.
                if (std::abs(sum) <= 1e-14 * (count + 1) * diagonal[row * each + k]) sum = 0;
            }
        }
        entries_single.assign(entries.begin(), entries.end());
        surplus_single.assign(surplus.begin(), surplus.end());
    }

    template <class T>
    GraphView<T> view() const;
};

template <>
inline GraphView<double> Graph::view<double>() const {
    return {pointers.data(), neighbours.data(), entries.data(), surplus.data(), each};
}

template <>
inline GraphView<float> Graph::view<float>() const {
    return {pointers.data(), neighbours.data(), entries_single.data(), surplus_single.data(), each};
}

}  // namespace core
