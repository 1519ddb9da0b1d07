//! `PerThread<BorrowCell<T>>`, whose guards leave the closure, and references to `Sync` values. Inheritance of borrowed values is in
//! tests/borrow_inheritance.rs, a signal handler in tests/signals.rs.

#![cfg(feature = "alloc")]

use std::cell::Cell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{mpsc, Mutex, MutexGuard};
use std::thread;

use crate::common::Log;
use os_thread_local::per_thread::RefMut;
use os_thread_local::{AccessError, BorrowCell, InitError, NoInit, PerThread};

type Lines = PerThread<BorrowCell<Vec<u32>>>;

#[test]
fn a_nested_borrow_is_an_error_and_loses_nothing() {
    let lines = Lines::default();
    let mut outer = lines.borrow_mut();
    outer.push(1);
    assert_eq!(lines.try_borrow_mut().err(), Some(AccessError::Borrowed));
    assert_eq!(lines.try_borrow_mut_or(Vec::new).err(), Some(AccessError::Borrowed));
    let error = lines.borrow_mut_or_try(|| Err(())).err();
    assert_eq!(error, Some(InitError::Access(AccessError::Borrowed)));
    assert!(catch_unwind(AssertUnwindSafe(|| lines.borrow_mut().push(2))).is_err());
    outer.push(3);
    drop(outer);
    lines.borrow_mut().push(4);
    assert_eq!((&**lines.borrow_mut(), lines.len()), (&[1, 3, 4][..], 1));
}

#[test]
fn objects_are_borrowed_independently() {
    let (one, two) = (Lines::default(), Lines::default());
    let mut first = one.borrow_mut();
    let mut second = two.borrow_mut();
    first.push(1);
    second.push(2);
    drop((first, second));
    assert_eq!((one.borrow_mut()[0], two.borrow_mut()[0]), (1, 2));
}

#[test]
fn a_panic_ends_the_borrow() {
    let lines = Lines::default();
    let result = catch_unwind(AssertUnwindSafe(|| {
        let mut guard = lines.borrow_mut();
        guard.push(1);
        panic!("expected");
    }));
    assert!(result.is_err());
    assert_eq!(*lines.borrow_mut(), [1]);
}

#[test]
fn a_leaked_guard_keeps_the_borrow_until_exclusive_access() {
    let mut lines = Lines::default();
    lines.borrow_mut().push(1);
    std::mem::forget(lines.borrow_mut());
    assert_eq!(lines.try_borrow_mut().err(), Some(AccessError::Borrowed));
    lines.get_mut().get_mut().push(2);
    assert_eq!(*lines.borrow_mut(), [1, 2]);

    std::mem::forget(lines.borrow_mut());
    let all: Vec<_> = lines.drain().map(BorrowCell::into_inner).collect();
    assert_eq!(all, [[1, 2]]);
    assert!(lines.borrow_mut().is_empty());
}

/// A cell that was taken out with a leaked guard can be a value again.
#[test]
fn an_initializer_may_return_a_cell_whose_guard_was_leaked() {
    let mut first = PerThread::new(|| BorrowCell::new(1));
    std::mem::forget(first.borrow_mut());
    let cell = Mutex::new(first.remove());
    let second = PerThread::from_fn(|| cell.lock().unwrap().take().unwrap());
    assert_eq!(*second.borrow_mut(), 1);
}

#[test]
fn another_thread_can_use_and_drop_the_guard() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Sync>(_: &T) {}
    let lines = Lines::default();
    let mut guard = lines.borrow_mut();
    is_send(&guard);
    is_sync(&guard);
    let (dropped, wait) = mpsc::channel();
    thread::scope(|s| {
        let lines = &lines;
        s.spawn(move || {
            guard.push(1);
            // A thread that was not its first owner has a value of its own.
            lines.borrow_mut().push(2);
            assert_eq!(*guard, [1]);
            drop(guard);
            dropped.send(()).unwrap();
        });
        // Borrowed or not: the other thread decides. It is never torn.
        while let Err(error) = lines.try_borrow_mut() {
            assert_eq!(error, AccessError::Borrowed);
            thread::yield_now();
        }
        assert_eq!(*lines.borrow_mut(), [1]);
        wait.recv().unwrap();
    });
    assert_eq!(lines.len(), 2);
}

#[test]
fn values_can_borrow() {
    let text = String::from("one two");
    let words: PerThread<BorrowCell<Vec<&str>>> = PerThread::default();
    words.borrow_mut().extend(text.split(' '));
    assert_eq!(*words.borrow_mut(), ["one", "two"]);
}

#[test]
fn a_recursive_initializer_is_an_error() {
    static LOOP: PerThread<BorrowCell<u32>> = PerThread::new(|| {
        assert_eq!(LOOP.try_borrow_mut().err(), Some(AccessError::Recursive));
        BorrowCell::new(1)
    });
    assert_eq!(*LOOP.borrow_mut(), 1);
}

