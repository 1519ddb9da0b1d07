//! The thread-exit list of the C library: `__cxa_thread_atexit_impl` (glibc 2.18, Android 6, FreeBSD, Fuchsia; found at run time, musl
//! has none) and `_tlv_atexit` (Apple).

use crate::sys::Hooks;

/// Apple's, which every version has.
#[cfg(all(target_vendor = "apple", not(miri)))]
mod imp {
    use super::Hooks;
    use core::ffi::c_void;
    use core::ptr;

    extern "C" {
        fn _tlv_atexit(run: unsafe extern "C" fn(*mut c_void), argument: *mut c_void);
    }

    pub(crate) fn exists() -> bool {
        true
    }

    pub(crate) fn register(hooks: &'static Hooks) {
        // SAFETY: `thread_exit` may be called at any time on any thread, with any argument.
        unsafe { _tlv_atexit(hooks.thread_exit, ptr::null_mut()) }
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

    /// `__cxa_thread_atexit_impl`; `absent()` where there is none; null until a thread has looked.
    static FUNCTION: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

    fn absent() -> *mut c_void {
        ptr::null_mut::<u8>().wrapping_add(1).cast()
    }

    /// Any thread may be the first to look, and all find the same.
    fn function() -> Option<*mut c_void> {
        let mut function = FUNCTION.load(Ordering::Relaxed);
        if function.is_null() {
            function = find_thread_exit_list();
            if function.is_null() {
                function = absent();
            }
            FUNCTION.store(function, Ordering::Relaxed);
        }
        if function == absent() {
            None
        } else {
            Some(function)
        }
    }

    pub(crate) fn exists() -> bool {
        function().is_some()
    }

    pub(crate) fn register(hooks: &'static Hooks) {
        let function = match function() {
            Some(function) => function,
            None => return,
        };
        // SAFETY: it is the function of that name, whose type this is in every system that has it.
        let register = unsafe { mem::transmute::<*mut c_void, Register>(function) };
        // Any address inside our library says which one it is.
        let here = &FUNCTION as *const AtomicPtr<c_void> as *mut c_void;
        // SAFETY: `thread_exit` may be called at any time on any thread, with any argument. A failure changes nothing.
        unsafe { register(hooks.thread_exit, ptr::null_mut(), here) };
    }
}

/// Whether there is a list. Miri has none, and `--cfg os_thread_local_no_exit_list` leaves it alone: the key's destructor then does
/// all the work.
pub(super) fn exists() -> bool {
    let forced_off = cfg!(os_thread_local_no_exit_list) || cfg!(miri);
    !forced_off && imp::exists()
}

/// Registers `thread_exit` for the calling thread, if there is a list.
pub(super) fn register(hooks: &'static Hooks) {
    if exists() {
        imp::register(hooks)
    }
}
