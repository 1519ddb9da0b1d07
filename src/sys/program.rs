//! Whether this code is part of the main program or of a library, found out without the dynamic loader: its functions acquire locks,
//! allocate, and look files up by name.

#![allow(dead_code)] // some systems can tell nothing, or have nothing that asks

/// What contains this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Module {
    /// The main program, which is never unloaded.
    Program,
    /// A library: a dependency of the program, or loaded by `dlopen(3p)`.
    Library,
    /// The system does not tell.
    Unknown,
}

#[cfg(all(
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl"),
    not(os_thread_local_keys_only),
    not(miri),
))]
pub(crate) fn module() -> Module {
    use core::mem;

    extern "C" {
        /// The ELF header of the module that contains this code. Every linker defines it, with hidden visibility.
        static __ehdr_start: u8;
        /// `getauxval(3)`: reads a vector that the kernel has passed to the process.
        fn getauxval(kind: usize) -> usize;
    }
    /// The address of the program headers of the main program, and that of the dynamic loader: 0 if the kernel has started none.
    const AT_PHDR: usize = 3;
    const AT_BASE: usize = 7;
    /// The offset of `e_phoff`, the distance of the program headers, in `Elf32_Ehdr` and `Elf64_Ehdr` (elf(5)).
    const PHOFF: usize = if mem::size_of::<usize>() == 8 { 32 } else { 28 };

    #[cfg(feature = "ffi-check")] // as in `thread::posix`
    crate::same_function!(getauxval, libc::getauxval, "C", (_));

    // SAFETY: the header is memory of this module, of 52 bytes at least, and is never written. `getauxval` has no preconditions.
    unsafe {
        let header: *const u8 = &__ehdr_start;
        let offset = header.add(PHOFF).cast::<usize>().read_unaligned();
        if getauxval(AT_PHDR) == (header as usize).wrapping_add(offset) {
            Module::Program
        } else if getauxval(AT_BASE) != 0 {
            Module::Library
        } else {
            // A user has started the loader itself, which the headers then belong to (musl), or a static program loads libraries.
            Module::Unknown
        }
    }
}

#[cfg(not(all(
    target_os = "linux",
    any(target_env = "gnu", target_env = "musl"),
    not(os_thread_local_keys_only),
    not(miri),
)))]
pub(crate) fn module() -> Module {
    Module::Unknown
}
