//! Counting in many threads. One `AtomicU64` for all beside a counter per thread, and what it costs to ask for the sum.
//! The sum is checked after every round.

use super::many;
use super::parallel::{together, undisturbed};
use crate::peers::{ATOMIC, NOTHING, OURS, THREAD_LOCAL};
use crate::rounds::{time, Scenario};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

pub fn scenarios() -> Vec<Scenario> {
    [1, 2, 4, 8].map(counting).into_iter().chain([8, 100].map(summing)).collect()
}

/// In one call: enough for the call not to count.
const INCREMENTS: u64 = 1_000;

/// Something that many threads can count with.
trait Counter: Default + Send + Sync + 'static {
    fn increment(&self);
    fn sum(&self) -> u64;

    /// Increments so often, in one thread.
    #[inline(never)]
    fn count(&self, iterations: u64) {
        let counter = black_box(self);
        for _ in 0..iterations {
            counter.increment();
        }
    }
}

#[derive(Default)]
struct One(AtomicU64);

impl Counter for One {
    #[inline(always)]
    fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn sum(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Only its own thread writes to a counter.
#[inline(always)]
fn increment_own(n: &AtomicU64) {
    n.store(n.load(Relaxed) + 1, Relaxed);
}

impl Counter for os_thread_local::PerThread<AtomicU64> {
    #[inline(always)]
    fn increment(&self) {
        self.with(increment_own);
    }

    fn sum(&self) -> u64 {
        self.iter().map(|n| n.load(Relaxed)).sum()
    }
}

impl Counter for thread_local::ThreadLocal<AtomicU64> {
    #[inline(always)]
    fn increment(&self) {
        increment_own(self.get_or_default());
    }

    fn sum(&self) -> u64 {
        self.iter().map(|n| n.load(Relaxed)).sum()
    }
}

/// What the loop costs: a variable on the stack, added to one for all in the end.
#[derive(Default)]
struct Variable(AtomicU64);

impl Counter for Variable {
    fn increment(&self) {
        unreachable!()
    }

    fn sum(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline(never)]
    fn count(&self, iterations: u64) {
        let mut n = 0;
        for _ in 0..iterations {
            n = black_box(n + 1);
        }
        self.0.fetch_add(n, Relaxed);
    }
}

fn row<C: Counter>(scenario: &mut Scenario, name: &'static str, threads: usize) {
    let counter = C::default();
    let mut expected = 0;
    scenario.row(name, move |iterations| {
        let turn = undisturbed(threads, || {
            let turn = together(threads, || counter.count(INCREMENTS));
            // Each thread counts once more, before the time begins.
            expected += (turn.runs + threads as u64) * INCREMENTS;
            assert_eq!(counter.sum(), expected, "{name} has lost count");
            turn
        });
        turn.used / (turn.runs * INCREMENTS) as f64 * iterations as f64
    });
}

fn counting(threads: usize) -> Scenario {
    let title = format!("count, {}", many(threads));
    let mut scenario = Scenario::new(format!("counters/{threads}"), title, 1)
        .rounds(16, Duration::from_millis(20))
        .uncalibrated()
        .unpinned();
    row::<os_thread_local::PerThread<AtomicU64>>(&mut scenario, OURS, threads);
    row::<thread_local::ThreadLocal<AtomicU64>>(&mut scenario, THREAD_LOCAL, threads);
    row::<One>(&mut scenario, ATOMIC, threads);
    row::<Variable>(&mut scenario, NOTHING, threads);
    scenario
}

fn sum_row<C: Counter>(scenario: &mut Scenario, name: &'static str, threads: usize) {
    let mut counter = None;
    scenario.row(name, move |iterations| {
        let counter = counter.get_or_insert_with(|| {
            let counter = C::default();
            let all_alive = Barrier::new(threads);
            thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        counter.count(1);
                        all_alive.wait();
                    });
                }
            });
            counter
        });
        assert_eq!(counter.sum(), threads as u64);
        time(iterations, || {
            black_box(black_box(&*counter).sum());
        })
    });
}

fn summing(threads: usize) -> Scenario {
    let title = format!("ask for the sum of {threads}");
    let mut scenario = Scenario::new(format!("counters/sum/{threads}"), title, 1);
    sum_row::<os_thread_local::PerThread<AtomicU64>>(&mut scenario, OURS, threads);
    sum_row::<thread_local::ThreadLocal<AtomicU64>>(&mut scenario, THREAD_LOCAL, threads);
    sum_row::<One>(&mut scenario, ATOMIC, threads);
    scenario
}
