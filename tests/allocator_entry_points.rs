//! A global allocator that calls the crate on every allocation and deallocation, through each entry point. It gets an error if the
//! crate itself is allocating; there is no infinite recursion and no deadlock.
//!
//! Each entry point is tested in a process of its own, which a stack overflow ends. Where there are no child processes, all are tested
//! in this one, in turn.

// Without the harness: the case decides before anything else what the allocator does.

mod children;
mod common;

use common::{this_thread, STD_DESTROYS};
use os_thread_local::{reclaim, AccessError, PerThread, ThreadLocal};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{self, catch_unwind};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::sync_channel;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

// ---------------------------------------------------------------------------------------------- the allocator

struct Calling;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: the system's allocator does the work.
unsafe impl GlobalAlloc for Calling {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        call();
        LIVE.fetch_add(1, SeqCst);
        // SAFETY: the conditions of `GlobalAlloc` are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        call();
        LIVE.fetch_sub(1, SeqCst);
        // SAFETY: the conditions of `GlobalAlloc` are the same.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Calling = Calling;

/// 1 and the index of the entry point that the allocator calls.
static ENTRY: AtomicUsize = AtomicUsize::new(0);

fn call() {
    match ENTRY.load(SeqCst) {
        0 => {}
        entry => (ENTRY_POINTS[entry - 1].call)(),
    }
}

struct EntryPoint {
    name: &'static str,
    call: fn(),
    /// The entry point was refused at least once, while the crate allocated the process's first record or a thread's table.
    is_refused: bool,
}

#[allow(clippy::declare_interior_mutable_const)] // the initial value of the array
const ZERO: AtomicUsize = AtomicUsize::new(0);
/// How often the allocator got a value, and each error.
static OUTCOMES: [AtomicUsize; 5] = [ZERO; 5];

fn count<R>(result: Result<R, AccessError>) {
    let outcome = match result {
        Ok(_) => 0,
        Err(AccessError::Recursive) => 1,
        Err(AccessError::Destroyed) => 2,
        Err(AccessError::OutOfKeys) => 3,
        Err(_) => 4,
    };
    OUTCOMES[outcome].fetch_add(1, SeqCst);
}

static HERE: ThreadLocal<Cell<usize>> = ThreadLocal::new(|| Cell::new(0));
static DROPS: ThreadLocal<Dropped> = ThreadLocal::new(|| Dropped(Cell::new(0)));
static VALUES: PerThread<AtomicUsize> = PerThread::new(|| AtomicUsize::new(0));

struct Dropped(Cell<usize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.set(usize::MAX);
    }
}

/// A new one for each call, until all are in use: the crate's tables grow because of the allocator.
static MANY: [ThreadLocal<usize>; 120] = {
    #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
    const ONE: ThreadLocal<usize> = ThreadLocal::new(|| 1);
    [ONE; 120]
};
static MANY_PER_THREAD: [PerThread<usize>; 120] = {
    #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
    const ONE: PerThread<usize> = PerThread::new(|| 1);
    [ONE; 120]
};

fn next<T>(of: &[T]) -> &T {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    &of[NEXT.fetch_add(1, SeqCst) % of.len()]
}

/// Calls `f` unless the thread is in such a call already: for a new object in each call, which the crate cannot refuse. Uses no thread-local
/// of std's, which may allocate.
fn unless_nested(f: impl FnOnce()) {
    static INSIDE: [AtomicUsize; 64] = [ZERO; 64];
    let thread = this_thread();
    if INSIDE.iter().any(|entry| entry.load(SeqCst) == thread) {
        return;
    }
    let free = |entry: &&AtomicUsize| entry.compare_exchange(0, thread, SeqCst, SeqCst).is_ok();
    if let Some(entry) = INSIDE.iter().find(free) {
        f();
        entry.store(0, SeqCst);
    }
}

const TABLE: &str = "ThreadLocal::try_with and prepare, in the thread's table";

/// An object whose entry is not in the record itself: its first use in a thread makes the thread's table.
static HIGH: ThreadLocal<usize> = ThreadLocal::new(|| 1);

