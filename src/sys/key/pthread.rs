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

impl Keys for System {
    type Key = Key;

    /// POSIX: a destructor that sets the value again is called again, PTHREAD_DESTRUCTOR_ITERATIONS times at the least.
    #[cfg(feature = "alloc")]
    const DESTRUCTOR_REPEATS: bool = true;

    #[inline(always)]
    fn to_bits(key: Key) -> usize {
        key as usize
    }

    #[inline(always)]
    fn from_bits(bits: usize) -> Key {
        bits as Key
    }

    fn create(destructor: Option<Destructor>) -> Option<Key> {
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
#[path = "../../../ci/ffi-check/src/pthread.rs"]
mod ffi_check;
