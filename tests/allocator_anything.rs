//! A global allocator that makes, uses and drops objects at any allocation and deallocation, also inside the crate. Some of the crate's own
//! allocations fail. Initializers and destructors do the same, in several threads at once, some of which end.
//!
//! No model says what must happen; each value checks that it is found through its own object, and that it is destroyed once and by its
//! own thread, and all are counted.

// Where rustc 1.63's std allocates for its own thread-locals, which this allocator uses, it would call itself without end.
#![cfg(all(feature = "alloc", not(all(windows, os_thread_local_old_std))))]

use os_thread_local::{reclaim, NoInit, PerThread, ThreadLocal};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::env;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

struct Anything;

// SAFETY: passes calls to the system's allocator; other calls do not access its blocks.
unsafe impl GlobalAlloc for Anything {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        act(8);
        if MAY_FAIL.with(Cell::get) && below(16) == 0 {
            FAILED.fetch_add(1, SeqCst);
            return std::ptr::null_mut();
        }
        // SAFETY: the caller fulfils the same conditions of `GlobalAlloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller fulfils the same conditions of `GlobalAlloc`.
        unsafe { System.dealloc(block, layout) }
        act(8);
    }
}

#[global_allocator]
static ALLOCATOR: Anything = Anything;

// Without destructors, so that they can be used at any time.
std::thread_local! {
    /// The state of the random numbers; 0 in threads that are not the test's.
    static RANDOM: Cell<u32> = const { Cell::new(0) };
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// The allocation is the crate's own, which handles a failure.
    static MAY_FAIL: Cell<bool> = const { Cell::new(false) };
    /// The number of the thread.
    static THREAD: Cell<usize> = const { Cell::new(0) };
}

fn below(n: u32) -> u32 {
    RANDOM.with(|random| {
        let mut x = random.get();
        x ^= x << 13;
        x ^= x >> 17;
        x ^= x << 5;
        random.set(x);
        x % n
    })
}

static THREADS: AtomicUsize = AtomicUsize::new(0);
static OBJECTS: AtomicUsize = AtomicUsize::new(0);
static BORN: AtomicUsize = AtomicUsize::new(0);
static DIED: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);
static ACTS: AtomicUsize = AtomicUsize::new(0);

const ALIVE: usize = 0xA11FE;

/// A value of some size.
struct Value<const SIZE: usize> {
    object: usize,
    thread: Option<usize>,
    alive: usize,
    _more: [u8; SIZE],
}

/// The same without a destructor.
#[derive(Clone, Copy)]
struct Plain<const SIZE: usize> {
    object: usize,
    alive: usize,
    _more: [u8; SIZE],
}

trait Check {
    fn new(object: usize, own: bool) -> Self;
    fn check(&self, object: usize);
}

impl<const SIZE: usize> Check for Value<SIZE> {
    fn new(object: usize, own: bool) -> Self {
        act(4);
        BORN.fetch_add(1, SeqCst);
        let thread = if own { Some(THREAD.with(Cell::get)) } else { None };
        Value { object, thread, alive: ALIVE, _more: [0; SIZE] }
    }

    fn check(&self, object: usize) {
        let thread = self.thread.unwrap_or_else(|| THREAD.with(Cell::get));
        let here = THREAD.with(Cell::get);
        assert_eq!((self.alive, self.object, thread), (ALIVE, object, here));
    }
}

impl<const SIZE: usize> Check for Plain<SIZE> {
    fn new(object: usize, _: bool) -> Self {
        act(4);
        Plain { object, alive: ALIVE, _more: [0; SIZE] }
    }

    fn check(&self, object: usize) {
        assert_eq!((self.alive, self.object), (ALIVE, object));
    }
}

impl<const SIZE: usize> Drop for Value<SIZE> {
    fn drop(&mut self) {
        self.check(self.object);
        self.alive = 0;
        DIED.fetch_add(1, SeqCst);
        act(4);
    }
}

/// A value that stays on its thread.
struct Own<T>(T, PhantomData<*mut ()>);

impl<T: Check> Check for Own<T> {
    fn new(object: usize, _: bool) -> Self {
        Own(T::new(object, true), PhantomData)
    }

    fn check(&self, object: usize) {
        self.0.check(object);
    }
}

enum Kind {
    Small(ThreadLocal<Own<Value<0>>, NoInit>),
    Large(ThreadLocal<Own<Value<300>>, NoInit>),
    SmallPlain(ThreadLocal<Own<Plain<0>>, NoInit>),
    LargePlain(ThreadLocal<Own<Plain<300>>, NoInit>),
    Per(PerThread<Value<8>, NoInit>),
    PerPlain(PerThread<Plain<8>, NoInit>),
}

struct Object(usize, Kind);

macro_rules! each {
    ($kind:expr, $slot:ident => $run:expr) => {
        match $kind {
            Kind::Small($slot) => $run,
            Kind::Large($slot) => $run,
            Kind::SmallPlain($slot) => $run,
            Kind::LargePlain($slot) => $run,
            Kind::Per($slot) => $run,
            Kind::PerPlain($slot) => $run,
        }
    };
}

