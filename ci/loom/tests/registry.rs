//! The registry's races, in every order that loom finds: a thread's end against the drop of an object, a first use against a drop elsewhere, a
//! number that is used again.
//!
//! Each model counts every value that is built and destroyed, and on which thread.

use loom::sync::{Arc, Mutex};
use loom::thread;
use os_thread_local_loom::{free_idle_records, reclaim, sys, AccessError, PerThread, ThreadLocal};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Of one execution; loom's threads run on one of the system's.
#[derive(Default)]
struct Census {
    built: AtomicUsize,
    dropped: AtomicUsize,
}

static CENSUS: Census = Census { built: AtomicUsize::new(0), dropped: AtomicUsize::new(0) };

/// A value that must be destroyed by the thread that built it.
struct Value {
    thread: thread::ThreadId,
    what: u32,
}

impl Value {
    fn new(what: u32) -> Value {
        CENSUS.built.fetch_add(1, SeqCst);
        Value { thread: thread::current().id(), what }
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert_eq!(self.thread, thread::current().id());
        CENSUS.dropped.fetch_add(1, SeqCst);
    }
}

/// The same, sent about.
struct Sent(Cell<u32>);

impl Sent {
    fn new() -> Sent {
        CENSUS.built.fetch_add(1, SeqCst);
        Sent(Cell::new(0))
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        CENSUS.dropped.fetch_add(1, SeqCst);
    }
}

/// One model at a time: they share what is static.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// `taken` numbers are taken before, so that the model's objects have the next ones.
fn model(taken: usize, bound: usize, f: impl Fn() + Send + Sync + 'static) {
    let _alone = ALONE.lock().unwrap_or_else(|e| e.into_inner());
    // The first use of the crate, and the growth of the registry, are not loom's business.
    let mut before: Vec<ThreadLocal<u8>> = (0..taken + 8).map(|_| ThreadLocal::new(|| 0)).collect();
    before.iter().for_each(|o| o.prepare().unwrap());
    before[0].with(|_| ());
    sys::end_of_plain_thread();
    free_idle_records();
    before.truncate(taken);
    let executions = std::sync::Arc::new(AtomicUsize::new(0));
    let count = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(bound);
    builder.max_branches = 20_000;
    builder.check(move || {
        loom_core::begin();
        // What the threads share is touched by the first.
        ThreadLocal::new(|| 0).with(|_| ());
        CENSUS.built.store(0, SeqCst);
        CENSUS.dropped.store(0, SeqCst);
        f();
        sys::end_of_thread();
        free_idle_records();
        assert!(CENSUS.built.load(SeqCst) > 0);
        assert_eq!(CENSUS.built.load(SeqCst), CENSUS.dropped.load(SeqCst));
        count.fetch_add(1, SeqCst);
    });
    loom_core::end();
    drop(before);
    println!("{} executions", executions.load(SeqCst));
}

/// A thread, and its end as the system sees it.
fn spawn(f: impl FnOnce() + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        f();
        sys::end_of_thread();
    })
}

type Object = ThreadLocal<Value>;

fn object() -> Arc<Object> {
    Arc::new(ThreadLocal::new(|| Value::new(1)))
}

/// The last owner is whoever comes last.
fn exit_against_drop(taken: usize) {
    model(taken, 6, || {
        let object = object();
        let other = {
            let object = object.clone();
            spawn(move || object.with(|v| assert_eq!(v.what, 1)))
        };
        object.with(|_| ());
        drop(object);
        other.join().unwrap();
    });
}

#[test]
fn a_threads_end_against_the_drop_of_an_object() {
    exit_against_drop(0);
}

#[test]
fn the_same_beyond_the_inline_entries() {
    exit_against_drop(33);
}

/// The thread's table grows while another thread clears an entry of it.
#[test]
fn a_first_use_that_grows_the_table_against_a_drop_elsewhere() {
    model(62, 6, || {
        let first = object();
        // Number 64 and more need a larger table.
        let between: Vec<Object> = (0..1).map(|_| ThreadLocal::new(|| Value::new(0))).collect();
        first.prepare().unwrap();
        between.iter().for_each(|o| o.prepare().unwrap());
        let second = object();
        second.prepare().unwrap();
        let other = {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                first.with(|_| ());
                drop(first);
                second.with(|v| assert_eq!(v.what, 1));
            })
        };
        drop(first);
        drop(second);
        other.join().unwrap();
    });
}

