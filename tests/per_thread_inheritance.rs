//! A value of a `PerThread` outlives its thread, and a later thread inherits it: there are never more values than threads
//! were alive at once.
//!
//! One test, in a process of its own: otherwise the next thread could inherit the values of another test's thread. For what
//! holds whatever other threads do see `tests/suite/per_thread_adoption.rs`.

#![cfg(feature = "alloc")]

mod common;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Barrier;
use std::thread;

use common::{in_thread, Log, OnDrop};
use os_thread_local::{PerThread, ThreadLocal};

/// Runs `f` in a new thread and waits until that thread has ended.
fn alone<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|s| s.spawn(f).join().unwrap())
}

#[test]
fn later_threads_inherit() {
    // The thread of the test itself uses no object before the end: it would have what a new thread is to inherit.
    threads_one_after_another_share_one_value();
    a_thread_leaves_all_it_has();
    a_value_that_a_destructor_makes_is_inherited();
    values_that_an_initializer_makes_end_with_their_thread();
    every_method_finds_what_a_thread_left();
    what_was_taken_out_is_not_inherited();
    // From here on more than one thread has been there at a time.
    as_many_values_as_threads_at_once();
    nothing_is_lost_among_threads_that_come_and_go();
    new_objects_after_many_threads();
    the_last_owner_finds_all();
}

fn threads_one_after_another_share_one_value() {
    let made = AtomicUsize::new(0);
    let object = PerThread::from_fn(|| {
        made.fetch_add(1, SeqCst);
        Cell::new(0)
    });
    for n in 0..50 {
        alone(|| {
            // The value of the previous thread.
            object.with(|v| assert_eq!(v.replace(v.get() + 1), n));
            object.with(|v| assert_eq!(v.get(), n + 1));
        });
        assert_eq!((made.load(SeqCst), object.len()), (1, 1));
    }
    assert_eq!(object.into_iter().map(Cell::into_inner).collect::<Vec<_>>(), [50]);
}

