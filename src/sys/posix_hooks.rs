//! What a POSIX system can tell us beside a key's destructor: the thread-exit list, process exit, fork; and how it is
//! kept from unloading the code that it will call.
//!
//! - The thread-exit list runs in order with the destructors of C++'s and std's thread-locals, before any key's. It is
//!   `__cxa_thread_atexit_impl` (glibc 2.18, Android 6, FreeBSD, Fuchsia; found at run time, musl has none) and
//!   `_tlv_atexit` (Apple). `exit` runs the list of the thread that calls it.
//! - Where there is no such list, `atexit(3p)` covers process exit.
//! - A library that is unloaded (`dlclose(3p)`) would leave the key's destructor pointing into nothing. So the first use
//!   takes a handle of the library that this code is in, which is never closed.

#![allow(dead_code, unused_imports)] // each system uses its part; Miri, none: the key's destructor remains

use super::Hooks;
use core::ffi::c_void;
use core::sync::atomic::{AtomicPtr, Ordering};
use core::{mem, ptr};

type RegisterThreadExit =
    unsafe extern "C" fn(unsafe extern "C" fn(*mut c_void), *mut c_void, *mut c_void) -> i32;

/// `__cxa_thread_atexit_impl`; `absent()` where there is none; null until somebody has looked.
static THREAD_EXIT_LIST: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

fn absent() -> *mut c_void {
    ptr::null_mut::<u8>().wrapping_add(1).cast()
}

/// Any thread may be the first to look, and all find the same.
fn thread_exit_list() -> Option<*mut c_void> {
    let mut list = THREAD_EXIT_LIST.load(Ordering::Relaxed);
    if list.is_null() {
        list = find_thread_exit_list();
        if list.is_null() {
            list = absent();
        }
        THREAD_EXIT_LIST.store(list, Ordering::Relaxed);
    }
    if list == absent() {
        None
    } else {
        Some(list)
    }
}

#[cfg(not(miri))]
pub(crate) fn install_hooks(hooks: &'static Hooks) -> bool {
    pin_library();
    if !has_exit_list() {
        at_exit(hooks.process_exit);
    }
    at_fork(hooks.before_fork, hooks.after_fork_in_parent, hooks.after_fork_in_child)
}

#[cfg(miri)]
pub(crate) fn install_hooks(_: &'static Hooks) -> bool {
    false
}

/// Processes are forked, and their children use the crate.
pub(crate) const HAS_FORK: bool = FORKS;

/// Not 0, and different in a parent and its child.
pub(crate) fn process_id() -> usize {
    current_process()
}

/// Whether `at_thread_exit` registers anything.
pub(crate) fn has_exit_list() -> bool {
    let forced_off = cfg!(os_thread_local_no_exit_list) || cfg!(miri);
    !forced_off && (cfg!(target_vendor = "apple") || thread_exit_list().is_some())
}

/// Registers `thread_exit` for the calling thread. Where it cannot be, the key's destructor does all the work.
pub(crate) fn at_thread_exit(hooks: &'static Hooks) {
    if !has_exit_list() {
        return;
    }
    #[cfg(all(target_vendor = "apple", not(miri)))]
    {
        extern "C" {
            fn _tlv_atexit(run: unsafe extern "C" fn(*mut c_void), argument: *mut c_void);
        }
        // SAFETY: `thread_exit` may be called at any time on any thread, with any argument.
        unsafe { _tlv_atexit(hooks.thread_exit, ptr::null_mut()) }
    }
    #[cfg(not(all(target_vendor = "apple", not(miri))))]
    {
        let function = match thread_exit_list() {
            Some(function) => function,
            None => return,
        };
        // SAFETY: it is the function of that name, whose type this is in every system that has it.
        let register = unsafe { mem::transmute::<*mut c_void, RegisterThreadExit>(function) };
        // Any address inside our library says which one it is.
        let here = &THREAD_EXIT_LIST as *const AtomicPtr<c_void> as *mut c_void;
        // SAFETY: `thread_exit` may be called at any time on any thread, with any argument. A failure changes nothing.
        unsafe { register(hooks.thread_exit, ptr::null_mut(), here) };
    }
}

// What a system lacks is a function that does nothing; an import by name goes before one by `*`.
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
    // A static executable has no loader to ask, and nothing to unload.
    not(target_feature = "crt-static"),
))]
use self::loader::{find_thread_exit_list, pin_library, HAS_LOADER};

#[cfg(not(any(
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
use self::process::{at_exit, at_fork, current_process, FORKS};

mod missing {
    pub(super) const HAS_LOADER: bool = false;
    pub(super) const FORKS: bool = false;

    pub(super) fn find_thread_exit_list() -> *mut core::ffi::c_void {
        core::ptr::null_mut()
    }

    pub(super) fn pin_library() {}

    pub(super) fn at_exit(_: extern "C" fn()) {}

    pub(super) fn at_fork(
        _: unsafe extern "C" fn(),
        _: unsafe extern "C" fn(),
        _: unsafe extern "C" fn(),
    ) -> bool {
        false
    }

    pub(super) fn current_process() -> usize {
        1
    }
}

