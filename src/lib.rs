#![cfg_attr(any(not(doctest), feature = "alloc"), doc = include_str!("../README.md"))]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// Calls go downward only: the public types use `access`, it uses `record`, `node` and `registry`, these use `root`; and only
// `root`, `key` and `sync` use `sys`, where the operating system begins.
mod error;
pub mod key;
mod sys;

#[cfg(feature = "alloc")]
mod access;
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
mod local;
#[cfg(feature = "alloc")]
mod macros;
#[cfg(feature = "alloc")]
mod node;
#[cfg(feature = "alloc")]
pub mod per_thread;
#[cfg(feature = "alloc")]
mod record;
#[cfg(feature = "alloc")]
mod registry;
#[cfg(feature = "alloc")]
mod root;
#[cfg(feature = "alloc")]
mod slot;
#[cfg(any(feature = "alloc", os_thread_local_backend = "custom"))]
mod sync;

pub use crate::error::AccessError;
#[cfg(feature = "alloc")]
pub use crate::local::{reclaim, ThreadLocal};
#[cfg(feature = "alloc")]
pub use crate::per_thread::PerThread;
#[cfg(feature = "alloc")]
pub use crate::root::direct_read;
#[cfg(any(os_thread_local_backend = "custom", doc))]
#[cfg_attr(docsrs, doc(cfg(feature = "custom")))]
pub use crate::sys::custom;
