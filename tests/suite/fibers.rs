//! Windows fibers: each has its own values, on whichever thread it runs, destroyed with the fiber. The crate does not change the
//! last error.

#![cfg(all(windows, feature = "alloc"))]

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

use os_thread_local::key::Key;
use os_thread_local::{reclaim, AccessError, BorrowCell, PerThread, ThreadLocal};

#[link(name = "kernel32")]
extern "system" {
    fn ConvertThreadToFiber(parameter: *mut c_void) -> *mut c_void;
    fn ConvertFiberToThread() -> i32;
    fn CreateFiber(
        stack_size: usize,
        start: extern "system" fn(*mut c_void),
        parameter: *mut c_void,
    ) -> *mut c_void;
    fn DeleteFiber(fiber: *mut c_void);
    fn SwitchToFiber(fiber: *mut c_void);
    fn GetLastError() -> u32;
    fn SetLastError(code: u32);
}

/// The fiber that a thread was turned into.
struct ThreadFiber(*mut c_void);

impl ThreadFiber {
    fn convert() -> Self {
        // SAFETY: no preconditions; fails for a thread that is one already.
        let fiber = unsafe { ConvertThreadToFiber(null_mut()) };
        assert!(!fiber.is_null());
        ThreadFiber(fiber)
    }

    fn back_to_thread(self) {
        // SAFETY: this thread was converted.
        assert_ne!(unsafe { ConvertFiberToThread() }, 0);
    }
}

struct Body {
    step: Box<dyn FnMut()>,
    back: *mut c_void,
}

/// A fiber that runs its closure once each time it is resumed. Dropping it is `DeleteFiber`.
struct Fiber {
    fiber: *mut c_void,
    body: *mut Body,
}

// SAFETY: a fiber may go on in another thread; the closures below capture what may, and a fiber's values move with it.
unsafe impl Send for Fiber {}

impl Fiber {
    fn new(step: impl FnMut() + 'static) -> Self {
        extern "system" fn run(body: *mut c_void) {
            let body: *mut Body = body.cast();
            loop {
                // SAFETY: the body lives as long as its fiber, and is touched by the side that runs.
                unsafe {
                    ((*body).step)();
                    SwitchToFiber((*body).back);
                }
            }
        }
        let body = Box::into_raw(Box::new(Body { step: Box::new(step), back: null_mut() }));
        // SAFETY: `run` takes a `Body`.
        let fiber = unsafe { CreateFiber(64 * 1024, run, body.cast()) };
        assert!(!fiber.is_null());
        Fiber { fiber, body }
    }

    fn resume(&self, from: &ThreadFiber) {
        // SAFETY: the fiber does not run; it comes back to `from`, which is the fiber that calls.
        unsafe {
            (*self.body).back = from.0;
            SwitchToFiber(self.fiber);
        }
    }
}

impl Drop for Fiber {
    fn drop(&mut self) {
        // SAFETY: the fiber does not run, and will not again.
        unsafe {
            DeleteFiber(self.fiber);
            drop(Box::from_raw(self.body));
        }
    }
}

/// Counts its drops.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        assert_ne!(self.0.fetch_add(1, SeqCst), usize::MAX);
    }
}

type CountedLocal = ThreadLocal<Counted, Box<dyn Fn() -> Counted + Send + Sync>>;

fn counted() -> (Arc<AtomicUsize>, Arc<CountedLocal>) {
    let drops = Arc::new(AtomicUsize::new(0));
    let clone = Arc::clone(&drops);
    let init: Box<dyn Fn() -> Counted + Send + Sync> =
        Box::new(move || Counted(Arc::clone(&clone)));
    (drops, Arc::new(ThreadLocal::from_fn(init)))
}

/// A thread of the test's own, so that it is not a fiber yet.
fn in_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    thread::spawn(f).join().unwrap()
}

#[test]
fn each_fiber_has_a_value_and_keeps_it() {
    in_thread(|| {
        let tls = Arc::new(ThreadLocal::<Cell<u32>>::new(|| Cell::new(0)));
        let main = ThreadFiber::convert();
        tls.set(1000);
        let seen = Arc::new(AtomicUsize::new(0));
        let fibers: Vec<_> = (0..3)
            .map(|_| {
                let (tls, seen) = (Arc::clone(&tls), Arc::clone(&seen));
                Fiber::new(move || {
                    tls.set(tls.get() + 1);
                    seen.store(tls.get() as usize, SeqCst);
                })
            })
            .collect();
        // The first starts first and is a round ahead.
        fibers[0].resume(&main);
        for round in 1..10 {
            for (i, fiber) in fibers.iter().enumerate() {
                fiber.resume(&main);
                assert_eq!(seen.load(SeqCst), round + usize::from(i == 0));
                assert_eq!(tls.get(), 1000);
            }
        }
    });
}

