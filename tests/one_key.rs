//! The whole crate uses one key of the operating system. One test, in a process of its own.

#![cfg(feature = "alloc")]

use os_thread_local::key::Key;
use os_thread_local::ThreadLocal;
use std::thread;

struct HasDrop;

impl Drop for HasDrop {
    fn drop(&mut self) {}
}

static STATICS: [ThreadLocal<Box<u32>>; 10] = {
    #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
    const ONE: ThreadLocal<Box<u32>> = ThreadLocal::new(|| Box::new(1));
    [ONE; 10]
};

/// How many more keys this process can have.
fn free_keys() -> usize {
    let mut all = Vec::new();
    while let Ok(key) = Key::new() {
        all.push(key);
    }
    all.len()
}

#[test]
fn one_key() {
    // Where std's own thread-locals need a key, let it have it now.
    std::thread_local!(static STD: HasDrop = const { HasDrop });
    STD.with(|_| ());
    thread::spawn(|| STD.with(|_| ())).join().unwrap();

    let before = free_keys();
    assert!(before > 1);
    assert_eq!(free_keys(), before, "counting takes none");

    let unused = ThreadLocal::new(|| 1);
    assert_eq!(free_keys(), before, "an object that is not used takes none");

    STATICS[0].with(|_| ());
    assert_eq!(free_keys(), before - 1, "the first use takes one");

    let objects: Vec<ThreadLocal<Box<u32>>> =
        (0..10_000).map(|_| ThreadLocal::new(|| Box::new(2))).collect();
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| {
                STATICS.iter().for_each(|o| o.with(|_| ()));
                objects.iter().for_each(|o| o.with(|_| ()));
            });
        }
    });
    unused.with(|_| ());
    assert_eq!(free_keys(), before - 1, "and no other use takes another");
    drop(objects);
    os_thread_local::reclaim();
    assert_eq!(free_keys(), before - 1);
}
