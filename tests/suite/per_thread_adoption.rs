//! A value of a `PerThread` outlives its thread, and a later thread may inherit it: exactly one thread, after the first can no
//! longer use it.
//!
//! While other threads start and exit, as in these tests, it is unspecified which thread inherits which value. For threads that run one
//! after another see `tests/per_thread_inheritance.rs`.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use crate::common::{in_thread, OnDrop, STD_DESTROYS};
use os_thread_local::{PerThread, ThreadLocal};

fn address<T>(value: &T) -> usize {
    value as *const T as usize
}

/// A thread that has no value yet and runs a function when it is asked to. It is started beforehand: on Windows a
/// destructor that waits for a new thread to start deadlocks, because both need the loader's lock. It is not called through std's
/// channels, which leak memory in a thread whose thread-local values are gone.
struct Helper(Arc<Shared>);

#[derive(Default)]
struct Shared {
    argument: AtomicUsize,
    state: AtomicUsize,
}

const READY: usize = 1;
const ASKED: usize = 2;
const DONE: usize = 3;
const FAILED: usize = 4;

impl Helper {
    fn new(f: fn(usize)) -> Helper {
        let shared = Arc::new(Shared::default());
        let helper = Helper(shared.clone());
        thread::spawn(move || {
            shared.state.store(READY, SeqCst);
            while shared.state.load(SeqCst) != ASKED {
                thread::yield_now();
            }
            let result = catch_unwind(|| f(shared.argument.load(SeqCst)));
            shared.state.store(if result.is_ok() { DONE } else { FAILED }, SeqCst);
        });
        // `spawn` returns before the new thread has had that lock.
        while helper.0.state.load(SeqCst) != READY {
            thread::yield_now();
        }
        helper
    }

    fn run(self, argument: usize) {
        self.0.argument.store(argument, SeqCst);
        self.0.state.store(ASKED, SeqCst);
        while self.0.state.load(SeqCst) == ASKED {
            thread::yield_now();
        }
        assert_eq!(self.0.state.load(SeqCst), DONE);
    }
}

#[test]
fn with_existing_makes_none() {
    let object = PerThread::new(|| Cell::new(1));
    object.prepare().unwrap();
    thread::scope(|s| {
        s.spawn(|| object.with(|v| v.set(2))).join().unwrap();
    });
    assert_eq!((object.with_existing(Cell::get), object.len()), (None, 1));
    // Inherited, or a new one.
    let value = object.with(Cell::get);
    assert!(value == 2 && object.len() == 1 || value == 1 && object.len() == 2);
    assert_eq!(object.with_existing(Cell::get), Some(value));
}

#[test]
fn a_removed_value_is_not_inherited() {
    let mut object = PerThread::new(|| Cell::new(1));
    object.with(|v| v.set(2));
    assert_eq!(object.remove().map(Cell::into_inner), Some(2));
    thread::scope(|s| {
        s.spawn(|| assert_eq!(object.with(Cell::get), 1)).join().unwrap();
    });
    // That thread's value is left, and this thread inherits it or has another.
    object.with(|v| v.set(3));
    assert!((1..=2).contains(&object.len()));
    assert!(object.into_iter().map(Cell::into_inner).all(|v| v == 3 || v == 1));
}

