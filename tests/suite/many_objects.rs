//! Memory limits the number of objects, not the operating system's number of keys.

#![cfg(feature = "alloc")]

use std::cell::Cell;
use std::thread;

use crate::children::fewer;
use crate::common::Census;
use os_thread_local::ThreadLocal;

const THREADS: usize = 3;

#[test]
fn a_hundred_thousand_used_from_several_threads() {
    let count = fewer(100_000);
    let objects: Vec<ThreadLocal<Cell<usize>>> =
        (0..count).map(|_| ThreadLocal::new(|| Cell::new(usize::MAX))).collect();
    thread::scope(|s| {
        for t in 0..THREADS {
            let objects = &objects;
            s.spawn(move || {
                // Each thread starts elsewhere, so that they take numbers at the same time.
                for i in 0..count {
                    let at = (i + t * count / THREADS) % count;
                    assert_eq!(objects[at].replace(at * THREADS + t), usize::MAX);
                }
                for (at, object) in objects.iter().enumerate() {
                    assert_eq!(object.get(), at * THREADS + t);
                }
            });
        }
    });
    assert!(objects.iter().all(|o| o.with_existing(|_| ()).is_none()));
    for (at, object) in objects.iter().enumerate() {
        object.set(at);
    }
    assert!(objects.iter().enumerate().all(|(at, o)| o.get() == at));
}

#[test]
fn each_of_their_values_is_destroyed_once() {
    let count = fewer(20_000);
    let census = Census::new();
    let objects: Vec<_> = (0..count)
        .map(|_| {
            let c = census.clone();
            ThreadLocal::from_fn(move || c.count())
        })
        .collect();
    thread::scope(|s| {
        let threads: Vec<_> =
            (0..THREADS).map(|_| s.spawn(|| objects.iter().for_each(|o| o.with(|_| ())))).collect();
        for t in threads {
            t.join().unwrap();
        }
    });
    assert_eq!(census.dropped(), THREADS * count);
    for o in &objects {
        o.with(|_| ());
    }
    drop(objects);
    let all = (THREADS + 1) * count;
    assert_eq!((census.built(), census.dropped(), census.strayed()), (all, all, 0));
}

/// Threads that create, use and drop their own objects all the time get each other's numbers.
#[test]
fn slot_numbers_are_reused_between_threads() {
    thread::scope(|s| {
        for t in 0..4usize {
            s.spawn(move || {
                for round in 0..200 {
                    let objects: Vec<ThreadLocal<Cell<usize>>> =
                        (0..50).map(|_| ThreadLocal::new(|| Cell::new(0))).collect();
                    for (i, o) in objects.iter().enumerate() {
                        assert_eq!(o.replace(t * 1_000_000 + round * 1_000 + i), 0);
                    }
                    for (i, o) in objects.iter().enumerate() {
                        assert_eq!(o.get(), t * 1_000_000 + round * 1_000 + i);
                    }
                }
            });
        }
    });
}

/// Many threads meet at the first use of the same objects.
#[test]
fn first_use_by_many_threads_at_once() {
    use std::sync::Barrier;
    const THREADS: usize = 16;
    for _ in 0..10 {
        let objects: Vec<ThreadLocal<Cell<usize>>> =
            (0..100).map(|_| ThreadLocal::new(|| Cell::new(0))).collect();
        let start = Barrier::new(THREADS);
        thread::scope(|s| {
            for t in 1..=THREADS {
                let (objects, start) = (&objects, &start);
                s.spawn(move || {
                    start.wait();
                    for (i, o) in objects.iter().enumerate() {
                        assert_eq!(o.replace(t * 1_000 + i), 0);
                    }
                    for (i, o) in objects.iter().enumerate() {
                        assert_eq!(o.get(), t * 1_000 + i);
                    }
                });
            }
        });
    }
}
