//! Destructors of other libraries, of keys created before and after the crate's, that use objects: they get a value or an error, and
//! every value that they make is destroyed.

// Without the harness, whose threads would be the first to use the crate.

mod children;
mod common;

use common::{in_thread, Census, Counted};
use os_thread_local::key::StaticDestructorKey;
use os_thread_local::{AccessError, ThreadLocal};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Mutex;

static CENSUS: Mutex<Option<Census>> = Mutex::new(None);

fn counted() -> Counted {
    CENSUS.lock().unwrap().get_or_insert_with(Census::new).count()
}

/// Used by the thread, and by its last destructors.
static USED: ThreadLocal<Counted> = ThreadLocal::new(counted);
/// Used by the last destructors only.
static FRESH: [ThreadLocal<Counted>; 2] = [ThreadLocal::new(counted), ThreadLocal::new(counted)];

#[allow(clippy::declare_interior_mutable_const)] // the initial value of the array
const ZERO: [AtomicUsize; 3] = [AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0)];
/// How often each destructor was called, and how often it got a value and an error.
static CALLS: [[AtomicUsize; 3]; 2] = [ZERO; 2];

fn last_words(which: usize) {
    CALLS[which][0].fetch_add(1, SeqCst);
    for object in [&USED, &FRESH[which]] {
        match object.try_with(|_| ()) {
            Ok(()) => CALLS[which][1].fetch_add(1, SeqCst),
            Err(AccessError::Destroyed) => CALLS[which][2].fetch_add(1, SeqCst),
            Err(other) => panic!("{:?}", other),
        };
    }
    // An object of the destructor's own gives the same as the fresh one.
    let object = ThreadLocal::new(|| vec![1]);
    match object.try_with(|v| assert_eq!(*v, [1])) {
        Ok(()) => assert!(FRESH[which].with_existing(|_| ()).is_some()),
        Err(error) => assert_eq!(error, AccessError::Destroyed),
    }
    // An object whose values have no destructor always works.
    let object = ThreadLocal::new(|| 1);
    assert_eq!(object.try_with(|v| *v), Ok(1));
}

static FIRST: StaticDestructorKey = StaticDestructorKey::new(first);
static LAST: StaticDestructorKey = StaticDestructorKey::new(last);

fn set(key: &StaticDestructorKey, n: usize) {
    let word = std::ptr::null_mut::<u8>().wrapping_add(n).cast();
    // SAFETY: both destructors take any word.
    unsafe { key.set(word) }.unwrap();
}

unsafe extern "system" fn first(rounds: *mut c_void) {
    last_words(0);
    let rounds = rounds as usize;
    if rounds > 1 {
        set(&FIRST, rounds - 1);
    }
}

unsafe extern "system" fn last(rounds: *mut c_void) {
    last_words(1);
    let rounds = rounds as usize;
    if rounds > 1 {
        set(&LAST, rounds - 1);
    }
}

/// The counts, one after another.
fn seen() -> Vec<usize> {
    CALLS.iter().flatten().map(|n| n.load(SeqCst)).collect()
}

fn main() {
    // Systems call the destructors of a round in the order in which the keys were made, or in the order of numbers that
    // are handed out lowest first.
    set(&FIRST, 1);
    set(&FIRST, 0);
    assert!(USED.try_with(|_| ()).is_ok());
    set(&LAST, 1);
    set(&LAST, 0);

    let census = CENSUS.lock().unwrap().clone().unwrap();
    let balance = || census.built() - census.dropped();
    let here = balance();
    // POSIX guarantees four rounds, and a value that is made in the last of them is leaked, as in any library.
    let rounds = children::times("OS_THREAD_LOCAL_ROUNDS", if cfg!(unix) { 2 } else { 1 });
    let mut cases = 0;
    // If a thread's very first use is in a key's destructor, its exit list has run already, and glibc leaks the 32 bytes of an entry that
    // is registered then, for std as for this crate: LeakSanitizer reports it.
    let first_uses = children::times("OS_THREAD_LOCAL_LATE_FIRST_USES", 1) != 0;
    for uses_ours in [true, false] {
        if !uses_ours && !first_uses {
            continue;
        }
        for (first, last) in [(rounds, 0), (0, rounds), (1, 1), (rounds, rounds)] {
            let (before, mut first_thread) = (seen(), None);
            let since =
                || -> Vec<usize> { seen().iter().zip(&before).map(|(n, b)| n - b).collect() };
            for thread in 1..=20 {
                in_thread(move || {
                    if uses_ours {
                        USED.with(|_| ());
                    }
                    if first > 0 {
                        set(&FIRST, first);
                    }
                    if last > 0 {
                        set(&LAST, last);
                    }
                });
                cases += 1;
                let first = first_thread.get_or_insert_with(since);
                let expected: Vec<_> = first.iter().map(|n| n * thread).collect();
                assert_eq!(since(), expected, "thread {} fares as the first", thread);
            }
            if cfg!(unix) {
                assert_eq!(balance(), here, "{} rounds of the first, {} of the last", first, last);
            }
        }
    }
    assert_eq!(census.strayed(), 0);
    let calls: Vec<Vec<usize>> =
        CALLS.iter().map(|c| c.iter().map(|n| n.load(SeqCst)).collect()).collect();
    // A thread that has used the crate before gets no values from the last destructor on.
    assert!(calls.iter().all(|c| c[0] > 0 && (c[1] > 0 || !first_uses)), "{:?}", calls);
    assert!(calls.iter().all(|c| c[2] > 0) || cfg!(not(unix)), "{:?}", calls);
    println!("foreign_destructors: {} threads, calls, values, errors: {:?}", cases, calls);
}