const ENTRY_POINTS: &[EntryPoint] = &[
    EntryPoint {
        name: "ThreadLocal::try_with",
        call: || {
            count(HERE.try_with(|n| n.set(n.get() + 1)));
            count(DROPS.try_with(|n| n.0.set(n.0.get() + 1)));
        },
        is_refused: true,
    },
    EntryPoint {
        name: "ThreadLocal::try_with of many",
        call: || count(next(&MANY).try_with(|_| ())),
        is_refused: true,
    },
    EntryPoint {
        name: TABLE,
        call: || {
            count(HIGH.try_with(|_| ()));
            count(HIGH.prepare());
        },
        is_refused: true,
    },
    EntryPoint {
        name: "ThreadLocal::with",
        // Where it is refused it panics, which allocates, too.
        call: || {
            unless_nested(|| {
                let used = catch_unwind(|| HERE.with(|n| n.set(n.get() + 1)));
                count(used.map_err(|_| AccessError::Recursive));
            })
        },
        is_refused: false,
    },
    EntryPoint {
        name: "ThreadLocal::prepare",
        call: || {
            count(HERE.prepare());
            count(next(&MANY).prepare());
        },
        is_refused: true,
    },
    EntryPoint {
        name: "ThreadLocal::with_existing",
        call: || {
            HERE.with_existing(|n| n.set(n.get() + 1));
            DROPS.with_existing(|n| n.0.set(n.0.get() + 1));
            count(Ok(()));
        },
        is_refused: false,
    },
    EntryPoint {
        name: "ThreadLocal::remove and drop",
        call: || {
            unless_nested(|| {
                let mut object = ThreadLocal::new(|| Dropped(Cell::new(0)));
                count(object.try_with(|_| ()));
                drop(object.remove());
                count(object.try_with(|_| ()));
            })
        },
        is_refused: false,
    },
    EntryPoint {
        name: "PerThread::try_with",
        call: || {
            count(VALUES.try_with(|n| n.fetch_add(1, SeqCst)));
            count(next(&MANY_PER_THREAD).try_with(|_| ()));
        },
        is_refused: true,
    },
    EntryPoint {
        name: "PerThread::prepare",
        call: || {
            count(VALUES.prepare());
            count(next(&MANY_PER_THREAD).prepare());
        },
        is_refused: false,
    },
    EntryPoint {
        name: "PerThread::with_existing, iter and len",
        call: || {
            VALUES.with_existing(|n| n.fetch_add(1, SeqCst));
            let sum: usize = VALUES.iter().map(|n| n.load(SeqCst)).sum();
            assert!(sum < usize::MAX && VALUES.len() < 1_000);
            count(Ok(()));
        },
        is_refused: false,
    },
    EntryPoint {
        name: "PerThread::remove, drain, clear and drop",
        call: || {
            unless_nested(|| {
                let mut object = PerThread::new(|| Dropped(Cell::new(0)));
                count(object.try_with(|_| ()));
                drop(object.remove());
                count(object.try_with(|_| ()));
                object.drain().for_each(drop);
                count(object.try_with(|_| ()));
                object.clear();
                count(object.try_get_mut().map(|n| n.0.set(1)));
            })
        },
        is_refused: false,
    },
    EntryPoint {
        name: "reclaim",
        call: || {
            reclaim();
            count(Ok(()));
        },
        is_refused: false,
    },
    EntryPoint {
        name: "all of them in turn",
        call: || (next(&ENTRY_POINTS[..ENTRY_POINTS.len() - 1]).call)(),
        is_refused: true,
    },
];

// ---------------------------------------------------------------------------------------------- the program

static STATICS: [ThreadLocal<Vec<usize>>; 40] = {
    #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
    const ONE: ThreadLocal<Vec<usize>> = ThreadLocal::new(|| vec![1]);
    [ONE; 40]
};

