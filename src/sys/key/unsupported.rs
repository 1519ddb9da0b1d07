//! Not a backend: the sentence for targets that have none, and stubs that keep other errors away from it.

use super::{Destructor, Keys};
use crate::sys::System;
use core::ffi::c_void;

compile_error!(
    "os-thread-local has no backend for this target. If it has tasks or threads of its own, enable the feature \
     `custom` and install two functions with `os_thread_local::set_backend!` (see the `custom` module)"
);

impl Keys for System {
    type Key = usize;

    #[cfg(feature = "alloc")]
    const DESTRUCTOR_REPEATS: bool = false;

    fn to_bits(key: usize) -> usize {
        key
    }

    fn from_bits(bits: usize) -> usize {
        bits
    }

    fn create(_: Option<Destructor>) -> Option<usize> {
        None
    }

    unsafe fn get(_: usize) -> *mut c_void {
        core::ptr::null_mut()
    }

    unsafe fn set(_: usize, _: *mut c_void) -> bool {
        false
    }

    unsafe fn delete(_: usize) {}
}
