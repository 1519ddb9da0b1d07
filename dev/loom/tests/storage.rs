//! The storage engine's races, in every order that loom finds within the bounds: the end of a thread, a first use, growth, and a new
//! thread, each against the drop of an object elsewhere.
//!
//! What every execution checks: each value is destroyed once, by its thread; nothing is left on the heap, and freed memory is not used;
//! no thread takes a second lock, or allocates under one. `ci/mutants loom` shows that each model can fail.

mod common;

use common::*;
use loom::sync::Mutex;
use os_thread_local_loom::per_thread::RefMut;
use os_thread_local_loom::storage::fill_pool;
use os_thread_local_loom::{reclaim, AccessError, BorrowCell, NoInit, PerThread, ThreadLocal};
use std::cell::{Cell, RefCell};

/// The last owner drops the object, whichever thread that is.
fn exit_against_drop<V: Value>(taken: usize) {
    let model = Model { taken, ..Model::new(V::WHAT) };
    model.run(move || {
        let object = object::<V>();
        let other = {
            let object = object.clone();
            spawn(move || object.with(|v| assert_eq!(v.what(), 1)))
        };
        object.with(|_| ());
        drop(object);
        other.join().unwrap();
    });
}

#[test]
fn a_threads_end_against_the_drop_of_an_object() {
    exit_against_drop::<Dropped<0>>(0);
    exit_against_drop::<Dropped<LARGE>>(0);
}

#[test]
fn a_threads_end_against_the_drop_of_an_object_without_destructors() {
    exit_against_drop::<Plain<0>>(0);
    exit_against_drop::<Plain<LARGE>>(0);
}

#[test]
fn a_threads_end_against_the_drop_of_an_object_beyond_the_inline_entries() {
    exit_against_drop::<Dropped<0>>(33);
    exit_against_drop::<Plain<LARGE>>(33);
}

/// A record that has memory to free, so that it does not end in the short way, while a dropper leaves an orphan of its arena in its inbox.
#[test]
fn an_end_with_memory_to_free_against_the_drop_of_an_object() {
    Model::new("").run(|| {
        let (first, large) = (object::<Plain<0>>(), object::<Plain<LARGE>>());
        let other = {
            let (first, large) = (first.clone(), large.clone());
            spawn(move || {
                large.with(|_| ());
                first.with(|_| ());
            })
        };
        drop(first);
        other.join().unwrap();
        drop(large);
    });
}

/// The pool is full when the thread ends: its record leaves the stripe, and is freed, while other threads walk through the stripe.
#[test]
fn leaving_a_stripe_against_a_drop() {
    Model { preemptions: 4, ..Model::new("") }.run(|| {
        let (first, second) = (object::<Dropped<0>>(), object::<Plain<LARGE>>());
        first.with(|_| ());
        fill_pool();
        let other = {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                first.with(|_| ());
                drop(first);
                second.with(|_| ());
            })
        };
        drop(first);
        drop(second);
        other.join().unwrap();
    });
}

/// Two threads make their records, and one of them ends, while a third one drops an object of all of them.
#[test]
fn joining_a_stripe_against_a_drop() {
    Model { preemptions: 3, ..Model::new("") }.run(|| {
        let (first, second) = (object::<Dropped<0>>(), object::<Dropped<0>>());
        first.with(|_| ());
        let threads = [first.clone(), second.clone()].map(|object| {
            spawn(move || {
                object.with(|_| ());
            })
        });
        drop(first);
        drop(second);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// The thread's table grows while another thread empties an entry of it.
#[test]
fn a_first_use_that_grows_the_table_against_a_drop_elsewhere() {
    Model { taken: 62, preemptions: 4, ..Model::new("") }.run(|| {
        // Numbers 62 to 64; the last one needs a larger table.
        let (first, between, second) =
            (object::<Dropped<0>>(), object::<Dropped<0>>(), object::<Dropped<0>>());
        first.prepare().unwrap();
        between.prepare().unwrap();
        second.prepare().unwrap();
        let other = {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                first.with(|_| ());
                drop(first);
                second.with(|v| assert_eq!(v.what(), 1));
            })
        };
        drop(first);
        drop(second);
        other.join().unwrap();
    });
}

#[test]
fn a_first_use_against_a_drop_elsewhere() {
    Model { preemptions: 3, ..Model::new("") }.run(|| {
        let (first, second) = (object::<Dropped<0>>(), object::<Dropped<0>>());
        let other = {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                first.with(|_| ());
                drop(first);
                second.with(|v| assert_eq!(v.what(), 1));
            })
        };
        drop(first);
        second.with(|_| ());
        drop(second);
        other.join().unwrap();
    });
}

