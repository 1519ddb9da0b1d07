//! The statements of README.md's comparison about other crates and std.

use std::cell::Cell;
use std::mem::size_of;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

const WORD: usize = size_of::<usize>();

/// A value that is counted when it is destroyed.
struct Value(&'static str, &'static AtomicUsize);

impl Drop for Value {
    fn drop(&mut self) {
        self.1.fetch_add(1, SeqCst);
    }
}

/// `in_thread(f)` returns what `f` returns, after the thread's destructors have run.
fn in_thread<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|s| s.spawn(f).join().unwrap())
}

#[test]
fn size_of_an_object() {
    assert_eq!(size_of::<os_thread_local::ThreadLocal<u8>>(), 2 * WORD);
    assert_eq!(size_of::<os_thread_local::PerThread<u8>>(), 3 * WORD);
    assert_eq!(size_of::<os_thread_local_0_1::ThreadLocal<u8>>(), 2 * WORD);
    #[cfg(target_pointer_width = "64")]
    assert_eq!(size_of::<thread_local::ThreadLocal<u8>>(), 64 * WORD);
}

/// Makes an initializer that calls itself once, through `$inner`.
macro_rules! recursive {
    ($destroyed:ident, $inner:expr) => {{
        std::thread_local!(static INSIDE: Cell<bool> = const { Cell::new(false) });
        if INSIDE.replace(true) {
            Value("first", &$destroyed)
        } else {
            $inner;
            Value("last", &$destroyed)
        }
    }};
}

#[test]
fn recursive_initializer_of_std() {
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    std::thread_local!(static VALUE: Value = recursive!(DESTROYED, VALUE.with(|v| assert_eq!(v.0, "first"))));
    assert_eq!(in_thread(|| VALUE.with(|v| v.0)), "last");
    assert_eq!(DESTROYED.load(SeqCst), 2);
}

#[test]
fn recursive_initializer_of_thread_local() {
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    static VALUE: thread_local::ThreadLocal<Value> = thread_local::ThreadLocal::new();
    fn get() -> &'static Value {
        VALUE.get_or(|| recursive!(DESTROYED, get()))
    }
    assert_eq!(in_thread(|| get().0), "first");
    assert_eq!(DESTROYED.load(SeqCst), 1);
}

#[test]
fn recursive_initializer_of_0_1() {
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    static VALUE: std::sync::LazyLock<os_thread_local_0_1::ThreadLocal<Value>> =
        std::sync::LazyLock::new(|| {
            os_thread_local_0_1::ThreadLocal::new(|| recursive!(DESTROYED, VALUE.with(|_| ())))
        });
    assert_eq!(in_thread(|| VALUE.with(|v| v.0)), "last");
    // The first one leaks.
    assert_eq!(DESTROYED.load(SeqCst), 1);
}

#[test]
fn recursive_initializer_of_this_crate() {
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    static VALUE: os_thread_local::ThreadLocal<Value> = os_thread_local::ThreadLocal::new(|| {
        assert_eq!(VALUE.try_with(|_| ()), Err(os_thread_local::AccessError::Recursive));
        Value("only", &DESTROYED)
    });
    assert_eq!(in_thread(|| VALUE.with(|v| v.0)), "only");
    assert_eq!(DESTROYED.load(SeqCst), 1);
}

#[test]
fn an_object_is_dropped() {
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    fn value() -> Value {
        Value("", &DESTROYED)
    }
    let object = os_thread_local_0_1::ThreadLocal::new(value);
    object.with(|_| ());
    drop(object);
    assert_eq!(DESTROYED.load(SeqCst), 0, "0.1 leaks");

    let object = thread_local::ThreadLocal::new();
    object.get_or(value);
    drop(object);
    assert_eq!(DESTROYED.load(SeqCst), 1);

    let object = os_thread_local::ThreadLocal::new(value);
    object.with(|_| ());
    drop(object);
    assert_eq!(DESTROYED.load(SeqCst), 2);
}

#[test]
fn a_thread_exits() {
    static DESTROYED: AtomicUsize = AtomicUsize::new(0);
    fn value() -> Value {
        Value("", &DESTROYED)
    }
    let object = os_thread_local::ThreadLocal::new(value);
    in_thread(|| object.with(|_| ()));
    assert_eq!(DESTROYED.load(SeqCst), 1);

    let object = os_thread_local_0_1::ThreadLocal::new(value);
    in_thread(|| object.with(|_| ()));
    assert_eq!(DESTROYED.load(SeqCst), 2);

    let object = os_thread_local::PerThread::new(value);
    in_thread(|| object.with(|_| ()));
    assert_eq!(DESTROYED.load(SeqCst), 2);

    let object = thread_local::ThreadLocal::new();
    in_thread(|| {
        object.get_or(value);
    });
    assert_eq!(DESTROYED.load(SeqCst), 2);
}
