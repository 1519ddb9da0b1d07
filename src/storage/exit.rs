//! The end of a thread: its values, and its record.

use super::current::{current, next_orphan};
use super::entries::{Entries, Kind, Table};
use super::record::{self, Current, Record};
use super::root::{self, Root};
use super::shared;
use super::value::{Chain, OwnedBlock};
use crate::sys::{Hooks, Keys, System, Threads};
use core::ffi::c_void;
use core::ptr::{self, NonNull};

pub(super) static HOOKS: Hooks = Hooks {
    thread_exit: on_thread_exit,
    process_exit: on_process_exit,
    before_fork: shared::before_fork,
    after_fork_in_parent: shared::after_fork_in_parent,
    after_fork_in_child: shared::after_fork_in_child,
};

/// The first hook: the root key's destructor. Every system has it, and it ends the record in its first call: what the slot leads to
/// afterwards tells later uses by this thread what the record's values were.
///
/// It does not count on the other hook: key destructors may run before the thread-exit list (`main` that calls `pthread_exit`).
///
/// The fast path: nothing is left to destroy, and ending the record neither allocates nor frees memory.
pub(super) unsafe extern "system" fn on_key_destructor(value: *mut c_void) {
    let (root, entries) = match (root::get(), NonNull::new(value.cast::<Entries>())) {
        (Some(root), Some(entries)) => (root, entries),
        _ => return,
    };
    if !root.leads_to(entries) {
        // glibc reuses an ended thread's stack with values of keys that were set after the last round: the record is that thread's. It is
        // leaked, like all that is made so late.
        return;
    }
    // SAFETY: the system passes the value that the ending thread (fiber, task) has set: a sentinel, or a record, which it owns and which
    // ends only here.
    match unsafe { record::record_at(entries).map(|record| Current::new(record)) } {
        Some(current) => {
            let is_simple = System::DESTRUCTOR_REPEATS
                && !current.has_newest()
                && !current.has_orphans()
                && !current.has_blocks_elsewhere.get()
                && !current.has_memory.get()
                && !current.numbers.has_many();
            // SAFETY: the record is the calling thread's, which does not use it afterwards.
            unsafe {
                if !is_simple || !end_simple(root, current) {
                    end_slow(root, current);
                }
            }
        }
        // SAFETY: a sentinel is a static.
        None => next_round(root, unsafe { entries.as_ref() }.kind()),
    }
}

/// A later round of key destructors, where the sentinels are in the key's slot. `Ended` stays for two rounds: no value that the crate sets
/// may need the last round, in which sanitizers have freed their own per-thread state.
#[cold]
fn next_round(root: Root, kind: Kind) {
    // Not on Windows, where the sentinel may be another fiber's: the slot is the calling fiber's.
    if System::DESTRUCTOR_REPEATS && kind == Kind::Ended {
        root.store_sentinel(Kind::EndedBefore);
    }
}

/// Ends a record in which nothing is left to destroy, no memory to free and no number to give back. `false` if that is not so.
///
/// # Safety
/// The record is the calling thread's, and is not used after `true`. It has no values with a destructor, no block outside of its arena,
/// and no table or chunk that a pooled record does not keep.
#[inline]
unsafe fn end_simple(root: Root, current: Current) -> bool {
    if current.needs_emptying() && !shared::stripe(current.stripe()).own(current).clear_entries() {
        return false;
    }
    let remains = current.remains();
    root.end_record(remains);
    // SAFETY: the record is in no root slot any more, has no values with a destructor (this function's contract), no others of the thread
    // (`clear_entries`), and no surplus chunks.
    unsafe {
        current.reset();
        if !shared::pool().push_empty(current.pointer()) {
            end_simple_slow(root, current, remains);
        }
    }
    true
}

