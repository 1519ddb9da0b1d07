//! The calling thread's record, and what the thread does with its own values and orphans.

use super::entries::State;
use super::record::{self, Current};
use super::root;
use super::shared;
use super::value::{Block, BlockState, OwnedBlock, Owner};
use core::cell::Cell;
use core::ptr::{self, NonNull};

/// This thread's record, if it has one.
#[inline]
pub(crate) fn current() -> Option<Current> {
    let entries = root::get()?.load();
    // SAFETY: the slot leads to a sentinel or to this thread's record, which it owns and which is alive (invariant 9).
    unsafe { record::record_at(entries).map(|record| Current::new(record)) }
}

impl Current {
    /// Takes the thread's value out of its entry and out of the thread's list.
    ///
    /// # Safety
    /// The slot number belongs to an object that the caller owns exclusively.
    #[inline]
    pub(super) unsafe fn take(self, number: u32) -> Option<NonNull<Block>> {
        let entry = self.entry(number)?;
        let block = match entry.state() {
            State::Value(block) => block,
            State::Destroyed => self.find_claimed(number)?,
            State::Vacant | State::Initializing => return None,
        };
        entry.set(State::Vacant);
        // SAFETY: a block in an entry or in the thread's list is alive (invariant 8). One with a destructor is in the list.
        unsafe {
            let vtable = block.as_ref().vtable;
            match vtable.owner {
                Owner::Thread if vtable.needs_drop() => {
                    self.unlink(block);
                    if block.as_ref().state().is_borrowed() {
                        // The process exits from inside `with_mut`, and a destructor drops the object. The value is leaked.
                        return None;
                    }
                }
                Owner::Thread => {}
                Owner::Object => self.count_object_owned_taken(),
            }
        }
        Some(block)
    }

    /// The ownership of a thread-owned value.
    ///
    /// # Safety
    /// `take` returned the block. The result is not used after the record has ended.
    pub(super) unsafe fn owned<'a>(self, block: NonNull<Block>) -> OwnedBlock<'a> {
        // SAFETY: the block is in no entry and in no list, because `take` returned it. The record, and its arena, is alive until it ends,
        // and the result is not used afterwards (this function's contract).
        unsafe { OwnedBlock::new(block, Some(&*ptr::addr_of!(self.arena))) }
    }
}

/// Clears a flag when it is dropped.
pub(super) struct Unset<'a>(pub(super) &'a Cell<bool>);

impl Drop for Unset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Destroys the orphans of the calling thread.
#[cold]
pub(super) fn reclaim_orphans(current: Current) {
    // A destructor may call this function again. It then leaves the rest to the loop below: recursion could overflow the stack.
    if current.reclaiming.replace(true) {
        return;
    }
    let _done = Unset(&current.reclaiming);
    while let Some(orphan) = next_orphan(&current) {
        drop(orphan);
    }
}

/// Takes an orphan, if there is one.
pub(super) fn next_orphan(current: &Current) -> Option<OwnedBlock<'_>> {
    while current.has_orphans() {
        let block = match current.pop_orphan() {
            Some(block) => block,
            None => {
                shared::stripe(current.stripe()).own(*current).empty_inbox();
                continue;
            }
        };
        // SAFETY: an orphan is alive, in no entry, and after `pop_orphan` in no list. This is its thread, which may destroy it.
        unsafe {
            // A borrowed value is leaked: the process exits from inside `with_mut`.
            if !block.as_ref().state().is_borrowed() {
                return Some(OwnedBlock::new(block, Some(&current.arena)));
            }
        }
    }
    None
}

/// Destroys the calling thread's values of dropped objects.
pub(crate) fn reclaim() {
    if let Some(current) = current() {
        reclaim_orphans(current);
    }
}

/// A guard that marks a value as borrowed by `with_mut`, so that it is not destroyed if the process exits meanwhile.
pub(crate) struct Borrowed(NonNull<Block>, BlockState);

impl Borrowed {
    /// # Safety
    /// The block is the calling thread's value of an object that is borrowed exclusively while the guard lives.
    pub(crate) unsafe fn new(block: NonNull<Block>) -> Self {
        // SAFETY: the block is alive: its object is borrowed exclusively, on the block's thread (this function's contract).
        let header = unsafe { block.as_ref() };
        let before = header.state();
        header.set_state(if before.is_claimed() {
            BlockState::ClaimedAndBorrowed
        } else {
            BlockState::Borrowed
        });
        Borrowed(block, before)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // SAFETY: the block is alive while the guard lives (`new`).
        unsafe { self.0.as_ref().set_state(self.1) };
    }
}
