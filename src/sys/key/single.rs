//! Targets without threads (wasm32-unknown-unknown, wasm32-wasip1): a key is an index into an array.
//!
//! The only thread never ends, so destructors of keys never run.
//!
//! A module that is built for WebAssembly threads (`target_feature = "atomics"`) can run in several workers on one memory, which would
//! share one value. `build.rs` and `sys/key/mod.rs` select `unsupported` for it.

use super::{Destructor, Keys};
use crate::sys::System;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

/// The number of keys that POSIX guarantees (_POSIX_THREAD_KEYS_MAX).
const KEYS: usize = 128;

#[allow(clippy::declare_interior_mutable_const)] // the initial value of the array, never used by itself
const NULL: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static VALUES: [AtomicPtr<c_void>; KEYS] = [NULL; KEYS];

/// 1 for each key that is in use.
#[allow(clippy::declare_interior_mutable_const)] // the initial value of the array, never used by itself
const ZERO: AtomicUsize = AtomicUsize::new(0);
static TAKEN: [AtomicUsize; KEYS] = [ZERO; KEYS];

impl Keys for System {
    type Key = usize;

    #[cfg(feature = "alloc")]
    const DESTRUCTOR_REPEATS: bool = false;

    #[inline(always)]
    fn to_bits(key: usize) -> usize {
        key
    }

    #[inline(always)]
    fn from_bits(bits: usize) -> usize {
        bits
    }

    fn create(_: Option<Destructor>) -> Option<usize> {
        let key = TAKEN.iter().position(|taken| taken.swap(1, Relaxed) == 0)?;
        VALUES[key].store(ptr::null_mut(), Relaxed);
        Some(key)
    }

    #[inline(always)]
    unsafe fn get(key: usize) -> *mut c_void {
        VALUES[key].load(Relaxed)
    }

    unsafe fn set(key: usize, value: *mut c_void) -> bool {
        VALUES[key].store(value, Relaxed);
        true
    }

    unsafe fn delete(key: usize) {
        TAKEN[key].store(0, Relaxed);
    }
}
