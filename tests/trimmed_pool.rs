//! The records of a peak of threads go, once the objects whose values they had are gone, also if later threads come one after another and
//! each has a value of an object that stays.

// Without the harness, so that no other thread allocates.

mod common;

use common::in_thread;
use os_thread_local::PerThread;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, Ordering::SeqCst};
use std::sync::Barrier;
use std::thread;

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: hands everything on to the system's allocator, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, SeqCst);
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, SeqCst);
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() {
    // With 100 stacks Emscripten's memory is full.
    const THREADS: usize = if cfg!(target_os = "emscripten") { 20 } else { 100 };
    static STAYS: PerThread<u32> = PerThread::new(|| 1);
    in_thread(|| STAYS.with(|_| ()));
    let before = LIVE.load(SeqCst);
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
    let peak = LIVE.load(SeqCst) - before;
    // Each trims the pool by a record at most.
    for _ in 0..2 * THREADS {
        in_thread(|| STAYS.with(|_| ()));
    }
    let left = LIVE.load(SeqCst) - before;
    println!("trimmed_pool: {} bytes after the peak, {} in the end", peak, left);
    assert!(peak > 256 * THREADS as isize, "the records are in the pool");
    assert!(left < peak / 4, "they stay there");
}
