// The core's own threads: they wait for a piece of work, and no number depends on how many there are.
//
// Work is cut into blocks of a fixed size, and sums are kept by block and added in the order of the
// blocks. Which thread takes which block therefore changes nothing in any bit.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "control.hpp"

namespace core {

// Rows a block: what one thread does at a time.
inline constexpr std::int64_t block_rows = 128;

inline std::int64_t block_count(std::int64_t rows) { return (rows + block_rows - 1) / block_rows; }

// Number of threads that a job may use, the calling one among them.
int thread_count();
void set_thread_count(int threads);

using Piece = void (*)(void* context, std::int64_t first, std::int64_t last);

// Call `piece` on ranges that cover 0 .. items, on as many threads as are free. An exception in any
// of them is thrown again here, once all have ended.
void share_out(std::int64_t items, Piece piece, void* context);

// Operations, roughly, below which handing over costs more than it saves.
inline constexpr std::int64_t worth_sharing = 60'000;

// Operations, roughly, between two looks at whether the job was cancelled: less than a millisecond.
inline constexpr std::int64_t looked_after = 1'000'000;

// Call `work(first, last)` on ranges that cover 0 .. items; `operations` says how much there is to do.
// Whatever is shared out is polled here for a cancel.
template <class Work>
void parallel(std::int64_t items, std::int64_t operations, Work&& work) {
    if (items <= 0) return;
    const std::int64_t at_once = std::max<std::int64_t>(1, items * looked_after / std::max(operations, looked_after));
    auto polled = [&, job = present_job](std::int64_t first, std::int64_t last) {
        for (; first < last; first += at_once) {
            if (job) job->check();
            work(first, std::min(first + at_once, last));
        }
    };
    if (items < 2 || operations < worth_sharing) {
        polled(std::int64_t{0}, items);
        return;
    }
    share_out(
        items,
        [](void* context, std::int64_t first, std::int64_t last) {
            (*static_cast<decltype(polled)*>(context))(first, last);
        },
        &polled);
}

// Call `work(start, stop)` for blocks of rows.
template <class Work>
void over_rows(std::int64_t rows, std::int64_t operations, Work&& work) {
    parallel(block_count(rows), operations, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t block = first; block < last; ++block) {
            work(block * block_rows, std::min((block + 1) * block_rows, rows));
        }
    });
}

// The same for work that returns `std::array<double, N>` for a block: their sums, in order.
template <std::size_t N, class Work>
std::array<double, N> sum_over_rows(std::int64_t rows, std::int64_t operations, Work&& work) {
    std::vector<std::array<double, N>> parts(static_cast<std::size_t>(block_count(rows)));
    over_rows(rows, operations, [&](std::int64_t start, std::int64_t stop) {
        parts[static_cast<std::size_t>(start / block_rows)] = work(start, stop);
    });
    std::array<double, N> total{};
    for (const auto& part : parts) {
        for (std::size_t i = 0; i < N; ++i) total[i] += part[i];
    }
    return total;
}

}  // namespace core
