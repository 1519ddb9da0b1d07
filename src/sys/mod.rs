//! The seam to the operating system: what the crate asks of it, and which backend answers.
//!
//! Two axes, each a trait that `System` implements: [`Keys`] in `key/`, all that `crate::key` needs; and [`Threads`] in `thread/`, what a
//! thread and a process are told, where each function has a default that does nothing. A new system is one file, and one branch, on
//! either axis.

#[cfg(feature = "alloc")]
pub(crate) mod direct;
pub(crate) mod key;
#[cfg(any(feature = "alloc", os_thread_local_backend = "custom"))]
pub(crate) mod thread;

#[cfg(feature = "alloc")]
pub(crate) use self::key::Destructor;
pub(crate) use self::key::{Key, Keys};
#[cfg(feature = "alloc")]
pub(crate) use self::thread::Hooks;
#[cfg(any(feature = "alloc", os_thread_local_backend = "custom"))]
pub(crate) use self::thread::Threads;

/// The system that the crate was built for.
pub(crate) struct System;