/// In the record and in its table, and more than a thread gives up in one go; objects of both kinds, dropped in between.
fn a_thread_leaves_all_it_has() {
    const OBJECTS: usize = 300;
    let others: Vec<_> = (0..OBJECTS).map(|_| ThreadLocal::new(|| Box::new(1))).collect();
    let mut objects: Vec<_> = (0..OBJECTS).map(|_| PerThread::new(|| Cell::new(0))).collect();
    for round in 0..6 {
        alone(|| {
            for (object, other) in objects.iter().zip(&others) {
                object.with(|v| v.set(v.get() + 1));
                other.with(|_| ());
            }
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

/// The first values of the thread are made inside the initializer of a value that later threads inherit.
fn values_that_an_initializer_makes_end_with_their_thread() {
    let plain = ThreadLocal::new(|| Cell::new(0));
    let large = ThreadLocal::new(|| Cell::new([0; 100]));
    let outer = PerThread::from_fn(|| {
        plain.with(|v| v.set(v.get() + 1));
        large.with(|v| v.set([v.get()[99] + 1; 100]));
        Cell::new(0)
    });
    for n in 0..3 {
        alone(|| {
            assert_eq!(plain.with_existing(Cell::get), None);
            outer.with(|v| assert_eq!(v.replace(v.get() + 1), n));
            // In the first thread only the initializer has run.
            let made = if n == 0 { 1 } else { 0 };
            assert_eq!(plain.with(Cell::get), made);
            assert_eq!(large.with(|v| v.get()[99]), made);
        });
    }
    assert_eq!(outer.len(), 1);
}

/// Later threads inherit the values that destructors make at a thread's end, like all others.
fn a_value_that_a_destructor_makes_is_inherited() {
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

fn every_method_finds_what_a_thread_left() {
    let object = PerThread::new(|| Cell::new(1));
    alone(|| object.with_or(|| Cell::new(5), |_| ()));
    assert_eq!(alone(|| object.get()), 5);
    assert_eq!(alone(|| object.with_or(|| Cell::new(6), Cell::get)), 5);
    assert_eq!(alone(|| object.replace(7)), 5);
    assert_eq!((alone(|| object.take()), object.len()), (7, 1));

    let log = Log::new();
    let mut object = PerThread::from_fn(|| RefCell::new(log.entry(1)));
    alone(|| object.with(|_| ()));
    // `set` replaces the value that is there.
    alone(|| object.set(log.entry(2)));
    assert_eq!((log.take(), object.len()), (vec![1], 1));
    assert_eq!(alone(|| object.with_borrow(|v| v.name)), 2);
    let object_ref = &mut object;
    alone(move || object_ref.get_mut().get_mut().name = 3);
    let object_ref = &mut object;
    let removed = alone(move || {
        object_ref.with(|_| ());
        object_ref.remove()
    });
    assert_eq!(removed.map(|v| v.borrow().name), Some(3));
    assert_eq!((log.take(), object.len()), (vec![3], 0));
}

fn what_was_taken_out_is_not_inherited() {
    let mut object = PerThread::new(|| Cell::new(1));
    let object_ref = &mut object;
    alone(move || {
        object_ref.set(2);
        assert_eq!(object_ref.remove().map(Cell::into_inner), Some(2));
    });
    assert_eq!(alone(|| object.replace(3)), 1);
    assert_eq!(object.drain().map(Cell::into_inner).collect::<Vec<_>>(), [3]);
    assert_eq!(alone(|| object.replace(4)), 1);
    object.clear();
    assert_eq!((alone(|| object.get()), object.len()), (1, 1));
}

const AT_ONCE: usize = 5;

/// Uses the object in so many threads at once.
fn at_once(threads: usize, f: impl Fn() + Sync) {
    let all_have_one = Barrier::new(threads);
    thread::scope(|s| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                s.spawn(|| {
                    f();
                    all_have_one.wait();
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}

fn as_many_values_as_threads_at_once() {
    let made = AtomicUsize::new(0);
    let object = PerThread::from_fn(|| {
        made.fetch_add(1, SeqCst);
        Cell::new(0)
    });
    let (mut uses, mut most) = (0, 0);
    for threads in [1, 3, 3, AT_ONCE, AT_ONCE, 2, AT_ONCE] {
        at_once(threads, || object.with(|v| v.set(v.get() + 1)));
        uses += threads;
        most = most.max(threads);
        assert_eq!((made.load(SeqCst), object.len()), (most, most));
    }
    assert_eq!(object.into_iter().map(Cell::into_inner).sum::<usize>(), uses);
}

/// Threads that come and go at random: what they count is all there, in no more values than threads at once.
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
                        alone(|| (0..n).for_each(|_| object.with(|v| v.set(v.get() + 1))));
                    }
                    (0..THREADS).sum::<u64>()
                })
            })
            .collect();
        lines.into_iter().map(|line| line.join().unwrap()).sum()
    });
    // One for each of the threads that there have been at a time, whatever they used.
    assert!(object.len() <= AT_ONCE, "{}", object.len());
    assert_eq!(object.into_iter().map(Cell::into_inner).sum::<u64>(), counted);
}

/// It is unspecified which ended thread's value a new thread inherits, but there are never more values than there were threads.
fn new_objects_after_many_threads() {
    let objects: Vec<_> = (0..50).map(|_| PerThread::new(|| Cell::new(0))).collect();
    for _ in 0..20 {
        alone(|| objects.iter().for_each(|o| o.with(|v| v.set(v.get() + 1))));
    }
    for object in objects {
        assert!(object.len() <= AT_ONCE, "{}", object.len());
        assert_eq!(object.into_iter().map(Cell::into_inner).sum::<u32>(), 20);
    }
}

/// The thread that owns the object sees the values of ended threads, and has at most one value more.
fn the_last_owner_finds_all() {
    let mut object = PerThread::new(|| Cell::new(0));
    at_once(AT_ONCE, || object.with(|v| v.set(v.get() + 1)));
    object.with(|v| v.set(v.get() + 1));
    let len = object.len();
    assert!(len <= AT_ONCE + 1, "{}", len);
    assert_eq!(object.iter_mut().count(), len);
    assert_eq!(object.drain().map(Cell::into_inner).sum::<usize>(), AT_ONCE + 1);
    assert_eq!(object.get(), 0);
}
