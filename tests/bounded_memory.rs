//! Memory use, counted by a global allocator. One test, in a process of its own: the only other thread that allocates is the harness's, which
//! is not counted.

#![cfg(feature = "alloc")]

mod children;
mod common;

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{mpsc, Arc, Barrier};
use std::thread;

use children::fewer;
use common::counting::Counting;
use common::in_thread;
use os_thread_local::{reclaim, BorrowCell, PerThread, ThreadLocal};

#[global_allocator]
static ALLOCATOR: Counting = Counting::without_main_thread();

fn live() -> isize {
    ALLOCATOR.live()
}

/// What `f` leaves allocated when it is called a second time.
fn left_by(mut f: impl FnMut()) -> isize {
    f();
    let before = live();
    f();
    live() - before
}

#[test]
fn memory() {
    // With `--test-threads=1` the harness runs the test in the main thread, which is not counted.
    in_thread(everything);
}

fn everything() {
    a_value_costs_at_most_48_bytes();
    a_million_one_after_another();
    threads_leave_nothing();
    what_ended_threads_leave_is_little();
    records_whose_borrowed_values_were_not_inherited();
    a_thread_that_only_sees_short_lived_objects();
    reclaim_gives_back();
    removed_values();
    initializers_that_panic();
}

fn a_value_costs_at_most_48_bytes() {
    let first = ThreadLocal::new(|| 0u8);
    first.with(|_| ()); // this thread's record
    let mut each = 0;
    for _ in 0..10 {
        // The number is inline and known, and the value too large for the arena, so that only the value is allocated.
        let large = ThreadLocal::new(|| [0u64; 100]);
        large.prepare().unwrap();
        let before = live();
        large.with(|_| ());
        each = live() - before - 800;
    }
    println!("overhead of a value: {} bytes", each);
    assert!(each <= 48, "{}", each);

    // The average of many, including the growth of the thread's table.
    let count = fewer(100_000);
    let objects: Arc<Vec<ThreadLocal<u64>>> =
        Arc::new((0..count).map(|_| ThreadLocal::new(|| 1)).collect());
    objects.iter().for_each(|o| o.prepare().unwrap());
    let theirs = Arc::clone(&objects);
    let in_use = thread::spawn(move || {
        let before = live();
        theirs.iter().for_each(|o| o.with(|_| ()));
        live() - before
    })
    .join()
    .unwrap();
    let each = in_use / count as isize - 8;
    println!("overhead of each of {} values: {} bytes", count, each);
    assert!(each <= 48 + 2 * 8, "{}", each);
}

fn a_million_one_after_another() {
    let count = if children::is_brief() { 20_000 } else { 1_000_000 };
    let once = |i| {
        let object = ThreadLocal::new(|| Cell::new(0u32));
        assert_eq!(object.replace(i), 0);
        assert_eq!(object.get(), i);
    };
    let boxed_once = |i| {
        let object = ThreadLocal::new(|| Box::new(Cell::new(0u32)));
        assert_eq!(object.with(|v| v.replace(i)), 0);
    };
    once(0);
    boxed_once(0);
    let before = live();
    for i in 0..count / 2 {
        once(i);
        boxed_once(i);
    }
    assert_eq!(live(), before);
}

fn threads_leave_nothing() {
    static FOO: ThreadLocal<Box<u32>> = ThreadLocal::new(|| Box::new(1));
    // Too large for the arena, and without a destructor: freed because the thread's table leads to it.
    static LARGE: ThreadLocal<[u8; 512]> = ThreadLocal::new(|| [1; 512]);
    let objects: Arc<Vec<ThreadLocal<Box<u32>>>> =
        Arc::new((0..100).map(|_| ThreadLocal::new(|| Box::new(1))).collect());
    let left = left_by(|| {
        for _ in 0..fewer(200) {
            let objects = Arc::clone(&objects);
            thread::spawn(move || {
                FOO.with(|_| ());
                objects.iter().for_each(|o| o.with(|_| ()));
            })
            .join()
            .unwrap();
            thread::spawn(|| LARGE.with(|_| ())).join().unwrap();
        }
    });
    // A thread's record alone is larger than 256 bytes: 40 of them would show.
    assert!(left < 4_096, "{} bytes", left);
}

