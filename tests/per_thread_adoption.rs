//! A value of a `PerThread` outlives its thread and is taken over by a later one: by one, and only when its thread is
//! through with it.

#![cfg(feature = "alloc")]

mod common;

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use common::{in_thread, OnDrop};
use os_thread_local::{PerThread, ThreadLocal};

fn address<T>(value: &T) -> usize {
    value as *const T as usize
}

/// A thread that has no value yet and runs a function when it is asked to. It is started beforehand: on Windows a
/// destructor that waits for a new thread to start waits forever, for both want the loader's lock. And it is asked without std's
/// channels, which leave something behind in a thread whose thread-local values are gone.
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
fn threads_one_after_another_share_one_value() {
    let made = AtomicUsize::new(0);
    let object = PerThread::from_fn(|| {
        made.fetch_add(1, SeqCst);
        Cell::new(0)
    });
    for n in 0..50 {
        thread::scope(|s| {
            s.spawn(|| {
                // As the thread before left it.
                object.with(|v| assert_eq!(v.replace(v.get() + 1), n));
                object.with(|v| assert_eq!(v.get(), n + 1));
            })
            .join()
            .unwrap();
        });
    }
    assert_eq!((made.load(SeqCst), object.len()), (1, 1));
    assert_eq!(object.into_iter().map(Cell::into_inner).collect::<Vec<_>>(), [50]);
}

#[test]
fn as_many_values_as_threads_at_once() {
    const AT_ONCE: usize = 5;
    let made = AtomicUsize::new(0);
    let object = PerThread::from_fn(|| {
        made.fetch_add(1, SeqCst);
        Cell::new(0)
    });
    // Each wave is as large as the one before or larger; no wave makes more values than it lacks.
    for at_once in [1, 3, 3, AT_ONCE, AT_ONCE, 2, AT_ONCE] {
        let all_have_one = Barrier::new(at_once);
        thread::scope(|s| {
            let threads: Vec<_> = (0..at_once)
                .map(|_| {
                    s.spawn(|| {
                        object.with(|v| v.set(v.get() + 1));
                        all_have_one.wait();
                    })
                })
                .collect();
            threads.into_iter().for_each(|t| t.join().unwrap());
        });
        assert_eq!(made.load(SeqCst), object.len());
        assert!(object.len() <= AT_ONCE);
    }
    assert_eq!(made.load(SeqCst), AT_ONCE);
    let uses: usize = object.into_iter().map(Cell::into_inner).sum();
    assert_eq!(uses, 1 + 3 + 3 + AT_ONCE + AT_ONCE + 2 + AT_ONCE);
}

/// Beyond the inline entries, and beyond what a thread gives up in one go; objects of both kinds, dropped in between.
#[test]
fn a_thread_leaves_all_it_has() {
    const OBJECTS: usize = 300;
    let others: Vec<_> = (0..OBJECTS).map(|_| ThreadLocal::new(|| Box::new(1))).collect();
    let mut objects: Vec<_> = (0..OBJECTS).map(|_| PerThread::new(|| Cell::new(0))).collect();
    for round in 0..6 {
        thread::scope(|s| {
            s.spawn(|| {
                for (object, other) in objects.iter().zip(&others) {
                    object.with(|v| v.set(v.get() + 1));
                    other.with(|_| ());
                }
            })
            .join()
            .unwrap();
        });
        // Numbers of objects that are gone go to new ones.
        if round == 2 {
            for object in objects.iter_mut().step_by(3) {
                *object = PerThread::new(|| Cell::new(3));
            }
        }
    }
    for object in objects {
        assert_eq!(object.into_iter().map(Cell::into_inner).collect::<Vec<_>>(), [6]);
    }
}

#[test]
fn with_existing_takes_over_none() {
    let object = PerThread::new(|| Cell::new(1));
    thread::scope(|s| {
        s.spawn(|| object.with(|v| v.set(2))).join().unwrap();
    });
    assert_eq!(object.with_existing(Cell::get), None);
    assert_eq!(object.with(Cell::get), 2);
    assert_eq!(object.with_existing(Cell::get), Some(2));
}

#[test]
fn a_removed_value_is_not_taken_over() {
    let mut object = PerThread::new(|| Cell::new(1));
    object.with(|v| v.set(2));
    assert_eq!(object.remove().map(Cell::into_inner), Some(2));
    thread::scope(|s| {
        s.spawn(|| assert_eq!(object.with(Cell::get), 1)).join().unwrap();
    });
    // The main thread takes over what that thread left.
    object.with(|v| v.set(3));
    assert_eq!((object.len(), object.into_iter().next().unwrap().get()), (1, 3));
}

/// While a thread has a value, also in the destructors at its end, nobody else gets it.
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
    assert_eq!(CHECKS.load(SeqCst), 6 * 3);
}

/// A destructor of this crate's finds the value that the thread had all along, not one that another thread left.
#[test]
fn destructors_find_the_threads_own_value() {
    static OBJECT: PerThread<Cell<u32>> = PerThread::new(|| Cell::new(0));
    type Last = RefCell<Option<OnDrop<Box<dyn FnMut()>>>>;
    static LAST: ThreadLocal<Last> = ThreadLocal::new(|| RefCell::new(None));
    static SEEN: Mutex<Vec<u32>> = Mutex::new(Vec::new());

    let spare = || {
        // Two at once, so that there is a spare one when both are gone.
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
        spare();
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

/// What the destructors at a thread's end make is left to later threads like the rest.
#[test]
fn a_value_that_a_destructor_makes_is_taken_over() {
    static OBJECT: PerThread<Cell<u32>> = PerThread::new(|| Cell::new(0));
    for n in 0..4 {
        let last = ThreadLocal::from_fn(move || {
            OnDrop(move || OBJECT.with(|v| assert_eq!(v.replace(n + 1), n)))
        });
        in_thread(move || {
            last.with(|_| ());
            // Dropped by another thread, or by this one's destructors: not here.
            std::mem::forget(last);
        });
        assert_eq!(OBJECT.len(), 1);
    }
}

/// Threads that come and go at random: what they count is all there, in no more values than threads at once.
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
    // One for each line's thread of the moment.
    assert!(object.len() <= LINES, "{}", object.len());
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
