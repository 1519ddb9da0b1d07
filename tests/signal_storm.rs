//! `with_existing` in the handler of a profiler's signals, which arrive at any time in any thread: in first uses, while tables grow, in
//! drops, and while threads start and end. It finds a whole value of the thread that it interrupts, or none.
//!
//! `tests/single_step.rs` interrupts every instruction, on one system.

#![cfg(feature = "alloc")]
#![cfg(all(any(target_os = "linux", target_vendor = "apple"), not(miri)))]

mod children;
mod common;

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use common::this_thread;
use os_thread_local::{reclaim, PerThread, ThreadLocal};

const SIGPROF: i32 =
    if cfg!(all(target_os = "linux", any(target_arch = "mips", target_arch = "mips64"))) {
        29
    } else {
        27
    };
const ITIMER_PROF: i32 = 2;

/// `struct itimerval`, with `struct timeval` of two words: the last is 32 bits on Apple's systems, and padding follows.
#[repr(C)]
struct Timer {
    interval: [isize; 2],
    value: [isize; 2],
}

extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn setitimer(which: i32, new: *const Timer, old: *mut Timer) -> i32;
}

/// The thread, several times. Its destructor begins by overwriting it.
struct Mark([usize; 8]);

impl Mark {
    fn new() -> Mark {
        Mark([this_thread(); 8])
    }

    fn is_right(&self) -> bool {
        self.0 == [this_thread(); 8]
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // SAFETY: the words are alive. The compiler must not leave the stores out.
        unsafe { ptr::write_volatile(&mut self.0, [0; 8]) };
    }
}

static DROPS: ThreadLocal<Mark> = ThreadLocal::new(Mark::new);
static PLAIN: ThreadLocal<[usize; 3]> = ThreadLocal::new(|| [this_thread(); 3]);
static LARGE: ThreadLocal<[Mark; 4]> = ThreadLocal::new(|| [(); 4].map(|_| Mark::new()));
/// With a slot number of a table.
static IN_TABLE: ThreadLocal<Mark> = ThreadLocal::new(Mark::new);
/// Threads inherit the values of ended ones.
static OWNED: PerThread<[usize; 3]> = PerThread::new(|| [this_thread(); 3]);

const KINDS: usize = 5;
#[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
const ZERO: AtomicUsize = AtomicUsize::new(0);
static SIGNALS: AtomicUsize = ZERO;
static FOUND: [AtomicUsize; KINDS] = [ZERO; KINDS];
static WRONG: [AtomicUsize; KINDS] = [ZERO; KINDS];

extern "C" fn handler(_: i32) {
    SIGNALS.fetch_add(1, SeqCst);
    let this = this_thread();
    let found = [
        DROPS.with_existing(Mark::is_right),
        PLAIN.with_existing(|v| *v == [this; 3]),
        LARGE.with_existing(|v| v.iter().all(Mark::is_right)),
        IN_TABLE.with_existing(Mark::is_right),
        OWNED.with_existing(|v| *v == [v[0]; 3] && v[0] != 0),
    ];
    for (kind, found) in found.iter().enumerate() {
        match found {
            Some(true) => FOUND[kind].fetch_add(1, SeqCst),
            Some(false) => WRONG[kind].fetch_add(1, SeqCst),
            None => 0,
        };
    }
}

/// First uses, a table that grows, values that are taken out, objects that are dropped here and elsewhere, and the thread's end.
fn life() {
    DROPS.with(|_| ());
    OWNED.with(|_| ());
    let mut objects: Vec<_> = (0..70).map(|_| ThreadLocal::new(Mark::new)).collect();
    objects.iter().for_each(|object| object.with(|_| ()));
    LARGE.with(|_| ());
    IN_TABLE.with(|_| ());
    objects.iter_mut().step_by(2).for_each(|object| drop(object.remove()));
    PLAIN.with(|_| ());
    let theirs = objects.split_off(35);
    thread::spawn(move || drop(theirs)).join().unwrap();
    reclaim();
    drop(objects);
    let owned: Vec<_> = (0..10).map(|_| PerThread::new(Mark::new)).collect();
    owned.iter().for_each(|object| object.with(|_| ()));
}

#[test]
fn a_handler_finds_whole_values_of_its_thread() {
    let first: Vec<_> = (0..40).map(|_| ThreadLocal::new(|| 1)).collect();
    first.iter().for_each(|object| object.prepare().unwrap());
    IN_TABLE.prepare().unwrap();

    let micros = if children::is_brief() { 2_000 } else { 200 };
    let set = |micros: isize| {
        let timer = Timer { interval: [0, micros], value: [0, micros] };
        // SAFETY: the argument is a timer, and the old one is not asked for.
        assert_eq!(unsafe { setitimer(ITIMER_PROF, &timer, ptr::null_mut()) }, 0);
    };
    // SAFETY: the handler calls what this test is about, and touches atomics.
    unsafe { signal(SIGPROF, handler) };
    set(micros);
    let signals = children::fewer(120);
    while SIGNALS.load(SeqCst) < signals || FOUND.iter().any(|found| found.load(SeqCst) == 0) {
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(life);
            }
        });
    }
    set(0);
    println!("signal_storm: {:?} signals, found {:?}", SIGNALS, FOUND);
    assert!(WRONG.iter().all(|wrong| wrong.load(SeqCst) == 0), "{:?}", WRONG);
}
