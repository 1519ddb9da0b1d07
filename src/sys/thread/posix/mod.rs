//! The hooks of POSIX systems other than a key's destructor (thread-exit list, process exit, fork), library pinning, and
//! `sched_yield(3p)`.
//!
//! - The thread-exit list runs in order with the destructors of C++'s and std's thread-locals, before those of keys. `exit` runs the list
//!   of the thread that calls it.
//! - Without such a list, `atexit(3p)` covers process exit.
//! - After `dlclose(3p)` of the library that contains this code, the system would call a key destructor that is not mapped any more. So
//!   the first use opens a handle of the library, which is never closed. There is nothing to pin in a program.
//! - Only the handle and the fork handlers are for all values; the rest is installed with the first value that has a destructor. So a
//!   first use takes the loader's lock no earlier than it must.
//!
//! A libc may lack some of these functions, and that must not be a link error. The program says what its libc lacks:
//! `--cfg os_thread_local_no_loader` (no `dlsym`, `dladdr`, `dlopen`) and `--cfg os_thread_local_keys_only` (nor `atexit`,
//! `pthread_atfork`, `getpid`).

#![allow(dead_code, unused_imports)] // each system uses its part; Miri, none: the key's destructor remains

mod exit_list;
mod loader;
mod process;

use super::{Hooks, Threads};
use crate::sys::program::{module, Module};
use crate::sys::System;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// `pthread_t`: an integer or a pointer. Of 32 bits, the upper half of the register is undefined where a word has 64.
#[cfg(any(
    target_os = "aix",
    target_os = "illumos",
    target_os = "nto",
    target_os = "nuttx",
    target_os = "qurt",
    target_os = "solaris",
))]
type Thread = u32;
#[cfg(not(any(
    target_os = "aix",
    target_os = "illumos",
    target_os = "nto",
    target_os = "nuttx",
    target_os = "qurt",
    target_os = "solaris",
)))]
type Thread = usize;

extern "C" {
    fn sched_yield() -> i32;
    fn pthread_self() -> Thread;
}

// The defaults for what a system lacks: an import by name takes precedence over a glob import.
use self::missing::*;

#[cfg(all(
    any(
        target_os = "android",
        target_os = "dragonfly",
        target_os = "freebsd",
        target_os = "fuchsia",
        target_os = "hurd",
        target_os = "illumos",
        target_os = "linux",
        target_os = "netbsd",
        target_os = "solaris",
        target_vendor = "apple",
    ),
    // A static executable has no loader and nothing to unload. Other programs without a loader set a cfg.
    not(target_feature = "crt-static"),
    not(os_thread_local_no_loader),
    not(os_thread_local_keys_only),
))]
use self::loader::{find_thread_exit_list, pin_library, HAS_LOADER};

#[cfg(not(any(
    os_thread_local_keys_only,
    target_os = "emscripten",
    target_os = "espidf",
    target_os = "fuchsia",
    target_os = "horizon",
    target_os = "l4re",
    target_os = "nuttx",
    target_os = "qurt",
    target_os = "rtems",
    target_os = "vita",
    target_os = "vxworks",
    target_os = "wasi",
)))]
use self::process::{at_exit, at_fork, process_id, HAS_PROCESSES};

mod missing {
    type Handler = unsafe extern "C" fn();

    pub(super) const HAS_LOADER: bool = false;
    pub(super) const HAS_PROCESSES: bool = false;

    pub(super) fn find_thread_exit_list() -> *mut core::ffi::c_void {
        core::ptr::null_mut()
    }

    pub(super) fn pin_library() {}

    pub(super) fn at_exit(_: extern "C" fn()) {}

    pub(super) fn at_fork(_: Handler, _: Handler, _: Handler) -> bool {
        false
    }

    pub(super) fn process_id() -> usize {
        1
    }
}

impl Threads for System {
    fn yield_now() {
        // SAFETY: no arguments, no preconditions.
        unsafe {
            sched_yield();
        }
    }

    const HAS_FORK: bool = HAS_PROCESSES && !cfg!(miri);

    fn process_id() -> usize {
        process_id()
    }

    #[allow(clippy::unnecessary_cast)] // on some systems it is none
    fn thread_id() -> usize {
        // SAFETY: no preconditions.
        unsafe { pthread_self() as usize }
    }

    #[cfg(not(miri))]
    fn install_hooks(hooks: &'static Hooks) -> bool {
        if HAS_LOADER && is_unloadable() {
            pin_library();
        }
        at_fork(hooks.before_fork, hooks.after_fork_in_parent, hooks.after_fork_in_child)
    }

    fn at_thread_exit(hooks: &'static Hooks) {
        /// Set when `process_exit` is registered. Threads that race register it more than once, which does no harm.
        static AT_EXIT: AtomicBool = AtomicBool::new(false);

        if !exit_list::register(hooks) && !AT_EXIT.load(Relaxed) && !cfg!(miri) {
            at_exit(hooks.process_exit);
            AT_EXIT.store(true, Relaxed);
        }
    }
}

/// Whether the system may unload this code. Not a program's; nor a library's where `dlclose(3)` unloads nothing (musl, "Functional
/// differences from glibc").
fn is_unloadable() -> bool {
    !cfg!(all(target_os = "linux", target_env = "musl")) && module() != Module::Program
}

#[cfg(feature = "ffi-check")] // compares every binding above with the libc crate's: see ci/check-types
#[path = "../../../../dev/ffi-check/src/posix.rs"]
mod ffi_check;
