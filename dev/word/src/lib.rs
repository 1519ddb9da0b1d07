//! The functions that the programs and libraries of `ci/word` export to C. `face_check` is a whole test.

#![cfg_attr(not(feature = "std"), no_std)]

extern crate alloc;

#[cfg(feature = "malloc")]
mod malloc;
#[cfg(not(feature = "std"))]
mod runtime;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ffi::c_void;
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use os_thread_local::{is_signal_safe, ThreadLocal};

/// The results of `face_check`. Others are failures.
pub const HAS_WORD: i32 = 10;
pub const HAS_NO_WORD: i32 = 20;

static MADE: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicUsize = AtomicUsize::new(0);
/// Set if a value was destroyed twice, or was overwritten.
static CORRUPT: AtomicUsize = AtomicUsize::new(0);

const ALIVE: u64 = 0x600d_600d;

/// A counter with a destructor.
struct Counter {
    state: u64,
    count: Cell<u32>,
}

impl Counter {
    fn new() -> Counter {
        MADE.fetch_add(1, SeqCst);
        Counter { state: ALIVE, count: Cell::new(0) }
    }

    fn next(&self) -> u32 {
        self.count.set(self.count.get() + 1);
        self.count.get()
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        if self.state != ALIVE {
            CORRUPT.store(1, SeqCst);
        }
        self.state = 0;
        DROPPED.fetch_add(1, SeqCst);
    }
}

static COUNTER: ThreadLocal<Counter> = ThreadLocal::new(Counter::new);
static PLAIN: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(0));

/// Whether this copy of the crate has a thread-local word.
#[no_mangle]
pub extern "C" fn face_has_word() -> i32 {
    is_signal_safe().into()
}

/// Returns one more than the last time on this thread; 0 is an error.
#[no_mangle]
pub extern "C" fn face_next() -> u32 {
    COUNTER.try_with(Counter::next).unwrap_or(0)
}

/// Like `face_next`, with a value that has no destructor.
#[no_mangle]
pub extern "C" fn face_plain() -> u32 {
    let next = |count: &Cell<u32>| {
        count.set(count.get() + 1);
        count.get()
    };
    PLAIN.try_with(next).unwrap_or(0)
}

/// 1 if the value of `face_plain` is ready to be used.
#[no_mangle]
pub extern "C" fn face_prepare() -> i32 {
    PLAIN.prepare().is_ok().into()
}

/// Makes, uses and drops objects, and returns the number of those with the right value.
#[no_mangle]
pub extern "C" fn face_objects(count: u32) -> u32 {
    let objects: Vec<_> = (0..count).map(|_| ThreadLocal::new(Counter::new)).collect();
    for (n, object) in objects.iter().enumerate() {
        for _ in 0..n % 4 {
            object.with(Counter::next);
        }
    }
    let right = |(n, object): (usize, &ThreadLocal<Counter>)| {
        object.with_existing(Counter::next).unwrap_or(1) as usize == n % 4 + 1
    };
    objects.iter().enumerate().filter(|&pair| right(pair)).count() as u32
}

/// The number of live values with a destructor.
#[no_mangle]
pub extern "C" fn face_alive() -> usize {
    MADE.load(SeqCst).wrapping_sub(DROPPED.load(SeqCst))
}

extern "C" {
    fn pthread_create(
        thread: *mut usize,
        attributes: *const c_void,
        main: extern "C" fn(*mut c_void) -> *mut c_void,
        argument: *mut c_void,
    ) -> i32;
    fn pthread_join(thread: usize, result: *mut *mut c_void) -> i32;
}

/// Null if a new thread's values are its own.
extern "C" fn thread(shared: *mut c_void) -> *mut c_void {
    // SAFETY: `face_check` joins this thread before it drops the object.
    let shared = unsafe { &*shared.cast::<ThreadLocal<Counter>>() };
    let right = COUNTER.with_existing(|_| ()).is_none()
        && (1..=3)
            .all(|n| face_next() == n && face_plain() == n && shared.with(Counter::next) == n)
        && COUNTER.with_existing(Counter::next) == Some(4)
        && face_objects(40) == 40;
    if right {
        null_mut()
    } else {
        shared as *const ThreadLocal<Counter> as *mut c_void
    }
}

/// Uses statics and objects in this thread and in three others at once, twice, and counts the values that are destroyed.
#[no_mangle]
pub extern "C" fn face_check() -> i32 {
    let has_word = is_signal_safe();
    let (count, plain) = (face_next(), face_plain());
    let shared = Box::new(ThreadLocal::new(Counter::new));
    shared.with(Counter::next);
    let alive = face_alive();
    for _ in 0..2 {
        let mut threads = [0; 3];
        for id in &mut threads {
            let argument: *const ThreadLocal<Counter> = &*shared;
            // SAFETY: `id` is valid for a write; `thread` accepts the argument.
            if unsafe { pthread_create(id, null(), thread, argument as *mut c_void) } != 0 {
                return 1;
            }
        }
        for id in threads {
            let mut result = null_mut();
            // SAFETY: the thread was created here, and is joined once.
            if unsafe { pthread_join(id, &mut result) } != 0 || !result.is_null() {
                return 2;
            }
        }
        if face_alive() != alive {
            return 3;
        }
    }
    if count == 0 || face_next() != count + 1 || face_plain() != plain + 1 {
        return 4;
    }
    if shared.with(Counter::next) != 2 || CORRUPT.load(SeqCst) != 0 {
        return 5;
    }
    drop(shared);
    if face_alive() != alive - 1 {
        return 6;
    }
    match (has_word, is_signal_safe()) {
        (true, true) => HAS_WORD,
        (false, false) => HAS_NO_WORD,
        _ => 7,
    }
}
