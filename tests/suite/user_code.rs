//! The crate holds no lock while user code runs (initializers, destructors, closures, `Debug`, `Default`), so user code can wait for
//! other threads that use the crate.

#![cfg(feature = "alloc")]

use crate::common::{in_thread, OnDrop};
use os_thread_local::{PerThread, ThreadLocal};
use std::cell::{Cell, RefCell};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Waits for another thread to do everything that acquires a lock: a first use in a new thread, growth of numbers and tables, the drop of
/// objects with values in other threads, `reclaim`, exit. If this thread held a lock, both threads would deadlock; the timeout turns that
/// into a failure.
fn user_code() {
    let (done, finished) = channel::<()>();
    let thread = thread::spawn(move || {
        let shared = Arc::new(ThreadLocal::new(|| vec![1]));
        let objects: Vec<_> = (0..70).map(|n| ThreadLocal::from_fn(move || vec![n])).collect();
        objects.iter().for_each(|o| o.with(|v| assert_eq!(v.len(), 1)));
        let (used, is_used) = channel();
        let (go, may_go) = channel::<()>();
        let other = {
            let shared = shared.clone();
            thread::spawn(move || {
                shared.with(|_| ());
                drop(shared);
                used.send(()).unwrap();
                may_go.recv().unwrap();
                os_thread_local::reclaim();
            })
        };
        shared.with(|_| ());
        is_used.recv().unwrap();
        drop(shared);
        go.send(()).unwrap();
        other.join().unwrap();
        let mut values = PerThread::new(|| Cell::new(1));
        values.with(|v| v.set(2));
        values.clear();
        drop(done);
    });
    match finished.recv_timeout(Duration::from_secs(300)) {
        Err(RecvTimeoutError::Disconnected) => thread.join().unwrap(),
        _ => panic!("the lock is held while user code runs"),
    }
    CALLS.fetch_add(1, SeqCst);
}

/// How often `user_code` ran in `f`.
fn calls(f: impl FnOnce()) -> usize {
    let before = CALLS.load(SeqCst);
    f();
    CALLS.load(SeqCst) - before
}

struct Waits;

impl Drop for Waits {
    fn drop(&mut self) {
        user_code();
    }
}

impl Default for Waits {
    fn default() -> Self {
        user_code();
        Waits
    }
}

impl fmt::Debug for Waits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        user_code();
        f.write_str("Waits")
    }
}

