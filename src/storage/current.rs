//! The calling thread's record, and what the thread does with the values in it by itself.

use super::record::{self, Record, State};
use super::root;
use super::shared;
use super::value::{Block, BlockState, OwnedBlock, Owner};
use core::cell::Cell;
use core::ops::Deref;
use core::ptr::NonNull;

/// The calling thread's record. Not `Send`, and not kept: the record lives until its thread has exited.
#[derive(Clone, Copy)]
pub(crate) struct Current(NonNull<Record>);

impl Deref for Current {
    type Target = Record;

    fn deref(&self) -> &Record {
        // SAFETY: the thread that has this handle has not exited.
        unsafe { self.0.as_ref() }
    }
}

/// This thread's record, if it has one.
#[inline]
pub(crate) fn current() -> Option<Current> {
    record::record_at(root::get()?.load()?).map(Current)
}

impl Current {
    /// # Safety
    /// The record is the calling thread's.
    #[inline]
    pub(super) unsafe fn new(record: NonNull<Record>) -> Current {
        Current(record)
    }
}

impl Current {
    /// Takes this thread's value out of its entry and out of the thread's list.
    ///
    /// # Safety
    /// The number is that of an object which the caller owns exclusively.
    #[inline]
    pub(super) unsafe fn take(self, number: u32) -> Option<NonNull<Block>> {
        let entry = self.entry(number)?;
        let block = match entry.state() {
            State::Value(block) => block,
            State::Destroyed => self.find_claimed(number)?,
            State::Vacant | State::Initializing => return None,
        };
        entry.set(State::Vacant);
        // SAFETY: a block with a destructor that is in an entry, or claimed, is in its thread's list.
        unsafe {
            let vtable = block.as_ref().vtable;
            match vtable.owner {
                Owner::Thread if vtable.needs_drop() => {
                    self.unlink(block);
                    if block.as_ref().state.get().is_borrowed() {
                        // The process exits from inside `with_mut`, and the object was in another value. This one stays.
                        return None;
                    }
                }
                Owner::Thread => {}
                Owner::Object => self.object_owned.set(self.object_owned.get().wrapping_sub(1)),
            }
        }
        Some(block)
    }

    /// What `take` gave, of an object that does not own its values.
    ///
    /// # Safety
    /// The block is in no entry and in no list. The result is not used after this thread's record has ended.
    pub(super) unsafe fn owned<'a>(self, block: NonNull<Block>) -> OwnedBlock<'a> {
        // SAFETY: the record lives until the thread exits; its arena is the block's.
        unsafe { OwnedBlock::new(block, Some(&self.0.as_ref().arena)) }
    }
}

/// Says that something is over, when it is dropped.
pub(super) struct Unset<'a>(pub(super) &'a Cell<bool>);

impl Drop for Unset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Destroys what dropped objects left on this thread.
#[cold]
pub(super) fn reclaim_orphans(current: Current) {
    // A destructor that comes here again leaves the rest to the loop below it: otherwise long lists would nest as deep.
    if current.reclaiming.replace(true) {
        return;
    }
    let _done = Unset(&current.reclaiming);
    while let Some(orphan) = next_orphan(&current) {
        drop(orphan);
    }
}

pub(super) fn next_orphan(record: &Record) -> Option<OwnedBlock<'_>> {
    while record.has_orphans() {
        let block = match record.pop_orphan() {
            Some(block) => block,
            None => {
                shared::stripe(record.stripe()).own(record).empty_inbox();
                continue;
            }
        };
        // SAFETY: an orphan is in no entry and in no list, and its record's thread is the one that may destroy it.
        unsafe {
            // A borrowed one stays: see `take`.
            if !block.as_ref().state.get().is_borrowed() {
                return Some(OwnedBlock::new(block, Some(&record.arena)));
            }
        }
    }
    None
}

/// Destroys the values that dropped objects left on this thread.
pub(crate) fn reclaim() {
    if let Some(current) = current() {
        reclaim_orphans(current);
    }
}

/// Says of a value that its thread is inside `with_mut`, until it is dropped.
pub(crate) struct Borrowed(NonNull<Block>, BlockState);

impl Borrowed {
    /// # Safety
    /// The block is this thread's value of an object that is borrowed exclusively for as long as the guard lives.
    pub(crate) unsafe fn new(block: NonNull<Block>) -> Self {
        // SAFETY: the block is alive while its object is borrowed exclusively on its thread.
        let state = unsafe { &block.as_ref().state };
        let before = state.get();
        state.set(if before.is_claimed() {
            BlockState::ClaimedAndBorrowed
        } else {
            BlockState::Borrowed
        });
        Borrowed(block, before)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // SAFETY: as in `new`.
        unsafe { self.0.as_ref().state.set(self.1) };
    }
}
