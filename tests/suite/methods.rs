//! `with_or`, `with_or_try`, `with_mut_or`, `with_mut_existing`, `without_init`, `Default`, `try_with`, `with_existing`, `with_mut`, `try_with_mut`, `remove`, `prepare`.
//! A method that both types have is tested on both.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

use crate::common::{in_thread, Log};
use os_thread_local::{AccessError, InitError, NoInit, PerThread, ThreadLocal};

#[test]
fn results_come_back() {
    let tls = ThreadLocal::new(|| 20);
    assert_eq!(tls.with(|v| v + 1), 21);
    assert_eq!(tls.try_with(|v| v + 2), Ok(22));
    let captured = String::from("x");
    assert_eq!(tls.with(move |_| captured), "x");
}

#[test]
fn with_existing_never_initializes() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let tls = ThreadLocal::new(|| RUNS.fetch_add(1, SeqCst));

    assert_eq!(tls.with_existing(|v| *v), None);
    assert_eq!(RUNS.load(SeqCst), 0);
    tls.with(|_| ());
    assert_eq!(tls.with_existing(|v| *v), Some(0));
    thread::scope(|s| {
        s.spawn(|| assert_eq!(tls.with_existing(|_| ()), None));
    });
    assert_eq!(RUNS.load(SeqCst), 1);
}

#[test]
fn with_existing_finds_nothing_while_the_initializer_runs() {
    static FOO: ThreadLocal<Option<u32>> = ThreadLocal::new(|| FOO.with_existing(|_| 1));
    assert_eq!(FOO.with(|v| *v), None);
}

#[test]
fn with_mut_is_this_threads_value() {
    let mut tls = ThreadLocal::new(|| String::from("a"));
    tls.with_mut(|v| v.push('b'));
    assert_eq!(
        tls.try_with_mut(|v| {
            v.push('c');
            v.len()
        }),
        Ok(3)
    );
    assert_eq!(tls.with(String::clone), "abc");

    let mut tls = thread::scope(|s| {
        s.spawn(move || {
            tls.with_mut(|v| v.push('x'));
            assert_eq!(tls.with(String::clone), "ax");
            tls
        })
        .join()
        .unwrap()
    });
    tls.with_mut(|v| assert_eq!(v, "abc"));
}

#[test]
fn remove_takes_this_threads_value_and_no_other() {
    let log = Log::new();
    let (l, next) = (log.clone(), AtomicU32::new(0));
    let mut tls = ThreadLocal::from_fn(move || l.entry(next.fetch_add(1, SeqCst)));

    assert!(tls.remove().is_none());
    tls.with(|v| assert_eq!(v.name, 0));
    let taken = tls.remove().unwrap();
    assert_eq!(taken.name, 0);
    assert!(log.take().is_empty(), "it is moved out, not dropped");
    assert!(tls.remove().is_none());
    assert!(tls.with_existing(|_| ()).is_none());
    tls.with(|v| assert_eq!(v.name, 1, "the next access makes a new one"));
    drop(taken);
    assert_eq!(log.take(), [0]);

    let mut tls = in_thread(move || {
        assert!(tls.remove().is_none(), "another thread's value is not ours to take");
        tls.with(|v| assert_eq!(v.name, 2));
        assert_eq!(tls.remove().unwrap().name, 2);
        tls
    });
    assert_eq!(log.take(), [2]);
    assert_eq!(tls.remove().unwrap().name, 1);
    assert_eq!(log.take(), [1]);
    drop(tls);
    assert!(log.take().is_empty());
}

#[test]
fn remove_gives_back_values_of_every_shape() {
    #[repr(align(256))]
    #[derive(Debug, PartialEq)]
    struct Aligned(u8);

    let mut large = ThreadLocal::new(|| [7u8; 10_000]);
    large.with_mut(|v| v[9_999] = 1);
    let taken = large.remove().unwrap();
    assert_eq!((taken[0], taken[9_999]), (7, 1));

    let mut aligned = ThreadLocal::new(|| Aligned(3));
    aligned.with(|_| ());
    assert_eq!(aligned.remove(), Some(Aligned(3)));

    let mut unit = ThreadLocal::new(|| ());
    assert_eq!(unit.remove(), None);
    unit.with(|_| ());
    assert_eq!(unit.remove(), Some(()));
}

