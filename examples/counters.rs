//! Many threads count, each in a counter of its own; anyone can ask for the sum so far, and nobody waits for it.
//!
//! Run it with `cargo run --release --example counters`. What the counters cost beside one `AtomicU64` for all threads:
//! `docs/COUNTERS.md`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use os_thread_local::PerThread;

const THREADS: u64 = 8;
const REQUESTS: u64 = 100_000;

// One number in each thread. It is atomic because others read it; only its own thread writes to it, so that a load and a
// store will do where a counter for all needs `fetch_add`.
static REQUESTS_SERVED: PerThread<AtomicU64> = PerThread::new(AtomicU64::default);

fn serve(_request: u64) {
    REQUESTS_SERVED.with(|n| n.store(n.load(Relaxed) + 1, Relaxed));
}

/// What was counted so far, threads that have ended included: their counters stay, and new threads go on with them.
fn served() -> u64 {
    REQUESTS_SERVED.iter().map(|n| n.load(Relaxed)).sum()
}

fn main() {
    for round in 1..=3 {
        thread::scope(|s| {
            let workers: Vec<_> =
                (0..THREADS).map(|_| s.spawn(|| (0..REQUESTS).for_each(serve))).collect();

            // Meanwhile the sum can be read at any time; it only grows.
            let (before, after) = (served(), served());
            assert!(before <= after && after <= round * THREADS * REQUESTS);

            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
        assert_eq!(served(), round * THREADS * REQUESTS);
        println!("after round {round}: {} requests served", served());
    }

    // As many counters as threads at once, not as threads that ever were.
    assert!(REQUESTS_SERVED.len() as u64 <= THREADS);
    println!("{} threads needed at most {THREADS} counters", 3 * THREADS);
}
