//! Destructors of other libraries' keys that use objects in every round: no memory is leaked.
//! A process of its own, because the order of keys matters: one test.

#![cfg(all(feature = "alloc", unix))]

mod common;

use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use common::counting::Counting;
use common::{in_thread, Census, Counted};
use os_thread_local::key::StaticDestructorKey;
use os_thread_local::{AccessError, ThreadLocal};

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

static OLD: ThreadLocal<Counted> = ThreadLocal::new(count);
static FRESH: [ThreadLocal<Counted>; 8] = {
    #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
    const ONE: ThreadLocal<Counted> = ThreadLocal::new(count);
    [ONE; 8]
};
static CALLS: AtomicUsize = AtomicUsize::new(0);

fn census() -> &'static Census {
    static CENSUS: once_cell::sync::Lazy<Census> = once_cell::sync::Lazy::new(Census::new);
    &CENSUS
}

fn count() -> Counted {
    census().count()
}

static BEFORE: StaticDestructorKey = StaticDestructorKey::new(before);
static AFTER: StaticDestructorKey = StaticDestructorKey::new(after);

/// What both destructors do in each `round`, counted down: use an object that the thread has used, use a new one, and set their key so
/// that the system calls them again. POSIX guarantees four rounds. A value made in the last one, after the crate's own destructor, would
/// leak, so they use three.
fn round(key: &StaticDestructorKey, round: *mut c_void, fresh: usize) {
    CALLS.fetch_add(1, SeqCst);
    let round = round as usize;
    for object in [&OLD, &FRESH[fresh + round]] {
        match object.try_with(|_| ()) {
            Ok(()) | Err(AccessError::Destroyed) => (),
            Err(error) => panic!("{}", error),
        }
    }
    if round > 1 {
        set(key, round - 1);
    }
}

fn set(key: &StaticDestructorKey, n: usize) {
    let word = std::ptr::null_mut::<u8>().wrapping_add(n).cast();
    // SAFETY: both destructors take any word.
    unsafe { key.set(word) }.unwrap();
}

unsafe extern "system" fn before(value: *mut c_void) {
    round(&BEFORE, value, 0);
}

unsafe extern "system" fn after(value: *mut c_void) {
    round(&AFTER, value, 4);
}

#[test]
fn foreign_destructors_get_a_value_or_destroyed_and_nothing_leaks() {
    // The crate's key is the one between these two.
    set(&BEFORE, 1);
    set(&BEFORE, 0);
    OLD.prepare().unwrap();
    set(&AFTER, 1);
    set(&AFTER, 0);

    let run = || {
        in_thread(|| {
            OLD.with(|_| ());
            set(&BEFORE, 3);
            set(&AFTER, 3);
        });
        assert_eq!(census().built(), census().dropped());
    };
    run();
    assert_eq!(CALLS.load(SeqCst), 6, "two destructors, three rounds");
    // The thread's own, and in round 1, before the crate's destructor, the fresh one of the first key.
    assert!(census().built() >= 2, "{}", census().built());
    assert_eq!(census().strayed(), 0);

    let before = ALLOCATOR.live();
    for _ in 0..50 {
        run();
    }
    let left = ALLOCATOR.live() - before;
    assert!(left < 4_096, "{} bytes", left);
}