#[test]
fn without_an_initializer() {
    let values: PerThread<BorrowCell<u32>, NoInit> = PerThread::without_init();
    assert_eq!(values.borrow_mut_or_try(|| Err("none")).err(), Some(InitError::Init("none")));
    assert!(values.is_empty());
    assert_eq!(*values.borrow_mut_or(|| 1), 1);
    assert_eq!(*values.borrow_mut_or(|| unreachable!()), 1);
    assert_eq!(*values.borrow_mut_or_try(|| Err(())).unwrap(), 1);
}

#[test]
fn a_panicking_initializer_stores_nothing() {
    let values: PerThread<BorrowCell<u32>, NoInit> = PerThread::without_init();
    let panics = || drop(values.borrow_mut_or(|| panic!("expected")));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert!(values.is_empty());
    assert_eq!(*values.borrow_mut_or(|| 1), 1);
}

#[test]
fn map_keeps_the_borrow() {
    let pairs = PerThread::new(|| BorrowCell::new((1, vec![1, 2, 3])));
    let mut rest: RefMut<'_, [i32]> = RefMut::map(pairs.borrow_mut(), |pair| &mut pair.1[1..]);
    rest[0] = 5;
    assert_eq!(pairs.try_borrow_mut().err(), Some(AccessError::Borrowed));
    assert_eq!(format!("{:?}", rest), "[5, 3]");
    drop(rest);
    assert_eq!(*pairs.borrow_mut(), (1, vec![1, 5, 3]));

    let panics = || drop(RefMut::map(pairs.borrow_mut(), |_| -> &mut i32 { panic!("expected") }));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    assert_eq!(pairs.borrow_mut().0, 1);
}

#[test]
fn values_are_destroyed_once() {
    let log = Log::new();
    let values = PerThread::from_fn(|| BorrowCell::new(log.entry(1)));
    *values.borrow_mut() = log.entry(2);
    assert_eq!(log.take(), [1]);
    drop(values);
    assert_eq!(log.take(), [2]);
}

#[test]
fn formatting() {
    let cell = BorrowCell::from(1);
    assert_eq!(format!("{:?}", cell), "BorrowCell { .. }");
    let values = PerThread::new(|| BorrowCell::new(1));
    assert_eq!(format!("{0} {0:?}", values.borrow_mut()), "1 1");
}

#[test]
fn references_to_sync_values() {
    let hits: PerThread<AtomicU32> = PerThread::default();
    // The reference outlives the thread.
    let theirs: &AtomicU32 = thread::scope(|s| s.spawn(|| hits.get_ref()).join().unwrap());
    theirs.fetch_add(1, SeqCst);
    hits.get_ref().fetch_add(1, SeqCst);
    assert_eq!(hits.try_get_ref().unwrap() as *const _, hits.get_ref() as *const _);
    assert_eq!(hits.iter().map(|n| n.load(SeqCst)).sum::<u32>(), 2);

    let names: PerThread<String, NoInit> = PerThread::without_init();
    assert_eq!(names.get_ref_or(|| "first".to_string()), "first");
    assert_eq!(names.try_get_ref_or(|| unreachable!()).unwrap(), "first");

    static LOOP: PerThread<u32> = PerThread::new(|| {
        assert_eq!(LOOP.try_get_ref().err(), Some(AccessError::Recursive));
        1
    });
    assert_eq!(LOOP.get_ref(), &1);
}

#[test]
fn a_mutex_guard_leaves_the_function() {
    static LINES: PerThread<Mutex<Vec<u32>>> = PerThread::new(Mutex::default);
    fn lines() -> MutexGuard<'static, Vec<u32>> {
        LINES.get_ref().lock().unwrap()
    }
    lines().push(1);
    assert_eq!(*lines(), [1]);
}

/// Queues of a scheduler, in the manner of bevy's `Parallel`: each worker fills its own, and the owner collects all.
mod parallel {
    use super::*;

    #[derive(Default)]
    struct Parallel<T: Send> {
        locals: PerThread<BorrowCell<T>>,
    }

    impl<T: Send + Default> Parallel<T> {
        fn scope<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
            f(&mut self.borrow_local_mut())
        }