#[test]
fn a_value_goes_with_its_fiber_to_another_thread() {
    let (drops, tls) = counted();
    let seen = Arc::new(AtomicUsize::new(0));
    let fiber = in_thread({
        let (tls, seen) = (Arc::clone(&tls), Arc::clone(&seen));
        move || {
            let main = ThreadFiber::convert();
            let number = ThreadLocal::<Cell<usize>>::new(|| Cell::new(0));
            let fiber = Fiber::new(move || {
                tls.with(|_| ());
                number.set(number.get() + 1);
                seen.store(number.get(), SeqCst);
            });
            fiber.resume(&main);
            fiber
        }
    });
    // The thread has ended; the fiber and its value have not.
    assert_eq!((drops.load(SeqCst), seen.load(SeqCst)), (0, 1));
    let fiber = in_thread({
        let drops = Arc::clone(&drops);
        move || {
            let main = ThreadFiber::convert();
            tls.with(|_| ()); // a value of this thread's, destroyed with it
            fiber.resume(&main);
            assert_eq!(drops.load(SeqCst), 0);
            fiber
        }
    });
    assert_eq!((drops.load(SeqCst), seen.load(SeqCst)), (1, 2));
    drop(fiber);
    assert_eq!(drops.load(SeqCst), 2);
}

/// A guard of one fiber is no borrow of another fiber on the same thread. It moves with its fiber, and stays valid when the fiber is
/// deleted: the next fiber that adopts the record gets a new value.
#[test]
fn a_fiber_borrows_its_own_value() {
    static OBJECT: PerThread<BorrowCell<u32>> = PerThread::new(|| BorrowCell::new(0));
    in_thread(|| {
        let main = ThreadFiber::convert();
        let mut ours = OBJECT.borrow_mut();
        let handed = Arc::new(Mutex::new(None));
        let theirs = Arc::clone(&handed);
        let fiber = Fiber::new(move || {
            let mut guard = OBJECT.try_borrow_mut().unwrap();
            *guard += 1;
            assert_eq!(OBJECT.try_borrow_mut().err(), Some(AccessError::Borrowed));
            *theirs.lock().unwrap() = Some(guard);
        });
        fiber.resume(&main);
        *ours += 10;
        assert_eq!(OBJECT.try_borrow_mut().err(), Some(AccessError::Borrowed));
        drop(fiber);
        let mut guard = handed.lock().unwrap().take().unwrap();
        *guard += 1;
        for _ in 0..2 {
            let fiber = Fiber::new(|| assert_eq!(*OBJECT.try_borrow_mut().unwrap(), 0));
            fiber.resume(&main);
        }
        assert_eq!((*ours, *guard), (10, 2));
        drop((ours, guard));
        assert_eq!(*OBJECT.borrow_mut(), 10);
        main.back_to_thread();
    });
}

#[test]
fn deleting_a_fiber_destroys_its_value_once() {
    let (drops, tls) = counted();
    in_thread({
        let drops = Arc::clone(&drops);
        move || {
            let main = ThreadFiber::convert();
            tls.with(|_| ());
            let clone = Arc::clone(&tls);
            let fiber = Fiber::new(move || clone.with(|_| ()));
            fiber.resume(&main);
            assert_eq!(drops.load(SeqCst), 0);
            drop(fiber);
            assert_eq!(drops.load(SeqCst), 1);
            // The deleting fiber's own is as it was.
            assert!(tls.with_existing(|_| ()).is_some());
            reclaim();
            assert_eq!(drops.load(SeqCst), 1);
        }
    });
    assert_eq!(drops.load(SeqCst), 2);
}