/// An object is dropped and the next one has its number, while a thread that has a value of the first exits, and in a destructor uses
/// the second: it finds no tag and no value of the first.
#[test]
fn a_number_that_is_used_again_against_an_exit() {
    Model { preemptions: 4, ..Model::new("") }.run(|| {
        type Next = Arc<Mutex<Option<Object<Dropped<0>>>>>;
        struct Uses(Next);
        impl Drop for Uses {
            fn drop(&mut self) {
                let next = self.0.lock().unwrap().clone();
                if let Some(next) = next {
                    match next.try_with(|v| v.what()) {
                        Ok(what) => assert_eq!(what, 2),
                        Err(error) => panic!("{:?}", error),
                    }
                }
            }
        }
        let next: Next = Arc::new(Mutex::new(None));
        let first = object::<Dropped<0>>();
        let last = Arc::new(Boxed::new(ThreadLocal::<RefCell<Option<Uses>>>::default()));
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
        let second = second_object::<Dropped<0>>();
        second.with(|v| assert_eq!(v.what(), 2));
        *next.lock().unwrap() = Some(second);
        drop(last);
        other.join().unwrap();
        drop(next);
    });
}

/// A thread without a record drops an object, whose number goes back to all threads, and another thread takes a number at once: invariant 1.
#[test]
fn a_number_that_goes_back_against_a_thread_that_takes_one() {
    Model { preemptions: 4, ..Model::new("") }.run(|| {
        let first = object::<Plain<0>>();
        first.with(|_| ());
        let other = spawn(move || drop(first));
        // The cache has one number less.
        let objects: Vec<_> = (0..2).map(|_| second_object::<Dropped<0>>()).collect();
        objects.iter().for_each(|object| object.with(|v| assert_eq!(v.what(), 2)));
        let all = alive();
        objects.iter().for_each(|object| object.with(|v| assert_eq!(v.what(), 2)));
        assert_eq!(all, alive());
        other.join().unwrap();
        objects.iter().for_each(|object| object.with(|v| assert_eq!(v.what(), 2)));
        assert_eq!(all, alive());
    });
}

/// A thread drops an object that another one has used, and has the number for its next object at once, which the other one uses:
/// through the cache of the dropping thread, not through the numbers that threads share.
#[test]
fn a_number_in_a_threads_cache_against_first_uses() {
    Model { preemptions: 4, ..Model::new("") }.run(|| {
        let first = object::<Dropped<0>>();
        first.with(|_| ());
        let next = Arc::new(Mutex::new(None::<Object<Plain<0>>>));
        let other = {
            let (first, next) = (first.clone(), next.clone());
            spawn(move || {
                first.with(|v| assert_eq!(v.what(), 1));
                drop(first);
                let second = next.lock().unwrap().clone();
                if let Some(second) = second {
                    second.with(|v| assert_eq!(v.what(), 2));
                }
            })
        };
        drop(first);
        let second = second_object::<Plain<0>>();
        second.with(|v| assert_eq!(v.what(), 2));
        *next.lock().unwrap() = Some(second);
        other.join().unwrap();
        drop(next);
    });
}

/// Two threads first-use two new objects at once: two numbers.
#[test]
fn two_first_uses() {
    Model { preemptions: 2, ..Model::new("") }.run(|| {
        let (first, second) = (object::<Dropped<0>>(), object::<Dropped<0>>());
        let other = {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                second.with(|v| assert_eq!(v.what(), 1));
                first.with(|v| assert_eq!(v.what(), 1));
            })
        };
        let value = || first.with(|v| v as *const Dropped<0> as usize);
        let made = value();
        second.with(|v| assert_eq!(v.what(), 1));
        other.join().unwrap();
        assert_eq!(value(), made, "the object has another number");
    });
}