/// `end_simple` if the pool is full or has records to trim. The allocator may use objects meanwhile: it gets `Recursive` instead of a new
/// record.
///
/// # Safety
/// `reset` has prepared the record, which is in no root slot and is not used afterwards.
#[cold]
#[inline(never)]
unsafe fn end_simple_slow(root: Root, current: Current, remains: Kind) {
    root.store_sentinel(Kind::UnderConstruction);
    // SAFETY: the conditions are those of this function.
    unsafe { pool_or_free(current) };
    root.store_sentinel(remains);
}

/// The key's destructor in all other cases.
///
/// # Safety
/// The record is the calling thread's, and is not used afterwards.
#[cold]
#[inline(never)]
unsafe fn end_slow(root: Root, current: Current) {
    // On Windows the slot may hold another fiber's record, which must stay: `DeleteFiber` calls back on the calling fiber.
    let is_ours = || {
        let entries = root.load();
        // SAFETY: the slot leads to a sentinel or to a record that is alive (invariant 9).
        entries == current.pointer().cast() || !unsafe { entries.as_ref() }.is_record()
    };
    let ours = is_ours();
    if ours {
        // Destructors find the record. It must be in the key too before one of them runs: if it ends its thread (`pthread_exit`, a
        // cancellation), the system calls this hook again, for the rest of the values.
        // The word holds it already.
        // SAFETY: the record is the calling thread's. If this fails, destructors that use objects make a new record.
        unsafe { root.store_key(current.pointer()) };
    }
    destroy_values(current);
    if System::other_threads_were_killed() {
        // The process ends, perhaps inside an access: the rest is leaked.
        return;
    }
    let remains = if System::DESTRUCTOR_REPEATS { current.remains() } else { Kind::NoRecord };
    // If the record could not be put back, a destructor may have made a new one, which ends in a later call.
    let ours = ours && is_ours();
    if ours {
        // The allocator may use objects while the record ends: it gets `Recursive` instead of a new record.
        root.replace_record(Kind::UnderConstruction);
    }
    // SAFETY: `destroy_values` has left no value with a destructor, the root slot does not hold the record, and it is not used
    // afterwards (this function's contract).
    unsafe { end(current) };
    if ours {
        root.store_sentinel(remains);
    }
}

/// The second hook: the thread-exit list. It destroys values while C++'s and std's thread-locals are still usable. The record, with
/// the tags of the destroyed values, stays for the key's destructor.
unsafe extern "C" fn on_thread_exit(_: *mut c_void) {
    if let Some(current) = current() {
        // May run inside itself if a destructor calls `exit`: the value that is being destroyed is in no list any more.
        destroy_values(current);
    }
}

extern "C" fn on_process_exit() {
    // SAFETY: the hook may be called at any time, on any thread, with any argument.
    unsafe { on_thread_exit(ptr::null_mut()) }
}

/// Destroys all values of the calling thread that have a destructor, newest first, including any that destructors create; then the
/// orphans.
fn destroy_values(current: Current) {
    or_abort(PANICKED, || loop {
        while let Some(block) = current.pop_claimed() {
            // SAFETY: the block is in no list any more. It is claimed, so its entry does not lead to it, and no dropper takes it. The record,
            // with its arena, is the calling thread's.
            unsafe { OwnedBlock::new(block, Some(&current.arena)) }.destroy_at_exit();
        }
        if current.has_newest() {
            shared::stripe(current.stripe()).own(current).claim_newest();
        } else if !current.has_orphans() || !destroy_orphan(current) {
            return;
        }
    })
}

/// Destroys an orphan. Returns whether there was one.
#[cold]
#[inline(never)]
fn destroy_orphan(current: Current) -> bool {
    next_orphan(&current).map(drop).is_some()
}

const PANICKED: &str =
    "os-thread-local: the Drop of a thread-local value panicked while its thread was exiting; aborting";

