//! Code written for `std::thread::LocalKey` compiles and means the same: each check below runs against
//! std's type and ours, side by side. (std's own tests run too: `ci/drop-in-std`.)

#![cfg(feature = "alloc")]
#![cfg(feature = "std")]
#![allow(clippy::missing_const_for_thread_local)] // both forms of the macro are tested

mod common;

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};

use common::{in_thread, Log};

/// Declares one module per implementation, with the same body.
macro_rules! both {
    ($($body:tt)*) => {
        #[cfg(not(os_thread_local_old_std))]
        mod with_std {
            #[allow(unused_imports)] // a body uses one or the other
            use std::{thread::LocalKey, thread_local};
            use super::*;
            $($body)*
        }
        mod with_ours {
            #[allow(unused_imports)] // a body uses one or the other
            use os_thread_local::{thread_local, ThreadLocal as LocalKey};
            use super::*;
            $($body)*
        }
    };
}

both! {
    #[test]
    fn with_and_try_with() {
        thread_local!(static FOO: RefCell<Vec<u32>> = RefCell::new(vec![1]));
        fn push(key: &'static LocalKey<RefCell<Vec<u32>>>, v: u32) -> usize {
            key.with(|f| { f.borrow_mut().push(v); f.borrow().len() })
        }
        assert_eq!(push(&FOO, 2), 2);
        assert_eq!(FOO.try_with(|f| f.borrow().len()).unwrap(), 2);
        assert_eq!(in_thread(|| push(&FOO, 3)), 2);
        FOO.with(|f| assert_eq!(*f.borrow(), [1, 2]));
    }

    #[test]
    fn cell_methods() {
        thread_local!(static FOO: Cell<u32> = const { Cell::new(1) });
        FOO.set(FOO.get() + 1);
        assert_eq!(FOO.replace(5), 2);
        assert_eq!(FOO.take(), 5);
        assert_eq!(FOO.get(), 0);
        assert_eq!(in_thread(|| FOO.get()), 1);
    }

    #[test]
    fn refcell_methods() {
        thread_local!(static FOO: RefCell<String> = RefCell::new("a".into()));
        FOO.with_borrow_mut(|s| s.push('b'));
        assert_eq!(FOO.with_borrow(|s| s.clone()), "ab");
        assert_eq!(FOO.replace("c".into()), "ab");
        assert_eq!(FOO.take(), "c");
        FOO.set("d".into());
        assert_eq!(FOO.take(), "d");
        assert_eq!(in_thread(|| FOO.take()), "a");
    }

    #[test]
    fn set_does_not_initialize_and_the_rest_does() {
        thread_local! {
            static CELL: Cell<u32> = panic!("initialized");
            static REFCELL: RefCell<u32> = panic!("initialized");
        }
        CELL.set(1);
        REFCELL.set(2);
        assert_eq!((CELL.get(), REFCELL.take()), (1, 2));
        let panics: [fn(); 4] = [
            || { CELL.replace(1); },
            || { CELL.take(); },
            || { REFCELL.replace(1); },
            || { REFCELL.with_borrow(|_| ()); },
        ];
        for f in panics {
            assert!(std::thread::spawn(f).join().is_err());
        }
    }

    #[test]
    fn an_initializer_that_panics_is_run_again() {
        use std::panic::catch_unwind;
        use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
        static RUNS: AtomicU32 = AtomicU32::new(0);
        thread_local!(static FOO: u32 = {
            let run = RUNS.fetch_add(1, SeqCst);
            assert_ne!(run, 0);
            run
        });
        assert!(catch_unwind(|| FOO.with(|v| *v)).is_err());
        assert_eq!(FOO.with(|v| *v), 1);
    }

    #[test]
    fn destroyed_values_and_the_error() {
        struct Probe(Arc<Mutex<Vec<String>>>);
        thread_local!(static FOO: Cell<Option<Probe>> = const { Cell::new(None) });
        impl Drop for Probe {
            fn drop(&mut self) {
                let error = FOO.try_with(|_| ()).unwrap_err();
                let copy: Box<dyn std::error::Error> = Box::new(error);
                assert!(error == error);
                self.0.lock().unwrap().push(copy.to_string());
            }
        }
        let seen = Arc::new(Mutex::new(vec![]));
        let probe = Probe(Arc::clone(&seen));
        in_thread(move || FOO.set(Some(probe)));
        let seen = seen.lock().unwrap();
        assert_eq!(seen.len(), 1);
        assert!(seen[0].contains("destroyed"), "{:?}", seen);
    }

    #[test]
    fn values_made_by_destructors_are_destroyed() {
        struct Late(Log);
        thread_local! {
            static EARLY: RefCell<Option<Late>> = RefCell::new(None);
            static LATE: RefCell<Option<common::Entry>> = RefCell::new(None);
        }
        impl Drop for Late {
            fn drop(&mut self) {
                self.0.push(1);
                LATE.set(Some(self.0.entry(2)));
            }
        }
        let log = Log::new();
        let late = Late(log.clone());
        in_thread(move || EARLY.set(Some(late)));
        assert_eq!(log.take(), [1, 2]);
    }

    #[test]
    fn debug_names_no_value() {
        thread_local!(static FOO: RefCell<u32> = panic!("Debug ran the initializer"));
        assert!(!format!("{:?}", FOO).is_empty());
        let _: &dyn std::fmt::Debug = &FOO;
    }
}
