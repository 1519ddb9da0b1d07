//! `try_with`, `with_existing`, `with_mut`, `try_with_mut`, `remove`, `prepare`.

#![cfg(feature = "alloc")]

mod common;

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use common::{in_thread, Log};
use os_thread_local::ThreadLocal;

#[test]
fn results_come_back() {
    let tls = ThreadLocal::new(|| 20);
    assert_eq!(tls.with(|v| v + 1), 21);
    assert_eq!(tls.try_with(|v| v + 2), Ok(22));
    let captured = String::from("x");
    assert_eq!(tls.with(move |_| captured), "x");
}

#[test]
fn with_existing_never_initializes() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let tls = ThreadLocal::new(|| RUNS.fetch_add(1, SeqCst));

    assert_eq!(tls.with_existing(|v| *v), None);
    assert_eq!(RUNS.load(SeqCst), 0);
    tls.with(|_| ());
    assert_eq!(tls.with_existing(|v| *v), Some(0));
    thread::scope(|s| {
        s.spawn(|| assert_eq!(tls.with_existing(|_| ()), None));
    });
    assert_eq!(RUNS.load(SeqCst), 1);
}

#[test]
fn with_existing_finds_nothing_while_the_initializer_runs() {
    static FOO: ThreadLocal<Option<u32>> = ThreadLocal::new(|| FOO.with_existing(|_| 1));
    assert_eq!(FOO.with(|v| *v), None);
}

#[test]
fn with_mut_is_this_threads_value() {
    let mut tls = ThreadLocal::new(|| String::from("a"));
    tls.with_mut(|v| v.push('b'));
    assert_eq!(
        tls.try_with_mut(|v| {
            v.push('c');
            v.len()
        }),
        Ok(3)
    );
    assert_eq!(tls.with(String::clone), "abc");

    let mut tls = thread::scope(|s| {
        s.spawn(move || {
            tls.with_mut(|v| v.push('x'));
            assert_eq!(tls.with(String::clone), "ax");
            tls
        })
        .join()
        .unwrap()
    });
    tls.with_mut(|v| assert_eq!(v, "abc"));
}

#[test]
fn remove_takes_this_threads_value_and_no_other() {
    let log = Log::new();
    let (l, next) = (log.clone(), AtomicU32::new(0));
    let mut tls = ThreadLocal::from_fn(move || l.entry(next.fetch_add(1, SeqCst)));

    assert!(tls.remove().is_none());
    tls.with(|v| assert_eq!(v.name, 0));
    let taken = tls.remove().unwrap();
    assert_eq!(taken.name, 0);
    assert!(log.take().is_empty(), "it is moved out, not dropped");
    assert!(tls.remove().is_none());
    assert!(tls.with_existing(|_| ()).is_none());
    tls.with(|v| assert_eq!(v.name, 1, "the next access makes a new one"));
    drop(taken);
    assert_eq!(log.take(), [0]);

    let mut tls = in_thread(move || {
        assert!(tls.remove().is_none(), "another thread's value is not ours to take");
        tls.with(|v| assert_eq!(v.name, 2));
        assert_eq!(tls.remove().unwrap().name, 2);
        tls
    });
    assert_eq!(log.take(), [2]);
    assert_eq!(tls.remove().unwrap().name, 1);
    assert_eq!(log.take(), [1]);
    drop(tls);
    assert!(log.take().is_empty());
}

#[test]
fn remove_gives_back_values_of_every_shape() {
    #[repr(align(256))]
    #[derive(Debug, PartialEq)]
    struct Aligned(u8);

    let mut large = ThreadLocal::new(|| [7u8; 10_000]);
    large.with_mut(|v| v[9_999] = 1);
    let taken = large.remove().unwrap();
    assert_eq!((taken[0], taken[9_999]), (7, 1));

    let mut aligned = ThreadLocal::new(|| Aligned(3));
    aligned.with(|_| ());
    assert_eq!(aligned.remove(), Some(Aligned(3)));

    let mut unit = ThreadLocal::new(|| ());
    assert_eq!(unit.remove(), None);
    unit.with(|_| ());
    assert_eq!(unit.remove(), Some(()));
}

#[test]
fn many_removals_leave_the_others_in_place() {
    let mut objects: Vec<ThreadLocal<Cell<usize>>> =
        (0..200).map(|_| ThreadLocal::new(|| Cell::new(usize::MAX))).collect();
    for (i, o) in objects.iter().enumerate() {
        o.with(|v| v.set(i));
    }
    for i in (0..200).step_by(3) {
        assert_eq!(objects[i].remove().unwrap().get(), i);
    }
    for (i, o) in objects.iter().enumerate() {
        let expected = if i % 3 == 0 { None } else { Some(i) };
        assert_eq!(o.with_existing(Cell::get), expected);
    }
}

#[test]
fn prepare_takes_what_first_use_needs_and_runs_nothing() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static FOO: ThreadLocal<u32> = ThreadLocal::new(|| RUNS.fetch_add(1, SeqCst));

    assert_eq!(FOO.prepare(), Ok(()));
    assert_eq!(FOO.prepare(), Ok(()));
    assert_eq!(RUNS.load(SeqCst), 0);
    assert_eq!(FOO.with_existing(|_| ()), None);
    assert_eq!(FOO.with(|v| *v), 0);
    in_thread(|| assert_eq!(FOO.with(|v| *v), 1));

    let object = ThreadLocal::from_fn(|| 'a');
    object.prepare().unwrap();
    assert_eq!(object.with(|c| *c), 'a');
}
