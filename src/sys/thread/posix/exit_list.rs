//! The thread-exit list of the C library: `__cxa_thread_atexit_impl` (glibc 2.18, Android 6, FreeBSD, Fuchsia; found at run time, musl
//! has none) and `_tlv_atexit` (Apple).

use crate::sys::Hooks;

/// Apple's function, which every version of the system has.
#[cfg(all(target_vendor = "apple", not(miri)))]
mod imp {
    use super::Hooks;
    use core::ffi::c_void;
    use core::ptr;

    extern "C" {
        fn _tlv_atexit(run: unsafe extern "C" fn(*mut c_void), argument: *mut c_void);
    }

    pub(crate) fn register(hooks: &'static Hooks) -> bool {
        // SAFETY: `thread_exit` may be called at any time on any thread, with any argument.
        unsafe { _tlv_atexit(hooks.thread_exit, ptr::null_mut()) };
        true
    }
}

#[cfg(not(all(target_vendor = "apple", not(miri))))]
mod imp {
    use super::super::find_thread_exit_list;
    use super::Hooks;
    use core::ffi::c_void;
    use core::sync::atomic::{AtomicPtr, Ordering};
    use core::{mem, ptr};

    type Register =
        unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, *mut c_void) -> i32;

    /// The address of `__cxa_thread_atexit_impl`, `absent()` if there is none, null before the first search.
    static FUNCTION: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

    fn absent() -> *mut c_void {
        ptr::null_mut::<u8>().wrapping_add(1).cast()
    }

    /// The address of `__cxa_thread_atexit_impl`. Several threads may search at once, and all find the same.
    fn function() -> Option<*mut c_void> {
        let mut function = FUNCTION.load(Ordering::Relaxed);
        if function.is_null() {
            function = find();
        }
        if function == absent() {
            None
        } else {
            Some(function)
        }
    }

    #[cold]
    #[inline(never)]
    fn find() -> *mut c_void {
        let mut function = find_thread_exit_list();
        if function.is_null() {
            function = absent();
        }
        FUNCTION.store(function, Ordering::Relaxed);
        function
    }

    pub(crate) fn register(hooks: &'static Hooks) -> bool {
        let function = match function() {
            Some(function) => function,
            None => return false,
        };
        // SAFETY: the address is that of `__cxa_thread_atexit_impl`, which has this type on every system that has it.
        let register = unsafe { mem::transmute::<*mut c_void, Register>(function) };
        // Any address inside the library that contains this code identifies it.
        let here = &FUNCTION as *const AtomicPtr<c_void> as *mut c_void;
        // SAFETY: `thread_exit` may be called at any time on any thread, with any argument. A failure changes nothing.
        unsafe { register(hooks.thread_exit, ptr::null_mut(), here) };
        true
    }
}

/// Miri has no thread-exit list, and `--cfg os_thread_local_no_exit_list` turns it off: then the key's destructor destroys all values.
const FORCED_OFF: bool = cfg!(os_thread_local_no_exit_list) || cfg!(miri);

/// Registers `thread_exit` for the calling thread. `false` if there is no list.
pub(super) fn register(hooks: &'static Hooks) -> bool {
    !FORCED_OFF && imp::register(hooks)
}