/// At most four tables of 1,024 entries, and their records.
fn what_ended_threads_leave_is_little() {
    const MOST: isize = 4 * (1_024 * 8 + 1_024);
    // The pool keeps tables for 1,000 objects, but not for 3,000.
    for count in [1_000, 3_000] {
        let objects: Arc<Vec<ThreadLocal<u8>>> =
            Arc::new((0..count).map(|_| ThreadLocal::new(|| 1)).collect());
        objects.iter().for_each(|o| o.prepare().unwrap());
        let before = live();
        let count_of_threads = fewer(40);
        let all_at_once = Arc::new(Barrier::new(count_of_threads));
        let threads: Vec<_> = (0..count_of_threads)
            .map(|_| {
                let (objects, all_at_once) = (objects.clone(), all_at_once.clone());
                thread::spawn(move || {
                    objects.iter().for_each(|o| o.with(|_| ()));
                    all_at_once.wait();
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        drop(all_at_once);
        let left = live() - before;
        assert!(left <= MOST, "{} bytes of {} objects", left, count);
    }
}

/// A record keeps the values of a `PerThread` for a later thread. After the object is dropped, the pool frees the record like any other.
fn records_whose_borrowed_values_were_not_inherited() {
    /// Four records and what belongs to them.
    const MOST: isize = 4 * 2 * 1_024;
    let count_of_threads = fewer(40);
    let before = live();
    let object = PerThread::new(|| BorrowCell::new(1));
    let at_once = || {
        let all_at_once = Barrier::new(count_of_threads);
        thread::scope(|s| {
            let borrow = || {
                let guard = object.borrow_mut();
                all_at_once.wait();
                guard
            };
            let threads: Vec<_> = (0..count_of_threads).map(|_| s.spawn(borrow)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect::<Vec<_>>()
        })
    };
    let guards = (at_once(), at_once());
    assert_eq!(object.len(), 2 * count_of_threads);
    drop(guards);
    drop(object);
    // The pool frees one record for each thread that ends.
    for _ in 0..count_of_threads {
        in_thread(|| ThreadLocal::new(|| 1).with(|_| ()));
    }
    let left = live() - before;
    assert!(left <= MOST, "{} bytes", left);
}

type Order = Box<dyn FnOnce() + Send>;

/// A thread of a thread pool: it lives on while objects are made and dropped.
fn pool_thread() -> (impl Fn(Order), impl FnOnce()) {
    let (orders, receive) = mpsc::sync_channel::<Order>(1);
    let (report, done) = mpsc::sync_channel::<()>(1);
    let thread = thread::spawn(move || {
        for order in receive {
            order();
            report.send(()).unwrap();
        }
    });
    let run = {
        let orders = orders.clone();
        move |order| {
            orders.send(order).unwrap();
            done.recv().unwrap();
        }
    };
    (run, move || {
        // `run` had the other sender.
        drop(orders);
        thread.join().unwrap();
    })
}

fn a_thread_that_only_sees_short_lived_objects() {
    let (run, join) = pool_thread();
    // Values with a destructor wait for their thread; its next first use destroys them.
    let left = left_by(|| {
        for _ in 0..fewer(2_000) {
            let object = Arc::new(ThreadLocal::new(|| Box::new([0u64; 16])));
            let theirs = Arc::clone(&object);
            run(Box::new(move || theirs.with(|_| ())));
        }
    });
    assert!(left < 4_096, "{} bytes with destructors", left);

    // Large values without a destructor are freed when their object is dropped, even if their thread never uses the crate again.
    let objects = |n: usize| -> Arc<Vec<ThreadLocal<[u64; 100]>>> {
        Arc::new((0..n).map(|_| ThreadLocal::new(|| [0; 100])).collect())
    };
    let use_all = |objects: &Arc<Vec<ThreadLocal<[u64; 100]>>>| {
        let theirs = Arc::clone(objects);
        run(Box::new(move || theirs.iter().for_each(|o| o.with(|_| ()))));
    };
    use_all(&objects(1_000)); // the tables have their size now
    let before = live();
    let some = objects(1_000);
    use_all(&some);
    assert!(live() - before >= 1_000 * 100 * 8);
    drop(some);
    assert!(live() < before + 4_096, "{} bytes without", live() - before);

    // Small values stay in the thread's arena, which has a limit, until the thread ends or needs the memory.
    let before = live();
    let some: Arc<Vec<ThreadLocal<u64>>> =
        Arc::new((0..10_000).map(|_| ThreadLocal::new(|| 1)).collect());
    let theirs = Arc::clone(&some);
    run(Box::new(move || theirs.iter().for_each(|o| o.with(|_| ()))));
    assert!(live() - before >= 10_000 * 8);
    drop(some);
    // The thread's table for 10,000 objects, the crate's for as many numbers, and the arena.
    const TABLES: isize = 16_384 * 8 + 16_384 * 9;
    let left = live() - before;
    assert!(left < TABLES + 128 * 1_024 + 4_096, "{} bytes of small values", left);
    drop(run);
    join();
}

fn reclaim_gives_back() {
    let (run, join) = pool_thread();
    let use_and_drop = || {
        let objects: Arc<Vec<ThreadLocal<Box<[u64; 16]>>>> =
            Arc::new((0..1_000).map(|_| ThreadLocal::new(|| Box::new([0; 16]))).collect());
        run(Box::new(move || objects.iter().for_each(|o| o.with(|_| ()))));
    };
    // Dropped by the pool thread itself; then by us.
    use_and_drop();
    run(Box::new(reclaim));
    let before = live();
    let objects: Arc<Vec<ThreadLocal<Box<[u64; 16]>>>> =
        Arc::new((0..1_000).map(|_| ThreadLocal::new(|| Box::new([0; 16]))).collect());
    let theirs = Arc::clone(&objects);
    run(Box::new(move || theirs.iter().for_each(|o| o.with(|_| ()))));
    drop(objects);
    assert!(live() - before >= 1_000 * 16 * 8, "they wait for their thread");
    run(Box::new(reclaim));
    assert!(live() < before + 4_096, "{} bytes", live() - before);
    drop(run);
    join();
}

fn removed_values() {
    let mut object = ThreadLocal::new(|| Box::new([0u64; 16]));
    let left = left_by(|| {
        for _ in 0..1_000 {
            object.with(|_| ());
            drop(object.remove().unwrap());
        }
    });
    assert_eq!(left, 0);
}

fn initializers_that_panic() {
    let object = ThreadLocal::new(|| -> [u64; 16] { panic!("planned") });
    // The harness keeps the printed messages in memory.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let left = left_by(|| {
        for _ in 0..if children::is_brief() { 50 } else { 1_000 } {
            let access = AssertUnwindSafe(|| object.with(|_| ()));
            assert!(panic::catch_unwind(access).is_err());
        }
    });
    panic::set_hook(hook);
    assert_eq!(left, 0);
}
