//! Initializers of a `PerThread` that panic, fail or recurse, and values whose `Drop` panics.

#![cfg(feature = "alloc")]

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::sync::Barrier;
use std::thread;

use crate::common::{in_thread, Log, OnDrop};
use os_thread_local::{AccessError, InitError, PerThread};

fn panics(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

#[test]
fn a_panicking_initializer_leaves_nothing_and_runs_again() {
    let runs = AtomicU32::new(0);
    // Inline entries and the table.
    let objects: Vec<_> = (0..40)
        .map(|_| {
            PerThread::from_fn(|| {
                assert!(runs.fetch_add(1, SeqCst) >= 80, "planned");
                Cell::new(1)
            })
        })
        .collect();
    for object in objects.iter().chain(&objects) {
        assert!(panics(|| object.with(|_| ())));
        assert!(object.is_empty());
        assert_eq!(object.with_existing(Cell::get), None);
    }
    for object in &objects {
        assert_eq!(object.with(Cell::get), 1);
    }
    assert_eq!(runs.load(SeqCst), 120);
}

#[test]
fn a_recursive_initializer_gets_an_error() {
    static OBJECT: PerThread<u32> = PerThread::new(|| {
        assert_eq!(OBJECT.try_with(|v| *v), Err(AccessError::Recursive));
        assert_eq!(OBJECT.with_existing(|v| *v), None);
        let error = OBJECT.with_or_try(|| Ok::<_, ()>(2), |v| *v);
        assert_eq!(error, Err(InitError::Access(AccessError::Recursive)));
        assert_eq!(OBJECT.try_with_or(|| 2, |v| *v), Err(AccessError::Recursive));
        // Another thread is not affected, and its value is not inherited during this access.
        if !IN_THREAD.swap(true, SeqCst) {
            assert_eq!(in_thread(|| OBJECT.with(|v| *v)), 1);
            assert_eq!(OBJECT.len(), 1);
        }
        1
    });
    static IN_THREAD: AtomicBool = AtomicBool::new(false);
    assert_eq!(OBJECT.with(|v| *v), 1);
    assert_eq!(OBJECT.len(), 2);

    static PANICS: PerThread<u32> = PerThread::new(|| PANICS.with(|v| *v));
    let panic = catch_unwind(|| PANICS.with(|_| ())).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("PerThread") && message.contains("initializer"), "{}", message);
}

#[test]
fn initializers_use_other_objects() {
    let inner: Vec<_> = (0..100).map(|n| PerThread::from_fn(move || n)).collect();
    let outer = PerThread::from_fn(|| inner.iter().map(|o| o.with(|v| *v)).sum::<u32>());
    thread::scope(|s| {
        s.spawn(|| assert_eq!(outer.with(|v| *v), 4950));
    });
    assert_eq!(outer.with(|v| *v), 4950);
}

#[test]
fn a_panic_in_the_closure_changes_nothing() {
    let object = PerThread::new(|| Cell::new(1));
    assert!(panics(|| object.with(|v| {
        v.set(2);
        panic!("planned");
    })));
    assert_eq!(object.with(Cell::get), 2);
    let object = PerThread::new(|| 1);
    object.with(|_| ());
    assert!(panics(|| object.for_each(|_| panic!("planned"))));
    assert_eq!(object.iter().sum::<u32>(), 1);
}

/// One value panics when it is destroyed. The others are still destroyed, each once.
#[test]
fn a_panicking_drop_does_not_leak_the_other_values() {
    const VALUES: u32 = 5;
    let log = Log::new();
    for bad in 0..VALUES {
        let make = || {
            let (log, next) = (log.clone(), AtomicU32::new(0));
            let object = PerThread::from_fn(move || {
                let n = next.fetch_add(1, SeqCst);
                let log = log.clone();
                OnDrop(move || {
                    log.push(n);
                    assert!(n != bad, "planned");
                })
            });
            let all = Barrier::new(VALUES as usize);
            thread::scope(|s| {
                let threads: Vec<_> = (0..VALUES)
                    .map(|_| {
                        s.spawn(|| {
                            object.with(|_| ());
                            all.wait();
                        })
                    })
                    .collect();
                threads.into_iter().for_each(|t| t.join().unwrap());
            });
            object
        };
        let all_once = || {
            let mut names = log.take();
            names.sort_unstable();
            assert_eq!(names, [0, 1, 2, 3, 4]);
        };

        assert!(panics(|| drop(make())));
        all_once();

        let mut object = make();
        assert!(panics(|| object.clear()));
        all_once();
        // It works, with the next number; and the object's end is not disturbed.
        object.with(|_| ());
        drop(object);
        assert_eq!(log.take(), [VALUES]);

        assert!(panics(|| drop(make().into_iter())));
        all_once();
        assert!(panics(|| {
            let mut object = make();
            let mut values = object.drain();
            let first = values.next();
            drop(values);
            drop(first);
        }));
        all_once();
    }
}

/// At a thread's end no value of a `PerThread` is destroyed, so none can panic there.
#[test]
fn a_value_whose_drop_panics_does_not_abort_its_thread() {
    let object = PerThread::new(|| OnDrop(|| panic!("planned")));
    thread::scope(|s| {
        s.spawn(|| object.with(|_| ())).join().unwrap();
    });
    assert!(panics(|| drop(object)));
}
