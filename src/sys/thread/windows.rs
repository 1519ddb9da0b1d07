//! Windows: the callbacks of fiber-local storage run at the end of threads and of the process, so this module needs no hooks for them.
//! There is no fork.

use super::{Hooks, Threads};
use crate::sys::key::fls::keeping_last_error;
use crate::sys::System;
use core::ffi::c_void;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering};

/// GET_MODULE_HANDLE_EX_FLAG_PIN
const PIN: u32 = 1;
/// GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS
const FROM_ADDRESS: u32 = 4;

#[link(name = "kernel32")]
extern "system" {
    fn SwitchToThread() -> i32;
    fn GetModuleHandleExW(flags: u32, address: *const u16, module: *mut *mut c_void) -> i32;
    fn GetModuleHandleW(name: *const u16) -> *mut c_void;
    fn GetProcAddress(module: *mut c_void, name: *const u8) -> *mut c_void;
}

/// `RtlDllShutdownInProgress` of ntdll, or null. Written once by `install_hooks`.
static SHUTDOWN_IN_PROGRESS: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

impl Threads for System {
    fn yield_now() {
        // SAFETY: no preconditions.
        keeping_last_error(|| unsafe { SwitchToThread() });
    }

    /// `ExitProcess` kills all other threads wherever they are, and then runs the callbacks of the calling thread.
    fn other_threads_were_killed() -> bool {
        let function = SHUTDOWN_IN_PROGRESS.load(Ordering::Relaxed);
        if function.is_null() {
            return false;
        }
        // SAFETY: the pointer is not null, so it is ntdll's `BOOLEAN NTAPI RtlDllShutdownInProgress(void)`.
        unsafe { mem::transmute::<*mut c_void, unsafe extern "system" fn() -> u8>(function)() != 0 }
    }

    /// Pins the DLL that contains this code: the system keeps a pointer to the callback.
    fn install_hooks(hooks: &'static Hooks) -> bool {
        let mut module = ptr::null_mut();
        let ntdll: [u16; 6] = [b'n', b't', b'd', b'l', b'l', 0].map(u16::from);
        keeping_last_error(|| {
            // SAFETY: both names end with a zero; ntdll is in every process and is never unloaded.
            let function = unsafe {
                let ntdll = GetModuleHandleW(ntdll.as_ptr());
                GetProcAddress(ntdll, b"RtlDllShutdownInProgress\0".as_ptr())
            };
            SHUTDOWN_IN_PROGRESS.store(function, Ordering::Relaxed);
        });
        // SAFETY: with FROM_ADDRESS the "name" is an address inside the module; `module` is valid for a write.
        keeping_last_error(|| unsafe {
            GetModuleHandleExW(PIN | FROM_ADDRESS, (hooks as *const Hooks).cast(), &mut module)
        });
        false
    }
}

#[cfg(feature = "ffi-check")] // compares every binding above with windows-sys's: see ci/check-types
#[path = "../../../dev/ffi-check/src/windows.rs"]
mod ffi_check;
