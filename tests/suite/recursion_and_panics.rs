//! Initializers that panic or recurse, and closures that panic.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};
use std::thread;

use crate::common::{in_thread, Census, Log};
use os_thread_local::{AccessError, ThreadLocal};

#[test]
fn a_panicking_initializer_leaves_nothing_and_runs_again() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static FOO: ThreadLocal<u32> = ThreadLocal::new(|| {
        let run = RUNS.fetch_add(1, SeqCst);
        assert!(run >= 3, "planned");
        run
    });
    for run in 0..3 {
        assert!(catch_unwind(|| FOO.try_with(|_| ())).is_err());
        assert_eq!(RUNS.load(SeqCst), run + 1);
        assert_eq!(FOO.with_existing(|_| ()), None);
    }
    assert_eq!(FOO.with(|v| *v), 3);
    assert_eq!(FOO.with(|v| *v), 3);
}

#[test]
fn a_panicking_initializer_beyond_the_inline_entries() {
    let fail = AtomicBool::new(true);
    let fail = &fail;
    let objects: Vec<_> = (0..100u32)
        .map(|i| {
            ThreadLocal::from_fn(move || {
                assert!(!fail.load(SeqCst), "planned");
                i
            })
        })
        .collect();
    for o in &objects {
        assert!(catch_unwind(AssertUnwindSafe(|| o.with(|_| ()))).is_err());
    }
    fail.store(false, SeqCst);
    for (i, o) in objects.iter().enumerate() {
        assert_eq!(o.with_existing(|_| ()), None);
        assert_eq!(o.with(|v| *v), i as u32);
    }
}

#[test]
fn a_panicking_initializer_and_then_the_thread_ends() {
    let census = Census::new();
    let c = census.clone();
    let object = ThreadLocal::from_fn(move || {
        let _counted = c.count();
        if c.built() == 1 {
            panic!("planned");
        }
        c.count()
    });
    thread::scope(|s| {
        assert!(s.spawn(|| object.with(|_| ())).join().is_err());
        s.spawn(|| object.with(|_| ())).join().unwrap();
    });
    drop(object);
    assert_eq!((census.built(), census.dropped(), census.strayed()), (3, 3, 0));
}

#[test]
fn a_panicking_initializer_and_then_the_object_is_dropped() {
    let object = ThreadLocal::new(|| -> Box<u32> { panic!("planned") });
    assert!(catch_unwind(AssertUnwindSafe(|| object.with(|_| ()))).is_err());
    drop(object);
}

#[test]
fn recursion_is_an_error() {
    static FOO: ThreadLocal<Result<(), AccessError>> = ThreadLocal::new(|| FOO.try_with(|_| ()));
    assert_eq!(FOO.with(|v| *v), Err(AccessError::Recursive));
    in_thread(|| assert_eq!(FOO.with(|v| *v), Err(AccessError::Recursive)));
}

#[test]
fn recursion_through_with_is_a_panic_and_the_next_access_tries_again() {
    static DEEP: AtomicBool = AtomicBool::new(true);
    static FOO: ThreadLocal<u32> =
        ThreadLocal::new(|| if DEEP.load(SeqCst) { FOO.with(|v| v + 1) } else { 5 });
    assert!(catch_unwind(|| FOO.with(|v| *v)).is_err());
    assert!(catch_unwind(|| FOO.try_with(|v| *v)).is_err(), "the initializer itself panics");
    DEEP.store(false, SeqCst);
    assert_eq!(FOO.with(|v| *v), 5);
}

#[test]
fn recursion_through_a_second_object() {
    static A: ThreadLocal<Result<u32, AccessError>> = ThreadLocal::new(|| B.try_with(|b| *b));
    static B: ThreadLocal<u32> =
        ThreadLocal::new(|| if A.try_with(|_| ()) == Err(AccessError::Recursive) { 1 } else { 2 });
    assert_eq!(A.with(|v| *v), Ok(1));
    assert_eq!(B.with(|v| *v), 1);
}

#[test]
fn recursion_beyond_the_inline_entries() {
    static MANY: [ThreadLocal<u8>; 64] = {
        #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
        const ONE: ThreadLocal<u8> = ThreadLocal::new(|| 1);
        [ONE; 64]
    };
    static FOO: ThreadLocal<Result<(), AccessError>> = ThreadLocal::new(|| FOO.try_with(|_| ()));
    for o in &MANY {
        o.with(|_| ());
    }
    assert_eq!(FOO.with(|v| *v), Err(AccessError::Recursive));
}

