//! "Destroyed" lasts: what the destructors of other libraries' keys get for objects, in every round.
//!
//! After the crate's key destructor has destroyed a thread's values, that thread gets `Destroyed` for every object with a destructor, used
//! before or not. Values without a destructor, and values of a `PerThread`, can be made again. This holds in all rounds where the crate has
//! its thread-local word, and elsewhere in the round in which the thread's record ended and in the two that follow. Until a thread has made
//! a value with a destructor, it can make a first use in each round.
//!
//! A process of its own, because the order of keys matters: one test.

#![cfg(all(feature = "alloc", unix))]

mod children;
mod common;

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Mutex;

use common::{in_thread, Census, Counted};
use os_thread_local::key::StaticDestructorKey;
use os_thread_local::{AccessError, PerThread, ThreadLocal};

/// The system has a thread-exit list, and the crate uses it.
const EXIT_LIST: bool = cfg!(all(
    not(os_thread_local_no_exit_list),
    not(miri),
    any(
        all(target_os = "linux", target_env = "gnu"),
        target_os = "android",
        target_os = "freebsd",
        target_vendor = "apple"
    )
));

/// The crate has a thread-local word, in programs.
const WORD: bool = cfg!(all(
    not(os_thread_local_no_word),
    not(os_thread_local_keys_only),
    not(miri),
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl"),
    any(target_arch = "x86_64", target_arch = "aarch64"),
    target_pointer_width = "64"
));

/// PTHREAD_DESTRUCTOR_ITERATIONS.
const ROUNDS: usize = 4;

// ---------------------------------------------------------------------------------------------- the objects

/// A value with a destructor.
struct Drops {
    _counted: Counted,
    /// Set by the thread itself, before its end.
    is_old: Cell<bool>,
}

fn census() -> &'static Census {
    static CENSUS: once_cell::sync::Lazy<Census> = once_cell::sync::Lazy::new(Census::new);
    &CENSUS
}

fn drops() -> Drops {
    Drops { _counted: census().count(), is_old: Cell::new(false) }
}

type Object = ThreadLocal<Drops>;
type PlainObject = ThreadLocal<Cell<bool>>;

/// Used by the thread, if it uses anything, and by the destructors.
static USED: Object = ThreadLocal::new(drops);
static USED_PLAIN: PlainObject = ThreadLocal::new(|| Cell::new(false));
static PER_THREAD: PerThread<Cell<bool>> = PerThread::new(|| Cell::new(false));

/// Used by the destructors only, two for each round.
#[allow(clippy::declare_interior_mutable_const)] // they are meant to be copied
const NEW: Object = ThreadLocal::new(drops);
#[allow(clippy::declare_interior_mutable_const)]
const NEW_PLAIN: PlainObject = ThreadLocal::new(|| Cell::new(false));
static FRESH: [Object; ROUNDS] = [NEW; ROUNDS];
static FRESH_PLAIN: [PlainObject; ROUNDS] = [NEW_PLAIN; ROUNDS];

// ---------------------------------------------------------------------------------------------- the destructors

#[derive(Clone, Copy, Debug, PartialEq)]
enum Got {
    /// The thread's value from before its end.
    Old,
    New,
    Destroyed,
}

fn got(is_old: Result<bool, AccessError>) -> Got {
    match is_old {
        Ok(true) => Got::Old,
        Ok(false) => Got::New,
        Err(AccessError::Destroyed) => Got::Destroyed,
        Err(error) => panic!("{:?}", error),
    }
}

/// What a destructor got in a round.
#[derive(Clone, Copy, Debug)]
struct Round {
    round: usize,
    used: Got,
    fresh: Got,
    plain: Got,
    fresh_plain: Got,
    per_thread: Got,
}

static ROUNDS_SEEN: Mutex<Vec<Round>> = Mutex::new(Vec::new());
/// In which rounds the destructors use objects: a bit each.
static ACTIVE: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Order {
    /// The other key was made before the crate's, and its destructor is called first.
    Older,
    Newer,
}

static OLDER: StaticDestructorKey = StaticDestructorKey::new(older);
static NEWER: StaticDestructorKey = StaticDestructorKey::new(newer);

fn set(key: &StaticDestructorKey, round: usize) {
    let word = std::ptr::null_mut::<u8>().wrapping_add(round).cast();
    // SAFETY: both destructors take any word.
    unsafe { key.set(word) }.unwrap()
}

unsafe extern "system" fn older(round: *mut c_void) {
    in_round(&OLDER, round as usize);
}

unsafe extern "system" fn newer(round: *mut c_void) {
    in_round(&NEWER, round as usize);
}

fn in_round(key: &StaticDestructorKey, round: usize) {
    if ACTIVE.load(SeqCst) & 1 << round != 0 {
        let seen = Round {
            round,
            used: got(USED.try_with(|v| v.is_old.get())),
            fresh: got(FRESH[round - 1].try_with(|v| v.is_old.get())),
            plain: got(USED_PLAIN.try_with(Cell::get)),
            fresh_plain: got(FRESH_PLAIN[round - 1].try_with(Cell::get)),
            // Perhaps inherited.
            per_thread: got(PER_THREAD.try_with(|_| true)),
        };
        ROUNDS_SEEN.lock().unwrap().push(seen);
    }
    if ACTIVE.load(SeqCst) >> round > 1 {
        set(key, round + 1);
    }
}

