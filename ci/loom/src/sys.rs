//! An operating system with one key, and threads that end as POSIX's do: the exit list first, then destructors in rounds.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::ptr;
use std::sync::Mutex;

pub(crate) type Key = usize;
pub(crate) type Destructor = unsafe extern "system" fn(*mut c_void);
pub(crate) const DESTRUCTOR_REPEATS: bool = true;

pub(crate) struct Hooks {
    pub(crate) thread_exit: unsafe extern "C" fn(*mut c_void),
    pub(crate) process_exit: extern "C" fn(),
    pub(crate) before_fork: unsafe extern "C" fn(),
    pub(crate) after_fork: unsafe extern "C" fn(),
}

static DESTRUCTOR: Mutex<Option<Destructor>> = Mutex::new(None);

// Of the operating system's threads, on which loom runs its own: `Thread` puts in what belongs to the loom thread.
loom::thread_local! {
    static VALUE: Cell<*mut c_void> = Cell::new(ptr::null_mut());
    static LISTED: RefCell<Vec<unsafe extern "C" fn(*mut c_void)>> = RefCell::new(vec![]);
}
thread_local! {
    /// Outside of a model.
    static PLAIN: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

fn in_model() -> bool {
    core::in_model()
}

pub(crate) fn to_bits(key: Key) -> usize {
    key
}

pub(crate) fn from_bits(bits: usize) -> Key {
    bits
}

pub(crate) fn create(destructor: Option<Destructor>) -> Option<Key> {
    *DESTRUCTOR.lock().unwrap() = destructor;
    Some(0)
}

pub(crate) unsafe fn get(_: Key) -> *mut c_void {
    if in_model() {
        VALUE.with(Cell::get)
    } else {
        PLAIN.with(Cell::get)
    }
}

pub(crate) unsafe fn set(_: Key, value: *mut c_void) -> bool {
    if in_model() {
        VALUE.with(|v| v.set(value));
    } else {
        PLAIN.with(|v| v.set(value));
    }
    true
}

pub(crate) unsafe fn delete(_: Key) {}

pub(crate) fn install_hooks(_: &'static Hooks) {}

/// With the exit list or without it: `EXIT_LIST`.
pub(crate) fn at_thread_exit(hooks: &'static Hooks) {
    if in_model() && std::env::var_os("NO_EXIT_LIST").is_none() {
        LISTED.with(|list| list.borrow_mut().push(hooks.thread_exit));
    }
}

pub(crate) fn other_threads_were_killed() -> bool {
    false
}

pub(crate) mod direct {
    pub(crate) const POSSIBLE: bool = false;

    pub(crate) enum Refusal {
        UsedBefore,
        Unknown,
    }

    pub(crate) fn find(_: super::Key) -> Result<isize, Refusal> {
        Err(Refusal::Unknown)
    }

    pub(crate) unsafe fn read(_: isize) -> *mut core::ffi::c_void {
        unreachable!()
    }
}

/// What the system does when the calling thread ends.
pub fn end_of_thread() {
    loop {
        let listed = LISTED.with(|list| list.borrow_mut().pop());
        match listed {
            // SAFETY: the thread ends.
            Some(hook) => unsafe { hook(ptr::null_mut()) },
            None => break,
        }
    }
    let destructor = DESTRUCTOR.lock().unwrap().unwrap();
    for _ in 0..4 {
        let value = VALUE.with(|v| v.replace(ptr::null_mut()));
        if value.is_null() {
            return;
        }
        // SAFETY: the thread ends, with its value.
        unsafe { destructor(value) };
    }
    assert!(VALUE.with(Cell::get).is_null(), "left behind after the last round");
}

/// The same for the thread that has begun a model, outside of it.
pub fn end_of_plain_thread() {
    let destructor = DESTRUCTOR.lock().unwrap().unwrap();
    for _ in 0..4 {
        let value = PLAIN.with(|v| v.replace(ptr::null_mut()));
        if !value.is_null() {
            // SAFETY: the thread ends, with its value.
            unsafe { destructor(value) };
        }
    }
}