/// Aborts with a message if `run` panics: at a thread's end there is no frame to unwind to. std aborts there, too.
///
/// A forced unwind passes: a destructor may end its thread (`pthread_exit(3)`), or be cancelled (`pthread_cancel(3)`). So this does not
/// catch: a frame that catches a forced unwind and does not go on with it makes glibc abort.
fn or_abort(message: &str, run: impl FnOnce()) {
    struct AbortOnPanic<'a>(&'a str);

    impl Drop for AbortOnPanic<'_> {
        fn drop(&mut self) {
            #[cfg(feature = "std")]
            if std::thread::panicking() {
                std::eprintln!("{}", self.0);
                std::process::abort();
            }
            // Without std a panic cannot be told from a forced unwind. Where there is none, this is a panic inside of a panic: the panic
            // handler prints the message, and the process aborts. Elsewhere the hook's own frame, from which nothing may unwind, aborts.
            #[cfg(not(feature = "std"))]
            if !cfg!(os_thread_local_backend = "pthread") {
                panic!("{}", self.0);
            }
        }
    }

    let abort = AbortOnPanic(message);
    run();
    core::mem::forget(abort);
}

/// Ends the calling thread's record: empties its entries, and pools or frees it.
///
/// Only from here on can other threads inherit its object-owned values. Not earlier: a closure of the thread may still use one, for
/// example if it calls `exit` while other threads run.
///
/// # Safety
/// The record is the calling thread's, is not in its root slot any more, has no values with a destructor, and is not used afterwards.
pub(super) unsafe fn end(current: Current) {
    if current.needs_emptying() {
        empty_entries(current);
    }
    if current.entries().has_long_table() && !current.has_object_owned() {
        let old = shared::stripe(current.stripe()).own(current).replace_table(Table::NONE);
        drop(old);
    }
    if current.numbers.has_many() {
        shared::give_back(&current.numbers, false);
    }
    // SAFETY: the record is in no root slot, has no values with a destructor (this function's contract) and no others of the thread
    // (`empty_entries`), so no block of its arena is used.
    unsafe {
        current.arena.free_surplus();
        current.reset();
        pool_or_free(current);
    }
}

/// Pools a record, or frees it if the pool is full.
///
/// # Safety
/// `reset` has prepared the record, which is in no root slot and is not used afterwards.
unsafe fn pool_or_free(current: Current) {
    // SAFETY: `reset` has prepared the record (this function's contract). The pool takes every record that holds values, and one that it
    // has taken is not used any more; a record that it has given back is prepared, too.
    unsafe {
        let mut pool = shared::pool();
        let unused = match pool.push(current.pointer()) {
            true => pool.trim(),
            false => Some(current.pointer()),
        };
        drop(pool);
        if let Some(unused) = unused {
            free(unused);
        }
    }
}

/// Frees a record.
///
/// # Safety
/// The calling thread owns the record, which has ended, holds no values, is in its stripe but not pooled, and is not used afterwards.
unsafe fn free(record: NonNull<Record>) {
    // SAFETY: the calling thread owns the record until `Record::free` (this function's contract).
    let current = unsafe { Current::new(record) };
    let stripe = current.stripe();
    if !current.numbers.is_empty() {
        shared::give_back(&current.numbers, true);
    }
    shared::stripe(stripe).leave(record);
    shared::pool().count_left(stripe);
    // SAFETY: the record has ended, is not pooled, and has left its stripe: no other thread finds it.
    unsafe { Record::free(record) };
}

/// Empties the entries of thread-owned values.
fn empty_entries(current: Current) {
    let (mut memory, mut from) = (Chain::EMPTY, Some(0));
    while let Some(number) = from {
        let guard = shared::stripe(current.stripe());
        from = guard.own(current).empty_entries(number, |block| {
            // SAFETY: the block is from the global allocator, has no destructor, and was taken out of its entry under the lock.
            unsafe { memory.push(block) }
        });
    }
    // Blocks that droppers took out before are in the inbox by now (invariant 3).
    while let Some(orphan) = next_orphan(&current) {
        drop(orphan);
    }
    drop(memory);
}
