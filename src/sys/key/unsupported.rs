//! Compile errors for builds without a backend, and stubs that avoid further errors.

use super::{Destructor, Keys};
use crate::sys::System;
use core::ffi::c_void;

#[cfg(all(os_thread_local_backend = "unsupported", not(target_family = "wasm")))]
compile_error!(
    "os-thread-local has no backend for this target. If it has threads or tasks of its own, build the program with \
     RUSTFLAGS='--cfg os_thread_local_backend=\"custom\"' and install a backend with `os_thread_local::set_backend!` \
     (see the module `custom`)"
);

#[cfg(any(
    all(os_thread_local_backend = "unsupported", target_family = "wasm"),
    all(os_thread_local_backend = "single", target_feature = "atomics"),
))]
compile_error!(
    "os-thread-local has no backend for WebAssembly threads (`-C target-feature=+atomics`) on this target: all workers \
     would share one value. Add `--cfg os_thread_local_backend=\"custom\"` to RUSTFLAGS and install a backend with \
     `os_thread_local::set_backend!` that keeps one pointer per worker (see the module `custom`), or build without `atomics`, or \
     for wasm32-wasip1-threads or wasm32-unknown-emscripten"
);

#[cfg(not(any(os_thread_local_backend = "unsupported", os_thread_local_backend = "single")))]
compile_error!(
    "os-thread-local: no backend is selected, because build.rs has not run. Pass one of these flags to rustc: \
     --cfg 'os_thread_local_backend=\"pthread\"' (POSIX systems), --cfg 'os_thread_local_backend=\"fls\"' (Windows), \
     --cfg 'os_thread_local_backend=\"single\"' (WebAssembly without threads), --cfg 'os_thread_local_backend=\"custom\"' \
     (a backend of your own). See docs/VENDORING.md"
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
