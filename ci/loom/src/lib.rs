//! The crate's own files, with an operating system, a lock and a `core` that loom watches.

#![allow(dead_code, unused_imports, missing_docs)]

extern crate alloc;
/// Every `core::` in these files is this one.
extern crate loom_core as core;

#[path = "../../../src/access.rs"]
mod access;
#[path = "../../../src/error.rs"]
mod error;
#[path = "../../../src/local.rs"]
mod local;
#[path = "../../../src/node.rs"]
mod node;
#[path = "../../../src/per_thread.rs"]
pub mod per_thread;
#[path = "../../../src/record.rs"]
mod record;
#[path = "../../../src/registry.rs"]
mod registry;
#[path = "../../../src/root.rs"]
mod root;
#[path = "../../../src/slot.rs"]
mod slot;

mod sync;
pub mod sys;

pub use crate::error::AccessError;
pub use crate::local::{reclaim, ThreadLocal};
pub use crate::per_thread::PerThread;
