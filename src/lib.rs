#![doc = include_str!("../README.md")]
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

// Calls go downward only: the public types use `record` and `registry`, these use `root`, and only `root` and `key` use
// `sys`, where the operating system begins.
mod error;
pub mod key;
mod sys;

#[cfg(feature = "alloc")]
mod cells;
#[cfg(feature = "alloc")]
mod local;
#[cfg(feature = "alloc")]
mod macros;
#[cfg(feature = "alloc")]
mod record;
#[cfg(feature = "alloc")]
mod registry;
#[cfg(feature = "alloc")]
mod root;
#[cfg(feature = "alloc")]
mod slot;
#[cfg(feature = "alloc")]
mod sync;

pub use crate::error::AccessError;
#[cfg(feature = "alloc")]
pub use crate::local::{reclaim, ThreadLocal};
