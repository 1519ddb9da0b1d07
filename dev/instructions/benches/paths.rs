//! `cargo bench` here needs Valgrind and `gungraun-runner`; `ci/instructions` has both installed.
//!
//! Objects are made outside of the count, and handed back, so that their end is outside of it too.

use gungraun::{library_benchmark, library_benchmark_group, main};
use os_thread_local_instructions::{self as code, Object};
use std::hint::black_box;

// A static, whose value is there.
#[library_benchmark]
#[bench::of(code::used(1))]
fn with_static(objects: Vec<Object>) -> Vec<Object> {
    black_box(code::of_a_static());
    objects
}

// An object with a low slot number.
#[library_benchmark]
#[bench::of(code::used(1))]
fn with_object(objects: Vec<Object>) -> Vec<Object> {
    black_box(code::through_an_object(&objects[0]));
    objects
}

// 100 objects, most with a slot number beyond the inline entries.
#[library_benchmark]
#[bench::of(code::used(100))]
fn with_100_objects(objects: Vec<Object>) -> Vec<Object> {
    code::through_all(&objects);
    objects
}

// The first use of 100 objects in a thread that has used others.
#[library_benchmark]
#[bench::of(code::prepared(100))]
fn first_use_of_100(objects: Vec<Object>) -> Vec<Object> {
    code::through_all(&objects);
    objects
}

// The life of an object, one of the first that the thread creates: each gives its slot number back.
#[library_benchmark]
#[bench::of(code::used(1))]
fn first_create_use_drop(objects: Vec<Object>) -> Vec<Object> {
    code::create_use_drop();
    objects
}

// The life of a later object, with a cached slot number.
#[library_benchmark]
#[bench::of(code::seasoned())]
fn create_use_drop(objects: Vec<Object>) -> Vec<Object> {
    code::create_use_drop();
    objects
}

// The same static through the constant that the macro declares; and other methods of the hot path.
#[library_benchmark]
#[bench::of(code::statics())]
fn with_local_key(objects: Vec<Object>) -> Vec<Object> {
    black_box(code::of_a_local_key());
    objects
}

#[library_benchmark]
#[bench::of(code::statics())]
fn with_existing(objects: Vec<Object>) -> Vec<Object> {
    black_box(code::existing_of_a_static());
    objects
}

#[library_benchmark]
#[bench::of(code::statics())]
fn set(objects: Vec<Object>) -> Vec<Object> {
    code::set_a_static(black_box(2));
    objects
}

library_benchmark_group!(
    name = paths,
    benchmarks = [
        with_static,
        with_object,
        with_100_objects,
        first_use_of_100,
        first_create_use_drop,
        create_use_drop,
        with_local_key,
        with_existing,
        set
    ]
);
main!(library_benchmark_groups = [paths]);
