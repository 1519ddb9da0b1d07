//! Fiber-local storage: `FlsAlloc`, `FlsGetValue`, `FlsSetValue`, `FlsFree` of kernel32 (Windows Vista and later).
//!
//! Values are per fiber; a thread without fibers counts as one. The bindings are written by hand, because the crate does not depend on
//! windows-sys; `ci/check-types` compares them with it.

use super::{Destructor, Keys};
use crate::sys::System;
use core::ffi::c_void;

/// FLS_OUT_OF_INDEXES
const OUT_OF_INDEXES: u32 = u32::MAX;

#[link(name = "kernel32")]
extern "system" {
    fn FlsAlloc(callback: Option<Destructor>) -> u32;
    fn FlsGetValue(index: u32) -> *mut c_void;
    fn FlsSetValue(index: u32, value: *const c_void) -> i32;
    fn FlsFree(index: u32) -> i32;
    fn GetLastError() -> u32;
    fn SetLastError(code: u32);
}

/// Runs `f` and preserves the last error: a program may call `with` between a failed call and `GetLastError`, and even successful calls
/// clear the last error.
#[inline(always)]
pub(crate) fn keeping_last_error<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: no preconditions.
    let error = unsafe { GetLastError() };
    let result = f();
    if error != 0 {
        // SAFETY: no preconditions.
        unsafe { SetLastError(error) };
    }
    result
}

impl Keys for System {
    type Key = u32;

    /// The system calls the callback once, even if it sets a value.
    #[cfg(feature = "alloc")]
    const DESTRUCTOR_REPEATS: bool = false;

    #[inline(always)]
    fn to_bits(key: u32) -> usize {
        key as usize
    }

    #[inline(always)]
    fn from_bits(bits: usize) -> u32 {
        bits as u32
    }

    fn create(destructor: Option<Destructor>) -> Option<u32> {
        // SAFETY: no preconditions. The caller of `set` ensures that the destructor accepts the value (`Keys::set`).
        match keeping_last_error(|| unsafe { FlsAlloc(destructor) }) {
            OUT_OF_INDEXES => None,
            key => Some(key),
        }
    }

    #[inline(always)]
    unsafe fn get(key: u32) -> *mut c_void {
        // SAFETY: the key is live (`Keys::get`).
        keeping_last_error(|| unsafe { FlsGetValue(key) })
    }

    unsafe fn set(key: u32, value: *mut c_void) -> bool {
        // SAFETY: the key is live, and its destructor accepts the value (`Keys::set`).
        keeping_last_error(|| unsafe { FlsSetValue(key, value) != 0 })
    }

    unsafe fn delete(key: u32) {
        // SAFETY: the key is live, and not used again (`Keys::delete`).
        let result = keeping_last_error(|| unsafe { FlsFree(key) });
        debug_assert_ne!(result, 0);
    }
}

#[cfg(feature = "ffi-check")] // compares every binding above with windows-sys's: see ci/check-types
#[path = "../../../dev/ffi-check/src/fls.rs"]
mod ffi_check;
