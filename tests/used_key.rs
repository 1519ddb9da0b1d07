//! A deleted key leaves its values in the threads, and the next key gets its number (glibc). The crate must not use them as its own.
//! One test, in a process of its own.

#![cfg(feature = "alloc")]

use os_thread_local::key::Key;
use os_thread_local::ThreadLocal;
use std::cell::Cell;
use std::sync::mpsc::channel;
use std::thread;

static VALUE: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(1));

/// A pointer that must not be followed: no memory is there. WebAssembly has memory at 8.
const INVALID: usize = if cfg!(target_family = "wasm") { 0xF000_0000 } else { 8 };

#[test]
fn a_value_of_a_deleted_key_is_not_read() {
    let keys: Vec<Key> = (0..3).map(|_| Key::new().unwrap()).collect();
    let (ready, is_ready) = channel();
    let (go, may_go) = channel::<()>();
    thread::scope(|scope| {
        let keys = &keys;
        let other = scope.spawn(move || {
            for key in keys {
                key.set(INVALID as *mut _).unwrap();
            }
            ready.send(()).unwrap();
            may_go.recv().unwrap();
            assert_eq!(VALUE.with_existing(Cell::get), None);
            VALUE.set(5);
            assert_eq!(VALUE.get(), 5);
        });
        is_ready.recv().unwrap();
        for key in keys {
            // SAFETY: a key is deleted once: `keys` is forgotten below.
            drop(unsafe { std::ptr::read(key) });
        }
        // Takes the number of one of them.
        VALUE.set(4);
        go.send(()).unwrap();
        other.join().unwrap();
    });
    std::mem::forget(keys);
    assert_eq!(VALUE.get(), 4);
}
