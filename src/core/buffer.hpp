// Arrays of the core: memory that is written before it is read, and rows padded to whole registers.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "lanes.hpp"
#include "pool.hpp"

namespace core {

// Large arrays lie on large pages where the system has them: pages are touched for the first time in
// every solve, which took a tenth of it.
struct Aligned {
    static constexpr std::size_t line = 64, page = std::size_t{1} << 21;
    std::align_val_t alignment{line};

    static void* allocate(std::size_t bytes, Aligned& how) {
        if (bytes >= 2 * page) how.alignment = std::align_val_t{page};
        void* memory = ::operator new(bytes, how.alignment);
#if defined(__linux__)
        if (bytes >= 2 * page) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
        return memory;
    }
    void operator()(void* memory) const { ::operator delete(memory, alignment); }
};

// So many values, not cleared: touching memory twice costs as much as working on it.
template <class T>
class Buffer {
  public:
    Buffer() = default;
    explicit Buffer(std::int64_t size) : size_(size) {
        Aligned how;
        void* memory = Aligned::allocate(static_cast<std::size_t>(size) * sizeof(T), how);
        data_ = std::unique_ptr<T[], Aligned>(static_cast<T*>(memory), how);
    }

    T* data() { return data_.get(); }
    const T* data() const { return data_.get(); }
    std::int64_t size() const { return size_; }
    T& operator[](std::int64_t i) { return data_[static_cast<std::size_t>(i)]; }
    const T& operator[](std::int64_t i) const { return data_[static_cast<std::size_t>(i)]; }
    T* begin() { return data(); }
    T* end() { return data() + size_; }
    const T* begin() const { return data(); }
    const T* end() const { return data() + size_; }
    void fill(T value) { std::fill(begin(), end(), value); }

  private:
    std::unique_ptr<T[], Aligned> data_;
    std::int64_t size_ = 0;
};

// Rows of `columns` values as rows of `padded(columns)`, zeros added; row i comes from `order[i]`.
template <class T, class S>
void pad_rows(const S* from, std::int64_t rows, int columns, const std::int32_t* order, T* to) {
    const int stride = padded(columns);
    over_rows(rows, rows * columns / 2, [&](std::int64_t start, std::int64_t stop) {
        for (std::int64_t row = start; row < stop; ++row) {
            const S* source = from + (order ? order[row] : row) * columns;
            T* target = to + row * stride;
            for (int k = 0; k < columns; ++k) target[k] = static_cast<T>(source[k]);
            for (int k = columns; k < stride; ++k) target[k] = T(0);
        }
    });
}

// The way back: padded row i goes to row `order[i]`.
template <class T, class S>
void unpad_rows(const S* from, std::int64_t rows, int columns, const std::int32_t* order, T* to) {
    const int stride = padded(columns);
    over_rows(rows, rows * columns / 2, [&](std::int64_t start, std::int64_t stop) {
        for (std::int64_t row = start; row < stop; ++row) {
            const S* source = from + row * stride;
            T* target = to + (order ? order[row] : row) * columns;
            for (int k = 0; k < columns; ++k) target[k] = static_cast<T>(source[k]);
        }
    });
}

// A square matrix with rows and columns padded.
template <class T, class S>
Buffer<T> pad_square(const S* from, int size) {
    const int stride = padded(size);
    Buffer<T> result(static_cast<std::int64_t>(stride) * stride);
    result.fill(T(0));
    for (int a = 0; a < size; ++a) {
        for (int b = 0; b < size; ++b) result[a * stride + b] = static_cast<T>(from[a * size + b]);
    }
    return result;
}

}  // namespace core
