// Rows of a fixed number of values, kept in the vector registers of the processor.
//
// A loop over cell types is a loop over the registers of a `Row`: its length is known to the
// compiler, and no register is wider than what the instruction set of this build has (wider ones
// would be split through memory). Rows are multiples of four values; arrays are padded to that.
#pragma once

#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(_MSC_VER) && !defined(__clang__)
#error "Build with g++, clang or clang-cl: rows of values need their vector types"
#endif

#define INLINE inline __attribute__((always_inline))

namespace core {

#if defined(__AVX512F__)
inline constexpr int register_bytes = 64;
#elif defined(__AVX__)
inline constexpr int register_bytes = 32;
#else
inline constexpr int register_bytes = 16;
#endif

// Values a row is padded to a multiple of.
inline constexpr int row_unit = 4;

// Longest row that stays in registers; wider arrays are worked through in panels.
inline constexpr int widest_row = 32;

inline constexpr int padded(int values) { return (values + row_unit - 1) / row_unit * row_unit; }

template <class T, int N>
struct Register {
    typedef T type __attribute__((vector_size(N * sizeof(T))));
};

// Sum of the values of a register, by halves.
template <class T, int N>
INLINE T register_sum(typename Register<T, N>::type values) {
    if constexpr (N == 1) {
        return values[0];
    } else if constexpr (N == 2) {
        return values[0] + values[1];
    } else {
        using Half = typename Register<T, N / 2>::type;
        Half low, high;
        std::memcpy(&low, &values, sizeof(Half));
        std::memcpy(&high, reinterpret_cast<const char*>(&values) + sizeof(Half), sizeof(Half));
        return register_sum<T, N / 2>(low + high);
    }
}

// Values in the first register of a row of N.
template <class T, int N>
constexpr int head_size() {
    int size = register_bytes / static_cast<int>(sizeof(T));
    while (size > N) size /= 2;
    return size;
}

template <class T, int N>
struct Row {
    static constexpr int size = head_size<T, N>();
    using Head = typename Register<T, size>::type;

    Head head;
    Row<T, N - size> tail;

    static INLINE Row all(T value) {
        Head same = value - Head{};
        return {same, Row<T, N - size>::all(value)};
    }

    // From memory, in any precision (a mask of bytes among them).
    template <class S>
    static INLINE Row load(const S* from) {
        Row row;
        if constexpr (std::is_same_v<S, T>) {
            std::memcpy(&row.head, from, sizeof(Head));
        } else {
            typename Register<S, size>::type given;
            std::memcpy(&given, from, sizeof(given));
            row.head = __builtin_convertvector(given, Head);
        }
        row.tail = Row<T, N - size>::load(from + size);
        return row;
    }

    template <class S>
    INLINE void store(S* to) const {
        if constexpr (std::is_same_v<S, T>) {
            std::memcpy(to, &head, sizeof(Head));
        } else {
            auto given = __builtin_convertvector(head, typename Register<S, size>::type);
            std::memcpy(to, &given, sizeof(given));
        }
        tail.store(to + size);
    }

    INLINE Row operator+(const Row& other) const { return {head + other.head, tail + other.tail}; }
    INLINE Row operator-(const Row& other) const { return {head - other.head, tail - other.tail}; }
    INLINE Row operator*(const Row& other) const { return {head * other.head, tail * other.tail}; }
    INLINE Row operator/(const Row& other) const { return {head / other.head, tail / other.tail}; }
    INLINE Row operator*(T factor) const { return {head * factor, tail * factor}; }
    INLINE Row& operator+=(const Row& other) { return *this = *this + other; }
    INLINE Row& operator-=(const Row& other) { return *this = *this - other; }

    // The larger and the smaller of two values each.
    INLINE Row larger(const Row& other) const {
        return {head > other.head ? head : other.head, tail.larger(other.tail)};
    }
    INLINE Row smaller(const Row& other) const {
        return {head < other.head ? head : other.head, tail.smaller(other.tail)};
    }

    // 0 where `value` is at its bound and `slope` holds it there, else 1.
    static INLINE Row free(const Row& value, const Row& slope) {
        const Head zero{}, one = zero + T(1);
        return {((value.head <= zero) & (slope.head >= zero)) ? zero : one,
                Row<T, N - size>::free(value.tail, slope.tail)};
    }

    // Whether any value is less than the other's in its place.
    INLINE bool any_below(const Row& other) const {
        const auto below = head < other.head;
        auto any = below[0];
        for (int i = 1; i < size; ++i) any |= below[i];
        return (any != 0) | tail.any_below(other.tail);
    }

    INLINE T sum() const {
        if constexpr (N == size) {
            return register_sum<T, size>(head);
        } else {
            return register_sum<T, size>(head) + tail.sum();
        }
    }
};

template <class T>
struct Row<T, 0> {
    static INLINE Row all(T) { return {}; }
    template <class S>
    static INLINE Row load(const S*) { return {}; }
    template <class S>
    INLINE void store(S*) const {}
    INLINE Row operator+(const Row&) const { return {}; }
    INLINE Row operator-(const Row&) const { return {}; }
    INLINE Row operator*(const Row&) const { return {}; }
    INLINE Row operator/(const Row&) const { return {}; }
    INLINE Row operator*(T) const { return {}; }
    INLINE Row larger(const Row&) const { return {}; }
    INLINE Row smaller(const Row&) const { return {}; }
    static INLINE Row free(const Row&, const Row&) { return {}; }
    INLINE bool any_below(const Row&) const { return false; }
    INLINE T sum() const { return 0; }
};

// The same values in double.
template <class T, int N>
INLINE Row<double, N> to_double(const Row<T, N>& row) {
    if constexpr (std::is_same_v<T, double>) {
        return row;
    } else {
        T values[N];
        row.store(values);
        return Row<double, N>::load(values);
    }
}

template <int N>
using Width = std::integral_constant<int, N>;

// Call `work(Width<N>, begin)` for the panels that cover `columns` (a multiple of four).
template <class Work>
INLINE void over_panels(int columns, Work&& work) {
    for (int begin = 0; begin < columns; begin += widest_row) {
        switch (columns - begin < widest_row ? columns - begin : widest_row) {
            case 4: work(Width<4>{}, begin); break;
            case 8: work(Width<8>{}, begin); break;
            case 12: work(Width<12>{}, begin); break;
            case 16: work(Width<16>{}, begin); break;
            case 20: work(Width<20>{}, begin); break;
            case 24: work(Width<24>{}, begin); break;
            case 28: work(Width<28>{}, begin); break;
            default: work(Width<32>{}, begin); break;
        }
    }
}

}  // namespace core
