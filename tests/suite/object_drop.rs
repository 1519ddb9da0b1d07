//! Destruction of the values of all threads when an object is dropped.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{mpsc, Arc};
use std::thread;

use crate::common::{in_thread, Census, Log, OnDrop};
use os_thread_local::{reclaim, AccessError, ThreadLocal};

#[test]
fn the_value_of_the_dropping_thread_is_destroyed_at_once() {
    let log = Log::new();
    let l = log.clone();
    let object = ThreadLocal::from_fn(move || l.entry(1));
    object.with(|_| ());
    drop(object);
    assert_eq!(log.take(), [1]);
}

#[test]
fn an_object_that_was_never_used() {
    drop(ThreadLocal::new(|| -> u32 { unreachable!() }));
    let prepared = ThreadLocal::new(|| -> u32 { unreachable!() });
    prepared.prepare().unwrap();
    drop(prepared);
}

/// A thread that runs one closure at a time, and reports when it has returned.
struct Worker {
    orders: Option<mpsc::Sender<Box<dyn FnOnce() + Send>>>,
    done: mpsc::Receiver<()>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Worker {
    fn new() -> Worker {
        let (orders, receive) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let (report, done) = mpsc::channel();
        let thread = thread::spawn(move || {
            for order in receive {
                order();
                report.send(()).unwrap();
            }
        });
        Worker { orders: Some(orders), done, thread: Some(thread) }
    }

    fn run(&self, order: impl FnOnce() + Send + 'static) {
        self.orders.as_ref().unwrap().send(Box::new(order)).unwrap();
        self.done.recv().unwrap();
    }

    fn join(mut self) {
        self.orders = None;
        self.thread.take().unwrap().join().unwrap();
    }
}

/// An object in an `Arc`, used once by `worker` and once by the calling thread, which has the last reference afterwards.
fn used_here_and_there(
    worker: &Worker,
    census: &Census,
) -> ThreadLocal<crate::common::Counted, impl Fn() -> crate::common::Counted> {
    let c = census.clone();
    let object = Arc::new(ThreadLocal::from_fn(move || c.count()));
    object.with(|_| ());
    let theirs = Arc::clone(&object);
    worker.run(move || theirs.with(|_| ()));
    Arc::try_unwrap(object).ok().unwrap()
}

#[test]
fn reclaim_destroys_the_value_of_a_dropped_object() {
    let (worker, census) = (Worker::new(), Census::new());
    drop(used_here_and_there(&worker, &census));
    assert_eq!((census.built(), census.dropped()), (2, 1), "ours at once, theirs not by us");
    reclaim();
    assert_eq!(census.dropped(), 1, "reclaim is for the calling thread's values");
    worker.run(reclaim);
    assert_eq!((census.dropped(), census.strayed()), (2, 0));
    worker.join();
    assert_eq!(census.dropped(), 2);
}

#[test]
fn a_first_use_destroys_the_value_of_a_dropped_object() {
    static OTHER: ThreadLocal<u32> = ThreadLocal::new(|| 1);
    let (worker, census) = (Worker::new(), Census::new());
    drop(used_here_and_there(&worker, &census));
    worker.run(|| OTHER.with(|_| ()));
    assert_eq!((census.dropped(), census.strayed()), (2, 0));
    worker.join();
    assert_eq!(census.dropped(), 2);
}

#[test]
fn thread_exit_destroys_the_value_of_a_dropped_object() {
    let (worker, census) = (Worker::new(), Census::new());
    drop(used_here_and_there(&worker, &census));
    assert_eq!(census.dropped(), 1);
    worker.join();
    assert_eq!((census.dropped(), census.strayed()), (2, 0));
}

#[test]
fn reclaim_with_nothing_to_do() {
    reclaim();
    in_thread(reclaim);
    let tls = ThreadLocal::new(|| 1);
    tls.with(|_| reclaim());
}

#[test]
fn reclaim_from_a_reclaimed_destructor() {
    let worker = Worker::new();
    let log = Log::new();
    let objects: Arc<Vec<_>> = Arc::new(
        (0..10)
            .map(|i| {
                let log = log.clone();
                ThreadLocal::from_fn(move || {
                    let log = log.clone();
                    OnDrop(move || {
                        reclaim();
                        log.push(i);
                    })
                })
            })
            .collect(),
    );
    let theirs = Arc::clone(&objects);
    worker.run(move || theirs.iter().for_each(|o| o.with(|_| ())));
    drop(objects);
    worker.run(reclaim);
    let mut order = log.take();
    order.sort_unstable();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
    worker.join();
    assert!(log.take().is_empty());
}

/// The destructor of an orphan may use any object.
#[test]
fn a_reclaimed_destructor_uses_creates_and_drops_objects() {
    static OTHER: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(0));
    let worker = Worker::new();
    let object = Arc::new(ThreadLocal::new(|| {
        OnDrop(|| {
            OTHER.set(OTHER.get() + 1);
            let new = ThreadLocal::new(|| Box::new(1));
            assert_eq!(new.with(|v| **v), 1);
        })
    }));
    let theirs = Arc::clone(&object);
    worker.run(move || theirs.with(|_| ()));
    drop(object);
    // The first use of this one destroys what the dropped object left, in the midst of it.
    worker.run(|| {
        let another = ThreadLocal::new(|| 5);
        assert_eq!(another.with(|v| *v), 5);
        assert_eq!(OTHER.get(), 1);
    });
    worker.join();
}

