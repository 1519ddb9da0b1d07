//! Counting in many threads: `cargo bench --bench counters`. One `AtomicU64` for all beside a counter per thread, and what
//! it costs to ask for the sum. The sum is checked after every round.
//!
//! A complete run writes `docs/COUNTERS.md` and `docs/counters.svg`; `BENCH_OUT=folder` writes elsewhere.

use os_thread_local_benches::peers::{ATOMIC, DIRECT, NOTHING, OURS, THREAD_LOCAL};
use os_thread_local_benches::report;
use os_thread_local_benches::rounds::{time, Effort, Scenario};
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

/// Of each thread in one iteration of a row: enough for the threads to run beside each other, and for their start not to
/// count.
const INCREMENTS: u64 = 500_000;

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

impl Counter for os_thread_local_direct::PerThread<AtomicU64> {
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

/// The processor time of this thread: what else the machine does is not in it, waiting for a contended cache line is.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a `timespec`.
    let status = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(status, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Lets threads count, and says how much processor time it took all of them.
fn count_in_threads(counter: &impl Counter, threads: u64, iterations: u64) -> Duration {
    let start = Barrier::new(threads as usize);
    thread::scope(|s| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                s.spawn(|| {
                    counter.count(1); // the first use in this thread
                    start.wait();
                    let begin = processor_time();
                    counter.count(iterations);
                    processor_time() - begin
                })
            })
            .collect();
        // To the very end, so that the next round's threads take the counters over.
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    })
}

fn row<C: Counter>(scenario: &mut Scenario, name: &'static str, threads: u64) {
    let counter = C::default();
    let mut expected = 0;
    scenario.row(name, move |iterations| {
        let increments = iterations * INCREMENTS;
        let time = count_in_threads(&counter, threads, increments);
        expected += threads * (increments + 1);
        assert_eq!(counter.sum(), expected, "{name} has lost count");
        time
    });
}

fn counting(threads: u64) -> Scenario {
    let title = format!("count, {threads} thread{}", if threads == 1 { "" } else { "s" });
    let operations = (threads * INCREMENTS) as usize;
    let mut scenario = Scenario::new(format!("counters/{threads}"), title, operations)
        .rounds(21, Duration::from_millis(1))
        .by_median();
    row::<os_thread_local::PerThread<AtomicU64>>(&mut scenario, OURS, threads);
    row::<os_thread_local_direct::PerThread<AtomicU64>>(&mut scenario, DIRECT, threads);
    row::<thread_local::ThreadLocal<AtomicU64>>(&mut scenario, THREAD_LOCAL, threads);
    row::<One>(&mut scenario, ATOMIC, threads);
    row::<Variable>(&mut scenario, NOTHING, threads);
    scenario
}

fn sum_row<C: Counter>(scenario: &mut Scenario, name: &'static str, threads: u64) {
    let counter = C::default();
    count_in_threads(&counter, threads, 1);
    scenario.row(name, move |iterations| {
        assert_eq!(counter.sum(), 2 * threads);
        time(iterations, || {
            black_box(black_box(&counter).sum());
        })
    });
}

fn summing(threads: u64) -> Scenario {
    let title = format!("ask for the sum of {threads}");
    let mut scenario = Scenario::new(format!("counters/sum/{threads}"), title, 1);
    sum_row::<os_thread_local::PerThread<AtomicU64>>(&mut scenario, OURS, threads);
    sum_row::<os_thread_local_direct::PerThread<AtomicU64>>(&mut scenario, DIRECT, threads);
    sum_row::<thread_local::ThreadLocal<AtomicU64>>(&mut scenario, THREAD_LOCAL, threads);
    sum_row::<One>(&mut scenario, ATOMIC, threads);
    scenario
}

fn main() {
    let smoke =
        std::env::args().any(|arg| arg == "--test") || std::env::var_os("BENCH_SMOKE").is_some();
    let effort = if smoke { Effort::Smoke } else { Effort::Full };
    let mut scenarios: Vec<_> = [1, 2, 4, 8].map(counting).into();
    scenarios.push(summing(8));
    scenarios.push(summing(100));
    for scenario in &mut scenarios {
        scenario.measure(effort);
    }

    let folder = std::env::var_os("BENCH_OUT").map(PathBuf::from);
    if effort == Effort::Full || folder.is_some() {
        let folder = folder
            .unwrap_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs")));
        let body = format!(
            "Measured on: {}.\n\n{}\nAs ratios, ours (default features) to each peer; below 1 we are quicker:\n\n{}",
            report::machine(),
            report::table(&scenarios),
            report::ratios(&scenarios),
        );
        std::fs::create_dir_all(&folder).expect("the folder can be made");
        report::replace_section(&folder.join("COUNTERS.md"), "results", &body)
            .expect("the folder can be written");
        report::chart(&folder.join("counters.svg"), &scenarios.iter().collect::<Vec<_>>())
            .expect("the folder can be written");
        print!("{body}");
        println!("written: {0}/COUNTERS.md, {0}/counters.svg", folder.display());
    } else {
        println!("every row ran and kept count; nothing written: a smoke run");
    }
}
