// boost::thread_specific_ptr, as a static and as many objects.
#include "value.hpp"
#include <boost/thread/tss.hpp>
#include <deque>

typedef boost::thread_specific_ptr<Value> Pointer;
typedef std::deque<Pointer> Objects;

static inline std::uint64_t get(Pointer& pointer) {
    Value* value = pointer.get();
    if (!value) {
        value = new Value;
        pointer.reset(value);
    }
    return value->number;
}

// Never destroyed: other threads may outlive `main`.
static Pointer& fixed() {
    static Pointer* pointer = new Pointer;
    return *pointer;
}

extern "C" void boost_static_loop(std::uint64_t iterations) {
    Pointer& pointer = fixed();
    for (std::uint64_t i = 0; i < iterations; ++i) black_box(get(pointer));
}

extern "C" __attribute__((noinline)) std::uint64_t boost_static_access() { return get(fixed()); }

extern "C" void boost_life() {
    Pointer pointer;
    black_box(get(pointer));
}

extern "C" void* boost_objects_new(std::uint64_t count) { return new Objects(count); }
extern "C" void boost_objects_drop(void* objects) { delete static_cast<Objects*>(objects); }

extern "C" void boost_objects_use(void* objects) {
    for (Pointer& pointer : *static_cast<Objects*>(objects)) black_box(get(pointer));
}

// One object, over and over.
extern "C" void boost_object_loop(void* objects, std::uint64_t iterations) {
    Pointer& pointer = static_cast<Objects*>(objects)->front();
    for (std::uint64_t i = 0; i < iterations; ++i) {
        black_box(get(pointer));
    }
}

extern "C" __attribute__((noinline)) std::uint64_t boost_object_access(void* objects) {
    return get(static_cast<Objects*>(objects)->front());
}
