//! The end of a thread: its values, and its record.

use super::current::{current, next_orphan};
use super::record::{self, Entries, ExitList, Record};
use super::root;
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

/// Destroys all values of the calling thread that have a destructor, newest first, including any that destructors create; then the
/// orphans. Returns whether there was one.
fn destroy_values(record: &Record) -> bool {
    or_abort(PANICKED, || {
        let mut found = false;
        loop {
            let value = match record.pop_claimed() {
                // SAFETY: the block is in no list any more. It is claimed, so its entry does not lead to it, and no dropper takes it.
                Some(block) => unsafe { OwnedBlock::new(block, Some(&record.arena)) },
                None if record.has_newest() => {
                    shared::stripe(record.stripe()).own(record).claim_newest();
                    continue;
                }
                None => match next_orphan(record) {
                    Some(orphan) => orphan,
                    None => return found,
                },
            };
            found = true;
            drop(value);
        }
    })
}

const PANICKED: &str =
    "os-thread-local: the Drop of a thread-local value panicked while its thread was exiting; aborting";

/// Aborts with a message if `run` panics: at a thread's end there is no frame to unwind to. std aborts there, too.
#[cfg(feature = "std")]
pub(super) fn or_abort<R>(message: &str, run: impl FnOnce() -> R) -> R {
    use std::panic::{catch_unwind, AssertUnwindSafe};

    // Without a frame that catches, the unwinder does not start, and reports that instead of the message.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        std::eprintln!("{}", message);
        std::process::abort();
    })
}

#[cfg(not(feature = "std"))]
pub(super) fn or_abort<R>(message: &str, run: impl FnOnce() -> R) -> R {
    struct AbortOnUnwind<'a>(&'a str);

    impl Drop for AbortOnUnwind<'_> {
        fn drop(&mut self) {
            // A panic during unwinding: the panic handler prints the message, and the process aborts.
            panic!("{}", self.0);
        }
    }

    let abort = AbortOnUnwind(message);
    let result = run();
    core::mem::forget(abort);
    result
}

/// Ends the calling thread's record: empties its entries, and pools or frees it.
///
/// Only from here on can other threads inherit its object-owned values. Not earlier: a closure of the thread may still use one, for
/// example if it calls `exit` while other threads run.
///
/// # Safety
/// The record is the calling thread's, is not in its root slot any more, has no values with a destructor, and is not used afterwards.
pub(super) unsafe fn end(pointer: NonNull<Record>) {
    // SAFETY: the record is alive until `push` or `free` below (invariant 9).
    let record = unsafe { pointer.as_ref() };
    let stripe = record.stripe();
    if record.needs_emptying() {
        empty_record(record);
    }
    let holding = record.has_object_owned();
    if record.has_long_table() && !holding {
        let old = shared::stripe(stripe).own(record).replace_table(record::Table::NONE);
        drop(old);
    }
    if record.numbers.has_many() {
        shared::give_back(&record.numbers, false);
    }
    // SAFETY: the record is in no root slot, has no values with a destructor (this function's contract) and no others of the thread
    // (`empty_record`). After `push` it is used only if the pool did not take it.
    unsafe {
        record.reset(holding);
        let mut pool = shared::pool();
        if pool.push(pointer, holding) {
            let unused = pool.trim();
            drop(pool);
            if let Some(unused) = unused {
                free(unused);
            }
            return;
        }
    }
    // SAFETY: the record has ended, the pool did not take it, and it holds no values: the pool takes every record that does.
    unsafe { free(pointer) }
}

/// Frees a record.
///
/// # Safety
/// The record has ended, holds no values, is in its stripe but not pooled, and is not used afterwards.
unsafe fn free(pointer: NonNull<Record>) {
    // SAFETY: the record is in its stripe, so it is alive (invariant 9).
    let record = unsafe { pointer.as_ref() };
    let stripe = record.stripe();
    if !record.numbers.is_empty() {
        shared::give_back(&record.numbers, true);
    }
    shared::stripe(stripe).leave(pointer);
    shared::pool().count_left(stripe);
    // SAFETY: the record has ended, is not pooled, and has left its stripe: no other thread finds it.
    unsafe { Record::free(pointer) };
}

/// Empties the entries of thread-owned values.
fn empty_record(record: &Record) {
    let (mut memory, mut from) = (Chain::EMPTY, Some(0));
    while let Some(number) = from {
        let guard = shared::stripe(record.stripe());
        from = guard.own(record).empty_entries(number, |block| {
            // SAFETY: the block is from the global allocator, has no destructor, and was taken out of its entry under the lock.
            unsafe { memory.push(block) }
        });
    }
    // Blocks that droppers took out before are in the inbox by now (invariant 3).
    while let Some(orphan) = next_orphan(record) {
        drop(orphan);
    }
    drop(memory);
}

