//! The methods for `Cell` and `RefCell`, which behave as on std's `LocalKey`: `set` does not run the
//! initializer, the other methods do.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use crate::common::{in_thread, Log};
use os_thread_local::ThreadLocal;

#[test]
fn cell_get_set_take_replace_update() {
    let tls = ThreadLocal::new(|| Cell::new(1));
    assert_eq!(tls.get(), 1);
    tls.set(2);
    assert_eq!(tls.replace(3), 2);
    tls.update(|v| v * 10);
    assert_eq!(tls.take(), 30);
    assert_eq!(tls.get(), 0);
    thread::scope(|s| {
        s.spawn(|| assert_eq!(tls.get(), 1));
    });
}

#[test]
fn cell_set_does_not_run_the_initializer() {
    let tls = ThreadLocal::new(|| -> Cell<u32> { panic!("the initializer ran") });
    tls.set(5);
    assert_eq!(tls.get(), 5);
    tls.set(6);
    assert_eq!(tls.get(), 6);
    thread::scope(|s| {
        s.spawn(|| {
            tls.set(7);
            assert_eq!(tls.take(), 7);
        });
    });
    assert_eq!(tls.get(), 6);
}

#[test]
fn cell_set_drops_the_value_that_was_there() {
    let log = Log::new();
    let tls = ThreadLocal::new(|| Cell::new(None));
    tls.set(Some(log.entry(1)));
    assert!(log.take().is_empty());
    tls.set(Some(log.entry(2)));
    assert_eq!(log.take(), [1]);
    assert_eq!(tls.take().unwrap().name, 2);
    assert_eq!(log.take(), [2]);
}

#[test]
fn cell_replace_take_get_and_update_run_it() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    fn ten() -> Cell<u32> {
        RUNS.fetch_add(1, SeqCst);
        Cell::new(10)
    }
    assert_eq!(ThreadLocal::new(ten).replace(1), 10);
    assert_eq!(ThreadLocal::new(ten).take(), 10);
    assert_eq!(ThreadLocal::new(ten).get(), 10);
    let tls = ThreadLocal::new(ten);
    tls.update(|v| v + 1);
    assert_eq!(tls.get(), 11);
    assert_eq!(RUNS.load(SeqCst), 4);
}

#[test]
fn refcell_borrow_set_take_replace() {
    let tls = ThreadLocal::new(|| RefCell::new(vec![1]));
    assert_eq!(tls.with_borrow(Vec::len), 1);
    tls.with_borrow_mut(|v| v.push(2));
    tls.with_borrow(|outer| tls.with_borrow(|inner| assert_eq!(outer, inner)));
    assert_eq!(tls.replace(vec![9]), [1, 2]);
    tls.set(vec![8]);
    assert_eq!(tls.take(), [8]);
    assert_eq!(tls.take(), []);
    thread::scope(|s| {
        s.spawn(|| assert_eq!(tls.take(), [1]));
    });
}

#[test]
fn refcell_set_does_not_run_the_initializer() {
    let tls = ThreadLocal::new(|| -> RefCell<u32> { panic!("the initializer ran") });
    tls.set(5);
    assert_eq!(tls.with_borrow(|v| *v), 5);
    tls.set(6);
    assert_eq!(tls.replace(7), 6);
}

#[test]
fn refcell_set_drops_the_value_that_was_there() {
    let log = Log::new();
    let tls = ThreadLocal::new(|| RefCell::new(None));
    tls.set(Some(log.entry(1)));
    assert!(log.take().is_empty());
    tls.set(Some(log.entry(2)));
    assert_eq!(log.take(), [1]);
    assert_eq!(tls.take().unwrap().name, 2);
    assert_eq!(log.take(), [2]);
}

