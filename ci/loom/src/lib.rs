//! The crate's own files, with an operating system, a lock and a `core` that loom watches.

#![allow(dead_code, unused_imports, missing_docs)]

extern crate alloc;
/// Every `core::` in these files is this one.
extern crate loom_core as core;

#[rustfmt::skip] // formatted where they are
#[path = "../../../src/access.rs"]
mod access;
#[rustfmt::skip] // formatted where they are
#[path = "../../../src/error.rs"]
mod error;
#[rustfmt::skip] // formatted where they are
#[path = "../../../src/local.rs"]
mod local;
#[rustfmt::skip] // formatted where they are
#[path = "../../../src/node.rs"]
mod node;
#[rustfmt::skip] // formatted where they are
#[path = "../../../src/per_thread.rs"]
pub mod per_thread;
#[rustfmt::skip] // formatted where they are
#[path = "../../../src/record.rs"]
mod record;
#[rustfmt::skip] // formatted where they are
#[path = "../../../src/registry.rs"]
mod registry;
#[rustfmt::skip] // formatted where they are
#[path = "../../../src/root.rs"]
mod root;
#[rustfmt::skip] // formatted where they are
#[path = "../../../src/slot.rs"]
mod slot;

mod sync;
pub mod sys;

pub use crate::error::{AccessError, InitError};
pub use crate::local::{reclaim, NoInit, ThreadLocal};
pub use crate::per_thread::PerThread;

/// Frees the records that wait for new threads: each execution has to begin as the first.
pub fn free_idle_records() {
    loop {
        // A statement of its own: the guard is gone when the record is freed.
        let idle = registry::REGISTRY.lock().take_idle();
        match idle {
            // SAFETY: out of the list, nobody else has it.
            Some(record) => unsafe { record::free(record) },
            None => break,
        }
    }
}
