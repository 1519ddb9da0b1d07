//! The storage engine in place of `src/storage/mod.rs`: the same files, few stripes, and functions for models.

#[rustfmt::skip] // formatted where they are
#[path = "../../../src/storage/arena.rs"]
mod arena;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/arrival.rs"]
mod arrival;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/current.rs"]
mod current;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/entries.rs"]
mod entries;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/exit.rs"]
mod exit;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/first_use.rs"]
mod first_use;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/numbers.rs"]
mod numbers;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/object.rs"]
mod object;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/packed.rs"]
mod packed;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/pool.rs"]
mod pool;

#[path = "../../../src/storage/record.rs"]
mod record;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/root.rs"]
mod root;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/shared.rs"]
mod shared;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/slot.rs"]
mod slot;
#[rustfmt::skip] // as above
#[path = "../../../src/storage/token.rs"]
mod token;

#[path = "../../../src/storage/value.rs"]
mod value;

pub(crate) use self::current::reclaim;
pub use self::root::is_signal_safe;
pub(crate) use self::slot::{ObjectSlot, Pointers, Taken, ThreadSlot};

use self::entries::{sentinel, Kind, State};
use self::record::{Current, Record};
use crate::{lock, sys};
use std::ffi::c_void;
use std::ptr::NonNull;

const SMALL: bool = false;

/// One more than that must be a power of two.
const STRIPES: usize = 3;

/// Which stripes the records of a model join.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stripes {
    /// All the first one.
    Same,
    /// One each.
    Apart,
}

/// The number of records that the pool counts in stripes that shall get none.
const CROWD: usize = 100;

/// Makes new records join `stripes` until `release_stripes`. No record exists yet.
pub fn choose_stripes(stripes: Stripes) {
    if stripes == Stripes::Same {
        let mut pool = shared::pool();
        // They are chosen in turn.
        for _ in 0..CROWD * STRIPES {
            pool.choose_stripe();
        }
        (0..CROWD).for_each(|_| pool.count_left(0));
    }
}

/// The reverse of `choose_stripes`.
pub fn release_stripes(stripes: Stripes) {
    if stripes == Stripes::Same {
        let mut pool = shared::pool();
        for stripe in 1..STRIPES {
            (0..CROWD).for_each(|_| pool.count_left(stripe));
        }
    }
}

/// The beginning of an execution.
pub fn begin() {
    lock::begin();
    sys::begin();
}

/// Forks the process while other threads hold all locks. The calling thread goes on as the only one of the child, once it has joined
/// those that stay behind. Returns the number of the child's handlers, which the caller must run.
pub fn fork() -> usize {
    let handlers = sys::begin_fork();
    // SAFETY: called in the thread that forks, directly before the fork: the condition of a fork handler.
    (0..handlers).for_each(|_| unsafe { shared::before_fork() });
    (0..STRIPES).for_each(|index| drop(shared::stripe(index)));
    drop(shared::numbers());
    drop(shared::pool());
    lock::abandon_all();
    core::forked();
    sys::enter_child();
    handlers
}

/// The handlers that run in the child.
pub fn after_fork_in_child(handlers: usize) {
    // SAFETY: `fork` was called.
    (0..handlers).for_each(|_| unsafe { shared::after_fork_in_child() });
}

/// Forks the process, and continues as the parent. Another library has a handler, too, which runs after the crate's.
pub fn fork_as_parent(other_handler: impl FnOnce()) {
    let handlers = sys::begin_fork();
    // SAFETY: called in the thread that forks, directly before the fork: the condition of a fork handler.
    (0..handlers).for_each(|_| unsafe { shared::before_fork() });
    other_handler();
    sys::end_fork();
    // SAFETY: as above.
    (0..handlers).for_each(|_| unsafe { shared::after_fork_in_parent() });
}

/// Acquires and releases a lock.
pub fn acquire_a_lock() {
    drop(shared::pool());
}

/// Creates the root, but no record.
pub fn create_root() {
    root::get_or_create(exit::on_key_destructor).unwrap();
}

fn new_record() -> NonNull<Record> {
    let stripe = shared::pool().choose_stripe();
    let record = Record::allocate(stripe).expect("there is memory");
    // SAFETY: the record is new, and lives until it leaves the stripe.
    unsafe { shared::stripe(stripe).join(record) };
    record
}

/// Fills the pool, and adds a record for one thread: the record of that thread is not pooled when it ends, but leaves its stripe, from
/// between others.
pub fn fill_pool() {
    let with_values = new_record();
    // SAFETY: the record is new. While it is pooled it has a value, and then none: as if its object had been dropped.
    unsafe {
        let own = Current::new(with_values);
        own.count_object_owned();
        shared::pool().push(with_values);
        own.count_object_owned_taken();
    }
    loop {
        let record = new_record();
        // SAFETY: the record is new and holds no values.
        if !unsafe { shared::pool().push(record) } {
            free(record);
            return;
        }
    }
}

/// # Panics
/// If the record, which is in no pool, is not as the end of a thread should leave it when no object is left.
fn check(record: Current) {
    assert!(!record.has_orphans(), "an ended record has orphans");
    // Those that models use.
    for number in (0..5).chain(32..36).chain(62..65) {
        let vacant = record.entry(number).map_or(true, |entry| entry.state() == State::Vacant);
        assert!(vacant, "a free number has an entry: invariant 1");
    }
}

/// This thread alone has the record, which has ended.
fn free(record: NonNull<Record>) {
    // SAFETY: it leaves its stripe before it is freed.
    unsafe {
        let mut numbers = shared::numbers();
        Current::new(record).numbers.keep_few(true, |number| numbers.give_back(number));
        numbers.set_limit();
        drop(numbers);
        let stripe = record.as_ref().stripe();
        shared::stripe(stripe).leave(record);
        shared::pool().count_left(stripe);
        Record::free(record);
    }
}

/// Frees the records that wait for new threads: each execution has to begin as the first.
pub fn free_pooled_records() {
    loop {
        // A statement of its own: the guard is gone when the record is freed.
        let pooled = shared::pool().pop();
        match pooled {
            Some(record) => {
                // SAFETY: out of the pool, this thread alone has it.
                check(unsafe { Current::new(record) });
                free(record);
            }
            None => return,
        }
    }
}

/// The first value of the thread word.
pub(crate) fn initial_word() -> *mut c_void {
    sentinel(Kind::NoRecord).as_ptr().cast()
}

/// Whether the root slot leads to a record, not to a sentinel.
pub(crate) fn is_record(value: *mut c_void) -> bool {
    // SAFETY: the slot leads to a sentinel or to a record that is alive.
    NonNull::new(value.cast()).and_then(|entries| unsafe { record::record_at(entries) }).is_some()
}