// ---------------------------------------------------------------------------------------------- what is expected

/// What the thread has used before its end.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Before {
    Nothing,
    Plain,
    Drops,
}

/// Until which round the crate's destructor has run when the other one runs in `round`.
fn ours_until(order: Order, round: usize) -> usize {
    match order {
        Order::Older => round - 1,
        Order::Newer => round,
    }
}

/// Whether a value with a destructor that is made in the round is destroyed.
fn is_visited(order: Order, round: usize) -> bool {
    order == Order::Older || round < ROUNDS
}

/// Compares what a thread got with the rule. `first` is the first round in which its destructor used objects.
fn check(order: Order, before: Before, first: usize, seen: &Round) -> Result<(), &'static str> {
    let is = |got: Got, expected: Got, what| if got == expected { Ok(()) } else { Err(what) };
    let is_there = |got: Got, what| if got == Got::Destroyed { Err(what) } else { Ok(()) };
    // The round in which the crate's destructor destroyed values, or will.
    let ended = match (before, order) {
        (Before::Drops, _) => 1,
        (_, Order::Older) => first,
        (_, Order::Newer) => first + 1,
    };
    // Whatever the round.
    is_there(seen.per_thread, "per_thread")?;
    is_there(seen.plain, "plain")?;
    is_there(seen.fresh_plain, "fresh_plain")?;
    if ours_until(order, seen.round) >= ended {
        // Later rounds are unspecified without the word.
        if WORD || ours_until(order, seen.round) <= ended + 1 {
            is(seen.used, Got::Destroyed, "used")?;
            is(seen.fresh, Got::Destroyed, "fresh")?;
        }
        return Ok(());
    }
    let ours_has_run = ours_until(order, seen.round) > 0;
    match before {
        // Before the crate's destructor.
        Before::Drops => {
            is(seen.used, if EXIT_LIST { Got::Destroyed } else { Got::Old }, "used")?;
            is(seen.plain, Got::Old, "plain")
        }
        // A first use, or as good as one.
        Before::Plain => {
            is(seen.used, Got::New, "used")?;
            is(seen.fresh, Got::New, "fresh")?;
            is(seen.plain, if ours_has_run { Got::New } else { Got::Old }, "plain")
        }
        Before::Nothing => {
            is(seen.used, Got::New, "used")?;
            is(seen.fresh, Got::New, "fresh")?;
            is(seen.plain, Got::New, "plain")
        }
    }
}

/// Runs a thread whose destructors use objects in the `active` rounds, and returns the differences from what is expected.
fn run(order: Order, before: Before, active: usize) -> Vec<String> {
    ACTIVE.store(active, SeqCst);
    let balance = || census().built() - census().dropped();
    let balance_before = balance();
    in_thread(move || {
        if before != Before::Nothing {
            USED_PLAIN.with(|v| v.set(true));
            PER_THREAD.with(|v| v.set(true));
        }
        if before == Before::Drops {
            USED.with(|v| v.is_old.set(true));
        }
        set(if order == Order::Older { &OLDER } else { &NEWER }, 1);
    });
    let all = std::mem::take(&mut *ROUNDS_SEEN.lock().unwrap());
    assert_eq!(all.len(), active.count_ones() as usize, "a destructor was not called");
    let mut failed = Vec::new();
    for seen in &all {
        if let Err(what) = check(order, before, all[0].round, seen) {
            failed.push(format!("{:?} key, {:?} before, {}: {:?}", order, before, what, seen));
        }
    }
    // Values that were made too late are leaked.
    let late = |seen: &&Round| !is_visited(order, seen.round);
    let may_leak: usize = all
        .iter()
        .filter(late)
        .map(|seen| (seen.used == Got::New) as usize + (seen.fresh == Got::New) as usize)
        .sum();
    let left = balance() - balance_before;
    if left > may_leak {
        failed
            .push(format!("{:?} key, {:?} before: {} values left: {:?}", order, before, left, all));
    }
    failed
}

#[test]
fn destroyed_lasts() {
    // The order of keys: theirs, the crate's, theirs.
    set(&OLDER, 1);
    set(&OLDER, 0);
    USED.prepare().unwrap();
    set(&NEWER, 1);
    set(&NEWER, 0);

    // ThreadSanitizer frees its state before the last round, and LeakSanitizer reports what glibc leaks at a late first use.
    let rounds = children::times("OS_THREAD_LOCAL_ROUNDS", ROUNDS);
    let late_first_uses = children::times("OS_THREAD_LOCAL_LATE_FIRST_USES", 1) != 0;
    let every = (2 << rounds) - 2;
    let mut failed = Vec::new();
    // A second time with pooled records.
    for _ in 0..2 {
        for order in [Order::Older, Order::Newer] {
            failed.extend(run(order, Before::Drops, every));
            for round in 1..=rounds {
                failed.extend(run(order, Before::Drops, 1 << round));
            }
            for before in [Before::Plain, Before::Nothing] {
                if late_first_uses {
                    failed.extend(run(order, before, every));
                    for round in 1..=rounds {
                        failed.extend(run(order, before, 1 << round));
                    }
                }
            }
        }
    }
    assert_eq!(census().strayed(), 0);
    assert!(failed.is_empty(), "not as expected:\n{}", failed.join("\n"));
}
