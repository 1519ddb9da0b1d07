//! A `ThreadLocal` that belongs to an object: a field, a value on the heap, an element of a collection.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;

use crate::common::in_thread;
use crossbeam_utils::thread::scope;
use os_thread_local::ThreadLocal;

#[test]
fn a_field_of_a_borrowed_object() {
    struct Foo {
        data: u32,
        tls: ThreadLocal<RefCell<u32>>,
    }

    let foo = Foo { data: 7, tls: ThreadLocal::new(|| RefCell::new(1)) };
    foo.tls.with(|v| {
        assert_eq!(*v.borrow(), 1);
        *v.borrow_mut() = 2;
    });
    scope(|s| {
        let foo2 = &foo;
        s.spawn(move |_| {
            assert_eq!(foo2.data, 7);
            foo2.tls.with(|v| {
                assert_eq!(*v.borrow(), 1);
                *v.borrow_mut() = 3;
            });
        })
        .join()
        .unwrap();
        foo.tls.with(|v| assert_eq!(*v.borrow(), 2));
    })
    .unwrap();
}

#[test]
fn with_the_scoped_threads_of_std() {
    let tls = ThreadLocal::new(|| Cell::new(1));
    tls.with(|v| v.set(2));
    thread::scope(|s| {
        for i in 10..14 {
            let tls = &tls;
            s.spawn(move || {
                assert_eq!(tls.with(Cell::get), 1);
                tls.with(|v| v.set(i));
                assert_eq!(tls.with(Cell::get), i);
            });
        }
    });
    assert_eq!(tls.with(Cell::get), 2);
}

#[test]
fn two_objects_of_one_type_do_not_share() {
    let a = ThreadLocal::new(|| Cell::new(0));
    let b = ThreadLocal::new(|| Cell::new(0));
    a.with(|v| v.set(1));
    b.with(|v| v.set(2));
    assert_eq!((a.with(Cell::get), b.with(Cell::get)), (1, 2));
}

#[test]
fn closures_that_capture_nothing_are_one_type() {
    // Each closure is a type of its own; `new` takes a function, so they all fit one collection.
    let several: Vec<ThreadLocal<Cell<u32>>> = Vec::from([
        ThreadLocal::new(|| Cell::new(1)),
        ThreadLocal::new(|| Cell::new(2)),
        ThreadLocal::new(Cell::default),
    ]);
    assert_eq!(several.iter().map(|t| t.with(Cell::get)).collect::<Vec<_>>(), [1, 2, 0]);

    let mut by_name: HashMap<&str, ThreadLocal<String>> = HashMap::new();
    by_name.insert("a", ThreadLocal::new(|| "A".to_string()));
    by_name.insert("b", ThreadLocal::new(|| "B".to_string()));
    assert_eq!(by_name["b"].with(String::clone), "B");

    let chosen =
        if several.len() == 3 { ThreadLocal::new(|| 'y') } else { ThreadLocal::new(|| 'n') };
    assert_eq!(chosen.with(|c| *c), 'y');
}

#[test]
fn closures_that_capture() {
    let name = String::from("worker");
    let tls = ThreadLocal::from_fn(move || RefCell::new(name.clone()));
    tls.with(|s| s.borrow_mut().push_str(" 1"));
    thread::scope(|s| {
        s.spawn(|| tls.with(|s| assert_eq!(*s.borrow(), "worker")));
    });
    assert_eq!(tls.with(|s| s.borrow().clone()), "worker 1");

    // A boxed one gives the type a name.
    let start = Arc::new(5);
    let boxed: ThreadLocal<u32, Box<dyn Fn() -> u32 + Send + Sync>> = {
        let start = Arc::clone(&start);
        ThreadLocal::from_fn(Box::new(move || *start + 1))
    };
    assert_eq!(boxed.with(|v| *v), 6);
    assert_eq!(Arc::strong_count(&start), 2);
    drop(boxed);
    assert_eq!(Arc::strong_count(&start), 1, "the initializer is dropped with its object");
}

#[test]
fn an_initializer_may_borrow() {
    // The values may not borrow; the initializer may.
    let numbers = [1, 2, 3];
    let sum = ThreadLocal::from_fn(|| numbers.iter().sum::<u32>());
    thread::scope(|s| {
        s.spawn(|| assert_eq!(sum.with(|v| *v), 6));
    });
    assert_eq!(sum.with(|v| *v), 6);
}

#[test]
fn in_an_arc_sent_to_threads_with_values_that_are_not_send() {
    let tls = Arc::new(ThreadLocal::new(|| Rc::new(Cell::new(0))));
    let threads: Vec<_> = (1..5)
        .map(|i| {
            let tls = Arc::clone(&tls);
            thread::spawn(move || {
                let mine = tls.with(Rc::clone);
                mine.set(i);
                assert_eq!(tls.with(|v| v.get()), i);
                assert_eq!(tls.with(Rc::strong_count), 2);
            })
        })
        .collect();
    for t in threads {
        t.join().unwrap();
    }
    assert_eq!(tls.with(|v| v.get()), 0);
}

#[test]
fn an_object_made_in_one_thread_and_used_in_another() {
    let tls = in_thread(|| {
        let tls = ThreadLocal::new(|| Cell::new(1));
        tls.with(|v| v.set(2));
        tls
    });
    assert_eq!(tls.with(Cell::get), 1, "that thread's value is not ours");
    let back = in_thread(move || {
        tls.with(|v| v.set(3));
        tls
    });
    assert_eq!(back.with(Cell::get), 1);
}

#[test]
fn an_object_that_owns_another() {
    let outer = ThreadLocal::new(|| ThreadLocal::new(|| Cell::new(1)));
    outer.with(|inner| inner.with(|v| v.set(5)));
    assert_eq!(outer.with(|inner| inner.with(Cell::get)), 5);
    thread::scope(|s| {
        s.spawn(|| assert_eq!(outer.with(|inner| inner.with(Cell::get)), 1));
    });
}

#[test]
fn default_and_debug() {
    let tls: ThreadLocal<Vec<u8>> = ThreadLocal::default();
    assert!(tls.with(Vec::is_empty));

    // Formatting runs no user code: not the initializer, not the value's Debug (it has none here).
    struct Opaque;
    let tls: ThreadLocal<Opaque> = ThreadLocal::new(|| panic!("Debug ran the initializer"));
    assert!(format!("{:?}", tls).starts_with("ThreadLocal"));
    let from_fn = ThreadLocal::from_fn(move || Opaque);
    assert!(format!("{:?}", from_fn).starts_with("ThreadLocal"));
}

#[test]
fn the_value_stays_where_it_is() {
    let tls = ThreadLocal::new(|| [0u8; 3]);
    let before = tls.with(|v| v as *const _ as usize);
    // Others come and the table grows; the object moves. The value does neither.
    let others: Vec<_> = (0..1_000).map(|_| ThreadLocal::new(|| 0u8)).collect();
    for other in &others {
        other.with(|_| ());
    }
    let moved = Box::new(tls);
    assert_eq!(moved.with(|v| v as *const _ as usize), before);
}
