//! Every binding in `src/sys`, compared with the libc crate's or windows-sys's for the target: the sources themselves are
//! included, and each has a child module (`pthread.rs`, `posix.rs`, `fls.rs`, `windows.rs` here) that sees its private items.
//!
//! Compiling this crate is the test. It compares what a call is made of: the number of arguments, and for each and for the
//! result whether it is a pointer, a function pointer (and of what signature) or an integer, of what size and signedness.

#![no_std]
#![allow(dead_code, unused_imports, clippy::all)]

#[path = "../../../src/sys/mod.rs"]
mod sys;

use os_thread_local as _; // and the crate itself compiles

pub mod abi {
    #[derive(Clone, Copy, PartialEq, Eq)]
    pub enum Convention {
        C,
        System,
    }

    /// How a value is passed.
    #[derive(Clone, Copy)]
    pub enum Kind {
        Nothing,
        Signed(usize),
        Unsigned(usize),
        Pointer,
        Function(&'static Signature),
    }

    #[derive(Clone, Copy)]
    pub struct Signature {
        pub convention: Convention,
        pub arguments: &'static [Kind],
        pub result: Kind,
    }

    pub trait Value {
        const KIND: Kind;
    }

    pub trait Function: Copy {
        const SIGNATURE: &'static Signature;
    }

    macro_rules! integers {
        ($kind:ident: $($type:ty)*) => { $(impl Value for $type {
            const KIND: Kind = Kind::$kind(core::mem::size_of::<$type>());
        })* };
    }
    integers!(Signed: i8 i16 i32 i64 isize);
    integers!(Unsigned: u8 u16 u32 u64 usize);

    impl Value for () {
        const KIND: Kind = Kind::Nothing;
    }
    impl<T> Value for *const T {
        const KIND: Kind = Kind::Pointer;
    }
    impl<T> Value for *mut T {
        const KIND: Kind = Kind::Pointer;
    }
    impl<F: Function> Value for Option<F> {
        const KIND: Kind = Kind::Function(F::SIGNATURE);
    }

    macro_rules! functions {
        ($($argument:ident)*) => {
            functions!(Convention::C, unsafe extern "C" fn($($argument),*) -> R, $($argument)*);
            functions!(Convention::C, extern "C" fn($($argument),*) -> R, $($argument)*);
            functions!(Convention::System, unsafe extern "system" fn($($argument),*) -> R, $($argument)*);
            functions!(Convention::System, extern "system" fn($($argument),*) -> R, $($argument)*);
        };
        ($convention:expr, $type:ty, $($argument:ident)*) => {
            impl<R: Value, $($argument: Value),*> Function for $type {
                const SIGNATURE: &'static Signature = &Signature {
                    convention: $convention,
                    arguments: &[$($argument::KIND),*],
                    result: R::KIND,
                };
            }
            impl<R: Value, $($argument: Value),*> Value for $type {
                const KIND: Kind = Kind::Function(<$type as Function>::SIGNATURE);
            }
        };
    }
    functions!();
    functions!(A);
    functions!(A B);
    functions!(A B C);
    functions!(A B C D);

    pub const fn of<F: Function>(_: F) -> &'static Signature {
        F::SIGNATURE
    }

    pub const fn kind<T: Value>() -> Kind {
        T::KIND
    }

    /// "C" and "system" are one convention but on 32-bit x86 Windows.
    const ONE_CONVENTION: bool = !cfg!(all(windows, target_arch = "x86"));

    pub const fn same(a: &Signature, b: &Signature) -> bool {
        if !ONE_CONVENTION && a.convention as u8 != b.convention as u8 {
            return false;
        }
        if a.arguments.len() != b.arguments.len() {
            return false;
        }
        let mut i = 0;
        while i < a.arguments.len() {
            if !same_kind(a.arguments[i], b.arguments[i]) {
                return false;
            }
            i += 1;
        }
        same_kind(a.result, b.result)
    }

    /// Integers of one size, or a pointer and an integer of its size.
    pub const fn same_word(a: Kind, b: Kind) -> bool {
        const fn size(kind: Kind) -> usize {
            match kind {
                Kind::Signed(size) | Kind::Unsigned(size) => size,
                Kind::Pointer | Kind::Function(_) => core::mem::size_of::<usize>(),
                Kind::Nothing => 0,
            }
        }
        size(a) == size(b)
    }

    pub const fn same_kind(a: Kind, b: Kind) -> bool {
        match (a, b) {
            (Kind::Nothing, Kind::Nothing) => true,
            (Kind::Signed(a), Kind::Signed(b)) => a == b,
            (Kind::Unsigned(a), Kind::Unsigned(b)) => a == b,
            (Kind::Pointer, Kind::Pointer) => true,
            (Kind::Function(a), Kind::Function(b)) => same(a, b),
            _ => false,
        }
    }
}

/// `same_function!(ours, theirs, (_, _))`: the blanks say how many arguments there are.
macro_rules! same_function {
    ($ours:path, $theirs:path, $convention:literal, ($($blank:tt),*)) => {
        const _: () = assert!(
            crate::abi::same(
                crate::abi::of($ours as unsafe extern $convention fn($($blank),*) -> _),
                crate::abi::of($theirs as unsafe extern $convention fn($($blank),*) -> _),
            ),
            concat!("the binding differs: ", stringify!($theirs)),
        );
    };
}
use same_function;
