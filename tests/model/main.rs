//! The model test: random programs against a reference model. A failure prints its seed.
//!
//! `OS_THREAD_LOCAL_OPERATIONS` says how many operations in all, `OS_THREAD_LOCAL_SEED` where to begin (`ci/model`: 10 million).

#![cfg(feature = "alloc")]

mod machine;

use machine::{run, Census, Choices};
use std::env;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};

/// xorshift64*: enough for this, and the same everywhere.
struct Random(u64);

impl Choices for Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        ((self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % n as u64) as usize
    }
}

#[test]
fn random_programs_do_as_the_model() {
    let number = |name: &str, default: u64| {
        env::var(name).map_or(default, |n| n.replace('_', "").parse().unwrap())
    };
    let operations = number("OS_THREAD_LOCAL_OPERATIONS", 60_000);
    let first = number("OS_THREAD_LOCAL_SEED", 1);
    let mut total = Census::default();
    let mut seed = first;
    while total.operations < operations {
        // Programs of different lengths, so that some have few threads and objects, and others many.
        let length = (1_000 << (seed % 8)).min(operations);
        // And some that make the tables of threads grow more than once.
        let objects = if seed % 4 == 3 { 300 } else { 48 };
        let mut random = Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        let census = match catch_unwind(AssertUnwindSafe(|| run(&mut random, length, objects))) {
            Ok(census) => census,
            Err(panic) => {
                eprintln!("OS_THREAD_LOCAL_SEED={} OS_THREAD_LOCAL_OPERATIONS={}", seed, length);
                resume_unwind(panic);
            }
        };
        total.operations += census.operations;
        total.born += census.born;
        total.made += census.made;
        total.died += census.died;
        total.refused += census.refused;
        total.panicked += census.panicked;
        total.threads += census.threads;
        total.objects += census.objects;
        seed += 1;
    }
    println!("seeds {} to {}: {}", first, seed - 1, total);
    assert!(total.refused > 0 && total.panicked > 0 && total.born == total.died);
}
