//! The thread word: one ELF thread-local word of the crate's own, which holds a copy of the root key's value and is read by one
//! instruction.
//!
//! The word is an anonymous entry of the thread-local section, so no symbol collides with that of another copy of the crate. It is used
//! only if its distance from the thread pointer is a constant of the program: the code is the main program's, and the linker has
//! relaxed the access to the local-exec model. Relaxation alone proves neither: musl loads a position-independent executable by
//! `dlopen(3p)`. Everywhere else the word is refused, and the key is read.
//!
//! The access models are public: Drepper, "ELF Handling For Thread-Local Storage"; the psABI of x86-64; Oliva and de Melo, "Speeding Up
//! Thread-Local Storage Access in Dynamic Libraries" (descriptors), and "ELF for the Arm 64-bit Architecture".
//!
//! - x86-64 uses general dynamic. Newer linkers make a library with unrelaxed descriptors depend on a version of glibc that has
//!   `GLIBC_ABI_GNU2_TLS`.
//! - AArch64 uses descriptors, which are the platform's default.
//! - Initial-exec is not used: glibc's room for it is limited, and musl and Android refuse it in libraries that are loaded later.
//!
//! A refused module never runs the access: in a library it may allocate, perhaps inside an allocator that uses this crate.
//!
//! `--cfg os_thread_local_tlsdesc` uses descriptors on x86-64 too, and accepts the word in a library that the loader has placed in the
//! threads' static blocks. It demands a glibc that has what the linker stamps, and the loader's room for static thread-local storage: 8
//! bytes per library, see `glibc.rtld.optional_static_tls` in glibc's manual ("Dynamic Linking Tunables"). An allocator that uses the
//! crate in such a library must not depend on the first use: the access of a refused library may allocate.

/// The size of the sentinel that the word leads to in a thread which has not used the crate, and the byte of it that says so, with its
/// place. All other bytes are 0. `storage::entries` asserts that this is its layout.
pub(crate) const SENTINEL: (usize, usize, u8) = (272, 268, 2);

/// Whether the target can have the word: `build.rs` says so.
pub(crate) const POSSIBLE: bool = cfg!(os_thread_local_word);

#[cfg(os_thread_local_word)]
mod elf {
    use super::super::program::{module, Module};
    use core::arch::asm;
    use core::ffi::c_void;

