//! Threads that inherit a value of a `PerThread` that the guard of an ended thread still borrows: none of them gets `Borrowed` for
//! a borrow that it did not begin.
//!
//! A process of its own, without the harness: otherwise the next thread could inherit the values of another test's thread. The main
//! thread uses no object, unless it says so.

mod children;
mod common;

use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use os_thread_local::per_thread::RefMut;
use os_thread_local::{AccessError, BorrowCell, InitError, PerThread, ThreadLocal};

type Lines = PerThread<BorrowCell<Vec<u32>>>;

fn main() {
    an_heir_of_a_borrowed_value_gets_a_new_one();
    an_heir_of_a_value_that_is_not_borrowed_any_more_gets_that_value();
    an_heir_has_its_own_borrows();
    an_heir_calls_the_initializer_that_it_has();
    a_leaked_guard_disturbs_no_heir();
    a_guard_that_is_dropped_while_an_heir_borrows();
    guards_in_thread_locals_end_with_their_thread();
    #[cfg(all(unix, not(miri), not(os_thread_local_backend = "custom")))]
    if children::can_start() && !children::is_qemu() {
        forked::the_child_borrows();
    }
}

/// Runs `f` in a new thread and waits until that thread has ended.
fn alone<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    thread::scope(|s| s.spawn(f).join().unwrap())
}

fn borrowed_by_an_ended_thread(lines: &Lines) -> RefMut<'_, Vec<u32>> {
    let mut guard = alone(|| lines.borrow_mut());
    guard.push(1);
    guard
}

fn contents(lines: &mut Lines) -> Vec<Vec<u32>> {
    let mut all: Vec<_> = lines.drain().map(BorrowCell::into_inner).collect();
    all.sort();
    all
}

fn an_heir_of_a_borrowed_value_gets_a_new_one() {
    let mut lines = Lines::default();
    let mut guard = borrowed_by_an_ended_thread(&lines);
    for n in 0..3 {
        alone(|| {
            let mut own = lines.try_borrow_mut().unwrap();
            // The second and the third thread inherit the first one's.
            assert_eq!(own.len(), n);
            own.push(2);
        });
        assert_eq!(lines.len(), 2);
    }
    guard.push(3);
    drop(guard);
    alone(|| assert_eq!(lines.borrow_mut().len(), 3));
    assert_eq!(contents(&mut lines), [vec![1, 3], vec![2, 2, 2]]);
}

fn an_heir_of_a_value_that_is_not_borrowed_any_more_gets_that_value() {
    let mut lines = Lines::default();
    drop(borrowed_by_an_ended_thread(&lines));
    alone(|| lines.borrow_mut().push(2));
    assert_eq!(contents(&mut lines), [[1, 2]]);
}

fn an_heir_has_its_own_borrows() {
    let lines = Lines::default();
    let guard = borrowed_by_an_ended_thread(&lines);
    alone(|| {
        let own = lines.borrow_mut();
        assert_eq!(lines.try_borrow_mut().err(), Some(AccessError::Borrowed));
        drop(own);
        assert!(lines.try_borrow_mut().is_ok());
    });
    drop(guard);
}

fn an_heir_calls_the_initializer_that_it_has() {
    let lines = Lines::default();
    let guard = borrowed_by_an_ended_thread(&lines);
    alone(|| {
        let failed = lines.borrow_mut_or_try(|| Err("failed")).err();
        assert_eq!(failed, Some(InitError::Init("failed")));
        assert_eq!(lines.len(), 1);
        assert_eq!(*lines.borrow_mut_or(|| vec![7]), [7]);
    });
    let second = alone(|| lines.borrow_mut());
    assert_eq!(*second, [7]);
    alone(|| assert_eq!(*lines.borrow_mut_or_try(|| Ok::<_, ()>(vec![8])).unwrap(), [8]));
    assert_eq!(lines.len(), 3);
    drop((guard, second));
}

fn a_leaked_guard_disturbs_no_heir() {
    let mut lines = Lines::default();
    std::mem::forget(borrowed_by_an_ended_thread(&lines));
    for _ in 0..3 {
        alone(|| lines.try_borrow_mut().unwrap().push(2));
    }
    assert_eq!(contents(&mut lines), [vec![1], vec![2, 2, 2]]);
}

