//! The crate's own files, with an operating system, locks, a heap and a `core` that loom watches.

#![allow(dead_code, unused_imports, missing_docs)]
// For the sentinels' entries; the lint exempts the real atomics.
#![allow(clippy::declare_interior_mutable_const)]

extern crate loom_core as alloc;
/// Every `core::` and every `alloc::` in these files is this one.
extern crate loom_core as core;

#[rustfmt::skip] // formatted where they are
#[path = "../../../src/access.rs"]
mod access;
#[rustfmt::skip] // as above
#[path = "../../../src/borrow.rs"]
mod borrow;
#[rustfmt::skip] // as above
#[path = "../../../src/error.rs"]
mod error;
#[rustfmt::skip] // as above
#[path = "../../../src/per_thread.rs"]
pub mod per_thread;
#[rustfmt::skip] // as above
#[path = "../../../src/thread_local.rs"]
mod thread_local;

mod lock;
pub mod storage;
pub mod sys;

pub use crate::borrow::BorrowCell;
pub use crate::error::{AccessError, InitError};
pub use crate::per_thread::PerThread;
pub use crate::thread_local::{reclaim, NoInit, ThreadLocal};