#[test]
fn refcell_replace_take_and_borrows_run_it() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    fn ten() -> RefCell<u32> {
        RUNS.fetch_add(1, SeqCst);
        RefCell::new(10)
    }
    assert_eq!(ThreadLocal::new(ten).replace(1), 10);
    assert_eq!(ThreadLocal::new(ten).take(), 10);
    assert_eq!(ThreadLocal::new(ten).with_borrow(|v| *v), 10);
    assert_eq!(
        ThreadLocal::new(ten).with_borrow_mut(|v| {
            *v += 1;
            *v
        }),
        11
    );
    assert_eq!(RUNS.load(SeqCst), 4);
}

#[test]
fn refcell_borrowed_twice_panics_and_stays_usable() {
    let tls = ThreadLocal::new(|| RefCell::new(1));
    tls.with_borrow(|_| {
        let panics = |f: &dyn Fn()| assert!(catch_unwind(AssertUnwindSafe(f)).is_err());
        panics(&|| tls.set(2));
        panics(&|| _ = tls.replace(2));
        panics(&|| _ = tls.take());
        panics(&|| tls.with_borrow_mut(|v| *v = 2));
    });
    tls.with_borrow_mut(|_| {
        assert!(catch_unwind(AssertUnwindSafe(|| tls.with_borrow(|_| ()))).is_err());
    });
    assert_eq!(tls.take(), 1);
}

/// `default` is the user's code: it may use the object whose value it replaces.
#[test]
fn refcell_take_calls_default_before_it_borrows() {
    static TLS: ThreadLocal<RefCell<Counts>> = ThreadLocal::new(|| RefCell::new(Counts(1)));

    #[derive(Debug, PartialEq)]
    struct Counts(u32);

    impl Default for Counts {
        fn default() -> Self {
            Counts(TLS.with_borrow_mut(|counts| {
                counts.0 += 10;
                counts.0
            }))
        }
    }

    assert_eq!(TLS.take(), Counts(11));
    assert_eq!(TLS.try_take(), Ok(Counts(21)));
    assert_eq!(TLS.take(), Counts(31));
}

/// What a destructor sees: the value is gone, and each of these panics as `with` does.
#[test]
fn on_a_destroyed_value_they_panic() {
    use std::sync::{Arc, Mutex};

    struct Probe(Arc<Mutex<Vec<bool>>>);
    static CELL: ThreadLocal<Cell<Option<Box<u8>>>> = ThreadLocal::new(|| Cell::new(None));
    static REFCELL: ThreadLocal<RefCell<Option<Box<u8>>>> = ThreadLocal::new(|| RefCell::new(None));
    static PROBE: ThreadLocal<RefCell<Option<Probe>>> = ThreadLocal::new(|| RefCell::new(None));
    impl Drop for Probe {
        fn drop(&mut self) {
            let panics = |f: fn()| catch_unwind(f).is_err();
            *self.0.lock().unwrap() = vec![
                panics(|| CELL.set(None)),
                panics(|| drop(CELL.take())),
                panics(|| drop(CELL.replace(None))),
                panics(|| REFCELL.set(None)),
                panics(|| drop(REFCELL.take())),
                panics(|| REFCELL.with_borrow(|_| ())),
                panics(|| REFCELL.with_borrow_mut(|_| ())),
            ];
        }
    }

    let seen = Arc::new(Mutex::new(vec![]));
    let probe = Probe(Arc::clone(&seen));
    in_thread(move || {
        // The probe's value is the oldest, so it is destroyed last.
        PROBE.set(Some(probe));
        CELL.set(Some(Box::new(1)));
        REFCELL.set(Some(Box::new(2)));
    });
    assert_eq!(*seen.lock().unwrap(), [true; 7]);
}

/// `set` from the object's own initializer is a recursion like any other.
#[test]
fn set_from_the_objects_own_initializer_panics() {
    static FOO: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| {
        let inner = catch_unwind(|| FOO.set(1));
        Cell::new(if inner.is_err() { 2 } else { 3 })
    });
    assert_eq!(FOO.get(), 2);
}