/// Two threads make values of one object at once, and add their stripes to its mask: the drop of the object misses neither.
#[test]
fn a_mask_that_two_threads_add_to() {
    Model { preemptions: 2, ..Model::new("") }.run(|| {
        let object = per_thread();
        object.prepare().unwrap();
        let threads = [object.clone(), object.clone()]
            .map(|object| spawn(move || object.with(|v| v.0.set(1))));
        drop(object);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn reclaim_against_drops() {
    Model { preemptions: 4, ..Model::new("") }.run(|| {
        let (first, second) = (object::<Dropped<0>>(), object::<Plain<0>>());
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

/// Two threads leave orphans in the inbox of a third one.
#[test]
fn an_inbox_with_two_senders() {
    Model { preemptions: 3, ..Model::new("") }.run(|| {
        let (first, second) = (object::<Dropped<0>>(), object::<Dropped<LARGE>>());
        first.with(|_| ());
        second.with(|_| ());
        let other = spawn(move || drop(first));
        let another = spawn(move || drop(second));
        reclaim();
        other.join().unwrap();
        another.join().unwrap();
    });
}

#[test]
fn three_threads() {
    Model { preemptions: 1, ..Model::new("") }.run(|| {
        let (first, second) = (object::<Dropped<0>>(), object::<Dropped<0>>());
        let threads = [(); 2].map(|_| {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                first.with(|_| ());
                drop(first);
                second.with(|_| ());
            })
        });
        drop(first);
        drop(second);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

/// A value of a `PerThread`.
struct Sent(Cell<u32>, #[allow(dead_code)] Citizen);

fn per_thread() -> Arc<Boxed<PerThread<Sent>>> {
    Arc::new(Boxed::new(PerThread::new(|| Sent(Cell::new(0), Citizen::new()))))
}

/// A `PerThread`'s value of a thread that exits, and another thread that looks for one: one value serves both, or there are two.
#[test]
fn adoption_against_an_exit() {
    Model { preemptions: 2, ..Model::new("") }.run(|| {
        let object = per_thread();
        let threads = [object.clone(), object.clone()]
            .map(|object| spawn(move || object.with(|v| v.0.set(v.0.get() + 1))));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut object = Arc::try_unwrap(object).unwrap_or_else(|_| unreachable!());
        let values: Vec<u32> = object.iter_mut().map(|v| v.0.get()).collect();
        assert!(values == [2] || values == [1, 1], "{:?}", values);
    });
}

/// A value whose accesses loom watches.
struct Watched(loom::cell::UnsafeCell<u32>, #[allow(dead_code)] Citizen);

impl Watched {
    fn new() -> Watched {
        Watched(loom::cell::UnsafeCell::new(0), Citizen::new())
    }

    fn add_one(&mut self) -> u32 {
        self.0.with_mut(|n| {
            // SAFETY: the value is borrowed exclusively.
            unsafe {
                *n += 1;
                *n
            }
        })
    }
}

/// The guard of an ended thread is dropped while a thread that inherits the value borrows: it gets the value as the guard left it,
/// or a new one.
#[test]
fn a_guard_that_ends_against_an_heir() {
    Model { preemptions: 4, ..Model::new("") }.run(|| {
        let object: PerThread<BorrowCell<Watched>, NoInit> = PerThread::without_init();
        let object = Arc::new(Boxed::new(object));
        let handed = Arc::new(Mutex::new(None));
        let ended = {
            let (object, handed) = (object.clone(), handed.clone());
            spawn(move || {
                let guard = object.borrow_mut_or(Watched::new);
                // SAFETY: the guard is dropped before the object.
                let guard: RefMut<'static, Watched> = unsafe { std::mem::transmute(guard) };
                *handed.lock().unwrap() = Some(guard);
            })
        };
        ended.join().unwrap();
        let mut guard = handed.lock().unwrap().take().unwrap();
        let heir = {
            let object = object.clone();
            spawn(move || {
                let mut own = object.try_borrow_mut_or(Watched::new).unwrap();
                let sum = own.add_one();
                assert!(sum == 1 || sum == 2);
            })
        };
        guard.add_one();
        drop(guard);
        heir.join().unwrap();
        assert_eq!(alive(), object.len());
    });
}

/// A new thread gets a record with values that an ended one has left, while one of the objects is dropped.
#[test]
fn a_thread_that_inherits_against_a_drop() {
    Model { preemptions: 5, ..Model::new("") }.run(|| {
        let (first, second) = (per_thread(), per_thread());
        // The main thread has a record of its own.
        let fourth = second_object::<Plain<0>>();
        fourth.prepare().unwrap();
        let ended = {
            let (first, second) = (first.clone(), second.clone());
            spawn(move || {
                first.with(|v| v.0.set(1));
                second.with(|v| v.0.set(2));
            })
        };
        ended.join().unwrap();
        let heir = {
            let second = second.clone();
            spawn(move || {
                let third = object::<Dropped<0>>();
                third.with(|v| assert_eq!(v.what(), 1));
                second.with(|v| assert_eq!(v.0.get(), 2));
            })
        };
        drop(first);
        fourth.with(|v| assert_eq!(v.what(), 2));
        heir.join().unwrap();
        assert_eq!(alive(), 1);
    });
}

/// One thread goes through the values while another adds its own.
#[test]
fn iteration_against_first_uses() {
    Model { preemptions: 5, ..Model::new("") }.run(|| {
        let object = Arc::new(Boxed::new(PerThread::<u32>::new(|| 7)));
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
