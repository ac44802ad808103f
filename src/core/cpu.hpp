// What the processor offers, asked of the processor itself.
#pragma once

#include <string>

namespace core {

// The highest level of the x86-64 psABI that processor and operating system support
// ("x86_64_v1" to "x86_64_v4"), or "arm64".
std::string best_level();

}  // namespace core
