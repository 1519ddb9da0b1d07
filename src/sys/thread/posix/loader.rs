//! Systems with a dynamic loader of the usual interface: `dlsym(3p)`, `dladdr(3)`, `dlopen(3p)`.

use core::ffi::c_void;
use core::ptr;

pub(super) const HAS_LOADER: bool = true;

/// `Dl_info`: four words on all systems that import it. (Cygwin's has the name itself.)
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

/// The handle that searches all loaded libraries: a small integer as a pointer.
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

/// RTLD_LAZY: 1 on all these systems.
pub(super) const RTLD_LAZY: i32 = 1;

/// RTLD_NOLOAD: open a library only if it is already loaded.
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

/// `__cxa_thread_atexit_impl`.
static NAME: &[u8] = b"__cxa_thread_atexit_impl\0";

pub(super) fn find_thread_exit_list() -> *mut c_void {
    // SAFETY: the name ends with a zero; the handle is valid.
    unsafe { dlsym(RTLD_DEFAULT, NAME.as_ptr()) }
}

/// Opens a handle of the library that contains this code, and never closes it. Not called in a program: `dladdr` gives `argv[0]` as its
/// name, and `dlopen` would open the file of that name.
pub(super) fn pin_library() {
    let mut info = DlInfo {
        file_name: ptr::null(),
        base: ptr::null_mut(),
        symbol_name: ptr::null(),
        symbol_address: ptr::null_mut(),
    };
    let here = NAME.as_ptr().cast::<c_void>();
    // SAFETY: `info` is valid for a write; the loader owns the name in it, which lives as long as the library.
    unsafe {
        if dladdr(here, &mut info) != 0 && !info.file_name.is_null() {
            dlopen(info.file_name, RTLD_LAZY | RTLD_NOLOAD);
        }
    }
}
