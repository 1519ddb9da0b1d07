//! The records of a peak of threads are freed after the objects whose values they had are dropped, even if later threads run one after
//! another and each has a value of an object that lives on.

// Without the harness, so that no other thread allocates.

mod common;

use common::counting::Counting;
use common::in_thread;
use os_thread_local::PerThread;
use std::sync::Barrier;
use std::thread;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

fn main() {
    // With 100 stacks Emscripten's memory is full.
    const THREADS: usize = if cfg!(target_os = "emscripten") { 20 } else { 100 };
    static STAYS: PerThread<u32> = PerThread::new(|| 1);
    in_thread(|| STAYS.with(|_| ()));
    let before = ALLOCATOR.live();
    let object = PerThread::new(|| 1);
    let all_here = Barrier::new(THREADS);
    thread::scope(|s| {
        let use_it = || {
            object.with(|_| ());
            all_here.wait();
        };
        let threads: Vec<_> = (0..THREADS).map(|_| s.spawn(use_it)).collect();
        // The end of the scope does not wait for destructors of thread-locals.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    drop(object);
    let peak = ALLOCATOR.live() - before;
    // Each trims the pool by a record at most.
    for _ in 0..2 * THREADS {
        in_thread(|| STAYS.with(|_| ()));
    }
    let left = ALLOCATOR.live() - before;
    println!("trimmed_pool: {} bytes after the peak, {} in the end", peak, left);
    assert!(peak > 256 * THREADS as isize, "the pool does not have the records");
    assert!(left < peak / 4, "the pool still has the records");
}
