//! The one pointer per task that os-thread-local needs.

use crate::kernel;
use core::ffi::c_void;

struct Backend;

// SAFETY: every task and the interrupt handlers have a cell of their own, which starts out null and which nothing else
// writes; `task_main` calls `task_exit`.
unsafe impl os_thread_local::custom::Backend for Backend {
    #[inline]
    fn get() -> *mut c_void {
        kernel::local_cell().get()
    }

    #[inline]
    unsafe fn set(value: *mut c_void) -> bool {
        kernel::local_cell().set(value);
        true
    }

    fn relax() {
        // The task that holds the lock cannot run before the handler has returned.
        assert!(!kernel::in_handler(), "a handler waits for the task that it interrupted");
        kernel::yield_now();
    }
}

os_thread_local::set_backend!(Backend);
