//! POSIX thread-specific data: `pthread_key_create(3p)`, `pthread_getspecific(3p)`, `pthread_setspecific(3p)`,
//! `pthread_key_delete(3p)`.
//!
//! The bindings are written by hand, because the crate is used where there is no libc crate. `ci/check-types` compares them with those
//! of the libc crate for every target that it supports.

use super::{Destructor, Keys};
use crate::sys::System;
use core::ffi::c_void;

/// `pthread_key_t`, as in each system's `<sys/types.h>`. 0 is a valid key on most systems.
#[cfg(any(
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "haiku",
    target_os = "hurd",
    target_os = "netbsd",
    target_os = "nto",
    target_os = "nuttx",
    target_os = "openbsd",
    target_os = "qurt",
))]
type Key = i32;
#[cfg(any(
    target_vendor = "apple",  // unsigned long: as wide as a pointer in each of Apple's ABIs
    target_os = "vxworks",    // unsigned long
    target_os = "cygwin",     // a pointer
    target_os = "redox",      // size_t
))]
type Key = usize;
#[cfg(not(any(
    target_os = "android",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "haiku",
    target_os = "hurd",
    target_os = "netbsd",
    target_os = "nto",
    target_os = "nuttx",
    target_os = "openbsd",
    target_os = "qurt",
    target_vendor = "apple",
    target_os = "vxworks",
    target_os = "cygwin",
    target_os = "redox",
)))]
type Key = u32;

extern "C" {
    fn pthread_key_create(key: *mut Key, destructor: Option<Destructor>) -> i32;
    fn pthread_key_delete(key: Key) -> i32;
    fn pthread_getspecific(key: Key) -> *mut c_void;
    fn pthread_setspecific(key: Key, value: *const c_void) -> i32;
}

/// Whether a new key is null in every thread, even if its number was used before.
///
/// Emscripten's `pthread_key_delete` left the values in place until its pull request 18111 (end of 2022). A new key with the same number
/// would then return another key's pointers, so the crate creates no key with such a libc. A program that deletes no keys can override
/// this: `--cfg os_thread_local_trust_new_keys`.
#[cfg(all(target_os = "emscripten", not(os_thread_local_trust_new_keys)))]
fn new_keys_are_null() -> bool {
    use core::sync::atomic::{AtomicU8, Ordering};

    /// 0: unknown, 1: no, 2: yes.
    static ANSWER: AtomicU8 = AtomicU8::new(0);

    let mut answer = ANSWER.load(Ordering::Relaxed);
    if answer == 0 {
        // The libc reuses the number that was freed last. If another thread gets it first, this thread's value is null.
        let mut stale = false;
        let (mut first, mut second) = (0, 0);
        // SAFETY: the keys are live from their creation to their deletion, and have no destructor.
        unsafe {
            if pthread_key_create(&mut first, None) == 0 {
                pthread_setspecific(first, (&ANSWER as *const AtomicU8).cast());
                pthread_key_delete(first);
                if pthread_key_create(&mut second, None) == 0 {
                    stale = !pthread_getspecific(second).is_null();
                    pthread_setspecific(second, core::ptr::null());
                    pthread_key_delete(second);
                }
            }
        }
        answer = if stale { 1 } else { 2 };
        ANSWER.store(answer, Ordering::Relaxed);
    }
    answer == 2
}

impl Keys for System {
    type Key = Key;

    /// POSIX calls a destructor that sets a value again, for at least PTHREAD_DESTRUCTOR_ITERATIONS rounds. The systems below call each
    /// destructor once, and do not set the value to null before.
    #[cfg(feature = "alloc")]
    const DESTRUCTOR_REPEATS: bool =
        !cfg!(any(target_os = "espidf", target_os = "haiku", target_os = "nuttx"));

    /// Zero-extended where keys are 32 bits wide: bionic's are negative as an `int`, and must fit half a word.
    #[inline(always)]
    #[allow(clippy::unnecessary_cast)] // on some systems it is none
    fn to_bits(key: Key) -> usize {
        if core::mem::size_of::<Key>() == 4 {
            key as u32 as usize
        } else {
            key as usize
        }
    }

    #[inline(always)]
    fn from_bits(bits: usize) -> Key {
        bits as Key
    }

    fn create(destructor: Option<Destructor>) -> Option<Key> {
        #[cfg(all(target_os = "emscripten", not(os_thread_local_trust_new_keys)))]
        if !new_keys_are_null() {
            return None;
        }
        let mut key = 0;
        // SAFETY: `key` is valid for a write. The caller of `set` ensures that the destructor accepts the value (`Keys::set`).
        match unsafe { pthread_key_create(&mut key, destructor) } {
            0 => Some(key),
            // EAGAIN (no key left) or ENOMEM.
            _ => None,
        }
    }

    #[inline(always)]
    unsafe fn get(key: Key) -> *mut c_void {
        // SAFETY: the key is live (`Keys::get`).
        unsafe { pthread_getspecific(key) }
    }

    unsafe fn set(key: Key, value: *mut c_void) -> bool {
        // SAFETY: the key is live, and its destructor accepts the value (`Keys::set`).
        unsafe { pthread_setspecific(key, value) == 0 }
    }

    /// Not in musl and what descends from it, Apple's libc and bionic, which have an array in each thread.
    #[cfg(feature = "alloc")]
    const MAY_ALLOCATE: bool = !cfg!(any(
        target_env = "musl",
        target_os = "android",
        target_os = "emscripten",
        target_os = "wasi",
        target_vendor = "apple",
    ));

    /// glibc's `pthread_getspecific` takes a value whose sequence number is not stored yet for one of a deleted key.
    #[cfg(feature = "alloc")]
    const GET_MAY_CLEAR: bool = cfg!(target_env = "gnu");

    /// glibc has an array for the first 32 keys (`pthread_setspecific.c`).
    #[cfg(feature = "alloc")]
    fn set_may_allocate(key: Key) -> bool {
        Self::MAY_ALLOCATE && !(cfg!(target_env = "gnu") && Self::to_bits(key) < 32)
    }

    unsafe fn delete(key: Key) {
        // SAFETY: the key is live, and not used again (`Keys::delete`).
        let result = unsafe { pthread_key_delete(key) };
        debug_assert_eq!(result, 0);
    }
}

#[cfg(feature = "ffi-check")] // compares every binding above with the libc crate's: see ci/check-types
#[path = "../../../dev/ffi-check/src/pthread.rs"]
mod ffi_check;
