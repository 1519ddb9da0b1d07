//! Targets without threads (wasm32-unknown-unknown, wasm32-wasip1): a key is an index into a plain array.
//!
//! The one thread never ends, so destructors of keys never run.

use super::Destructor;
#[cfg(feature = "alloc")]
use super::Hooks;
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

pub(crate) type Key = usize;

/// As many keys as POSIX promises at the least (_POSIX_THREAD_KEYS_MAX).
const KEYS: usize = 128;

#[allow(clippy::declare_interior_mutable_const)] // the initial value of the array, never used by itself
const NULL: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static VALUES: [AtomicPtr<c_void>; KEYS] = [NULL; KEYS];

/// 1 for each key that is taken.
#[allow(clippy::declare_interior_mutable_const)] // as above
const ZERO: AtomicUsize = AtomicUsize::new(0);
static TAKEN: [AtomicUsize; KEYS] = [ZERO; KEYS];

#[cfg(feature = "alloc")]
pub(crate) const DESTRUCTOR_REPEATS: bool = false;

#[inline(always)]
pub(crate) fn to_bits(key: Key) -> usize {
    key
}

#[inline(always)]
pub(crate) fn from_bits(bits: usize) -> Key {
    bits
}

pub(crate) fn create(_: Option<Destructor>) -> Option<Key> {
    let key = TAKEN.iter().position(|taken| taken.swap(1, Relaxed) == 0)?;
    VALUES[key].store(ptr::null_mut(), Relaxed);
    Some(key)
}

/// # Safety
/// `create` returned the key, and it has not been deleted.
#[inline(always)]
pub(crate) unsafe fn get(key: Key) -> *mut c_void {
    VALUES[key].load(Relaxed)
}

/// # Safety
/// As for `get`.
pub(crate) unsafe fn set(key: Key, value: *mut c_void) -> bool {
    VALUES[key].store(value, Relaxed);
    true
}

/// # Safety
/// As for `get`; the key must not be used again.
pub(crate) unsafe fn delete(key: Key) {
    TAKEN[key].store(0, Relaxed);
}

#[cfg(feature = "alloc")]
pub(crate) fn yield_now() {}

#[cfg(feature = "alloc")]
pub(crate) fn install_hooks(_: &'static Hooks) -> bool {
    false
}

#[cfg(feature = "alloc")]
pub(crate) fn at_thread_exit(_: &'static Hooks) {}

#[cfg(feature = "alloc")]
pub(crate) fn other_threads_were_killed() -> bool {
    false
}