// One test: the calls are counted.
#[test]
#[cfg_attr(
    windows,
    ignore = "its destructors wait for threads to end: under the loader's lock, on Windows"
)]
fn no_lock_is_held() {
    let initializers = calls(|| {
        let object = ThreadLocal::new(user_code);
        object.with(|_| ());
        let values = PerThread::new(user_code);
        values.with(|_| ());
        // A value with a destructor, made by `Default`; `mem::forget` keeps this to the initializer.
        let object = ThreadLocal::<std::mem::ManuallyDrop<Waits>>::default();
        object.with(|_| ());
        // An object beyond the inline entries.
        let many: Vec<_> = (0..40).map(|_| ThreadLocal::new(|| 0)).collect();
        many.iter().for_each(|o| o.with(|_| ()));
        let object = ThreadLocal::new(user_code);
        object.with(|_| ());
    });
    assert_eq!(initializers, 4);

    let closures = calls(|| {
        let mut object = ThreadLocal::new(|| RefCell::new(1));
        object.with(|_| user_code());
        object.try_with(|_| user_code()).unwrap();
        object.with_existing(|_| user_code()).unwrap();
        object.with_mut(|_| user_code());
        object.with_borrow(|_| user_code());
        object.with_borrow_mut(|_| user_code());
        let cell = ThreadLocal::new(|| Cell::new(1));
        cell.update(|n| {
            user_code();
            n
        });
        let mut values = PerThread::new(|| 1);
        values.with(|_| user_code());
        values.for_each(|_| user_code());
        values.iter_mut().for_each(|_| user_code());
        values.drain().for_each(|_| user_code());
    });
    assert_eq!(closures, 11);

    let debug = calls(|| {
        let object = ThreadLocal::new(|| std::mem::ManuallyDrop::new(Waits));
        object.with(|v| assert_eq!(format!("{:?} {:?}", object, **v).matches("Waits").count(), 1));
    });
    assert_eq!(debug, 1);

    let destructors = calls(|| {
        // With the object.
        let object = ThreadLocal::new(|| Waits);
        object.with(|_| ());
        drop(object);
        // Replaced.
        let cell = ThreadLocal::new(|| RefCell::new(Some(Waits)));
        cell.with(|_| ());
        cell.set(None);
        // Removed.
        let mut object = ThreadLocal::new(|| Waits);
        object.with(|_| ());
        drop(object.remove());
        // A value of `PerThread`, cleared, drained and dropped.
        let mut values = PerThread::new(|| Waits);
        values.with(|_| ());
        values.clear();
        values.with(|_| ());
        drop(values.drain());
        values.with(|_| ());
        drop(values);
        // At the end of a thread.
        in_thread(|| {
            static STATIC: ThreadLocal<Waits> = ThreadLocal::new(|| Waits);
            STATIC.with(|_| ());
        });
        // Handed to its thread: reclaimed, at the next first use, and at the end.
        for way in 0..3 {
            let object = ThreadLocal::new(|| Waits);
            object.with(|_| ());
            thread::spawn(move || drop(object)).join().unwrap();
            match way {
                0 => os_thread_local::reclaim(),
                1 => ThreadLocal::new(|| 1).with(|_| ()),
                _ => os_thread_local::reclaim(),
            }
        }
        in_thread(|| {
            let object = ThreadLocal::new(|| Waits);
            object.with(|_| ());
            thread::spawn(move || drop(object)).join().unwrap();
        });
    });
    assert_eq!(destructors, 11);
}

/// Two threads exit at once, and a destructor in each waits for the other's to be under way.
#[test]
#[cfg_attr(windows, ignore = "Windows ends one thread at a time, under the loader's lock")]
fn destructors_of_two_threads_wait_for_each_other() {
    type Action = OnDrop<Box<dyn FnMut()>>;
    static OBJECT: ThreadLocal<RefCell<Option<Action>>> = ThreadLocal::new(|| RefCell::new(None));
    let both = Arc::new(Barrier::new(2));
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let both = both.clone();
            thread::spawn(move || {
                let wait: Box<dyn FnMut()> = Box::new(move || {
                    both.wait();
                });
                OBJECT.with(|o| *o.borrow_mut() = Some(OnDrop(wait)));
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
}

/// The destructors of a ring of threads: each waits until the next thread has exited, which has used, and drops, an object that all have used.
#[test]
#[cfg_attr(windows, ignore = "Windows ends one thread at a time, under the loader's lock")]
fn destructors_wait_for_the_end_of_other_threads() {
    struct Joins(Option<thread::JoinHandle<()>>);
    impl Drop for Joins {
        fn drop(&mut self) {
            if let Some(thread) = self.0.take() {
                thread.join().unwrap();
            }
        }
    }
    static NEXT: ThreadLocal<RefCell<Option<Joins>>> = ThreadLocal::new(|| RefCell::new(None));
    fn chain(depth: usize, object: Arc<ThreadLocal<Vec<u8>>>, ends: Sender<usize>) {
        object.with(|_| ());
        let next = (depth > 0).then(|| {
            let (object, ends) = (object.clone(), ends.clone());
            thread::spawn(move || chain(depth - 1, object, ends))
        });
        NEXT.with(|n| *n.borrow_mut() = Some(Joins(next)));
        ends.send(depth).unwrap();
    }
    let (ends, ended): (Sender<usize>, Receiver<usize>) = channel();
    let object = Arc::new(ThreadLocal::new(|| vec![1]));
    let first = {
        let object = object.clone();
        thread::spawn(move || chain(20, object, ends))
    };
    drop(object);
    first.join().unwrap();
    assert_eq!(ended.iter().count(), 21);
}
