//! The methods of `PerThread` for `Cell` and `RefCell`, which are those of `ThreadLocal` (tests/suite/cells.rs), on a value that can be
//! inherited.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::thread;

use crate::common::{in_thread, Log};
use os_thread_local::PerThread;

/// Leaves a value behind in a thread that ends.
fn leave_behind<T: Send, F: Fn() -> T + Sync>(object: &PerThread<T, F>, f: impl FnOnce(&T) + Send) {
    thread::scope(|s| s.spawn(|| object.with(f)).join().unwrap());
}

#[test]
fn cells() {
    let object = PerThread::new(|| Cell::new(1));
    assert_eq!((object.get(), object.replace(2), object.take(), object.get()), (1, 1, 2, 0));
    object.set(5);
    object.update(|n| n + 1);
    assert_eq!(object.get(), 6);
    assert_eq!(object.into_iter().map(Cell::into_inner).collect::<Vec<_>>(), [6]);
}

#[test]
fn ref_cells() {
    let object = PerThread::new(|| RefCell::new(vec![1]));
    object.with_borrow_mut(|v| v.push(2));
    assert_eq!(object.with_borrow(Vec::len), 2);
    assert_eq!(object.replace(vec![3]), [1, 2]);
    assert_eq!(object.take(), [3]);
    object.set(vec![4, 5]);
    assert_eq!(object.with_borrow(|v| v[1]), 5);
    let text = String::from("borrowed");
    let texts: PerThread<RefCell<Vec<&str>>> = PerThread::default();
    texts.with_borrow_mut(|v| v.push(&text));
    assert_eq!(texts.into_iter().flat_map(RefCell::into_inner).collect::<Vec<_>>(), ["borrowed"]);
}

#[test]
fn set_runs_no_initializer() {
    static CELL: PerThread<Cell<u32>> = PerThread::new(|| panic!("not run"));
    static REF_CELL: PerThread<RefCell<u32>> = PerThread::new(|| panic!("not run"));
    CELL.set(1);
    REF_CELL.set(2);
    assert_eq!((CELL.get(), REF_CELL.take()), (1, 2));
    in_thread(|| CELL.set(3));
    assert_eq!((CELL.len(), CELL.get()), (2, 1));
}

/// Whether it is inherited depends on the threads of the other tests: `tests/per_thread_inheritance.rs` has a process for it.
#[test]
fn set_replaces_a_value_or_makes_one() {
    let log = Log::new();
    let object = PerThread::from_fn(|| RefCell::new(log.entry(1)));
    leave_behind(&object, |_| ());
    object.set(log.entry(2));
    let (replaced, len) = (log.take(), object.len());
    assert!(replaced == [1] && len == 1 || replaced.is_empty() && len == 2, "{:?}", replaced);
    assert_eq!(object.with_borrow(|v| v.name), 2);
    drop(object);
    let mut rest = log.take();
    rest.extend(replaced);
    rest.sort_unstable();
    assert_eq!(rest, [1, 2]);
}

#[test]
fn the_other_methods_inherit_or_make_a_value() {
    let object = PerThread::new(|| Cell::new(1));
    leave_behind(&object, |v| v.set(7));
    let value = object.get();
    assert!(value == 7 && object.len() == 1 || value == 1 && object.len() == 2);
}
