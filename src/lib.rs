#![cfg_attr(any(not(doctest), feature = "alloc"), doc = include_str!("../README.md"))]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// A module imports from lower lines only; `ci/layers` reads this list and checks it.
//
// - `local_key`, `macros`: what `thread_local!` declares
// - `cells`: methods of both types
// - `per_thread`
// - `thread_local`
// - `storage`: the storage engine, which has layers of its own
// - `key`
// - `lock`
// - `sys`: the seam to the operating system
// - `error`
mod error;
pub mod key;
#[cfg(any(feature = "alloc", os_thread_local_backend = "custom"))]
mod lock;
mod sys;

#[cfg(feature = "alloc")]
mod cells;
#[cfg(all(doctest, feature = "alloc"))]
mod compile_fail;
#[cfg(all(doctest, feature = "alloc"))]
mod compile_fail_per_thread;
#[doc = include_str!("../docs/GUIDE.md")]
#[cfg(all(any(doc, doctest), feature = "std"))]
pub mod guide {}
#[cfg(feature = "alloc")]
mod local_key;
#[cfg(feature = "alloc")]
mod macros;
#[cfg(feature = "alloc")]
pub mod per_thread;
#[cfg(feature = "alloc")]
mod storage;
#[cfg(feature = "alloc")]
mod thread_local;

pub use crate::error::{AccessError, InitError};
#[cfg(feature = "alloc")]
pub use crate::local_key::LocalKey;
#[cfg(os_thread_local_count)]
#[doc(hidden)]
pub use crate::lock::count::of_this_thread as shared_operations;
#[cfg(feature = "alloc")]
pub use crate::per_thread::PerThread;
#[cfg(feature = "alloc")]
pub use crate::storage::is_direct_read;
#[cfg(any(os_thread_local_backend = "custom", doc))]
#[cfg_attr(docsrs, doc(cfg(os_thread_local_backend = "custom")))]
pub use crate::sys::key::custom;
#[cfg(feature = "alloc")]
pub use crate::thread_local::{reclaim, NoInit, ThreadLocal};
