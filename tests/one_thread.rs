//! Guarantees for programs with one thread. These tests run everywhere; on the WebAssembly targets without threads (backend
//! `single`) it is the suite, and there it is also a program without std: see `ci/wasm`.

extern crate alloc;

use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use os_thread_local::key::Key;
use os_thread_local::{reclaim, AccessError, ThreadLocal};

macro_rules! tests {
    ($($(#[$attribute:meta])* fn $name:ident() $body:block)*) => {
        $($(#[$attribute])* #[test] fn $name() $body)*

        /// For where there is no test harness.
        #[allow(dead_code)]
        pub const ALL: &[(&str, fn())] = &[$((stringify!($name), || $body)),*];
    };
}

/// Counts its drops.
struct Counted(Rc<Cell<usize>>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.set(self.0.get() + 1);
    }
}

fn counted(drops: &Rc<Cell<usize>>) -> ThreadLocal<Counted, impl Fn() -> Counted> {
    let drops = drops.clone();
    ThreadLocal::from_fn(move || Counted(drops.clone()))
}

tests! {
    fn a_static_keeps_its_value() {
        static VALUE: ThreadLocal<RefCell<u32>> = ThreadLocal::new(|| RefCell::new(1));
        VALUE.with(|value| {
            assert_eq!(*value.borrow(), 1);
            *value.borrow_mut() = 2;
        });
        assert_eq!(VALUE.with(|value| *value.borrow()), 2);
    }

    fn the_macro_declares_statics() {
        os_thread_local::thread_local! {
            static LAZY: Cell<u32> = Cell::new(3);
            static CONST: Cell<u8> = const { Cell::new(4) };
        }
        assert_eq!((LAZY.get(), CONST.get()), (3, 4));
        LAZY.set(5);
        assert_eq!(LAZY.take(), 5);
        assert_eq!(LAZY.get(), 0);
    }

    /// More than fit into the record itself, more than there are keys.
    fn objects_have_values_of_their_own() {
        let objects: Vec<_> = (0..1000u32).map(|i| ThreadLocal::from_fn(move || Cell::new(i))).collect();
        for (i, object) in (0..).zip(&objects) {
            assert_eq!(object.with(|value| value.replace(i + 1)), i);
        }
        let moved: Vec<_> = objects.into_iter().rev().collect();
        for (i, object) in (0..1000).rev().zip(&moved) {
            assert_eq!(object.get(), i + 1);
        }
    }

    fn a_dropped_object_drops_its_value_once() {
        let drops = Rc::new(Cell::new(0));
        let object = counted(&drops);
        object.with(|_| ());
        assert_eq!(drops.get(), 0);
        drop(object);
        assert_eq!(drops.get(), 1);
        // Nothing is left for this thread to destroy.
        reclaim();
        assert_eq!(drops.get(), 1);
        assert_eq!(Rc::strong_count(&drops), 1);
    }

    fn an_object_never_used_drops_nothing() {
        let drops = Rc::new(Cell::new(0));
        drop(counted(&drops));
        assert_eq!(drops.get(), 0);
        assert_eq!(Rc::strong_count(&drops), 1);
    }

    fn objects_come_and_go() {
        let drops = Rc::new(Cell::new(0));
        for _ in 0..10_000 {
            counted(&drops).with(|_| ());
        }
        assert_eq!(drops.get(), 10_000);
        assert_eq!(Rc::strong_count(&drops), 1);
    }

    fn a_removed_value_is_made_again() {
        let drops = Rc::new(Cell::new(0));
        let mut object = counted(&drops);
        assert!(object.remove().is_none());
        object.with(|_| ());
        drop(object.remove());
        assert_eq!(drops.get(), 1);
        object.with(|_| ());
        assert_eq!(drops.get(), 1);
        drop(object);
        assert_eq!(drops.get(), 2);
    }

    fn with_existing_does_not_initialize() {
        let object = ThreadLocal::<u8>::new(|| 7);
        assert_eq!(object.with_existing(|value| *value), None);
        assert_eq!(object.with(|value| *value), 7);
        assert_eq!(object.with_existing(|value| *value), Some(7));
    }

    fn recursion_is_an_error() {
        static VALUE: ThreadLocal<Option<AccessError>> = ThreadLocal::new(|| VALUE.try_with(|_| ()).err());
        assert_eq!(VALUE.with(|value| *value), Some(AccessError::Recursive));
    }

    fn a_value_may_use_and_drop_other_objects_as_it_dies() {
        struct Outer(Rc<Cell<usize>>, Option<ThreadLocal<Rc<Cell<usize>>>>);
        impl Drop for Outer {
            fn drop(&mut self) {
                let seen = self.1.take().map_or(0, |inner| inner.with(|value| value.replace(5)));
                self.0.set(seen + 1);
            }
        }
        let result = Rc::new(Cell::new(0));
        let clone = result.clone();
        let object = ThreadLocal::from_fn(move || {
            Outer(clone.clone(), Some(ThreadLocal::new(|| Rc::new(Cell::new(8)))))
        });
        object.with(|_| ());
        drop(object);
        assert_eq!(result.get(), 9);
    }

    fn a_large_aligned_value_is_in_place() {
        #[repr(align(4096))]
        struct Page([u8; 4096 * 16]);
        let object = ThreadLocal::<Page>::new(|| Page([9; 4096 * 16]));
        object.with(|page| {
            assert_eq!(page as *const Page as usize % 4096, 0);
            assert!(page.0.iter().all(|&byte| byte == 9));
        });
    }

    fn keys_hold_pointers() {
        let mut target = 1u8;
        let pointer = (&mut target as *mut u8).cast();
        let (one, two) = (Key::new().unwrap(), Key::new().unwrap());
        assert!(one.get().is_null() && two.get().is_null());
        one.set(pointer).unwrap();
        assert_eq!(one.get(), pointer);
        assert!(two.get().is_null());
        drop(one);
        // The next key may be the same one again: it starts at null.
        assert!(Key::new().unwrap().get().is_null());
    }
}
