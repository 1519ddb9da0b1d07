// Parts of the tests and the documentation were copied, through os-thread-local 0.1.3, from the Rust code base. They are Copyright The
// Rust Project Developers, licensed under the MIT or Apache-2.0 licence like the rest of this crate: see LICENSE-MIT and LICENSE-APACHE.

// The README's links lead to docs.rs. Here they lead to the pages of this documentation: the first definition of a link is used.
#![cfg_attr(
    feature = "alloc",
    doc = "[guide]: crate::guide\n[guarantees]: crate::guide::guarantees"
)]
#![cfg_attr(
    feature = "alloc",
    doc = "[benchmarks]: crate::guide::benchmarks\n[custom]: crate::custom"
)]
#![cfg_attr(
    feature = "alloc",
    doc = "[no_std]: crate::guide::no_std\n[platforms]: crate::guide::platforms"
)]
#![cfg_attr(
    feature = "alloc",
    doc = "[stability]: crate::guide::stability\n[vendoring]: crate::guide::vendoring\n"
)]
// A build does not read the README, so that a copy of `src` alone compiles.
#![cfg_attr(all(doc, any(not(doctest), feature = "alloc")), doc = include_str!("../README.md"))]
#![cfg_attr(not(doc), doc = "See README.md.")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// A module imports from lower lines only; `ci/layers` reads this list and checks it.
//
// - `guide`: the pages of `docs`, only in the documentation
// - `local_key`, `macros`: what `thread_local!` declares
// - `access`, `borrow`, `cells`: the methods that `ThreadLocal` and `PerThread` share; `BorrowCell`; the methods for `Cell` and `RefCell`
// - `per_thread`
// - `thread_local`
// - `storage`: the storage engine, which has layers of its own
// - `key`
// - `lock`
// - `sys`: the interface to the operating system
// - `error`
mod error;
pub mod key;
#[cfg(any(feature = "alloc", os_thread_local_backend = "custom"))]
mod lock;
mod sys;

#[cfg(all(doctest, feature = "alloc"))]
mod compile_fail;
#[cfg(all(doctest, feature = "alloc"))]
mod compile_fail_per_thread;
#[cfg(all(doc, feature = "alloc", any(not(doctest), feature = "std")))]
#[cfg_attr(docsrs, doc(cfg(feature = "alloc")))]
pub mod guide;
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

// Below the types, because rustdoc shows the methods of a type in this order: `new` comes first.
#[cfg(feature = "alloc")]
mod access;
#[cfg(feature = "alloc")]
mod borrow;
#[cfg(feature = "alloc")]
mod cells;

#[cfg(feature = "alloc")]
pub use crate::borrow::BorrowCell;
pub use crate::error::{AccessError, InitError};
#[cfg(feature = "alloc")]
pub use crate::local_key::LocalKey;
#[cfg(os_thread_local_count)]
#[doc(hidden)]
pub use crate::lock::count::of_this_thread as shared_operations;
#[cfg(feature = "alloc")]
#[doc(inline)]
pub use crate::per_thread::PerThread;
#[cfg(feature = "alloc")]
pub use crate::storage::is_signal_safe;
#[cfg(any(os_thread_local_backend = "custom", doc))]
#[cfg_attr(docsrs, doc(cfg(os_thread_local_backend = "custom")))]
pub use crate::sys::key::custom;
#[cfg(feature = "alloc")]
pub use crate::thread_local::{reclaim, NoInit, ThreadLocal};
