//! An operating system with a few keys, and threads that end as POSIX's do: the exit list first, then destructors in rounds.

#[rustfmt::skip] // formatted where they are
#[path = "../../../src/sys/key/mod.rs"]
pub(crate) mod key;
#[rustfmt::skip] // as above
#[path = "../../../src/sys/thread/mod.rs"]
pub(crate) mod thread;

pub(crate) use self::key::{Destructor, Key, Keys};
pub(crate) use self::thread::{Hooks, Threads};
use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};

pub(crate) struct System;

/// Threads have an exit list.
pub static EXIT_LIST: AtomicBool = AtomicBool::new(false);

/// The process's id. A model that forks goes on in the child, which has the next one.
pub static PROCESS: AtomicUsize = AtomicUsize::new(1);

const MOST_KEYS: usize = 8;
/// The keys that are there, with their destructors.
static KEYS: Mutex<[Option<Destructor>; MOST_KEYS]> = Mutex::new([None; MOST_KEYS]);

fn keys() -> MutexGuard<'static, [Option<Destructor>; MOST_KEYS]> {
    KEYS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

type Values = Cell<[*mut c_void; MOST_KEYS]>;

// Of loom's threads, all of which run on one of the operating system's.
loom::thread_local! {
    static VALUES: Values = Cell::new([ptr::null_mut(); MOST_KEYS]);
    static LISTED: RefCell<Vec<unsafe extern "C" fn(*mut c_void)>> = RefCell::new(vec![]);
}
thread_local! {
    /// Outside of a model.
    static PLAIN: Values = const { Cell::new([ptr::null_mut(); MOST_KEYS]) };
}

fn with_values<R>(f: impl FnOnce(&Values) -> R) -> R {
    if core::in_model() {
        VALUES.with(f)
    } else {
        PLAIN.with(f)
    }
}

impl Keys for System {
    type Key = usize;

    const DESTRUCTOR_REPEATS: bool = true;

    fn to_bits(key: usize) -> usize {
        key
    }

    fn from_bits(bits: usize) -> usize {
        bits
    }

    fn create(destructor: Option<Destructor>) -> Option<usize> {
        let mut keys = keys();
        let key = keys.iter().position(Option::is_none)?;
        keys[key] = destructor;
        Some(key)
    }

    unsafe fn get(key: usize) -> *mut c_void {
        assert!(keys()[key].is_some(), "a deleted key is read");
        with_values(|values| values.get()[key])
    }

    unsafe fn set(key: usize, value: *mut c_void) -> bool {
        assert!(keys()[key].is_some(), "a deleted key is written");
        with_values(|values| {
            let mut all = values.get();
            all[key] = value;
            values.set(all);
        });
        true
    }

    unsafe fn delete(key: usize) {
        assert!(keys()[key].take().is_some(), "a key is deleted twice");
    }
}

impl Threads for System {
    fn yield_now() {
        if core::in_model() {
            loom::thread::yield_now();
        }
    }

    const HAS_FORK: bool = cfg!(feature = "fork");

    fn process_id() -> usize {
        PROCESS.load(SeqCst)
    }

    /// The fork handlers: `storage::fork` calls what `Hooks` has.
    fn install_hooks(_: &'static Hooks) -> bool {
        true
    }

    fn at_thread_exit(hooks: &'static Hooks) {
        if core::in_model() && EXIT_LIST.load(SeqCst) {
            LISTED.with(|list| list.borrow_mut().push(hooks.thread_exit));
        }
    }
}

/// Threads have no word: the sentinels are in the key's slot.
pub(crate) mod word {
    pub(crate) const SENTINEL: (usize, usize, u8) = (272, 268, 2);
    pub(crate) const POSSIBLE: bool = false;

    pub(crate) fn find() -> Option<isize> {
        None
    }

    pub(crate) unsafe fn read(_: isize) -> *mut core::ffi::c_void {
        unreachable!()
    }

    pub(crate) unsafe fn write(_: isize, _: *mut core::ffi::c_void) {
        unreachable!()
    }
}

/// What the system does when the calling thread ends: in a model.
pub fn end_of_thread() {
    while let Some(hook) = LISTED.with(|list| list.borrow_mut().pop()) {
        // SAFETY: the thread ends.
        unsafe { hook(ptr::null_mut()) };
    }
    end_of_thread_outside();
}

/// The same for the thread that has used the crate before the models.
pub fn end_of_thread_outside() {
    const ROUNDS: usize = 4;
    for _ in 0..ROUNDS {
        for key in 0..MOST_KEYS {
            let destructor = keys()[key];
            let value = take(key);
            if let (Some(destructor), false) = (destructor, value.is_null()) {
                // SAFETY: the thread ends, with its value.
                unsafe { destructor(value) };
            }
        }
    }
    for key in 0..MOST_KEYS {
        assert!(!crate::storage::is_record(take(key)), "left behind after the last round");
    }
}

fn take(key: usize) -> *mut c_void {
    with_values(|values| {
        let mut all = values.get();
        let value = std::mem::replace(&mut all[key], ptr::null_mut());
        values.set(all);
        value
    })
}

/// How many keys there are.
pub fn count_keys() -> usize {
    keys().iter().flatten().count()
}

/// Deletes all keys, for a model in which the root is created.
pub fn delete_keys() {
    *keys() = [None; MOST_KEYS];
}
