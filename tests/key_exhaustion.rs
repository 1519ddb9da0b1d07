//! The process has no key left when the crate needs its key. One test, in a process of its own.

#![cfg(feature = "alloc")]

use os_thread_local::key::{Key, StaticKey};
use os_thread_local::{AccessError, ThreadLocal};
use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::thread;

static FOO: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(1));

fn every_key() -> Vec<Key> {
    let mut all = Vec::new();
    loop {
        match Key::new() {
            Ok(key) => all.push(key),
            Err(error) => {
                assert_eq!(error, AccessError::OutOfKeys);
                break all;
            }
        }
    }
}

fn everything_is_out_of_keys() {
    let object = ThreadLocal::from_fn(|| -> Box<u32> { panic!("the initializer ran") });
    assert_eq!(FOO.try_with(|_| ()), Err(AccessError::OutOfKeys));
    assert_eq!(FOO.prepare(), Err(AccessError::OutOfKeys));
    assert_eq!(FOO.with_existing(|_| ()), None);
    assert!(catch_unwind(|| FOO.with(|_| ())).is_err());
    assert!(catch_unwind(|| FOO.set(1)).is_err());
    assert_eq!(object.try_with(|_| ()), Err(AccessError::OutOfKeys));
    assert!(catch_unwind(AssertUnwindSafe(|| object.with(|_| ()))).is_err());
    let mut object = object;
    assert_eq!(object.try_with_mut(|_| ()), Err(AccessError::OutOfKeys));
    assert!(object.remove().is_none());
    os_thread_local::reclaim();
}

#[test]
fn out_of_keys_and_recovery() {
    // Whatever std makes at its first use.
    thread::spawn(|| assert!(catch_unwind(|| panic!("planned")).is_err())).join().unwrap();

    let mut keys = every_key();
    assert!(keys.len() >= 100, "{}", keys.len());
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(everything_is_out_of_keys).join().unwrap();
        }
    });
    everything_is_out_of_keys();

    static KEY: StaticKey = StaticKey::new();
    let mut byte = 0u8;
    let pointer = (&mut byte as *mut u8).cast();
    assert_eq!(KEY.set(pointer), Err(AccessError::OutOfKeys));
    assert!(KEY.get().is_null());

    // Once a key is free, every object works in every thread.
    drop(keys.pop());
    assert_eq!(FOO.prepare(), Ok(()));
    assert_eq!(FOO.try_with(Cell::get), Ok(1));
    FOO.set(2);
    let objects: Vec<ThreadLocal<Box<u32>>> =
        (0..5_000).map(|_| ThreadLocal::new(|| Box::new(7))).collect();
    // Joined, because the end of the scope does not wait for destructors of thread-locals.
    thread::scope(|s| {
        let use_all = || {
            assert_eq!(FOO.get(), 1);
            assert!(objects.iter().all(|o| o.with(|v| **v) == 7));
        };
        let threads: Vec<_> = (0..4).map(|_| s.spawn(use_all)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(FOO.get(), 2);

    // And that was the last key.
    assert_eq!(Key::new().err(), Some(AccessError::OutOfKeys));
    assert_eq!(KEY.set(pointer), Err(AccessError::OutOfKeys));
    drop(keys.pop());
    assert_eq!(KEY.set(pointer), Ok(()));
    assert_eq!(KEY.get(), pointer);
    assert_eq!(KEY.set(std::ptr::null_mut()), Ok(()));
}
