//! A `ThreadLocal` in a `static`, with and without a lazy wrapper.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::thread;

use crate::common::in_thread;
use once_cell::sync::Lazy;
use os_thread_local::ThreadLocal;

#[test]
fn every_thread_starts_from_the_initializer() {
    static FOO: ThreadLocal<RefCell<u32>> = ThreadLocal::new(|| RefCell::new(1));

    FOO.with(|foo| {
        assert_eq!(*foo.borrow(), 1);
        *foo.borrow_mut() = 2;
    });
    thread::spawn(|| {
        FOO.with(|foo| {
            assert_eq!(*foo.borrow(), 1);
            *foo.borrow_mut() = 3;
        });
        FOO.with(|foo| assert_eq!(*foo.borrow(), 3));
    })
    .join()
    .unwrap();
    FOO.with(|foo| assert_eq!(*foo.borrow(), 2));
}

#[test]
fn in_a_lazy_wrapper() {
    static FOO: Lazy<ThreadLocal<RefCell<u32>>> =
        Lazy::new(|| ThreadLocal::new(|| RefCell::new(1)));

    FOO.with(|foo| {
        assert_eq!(*foo.borrow(), 1);
        *foo.borrow_mut() = 2;
    });
    in_thread(|| {
        FOO.with(|foo| {
            assert_eq!(*foo.borrow(), 1);
            *foo.borrow_mut() = 3;
        })
    });
    FOO.with(|foo| assert_eq!(*foo.borrow(), 2));
}

#[test]
fn the_initializer_runs_once_in_each_thread_that_asks() {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static FOO: ThreadLocal<u32> = ThreadLocal::new(|| RUNS.fetch_add(1, SeqCst));

    for _ in 0..10 {
        FOO.with(|_| ());
    }
    assert_eq!(RUNS.load(SeqCst), 1);
    in_thread(|| {
        for _ in 0..10 {
            FOO.with(|_| ());
        }
    });
    in_thread(|| ());
    assert_eq!(RUNS.load(SeqCst), 2);
}

#[test]
fn a_value_that_is_neither_send_nor_sync() {
    static SHARED: ThreadLocal<Rc<Cell<u32>>> = ThreadLocal::new(|| Rc::new(Cell::new(5)));
    static POINTER: ThreadLocal<Cell<*mut u8>> =
        ThreadLocal::new(|| Cell::new(std::ptr::null_mut()));

    let mine = SHARED.with(Rc::clone);
    mine.set(6);
    let mut byte = 0;
    POINTER.with(|p| p.set(&mut byte));
    in_thread(|| {
        assert_eq!(SHARED.with(|s| s.get()), 5);
        assert!(POINTER.with(|p| p.get()).is_null());
    });
    assert_eq!(SHARED.with(|s| s.get()), 6);
    assert!(!POINTER.with(|p| p.get()).is_null());
}

#[test]
fn an_array_of_them_and_a_struct_around_one() {
    static SEVERAL: [ThreadLocal<Cell<u32>>; 3] = [
        ThreadLocal::new(|| Cell::new(10)),
        ThreadLocal::new(|| Cell::new(20)),
        ThreadLocal::new(|| Cell::new(30)),
    ];
    struct Config {
        name: &'static str,
        level: ThreadLocal<Cell<u8>>,
    }
    static CONFIG: Config = Config { name: "main", level: ThreadLocal::new(|| Cell::new(1)) };

    for (i, one) in SEVERAL.iter().enumerate() {
        one.with(|v| v.set(v.get() + i as u32));
    }
    CONFIG.level.with(|l| l.set(9));
    in_thread(|| {
        assert_eq!(SEVERAL.iter().map(|t| t.with(Cell::get)).collect::<Vec<_>>(), [10, 20, 30]);
        assert_eq!((CONFIG.name, CONFIG.level.with(Cell::get)), ("main", 1));
    });
    assert_eq!(SEVERAL.iter().map(|t| t.with(Cell::get)).collect::<Vec<_>>(), [10, 21, 32]);
    assert_eq!(CONFIG.level.with(Cell::get), 9);
}

#[test]
fn a_static_with_a_closure_type_of_its_own() {
    // `from_fn` is const too; a static can name the type through `impl Fn` hidden behind a fn item.
    fn seven() -> u32 {
        7
    }
    static FOO: ThreadLocal<u32, fn() -> u32> = ThreadLocal::from_fn(seven);
    assert_eq!(FOO.with(|v| *v), 7);
    in_thread(|| assert_eq!(FOO.with(|v| *v), 7));
}

#[test]
fn one_initializer_uses_another_static() {
    static BASE: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(40));
    static SUM: ThreadLocal<u32> = ThreadLocal::new(|| BASE.with(Cell::get) + 2);

    assert_eq!(SUM.with(|s| *s), 42);
    in_thread(|| {
        BASE.with(|b| b.set(50));
        assert_eq!(SUM.with(|s| *s), 52);
    });
}

#[test]
fn with_inside_with() {
    static OUTER: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(1));
    static INNER: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(2));

    OUTER.with(|o| {
        INNER.with(|i| {
            OUTER.with(|again| assert!(std::ptr::eq(o, again)));
            o.set(o.get() + i.get());
        })
    });
    assert_eq!(OUTER.with(Cell::get), 3);
}
