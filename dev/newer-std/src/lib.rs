//! `ThreadLocal` with items of newer versions of std. Run with
//! `cargo test --manifest-path dev/newer-std/Cargo.toml`.

#![cfg(test)]

use std::cell::{Cell, RefCell};
use std::sync::{LazyLock, OnceLock};
use std::thread;

use os_thread_local::ThreadLocal;

type Foo = ThreadLocal<RefCell<u32>>;

fn reads_one_writes_three_keeps_two(foo: &'static Foo) {
    foo.with(|v| {
        assert_eq!(*v.borrow(), 1);
        *v.borrow_mut() = 2;
    });
    thread::spawn(|| {
        foo.with(|v| {
            assert_eq!(*v.borrow(), 1);
            *v.borrow_mut() = 3;
        });
    })
    .join()
    .unwrap();
    foo.with(|v| assert_eq!(*v.borrow(), 2));
}

#[test]
fn in_a_once_lock() {
    static FOO: OnceLock<Foo> = OnceLock::new();
    let foo = FOO.get_or_init(|| ThreadLocal::new(|| RefCell::new(1)));
    reads_one_writes_three_keeps_two(foo);
    assert!(FOO.set(ThreadLocal::new(|| RefCell::new(5))).is_err());
}

#[test]
fn in_a_lazy_lock() {
    static FOO: LazyLock<Foo> = LazyLock::new(|| ThreadLocal::new(|| RefCell::new(1)));
    reads_one_writes_three_keeps_two(&FOO);
}

#[test]
fn repeated_by_a_const_block() {
    static MANY: [ThreadLocal<Cell<usize>>; 100] =
        [const { ThreadLocal::new(|| Cell::new(0)) }; 100];
    for (i, one) in MANY.iter().enumerate() {
        one.set(i);
    }
    assert!(MANY.iter().enumerate().all(|(i, one)| one.get() == i));
}
