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

/// Destroys every value of a thread that has a destructor, newest first, including any that destructors create; then the orphans. `true`
/// if there was one.
fn destroy_values(record: &Record) -> bool {
    or_abort(PANICKED, || {
        let mut found = false;
        loop {
            let value = match record.newest() {
                Some((block, true)) => {
                    // SAFETY: the block is in the thread's list, and claimed: no other thread has it or will have it.
                    unsafe {
                        record.unlink(block);
                        OwnedBlock::new(block, Some(&record.arena))
                    }
                }
                Some((_, false)) => {
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

/// There is no frame to unwind to at a thread's end: std aborts there too.
#[cfg(feature = "std")]
pub(super) fn or_abort<R>(message: &str, run: impl FnOnce() -> R) -> R {
    use std::panic::{catch_unwind, AssertUnwindSafe};

    // Caught, because an unwinder that finds no frame which catches does not begin, and reports that instead of the message.
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
            // A panic while another one unwinds: the panic handler prints it, then the process aborts.
            panic!("{}", self.0);
        }
    }

    let abort = AbortOnUnwind(message);
    let result = run();
    core::mem::forget(abort);
    result
}

/// The end of a thread's record. Only now its object-owned values are for other threads: until here the thread may have used its
/// own, also when it is the one that ends the process while others run, from the middle of a closure that has the value.
///
/// # Safety
/// The record is this thread's, in no root slot any more, and has no values with a destructor.
pub(super) unsafe fn end(pointer: NonNull<Record>) {
    // SAFETY: the record is alive until it is freed below.
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
    // SAFETY: as new but for what is the object's, and given up.
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
    // SAFETY: the pool did not take it.
    unsafe { free(pointer) }
}

/// # Safety
/// The record has ended, holds no values, is not pooled, and is given up.
unsafe fn free(pointer: NonNull<Record>) {
    // SAFETY: the record is alive.
    let record = unsafe { pointer.as_ref() };
    let stripe = record.stripe();
    if !record.numbers.is_empty() {
        shared::give_back(&record.numbers, true);
    }
    shared::stripe(stripe).leave(pointer);
    shared::pool().count_left(stripe);
    // SAFETY: the record has left its stripe, so no other thread finds it.
    unsafe { Record::free(pointer) };
}

/// Empties the entries that end with the thread.
fn empty_record(record: &Record) {
    let (mut memory, mut from) = (Chain::EMPTY, Some(0));
    while let Some(number) = from {
        let guard = shared::stripe(record.stripe());
        from = guard.own(record).empty_entries(number, |block| {
            // SAFETY: a block from the global allocator without a destructor, which was just taken out of its entry.
            unsafe { memory.push(block) }
        });
    }
    // What droppers took out before: they held the lock until it was in the inbox.
    while let Some(orphan) = next_orphan(record) {
        drop(orphan);
    }
    drop(memory);
}

/// The first hook: the root key's destructor. Everywhere, and the one that ends the record.
///
/// Where the system calls it in rounds (POSIX), the record is put back, and ends in the first round that finds nothing to destroy: until
/// then the destructors of other libraries that use our objects find it, with its tags. A record that was made after the thread-exit
/// list has run may be in the last round, so it ends at its first visit. No other is held until the last round, where sanitizers have
/// taken their own state down.
pub(super) unsafe extern "system" fn on_key_destructor(value: *mut c_void) {
    let (root, entries) = match (root::get(), NonNull::new(value.cast::<Entries>())) {
        (Some(root), Some(entries)) => (root, entries),
        _ => return,
    };
    let pointer = match record::record_at(entries) {
        Some(record) => record,
        None => {
            if !System::has_exit_list() {
                // SAFETY: a sentinel, or null.
                unsafe { root.store(record::next_ended(entries)) };
            }
            return;
        }
    };
    // On Windows another fiber's record can stand there: `DeleteFiber` calls back on the fiber that deletes. That one stays.
    let ours = root.load().map_or(true, |entries| entries == pointer.cast());
    if ours {
        // SAFETY: the record of this thread. If it fails, destructors that use our objects get a new record.
        unsafe { root.store(Some(pointer.cast())) };
    }
    // SAFETY: the system gives the record that was set, on the context that ends.
    let record = unsafe { pointer.as_ref() };
    let round = record.rounds.get() + 1;
    record.rounds.set(round);
    let found = destroy_values(record);
    if System::other_threads_were_killed() {
        // The process ends, maybe from inside an access: what was not destroyed stays where it is, and so does the record.
        return;
    }
    if System::DESTRUCTOR_REPEATS && stays(record.exit_list.get(), round, found) {
        return;
    }
    // If it could not be put back, a destructor may have made a new record, which ends in its own time.
    let ours = ours && root.load().map_or(true, |entries| entries == pointer.cast());
    if ours {
        // The allocator may use our objects while the record ends. For it there is none, and none is made.
        // SAFETY: a sentinel.
        unsafe { root.store(Some(record::under_construction())) };
    }
    let exit_list = record.exit_list.get();
    // SAFETY: it has no values with a destructor any more, and the root slot does not hold it.
    unsafe { end(pointer) };
    if ours {
        // The sentinel says that a record which is made now is late. It means one more call, which must not be in the last round
        // where there are sanitizers. Without an exit list it is the only sign, and stays for the rounds that POSIX asks for.
        let late = System::DESTRUCTOR_REPEATS
            && (!System::has_exit_list() || (exit_list == ExitList::HasRun && round == 2));
        // SAFETY: a sentinel, or null.
        unsafe { root.store(if late { record::ended(0) } else { None }) };
    }
}

/// Whether a record waits for one more round of destructors.
fn stays(exit_list: ExitList, round: u8, found: bool) -> bool {
    /// The last but one: POSIX asks for four rounds (PTHREAD_DESTRUCTOR_ITERATIONS), and every system has as many.
    const LAST_TO_STAY: u8 = 2;
    match exit_list {
        // The record was there before the first round: this is it, or the second.
        ExitList::HasRun => round == 1 || (found && round <= LAST_TO_STAY),
        // The thread's exit list has run before the record was made.
        ExitList::Registered if System::has_exit_list() => false,
        ExitList::TooLate => false,
        // Without an exit list the round is not known.
        ExitList::Registered => found && round <= LAST_TO_STAY,
        ExitList::NotRegistered => false,
    }
}

/// The second hook: the thread-exit list. It destroys values while C++'s and std's thread-locals live; the record stays
/// for the key's destructor, with the tags that say what is destroyed.
unsafe extern "C" fn on_thread_exit(_: *mut c_void) {
    if let Some(current) = current() {
        current.exit_list.set(ExitList::HasRun);
        // The record may be in the middle of this already (`exit` in a destructor): the value that is being destroyed is in no list
        // any more.
        destroy_values(&current);
    }
}

extern "C" fn on_process_exit() {
    // SAFETY: any time, any thread, any argument.
    unsafe { on_thread_exit(ptr::null_mut()) }
}
