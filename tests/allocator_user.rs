//! A global allocator that uses the crate, for example to count or cache per thread. It gets an error if the crate itself is
//! allocating; there is no infinite recursion and no deadlock.

#![cfg(feature = "alloc")]

use os_thread_local::{AccessError, PerThread, ThreadLocal};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::sync::Barrier;
use std::thread;

struct Counting;

static HERE: ThreadLocal<Cell<usize>> = ThreadLocal::new(|| Cell::new(0));
/// The same with a destructor, and so large that the value's memory is the global allocator's, which frees it after the value is destroyed.
static DROPS: ThreadLocal<Dropped> = ThreadLocal::new(|| Dropped(Cell::new(0), [0; 64]));

struct Dropped(Cell<usize>, #[allow(dead_code)] [usize; 64]);

impl Drop for Dropped {
    fn drop(&mut self) {
        OUTCOMES[5].fetch_add(1, SeqCst);
    }
}

/// Without a destructor, but with memory to free when the record ends. The allocator does not use it.
static LARGE: ThreadLocal<[Cell<usize>; 64]> = ThreadLocal::new(|| [(); 64].map(|()| Cell::new(0)));

/// The allocator uses no value with a destructor: then a thread's end is a simple one, until the pool of records is full.
static ONLY_PLAIN: AtomicBool = AtomicBool::new(false);

static LIVE: AtomicIsize = AtomicIsize::new(0);
#[allow(clippy::declare_interior_mutable_const)] // the initial value of the array
const ZERO: AtomicUsize = AtomicUsize::new(0);
static OUTCOMES: [AtomicUsize; 6] = [ZERO; 6];

fn used() {
    let both = HERE.try_with(|n| n.set(n.get() + 1)).and_then(|()| match ONLY_PLAIN.load(SeqCst) {
        true => Ok(()),
        false => DROPS.try_with(|n| n.0.set(n.0.get() + 1)),
    });
    let outcome = match both {
        Ok(()) => 0,
        Err(AccessError::Recursive) => 1,
        Err(AccessError::Destroyed) => 2,
        Err(AccessError::OutOfKeys) => 3,
        Err(_) => 4,
    };
    OUTCOMES[outcome].fetch_add(1, SeqCst);
}

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        used();
        LIVE.fetch_add(1, SeqCst);
        // SAFETY: the conditions of `GlobalAlloc` are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        used();
        LIVE.fetch_sub(1, SeqCst);
        // SAFETY: the conditions of `GlobalAlloc` are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_allocator_uses_objects() {
    let round = || {
        thread::spawn(|| {
            let objects: Vec<_> = (0..100).map(|n| ThreadLocal::from_fn(move || vec![n])).collect();
            objects.iter().enumerate().for_each(|(i, o)| o.with(|v| assert_eq!(*v, [i])));
            let values = PerThread::new(|| String::from("x"));
            values.with(|s| assert_eq!(s, "x"));
        })
        .join()
        .unwrap();
    };
    let used_here = HERE.with(Cell::get);
    assert!(used_here > 0, "the allocator has used it in this thread");
    (0..10).for_each(|_| round());
    let before = LIVE.load(SeqCst);
    (0..100).for_each(|_| round());
    let grown = LIVE.load(SeqCst) - before;
    // If the end of a thread leaked its record, at least 100 allocations would be left. (On Windows std frees its own thread-locals after
    // the crate's callback, and values that the allocator makes then are leaked: see the documentation of `ThreadLocal`.)
    assert!(grown < 50 || cfg!(windows), "{} allocations are left of 100 threads", grown);

    // More than the pool has room for, so that records are freed.
    let crowd = |large: bool| {
        let together = Barrier::new(8);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    if large {
                        LARGE.with(|values| values[0].set(1));
                    }
                    together.wait();
                });
            }
        });
    };
    for only_plain in [false, true] {
        ONLY_PLAIN.store(only_plain, SeqCst);
        (0..10).for_each(|_| crowd(!only_plain));
        let before = LIVE.load(SeqCst);
        (0..50).for_each(|_| crowd(!only_plain));
        let grown = LIVE.load(SeqCst) - before;
        assert!(grown < 50 || cfg!(windows), "{} allocations are left of 400 threads", grown);
    }

    let outcome = |i: usize| OUTCOMES[i].load(SeqCst);
    assert!(outcome(0) > 0 && outcome(1) > 0 && outcome(2) > 0);
    assert_eq!((outcome(3), outcome(4)), (0, 0));
    assert!(outcome(5) >= 110, "{} destroyed", outcome(5));
}
