//! How long the values of a `PerThread` live: with the object, not with the thread; and what they borrow.

#![cfg(feature = "alloc")]

use std::cell::RefCell;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::channel;
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

use crate::common::{in_thread, this_thread, Log, OnDrop, STD_DESTROYS};
use os_thread_local::{AccessError, PerThread, ThreadLocal};

#[test]
fn a_value_outlives_its_thread() {
    let log = Log::new();
    let l = log.clone();
    let object = Arc::new(PerThread::from_fn(move || l.entry(1)));
    let o = object.clone();
    in_thread(move || o.with(|v| assert_eq!(v.name, 1)));
    assert_eq!(log.take(), []);
    assert_eq!(object.len(), 1);
    drop(object);
    assert_eq!(log.take(), [1]);
}

/// Values of threads that are gone, of threads that live and of the thread that drops the object: all at once, by that
/// one.
#[test]
fn the_object_takes_all_values_with_it() {
    const THREADS: usize = 4;
    struct Noted(Arc<Mutex<Vec<usize>>>);
    impl Drop for Noted {
        fn drop(&mut self) {
            self.0.lock().unwrap().push(this_thread());
        }
    }

    let dropped_by = Arc::new(Mutex::new(Vec::new()));
    let noted = dropped_by.clone();
    let object = Arc::new(PerThread::from_fn(move || Noted(noted.clone())));
    let (used, gone) =
        (Arc::new(Barrier::new(2 * THREADS + 1)), Arc::new(Barrier::new(THREADS + 1)));
    let threads: Vec<_> = (0..2 * THREADS)
        .map(|n| {
            let (object, used, gone) = (object.clone(), used.clone(), gone.clone());
            thread::spawn(move || {
                object.with(|_| ());
                drop(object);
                used.wait();
                if n < THREADS {
                    gone.wait(); // lives on
                }
            })
        })
        .collect();
    used.wait();
    let (living, ended): (Vec<_>, Vec<_>) =
        threads.into_iter().enumerate().partition(|(n, _)| *n < THREADS);
    ended.into_iter().for_each(|(_, t)| t.join().unwrap());

    let object = Arc::try_unwrap(object).ok().unwrap();
    let (dropper, values) = in_thread(move || {
        object.with(|_| ()); // inherited from one of the ended threads, or a new one
        let values = object.len();
        assert!((2 * THREADS..=2 * THREADS + 1).contains(&values), "{}", values);
        drop(object);
        (this_thread(), values)
    });
    // Before the living threads end, or do anything.
    assert_eq!(mem::take(&mut *dropped_by.lock().unwrap()), [dropper].repeat(values));
    gone.wait();
    living.into_iter().for_each(|(_, t)| t.join().unwrap());
    assert!(dropped_by.lock().unwrap().is_empty());
}

#[test]
fn values_that_borrow_in_scoped_threads() {
    let text = String::from("one two three four five six");
    let words: PerThread<RefCell<Vec<&str>>> = PerThread::default();
    thread::scope(|s| {
        for word in text.split(' ') {
            let words = &words;
            s.spawn(move || words.with(|w| w.borrow_mut().push(word)));
        }
    });
    let mut all: Vec<&str> = words.into_iter().flat_map(RefCell::into_inner).collect();
    all.sort_unstable();
    assert_eq!(all, ["five", "four", "one", "six", "three", "two"]);
}