/// The later thread gets the value or a new one, depending on which thread is first, and always sees whole contents.
fn a_guard_that_is_dropped_while_an_heir_borrows() {
    let inherited = AtomicUsize::new(0);
    for _ in 0..children::fewer(200) {
        let lines = Lines::default();
        let mut guard = borrowed_by_an_ended_thread(&lines);
        thread::scope(|s| {
            s.spawn(|| {
                let own = lines.try_borrow_mut().unwrap();
                if !own.is_empty() {
                    assert_eq!(*own, [1, 2]);
                    inherited.fetch_add(1, SeqCst);
                }
            });
            thread::yield_now();
            guard.push(2);
            drop(guard);
        });
    }
    println!("{} heirs came after the guard", inherited.into_inner());
}

fn guards_in_thread_locals_end_with_their_thread() {
    type Held = RefCell<Option<RefMut<'static, Vec<u32>>>>;
    static HELD: ThreadLocal<Held> = ThreadLocal::new(RefCell::default);
    std::thread_local!(static STD_HELD: Held = const { RefCell::new(None) });
    static IN_OURS: Lines = PerThread::new(BorrowCell::default);
    static IN_STDS: Lines = PerThread::new(BorrowCell::default);
    for n in 0..10 {
        thread::spawn(move || {
            if n % 2 == 0 {
                STD_HELD.with(|held| *held.borrow_mut() = None);
            }
            let mut guard = IN_OURS.borrow_mut();
            guard.push(n);
            HELD.set(Some(guard));
            assert_eq!(IN_OURS.try_borrow_mut().err(), Some(AccessError::Borrowed));
            let mut guard = IN_STDS.borrow_mut();
            guard.push(n);
            STD_HELD.with(|held| *held.borrow_mut() = Some(guard));
        })
        .join()
        .unwrap();
    }
    alone(|| assert_eq!(IN_OURS.borrow_mut().len(), 10));
    assert_eq!(IN_OURS.len(), 1);
    if common::STD_DESTROYS {
        alone(|| assert_eq!(IN_STDS.borrow_mut().len(), 10));
        assert_eq!(IN_STDS.len(), 1);
    }
}

#[cfg(all(unix, not(miri), not(os_thread_local_backend = "custom")))]
mod forked {
    use super::*;
    use std::panic::{catch_unwind, AssertUnwindSafe};
    use std::sync::mpsc;

    extern "C" {
        fn fork() -> i32;
        fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
        fn alarm(seconds: u32) -> u32;
        fn _exit(status: i32) -> !;
    }

    /// Another thread and an ended thread have guards, and so has the thread that forks.
    pub fn the_child_borrows() {
        // A child has what its parent's other threads left, which leak checkers find.
        if children::times("OS_THREAD_LOCAL_FORKS", 1) == 0 {
            return;
        }
        let lines = Lines::default();
        let of_ended = borrowed_by_an_ended_thread(&lines);
        let (held, wait) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        thread::scope(|s| {
            let lines = &lines;
            s.spawn(move || {
                let guard = lines.borrow_mut();
                held.send(()).unwrap();
                let _ = ended.recv();
                drop(guard);
            });
            wait.recv().unwrap();
            let mut own = lines.borrow_mut();
            // SAFETY: the child calls only what this test is about, and ends by `_exit`.
            let child = unsafe { fork() };
            if child == 0 {
                let result = catch_unwind(AssertUnwindSafe(|| {
                    // SAFETY: no preconditions.
                    unsafe { alarm(100) };
                    own.push(5);
                    assert_eq!(lines.try_borrow_mut().err(), Some(AccessError::Borrowed));
                    drop(own);
                    assert_eq!(*lines.borrow_mut(), [5]);
                    // Some emulators and checkers cannot start threads in a child.
                    if children::times("OS_THREAD_LOCAL_FORK_THREADS", 1) > 0 {
                        (0..3).for_each(|_| alone(|| lines.try_borrow_mut().unwrap().push(6)));
                    }
                }));
                // SAFETY: no preconditions.
                unsafe { _exit(if result.is_ok() { 0 } else { 1 }) };
            }
            assert!(child > 0, "fork failed");
            let mut status = -1;
            // SAFETY: `status` is valid for the call.
            assert_eq!(unsafe { waitpid(child, &mut status, 0) }, child);
            assert_eq!(status, 0, "the child failed");
            own.push(1);
            drop(own);
            assert_eq!(*lines.borrow_mut(), [1]);
            drop(end);
        });
        drop(of_ended);
    }
}