#[test]
fn many_removals_leave_the_others_in_place() {
    let mut objects: Vec<ThreadLocal<Cell<usize>>> =
        (0..200).map(|_| ThreadLocal::new(|| Cell::new(usize::MAX))).collect();
    for (i, o) in objects.iter().enumerate() {
        o.with(|v| v.set(i));
    }
    for i in (0..200).step_by(3) {
        assert_eq!(objects[i].remove().unwrap().get(), i);
    }
    for (i, o) in objects.iter().enumerate() {
        let expected = if i % 3 == 0 { None } else { Some(i) };
        assert_eq!(o.with_existing(Cell::get), expected);
    }
}

#[test]
fn prepare_takes_what_first_use_needs_and_runs_nothing() {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    static FOO: ThreadLocal<u32> = ThreadLocal::new(|| RUNS.fetch_add(1, SeqCst));

    assert_eq!(FOO.prepare(), Ok(()));
    assert_eq!(FOO.prepare(), Ok(()));
    assert_eq!(RUNS.load(SeqCst), 0);
    assert_eq!(FOO.with_existing(|_| ()), None);
    assert_eq!(FOO.with(|v| *v), 0);
    in_thread(|| assert_eq!(FOO.with(|v| *v), 1));

    let object = ThreadLocal::from_fn(|| 'a');
    object.prepare().unwrap();
    assert_eq!(object.with(|c| *c), 'a');
}

/// One module per type, with the same body: what one has, the other has.
macro_rules! both {
    ($($body:tt)*) => {
        mod thread_local {
            use super::*;
            use os_thread_local::ThreadLocal as Object;
            $($body)*
        }
        mod per_thread {
            use super::*;
            use os_thread_local::PerThread as Object;
            $($body)*
        }
    };
}