#[test]
fn a_fiber_that_used_nothing_destroys_nothing() {
    let (drops, tls) = counted();
    in_thread(move || {
        let main = ThreadFiber::convert();
        tls.with(|_| ());
        let fiber = Fiber::new(|| ());
        fiber.resume(&main);
        drop(fiber);
        assert!(tls.with_existing(|_| ()).is_some());
    });
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn a_thread_that_ends_as_a_fiber_destroys_its_value_once() {
    let (drops, tls) = counted();
    in_thread(move || {
        tls.with(|_| ());
        ThreadFiber::convert();
        tls.with(|_| ());
    });
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn a_thread_keeps_its_value_when_converted_and_back() {
    let (drops, tls) = counted();
    in_thread({
        let drops = Arc::clone(&drops);
        move || {
            let number = ThreadLocal::<Cell<u32>>::new(|| Cell::new(0));
            for round in 0..5 {
                assert_eq!(number.get(), 2 * round);
                number.set(2 * round + 1);
                let main = ThreadFiber::convert();
                assert_eq!(number.get(), 2 * round + 1);
                number.set(2 * round + 2);
                tls.with(|_| ());
                main.back_to_thread();
            }
            assert_eq!(drops.load(SeqCst), 0);
        }
    });
    assert_eq!(drops.load(SeqCst), 1);
}

#[test]
fn a_thousand_fibers() {
    const FIBERS: usize = 1000;
    let (drops, tls) = counted();
    let mut left = in_thread({
        let drops = Arc::clone(&drops);
        move || {
            let main = ThreadFiber::convert();
            let sum = Arc::new(AtomicUsize::new(0));
            let mut fibers: Vec<_> = (0..FIBERS)
                .map(|i| {
                    let (tls, sum) = (Arc::clone(&tls), Arc::clone(&sum));
                    let number = ThreadLocal::<usize, _>::from_fn(move || i);
                    Fiber::new(move || {
                        tls.with(|_| ());
                        sum.fetch_add(number.with(|n| *n), SeqCst);
                    })
                })
                .collect();
            for _ in 0..3 {
                fibers.iter().for_each(|fiber| fiber.resume(&main));
            }
            assert_eq!(sum.load(SeqCst), 3 * (0..FIBERS).sum::<usize>());
            assert_eq!(drops.load(SeqCst), 0);
            let left = fibers.split_off(FIBERS / 2);
            drop(fibers);
            assert_eq!(drops.load(SeqCst), FIBERS / 2);
            left
        }
    });
    // The others are deleted by another thread, in another order, when the object is gone.
    left.reverse();
    drop(left);
    assert_eq!(drops.load(SeqCst), FIBERS);
}

/// The fiber owns the only handle of an object whose values others have.
#[test]
fn dropping_an_object_leaves_each_value_to_its_fiber() {
    let (drops, tls) = counted();
    in_thread(move || {
        let main = ThreadFiber::convert();
        let object = Arc::new(RefCell::new(Some(tls)));
        let fibers: Vec<_> = (0..2)
            .map(|_| {
                let object = Arc::clone(&object);
                Fiber::new(move || {
                    match &*object.borrow() {
                        Some(tls) => tls.with(|_| ()),
                        None => reclaim(),
                    };
                })
            })
            .collect();
        fibers.iter().for_each(|fiber| fiber.resume(&main));
        // Not this fiber's values: they wait for theirs.
        drop(object.borrow_mut().take());
        assert_eq!(drops.load(SeqCst), 0);
        fibers[1].resume(&main);
        assert_eq!(drops.load(SeqCst), 1);
        drop(fibers);
        assert_eq!(drops.load(SeqCst), 2);
    });
}

#[test]
fn a_destructor_may_use_objects_while_its_fiber_is_deleted() {
    static OTHER: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(0));
    struct Uses(Arc<AtomicUsize>);
    impl Drop for Uses {
        fn drop(&mut self) {
            let local = ThreadLocal::<Cell<u8>>::new(|| Cell::new(3));
            assert_eq!(local.get(), 3);
            let _ = OTHER.try_with(|value| value.set(value.get() + 1));
            self.0.fetch_add(1, SeqCst);
        }
    }
    let drops = Arc::new(AtomicUsize::new(0));
    let clone = Arc::clone(&drops);
    in_thread(move || {
        let main = ThreadFiber::convert();
        OTHER.set(7);
        for _ in 0..10 {
            let drops = Arc::clone(&clone);
            let tls = ThreadLocal::from_fn(move || Uses(Arc::clone(&drops)));
            let fiber = Fiber::new(move || tls.with(|_| ()));
            fiber.resume(&main);
            drop(fiber);
        }
    });
    assert_eq!(drops.load(SeqCst), 10);
}

/// The access never resumes. Its value is destroyed with the fiber, or leaked if it was being changed or made; the next fiber, which adopts
/// the record, gets new values.
#[test]
fn a_fiber_is_deleted_inside_an_access() {
    in_thread(|| {
        let main = ThreadFiber::convert();
        let back = main.0;
        // SAFETY: called by a fiber that `main` has resumed; `main` deletes it.
        let leave = move || unsafe { SwitchToFiber(back) };
        let in_a_fiber = |step: Box<dyn FnMut()>| {
            let fiber = Fiber::new(step);
            fiber.resume(&main);
            drop(fiber);
        };

        let (drops, object) = counted();
        in_a_fiber({
            let object = Arc::clone(&object);
            Box::new(move || object.with(|_| leave()))
        });
        assert_eq!(drops.load(SeqCst), 1);
        in_a_fiber(Box::new(move || object.with(|_| ())));
        assert_eq!(drops.load(SeqCst), 2);

        let (drops, object) = counted();
        let mut object = Arc::try_unwrap(object).ok().unwrap();
        in_a_fiber(Box::new(move || object.with_mut(|_| leave())));
        assert_eq!(drops.load(SeqCst), 0);

        // Initializers: of a `ThreadLocal`, of a `PerThread`, and of a `ThreadLocal` in that of a `PerThread`.
        let leaves = Rc::new(Cell::new(0));
        let maybe_leave = {
            let leaves = Rc::clone(&leaves);
            move |n| {
                if leaves.get() == n {
                    leaves.set(0);
                    leave();
                }
            }
        };
        let maybe = maybe_leave.clone();
        let thread_owned = Rc::new(ThreadLocal::from_fn(move || {
            maybe(1);
            Box::new(5)
        }));
        let inner = Rc::clone(&thread_owned);
        let mut object_owned = Rc::new(PerThread::from_fn(move || {
            maybe_leave(2);
            inner.with(|v| Box::new(**v + 1))
        }));
        for (leaves_in, uses_inner) in [(1, true), (2, false), (1, false)] {
            leaves.set(leaves_in);
            let (inner, outer) = (Rc::clone(&thread_owned), Rc::clone(&object_owned));
            in_a_fiber(Box::new(move || {
                if uses_inner {
                    inner.with(|_| ());
                }
                outer.with(|_| ());
                unreachable!("the fiber is deleted in an initializer");
            }));
            assert_eq!(leaves.get(), 0);
            assert_eq!(object_owned.len(), 0);
            // This one gets the record.
            let (inner, outer) = (Rc::clone(&thread_owned), Rc::clone(&object_owned));
            in_a_fiber(Box::new(move || {
                assert_eq!(inner.with_existing(|v| **v), None);
                assert_eq!(outer.with_existing(|v| **v), None);
                assert_eq!(outer.try_with(|v| **v), Ok(6));
                assert_eq!(inner.try_with(|v| **v), Ok(5));
            }));
            assert_eq!(object_owned.len(), 1);
            Rc::get_mut(&mut object_owned).unwrap().clear();
        }
    });
}

#[test]
fn the_last_error_is_left_alone() {
    #[track_caller]
    fn kept<R>(f: impl FnOnce() -> R) -> R {
        // SAFETY: no preconditions.
        unsafe {
            SetLastError(1234);
            let result = f();
            assert_eq!(GetLastError(), 1234);
            result
        }
    }
    #[track_caller]
    fn seen() {
        // SAFETY: no preconditions.
        assert_eq!(unsafe { GetLastError() }, 1234);
    }
    in_thread(|| {
        // More objects than a record holds inline.
        let objects: Vec<_> =
            (0..100).map(|i| ThreadLocal::from_fn(move || Cell::new(i))).collect();
        for object in &objects {
            assert!(kept(|| object.with_existing(|_| ())).is_none());
            kept(|| object.prepare()).unwrap();
            kept(|| object.with(|_| seen()));
            kept(|| object.with(|_| seen()));
            kept(|| object.try_with(|_| seen())).unwrap();
            kept(|| object.with_existing(|_| seen())).unwrap();
            kept(|| object.set(5));
            assert_eq!(kept(|| object.get()), 5);
        }
        for mut object in objects {
            assert!(kept(|| object.remove()).is_some());
            kept(|| object.with(|_| ()));
            kept(|| drop(object));
        }
        kept(reclaim);

        let sum = PerThread::<Cell<u32>>::new(|| Cell::new(1));
        kept(|| sum.with(|_| seen()));
        kept(|| drop(sum));

        let key = kept(Key::new).unwrap();
        assert!(kept(|| key.get()).is_null());
        kept(|| key.set(null_mut())).unwrap();
        kept(|| drop(key));
    });
    // A recursive access is an error, not a system call's.
    in_thread(|| {
        static RECURSIVE: ThreadLocal<bool> =
            ThreadLocal::new(|| kept(|| RECURSIVE.try_with(|_| ())).is_err());
        assert!(kept(|| RECURSIVE.with(|error| *error)));
    });
}
