//! Code written for `std::thread::LocalKey` compiles and behaves the same: each check below runs against
//! std's type and this crate's. (std's own tests run too: `ci/drop-in-std`.)

#![cfg(feature = "alloc")]
#![cfg(feature = "std")]
#![allow(clippy::missing_const_for_thread_local)] // both forms of the macro are tested

use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};

use crate::common::{in_thread, Log};

/// Declares one module per implementation, with the same body.
macro_rules! both {
    ($($body:tt)*) => {
        #[cfg(not(os_thread_local_old_std))]
        mod with_std {
            #[allow(unused_imports)] // a body uses one or the other
            use std::{thread::LocalKey, thread_local};
            use super::*;
            const DESTROYS: bool = crate::common::STD_DESTROYS;
            $($body)*
        }
        mod with_ours {
            #[allow(unused_imports)] // a body uses one or the other
            use os_thread_local::{thread_local, LocalKey};
            use super::*;
            const DESTROYS: bool = true;
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
        assert_eq!(seen.len(), usize::from(DESTROYS));
        assert!(seen.iter().all(|error| error.contains("destroyed")), "{:?}", seen);
    }

    #[test]
    fn values_made_by_destructors_are_destroyed() {
        struct Late(Log);
        thread_local! {
            static EARLY: RefCell<Option<Late>> = RefCell::new(None);
            static LATE: RefCell<Option<crate::common::Entry>> = RefCell::new(None);
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
        assert_eq!(log.take(), if DESTROYS { vec![1, 2] } else { vec![] });
    }

    #[test]
    fn debug_names_no_value() {
        thread_local!(static FOO: RefCell<u32> = panic!("Debug ran the initializer"));
        assert!(!format!("{:?}", FOO).is_empty());
        let _: &dyn std::fmt::Debug = &FOO;
    }

    // A declaration is a constant: it stands in `impl` and `trait` blocks, and initializes fields.
    #[test]
    fn declarations_in_impl_and_trait_blocks() {
        struct Parser;
        impl Parser {
            thread_local! {
                static DEPTH: Cell<u32> = const { Cell::new(0) };
                /// Documented.
                #[allow(dead_code)]
                pub(crate) static NAMES: RefCell<Vec<String>> = RefCell::new(Vec::new())
            }
            fn deeper() -> u32 {
                Self::DEPTH.set(Self::DEPTH.get() + 1);
                Self::DEPTH.get()
            }
        }
        trait Counted {
            thread_local!(static COUNT: Cell<u32> = Cell::new(10));
            fn count() -> u32 {
                Self::COUNT.with(|count| count.replace(count.get() + 1))
            }
        }
        struct Generic<T>(T);
        impl<T> Generic<T> {
            thread_local!(static SHARED: Cell<u32> = const { Cell::new(5) });
        }
        impl<T> Counted for Generic<T> {}

        assert_eq!((Parser::deeper(), Parser::deeper()), (1, 2));
        assert_eq!(in_thread(Parser::deeper), 1);
        assert!(Parser::NAMES.with_borrow(|names| names.is_empty()));
        // One for all parameters, since a static cannot name them.
        assert_eq!((Generic::<u8>::count(), Generic::<u16>::count()), (10, 11));
        Generic::<u8>::SHARED.set(6);
        assert_eq!(Generic::<u16>::SHARED.get(), 6);
        let _ = Generic(1).0;
    }

    // tokio's `task_local!` does this.
    #[test]
    fn a_key_initializes_a_field() {
        struct TaskKey {
            inner: LocalKey<RefCell<Option<u32>>>,
        }
        impl TaskKey {
            fn scope<R>(&'static self, value: u32, f: impl FnOnce() -> R) -> R {
                let before = self.inner.with_borrow_mut(|slot| slot.replace(value));
                let result = f();
                self.inner.with_borrow_mut(|slot| *slot = before);
                result
            }
            fn get(&'static self) -> Option<u32> {
                self.inner.with(|slot| *slot.borrow())
            }
        }
        static KEY: TaskKey = {
            thread_local!(static INNER: RefCell<Option<u32>> = const { RefCell::new(None) });
            TaskKey { inner: INNER }
        };
        assert_eq!(KEY.get(), None);
        KEY.scope(1, || {
            KEY.scope(2, || assert_eq!(KEY.get(), Some(2)));
            assert_eq!(KEY.get(), Some(1));
            in_thread(|| assert_eq!(KEY.get(), None));
        });
        assert_eq!(KEY.get(), None);
    }

    #[test]
    fn explicit_type_arguments() {
        thread_local! {
            static FOO: RefCell<Vec<u32>> = RefCell::new(vec![1]);
            static BAR: Cell<u32> = Cell::new(2);
        }
        assert_eq!(FOO.with::<_, usize>(|v| v.borrow().len()), 1);
        assert_eq!(FOO.try_with::<_, usize>(|v| v.borrow().len()).unwrap(), 1);
        assert_eq!(FOO.with_borrow::<_, u64>(|v| v[0].into()), 1);
        assert_eq!(FOO.with_borrow_mut::<_, Option<u32>>(|v| v.pop()), Some(1));
        assert_eq!(LocalKey::with(&BAR, Cell::get), 2);
        assert_eq!(LocalKey::<Cell<u32>>::get(&BAR), 2);
        let len: fn(&RefCell<Vec<u32>>) -> usize = |v| v.borrow().len();
        assert_eq!(FOO.with::<fn(&RefCell<Vec<u32>>) -> usize, usize>(len), 0);
    }

    #[test]
    fn traits_and_generics_over_keys() {
        trait Key<T: 'static> {
            fn read(&'static self) -> T;
        }
        impl<T: Copy + 'static> Key<T> for LocalKey<Cell<T>> {
            fn read(&'static self) -> T {
                self.get()
            }
        }
        fn read_all<T: Copy>(keys: &[&'static LocalKey<Cell<T>>]) -> Vec<T> {
            keys.iter().map(|key| key.read()).collect()
        }
        fn send_sync<T: Send + Sync + Unpin + std::panic::UnwindSafe + std::panic::RefUnwindSafe>(_: &T) {}
        thread_local! {
            static FOO: Cell<u32> = Cell::new(1);
            static BAR: Cell<u32> = const { Cell::new(2) };
        }
        assert_eq!(read_all(&[&FOO, &BAR]), [1, 2]);
        send_sync(&FOO);
        thread_local!(static NOT_SEND: std::rc::Rc<u32> = std::rc::Rc::new(3));
        assert_eq!(NOT_SEND.with(|rc| **rc), 3);
        const KEYS: [LocalKey<Cell<u32>>; 2] = [FOO, BAR];
        static TABLE: [LocalKey<Cell<u32>>; 2] = KEYS;
        assert_eq!(TABLE[1].get(), 2);
    }

    // Everything the macro's syntax has, up to std 1.96.
    #[test]
    fn syntax() {
        const LIMIT: usize = 2;
        thread_local! {}
        thread_local!(static ONE: u32 = 1);
        thread_local!(static TWO: u32 = const { 1 + 1 });
        thread_local!(static THREE: u32 = 3;);
        thread_local! {
            /// Documented,
            /// on two lines.
            #[allow(dead_code)]
            #[cfg_attr(all(), doc(hidden))]
            pub static FOUR: [u8; LIMIT] = const {
                const ONE: u8 = 1;
                let mut array = [ONE; LIMIT];
                array[1] = 4;
                array
            };

            #[cfg(any())]
            static LEFT_OUT: NoSuchType = no_such_function();
            #[cfg(not(any()))]
            #[deprecated = "an attribute with a value"]
            pub(self) static FIVE: fn(u32) -> Option<&'static str> = |n| {
                if n == 0 {
                    return None;
                }
                Some("five")
            };
            static SIX: Result<u32, std::num::ParseIntError> = (|| Ok("5".parse::<u32>()? + 1))();
            static SEVEN: &'static str = {
                fn seven() -> &'static str { "seven" }
                seven()
            };
            static EIGHT: u32 = { return 8; };
            static NINE: Box<dyn Fn(u32) -> u32> = Box::new(|n| n + 9);
        }
        assert_eq!((ONE.with(|n| *n), TWO.with(|n| *n), THREE.with(|n| *n)), (1, 2, 3));
        assert_eq!(FOUR.with(|n| *n), [1, 4]);
        #[allow(deprecated)]
        let five = FIVE.with(|f| (f(0), f(1)));
        assert_eq!(five, (None, Some("five")));
        assert_eq!(SIX.with(|n| n.clone()), Ok(6));
        assert_eq!(SEVEN.with(|s| s.len()), 5);
        assert_eq!(EIGHT.with(|n| *n), 8);
        assert_eq!(NINE.with(|f| f(0)), 9);
    }

    #[test]
    fn an_initializer_may_use_other_keys() {
        thread_local! {
            static FIRST: Cell<u32> = Cell::new(1);
            static SECOND: u32 = FIRST.replace(5) + 1;
            static THIRD: &'static LocalKey<Cell<u32>> = &FIRST;
        }
        assert_eq!(SECOND.with(|n| *n), 2);
        assert_eq!(FIRST.get(), 5);
        assert_eq!(THIRD.with(|key| key.get()), 5);
    }

    // regex keeps its scratch memory so: take it, and a guard puts it back.
    #[test]
    fn take_and_put_back() {
        #[derive(Default)]
        struct Scratch {
            bytes: Vec<u8>,
        }
        thread_local!(static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) });
        struct Guard(Option<Box<Scratch>>);
        impl Guard {
            fn bytes(&mut self) -> &mut Vec<u8> {
                &mut self.0.as_mut().unwrap().bytes
            }
        }
        impl Drop for Guard {
            fn drop(&mut self) {
                let scratch = self.0.take();
                // The thread may be exiting.
                let _ = SCRATCH.try_with(|slot| slot.set(scratch));
            }
        }
        fn scratch() -> Guard {
            Guard(Some(SCRATCH.take().unwrap_or_default()))
        }
        scratch().bytes().push(1);
        assert_eq!(*scratch().bytes(), [1]);
        let (mut one, mut two) = (scratch(), scratch());
        assert_eq!((one.bytes().len(), two.bytes().len()), (1, 0));
    }
}
