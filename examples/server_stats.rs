//! Statistics of a server, per thread, which any thread reads while the server runs.
//!
//! Run it with `cargo run --example server_stats`.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{mpsc, Mutex};
use std::thread;

use os_thread_local::PerThread;

const WORKERS: usize = 4;
const REQUESTS: u64 = 1000;

/// The statistics of one thread. Other threads read them, so each field is `Sync`.
#[derive(Default)]
struct Stats {
    // Written by its own thread only, so a load and a store are enough.
    requests: AtomicU64,
    // A map cannot be atomic. Its lock is uncontended, except while another thread reads the map.
    by_status: Mutex<BTreeMap<u16, u64>>,
}

static STATS: PerThread<Stats> = PerThread::new(Stats::default);

/// Called for each request, on the thread that served it.
fn record(status: u16) {
    let own = STATS.get_ref();
    *own.by_status.lock().unwrap().entry(status).or_default() += 1;
    // Release: a thread that reads this number finds the request in the map.
    own.requests.store(own.requests.load(Ordering::Relaxed) + 1, Ordering::Release);
}

/// The sums over all threads, including those that have ended. Threads may record requests during the call.
fn snapshot() -> (u64, BTreeMap<u16, u64>) {
    let (mut requests, mut by_status) = (0, BTreeMap::new());
    for stats in &STATS {
        requests += stats.requests.load(Ordering::Acquire);
        for (status, n) in &*stats.by_status.lock().unwrap() {
            *by_status.entry(*status).or_default() += n;
        }
    }
    (requests, by_status)
}

fn serve(request: u64) -> u16 {
    match request % 10 {
        0 => 404,
        1 => 304,
        _ => 200,
    }
}

fn main() {
    let (sender, receiver) = mpsc::channel();
    let receiver = Mutex::new(receiver);

    thread::scope(|s| {
        let receiver = &receiver;
        let next = move || receiver.lock().unwrap().recv().ok();
        for _ in 0..WORKERS {
            s.spawn(move || {
                while let Some(request) = next() {
                    record(serve(request));
                }
            });
        }

        (0..REQUESTS / 2).for_each(|request| sender.send(request).unwrap());
        // The workers are running. This thread waits until they have served what it has sent.
        while snapshot().0 < REQUESTS / 2 {
            thread::yield_now();
        }
        let (requests, by_status) = snapshot();
        println!("while the server runs: {requests} requests, {by_status:?}");

        (REQUESTS / 2..REQUESTS).for_each(|request| sender.send(request).unwrap());
        // The workers end.
        drop(sender);
    });

    let (requests, by_status) = snapshot();
    println!("after its workers have ended: {requests} requests, {by_status:?}");
    // Statistics per thread that has served a request. Later threads inherit them.
    assert!(STATS.len() <= WORKERS);
}
