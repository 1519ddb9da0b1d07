//! The storage engine: how an object finds this thread's value, and how values end.
//!
//! ```text
//!  object                         this thread
//!  +------------------------+     root slot: a key of the operating system, one per process
//!  | word: root slot,       |        |
//!  |       slot number n    |        v
//!  +------------------------+     Record, one per thread --------------------------------+
//!                                 | entries[0..32] inline, the rest in a table           |
//!  mask n: the records, or the    |   [n] -> value block { header, T }                   |
//!    stripes of records, that     | list of the values with a destructor, newest first   |
//!    may have an entry for n      | arena for small values; free slot numbers            |
//!  stripes: records, a lock each  | inbox: orphans, which other threads leave            |
//!  numbers: which are free        +------------------------------------------------------+
//!  pool: records of ended threads, for threads to come
//! ```
//!
//! # Invariants
//!
//! 0. Nothing that another thread writes while an object is borrowed exclusively or moved lives inside the object.
//! 1. A non-null entry for number n in a record is covered by mask n. Droppers rely on it, and so does the reuse of numbers:
//!    all entries for n are null when n is free.
//! 2. Only the owning thread turns an entry into a value or a tag. Another thread may only empty it, under the lock of the
//!    record's stripe, while it owns the object exclusively: then no access of the owning thread to that entry is under way. That is why
//!    relaxed loads and stores will do.
//! 3. The thread that takes a block out of its entry sees to its end, once: the owning thread destroys it; another thread leaves it in
//!    the inbox under the same hold of the lock, or frees it if it is nothing but memory of the global allocator.
//! 4. Values of a `ThreadLocal` with a destructor are destroyed by their own thread; an arena's memory is freed by its own thread.
//! 5. No user code, no allocation and no deallocation runs under a lock, because either may use the crate. No thread holds two
//!    locks.
//! 6. When user code destroys a value, its entry says DESTROYED, or the object is gone.
//! 7. Every structure under a lock is whole between any two stores: a process may be forked there, and its child has neither the
//!    thread that stopped nor a way to repair. So a list grows and shrinks by one store, which the compiler does not move before those
//!    that prepare it.
//!
//! # Layers
//!
//! A module imports from lower lines only; `ci/layers` reads this list and checks it.
//!
//! - `slot`: the boundary that the public types stand on
//! - `first_use`, `object`: a thread's first use of an object; the end of an object
//! - `exit`: the end of a thread
//! - `current`: the calling thread's record
//! - `shared`: the locks, and what they protect; fork
//! - `root`: the root slot
//! - `record`: data, without a lock and without an operating system, from here on
//! - `packed`, `value`
//! - `numbers`, `arena`

mod arena;
mod current;
mod exit;
mod first_use;
mod numbers;
mod object;
mod packed;
mod record;
mod root;
mod shared;
mod slot;
mod value;

pub(crate) use self::current::reclaim;
pub use self::root::is_direct_read;
pub(crate) use self::slot::{ObjectSlot, Pointers, Slot, Taken};

/// Targets where memory counts more than time, or which have one thread: one stripe, no arena.
const SMALL: bool = cfg!(any(target_os = "none", os_thread_local_backend = "single"));

/// Groups of records with a lock each. A mask has a bit for each, and one to spare.
const STRIPES: usize = if SMALL { 1 } else { usize::BITS as usize - 1 };
