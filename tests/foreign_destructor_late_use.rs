//! A destructor of another library's key that uses an object for the first time in a late round: no memory, no value and no record
//! is left behind when the thread has ended.
//!
//! Each combination is tested: the round; the other key made before or after the crate's; values without a destructor, with one,
//! and of a `PerThread`; a thread that has used the crate before, and one that has not. In one case a leak is unavoidable: a value that is
//! made in the last round by a destructor that runs after the crate's.
//!
//! A process of its own, because the order of keys matters: one test.

#![cfg(all(feature = "alloc", unix))]

mod children;
mod common;

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use common::counting::Counting;
use common::{in_thread, Census, Counted};
use os_thread_local::key::StaticDestructorKey;
use os_thread_local::{AccessError, PerThread, ThreadLocal};

#[global_allocator]
static ALLOCATOR: Counting = Counting::without_main_thread();

/// PTHREAD_DESTRUCTOR_ITERATIONS.
const ROUNDS: usize = 4;

fn census() -> &'static Census {
    static CENSUS: once_cell::sync::Lazy<Census> = once_cell::sync::Lazy::new(Census::new);
    &CENSUS
}

/// Used by the thread itself, if at all.
static EARLY: ThreadLocal<Counted> = ThreadLocal::new(|| census().count());
static EARLY_PLAIN: ThreadLocal<Cell<u64>> = ThreadLocal::new(|| Cell::new(1));

/// Used by the destructor, for the first time in its thread.
static PLAIN: ThreadLocal<[u64; 4]> = ThreadLocal::new(|| [1; 4]);
static DROPS: ThreadLocal<Counted> = ThreadLocal::new(|| census().count());
static VALUES: PerThread<Box<u64>> = PerThread::new(|| Box::new(1));

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Plain,
    Drops,
    PerThread,
}

const KINDS: [Kind; 3] = [Kind::Plain, Kind::Drops, Kind::PerThread];

/// What the thread has used before its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Plain,
    Drops,
}

/// What the destructors do with `KINDS[USE]` in the round that the key's value counts down to.
static USE: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

fn word(n: usize) -> *mut c_void {
    std::ptr::null_mut::<u8>().wrapping_add(n).cast()
}

static FIRST: StaticDestructorKey = StaticDestructorKey::new(first);
static LAST: StaticDestructorKey = StaticDestructorKey::new(last);

fn set(key: &StaticDestructorKey, value: usize) {
    // SAFETY: the destructors take any word.
    unsafe { key.set(word(value)) }.unwrap()
}

unsafe extern "system" fn first(rounds: *mut c_void) {
    round(&FIRST, rounds as usize);
}

unsafe extern "system" fn last(rounds: *mut c_void) {
    round(&LAST, rounds as usize);
}

fn round(key: &StaticDestructorKey, rounds: usize) {
    if rounds > 1 {
        return set(key, rounds - 1);
    }
    CALLS.fetch_add(1, SeqCst);
    let used = match KINDS[USE.load(SeqCst)] {
        Kind::Plain => PLAIN.try_with(|v| v[3] == 1),
        Kind::Drops => DROPS.try_with(|_| true),
        Kind::PerThread => VALUES.try_with(|v| **v == 1),
    };
    // A thread whose record has ended after it had destroyed values gets `Destroyed` for objects with a destructor.
    let refused = used == Err(AccessError::Destroyed)
        && KINDS[USE.load(SeqCst)] == Kind::Drops
        && EARLY.try_with(|_| ()) == Err(AccessError::Destroyed);
    assert!(refused || used == Ok(true), "{:?}", used);
}

/// Runs `threads` threads, one after another, and returns what they leave: bytes, values with a destructor, and values of `VALUES`.
fn left_by(
    threads: usize,
    key: &'static StaticDestructorKey,
    round: usize,
    before: Before,
) -> [isize; 3] {
    let live = || {
        let values = census().built() as isize - census().dropped() as isize;
        [ALLOCATOR.live(), values, VALUES.len() as isize]
    };
    let [bytes, values, per_thread] = live();
    for _ in 0..threads {
        let body = move || {
            match before {
                Before::Nothing => {}
                Before::Plain => EARLY_PLAIN.with(|v| assert_eq!(v.replace(2), 1)),
                Before::Drops => EARLY.with(|_| ()),
            }
            set(key, round);
        };
        thread::spawn(body).join().unwrap();
    }
    let now = live();
    [now[0] - bytes, now[1] - values, now[2] - per_thread]
}

/// Whether the crate's own destructor is no longer called, so that values of the round are leaked.
fn leaks_in(after: bool, round: usize) -> bool {
    after && round == ROUNDS
}

#[test]
fn nothing_is_left_behind() {
    // With `--test-threads=1` the harness runs the test in the main thread, which is not counted.
    in_thread(every_combination);
}

fn every_combination() {
    let threads = children::fewer(50);
    // The order of keys: FIRST's, the crate's, LAST's.
    for key in [&FIRST, &LAST] {
        set(key, 1);
        set(key, 0);
        EARLY_PLAIN.with(|_| ());
    }
    // Numbers and the objects' own memory.
    PLAIN.with(|_| ());
    DROPS.with(|_| ());
    VALUES.with(|_| ());
    assert!(ALLOCATOR.live() > 0, "the allocator does not count");

    // ThreadSanitizer frees its state before the last round, and LeakSanitizer reports the unavoidable leak.
    let rounds = children::times("OS_THREAD_LOCAL_ROUNDS", ROUNDS);
    let late_first_uses = children::times("OS_THREAD_LOCAL_LATE_FIRST_USES", 1) != 0;
    let (mut cases, mut failed) = (0, 0);
    for (after, key) in [(false, &FIRST), (true, &LAST)] {
        for round in 1..=rounds {
            for (index, &kind) in KINDS.iter().enumerate() {
                for before in [Before::Nothing, Before::Plain, Before::Drops] {
                    let leaks = leaks_in(after, round);
                    if !late_first_uses && (leaks || before != Before::Drops) {
                        continue;
                    }
                    USE.store(index, SeqCst);
                    let calls = CALLS.load(SeqCst);
                    // The first threads leave what is kept for later threads.
                    left_by(8, key, round, before);
                    let left = left_by(threads, key, round, before);
                    assert_eq!(CALLS.load(SeqCst) - calls, 8 + threads);
                    cases += 1;
                    // The smallest leak would be a value of a word with its header.
                    let nothing_left = left[0] < 16 * threads as isize && left[1..] == [0, 0];
                    if leaks {
                        // The leak is at most the value and the record of each thread.
                        assert!(left[0] < 2_048 * threads as isize, "{:?}", left);
                        assert!(left[1] <= threads as isize && left[2] <= threads as isize);
                    } else if !nothing_left {
                        let order = if after { "after" } else { "before" };
                        println!(
                            "round {}, a key made {} the crate's, {:?}, the thread used {:?} before: {} threads left \
                             {} bytes, {} values, {} of PerThread",
                            round, order, kind, before, threads, left[0], left[1], left[2]
                        );
                        failed += 1;
                    }
                }
            }
        }
    }
    assert_eq!(census().strayed(), 0);
    assert_eq!(failed, 0, "of {} cases", cases);
}
