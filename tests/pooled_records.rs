//! Memory and slot numbers that the records of ended threads keep for later threads: after a peak of threads that used `PerThread` objects,
//! a few records once the objects are gone, and few of the slot numbers that the threads had cached.

// Without the harness, so that no other thread allocates.

#![allow(clippy::type_complexity)] // tables of functions

mod common;

use common::counting::Counting;
use common::in_thread;
use os_thread_local::{PerThread, ThreadLocal};
use std::sync::{Barrier, Mutex};
use std::thread;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

// With 100 stacks Emscripten's memory is full.
const THREADS: usize = if cfg!(target_os = "emscripten") { 20 } else { 100 };

/// 21 records of 768 bytes. The pool keeps four without values, and std keeps some memory for threads.
const FEW_RECORDS: isize = 16 * 1024;

/// Runs that many threads at a time. `f` waits at the barrier when the thread has its values.
fn threads(f: impl Fn(&Barrier) + Sync) {
    let all_here = Barrier::new(THREADS);
    thread::scope(|s| {
        let threads: Vec<_> = (0..THREADS).map(|_| s.spawn(|| f(&all_here))).collect();
        // The end of the scope does not wait for destructors of thread-locals.
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// Runs two threads at a time, of which one trims the pool by a record. They adopt records with values, and leave them.
/// `tests/trimmed_pool.rs` runs one at a time.
fn later_threads() {
    static LIVES: PerThread<u32> = PerThread::new(|| 1);
    for _ in 0..THREADS + 10 {
        let both_here = Barrier::new(2);
        let use_it = || {
            LIVES.with(|_| ());
            both_here.wait();
        };
        thread::scope(|s| {
            let both = [s.spawn(use_it), s.spawn(use_it)];
            both.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
}

fn check(what: &str, bytes: isize, limit: isize) {
    println!("pooled_records: {}: {} bytes (at most {})", what, bytes, limit);
    assert!(bytes <= limit, "{}", what);
}

type Object = PerThread<u32>;

fn main() {
    // This thread's record, which has no table until it needs one; what the process takes once; and some records for the pool.
    ThreadLocal::new(|| 1).with(|_| ());
    threads(|all_here| {
        all_here.wait();
    });
    in_thread(|| PerThread::new(|| 1).with(|_| ()));

    let by_its_thread: [(&str, fn(Object)); 5] = [
        ("dropped", drop),
        ("cleared", |mut object| object.clear()),
        ("drained", |mut object| assert_eq!(object.drain().count(), 1)),
        ("iterated by value", |object| assert_eq!(object.into_iter().count(), 1)),
        ("removed", |mut object| assert_eq!(object.remove(), Some(1))),
    ];
    for (how, end) in by_its_thread {
        let before = ALLOCATOR.live();
        threads(|all_here| {
            let object = PerThread::new(|| 1);
            object.with(|_| ());
            all_here.wait();
            end(object);
        });
        let what = format!("objects of their own that {} threads {}", THREADS, how);
        check(&what, ALLOCATOR.live() - before, FEW_RECORDS);
    }

    let by_another_thread: [(&str, fn(Object)); 4] = [
        ("dropped", drop),
        ("cleared", |mut object| object.clear()),
        ("drained", |mut object| assert!(object.drain().count() >= THREADS)),
        ("iterated by value", |object| assert!(object.into_iter().count() >= THREADS)),
    ];
    for (how, end) in by_another_thread {
        let before = ALLOCATOR.live();
        let object = PerThread::new(|| 1);
        threads(|all_here| {
            object.with(|_| ());
            all_here.wait();
        });
        end(object);
        later_threads();
        let what = format!("an object that {} threads used, {} when they had ended", THREADS, how);
        check(&what, ALLOCATOR.live() - before, FEW_RECORDS);

        // While they run: the records have no values when they end.
        let object = Mutex::new(Some(PerThread::new(|| 1)));
        let dropped = Barrier::new(THREADS + 1);
        let before = ALLOCATOR.live();
        thread::scope(|s| {
            let use_it = || {
                object.lock().unwrap().as_ref().unwrap().with(|_| ());
                dropped.wait();
                dropped.wait();
            };
            let threads: Vec<_> = (0..THREADS).map(|_| s.spawn(use_it)).collect();
            dropped.wait();
            let object = object.lock().unwrap().take();
            end(object.unwrap());
            dropped.wait();
            // The end of the scope does not wait for destructors of thread-locals.
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
        let what = format!("an object that {} threads used, {} while they ran", THREADS, how);
        check(&what, ALLOCATOR.live() - before, FEW_RECORDS);
    }

    numbers();
}

/// Each of the threads makes twelve objects and drops eight. It caches their numbers, because it has dropped many objects before. Its record
/// then stays in the pool with a value, and gives most of the numbers back, so that the tables of other threads stay short.
fn numbers() {
    const OBJECTS: usize = 270;
    /// A table for 512 numbers. It has room for 380 of the objects; if the records kept all cached numbers, for 180.
    const SHORT_TABLE: isize = 768 * std::mem::size_of::<usize>() as isize;
    static KEEPS: PerThread<u32> = PerThread::new(|| 1);
    let left = Mutex::new(Vec::with_capacity(4 * THREADS));
    threads(|all_here| {
        KEEPS.with(|_| ());
        (0..100).for_each(|_| ThreadLocal::new(|| 1).with(|_| ()));
        let mut objects: Vec<ThreadLocal<u8>> = (0..12).map(|_| ThreadLocal::new(|| 1)).collect();
        objects.iter().for_each(|object| object.prepare().unwrap());
        all_here.wait();
        left.lock().unwrap().extend(objects.drain(8..));
    });
    drop(left);
    let objects: Vec<ThreadLocal<u8>> = (0..OBJECTS).map(|_| ThreadLocal::new(|| 1)).collect();
    let before = ALLOCATOR.live();
    objects.iter().for_each(|object| object.prepare().unwrap());
    check("270 objects after the peak", ALLOCATOR.live() - before, SHORT_TABLE);
}
