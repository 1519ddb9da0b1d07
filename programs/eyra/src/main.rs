//! std on a libc that is written in Rust ([eyra](https://docs.rs/eyra)): no C library and no dynamic loader.
//!
//! `ci/minimal-libc` builds it twice: statically (`-C target-feature=+crt-static`), and as a position-independent program with
//! `--cfg os_thread_local_no_loader`, without which `dlopen` and `dladdr` are undefined.

extern crate eyra;

use os_thread_local::{PerThread, ThreadLocal};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

static CREATED: AtomicUsize = AtomicUsize::new(0);
static DESTROYED: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Counted {
    fn new() -> Counted {
        CREATED.fetch_add(1, SeqCst);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        DESTROYED.fetch_add(1, SeqCst);
    }
}

static LOG: ThreadLocal<RefCell<Vec<usize>>> = ThreadLocal::new(RefCell::default);
static COUNTED: ThreadLocal<Counted> = ThreadLocal::new(Counted::new);

/// The main thread's value: `ci/minimal-libc` checks that its destructor prints.
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        println!("the main thread's value is destroyed");
    }
}

static LAST: ThreadLocal<Last> = ThreadLocal::new(|| Last);

fn main() {
    LAST.with(|_| ());

    let objects: Vec<ThreadLocal<Cell<usize>>> =
        (0..5_000).map(|_| ThreadLocal::new(|| Cell::new(1))).collect();
    let total = PerThread::new(|| Cell::new(0));
    for round in 1..=3 {
        thread::scope(|scope| {
            for number in 0..4 {
                let (objects, total) = (&objects, &total);
                scope.spawn(move || {
                    COUNTED.with(|_| ());
                    LOG.with_borrow_mut(|log| log.push(number));
                    assert_eq!(LOG.with_borrow(|log| log.clone()), [number]);
                    for object in objects {
                        assert_eq!(object.get(), 1);
                        object.set(number);
                    }
                    total.with(|sum| sum.set(sum.get() + objects.len()));
                });
            }
        });
        assert_eq!(CREATED.load(SeqCst), 4 * round);
        // A scope waits for the closures of its threads, not for the destructors of thread-locals.
        while DESTROYED.load(SeqCst) < 4 * round {
            thread::yield_now();
        }
    }
    assert!(objects.iter().all(|object| object.get() == 1));
    assert_eq!(total.into_iter().map(Cell::into_inner).sum::<usize>(), 3 * 4 * 5_000);

    // Dropped while another thread has a value.
    let object = ThreadLocal::new(Counted::new);
    object.with(|_| ());
    thread::scope(|scope| {
        scope.spawn(move || {
            object.with(|_| ());
            drop(object);
        });
    });
    os_thread_local::reclaim();
    while DESTROYED.load(SeqCst) < 14 {
        thread::yield_now();
    }
    println!("done");
}