/// The first hook: the root key's destructor. Every system has it, and it ends the record.
///
/// Where the system calls destructors in rounds (POSIX), the hook puts the record back into the root slot and ends it in the first
/// round that finds nothing to destroy. Until then, other libraries' destructors that use objects find the record with its tags. A
/// record that was made after the thread-exit list has run ends in its first round, which may be the last one. No other record waits
/// for the last round, in which sanitizers have already freed their own per-thread state.
pub(super) unsafe extern "system" fn on_key_destructor(value: *mut c_void) {
    let (root, entries) = match (root::get(), NonNull::new(value.cast::<Entries>())) {
        (Some(root), Some(entries)) => (root, entries),
        _ => return,
    };
    let pointer = match record::record_at(entries) {
        Some(record) => record,
        None => {
            // Not on Windows, where the sentinel may be another fiber's: the slot is the calling fiber's.
            if System::DESTRUCTOR_REPEATS && !System::has_exit_list() {
                // SAFETY: the value is a sentinel or null.
                unsafe { root.store(record::next_ended(entries)) };
            }
            return;
        }
    };
    // On Windows the slot may hold another fiber's record, which must stay: `DeleteFiber` calls back on the calling fiber.
    let ours = root.load().map_or(true, |entries| entries == pointer.cast());
    if ours {
        // SAFETY: the value is the calling thread's record. If `store` fails, destructors that use objects make a new record.
        unsafe { root.store(Some(pointer.cast())) };
    }
    // SAFETY: the system passes the value that the ending thread (fiber, task) has set, and records end only below.
    let record = unsafe { pointer.as_ref() };
    let round = record.rounds.get() + 1;
    record.rounds.set(round);
    let found = destroy_values(record);
    if System::other_threads_were_killed() {
        // The process ends, perhaps inside an access: the rest is leaked.
        return;
    }
    if System::DESTRUCTOR_REPEATS && stays(record.exit_list.get(), round, found) {
        return;
    }
    // If the record could not be put back, a destructor may have made a new one, which ends in a later call.
    let ours = ours && root.load().map_or(true, |entries| entries == pointer.cast());
    if ours {
        // The allocator may use objects while the record ends: it gets `Recursive` instead of a new record.
        // SAFETY: the value is a sentinel.
        unsafe { root.store(Some(record::under_construction())) };
    }
    let exit_list = record.exit_list.get();
    // SAFETY: `destroy_values` has left no value with a destructor, and the root slot does not hold the record.
    unsafe { end(pointer) };
    if ours {
        // The sentinel tells a record that is made from now on that it is late. It causes one more call of this hook, which must not
        // be in the last round if there are sanitizers. Without an exit list, which would tell, it stays for all rounds of POSIX.
        let late = System::DESTRUCTOR_REPEATS
            && (!System::has_exit_list() || (exit_list == ExitList::HasRun && round == 2));
        // SAFETY: the value is a sentinel or null.
        unsafe { root.store(if late { record::ended(0) } else { None }) };
    }
}

/// Whether a record stays for one more round of destructors.
fn stays(exit_list: ExitList, round: u8, found: bool) -> bool {
    /// A record that stays in this round is ended in the third of at least four (PTHREAD_DESTRUCTOR_ITERATIONS).
    const LAST_TO_STAY: u8 = 2;
    match exit_list {
        // The record existed before the first round, so the system's round is known: it is `round`.
        ExitList::HasRun => round == 1 || (found && round <= LAST_TO_STAY),
        // The exit list had run before the record was made: the hook was registered too late to be called.
        ExitList::Registered if System::has_exit_list() => false,
        ExitList::TooLate => false,
        // Without an exit list, the system's round is not known: it may be later than `round`.
        ExitList::Registered => found && round <= LAST_TO_STAY,
        ExitList::NotRegistered => false,
    }
}

/// The second hook: the thread-exit list. It destroys values while C++'s and std's thread-locals are still usable. The record, with
/// the tags of the destroyed values, stays for the key's destructor.
unsafe extern "C" fn on_thread_exit(_: *mut c_void) {
    if let Some(current) = current() {
        current.exit_list.set(ExitList::HasRun);
        // May run inside itself if a destructor calls `exit`: the value that is being destroyed is in no list any more.
        destroy_values(&current);
    }
}

extern "C" fn on_process_exit() {
    // SAFETY: the hook may be called at any time, on any thread, with any argument.
    unsafe { on_thread_exit(ptr::null_mut()) }
}
