#include "cpu.hpp"

#include <cstdint>

#if defined(__x86_64__) || defined(_M_X64)
#if defined(_WIN32)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace core {

#if defined(__x86_64__) || defined(_M_X64)
namespace {

struct Answer {
    std::uint32_t a = 0, b = 0, c = 0, d = 0;
};

Answer ask(std::uint32_t leaf, std::uint32_t part = 0) {
    Answer answer;
#if defined(_WIN32)
    int given[4];
    __cpuidex(given, static_cast<int>(leaf), static_cast<int>(part));
    answer = {static_cast<std::uint32_t>(given[0]), static_cast<std::uint32_t>(given[1]),
              static_cast<std::uint32_t>(given[2]), static_cast<std::uint32_t>(given[3])};
#else
    __get_cpuid_count(leaf, part, &answer.a, &answer.b, &answer.c, &answer.d);
#endif
    return answer;
}

// Registers that the operating system saves (XCR0).
std::uint64_t saved_state() {
#if defined(_WIN32)
    return _xgetbv(0);
#else
    std::uint32_t low = 0, high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
#endif
}

bool has(std::uint32_t word, std::initializer_list<int> bits) {
    for (const int bit : bits) {
        if (((word >> bit) & 1u) == 0) return false;
    }
    return true;
}

}  // namespace

std::string best_level() {
    const Answer basic = ask(1), extended = ask(0x80000001), more = ask(7);
    // SSE3, SSSE3, CX16, SSE4.1, SSE4.2, POPCNT; LAHF.
    if (!has(basic.c, {0, 9, 13, 19, 20, 23}) || !has(extended.c, {0})) return "x86_64_v1";
    // FMA, MOVBE, OSXSAVE, AVX, F16C; LZCNT; BMI1, AVX2, BMI2.
    const bool third = has(basic.c, {12, 22, 27, 28, 29}) && has(extended.c, {5}) &&
                       has(more.b, {3, 5, 8}) && (saved_state() & 0x6) == 0x6;
    if (!third) return "x86_64_v2";
    // AVX-512 F, DQ, CD, BW, VL.
    const bool fourth = has(more.b, {16, 17, 28, 30, 31}) && (saved_state() & 0xe6) == 0xe6;
    return fourth ? "x86_64_v4" : "x86_64_v3";
}
#else
std::string best_level() { return "arm64"; }
#endif

}  // namespace core