/// A scope waits for the closures of its threads, not for their destructors. Here these run after the object, its values
/// and what the values borrow are gone.
#[test]
fn destructors_of_a_scoped_thread_run_after_the_scope() {
    /// Writes to what it borrows when it is dropped.
    struct Writer<'a>(&'a AtomicUsize);
    impl Drop for Writer<'_> {
        fn drop(&mut self) {
            assert_eq!(self.0.swap(2, SeqCst), 1);
        }
    }

    type Last = RefCell<Option<OnDrop<Box<dyn FnMut()>>>>;
    static OLDEST: ThreadLocal<Last> = ThreadLocal::new(|| RefCell::new(None));
    static NEWEST: ThreadLocal<Last> = ThreadLocal::new(|| RefCell::new(None));

    for number in 0..8 {
        // Not a channel: std's leak memory in a thread whose thread-local values are gone.
        let gate = Arc::new(AtomicBool::new(false));
        let (done, all_done) = channel();
        let borrowed = Box::new(AtomicUsize::new(1));
        {
            let mut objects: Vec<_> =
                (0..40).map(|_| PerThread::from_fn(|| Writer(&borrowed))).collect();
            let object = &objects[number * 5];
            thread::scope(|s| {
                s.spawn(|| {
                    let gate = gate.clone();
                    OLDEST.with_borrow_mut(|last| {
                        *last = Some(OnDrop(Box::new(move || done.send(()).unwrap())));
                    });
                    object.with(|_| ());
                    NEWEST.with_borrow_mut(|last| {
                        *last = Some(OnDrop(Box::new(move || {
                            while !gate.load(SeqCst) {
                                thread::yield_now();
                            }
                        })));
                    });
                });
            });
            assert_eq!(object.len(), 1);
            drop(objects.swap_remove(number * 5));
            assert_eq!(borrowed.load(SeqCst), 2);
        }
        drop(borrowed);
        gate.store(true, SeqCst);
        all_done.recv().unwrap();
    }
}

/// Leaking the object leaks its values: thread exit does not destroy them, because they may borrow from a frame that has returned.
#[test]
fn a_leaked_object_leaks_its_values() {
    let log = Log::new();
    {
        let text = String::from("borrowed");
        let object = PerThread::from_fn(|| (log.entry(1), &text));
        thread::scope(|s| {
            s.spawn(|| object.with(|v| assert_eq!(v.1, "borrowed"))).join().unwrap();
            s.spawn(|| object.with(|v| assert_eq!(v.1, "borrowed")));
        });
        object.with(|_| ());
        mem::forget(object);
    }
    in_thread(|| ThreadLocal::new(|| Box::new(1)).with(|_| ()));
    assert_eq!(log.take(), []);
}

/// Leaking an iterator leaks at most the values that it has taken out. The object stays usable in every thread.
#[test]
#[allow(clippy::forget_non_drop)] // not every iterator implements `Drop` today
fn leaked_iterators() {
    let log = Log::new();
    let text = String::from("borrowed");
    let name = AtomicUsize::new(0);
    let mut object = PerThread::from_fn(|| {
        (log.entry(name.fetch_add(1, SeqCst) as u32), Box::new(1), RefCell::new(&text))
    });
    let use_it = |object: &PerThread<_, _>| {
        thread::scope(|s| {
            let threads: [_; 2] = [0, 1].map(|_| s.spawn(|| object.with(|_| ())));
            for thread in threads {
                thread.join().unwrap();
            }
        });
        object.with(|_| ());
    };
    use_it(&object);
    let len = object.len();
    // These lend the values.
    mem::forget(object.iter_mut());
    let mut some = object.iter_mut();
    assert_eq!(*some.next().unwrap().2.get_mut(), "borrowed");
    mem::forget(some);
    use_it(&object);
    // More if other threads were there at a time.
    assert!(object.len() >= len);
    assert_eq!(log.take(), []);

    // These have them.
    mem::forget(object.drain());
    assert!(object.is_empty());
    use_it(&object);
    let made = object.len();
    let mut drain = object.drain();
    let first = drain.next().map(|value| value.0.name);
    mem::forget(drain);
    assert_eq!(log.take(), [first.unwrap()]);
    assert!(made > 0 && object.is_empty());
    use_it(&object);
    mem::forget(object.into_iter());
    assert_eq!(log.take(), []);
    // Another object gets the slot number.
    let next = PerThread::new(|| Box::new(2));
    thread::scope(|s| s.spawn(|| assert_eq!(next.with(|v| **v), 2)).join().unwrap());
    assert_eq!(next.with(|v| **v), 2);
}

#[test]
fn a_static_keeps_its_values() {
    static OBJECT: PerThread<Mutex<Vec<u32>>> = PerThread::new(Mutex::default);
    for n in 0..3 {
        in_thread(move || OBJECT.with(|v| v.lock().unwrap().push(n)));
    }
    let mut all = Vec::new();
    OBJECT.for_each(|v| all.extend_from_slice(&v.lock().unwrap()));
    // In one value or in several.
    all.sort_unstable();
    assert_eq!(all, [0, 1, 2]);
}

