//! Each allocation fails once: the call returns an error, leaks nothing, and succeeds when repeated.

// Without the harness, so that no other thread allocates.

mod common;

use common::{this_thread, Census};
use os_thread_local::{AccessError, InitError, PerThread, ThreadLocal};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;
use std::thread;

struct Failing;

const NEVER: usize = usize::MAX;
/// The thread whose allocations may fail, and how many it has before one does.
static THREAD: AtomicUsize = AtomicUsize::new(0);
static LEFT: AtomicUsize = AtomicUsize::new(NEVER);
static FAILED: AtomicUsize = AtomicUsize::new(0);
static LIVE: AtomicIsize = AtomicIsize::new(0);

fn fails() -> bool {
    if THREAD.load(SeqCst) != this_thread() {
        return false;
    }
    match LEFT.load(SeqCst) {
        NEVER => false,
        0 => {
            LEFT.store(NEVER, SeqCst);
            FAILED.fetch_add(1, SeqCst);
            true
        }
        left => {
            LEFT.store(left - 1, SeqCst);
            false
        }
    }
}

// SAFETY: passes calls to the system's allocator, or returns null.
unsafe impl GlobalAlloc for Failing {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if fails() {
            return std::ptr::null_mut();
        }
        LIVE.fetch_add(layout.size() as isize, SeqCst);
        // SAFETY: the conditions of `GlobalAlloc` are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, SeqCst);
        // SAFETY: the conditions of `GlobalAlloc` are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Failing = Failing;

/// Calls `f` repeatedly, each time with the next allocation failing, until no allocation is left to fail. Returns the number of failures.
fn fail_each<R: PartialEq + std::fmt::Debug>(
    expected: R,
    mut f: impl FnMut() -> Result<R, AccessError>,
) -> usize {
    THREAD.store(this_thread(), SeqCst);
    for n in 0.. {
        let failed = FAILED.load(SeqCst);
        LEFT.store(n, SeqCst);
        let result = f();
        LEFT.store(NEVER, SeqCst);
        if FAILED.load(SeqCst) == failed {
            THREAD.store(0, SeqCst);
            assert_eq!(result, Ok(expected));
            return n;
        }
        assert_eq!(result, Err(AccessError::OutOfMemory), "allocation {}", n);
    }
    unreachable!()
}

/// Runs a thread for each `n`, where the call fails at the n-th allocation and is then repeated. Returns when no allocation is left to fail.
/// The threads end only then, so that no thread adopts a record: each allocates everything.
fn fail_each_in_threads(f: fn() -> Result<u32, AccessError>) -> usize {
    const MOST_IDLE: usize = 4;
    let over = Arc::new(AtomicBool::new(false));
    let mut threads = Vec::with_capacity(20);
    let mut start = |first: Box<dyn FnOnce() -> bool + Send>| {
        let (over, answer) = (over.clone(), Arc::new(AtomicUsize::new(0)));
        let answers = answer.clone();
        let thread = thread::spawn(move || {
            answers.store(1 + usize::from(first()), SeqCst);
            while !over.load(SeqCst) {
                thread::park();
            }
        });
        // Not a channel: std keeps memory for a thread that has waited for one.
        while answer.load(SeqCst) == 0 && !thread.is_finished() {
            thread::yield_now();
        }
        threads.push(thread);
        answer.load(SeqCst) == 2
    };
    for _ in 0..MOST_IDLE {
        start(Box::new(|| STATIC.prepare().is_ok()));
    }
    let fails_at = move |n| {
        THREAD.store(this_thread(), SeqCst);
        let failed = FAILED.load(SeqCst);
        LEFT.store(n, SeqCst);
        let result = f();
        LEFT.store(NEVER, SeqCst);
        THREAD.store(0, SeqCst);
        let failed = FAILED.load(SeqCst) != failed;
        assert_eq!(result, if failed { Err(AccessError::OutOfMemory) } else { Ok(7) });
        assert_eq!(f(), Ok(7), "again, after allocation {}", n);
        failed
    };
    let most = (0..).find(|&n| !start(Box::new(move || fails_at(n)))).unwrap();
    over.store(true, SeqCst);
    for thread in threads {
        thread.thread().unpark();
        thread.join().unwrap();
    }
    most
}

static STATIC: ThreadLocal<Box<u32>> = ThreadLocal::new(kept);
static VALUES: PerThread<u32> = PerThread::new(|| 7);

/// Allocates a box while nothing fails: a failing allocation in an initializer would abort.
fn kept() -> Box<u32> {
    let left = LEFT.swap(NEVER, SeqCst);
    let kept = Box::new(7);
    LEFT.store(left, SeqCst);
    kept
}

fn main() {
    // The process's first use: the record, which has room for the value.
    let first = fail_each(7, || STATIC.try_with(|v| **v));
    assert_eq!(first, 1);

    // More and more numbers are in use, and this thread's table grows: each failure leaves the allocated bytes unchanged.
    let mut objects = Vec::with_capacity(3000);
    let mut grown = 0;
    for n in 0..3000 {
        let object = ThreadLocal::from_fn(move || n);
        let before = LIVE.load(SeqCst);
        THREAD.store(this_thread(), SeqCst);
        for allocation in 0.. {
            LEFT.store(allocation, SeqCst);
            let result = object.prepare();
            if LEFT.swap(NEVER, SeqCst) != NEVER {
                assert_eq!(result, Ok(()));
                break;
            }
            assert_eq!(result, Err(AccessError::OutOfMemory));
            // The numbers may be there, and the table not yet.
            let numbers = LIVE.load(SeqCst) - before;
            assert!(numbers == 0 || allocation == 1, "allocation {} of object {}", allocation, n);
            grown += 1;
        }
        THREAD.store(0, SeqCst);
        objects.push(object);
    }
    // Numbers from 512, 1,024 and 2,048 on; tables for 64 entries, 128, 256, ... 4,096.
    assert_eq!(grown, 3 + 7);

    // A value that is too large for the arena.
    let census = Census::new();
    let c = census.clone();
    let object = ThreadLocal::from_fn(move || {
        let left = LEFT.swap(NEVER, SeqCst);
        let counted = c.count();
        LEFT.store(left, SeqCst);
        (counted, [0u64; 100])
    });
    let before = LIVE.load(SeqCst);
    assert_eq!(fail_each((), || object.try_with(|_| ())), 1);
    assert_eq!((census.built(), census.dropped()), (1, 0));
    drop(object);
    assert_eq!((census.built(), census.dropped()), (1, 1));
    assert_eq!(LIVE.load(SeqCst), before);

    // Chunks of the arena: without memory for a chunk, the value is allocated alone.
    let small: Vec<_> = (0..100).map(|n| ThreadLocal::from_fn(move || n)).collect();
    small.iter().for_each(|o| o.prepare().unwrap());
    let mut failed = 0;
    for (n, object) in small.iter().enumerate() {
        THREAD.store(this_thread(), SeqCst);
        LEFT.store(0, SeqCst);
        let result = object.try_with(|v| *v);
        failed += usize::from(LEFT.swap(NEVER, SeqCst) == NEVER);
        THREAD.store(0, SeqCst);
        assert_eq!(result, Ok(n));
    }
    assert!(failed > 50, "{} allocations failed", failed);
    drop(small);

    // First uses in threads of their own: they leave nothing, whichever allocation failed.
    let mut left = Vec::with_capacity(10);
    for _ in 0..4 {
        let before = LIVE.load(SeqCst);
        // A record, which has room for the value.
        assert_eq!(fail_each_in_threads(|| STATIC.try_with(|v| **v)), 1);
        left.push(LIVE.load(SeqCst) - before);
    }
    assert_eq!(left[1..], [0, 0, 0], "bytes left behind");
    // `prepare` allocates everything but the value, with either type: a record, and a table, because the number is high.
    assert_eq!(fail_each_in_threads(|| STATIC.prepare().map(|()| 7)), 1);
    assert_eq!(fail_each_in_threads(|| VALUES.prepare().map(|()| 7)), 2);
    // And a block. From here on, records of ended threads hold values, which later threads inherit.
    assert_eq!(fail_each_in_threads(|| VALUES.try_with(|v| *v)), 3);

    // The next thread needs only the record of an ended one.
    THREAD.store(0, SeqCst);
    let needs = |n| {
        thread::spawn(move || {
            THREAD.store(this_thread(), SeqCst);
            LEFT.store(n, SeqCst);
            let result = STATIC.try_with(|v| **v);
            LEFT.store(NEVER, SeqCst);
            THREAD.store(0, SeqCst);
            result
        })
        .join()
        .unwrap()
    };
    assert_eq!(needs(0), Ok(7));

    // The node of a `PerThread`: without it the initializer does not run, and there is no value.
    let made = AtomicUsize::new(0);
    let make = || made.fetch_add(1, SeqCst);
    let mut values = PerThread::from_fn(make);
    let before = LIVE.load(SeqCst);
    assert_eq!(fail_each(0, || values.try_with(|v| *v)), 1);
    assert_eq!((made.load(SeqCst), values.len()), (1, 1));
    values.clear();
    assert_eq!(fail_each(1, || values.try_get_mut().map(|v| *v)), 1);
    values.clear();
    let access = |error| match error {
        InitError::Access(error) => error,
        InitError::Init(()) => panic!("the initializer gives no error"),
    };
    assert_eq!(fail_each(2, || values.with_or_try(|| Ok(make()), |v| *v).map_err(access)), 1);
    // A thread that inherits a value allocates nothing for it. Neither does reading the values or taking them out.
    THREAD.store(this_thread(), SeqCst);
    LEFT.store(0, SeqCst);
    assert_eq!((values.iter().count(), values.iter_mut().len()), (1, 1));
    assert_eq!((values.remove(), values.drain().next()), (Some(2), None));
    assert_eq!(LEFT.swap(NEVER, SeqCst), 0);
    THREAD.store(0, SeqCst);
    assert_eq!(LIVE.load(SeqCst), before);
    drop(values);

    // Everything else returns no error for lack of memory, because it allocates nothing.
    THREAD.store(this_thread(), SeqCst);
    LEFT.store(0, SeqCst);
    let mut object = ThreadLocal::new(|| 7);
    assert_eq!(object.with_existing(|_| ()), None);
    assert_eq!(object.remove(), None);
    os_thread_local::reclaim();
    drop(object);
    drop(objects);
    assert_eq!(LEFT.swap(NEVER, SeqCst), 0);
    println!("out_of_memory: {} allocations failed", FAILED.load(SeqCst));
}
