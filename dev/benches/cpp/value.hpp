// The value of every C++ row: a word with a destructor that the optimizer cannot drop.
#pragma once
#include <cstdint>

// Tells the compiler that memory changed and that `value` was used: what Rust's `black_box` does.
template <class T> inline void black_box(T value) { asm volatile("" : : "r"(value) : "memory"); }

struct Value {
    std::uint64_t number;
    Value() : number(1) {}
    ~Value() { black_box(number); }
};