/// No other thread gets a value while its thread can use it, including in destructors at thread exit.
///
/// In the `thread_local` crate a thread's number, and with it its values, pass to the next thread in the middle of these
/// destructors, and references outlive that (its issue 75).
#[test]
fn no_value_has_two_threads() {
    static OBJECT: PerThread<Cell<u32>> = PerThread::new(|| Cell::new(0));
    static CHECKS: AtomicUsize = AtomicUsize::new(0);

    /// Uses the value here and, in the middle of that, in another thread.
    fn check(helper: Helper) {
        OBJECT.with(|ours| {
            ours.set(1);
            helper.run(address(ours));
            assert_eq!(ours.get(), 1);
        });
        CHECKS.fetch_add(1, SeqCst);
    }
    fn helper() -> Helper {
        Helper::new(|ours_at| {
            OBJECT.with(|theirs| {
                assert_ne!(address(theirs), ours_at);
                theirs.set(2);
            })
        })
    }
    #[derive(Default)]
    struct Check(Cell<Option<Helper>>);
    impl Drop for Check {
        fn drop(&mut self) {
            check(self.0.take().unwrap());
        }
    }
    std::thread_local!(static IN_STD: Check = Check::default());
    static IN_OURS: ThreadLocal<Check> = ThreadLocal::new(Check::default);

    // The order in which a thread uses them is the order in which they end, or the reverse.
    let uses: [fn(); 3] = [
        || IN_STD.with(|c| c.0.set(Some(helper()))),
        || IN_OURS.with(|c| c.0.set(Some(helper()))),
        || check(helper()),
    ];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        in_thread(move || order.iter().for_each(|&i| uses[i]()));
    }
    let checks = if STD_DESTROYS { 3 } else { 2 };
    assert_eq!(CHECKS.load(SeqCst), 6 * checks);
}

/// A destructor of this crate's finds the value that the thread had all along, not one that another thread left.
#[test]
fn destructors_find_the_threads_own_value() {
    static OBJECT: PerThread<Cell<u32>> = PerThread::new(|| Cell::new(0));
    type Last = RefCell<Option<OnDrop<Box<dyn FnMut()>>>>;
    static LAST: ThreadLocal<Last> = ThreadLocal::new(|| RefCell::new(None));
    static SEEN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

    let leave_values = || {
        // Two at once, so that a value is left to inherit when both threads have ended.
        let both = Barrier::new(2);
        thread::scope(|s| {
            let use_it = || {
                OBJECT.with(|v| v.set(9));
                both.wait();
            };
            let threads = [s.spawn(use_it), s.spawn(use_it)];
            threads.into_iter().for_each(|t| t.join().unwrap());
        });
    };
    for object_first in [true, false] {
        leave_values();
        in_thread(move || {
            let use_it = || OBJECT.with(|v| v.set(7));
            if object_first {
                use_it();
            }
            let mut helper = Some(Helper::new(|_| OBJECT.with(|v| v.set(8))));
            LAST.with_borrow_mut(|last| {
                *last = Some(OnDrop(Box::new(move || {
                    helper.take().unwrap().run(0);
                    SEEN.lock().unwrap().push(OBJECT.with(Cell::get));
                })));
            });
            use_it();
        });
    }
    assert_eq!(*SEEN.lock().unwrap(), [7, 7]);
}

/// Threads that come and go at random: what they count is all there.
#[test]
fn nothing_is_lost_among_threads_that_come_and_go() {
    const LINES: usize = 4;
    const THREADS: u64 = 40;
    let object = PerThread::new(|| Cell::new(0u64));
    let counted: u64 = thread::scope(|s| {
        let object = &object;
        let lines: Vec<_> = (0..LINES)
            .map(|_| {
                s.spawn(move || {
                    for n in 0..THREADS {
                        thread::scope(|s| {
                            s.spawn(|| (0..n).for_each(|_| object.with(|v| v.set(v.get() + 1))))
                                .join()
                                .unwrap();
                        });
                    }
                    (0..THREADS).sum::<u64>()
                })
            })
            .collect();
        lines.into_iter().map(|line| line.join().unwrap()).sum()
    });
    assert_eq!(object.into_iter().map(Cell::into_inner).sum::<u64>(), counted);
}

#[test]
fn every_value_is_at_an_address_of_its_own() {
    const THREADS: usize = 8;
    let object = PerThread::new(|| Cell::new(0u8));
    let seen = Mutex::new(HashSet::new());
    let all = Barrier::new(THREADS);
    thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                object.with(|v| assert!(seen.lock().unwrap().insert(address(v))));
                all.wait();
            });
        }
    });
    assert_eq!(seen.lock().unwrap().len(), THREADS);
}