both! {
    /// In the order of 0.1.3: the result first.
    #[test]
    fn explicit_type_arguments() {
        let mut object = Object::new(|| Cell::new(1));
        assert_eq!(object.with::<u32, _>(Cell::get), 1);
        assert_eq!(object.try_with::<u32, _>(Cell::get), Ok(1));
        assert_eq!(object.with_existing::<u32, _>(Cell::get), Some(1));
        assert_eq!(object.with_mut::<u32, _>(|v| *v.get_mut()), 1);
        assert_eq!(object.try_with_mut::<u32, _>(|v| *v.get_mut()), Ok(1));
        assert_eq!(object.with_or_try::<u32, ()>(|| Ok(Cell::new(2)), Cell::get), Ok(1));
        let get: fn(&Cell<u32>) -> u32 = Cell::get;
        assert_eq!(object.with::<u32, fn(&Cell<u32>) -> u32>(get), 1);
        let object = Object::new(|| RefCell::new(String::from("a")));
        assert_eq!(object.with_borrow::<usize, _>(|s| s.len()), 1);
        assert_eq!(object.with_borrow_mut::<Option<char>, _>(|s| s.pop()), Some('a'));
    }

    /// Of objects without an initializer, too.
    #[test]
    fn exclusive_access() {
        let mut object: Object<String, NoInit> = Object::without_init();
        assert_eq!(object.with_mut_existing(|_| ()), None);
        object.with_mut_or(|| "a".to_string(), |s| s.push('b'));
        assert_eq!(object.try_with_mut_or(|| unreachable!(), |s| s.push('c')), Ok(()));
        assert_eq!(object.with_mut_existing(|s| s.pop()), Some(Some('c')));
        assert_eq!(object.with_existing(String::clone).as_deref(), Some("ab"));
        let mut object = thread::scope(|s| {
            s.spawn(move || {
                object.with_mut_or(String::new, |s| s.push('d'));
                object
            })
            .join()
            .unwrap()
        });
        assert_eq!(object.remove().as_deref(), Some("ab"));
        assert_eq!(object.with_mut_existing(|_| ()), None);

        // `init` is called instead of the initializer.
        let mut object = Object::new(|| 1);
        assert_eq!(object.with_mut_or(|| 2, |n| *n), 2);
    }

    #[test]
    fn objects_without_an_initializer_have_a_default() {
        #[derive(Default)]
        struct Fields {
            first: Object<std::sync::Weak<u32>>,
            second: Object<NoDefault, NoInit>,
        }
        struct NoDefault(u32);

        let fields = Fields::default();
        assert_eq!(fields.first.with(std::sync::Weak::strong_count), 0);
        assert!(fields.second.with_existing(|_| ()).is_none());
        assert_eq!(fields.second.with_or(|| NoDefault(2), |v| v.0), 2);
        let NoInit { .. } = NoInit::default();

        // A type without `NoInit` is one with an initializer.
        assert_eq!(Object::<u32>::default().with(|n| *n), 0);
    }

    #[test]
    fn with_or_makes_values() {
        static OBJECT: Object<String, NoInit> = Object::without_init();
        assert_eq!(OBJECT.prepare(), Ok(()));
        assert_eq!(OBJECT.with_existing(|_| ()), None);
        assert_eq!(OBJECT.with_or_try(|| Err("no"), |_| ()), Err(InitError::Init("no")));
        assert_eq!(OBJECT.with_existing(|_| ()), None);
        assert_eq!(OBJECT.with_or(|| "one".to_string(), String::clone), "one");
        assert_eq!(OBJECT.with_or(|| unreachable!(), String::clone), "one");
        assert_eq!(OBJECT.try_with_or(|| unreachable!(), String::len), Ok(3));
        assert_eq!(OBJECT.with_or_try(|| Err("no"), String::len), Ok(3));
        in_thread(|| assert_eq!(OBJECT.try_with_or(|| "four".to_string(), String::len), Ok(4)));

        let mut object: Object<u32, NoInit> = Object::without_init();
        assert_eq!(object.remove(), None);
        assert_eq!(object.with_or_try(|| Ok::<_, ()>(5), |v| *v), Ok(5));
        assert_eq!(object.remove(), Some(5));
        // A word; and the list of a `PerThread`.
        assert!(std::mem::size_of_val(&object) <= 2 * std::mem::size_of::<usize>());
    }

    #[test]
    fn with_or_does_not_run_the_objects_initializer() {
        let object = Object::new(|| 1);
        assert_eq!(object.with_or(|| 2, |v| *v), 2);
        assert_eq!(object.with(|v| *v), 2);
    }

    #[test]
    fn cells_without_an_initializer_are_set() {
        let cell: Object<Cell<u32>, NoInit> = Object::without_init();
        cell.set(1);
        assert_eq!(cell.try_set(2), Ok(()));
        assert_eq!(cell.with_existing(Cell::get), Some(2));
        let refcell: Object<RefCell<u32>, NoInit> = Object::without_init();
        assert_eq!(refcell.try_set(3), Ok(()));
        refcell.set(4);
        assert_eq!(refcell.with_existing(|v| *v.borrow()), Some(4));
    }

    #[test]
    fn a_recursive_with_or_is_an_error() {
        static OBJECT: Object<u32, NoInit> = Object::without_init();
        let value = OBJECT.with_or(
            || {
                let inner = OBJECT.with_or_try(|| Ok::<_, ()>(1), |v| *v);
                assert_eq!(inner, Err(InitError::Access(AccessError::Recursive)));
                assert_eq!(OBJECT.try_with_or(|| 1, |v| *v), Err(AccessError::Recursive));
                2
            },
            |v| *v,
        );
        assert_eq!(value, 2);
    }

    #[test]
    fn with_mut_makes_a_value() {
        let mut object = Object::new(|| vec![1]);
        object.with_mut(|v| v.push(2));
        assert_eq!(object.try_with_mut(|v| v.pop()), Ok(Some(2)));
        assert_eq!(object.with(Vec::clone), [1]);
    }

    /// The `try_` forms give what the others panic with.
    #[test]
    fn try_forms_of_the_cell_methods() {
        let x = Object::new(|| Cell::new(1));
        assert_eq!(x.try_get(), Ok(1));
        assert_eq!(x.try_set(2), Ok(()));
        assert_eq!(x.try_replace(3), Ok(2));
        assert_eq!(x.try_update(|v| v * 10), Ok(()));
        assert_eq!(x.try_take(), Ok(30));
        assert_eq!(x.try_get(), Ok(0));
        in_thread(move || assert_eq!(x.try_set(7).and_then(|()| x.try_get()), Ok(7)));

        static RECURSIVE: Object<Cell<u32>> = Object::new(|| {
            let error = Err(AccessError::Recursive);
            assert_eq!(RECURSIVE.try_get(), error);
            assert_eq!(RECURSIVE.try_replace(1), error);
            assert_eq!(RECURSIVE.try_take(), error);
            assert_eq!(RECURSIVE.try_set(1), Err(AccessError::Recursive));
            assert_eq!(RECURSIVE.try_update(|v| v), Err(AccessError::Recursive));
            Cell::new(5)
        });
        assert_eq!(RECURSIVE.try_get(), Ok(5));
    }

    #[test]
    fn try_forms_of_the_refcell_methods() {
        let x = Object::new(|| RefCell::new(1));
        assert_eq!(x.try_with_borrow(|v| *v), Ok(1));
        assert_eq!(x.try_with_borrow_mut(|v| { *v += 1; *v }), Ok(2));
        assert_eq!(x.try_set(3), Ok(()));
        assert_eq!(x.try_replace(4), Ok(3));
        assert_eq!(x.try_take(), Ok(4));

        x.with_borrow(|_| {
            assert_eq!(x.try_with_borrow(|v| *v), Ok(0));
            assert_eq!(x.try_with_borrow_mut(|v| *v), Err(AccessError::Borrowed));
            assert_eq!(x.try_set(1), Err(AccessError::Borrowed));
            assert_eq!(x.try_replace(1), Err(AccessError::Borrowed));
            assert_eq!(x.try_take(), Err(AccessError::Borrowed));
        });
        x.with_borrow_mut(|_| assert_eq!(x.try_with_borrow(|v| *v), Err(AccessError::Borrowed)));
        assert_eq!(x.try_with_borrow(|v| *v), Ok(0));

        static RECURSIVE: Object<RefCell<u32>> = Object::new(|| {
            let error = Err(AccessError::Recursive);
            assert_eq!(RECURSIVE.try_with_borrow(|v| *v), error);
            assert_eq!(RECURSIVE.try_with_borrow_mut(|v| *v), error);
            assert_eq!(RECURSIVE.try_replace(1), error);
            assert_eq!(RECURSIVE.try_take(), error);
            assert_eq!(RECURSIVE.try_set(1), Err(AccessError::Recursive));
            RefCell::new(5)
        });
        assert_eq!(RECURSIVE.try_take(), Ok(5));
    }

    /// What `set` replaces is dropped when the borrow has ended: its destructor may use the object.
    #[test]
    fn try_set_drops_the_old_value_outside_of_the_borrow() {
        struct Uses(u32);
        static OBJECT: Object<RefCell<Option<Uses>>> = Object::new(|| RefCell::new(None));
        impl Drop for Uses {
            fn drop(&mut self) {
                let seen = OBJECT.try_with_borrow(|v| v.as_ref().map_or(0, |v| v.0));
                // Not in the destructor of the last one, when the thread exits.
                if self.0 == 1 {
                    assert_eq!(seen, Ok(2));
                }
            }
        }
        assert_eq!(OBJECT.try_set(Some(Uses(1))), Ok(()));
        assert_eq!(OBJECT.try_set(Some(Uses(2))), Ok(()));
        OBJECT.set(None);
    }
}

/// A value that a dropped object left is destroyed by a first use: its panic comes out of `try_with`, as documented.
#[test]
fn try_with_panics_where_a_reclaimed_value_does() {
    use std::panic::{catch_unwind, AssertUnwindSafe};

    for first_use in [
        || assert_eq!(ThreadLocal::new(|| 1).try_with(|v| *v), Ok(1)),
        || assert_eq!(PerThread::new(|| 1).try_with(|v| *v), Ok(1)),
    ] {
        in_thread(move || {
            let object = ThreadLocal::new(|| crate::common::OnDrop(|| panic!("in a destructor")));
            object.with(|_| ());
            in_thread(move || drop(object));
            assert!(catch_unwind(AssertUnwindSafe(first_use)).is_err());
            first_use();
        });
    }
}
