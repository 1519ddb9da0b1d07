//! The storage engine: how an object finds the calling thread's value, and how values are destroyed.
//!
//! ```text
//!  object                         calling thread
//!  +------------------------+     root slot: a key of the operating system, one per process; a copy in the thread word
//!  | word: root slot,       |        |
//!  |       slot number n    |        v
//!  +------------------------+     Record, one per thread --------------------------------+
//!                                 | entries[0..32] inline, the rest in a table           |
//!  mask n: the record, or the     |   [n] -> value block { header, T }                   |
//!    stripes of records, whose    | list of the values with a destructor, newest first   |
//!    entry n may not be vacant    | arena for small values; cached slot numbers          |
//!  stripes: records, a lock each  | inbox: orphans, pushed by other threads              |
//!  numbers: which are free        +------------------------------------------------------+
//!  pool: records of ended threads, for new threads
//! ```
//!
//! On Windows each fiber has a record, and with a custom backend each task: "thread" means all three. The *owning thread* of a
//! record is the thread whose root slot leads to it; the owner of a pooled record is the thread that holds the pool's lock. A
//! *dropper* is a thread that owns an object exclusively and drops it or takes its values out. An *orphan* is a value whose
//! object is gone and which only its own thread may destroy or free.
//!
//! # Four stories
//!
//! Whoever changes one of them changes its story.
//!
//! **A first use.** `Slot::with` (slot) finds no value in the entry (`lookup`) and calls `begin` (first_use). A thread without a record
//! arrives (arrival): `adopt_record` takes one of the pool, or `allocate_record` makes one while the sentinel UNDER CONSTRUCTION stands in the
//! slot; the first thread of all also creates the root (`root::get_or_create`) and installs the hooks. `entry_or_assign` assigns a number from
//! the thread's cache, and grows the table. `start` adds the record to the number's mask (invariant 1), takes memory, and makes the entry
//! INITIALIZING. The initializer runs. `Initializing::finish` writes the value, links it if it has a destructor (the first one registers
//! the exit list) or if its object owns it, and stores it in the entry. If the initializer unwinds, `abandon` makes the entry vacant.
//!
//! **An object's drop.** `Slot::drop` calls `drop_object` (object). `Current::take` takes the own value out of its entry and list. If the mask
//! is that of the own record only, that is all: `release` caches the number, and the value is destroyed. Otherwise `detach_others` locks
//! each stripe of the mask and takes the value out of each record there (`Locked::take`). One that only its thread may destroy or free goes to
//! that record's inbox (`push_orphan`); the thread finds it at its next slow path (`reclaim_first`), in `reclaim`, or at its end. The values that
//! the object owns are in its list (`Values`), and are destroyed last.
//!
//! **A thread's end.** The exit list calls `on_thread_exit` (exit), if the thread has made a value with a destructor and the system has a list:
//! `destroy_values` claims them in batches under the stripe's lock (`claim_newest`: DESTROYED), and destroys them outside of it, newest first;
//! then the orphans. The record stays, so values without a destructor stay usable. The key's destructor calls `on_key_destructor`. If there is
//! nothing to destroy and no memory to free, `end_simple` empties the entries, puts what remains into the slot (ENDED, if there were
//! destructors), and pools the record. Otherwise `end_slow` puts the record back, destroys, and ends it (`end`). A thread that uses the crate
//! after ENDED gets `Destroyed`, or a late record.
//!
//! **A fork.** `before_fork` (shared) notes the process's id and counts the fork; no lock is taken. In the child, whichever comes first,
//! `after_fork_in_child` or a thread that acquires a lock (`check_process`), releases all locks by force (`mend`). Every structure under a lock
//! is consistent after each store (invariant 7). The records of the parent's other threads stay in their stripes: droppers still take values
//! out of them, and their values with destructors are leaked.
//!
//! # Invariants
//!
//! Comments refer to them by number.
//!
//! 0. No memory inside an object is written by another thread while the object is moved or borrowed exclusively.
//! 1. Mask n covers every record whose entry for slot number n is not vacant. Droppers visit only what the mask covers. While
//!    a number is free, its entry is vacant in every record.
//! 2. Only the owning thread stores a value or a tag in an entry. A dropper may make an entry vacant, under the lock of the
//!    record's stripe. The owning thread does not access that entry at the same time: its accesses need the object, and it
//!    claims values, empties entries and replaces the table under the lock. Exclusive ownership and the lock order all these
//!    steps, so the entries themselves need relaxed loads and stores only.
//! 3. The thread that takes a block out of its entry is responsible for the block, exactly once. The owning thread destroys it.
//!    Another thread leaves it in its object's list if the object owns it, frees it if it is memory of the global allocator
//!    without a destructor, and otherwise pushes it to the record's inbox before it releases the lock.
//! 4. A value of a `ThreadLocal` that has a destructor is destroyed by its own thread. Arena memory is allocated and freed by
//!    its own thread.
//! 5. No user code, no allocation and no deallocation runs under a lock, because each may use the crate (deadlock). No thread
//!    holds two locks.
//! 6. While a destructor runs for a value that its exiting thread claimed, the value's entry is DESTROYED, or its object is
//!    gone.
//! 7. Every structure under a lock is consistent after each store. A `fork` copies the process between any two stores, and the
//!    child has neither the thread that made them nor a way to repair the structure. So lists grow and shrink by one store,
//!    and a compiler fence or a release store keeps it behind the stores that prepare it.
//! 8. A block is alive while an entry, a list, an inbox or a chain leads to it: a thread unlinks it before it frees it.
//! 9. A record is in a stripe from its creation on, and is freed after it has left the stripe, which it does under the
//!    stripe's lock. So it is alive while a root slot, a stripe or the pool leads to it.
//! 10. Where the thread word is in use, a signal handler may call `with_existing` between any two instructions of its thread.
//!     What it reads is atomic: the object's word, the thread word, entries and table, kind, and the list that leads to claimed values. A
//!     store that publishes follows those that prepare it, and one that unlinks precedes the reuse of the memory, with a compiler fence
//!     between them. The thread word leads to a sentinel before the record is pooled.
//! 11. A thread may end inside of any user code: a forced unwind (`pthread_exit`, a cancellation), with or without the destructors of the
//!     frames that it passes. So a value leaves its list before it is destroyed, and the record is in the key while values are.
//!
//! # What the mechanisms save
//!
//! Instructions with and without each, of the rows of `dev/instructions` (x86-64, glibc 2.36, rustc 1.95). Measured for 0.2.0 by leaving the
//! mechanism out; `dev/instructions/counts` has the current counts with all of them.
//!
//! | mechanism | row | with | without |
//! | --- | --- | ---: | ---: |
//! | arena | a first use (`first_use_of_100`, each) | 142 | 341 |
//! | | life of a thread with 10 values (`thread_with_10`) | 2,750 | 6,684 |
//! | cached slot numbers (numbers) | life of an object (`create_use_drop`) | 422 | 737 |
//! | masks (numbers) | the same: without them a drop locks all 63 stripes | 422 | 2,424 |
//! | pool | life of a thread with 1 value (`thread_with_1`) | 1,091 | 3,338 |
//! | `end_simple` (exit) | the same | 1,091 | 1,784 |
//! | `adopt_at_once` (arrival) | the same | 1,091 | 1,194 |
//!
//! The limit of the numbers that a thread may cache (`LIMIT` in numbers) costs no instruction. It keeps the tables of other threads short.
//!
//! # Layers
//!
//! A module imports from lower lines only; `ci/layers` reads this list and checks it.
//!
//! - `slot`: the interface to the public types
//! - `first_use`, `object`: the first use of an object by a thread; removal of values, and drop of objects
//! - `arrival`: how a thread gets its record
//! - `exit`: the end of a thread
//! - `current`: the calling thread's record
//! - `shared`: the locks and the data that they protect; fork
//! - `pool`: the records of ended threads
//! - `root`: the root slot
//! - `record`: this module and those below use no lock and no operating system
//! - `entries`
//! - `packed`, `value`
//! - `numbers`, `arena`
//! - `token`: the address and the stripe of a record in one word

mod arena;
mod arrival;
mod current;
mod entries;
mod exit;
mod first_use;
mod numbers;
mod object;
mod packed;
mod pool;
mod record;
mod root;
mod shared;
mod slot;
mod token;
mod value;

pub(crate) use self::current::reclaim;
pub use self::root::is_signal_safe;
pub(crate) use self::slot::{ObjectSlot, Pointers, Taken, ThreadSlot};

/// Targets that have one thread, or where memory matters more than time: one stripe, no masks, no arena, and short caches. The
/// masks of the first 512 slot numbers alone would take 2 KiB on a 32-bit target.
const SMALL: bool = cfg!(any(target_os = "none", os_thread_local_backend = "single"));

/// The number of stripes: groups of records, each with its own lock. A mask has one bit per stripe, and one bit for its form.
const STRIPES: usize = if SMALL { 1 } else { usize::BITS as usize - 1 };
