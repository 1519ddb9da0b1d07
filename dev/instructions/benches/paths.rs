//! `cargo bench` here needs Valgrind and `gungraun-runner`; `ci/instructions` has both installed.
//!
//! Objects are made outside of the count, and handed back, so that their end is outside of it too.

use gungraun::{library_benchmark, library_benchmark_group, main};
use os_thread_local_instructions::{by_call, direct};
use std::hint::black_box;

// A static, whose value is there.
#[library_benchmark]
#[bench::of(by_call::used(1))]
fn with_static(objects: Vec<by_call::Object>) -> Vec<by_call::Object> {
    black_box(by_call::of_a_static());
    objects
}

// An object with a low slot number.
#[library_benchmark]
#[bench::of(by_call::used(1))]
fn with_object(objects: Vec<by_call::Object>) -> Vec<by_call::Object> {
    black_box(by_call::through_an_object(&objects[0]));
    objects
}

// 100 objects, most with a slot number beyond the inline entries.
#[library_benchmark]
#[bench::of(by_call::used(100))]
fn with_100_objects(objects: Vec<by_call::Object>) -> Vec<by_call::Object> {
    by_call::through_all(&objects);
    objects
}

// The first use of 100 objects in a thread that has used others.
#[library_benchmark]
#[bench::of(by_call::prepared(100))]
fn first_use_of_100(objects: Vec<by_call::Object>) -> Vec<by_call::Object> {
    by_call::through_all(&objects);
    objects
}

// The life of an object.
#[library_benchmark]
#[bench::of(by_call::used(1))]
fn create_use_drop(objects: Vec<by_call::Object>) -> Vec<by_call::Object> {
    by_call::create_use_drop();
    objects
}

#[library_benchmark]
#[bench::of(direct::used(1))]
fn direct_with_static(objects: Vec<direct::Object>) -> Vec<direct::Object> {
    black_box(direct::of_a_static());
    objects
}

#[library_benchmark]
#[bench::of(direct::used(1))]
fn direct_with_object(objects: Vec<direct::Object>) -> Vec<direct::Object> {
    black_box(direct::through_an_object(&objects[0]));
    objects
}

#[library_benchmark]
#[bench::of(direct::used(100))]
fn direct_with_100_objects(objects: Vec<direct::Object>) -> Vec<direct::Object> {
    direct::through_all(&objects);
    objects
}

#[library_benchmark]
#[bench::of(direct::prepared(100))]
fn direct_first_use_of_100(objects: Vec<direct::Object>) -> Vec<direct::Object> {
    direct::through_all(&objects);
    objects
}

#[library_benchmark]
#[bench::of(direct::used(1))]
fn direct_create_use_drop(objects: Vec<direct::Object>) -> Vec<direct::Object> {
    direct::create_use_drop();
    objects
}

// The same static through the constant that the macro declares; and other methods of the hot path.
#[library_benchmark]
#[bench::of(by_call::statics())]
fn with_local_key(objects: Vec<by_call::Object>) -> Vec<by_call::Object> {
    black_box(by_call::of_a_local_key());
    objects
}

#[library_benchmark]
#[bench::of(by_call::statics())]
fn with_existing(objects: Vec<by_call::Object>) -> Vec<by_call::Object> {
    black_box(by_call::existing_of_a_static());
    objects
}

#[library_benchmark]
#[bench::of(by_call::statics())]
fn set(objects: Vec<by_call::Object>) -> Vec<by_call::Object> {
    by_call::set_a_static(black_box(2));
    objects
}

#[library_benchmark]
#[bench::of(direct::statics())]
fn direct_with_local_key(objects: Vec<direct::Object>) -> Vec<direct::Object> {
    black_box(direct::of_a_local_key());
    objects
}

#[library_benchmark]
#[bench::of(direct::statics())]
fn direct_with_existing(objects: Vec<direct::Object>) -> Vec<direct::Object> {
    black_box(direct::existing_of_a_static());
    objects
}

#[library_benchmark]
#[bench::of(direct::statics())]
fn direct_set(objects: Vec<direct::Object>) -> Vec<direct::Object> {
    direct::set_a_static(black_box(2));
    objects
}

library_benchmark_group!(
    name = call,
    benchmarks = [
        with_static,
        with_object,
        with_100_objects,
        first_use_of_100,
        create_use_drop,
        with_local_key,
        with_existing,
        set
    ]
);
library_benchmark_group!(
    name = direct_read,
    benchmarks = [
        direct_with_static,
        direct_with_object,
        direct_with_100_objects,
        direct_first_use_of_100,
        direct_create_use_drop,
        direct_with_local_key,
        direct_with_existing,
        direct_set
    ]
);
main!(library_benchmark_groups = [call, direct_read]);