#[test]
fn a_first_use_against_a_drop_elsewhere() {
    model(0, 6, || {
        let (first, second) = (object(), object());
        let other = {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                first.with(|_| ());
                drop(first);
                second.with(|v| assert_eq!(v.what, 1));
            })
        };
        drop(first);
        second.with(|_| ());
        drop(second);
        other.join().unwrap();
    });
}

/// An object is dropped and the next one has its number, while a thread that has a value of the first exits, and in a destructor uses
/// the second: it finds no mark and no value of the first.
#[test]
fn a_number_that_is_used_again_against_an_exit() {
    model(0, 6, || {
        type Next = Arc<Mutex<Option<Arc<Object>>>>;
        struct Uses(Next);
        impl Drop for Uses {
            fn drop(&mut self) {
                let next = self.0.lock().unwrap().clone();
                if let Some(next) = next {
                    match next.try_with(|v| v.what) {
                        Ok(what) => assert_eq!(what, 2),
                        Err(error) => panic!("{:?}", error),
                    }
                }
            }
        }
        let next: Next = Arc::new(Mutex::new(None));
        let (first, last) = (object(), Arc::new(ThreadLocal::<RefCell<Option<Uses>>>::default()));
        first.prepare().unwrap();
        let other = {
            let (first, last, next) = (first.clone(), last.clone(), next.clone());
            spawn(move || {
                last.with(|l| *l.borrow_mut() = Some(Uses(next)));
                first.with(|_| ());
                drop(first);
                drop(last);
            })
        };
        drop(first);
        let second: Arc<Object> = Arc::new(ThreadLocal::new(|| Value::new(2)));
        second.with(|v| assert_eq!(v.what, 2));
        *next.lock().unwrap() = Some(second);
        drop(last);
        other.join().unwrap();
        drop(next);
    });
}

/// Two threads first-use two new objects at once: two numbers.
#[test]
fn two_first_uses() {
    model(0, 6, || {
        let (first, second) = (object(), object());
        let other = {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                second.with(|v| assert_eq!(v.what, 1));
                first.with(|v| assert_eq!(v.what, 1));
            })
        };
        first.with(|v| assert_eq!(v.what, 1));
        second.with(|v| assert_eq!(v.what, 1));
        other.join().unwrap();
    });
}

#[test]
fn reclaim_against_drops() {
    model(0, 6, || {
        let (first, second) = (object(), object());
        let other = {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                first.with(|_| ());
                second.with(|_| ());
                drop((first, second));
                reclaim();
            })
        };
        drop(first);
        drop(second);
        other.join().unwrap();
    });
}

#[test]
fn three_threads() {
    model(0, 3, || {
        let (first, second) = (object(), object());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let (first, second) = (first.clone(), second.clone());
                spawn(move || {
                    first.with(|_| ());
                    drop(first);
                    second.with(|_| ());
                })
            })
            .collect();
        drop(first);
        drop(second);
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}

/// A `PerThread`'s value of a thread that exits, and another thread that looks for one: one value serves both, or there are two.
#[test]
fn adoption_against_an_exit() {
    model(0, 6, || {
        let object = Arc::new(PerThread::new(Sent::new));
        let other = {
            let object = object.clone();
            spawn(move || object.with(|v| v.0.set(v.0.get() + 1)))
        };
        object.with(|v| v.0.set(v.0.get() + 1));
        other.join().unwrap();
        let mut object = Arc::try_unwrap(object).unwrap_or_else(|_| unreachable!());
        let values: Vec<u32> = object.iter_mut().map(|v| v.0.get()).collect();
        assert!(values == [2] || values == [1, 1], "{:?}", values);
    });
}

/// One thread goes through the values while another adds its own.
#[test]
fn iteration_against_first_uses() {
    model(0, 6, || {
        let object = Arc::new(PerThread::<u32>::new(|| {
            CENSUS.built.fetch_add(1, SeqCst);
            CENSUS.dropped.fetch_add(1, SeqCst);
            7
        }));
        object.with(|_| ());
        let other = {
            let object = object.clone();
            spawn(move || object.with(|v| assert_eq!(*v, 7)))
        };
        let mut seen = 0;
        object.for_each(|v| seen += *v);
        assert!(seen == 7 || seen == 14);
        other.join().unwrap();
        assert_eq!(object.try_with(|v| *v), Ok::<_, AccessError>(7));
    });
}
