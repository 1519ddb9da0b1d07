//! POSIX thread-specific data: `pthread_key_create(3p)`, `pthread_getspecific(3p)`, `pthread_setspecific(3p)`,
//! `pthread_key_delete(3p)`.
//!
//! The bindings are written by hand because the crate is used where there is no libc crate. They are compared with the
//! libc crate's for every target it knows by `ci/check-types`.

use super::{Destructor, Keys};
use crate::sys::System;
use core::ffi::c_void;

/// `pthread_key_t`, as each system's `<sys/types.h>` has it. 0 is a valid key on most of them.
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

/// Whether a new key is null in every thread, also if its number was in use before.
///
/// Emscripten's `pthread_key_delete` left the values in place until its pull request 18111 (end of 2022). A key that it hands out
/// again would then give the pointers of its former owner, so the crate takes no key from such a libc. A program that deletes no keys can
/// run there nevertheless: `--cfg os_thread_local_trust_new_keys`.
#[cfg(all(target_os = "emscripten", not(os_thread_local_trust_new_keys)))]
fn new_keys_are_null() -> bool {
    use core::sync::atomic::{AtomicU8, Ordering};

    /// 0: not known yet, 1: no, 2: yes.
    static ANSWER: AtomicU8 = AtomicU8::new(0);

    let mut answer = ANSWER.load(Ordering::Relaxed);
    if answer == 0 {
        // The libc hands out the number that it got back last. If another thread gets it first, this thread finds null.
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

    /// POSIX: a destructor that sets the value again is called again, PTHREAD_DESTRUCTOR_ITERATIONS times at the least. These systems
    /// call each destructor once, and do not null the value before.
    #[cfg(feature = "alloc")]
    const DESTRUCTOR_REPEATS: bool =
        !cfg!(any(target_os = "espidf", target_os = "haiku", target_os = "nuttx"));

    #[inline(always)]
    fn to_bits(key: Key) -> usize {
        key as usize
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
        // SAFETY: `key` is valid for a write. The destructor's own contract is its provider's.
        match unsafe { pthread_key_create(&mut key, destructor) } {
            0 => Some(key),
            // EAGAIN (no key left) and ENOMEM: either way there is none.
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

    unsafe fn delete(key: Key) {
        // SAFETY: the key is live, and not used again (`Keys::delete`).
        let result = unsafe { pthread_key_delete(key) };
        debug_assert_eq!(result, 0);
    }
}

#[cfg(feature = "ffi-check")] // compares every binding above with the libc crate's: see ci/check-types
#[path = "../../../dev/ffi-check/src/pthread.rs"]
mod ffi_check;