/// A value without drop glue is freed at once, whichever thread it belongs to. (`bounded_memory` checks that it is freed.)
#[test]
fn values_without_destructors() {
    let worker = Worker::new();
    for _ in 0..100 {
        let object = Arc::new(ThreadLocal::new(|| [1u64; 32]));
        object.with(|_| ());
        let theirs = Arc::clone(&object);
        worker.run(move || theirs.with(|_| ()));
        drop(object);
    }
    worker.run(|| ThreadLocal::new(|| 1).with(|_| ()));
    worker.join();
}

#[test]
fn the_thread_that_drops_may_never_have_used_it() {
    let census = Census::new();
    let c = census.clone();
    let object = ThreadLocal::from_fn(move || c.count());
    object.with(|_| ());
    in_thread(move || drop(object));
    assert_eq!(census.dropped(), 0, "the value is ours to destroy");
    reclaim();
    assert_eq!((census.dropped(), census.strayed()), (1, 0));
}

#[test]
fn an_object_dropped_after_the_thread_has_ended_destroys_nothing() {
    let census = Census::new();
    let c = census.clone();
    let object = in_thread(move || {
        let object = ThreadLocal::from_fn(move || c.count());
        object.with(|_| ());
        object
    });
    assert_eq!((census.built(), census.dropped()), (1, 1));
    drop(object);
    assert_eq!(census.dropped(), 1);
}

/// A new object has the number of a dropped one, and none of its values.
#[test]
fn a_reused_number_starts_empty_in_every_thread() {
    let worker = Worker::new();
    for round in 0..50u32 {
        let objects: Arc<Vec<ThreadLocal<Cell<u32>>>> =
            Arc::new((0..100).map(|_| ThreadLocal::new(|| Cell::new(0))).collect());
        let theirs = Arc::clone(&objects);
        worker.run(move || {
            for o in theirs.iter().skip(round as usize) {
                assert_eq!(o.with_existing(Cell::get), None);
                o.set(round + 1);
            }
        });
        for o in objects.iter() {
            assert_eq!(o.with_existing(Cell::get), None);
            assert_eq!(o.get(), 0);
            o.set(1_000);
        }
    }
    worker.join();
}

/// The same with values that must wait for their thread: the new object's value lives next to what
/// the old one left, and they are not confused.
#[test]
fn a_reused_number_beside_an_orphaned_value() {
    let (worker, census) = (Worker::new(), Census::new());
    let parked = Arc::new(AtomicBool::new(false));
    for _ in 0..200 {
        let object = used_here_and_there(&worker, &census);
        assert!(object.with_existing(|_| ()).is_some());
        drop(object);
    }
    assert_eq!(census.built(), 400);
    // All but the last one were destroyed by the first use of the next.
    assert!(census.dropped() >= 399, "{}", census.dropped());
    worker.run(move || parked.store(true, SeqCst));
    worker.join();
    assert_eq!((census.dropped(), census.strayed()), (400, 0));
}

#[test]
fn a_destructor_can_use_other_objects_than_its_own() {
    // No other value can hold an object that is being dropped, but its value can hold other objects.
    static OTHER: ThreadLocal<RefCell<Vec<u32>>> = ThreadLocal::new(|| RefCell::new(vec![]));
    let object = ThreadLocal::new(|| OnDrop(|| OTHER.with_borrow_mut(|v| v.push(1))));
    object.with(|_| ());
    OTHER.with_borrow_mut(|v| v.push(0));
    drop(object);
    assert_eq!(OTHER.take(), [0, 1]);
}

/// Each thread's value holds a reference to the object; the last one to go drops it, from inside its
/// own destructor.
#[test]
fn an_object_dropped_by_its_own_values_destructor_in_another_thread() {
    type Object = ThreadLocal<Node, Box<dyn Fn() -> Node + Send + Sync>>;
    #[derive(Default)]
    struct Node(RefCell<Option<Arc<Object>>>);
    impl Drop for Node {
        fn drop(&mut self) {
            let object = self.0.take().unwrap();
            assert_eq!(object.try_with(|_| ()), Err(AccessError::Destroyed));
        }
    }
    for _ in 0..20 {
        let log = Log::new();
        let entry = log.entry(1);
        let object: Arc<Object> = Arc::new(ThreadLocal::from_fn(Box::new(move || {
            let _ = &entry; // captured as a whole
            Node::default()
        })));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let object = Arc::clone(&object);
                thread::spawn(move || {
                    object.with(|node| *node.0.borrow_mut() = Some(Arc::clone(&object)));
                })
            })
            .collect();
        drop(object);
        for t in threads {
            t.join().unwrap();
        }
        assert_eq!(log.take(), [1], "the object and its initializer are gone");
    }
}
