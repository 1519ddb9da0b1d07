//! Child of `src/sys/thread/posix/mod.rs`. Compares also what the target does not use, if the libc crate has it, except numbers and
//! structures, which are right only for the targets that use them.

use super::{loader, process, HAS_LOADER};
use crate::same_function;
use core::mem::{align_of, offset_of, size_of};

#[cfg(not(feature = "without-dlsym"))]
same_function!(loader::dlsym, libc::dlsym, "C", (_, _));
#[cfg(not(feature = "without-dladdr"))]
same_function!(loader::dladdr, libc::dladdr, "C", (_, _));
#[cfg(not(feature = "without-dlopen"))]
same_function!(loader::dlopen, libc::dlopen, "C", (_, _));
#[cfg(not(any(feature = "without-atexit", target_os = "nto")))] // no symbol there
same_function!(process::atexit, libc::atexit, "C", (_));
#[cfg(not(feature = "without-pthread_atfork"))]
same_function!(process::pthread_atfork, libc::pthread_atfork, "C", (_, _, _));

#[cfg(not(feature = "without-getpid"))]
same_function!(process::getpid, libc::getpid, "C", ());
#[cfg(not(feature = "without-sched_yield"))]
same_function!(super::sched_yield, libc::sched_yield, "C", ());

// Ours is only compared with others, so an integer stands for what may be a pointer.
#[cfg(not(feature = "without-pthread_self"))]
const _: () = {
    use crate::abi;
    let ours = abi::of(super::pthread_self as unsafe extern "C" fn() -> _);
    let theirs = abi::of(libc::pthread_self as unsafe extern "C" fn() -> _);
    assert!(ours.arguments.is_empty() && theirs.arguments.is_empty());
    assert!(abi::same_word(ours.result, theirs.result), "a `pthread_t` has another size");
};

#[cfg(not(feature = "without-Dl_info"))]
const _: () = {
    use libc::Dl_info as Theirs;
    use loader::DlInfo as Ours;
    assert!(!HAS_LOADER || size_of::<Ours>() == size_of::<Theirs>());
    assert!(!HAS_LOADER || align_of::<Ours>() == align_of::<Theirs>());
    assert!(!HAS_LOADER || offset_of!(Ours, file_name) == offset_of!(Theirs, dli_fname));
    assert!(!HAS_LOADER || offset_of!(Ours, base) == offset_of!(Theirs, dli_fbase));
    assert!(!HAS_LOADER || offset_of!(Ours, symbol_name) == offset_of!(Theirs, dli_sname));
    assert!(!HAS_LOADER || offset_of!(Ours, symbol_address) == offset_of!(Theirs, dli_saddr));
};

#[cfg(not(feature = "without-RTLD_LAZY"))]
const _: () = assert!(!HAS_LOADER || loader::RTLD_LAZY == libc::RTLD_LAZY);
// uClibc has a number of its own for MIPS, 8 (libc/sysdeps/linux/mips/bits/dlfcn.h); the libc crate has the one of its other processors.
#[cfg(not(any(
    feature = "without-RTLD_NOLOAD",
    all(target_env = "uclibc", any(target_arch = "mips", target_arch = "mips64"))
)))]
const _: () = assert!(!HAS_LOADER || loader::RTLD_NOLOAD == libc::RTLD_NOLOAD);
#[cfg(not(feature = "without-RTLD_DEFAULT"))]
const _: () = {
    // Both are small integers dressed as pointers.
    // SAFETY: both types have the same size, or this does not compile; the pointer has no provenance, so its bytes are an integer's.
    #[allow(unknown_lints, ptr_to_integer_transmute_in_consts, clippy::useless_transmute)]
    let (ours, theirs) = unsafe {
        (
            core::mem::transmute::<*mut core::ffi::c_void, usize>(loader::RTLD_DEFAULT),
            core::mem::transmute::<*mut core::ffi::c_void, usize>(libc::RTLD_DEFAULT),
        )
    };
    assert!(!HAS_LOADER || ours == theirs);
};
