// C++ `thread_local` with a destructor. The loops are here, so that no row pays for a call into another language.
#include "value.hpp"

static thread_local Value value;

extern "C" void cpp_static_loop(std::uint64_t iterations) {
    for (std::uint64_t i = 0; i < iterations; ++i) black_box(value.number);
}

extern "C" __attribute__((noinline)) std::uint64_t cpp_static_access() { return value.number; }