    /// The word's content in the calling thread.
    ///
    /// The assembly is `pure` and `readonly`: the compiler may merge two reads with nothing between them, but does not move one across a
    /// call, which may write the word or, in a program that switches stacks, return on another thread.
    ///
    /// # Safety
    /// `find` returned the distance.
    #[inline(always)]
    pub(crate) unsafe fn read(distance: isize) -> *mut c_void {
        let value;
        // SAFETY: the distance leads to the word in the thread's own memory (this function's contract).
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("mov {value}, fs:[{distance}]", value = lateout(reg) value, distance = in(reg) distance,
                options(pure, readonly, nostack, preserves_flags));
            #[cfg(target_arch = "aarch64")]
            asm!("mrs {thread}, tpidr_el0", "ldr {value}, [{thread}, {distance}]",
                thread = out(reg) _, value = lateout(reg) value, distance = in(reg) distance,
                options(pure, readonly, nostack, preserves_flags));
        }
        value
    }

    /// Writes the calling thread's word.
    ///
    /// # Safety
    /// `find` returned the distance. The value is null, or leads to what the readers of the word expect.
    #[inline(always)]
    pub(crate) unsafe fn write(distance: isize, value: *mut c_void) {
        // SAFETY: the distance leads to the word in the thread's own memory (this function's contract), and nothing else writes it.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            asm!("mov fs:[{distance}], {value}", value = in(reg) value, distance = in(reg) distance,
                options(nostack, preserves_flags));
            #[cfg(target_arch = "aarch64")]
            asm!("mrs {thread}, tpidr_el0", "str {value}, [{thread}, {distance}]",
                thread = out(reg) _, value = in(reg) value, distance = in(reg) distance,
                options(nostack, preserves_flags));
        }
    }

    /// The word's distance from the thread pointer, if it is the same in all threads. It makes no call unless `access` does.
    pub(crate) fn find() -> Option<isize> {
        let module = module();
        if module != Module::Program && !cfg!(os_thread_local_tlsdesc) {
            return None;
        }
        let (distance, model) = access();
        let constant = match model {
            Model::Relaxed => module == Module::Program,
            Model::Static => true,
            Model::Dynamic => false,
        };
        // Packed words have 32 bits for it.
        if constant && i32::try_from(distance).is_ok() {
            Some(distance)
        } else {
            None
        }
    }

    /// How an access finds the word.
    #[allow(dead_code)] // `Static` is of descriptors
    enum Model {
        /// The linker has replaced the access by a constant.
        Relaxed,
        /// The loader has placed the module in the threads' static blocks: the distance is a constant of the process.
        Static,
        Dynamic,
    }

    /// Defines the sentinel and the word, and then runs the access sequence that is given.
    ///
    /// If the compiler duplicated the block, there would be two words, and the one that is published would be used.
    macro_rules! access {
        ($pointer:literal, $($rest:tt)*) => {
            asm!(
                ".pushsection .rodata.os_thread_local,\"a\",@progbits",
                ".p2align 6",
                "3:",
                ".zero 268",
                ".byte 2",
                ".zero 3",
                ".popsection",
                ".pushsection .tdata.os_thread_local,\"awT\",@progbits",
                ".p2align 3",
                "2:",
                $pointer,
                ".popsection",
                $($rest)*
            )
        };
    }

    /// The distance of the word. General dynamic: the linker replaces the load of the argument register together with the call, so what
    /// was in that register survives. It held an address that no load gives: a non-canonical one.
    #[cfg(all(target_arch = "x86_64", not(os_thread_local_tlsdesc)))]
    #[cold]
    #[inline(never)]
    fn access() -> (isize, Model) {
        const UNTOUCHED: usize = 0x5a5a_0f0f_5a5a_0f0f;
        let (argument, distance): (usize, isize);
        // SAFETY: the sequence is that of the psABI, and runs only if the linker has replaced it: its first four bytes are compared with
        // those of `data16 leaq`. A call could lead to null: the symbol is weak, so that no library depends on the loader for a call that
        // is never made, and linkers resolve it to null in programs whose other parts do not name it. (mold's `--no-relax` leaves the call.)
        unsafe {
            access!(
                ".quad 3b",
                ".weak __tls_get_addr",
                "xorl %edi, %edi",
                "xorl %eax, %eax",
                "cmpl $0x3d8d4866, 4f(%rip)",
                "je 5f",
                "movabsq $0x5a5a0f0f5a5a0f0f, %rdi",
                "4:",
                ".byte 0x66",
                "leaq 2b@tlsgd(%rip), %rdi",
                ".2byte 0x6666",
                "rex64",
                "call __tls_get_addr@PLT",
                "subq %fs:0, %rax",
                "5:",
                out("rdi") argument,
                out("rax") distance,
                clobber_abi("C"),
                options(att_syntax)
            );
        }
        (distance, if argument == UNTOUCHED { Model::Relaxed } else { Model::Dynamic })
    }

    /// The distance of the word. Descriptors: the linker replaces the load of the descriptor's address by one of the distance, and removes
    /// the call, so both registers are the same.
    #[cfg(any(target_arch = "aarch64", os_thread_local_tlsdesc))]
    #[cold]
    #[inline(never)]
    fn access() -> (isize, Model) {
        let (loaded, distance): (isize, isize);
        // SAFETY: the sequence is that of the ABI. The function behind a descriptor preserves all other registers, and the block does not
        // count on it; the stack is aligned for a call.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            access!(
                ".quad 3b",
                "leaq 2b@tlsdesc(%rip), %rax",
                "movq %rax, %r12",
                "callq *2b@tlscall(%rax)",
                out("r12") loaded,
                out("rax") distance,
                clobber_abi("C"),
                options(att_syntax)
            );
            #[cfg(target_arch = "aarch64")]
            access!(
                ".xword 3b",
                "adrp x0, :tlsdesc:2b",
                "ldr x1, [x0, :tlsdesc_lo12:2b]",
                "add x0, x0, :tlsdesc_lo12:2b",
                "mov x20, x0",
                // `.tlsdesccall`, which takes no numeric label.
                ".reloc 4f, R_AARCH64_TLSDESC_CALL, 2b",
                "4:",
                "blr x1",
                out("x20") loaded,
                out("x0") distance,
                clobber_abi("C")
            );
        }
        let model = if loaded == distance {
            Model::Relaxed
        } else if cfg!(os_thread_local_tlsdesc) && argument_of(loaded) == distance {
            Model::Static
        } else {
            Model::Dynamic
        };
        (distance, model)
    }

    /// The argument in the descriptor at an address: the distance itself, if the block is static.
    #[cfg(any(target_arch = "aarch64", os_thread_local_tlsdesc))]
    fn argument_of(descriptor: isize) -> isize {
        // SAFETY: the access was not relaxed, so this is the address of a descriptor: `{ function, argument }`, which the loader has
        // filled in.
        unsafe { *(descriptor as *const isize).add(1) }
    }
}

/// The target has no word: `find` returns none, so nothing is read or written.
#[cfg(not(os_thread_local_word))]
mod elf {
    use core::ffi::c_void;

    pub(crate) unsafe fn read(_: isize) -> *mut c_void {
        core::ptr::null_mut()
    }

    pub(crate) unsafe fn write(_: isize, _: *mut c_void) {}

    pub(crate) fn find() -> Option<isize> {
        None
    }
}

pub(crate) use self::elf::{find, read, write};
