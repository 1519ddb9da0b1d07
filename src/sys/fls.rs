//! Fiber-local storage: `FlsAlloc`, `FlsGetValue`, `FlsSetValue`, `FlsFree` of kernel32 (Windows Vista and later).
//!
//! Values are per fiber; a thread that has no fibers is one. The bindings are written by hand because the crate does
//! without windows-sys; they are compared with it by `ci/check-types`.

use super::Destructor;
#[cfg(feature = "alloc")]
use super::Hooks;
use core::ffi::c_void;
#[cfg(feature = "alloc")]
use core::{
    mem, ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

pub(crate) type Key = u32;

/// FLS_OUT_OF_INDEXES
const OUT_OF_INDEXES: u32 = u32::MAX;
/// GET_MODULE_HANDLE_EX_FLAG_PIN
#[cfg(feature = "alloc")]
const PIN: u32 = 1;
/// GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS
#[cfg(feature = "alloc")]
const FROM_ADDRESS: u32 = 4;

#[link(name = "kernel32")]
extern "system" {
    fn FlsAlloc(callback: Option<Destructor>) -> u32;
    fn FlsGetValue(index: u32) -> *mut c_void;
    fn FlsSetValue(index: u32, value: *const c_void) -> i32;
    fn FlsFree(index: u32) -> i32;
    fn GetLastError() -> u32;
    fn SetLastError(code: u32);
    #[cfg(feature = "alloc")]
    fn SwitchToThread() -> i32;
    #[cfg(feature = "alloc")]
    fn GetModuleHandleExW(flags: u32, address: *const u16, module: *mut *mut c_void) -> i32;
    #[cfg(feature = "alloc")]
    fn GetModuleHandleW(name: *const u16) -> *mut c_void;
    #[cfg(feature = "alloc")]
    fn GetProcAddress(module: *mut c_void, name: *const u8) -> *mut c_void;
}

/// The callback comes once, whatever it sets.
#[cfg(feature = "alloc")]
pub(crate) const DESTRUCTOR_REPEATS: bool = false;

#[inline(always)]
pub(crate) fn to_bits(key: Key) -> usize {
    key as usize
}

#[inline(always)]
pub(crate) fn from_bits(bits: usize) -> Key {
    bits as Key
}

/// Runs `f` and leaves the last error as it was: a caller of `with` may stand between a failed call and its
/// `GetLastError`, and even successful calls clear it.
#[inline(always)]
fn keeping_last_error<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: no preconditions.
    let error = unsafe { GetLastError() };
    let result = f();
    if error != 0 {
        // SAFETY: no preconditions.
        unsafe { SetLastError(error) };
    }
    result
}

pub(crate) fn create(destructor: Option<Destructor>) -> Option<Key> {
    // SAFETY: no preconditions. The destructor's own contract is its provider's.
    match keeping_last_error(|| unsafe { FlsAlloc(destructor) }) {
        OUT_OF_INDEXES => None,
        key => Some(key),
    }
}

/// # Safety
/// `create` returned the key, and it has not been deleted.
#[inline(always)]
pub(crate) unsafe fn get(key: Key) -> *mut c_void {
    // SAFETY: the key is live, as the caller promises.
    keeping_last_error(|| unsafe { FlsGetValue(key) })
}

/// # Safety
/// As for `get`; and the value must be one that the key's destructor accepts.
pub(crate) unsafe fn set(key: Key, value: *mut c_void) -> bool {
    // SAFETY: the key is live, as the caller promises.
    keeping_last_error(|| unsafe { FlsSetValue(key, value) != 0 })
}

/// # Safety
/// As for `get`; the key must not be used again.
pub(crate) unsafe fn delete(key: Key) {
    // SAFETY: the key is live, as the caller promises.
    let result = keeping_last_error(|| unsafe { FlsFree(key) });
    debug_assert_ne!(result, 0);
}

#[cfg(feature = "alloc")]
pub(crate) fn yield_now() {
    // SAFETY: no arguments, no preconditions.
    keeping_last_error(|| unsafe { SwitchToThread() });
}

/// `RtlDllShutdownInProgress` of ntdll, or null. Written once by `install_hooks`.
#[cfg(feature = "alloc")]
static SHUTDOWN_IN_PROGRESS: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// `ExitProcess` stops all other threads where they are, and then calls the callbacks of the one that is left.
#[cfg(feature = "alloc")]
pub(crate) fn other_threads_were_killed() -> bool {
    let function = SHUTDOWN_IN_PROGRESS.load(Ordering::Relaxed);
    if function.is_null() {
        return false;
    }
    // SAFETY: not null, so it is ntdll's function of that name, `BOOLEAN NTAPI RtlDllShutdownInProgress(void)`.
    unsafe { mem::transmute::<*mut c_void, unsafe extern "system" fn() -> u8>(function)() != 0 }
}

/// Windows calls the callbacks of the exiting thread when the process ends, and has no fork. What remains is that the
/// DLL this code is in must not be unloaded: the callback would be gone.
#[cfg(feature = "alloc")]
pub(crate) fn install_hooks(hooks: &'static Hooks) -> bool {
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

/// There is no list of the kind: the callback is all.
#[cfg(feature = "alloc")]
pub(crate) fn at_thread_exit(_: &'static Hooks) {}

#[cfg(feature = "ffi-check")] // compares every binding above with windows-sys's: see ci/check-types
#[path = "../../ci/ffi-check/src/fls.rs"]
mod ffi_check;