#[test]
fn only_the_thread_that_initializes_recurses() {
    // While one thread is in its initializer, others use the object.
    static FOO: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| {
        if NESTED.get() {
            thread::spawn(|| FOO.set(7)).join().unwrap();
            thread::spawn(|| assert_eq!(FOO.get(), 1)).join().unwrap();
        }
        Cell::new(1)
    });
    static NESTED: ThreadLocal<Cell<bool>> = ThreadLocal::new(|| Cell::new(false));
    NESTED.set(true);
    assert_eq!(FOO.get(), 1);
}

/// An initializer may do anything but use its own object: create and drop others, fill the table, so
/// that it grows under the entry that is being made.
#[test]
fn an_initializer_that_makes_the_table_grow() {
    static FOO: ThreadLocal<RefCell<Vec<ThreadLocal<Cell<usize>>>>> = ThreadLocal::new(|| {
        let many: Vec<ThreadLocal<Cell<usize>>> =
            (0..1_000).map(|_| ThreadLocal::new(|| Cell::new(0))).collect();
        for (i, o) in many.iter().enumerate() {
            o.set(i);
        }
        RefCell::new(many)
    });
    in_thread(|| {
        FOO.with_borrow(|many| {
            assert!(many.iter().enumerate().all(|(i, o)| o.get() == i));
        });
    });
}

#[test]
fn a_panic_in_the_closure_changes_nothing() {
    let log = Log::new();
    let l = log.clone();
    let mut object = ThreadLocal::from_fn(move || (Cell::new(1), l.entry(1)));
    let caught = catch_unwind(AssertUnwindSafe(|| {
        object.with(|v| {
            v.0.set(2);
            panic!("planned");
        })
    }));
    assert!(caught.is_err());
    assert_eq!(object.with(|v| v.0.get()), 2);
    let caught = catch_unwind(AssertUnwindSafe(|| object.with_mut(|_| panic!("planned"))));
    assert!(caught.is_err());
    assert_eq!(object.with_existing(|v| v.0.get()), Some(2));
    assert!(log.take().is_empty());
    drop(object);
    assert_eq!(log.take(), [1]);
}

#[test]
fn a_panicking_thread_destroys_its_values() {
    let census = Census::new();
    let c = census.clone();
    let object = ThreadLocal::from_fn(move || c.count());
    thread::scope(|s| {
        let thread = s.spawn(|| object.with(|_| panic!("planned")));
        assert!(thread.join().is_err());
    });
    assert_eq!((census.built(), census.dropped(), census.strayed()), (1, 1, 0));
}

/// The value's destructor panics while its object is dropped: an unwind like any other, and the crate
/// works afterwards.
#[test]
fn a_panicking_destructor_when_the_object_is_dropped() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("planned");
        }
    }
    let object = ThreadLocal::new(|| Bomb);
    object.with(|_| ());
    assert!(catch_unwind(AssertUnwindSafe(move || drop(object))).is_err());
    let object = ThreadLocal::new(|| 1);
    assert_eq!(object.with(|v| *v), 1);
}

/// A first use destroys what dropped objects left on the thread. One of these values panics: the next first use goes on with the rest.
#[test]
fn a_destructor_that_panics_in_a_first_use_leaves_the_rest_to_the_next() {
    static DROPPED: AtomicU32 = AtomicU32::new(0);
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            if DROPPED.fetch_add(1, SeqCst) == 0 {
                panic!("planned");
            }
        }
    }
    in_thread(|| {
        let objects: Vec<_> = (0..3).map(|_| ThreadLocal::new(|| Bomb)).collect();
        objects.iter().for_each(|object| object.with(|_| ()));
        in_thread(move || drop(objects));
        assert_eq!(DROPPED.load(SeqCst), 0);
        // The numbers are assigned already, so that only the orphans lead these first uses to the cold path.
        let (first, second) = (ThreadLocal::new(|| 1), ThreadLocal::new(|| 2));
        thread::scope(|s| {
            s.spawn(|| [&first, &second].iter().for_each(|object| object.prepare().unwrap()));
        });
        assert!(catch_unwind(AssertUnwindSafe(|| first.with(|v| *v))).is_err());
        assert_eq!(DROPPED.load(SeqCst), 1);
        assert_eq!(second.with(|v| *v), 2);
        assert_eq!(DROPPED.load(SeqCst), 3);
        assert_eq!(first.with(|v| *v), 1);
    });
}
