//! The interface to the operating system.
//!
//! `System` implements two traits: [`Keys`] in `key/`, which is all that `crate::key` needs; and [`Threads`] in `thread/`, the hooks for
//! the ends of threads and processes and for forks, with defaults that do nothing. A new system needs one file and one branch for each
//! trait.

pub(crate) mod key;
#[cfg(feature = "alloc")]
pub(crate) mod program;
#[cfg(any(feature = "alloc", os_thread_local_backend = "custom"))]
pub(crate) mod thread;
#[cfg(feature = "alloc")]
pub(crate) mod word;

#[cfg(feature = "alloc")]
pub(crate) use self::key::Destructor;
pub(crate) use self::key::{Key, Keys};
#[cfg(feature = "alloc")]
pub(crate) use self::thread::Hooks;
#[cfg(any(feature = "alloc", os_thread_local_backend = "custom"))]
pub(crate) use self::thread::Threads;

/// The operating system that the crate is built for.
pub(crate) struct System;
