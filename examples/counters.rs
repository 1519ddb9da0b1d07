//! Each thread counts in its own counter. Any thread can read the sum at any time, without blocking the others.
//!
//! Run it with `cargo run --release --example counters`. `docs/COUNTERS.md` compares the cost with that of one shared `AtomicU64`.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use os_thread_local::PerThread;

const THREADS: u64 = 8;
const REQUESTS: u64 = 100_000;

// One number per thread. It is atomic because other threads read it. Only its own thread writes it, so a load and a store
// are enough; a shared counter would need `fetch_add`.
static REQUESTS_SERVED: PerThread<AtomicU64> = PerThread::new(AtomicU64::default);

fn serve(_request: u64) {
    REQUESTS_SERVED.with(|n| n.store(n.load(Relaxed) + 1, Relaxed));
}

/// The sum so far, including threads that have ended: their counters stay, and new threads inherit them.
fn served() -> u64 {
    REQUESTS_SERVED.iter().map(|n| n.load(Relaxed)).sum()
}

fn main() {
    for round in 1..=3 {
        thread::scope(|s| {
            let workers: Vec<_> =
                (0..THREADS).map(|_| s.spawn(|| (0..REQUESTS).for_each(serve))).collect();

            // The sum can be read while the threads count. It only grows.
            let (before, after) = (served(), served());
            assert!(before <= after && after <= round * THREADS * REQUESTS);

            workers.into_iter().for_each(|worker| worker.join().unwrap());
        });
        assert_eq!(served(), round * THREADS * REQUESTS);
        println!("after round {round}: {} requests served", served());
    }

    // One counter per thread alive at once, not per thread ever started.
    assert!(REQUESTS_SERVED.len() as u64 <= THREADS);
    println!("{} threads needed at most {THREADS} counters", 3 * THREADS);
}
