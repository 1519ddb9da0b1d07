//! Scalability, by counting how often a thread acquires a lock of the crate, and how often it makes an atomic read-modify-write
//! on a shared word. Needs `--cfg os_thread_local_count`: `ci/hooks` runs it.

#![cfg(feature = "alloc")]
#![cfg_attr(not(os_thread_local_count), allow(unused_imports, dead_code))]

use os_thread_local::ThreadLocal;

#[cfg(all(os_thread_local_count, feature = "std"))]
mod counted {
    use super::ThreadLocal;
    use os_thread_local::{shared_operations, PerThread};
    use std::cell::Cell;
    use std::sync::{Arc, Barrier};
    use std::thread;

    /// Lock acquisitions and shared read-modify-writes of this thread while `f` runs.
    fn count<R>(f: impl FnOnce() -> R) -> (usize, usize) {
        let (locks, writes) = shared_operations();
        f();
        let (now_locks, now_writes) = shared_operations();
        (now_locks - locks, now_writes - writes)
    }

    fn in_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
        thread::spawn(f).join().unwrap()
    }

    #[derive(Default)]
    struct WithDrop(Cell<u32>);

    impl Drop for WithDrop {
        fn drop(&mut self) {
            self.0.set(0);
        }
    }

    /// Runs `f` in a thread that has a record, and has dropped so many objects that it caches their numbers.
    fn warmed_up<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
        in_thread(|| {
            for _ in 0..32 {
                ThreadLocal::new(WithDrop::default).with(|_| ());
                PerThread::new(|| 1).with(|_| ());
            }
            f()
        })
    }

    #[test]
    fn the_life_of_an_object_touches_nothing_shared() {
        warmed_up(|| {
            let life = count(|| {
                for _ in 0..100 {
                    let object = ThreadLocal::new(|| Cell::new(0));
                    object.set(1);
                }
            });
            assert_eq!(life, (0, 0), "without a destructor");
            let life = count(|| {
                for _ in 0..100 {
                    ThreadLocal::new(WithDrop::default).with(|v| v.0.set(1));
                }
            });
            assert_eq!(life, (0, 0), "with a destructor");
            // The head of the object's own list is one word, which no other object has.
            let life = count(|| {
                for _ in 0..100 {
                    PerThread::new(|| 1).with(|_| ());
                }
            });
            assert_eq!(life, (0, 100), "a `PerThread`");
        });
    }

    /// However many other threads there are, with records in every stripe.
    #[test]
    fn other_threads_cost_the_life_of_an_object_nothing() {
        let (start, end) = (Arc::new(Barrier::new(101)), Arc::new(Barrier::new(101)));
        let others: Vec<_> = (0..100)
            .map(|_| {
                let (start, end) = (start.clone(), end.clone());
                thread::spawn(move || {
                    let object = ThreadLocal::new(|| Cell::new(1));
                    object.set(2);
                    start.wait();
                    end.wait();
                })
            })
            .collect();
        start.wait();
        let life = warmed_up(|| count(|| ThreadLocal::new(|| Cell::new(0)).set(1)));
        end.wait();
        others.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(life, (0, 0));
    }

    #[test]
    fn a_first_use_writes_at_most_the_first_bits_of_a_mask() {
        let objects: Arc<Vec<ThreadLocal<WithDrop>>> =
            Arc::new((0..100).map(|_| ThreadLocal::new(WithDrop::default)).collect());
        // Numbers and this thread's values.
        objects.iter().for_each(|object| object.with(|_| ()));
        let theirs = objects.clone();
        let first = warmed_up(move || {
            theirs.iter().for_each(|object| object.prepare().unwrap()); // the thread's table
            count(|| theirs.iter().for_each(|object| object.with(|_| ())))
        });
        assert_eq!(first.0, 0, "locks");
        assert!(first.1 <= 100, "{} shared writes", first.1);
        // Another thread with the same record finds the bits there.
        let theirs = objects.clone();
        let again = warmed_up(move || {
            theirs.iter().for_each(|object| object.prepare().unwrap());
            count(|| theirs.iter().for_each(|object| object.with(|_| ())))
        });
        assert_eq!(again.0, 0, "locks");
        assert!(again.1 <= 100, "{} shared writes", again.1);
    }

    /// The start of a thread: its record. The end: the claims, the entries and the record.
    #[test]
    fn the_start_and_the_end_of_a_thread_acquire_a_constant_number_of_locks() {
        let object = Arc::new(ThreadLocal::new(|| Cell::new(1)));
        object.set(2);
        for _ in 0..20 {
            let object = object.clone();
            let start = in_thread(move || count(|| object.set(3)));
            // The pool twice and the stripe for a new record, and the stripe for a table.
            assert!(start.0 <= 4 && start.1 <= 1, "{:?}", start);
        }

        // The end of a thread runs after all of its own code, when std's thread-locals, which count, may be gone. So the test counts the
        // walk over all values in a thread whose objects another thread drops.
        let objects: Arc<Vec<ThreadLocal<Cell<u32>>>> =
            Arc::new((0..100).map(|_| ThreadLocal::new(|| Cell::new(1))).collect());
        let theirs = objects.clone();
        let barrier = Arc::new(Barrier::new(2));
        let wait = barrier.clone();
        let thread = thread::spawn(move || {
            theirs.iter().for_each(|object| object.set(2));
            drop(theirs);
            wait.wait();
            wait.wait();
        });
        barrier.wait();
        // As in `warmed_up`.
        (0..32).for_each(|_| ThreadLocal::new(|| 1).with(|_| ()));
        // One lock for each object: its values are in the one record of that thread, whatever other threads there are.
        let dropped = count(|| drop(objects));
        assert!(dropped.0 <= 100 + 100 / 8, "{:?}", dropped);
        barrier.wait();
        thread.join().unwrap();
    }

    /// How often the crate's key destructor acquires a lock in a thread that runs `f`: counted by the destructor of a later key.
    #[cfg(unix)]
    fn locks_at_the_end(f: fn()) -> usize {
        use os_thread_local::key::DestructorKey;
        use std::ffi::c_void;
        use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

        static LOCKS: AtomicUsize = AtomicUsize::new(0);
        unsafe extern "system" fn later(before: *mut c_void) {
            LOCKS.store(shared_operations().0 - before as usize, SeqCst);
        }
        // The crate's key is there.
        ThreadLocal::new(|| 1).with(|_| ());
        let key = Arc::new(DestructorKey::new(later).unwrap());
        let theirs = key.clone();
        in_thread(move || {
            f();
            let (locks, _) = shared_operations();
            // SAFETY: the destructor takes any word but null.
            unsafe { theirs.set(std::ptr::null_mut::<u8>().wrapping_add(locks).cast()) }.unwrap();
            // The main thread drops the key.
            drop(theirs);
        });
        LOCKS.load(SeqCst)
    }

    /// If an initializer of a `PerThread` fails, nothing of the thread's is left in its entries, and they are not searched.
    #[test]
    #[cfg(unix)]
    fn the_end_of_a_thread_does_not_search_for_what_initializers_have_left() {
        static FAILS: PerThread<u32> = PerThread::new(|| panic!("planned"));
        static MADE: PerThread<u32> = PerThread::new(|| 1);
        let made = || MADE.with(|_| ());
        let failed = || {
            MADE.with(|_| ());
            let hook = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| ()));
            assert!(std::panic::catch_unwind(|| FAILS.with(|_| ())).is_err());
            std::panic::set_hook(hook);
            assert!(FAILS.with_or_try(|| Err(1), |_| ()).is_err());
        };
        // Where threads of other tests have filled the pool, it takes more.
        let least = |f: fn()| (0..50).map(|_| locks_at_the_end(f)).min();
        assert_eq!(least(failed), least(made));
    }
}