/// Everything in which the crate allocates or frees: first uses, numbers and tables that grow, `prepare`, removal, drops here and in another
/// thread, what these leave, the end of a thread.
fn work() {
    let shared: Arc<Vec<_>> =
        Arc::new((0..60).map(|n| ThreadLocal::from_fn(move || vec![n])).collect());
    let (used, is_used) = sync_channel(1);
    let (dropped, is_dropped) = sync_channel::<()>(1);
    let theirs = Arc::clone(&shared);
    let thread = thread::spawn(move || {
        theirs.iter().enumerate().for_each(|(n, o)| o.with(|v| assert_eq!(*v, [n])));
        drop(theirs);
        used.send(()).unwrap();
        is_dropped.recv().unwrap();
        reclaim();

        let mut objects: Vec<_> = (0..60).map(|n| ThreadLocal::from_fn(move || vec![n])).collect();
        let plain: Vec<_> = (0..60).map(|n| ThreadLocal::from_fn(move || n)).collect();
        plain.iter().for_each(|o| o.prepare().unwrap());
        for (n, (object, plain)) in objects.iter().zip(&plain).enumerate() {
            object.with(|v| assert_eq!(*v, [n]));
            assert_eq!(plain.with(|v| *v), n);
        }
        for (n, object) in objects.iter_mut().enumerate().step_by(7) {
            assert_eq!(object.remove(), Some(vec![n]));
        }
        let values = PerThread::new(|| String::from("x"));
        values.prepare().unwrap();
        values.with(|s| assert_eq!(s, "x"));
        assert_eq!(values.iter().count(), 1);
        // These values end with the thread, the others with their objects.
        STATICS.iter().for_each(|o| o.with(|v| assert_eq!(*v, [1])));
    });
    is_used.recv().unwrap();
    drop(shared);
    dropped.send(()).unwrap();
    thread.join().unwrap();
}

/// Allocations, without those that the values of `PerThread` may take: threads to come inherit them.
fn live() -> isize {
    let values: usize = MANY_PER_THREAD.iter().map(PerThread::len).sum();
    LIVE.load(SeqCst) - (values + VALUES.len()) as isize
}

fn run(name: &str) {
    let index = ENTRY_POINTS.iter().position(|entry_point| entry_point.name == name).unwrap();
    // What `with` panics with, in the allocator, is not printed.
    panic::set_hook(Box::new(|info| {
        if !info.to_string().contains("cannot access a ThreadLocal") {
            eprintln!("{}", info);
        }
    }));
    if name == TABLE {
        MANY.iter().for_each(|o| o.prepare().unwrap());
        HIGH.prepare().unwrap();
    }
    ENTRY.store(index + 1, SeqCst);
    let (rounds, threads) = (children::fewer(10), children::fewer(30));
    (0..rounds).for_each(|_| work());
    // What this thread's allocations make in it is there.
    MANY.iter().for_each(|o| o.with(|_| ()));
    // And what later threads keep because these have numbers.
    (0..2).for_each(|_| work());
    let before = live();
    (0..threads).for_each(|_| work());
    let grown = live() - before;
    ENTRY.store(0, SeqCst);
    let outcomes: Vec<_> = OUTCOMES.iter().map(|n| n.load(SeqCst)).collect();
    println!("values and errors: {:?}; {} threads left {} allocations", outcomes, threads, grown);
    // A thread that leaked its record or its table would leave at least one. (On Windows std frees its own thread-locals after the
    // crate's callback, and values that the allocator makes then are leaked: see the documentation of `ThreadLocal`.)
    let mut most = threads / 2;
    if !STD_DESTROYS {
        // One for each thread that has waited in a channel.
        most += threads;
    }
    assert!(grown < most as isize || cfg!(windows), "{} allocations are left", grown);
    assert!(outcomes[0] > 0);
    assert!(outcomes[1] > 0 || !ENTRY_POINTS[index].is_refused, "{:?}", outcomes);
    assert_eq!((outcomes[3], outcomes[4]), (0, 0));
}

fn main() {
    if let Some(name) = children::case() {
        return run(&name);
    }
    if !children::can_start() {
        return run(ENTRY_POINTS.last().unwrap().name);
    }
    let mut failed = Vec::new();
    for entry_point in ENTRY_POINTS {
        match children::run_for(entry_point.name, Duration::from_secs(300)) {
            Some(output) if output.status.success() => {
                print!("{}: {}", entry_point.name, children::printed(&output));
            }
            Some(output) => {
                let complained = children::complained(&output);
                println!("{}: {}: {}", entry_point.name, output.status, complained.trim());
                failed.push(entry_point.name);
            }
            None => {
                println!("{}: hangs", entry_point.name);
                failed.push(entry_point.name);
            }
        }
    }
    assert!(failed.is_empty(), "{:?}", failed);
}
