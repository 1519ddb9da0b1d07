//! Not a backend: the sentence for targets that have none, and stubs that keep other errors away from it.

use super::Destructor;
#[cfg(feature = "alloc")]
use super::Hooks;
use core::ffi::c_void;

compile_error!(
    "os-thread-local has no backend for this target. If it has tasks or threads of its own, enable the feature \
     `custom` and install two functions with `os_thread_local::set_backend!` (see the `custom` module)"
);

pub(crate) type Key = usize;
#[cfg(feature = "alloc")]
pub(crate) const DESTRUCTOR_REPEATS: bool = false;

pub(crate) fn to_bits(key: Key) -> usize {
    key
}

pub(crate) fn from_bits(bits: usize) -> Key {
    bits
}

pub(crate) fn create(_: Option<Destructor>) -> Option<Key> {
    None
}

pub(crate) unsafe fn get(_: Key) -> *mut c_void {
    core::ptr::null_mut()
}

pub(crate) unsafe fn set(_: Key, _: *mut c_void) -> bool {
    false
}

pub(crate) unsafe fn delete(_: Key) {}

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