/// Systems with a dynamic loader of the usual interface: `dlsym(3p)`, `dladdr(3)`, `dlopen(3p)`.
mod loader {
    use core::ffi::c_void;
    use core::ptr;

    /// `Dl_info`: four words in all of these. (Cygwin has the name itself in it.)
    #[repr(C)]
    pub(super) struct DlInfo {
        pub(super) file_name: *const u8,
        pub(super) base: *mut c_void,
        pub(super) symbol_name: *const u8,
        pub(super) symbol_address: *mut c_void,
    }

    extern "C" {
        pub(super) fn dlsym(handle: *mut c_void, name: *const u8) -> *mut c_void;
        pub(super) fn dladdr(address: *const c_void, info: *mut DlInfo) -> i32;
        pub(super) fn dlopen(file_name: *const u8, mode: i32) -> *mut c_void;
    }

    pub(super) const HAS_LOADER: bool = true; // for ffi_check: numbers are right where they are used

    /// The handle that searches every loaded library; a small integer dressed as a pointer.
    pub(super) const RTLD_DEFAULT: *mut c_void = {
        if cfg!(any(
            target_vendor = "apple",
            target_os = "dragonfly",
            target_os = "freebsd",
            target_os = "illumos",
            target_os = "netbsd",
            target_os = "solaris",
        )) {
            ptr::null_mut::<u8>().wrapping_sub(2).cast()
        } else if cfg!(all(target_os = "android", target_pointer_width = "32")) {
            ptr::null_mut::<u8>().wrapping_sub(1).cast()
        } else {
            ptr::null_mut()
        }
    };

    /// RTLD_LAZY: 1 in all of them.
    pub(super) const RTLD_LAZY: i32 = 1;

    /// RTLD_NOLOAD: open only what is loaded already.
    pub(super) const RTLD_NOLOAD: i32 = if cfg!(target_vendor = "apple") {
        0x10
    } else if cfg!(any(target_os = "dragonfly", target_os = "freebsd", target_os = "netbsd")) {
        0x2000
    } else if cfg!(all(
        target_os = "linux",
        any(
            target_arch = "mips",
            target_arch = "mips64",
            target_arch = "mips32r6",
            target_arch = "mips64r6"
        ),
        not(target_env = "musl")
    )) {
        8
    } else {
        4
    };

    pub(super) fn find_thread_exit_list() -> *mut c_void {
        let name = b"__cxa_thread_atexit_impl\0";
        // SAFETY: the name ends with a zero; the handle is the one for "everywhere".
        unsafe { dlsym(RTLD_DEFAULT, name.as_ptr()) }
    }

    /// Takes a handle of the library that holds this code, and keeps it. In an executable there is nothing to take
    /// (the name is not a library's), and nothing that could be unloaded.
    pub(super) fn pin_library() {
        let mut info = DlInfo {
            file_name: ptr::null(),
            base: ptr::null_mut(),
            symbol_name: ptr::null(),
            symbol_address: ptr::null_mut(),
        };
        let here = &super::THREAD_EXIT_LIST as *const _ as *const c_void;
        // SAFETY: `info` is valid for a write; the name it gets is the loader's own, and lives as long as the library.
        unsafe {
            if dladdr(here, &mut info) != 0 && !info.file_name.is_null() {
                dlopen(info.file_name, RTLD_LAZY | RTLD_NOLOAD);
            }
        }
    }
}

/// Systems with processes that exit and fork: `atexit(3p)`, `pthread_atfork(3p)`.
mod process {
    pub(super) const FORKS: bool = !cfg!(miri);

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

    /// QNX has it inline in <stdlib.h>: there is no symbol of that name.
    #[cfg(target_os = "nto")]
    unsafe fn atexit(run: extern "C" fn()) -> i32 {
        use core::ffi::c_void;
        extern "C" {
            static __dso_handle: *mut c_void;
            fn __cxa_atexit(
                run: extern "C" fn(),
                argument: *mut c_void,
                library: *mut c_void,
            ) -> i32;
        }
        // SAFETY: what the header does. `run` ignores the argument it gets.
        unsafe { __cxa_atexit(run, core::ptr::null_mut(), __dso_handle) }
    }

    pub(super) fn at_exit(run: extern "C" fn()) {
        // SAFETY: `process_exit` may be called at any time on any thread. A failure only means that the values of the
        // thread that exits are not destroyed.
        unsafe { atexit(run) };
    }

    /// `false` if the system has no memory for the handlers.
    pub(super) fn at_fork(before: Handler, in_parent: Handler, in_child: Handler) -> bool {
        // SAFETY: the handlers may be called at any time, in the order of a fork.
        unsafe { pthread_atfork(Some(before), Some(in_parent), Some(in_child)) == 0 }
    }

    /// `pid_t` is an int in all of these, and positive.
    pub(super) fn current_process() -> usize {
        // SAFETY: no preconditions.
        unsafe { getpid() as usize }
    }
}

#[cfg(feature = "ffi-check")] // compares every binding above with the libc crate's: see ci/check-types
#[path = "../../ci/ffi-check/src/posix_hooks.rs"]
mod ffi_check;
