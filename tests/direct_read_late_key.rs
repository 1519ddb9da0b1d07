//! `direct-read` is turned off if the key's address cannot be computed, and indirect reads work: glibc has computable
//! addresses for the first 32 keys only. One test, in a process of its own.

#![cfg(feature = "alloc")]

use os_thread_local::key::Key;
use os_thread_local::ThreadLocal;
use std::cell::Cell;
use std::thread;

#[test]
fn a_late_key_is_read_by_call() {
    let keys: Vec<Key> = (0..40).map(|_| Key::new().unwrap()).collect();
    let objects: Vec<ThreadLocal<Cell<usize>>> =
        (0..100).map(|_| ThreadLocal::new(|| Cell::new(0))).collect();
    let work = || {
        for (index, object) in objects.iter().enumerate() {
            assert_eq!(object.with_existing(Cell::get), None);
            object.set(index);
        }
        for (index, object) in objects.iter().enumerate() {
            assert_eq!(object.get(), index);
            assert_eq!(object.with_existing(Cell::get), Some(index));
        }
    };
    work();
    // Joined by hand: a scope is left before its threads have ended, and LeakSanitizer would find what glibc keeps for them.
    thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    if cfg!(all(target_os = "linux", target_env = "gnu")) {
        assert!(!os_thread_local::is_direct_read());
    }
    drop(keys);

    let mut objects = objects;
    assert_eq!(objects[7].remove().map(Cell::into_inner), Some(7));
    assert_eq!(objects[7].with_existing(Cell::get), None);
}