/// More than the entries that a record has inline.
const PLACES: usize = 80;
#[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
const NOTHING: Mutex<Option<Arc<Object>>> = Mutex::new(None);
static SHARED: [Mutex<Option<Arc<Object>>>; PLACES] = [NOTHING; PLACES];

fn swap(place: usize, object: Option<Arc<Object>>) -> Option<Arc<Object>> {
    std::mem::replace(&mut *SHARED[place].lock().unwrap(), object)
}

fn make() -> Object {
    let kind = match below(6) {
        0 => Kind::Small(ThreadLocal::without_init()),
        1 => Kind::Large(ThreadLocal::without_init()),
        2 => Kind::SmallPlain(ThreadLocal::without_init()),
        3 => Kind::LargePlain(ThreadLocal::without_init()),
        4 => Kind::Per(PerThread::without_init()),
        _ => Kind::PerPlain(PerThread::without_init()),
    };
    Object(OBJECTS.fetch_add(1, SeqCst), kind)
}

/// In one of so many cases, does something: not too deep.
fn act(one_of: u32) {
    const DEEPEST: u32 = 4;
    if RANDOM.with(Cell::get) == 0 || DEPTH.with(Cell::get) == DEEPEST || below(one_of) != 0 {
        return;
    }
    DEPTH.with(|depth| depth.set(depth.get() + 1));
    let may_fail = MAY_FAIL.with(|may_fail| may_fail.replace(false));
    operation();
    MAY_FAIL.with(|flag| flag.set(may_fail));
    DEPTH.with(|depth| depth.set(depth.get() - 1));
}

/// `call` allocates nothing itself.
fn failing<R>(call: impl FnOnce() -> R) -> R {
    MAY_FAIL.with(|flag| flag.set(true));
    let result = call();
    MAY_FAIL.with(|flag| flag.set(false));
    result
}

fn operation() {
    ACTS.fetch_add(1, SeqCst);
    let place = below(PLACES as u32) as usize;
    let object = || SHARED[place].lock().unwrap().clone();
    match below(16) {
        0 | 1 => drop(swap(place, Some(Arc::new(make())))),
        2 => drop(swap(place, None)),
        3 => reclaim(),
        4 => {
            if let Some(object) = object() {
                let _ = failing(|| each!(&object.1, slot => slot.prepare()));
            }
        }
        5 => {
            if let Some(object) = object() {
                each!(&object.1, slot => slot.with_existing(|value| value.check(object.0)));
            }
        }
        6 | 7 => {
            if let Some(Ok(mut object)) = swap(place, None).map(Arc::try_unwrap) {
                let removed: Option<Box<dyn std::any::Any>> = each!(&mut object.1, slot => {
                    slot.remove().map(|value| {
                        value.check(object.0);
                        Box::new(value) as Box<_>
                    })
                });
                drop(swap(place, Some(Arc::new(object))));
                drop(removed);
            }
        }
        8 => {
            if let Some(Ok(mut object)) = swap(place, None).map(Arc::try_unwrap) {
                match &mut object.1 {
                    Kind::Per(per) => per.clear(),
                    Kind::PerPlain(per) => per.clear(),
                    _ => {}
                }
                drop(swap(place, Some(Arc::new(object))));
            }
        }
        _ => {
            if let Some(object) = object() {
                let fails = below(4) == 0;
                let _ = failing(|| {
                    each!(&object.1, slot => slot.with_or_try(
                        || if fails { act(2); Err(()) } else { Ok(Check::new(object.0, false)) },
                        |value| value.check(object.0),
                    ))
                });
            }
        }
    }
}

fn thread(seed: u32, operations: u32) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        THREAD.with(|thread| thread.set(1 + THREADS.fetch_add(1, SeqCst)));
        RANDOM.with(|random| random.set(seed.wrapping_mul(0x9E37_79B9) | 1));
        (0..operations).for_each(|_| act(1));
    })
}

#[test]
fn an_allocator_that_does_anything() {
    // As many as the model test has, by default.
    let operations = env::var("OS_THREAD_LOCAL_OPERATIONS");
    let operations: u32 =
        operations.map_or(60_000, |number| number.replace('_', "").parse().unwrap());
    const IN_A_ROUND: u32 = 2_000;
    for round in 0..operations.min(1_000_000) / IN_A_ROUND * 2 {
        // One that ends soon beside two that do not.
        let operations = [(0, IN_A_ROUND / 20), (1, IN_A_ROUND), (2, IN_A_ROUND)];
        let threads = operations.map(|(n, operations)| thread(round * 3 + n + 1, operations));
        for thread in threads {
            thread.join().unwrap();
        }
    }
    // What is left: by a thread that has done nothing else.
    let last = thread::spawn(|| {
        (0..PLACES).for_each(|place| drop(swap(place, None)));
    });
    last.join().unwrap();
    let count = |counter: &AtomicUsize| counter.load(SeqCst);
    println!(
        "{} acts, {} objects, {} values, {} allocations that failed",
        count(&ACTS),
        count(&OBJECTS),
        count(&BORN),
        count(&FAILED)
    );
    assert_eq!(count(&BORN), count(&DIED));
}
