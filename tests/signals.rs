//! `with_existing` in a signal handler: it finds the thread's value wherever the handler interrupts the thread, also inside the crate.
//! `try_borrow_mut` of a value that the thread has: the handler gets a whole value, or `Borrowed`.
//!
//! Where the crate reads a key, POSIX does not say that `pthread_getspecific` may be called there; on these systems it works.

#![cfg(feature = "alloc")]
#![cfg(all(any(target_os = "linux", target_vendor = "apple", target_os = "freebsd"), not(miri)))]

mod common;

use std::sync::atomic::{compiler_fence, AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use common::this_thread;
use os_thread_local::{AccessError, BorrowCell, PerThread, ThreadLocal};

/// The same in all of these.
const SIGALRM: i32 = 14;

extern "C" {
    fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    fn pthread_kill(thread: usize, number: i32) -> i32;
}

/// With a destructor, and in the thread's table, not among the entries of its record.
static VALUE: ThreadLocal<Box<usize>> = ThreadLocal::new(|| Box::new(VALID));
/// Not used before the signals begin.
static UNUSED: ThreadLocal<Box<usize>> = ThreadLocal::new(|| Box::new(VALID));
const VALID: usize = 12345;
/// Both numbers are the same, except while a guard exists.
static PAIR: PerThread<BorrowCell<(usize, usize)>> = PerThread::new(BorrowCell::default);

const SIGNALS: usize = 200;

static FOUND: AtomicUsize = AtomicUsize::new(0);
static OTHERWISE: AtomicUsize = AtomicUsize::new(0);
/// How often the handler has borrowed the pair.
static BORROWED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handler(_: i32) {
    let found = VALUE.with_existing(|value| **value);
    let unused = UNUSED.with_existing(|value| **value);
    let whole = match PAIR.try_borrow_mut() {
        Ok(mut pair) => {
            let whole = pair.0 == pair.1;
            *pair = (pair.0 + 1, pair.1 + 1);
            BORROWED.fetch_add(1, SeqCst);
            whole
        }
        Err(error) => error == AccessError::Borrowed,
    };
    let right = found == Some(VALID) && unused.map_or(true, |value| value == VALID) && whole;
    let counter = if right { &FOUND } else { &OTHERWISE };
    counter.fetch_add(1, SeqCst);
}

fn handled() -> usize {
    FOUND.load(SeqCst) + OTHERWISE.load(SeqCst)
}

#[test]
fn a_handler_finds_the_value() {
    let first: Vec<_> = (0..40).map(|_| ThreadLocal::new(|| Box::new(1))).collect();
    first.iter().for_each(|object| object.with(|_| ()));
    VALUE.with(|_| ());
    drop(PAIR.borrow_mut());

    let (thread, done) = (this_thread(), AtomicBool::new(false));
    // SAFETY: the handler calls what this test is about, and touches atomics.
    unsafe { signal(SIGALRM, handler) };
    thread::scope(|s| {
        s.spawn(|| {
            while !done.load(SeqCst) {
                let handled_before = handled();
                // SAFETY: the thread waits for this one.
                assert_eq!(unsafe { pthread_kill(thread, SIGALRM) }, 0);
                // The next one when this one was handled: a thread that is in its handler all the time does not get on.
                while handled() == handled_before && !done.load(SeqCst) {
                    thread::yield_now();
                }
            }
        });
        let mut kept = Vec::new();
        let mut added = 0;
        for round in 0.. {
            // First uses, a table that grows, values that are taken out, objects that end.
            let mut objects: Vec<_> = (0..100).map(|_| ThreadLocal::new(|| Box::new(1))).collect();
            objects.iter().for_each(|object| object.with(|_| ()));
            objects.iter_mut().step_by(2).for_each(|object| assert!(object.remove().is_some()));
            for _ in 0..100 {
                let mut pair = PAIR.borrow_mut();
                pair.0 += 1;
                compiler_fence(SeqCst);
                pair.1 += 1;
                added += 1;
            }
            if round == 3 {
                UNUSED.with(|_| ());
            }
            if round < 20 {
                kept.extend(objects);
            }
            if round >= 30 && handled() >= SIGNALS {
                break;
            }
        }
        done.store(true, SeqCst);
        // A signal may come now.
        let (pair, borrowed) = loop {
            let before = BORROWED.load(SeqCst);
            let pair = *PAIR.borrow_mut();
            if before == BORROWED.load(SeqCst) {
                break (pair, before);
            }
        };
        assert_eq!(pair, (added + borrowed, added + borrowed));
    });
    assert_eq!(OTHERWISE.load(SeqCst), 0);
    assert!(FOUND.load(SeqCst) >= SIGNALS);
}