/// Unlike a `ThreadLocal`, it has no "destroyed" state in a thread: it works to the end.
#[test]
fn the_object_works_in_every_destructor() {
    static OBJECT: PerThread<AtomicUsize> = PerThread::new(|| AtomicUsize::new(0));
    static ERRORS: AtomicUsize = AtomicUsize::new(0);
    static USES: AtomicUsize = AtomicUsize::new(0);
    struct Use;
    impl Drop for Use {
        fn drop(&mut self) {
            match OBJECT.try_with(|v| v.fetch_add(1, SeqCst)) {
                Ok(_) => USES.fetch_add(1, SeqCst),
                Err(_) => ERRORS.fetch_add(1, SeqCst),
            };
        }
    }
    std::thread_local!(static STD: Use = const { Use });
    static OURS: ThreadLocal<Use> = ThreadLocal::new(|| Use);
    for std_first in [true, false] {
        in_thread(move || {
            if std_first {
                STD.with(|_| ());
            }
            OURS.with(|_| ());
            STD.with(|_| ());
        });
    }
    let uses = if STD_DESTROYS { 4 } else { 2 };
    assert_eq!((ERRORS.load(SeqCst), USES.load(SeqCst)), (0, uses));
    // In whichever values.
    assert_eq!(OBJECT.iter().map(|v| v.load(SeqCst)).sum::<usize>(), uses);
}

/// Objects that are dropped while the threads that used them end.
#[test]
fn objects_are_dropped_while_threads_end() {
    const OBJECTS: usize = if cfg!(miri) { 50 } else { 2000 };
    const THREADS: usize = 3;
    let built = Arc::new(AtomicUsize::new(0));
    let dropped = Arc::new(AtomicUsize::new(0));
    struct Counted(Arc<AtomicUsize>);
    impl Drop for Counted {
        fn drop(&mut self) {
            self.0.fetch_add(1, SeqCst);
        }
    }
    for _ in 0..3 {
        let objects: Vec<_> = (0..OBJECTS)
            .map(|_| {
                let (built, dropped) = (built.clone(), dropped.clone());
                PerThread::from_fn(move || {
                    built.fetch_add(1, SeqCst);
                    Counted(dropped.clone())
                })
            })
            .collect();
        let objects = Arc::new(objects);
        let (used, all_used) = channel::<()>();
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (objects, used) = (objects.clone(), used.clone());
                thread::spawn(move || {
                    objects.iter().for_each(|o| o.with(|_| ()));
                    drop(objects);
                    drop(used);
                })
            })
            .collect();
        drop(used);
        assert!(all_used.recv().is_err());
        let mut objects = Arc::try_unwrap(objects).ok().unwrap();
        // They move, are emptied and are dropped.
        while objects.len() > 1 {
            let mut object = objects.swap_remove(objects.len() / 2);
            if objects.len() % 2 == 0 {
                object.clear();
                object.with(|_| ());
            }
            mem::swap(&mut object, &mut objects[0]);
        }
        drop(objects);
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert_eq!(built.load(SeqCst), dropped.load(SeqCst));
    }
    assert!(built.load(SeqCst) >= 3 * OBJECTS);
}

#[test]
fn a_value_can_use_other_objects_when_it_is_destroyed() {
    static OTHER: PerThread<Mutex<u32>> = PerThread::new(|| Mutex::new(0));
    let finished = AtomicBool::new(false);
    let object = PerThread::from_fn(|| {
        OnDrop(|| {
            // No lock is held: this makes objects and values, here and in another thread.
            OTHER.with(|v| *v.lock().unwrap() += 1);
            let inner = PerThread::new(|| Box::new(1));
            inner.with(|_| ());
            in_thread(|| OTHER.with(|v| *v.lock().unwrap() += 1));
            assert_eq!(OTHER.iter().map(|v| *v.lock().unwrap()).sum::<u32>() % 2, 0);
            finished.store(true, SeqCst);
        })
    });
    assert_eq!(object.try_with(|_| ()), Ok::<_, AccessError>(()));
    drop(object);
    assert!(finished.load(SeqCst));
}
