//! Objects that move, and are dropped, while other threads run their destructors for them.
//!
//! Nothing that another thread writes may live inside an object: these tests corrupt the heap if it does.

#![cfg(feature = "alloc")]

use std::cell::RefCell;
use std::mem;
use std::sync::{mpsc, Arc, Barrier};
use std::thread;

use crate::children::fewer;
use crate::common::{Census, Counted, LastWords, OnDrop};
use os_thread_local::{reclaim, ThreadLocal};

const THREADS: usize = 3;

/// The newest value of each thread: destroyed first, it waits for all threads, so that they start to destroy the other values when the main
/// thread starts to move and drop the objects.
static GATE: ThreadLocal<RefCell<Option<LastWords>>> = ThreadLocal::new(|| RefCell::new(None));

/// Uses every object in `THREADS` threads, lets these end, and gives the objects back while their
/// destructors run.
fn while_threads_end<T: 'static, F: Fn() -> T + Send + Sync + 'static>(
    objects: Vec<ThreadLocal<T, F>>,
    f: impl FnOnce(Vec<ThreadLocal<T, F>>),
) {
    let start = Arc::new(Barrier::new(THREADS + 1));
    let objects = Arc::new(objects);
    let (used, all_used) = mpsc::channel::<()>();
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (objects, start, used) = (Arc::clone(&objects), Arc::clone(&start), used.clone());
            thread::spawn(move || {
                objects.iter().for_each(|o| o.with(|_| ()));
                drop(objects);
                if cfg!(windows) {
                    // Windows ends one thread at a time, under the loader's lock, destructors included: they cannot
                    // wait for one another, in std's thread-locals neither.
                    drop(used);
                    start.wait();
                    return;
                }
                GATE.set(Some(OnDrop(Box::new(move || {
                    start.wait();
                }))));
                drop(used);
            })
        })
        .collect();
    drop(used);
    assert!(all_used.recv().is_err());
    let objects = Arc::try_unwrap(objects).ok().unwrap();
    start.wait();
    f(objects);
    for t in threads {
        t.join().unwrap();
    }
}

fn counted(n: usize, census: &Census) -> Vec<ThreadLocal<Counted, impl Fn() -> Counted>> {
    (0..n)
        .map(|_| {
            let census = census.clone();
            ThreadLocal::from_fn(move || census.count())
        })
        .collect()
}

fn all_destroyed_at_home(n: usize, census: &Census) {
    reclaim();
    assert_eq!((census.built(), census.dropped(), census.strayed()), (n, n, 0));
}

#[test]
fn many_dropped_while_three_threads_end() {
    let count = fewer(50_000);
    let census = Census::new();
    while_threads_end(counted(count, &census), drop);
    all_destroyed_at_home(THREADS * count, &census);
}

#[test]
fn from_the_back_where_the_threads_begin() {
    let count = fewer(20_000);
    let census = Census::new();
    while_threads_end(counted(count, &census), |mut objects| {
        while let Some(object) = objects.pop() {
            drop(object);
        }
    });
    all_destroyed_at_home(THREADS * count, &census);
}

#[test]
fn moved_about_and_then_dropped() {
    let count = fewer(10_000);
    let census = Census::new();
    while_threads_end(counted(count, &census), |mut objects| {
        // Within their vector, out of it and back, into boxes, into a vector that grows.
        for round in 1..4 {
            for i in 0..count {
                objects.swap(i, (i * 7 + round) % count);
            }
        }
        objects.rotate_left(count / 3);
        let boxed: Vec<_> = objects.into_iter().map(Box::new).collect();
        let mut grown = Vec::new();
        for object in boxed {
            grown.push(*object);
        }
        grown.reverse();
        while grown.len() > 1 {
            let at = grown.len() / 2;
            drop(grown.swap_remove(at));
        }
    });
    all_destroyed_at_home(THREADS * count, &census);
}

#[test]
fn sent_to_another_thread_and_dropped_there() {
    let count = fewer(10_000);
    let census = Census::new();
    while_threads_end(counted(count, &census), |objects| {
        let (send, receive) = mpsc::channel();
        let last = thread::spawn(move || receive.into_iter().for_each(drop));
        for object in objects {
            send.send(object).unwrap();
        }
        drop(send);
        last.join().unwrap();
    });
    all_destroyed_at_home(THREADS * count, &census);
}

/// Values without a destructor need not be destroyed by their own threads, so the dropping thread frees them.
#[test]
fn values_without_destructors() {
    let count = fewer(20_000);
    let objects: Vec<ThreadLocal<[u64; 4]>> =
        (0..count).map(|_| ThreadLocal::new(|| [1; 4])).collect();
    while_threads_end(objects, drop);
}

/// Also used by the main thread, whose values are destroyed at once while other threads destroy theirs.
#[test]
fn with_a_value_of_the_dropping_thread() {
    let count = fewer(10_000);
    let census = Census::new();
    while_threads_end(counted(count, &census), |mut objects| {
        for object in &mut objects {
            object.with(|_| ());
        }
        for (i, object) in objects.iter_mut().enumerate() {
            if i % 2 == 0 {
                drop(object.remove().unwrap());
            }
        }
        drop(objects);
    });
    all_destroyed_at_home((THREADS + 1) * count, &census);
}

/// The places of dropped objects are taken by new ones with the same numbers at once.
#[test]
fn replaced_by_new_objects_during_destruction() {
    let count = fewer(10_000);
    let census = Census::new();
    let c = census.clone();
    while_threads_end(counted(count, &census), move |objects| {
        for object in objects {
            drop(object);
            let c = c.clone();
            let next = ThreadLocal::from_fn(move || c.count());
            assert!(next.with_existing(|_| ()).is_none());
            next.with(|_| ());
        }
    });
    all_destroyed_at_home((THREADS + 1) * count, &census);
}

/// Moving an object takes nothing along but two words: every thread finds its value again.
#[test]
fn a_moved_object_keeps_its_values() {
    let mut objects: Vec<ThreadLocal<RefCell<usize>>> =
        (0..100).map(|_| ThreadLocal::new(|| RefCell::new(0))).collect();
    for (i, o) in objects.iter().enumerate() {
        o.set(i);
    }
    let (first, rest) = objects.split_at_mut(50);
    for (a, b) in first.iter_mut().zip(rest) {
        mem::swap(a, b);
    }
    let moved: Vec<Box<ThreadLocal<RefCell<usize>>>> = objects.into_iter().map(Box::new).collect();
    for (i, o) in moved.iter().enumerate() {
        assert_eq!(o.with_borrow(|v| *v), (i + 50) % 100);
    }
}
