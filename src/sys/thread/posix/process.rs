//! Systems with processes that exit and fork: `atexit(3p)`, `pthread_atfork(3p)`, `getpid(3p)`.

pub(super) const HAS_PROCESSES: bool = true;

type Handler = unsafe extern "C" fn();

extern "C" {
    pub(super) fn getpid() -> i32;
    #[cfg(not(target_os = "nto"))]
    pub(super) fn atexit(run: extern "C" fn()) -> i32;
    pub(super) fn pthread_atfork(
        prepare: Option<Handler>,
        parent: Option<Handler>,
        child: Option<Handler>,
    ) -> i32;
}

/// QNX defines `atexit` inline in `<stdlib.h>`: there is no symbol of that name.
#[cfg(target_os = "nto")]
unsafe fn atexit(run: extern "C" fn()) -> i32 {
    use core::ffi::c_void;
    extern "C" {
        static __dso_handle: *mut c_void;
        fn __cxa_atexit(run: extern "C" fn(), argument: *mut c_void, library: *mut c_void) -> i32;
    }
    // SAFETY: the header makes the same call. `run` ignores its argument.
    unsafe { __cxa_atexit(run, core::ptr::null_mut(), __dso_handle) }
}

pub(super) fn at_exit(run: extern "C" fn()) {
    // SAFETY: `process_exit` may be called at any time on any thread. If the call fails, the exiting thread's values are leaked.
    unsafe { atexit(run) };
}

/// Installs fork handlers. `false` if the system has no memory for them.
pub(super) fn at_fork(before: Handler, in_parent: Handler, in_child: Handler) -> bool {
    // SAFETY: the handlers may be called in any fork.
    unsafe { pthread_atfork(Some(before), Some(in_parent), Some(in_child)) == 0 }
}

/// The process id: `pid_t` is an `int` on all these systems, and positive.
pub(super) fn process_id() -> usize {
    // SAFETY: no preconditions.
    unsafe { getpid() as usize }
}