        fn borrow_local_mut(&self) -> RefMut<'_, T> {
            self.locals.borrow_mut()
        }

        fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
            self.locals.iter_mut().map(BorrowCell::get_mut)
        }

        fn drain<I>(&mut self) -> impl Iterator<Item = I> + '_
        where
            T: IntoIterator<Item = I>,
        {
            self.locals.drain().flat_map(BorrowCell::into_inner)
        }
    }

    #[test]
    fn workers_fill_queues_that_the_owner_drains() {
        let mut queues = Parallel::<Vec<u32>>::default();
        thread::scope(|s| {
            for worker in 0..4 {
                let queues = &queues;
                s.spawn(move || {
                    let mut local = queues.borrow_local_mut();
                    local.extend([worker * 10, worker * 10 + 1]);
                    drop(local);
                    queues.scope(|local| local.push(worker * 10 + 2));
                });
            }
        });
        queues.iter_mut().for_each(|queue| queue.retain(|n| n % 10 != 1));
        let mut all: Vec<u32> = queues.drain().collect();
        all.sort_unstable();
        assert_eq!(all, [0, 2, 10, 12, 20, 22, 30, 32]);
        assert!(queues.drain().next().is_none());
    }
}

/// A logger whose threads each have a sender, in the manner of slog-async.
mod sender {
    use super::*;

    struct Logger {
        /// Cloned by each thread, on its first message.
        first: Mutex<mpsc::Sender<String>>,
        local: PerThread<BorrowCell<mpsc::Sender<String>>, NoInit>,
    }

    impl Logger {
        fn new(sender: mpsc::Sender<String>) -> Logger {
            Logger { first: Mutex::new(sender), local: PerThread::without_init() }
        }

        fn sender(&self) -> Result<RefMut<'_, mpsc::Sender<String>>, String> {
            let clone = || match self.first.lock() {
                Ok(first) => Ok(first.clone()),
                Err(_) => Err("another thread panicked".to_string()),
            };
            self.local.borrow_mut_or_try(clone).map_err(|error| error.to_string())
        }

        fn log(&self, message: &str) -> Result<(), String> {
            self.sender()?.send(message.to_string()).map_err(|error| error.to_string())
        }
    }

    #[test]
    fn each_thread_sends_through_its_own_sender() {
        let (sender, messages) = mpsc::channel();
        let logger = Logger::new(sender);
        thread::scope(|s| {
            for _ in 0..3 {
                s.spawn(|| (0..10).for_each(|_| logger.log("message").unwrap()));
            }
        });
        // A message that is sent while the sender is borrowed is an error.
        let sender = logger.sender().unwrap();
        assert_eq!(logger.log("nested"), Err(AccessError::Borrowed.to_string()));
        drop(sender);
        drop(logger);
        assert_eq!(messages.iter().count(), 30);
    }
}

/// Scratch memory of a search that an iterator keeps, in the manner of regex's pool: a nested search gets memory of its own.
mod pool {
    use super::*;

    #[derive(Default)]
    struct Scratch {
        searches: u32,
    }

    struct Searcher {
        pool: PerThread<BorrowCell<Scratch>>,
    }

    enum PoolGuard<'a> {
        Borrowed(RefMut<'a, Scratch>),
        Own(Box<Scratch>),
    }

    impl PoolGuard<'_> {
        fn scratch(&mut self) -> &mut Scratch {
            match self {
                PoolGuard::Borrowed(guard) => guard,
                PoolGuard::Own(scratch) => scratch,
            }
        }
    }

    struct Matches<'s, 't> {
        guard: PoolGuard<'s>,
        rest: std::str::Split<'t, char>,
    }

    impl Searcher {
        fn find_iter<'s, 't>(&'s self, text: &'t str) -> Matches<'s, 't> {
            let guard = match self.pool.try_borrow_mut() {
                Ok(guard) => PoolGuard::Borrowed(guard),
                Err(_) => PoolGuard::Own(Box::default()),
            };
            Matches { guard, rest: text.split(' ') }
        }
    }

    impl<'t> Iterator for Matches<'_, 't> {
        type Item = &'t str;

        fn next(&mut self) -> Option<&'t str> {
            self.guard.scratch().searches += 1;
            self.rest.next()
        }
    }

    #[test]
    fn nested_searches_have_scratch_memory_of_their_own() {
        let searcher = Searcher { pool: PerThread::default() };
        let mut matches = searcher.find_iter("a b c");
        assert_eq!(matches.next(), Some("a"));
        assert_eq!(searcher.find_iter("d e").count(), 2);
        // The iterator is `Send`: another thread ends the search.
        let rest = thread::scope(|s| s.spawn(move || matches.count()).join().unwrap());
        assert_eq!(rest, 2);
        assert_eq!(searcher.pool.borrow_mut().searches, 4);
    }
}

/// The borrow is this thread's, not a state of the object: another thread never gets `Borrowed`.
#[test]
fn threads_do_not_see_each_others_borrows() {
    let values = PerThread::new(|| BorrowCell::new(Cell::new(0)));
    let guard = values.borrow_mut();
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| (0..100).for_each(|n| values.borrow_mut().set(n)));
        }
    });
    assert_eq!(guard.get(), 0);
}
