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

/// The crate must assume that setting a key calls the allocator.
pub static SET_MAY_ALLOCATE: AtomicBool = AtomicBool::new(false);

/// The process's id. A model that forks goes on in the child, which has the next one.
pub static PROCESS: AtomicUsize = AtomicUsize::new(1);
/// The number of calls of `process_id`.
pub static ASKED: AtomicUsize = AtomicUsize::new(0);

/// How often the crate's fork handlers are registered: those that were before the models are not counted.
static HANDLERS: AtomicUsize = AtomicUsize::new(0);
/// 1 if they were registered before the models.
static EARLIER_HANDLERS: AtomicUsize = AtomicUsize::new(0);
/// A fork is in progress. No handler is registered then: musl holds a lock, and so does glibc except while a handler runs.
static FORKING: AtomicBool = AtomicBool::new(false);

/// The beginning of an execution.
pub(crate) fn begin() {
    PROCESS.store(1, SeqCst);
    HANDLERS.store(0, SeqCst);
    FORKING.store(false, SeqCst);
}

/// How often the crate's fork handlers are registered.
pub fn count_handlers() -> usize {
    HANDLERS.load(SeqCst) + EARLIER_HANDLERS.load(SeqCst)
}

/// A fork begins. Returns how often its handlers must run.
pub fn begin_fork() -> usize {
    core::touch_forks();
    FORKING.store(true, SeqCst);
    count_handlers()
}

/// It ends, in the parent.
pub fn end_fork() {
    FORKING.store(false, SeqCst);
}

/// It ends, in the child.
pub fn enter_child() {
    PROCESS.fetch_add(1, SeqCst);
    end_fork();
}

const MOST_KEYS: usize = 8;
/// The keys that are there, with their destructors.
static KEYS: Mutex<[Option<Destructor>; MOST_KEYS]> = Mutex::new([None; MOST_KEYS]);

/// Whether each key was created: loom reports a thread that uses a key without having seen that.
static CREATED: Created = Created([NOT_CREATED; MOST_KEYS]);
const NOT_CREATED: core::cell::Cell<bool> = core::cell::Cell::new(false);
struct Created([core::cell::Cell<bool>; MOST_KEYS]);

// SAFETY: loom runs its threads one at a time.
unsafe impl Sync for Created {}

fn keys() -> MutexGuard<'static, [Option<Destructor>; MOST_KEYS]> {
    KEYS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

type Values = Cell<[*mut c_void; MOST_KEYS]>;

// Of loom's threads, all of which run on one of the operating system's.
loom::thread_local! {
    static VALUES: Values = Cell::new([ptr::null_mut(); MOST_KEYS]);
    static WORD: Cell<*mut c_void> = Cell::new(crate::storage::initial_word());
    static LISTED: RefCell<Vec<unsafe extern "C" fn(*mut c_void)>> = RefCell::new(vec![]);
    static THREAD: usize = THREADS.fetch_add(1, SeqCst);
}
static THREADS: AtomicUsize = AtomicUsize::new(1);
thread_local! {
    /// Outside of a model.
    static PLAIN: Values = const { Cell::new([ptr::null_mut(); MOST_KEYS]) };
    static PLAIN_WORD: Cell<*mut c_void> = Cell::new(crate::storage::initial_word());
}

fn with_word<R>(f: impl FnOnce(&Cell<*mut c_void>) -> R) -> R {
    if core::in_model() {
        WORD.with(f)
    } else {
        PLAIN_WORD.with(f)
    }
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
        CREATED.0[key].set(true);
        Some(key)
    }

    unsafe fn get(key: usize) -> *mut c_void {
        assert!(CREATED.0[key].get() && keys()[key].is_some(), "a deleted key is read");
        with_values(|values| values.get()[key])
    }

    unsafe fn set(key: usize, value: *mut c_void) -> bool {
        assert!(CREATED.0[key].get() && keys()[key].is_some(), "a deleted key is written");
        with_values(|values| {
            let mut all = values.get();
            all[key] = value;
            values.set(all);
        });
        true
    }

    fn set_may_allocate(_: usize) -> bool {
        SET_MAY_ALLOCATE.load(SeqCst)
    }

    unsafe fn delete(key: usize) {
        CREATED.0[key].set(false);
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
        ASKED.fetch_add(1, SeqCst);
        PROCESS.load(SeqCst)
    }

    fn thread_id() -> usize {
        if core::in_model() {
            THREAD.with(|&thread| thread)
        } else {
            0
        }
    }

    /// Counts the fork handlers: `storage::fork` calls what `Hooks` has.
    fn install_hooks(_: &'static Hooks) -> bool {
        if !core::in_model() {
            EARLIER_HANDLERS.store(1, SeqCst);
            return true;
        }
        loop {
            core::stop_if_left_behind(false);
            // No other thread runs between this and the registration.
            if !FORKING.load(SeqCst) {
                break;
            }
            loom::thread::yield_now();
        }
        HANDLERS.fetch_add(1, SeqCst);
        true
    }

    fn at_thread_exit(hooks: &'static Hooks) {
        if core::in_model() && EXIT_LIST.load(SeqCst) {
            LISTED.with(|list| list.borrow_mut().push(hooks.thread_exit));
        }
    }
}

/// With the feature `word`, threads have one. Without it the sentinels are in the key's slot.
pub(crate) mod word {
    use super::with_word;
    use std::ffi::c_void;

    pub(crate) const SENTINEL: (usize, usize, u8) = (272, 268, 2);
    pub(crate) const POSSIBLE: bool = cfg!(feature = "word");
    /// As on x86-64.
    const DISTANCE: isize = -8;

    pub(crate) fn find() -> Option<isize> {
        if POSSIBLE {
            Some(DISTANCE)
        } else {
            None
        }
    }

    pub(crate) unsafe fn read(distance: isize) -> *mut c_void {
        assert_eq!(distance, DISTANCE);
        with_word(|word| word.get())
    }

    pub(crate) unsafe fn write(distance: isize, value: *mut c_void) {
        assert_eq!(distance, DISTANCE);
        assert!(!value.is_null(), "the word leads to a record or to a sentinel");
        with_word(|word| word.set(value));
    }
}

/// Ends the calling thread as the system does, in a model.
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
    // With a word there is no second round. Without it, no value needs the last one.
    let needed = if word::POSSIBLE { 1 } else { ROUNDS - 1 };
    for round in 0..ROUNDS {
        for key in 0..MOST_KEYS {
            let destructor = keys()[key];
            let value = take(key);
            if let (Some(destructor), false) = (destructor, value.is_null()) {
                assert!(round < needed, "a value is left after {round} rounds");
                // SAFETY: the thread ends, with its value.
                unsafe { destructor(value) };
            }
        }
    }
    for key in 0..MOST_KEYS {
        assert!(!crate::storage::is_record(take(key)), "left behind after the last round");
    }
    let is_record = with_word(|word| crate::storage::is_record(word.get()));
    assert!(!is_record, "the word of an ended thread leads to a record");
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
