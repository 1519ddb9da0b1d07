//! A backend that refuses to keep a pointer whenever its contract allows it: no value is leaked, and none is destroyed twice.
//!
//! `set` may refuse a pointer that is not null while the task's pointer is null: when a task first uses the crate, and, if the crate sets
//! null in the middle of a task's end, there as well. Which of these calls are refused is a pattern of bits, and all patterns of
//! some length are tried.

// This program has its own backend, so it does not use this package's library. It has no harness, whose thread would allocate some 900
// bytes while a test runs.

use os_thread_local::{AccessError, PerThread, ThreadLocal, custom};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::thread;

thread_local! {
    /// The pointer. Tasks are threads; they need no destructor, for each calls `task_exit`.
    static LOCAL: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
    /// The lowest bit is for the next call that may be refused: 1 refuses.
    static PATTERN: Cell<u32> = const { Cell::new(0) };
    static REFUSED: Cell<usize> = const { Cell::new(0) };
    static ACCEPTED: Cell<usize> = const { Cell::new(0) };
}

struct Backend;

// SAFETY: each thread has its own pointer, and `set` refuses only where the pointer is null and is to be another.
unsafe impl custom::Backend for Backend {
    fn get() -> *mut c_void {
        LOCAL.get()
    }

    unsafe fn set(value: *mut c_void) -> bool {
        if LOCAL.get().is_null() && !value.is_null() {
            let refused = PATTERN.get() & 1 != 0;
            PATTERN.set(PATTERN.get() >> 1);
            let counter = if refused { &REFUSED } else { &ACCEPTED };
            counter.set(counter.get() + 1);
            if refused {
                return false;
            }
        }
        LOCAL.set(value);
        true
    }

    fn relax() {
        thread::yield_now();
    }
}

os_thread_local::set_backend!(Backend);

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: passes every call to the system's allocator, and does not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, SeqCst);
        // SAFETY: the caller of `alloc` guarantees that the layout's size is not zero.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, SeqCst);
        // SAFETY: the caller of `dealloc` guarantees that `alloc`, and so `System`, returned `p` for this layout.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static BUILT: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicUsize = AtomicUsize::new(0);
/// What was counted in `TALLY`.
static COUNTED: AtomicUsize = AtomicUsize::new(0);

/// A value whose destructor uses the next object of `CHAIN`, whose value exists or is made then, and so on.
struct Value {
    /// How many of `CHAIN` its destructor uses; `None` if it uses nothing at all.
    depth: Option<usize>,
    alive: bool,
}

impl Value {
    fn new(depth: Option<usize>) -> Value {
        BUILT.fetch_add(1, SeqCst);
        Value { depth, alive: true }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert!(self.alive, "destroyed twice");
        self.alive = false;
        DROPPED.fetch_add(1, SeqCst);
        if let Some(depth) = self.depth {
            use_all(depth);
        }
    }
}

static CHAIN: [ThreadLocal<Value>; 4] = [
    ThreadLocal::new(|| Value::new(Some(0))),
    ThreadLocal::new(|| Value::new(Some(1))),
    ThreadLocal::new(|| Value::new(Some(2))),
    ThreadLocal::new(|| Value::new(Some(3))),
];
static PLAIN: ThreadLocal<Cell<usize>> = ThreadLocal::new(|| Cell::new(0));
static TALLY: PerThread<AtomicUsize> = PerThread::new(AtomicUsize::default);

/// Uses each object; a refusal is an error, and nothing else is.
fn use_all(depth: usize) {
    for object in &CHAIN[..depth] {
        match object.try_with(|value| assert!(value.alive)) {
            Ok(()) | Err(AccessError::Destroyed | AccessError::OutOfMemory) => {}
            Err(error) => panic!("{error}"),
        }
    }
    match TALLY.try_with(|n| n.fetch_add(1, SeqCst)) {
        Ok(_) => {
            COUNTED.fetch_add(1, SeqCst);
        }
        Err(error) => assert_eq!(error, AccessError::OutOfMemory),
    }
    match PLAIN.try_with(|n| n.set(n.get() + 1)) {
        Ok(()) | Err(AccessError::Destroyed | AccessError::OutOfMemory) => {}
        Err(error) => panic!("{error}"),
    }
    // An object of its own, beside them.
    let own = ThreadLocal::new(|| Value::new(None));
    match own.try_with(|value| assert!(value.alive)) {
        Ok(()) | Err(AccessError::OutOfMemory) => {}
        Err(error) => panic!("{error}"),
    }
}

/// Runs a task with a pattern, from its first use to its end. Returns the numbers of accepted and refused calls.
fn task(pattern: u32, depth: usize, ends: usize) -> (usize, usize) {
    thread::spawn(move || {
        PATTERN.set(pattern);
        for _ in 0..ends {
            use_all(depth);
            // Again, for the refused calls.
            use_all(depth);
            // SAFETY: inside no access.
            unsafe { custom::task_exit() };
            assert!(LOCAL.get().is_null(), "the task's end leaves a pointer");
        }
        (ACCEPTED.get(), REFUSED.get())
    })
    .join()
    .unwrap()
}

fn main() {
    // More bits than calls that can be refused.
    const BITS: u32 = 10;
    let (mut accepted, mut refused, mut lost) = (0, 0, Vec::new());
    // Allocates the objects' own memory, and the records that ended threads leave.
    for _ in 0..8 {
        task(0, CHAIN.len(), 1);
    }
    for ends in [1, 2] {
        for pattern in 0..1 << BITS {
            let alive = || BUILT.load(SeqCst) - DROPPED.load(SeqCst);
            let (values, bytes) = (alive(), LIVE.load(SeqCst));
            let calls = task(pattern, CHAIN.len(), ends);
            accepted += calls.0;
            refused += calls.1;
            let (values, bytes) = (alive() - values, LIVE.load(SeqCst) - bytes);
            if values != 0 || bytes >= 256 {
                lost.push((ends, pattern, values, bytes));
            }
        }
    }
    // What belongs to the object is in it.
    assert_eq!(TALLY.iter().map(|n| n.load(SeqCst)).sum::<usize>(), COUNTED.load(SeqCst));
    println!(
        "{accepted} pointers accepted, {refused} refused; {} values, {} of PerThread",
        BUILT.load(SeqCst),
        TALLY.len()
    );
    assert!(refused > 1 << BITS);
    assert!(
        lost.is_empty(),
        "{} patterns lose something; the first ones (ends, pattern, values, bytes): {:?}",
        lost.len(),
        &lost[..lost.len().min(5)]
    );
    // One task at a time.
    assert_eq!(TALLY.len(), 1);
}
