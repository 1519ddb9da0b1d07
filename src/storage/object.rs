//! What an exclusive owner does with an object: its values are taken out, or end with it.

use super::current::{current, Current};
use super::numbers::{self, Whereabouts};
use super::packed::SlotWord;
use super::record::State;
use super::shared;
use super::value::{Block, Chain, OwnedBlock, Owner};
use core::ptr::NonNull;

/// This thread's value of an object in every form of the word, if it is there.
#[cold]
pub(crate) fn lookup_slow(word: &SlotWord) -> Option<NonNull<Block>> {
    let number = word.number()?;
    let current = current()?;
    match current.entry(number)?.state() {
        State::Value(block) => Some(block),
        State::Destroyed => current.find_claimed(number),
        State::Vacant | State::Initializing => None,
    }
}

/// Takes this thread's value of an object out.
///
/// # Safety
/// The word is an object's that the caller owns exclusively, and that does not own its values.
pub(crate) unsafe fn remove<'a>(word: &SlotWord) -> Option<OwnedBlock<'a>> {
    let (number, current) = (word.number()?, current()?);
    // SAFETY: the caller owns the object exclusively.
    unsafe { current.take(number).map(|block| current.owned(block)) }
}

/// Takes this thread's value of an object that owns it out of its entry. It is still in the object's list.
///
/// # Safety
/// The word is an object's that the caller owns exclusively.
pub(crate) unsafe fn remove_from_entry(word: &SlotWord) -> Option<NonNull<Block>> {
    let (number, current) = (word.number()?, current()?);
    // SAFETY: the caller owns the object exclusively.
    unsafe { current.take(number) }
}

/// The number of an object that is gone: the thread keeps it for its next object, or gives it back.
///
/// Invariant 1: every record's entry for it is null.
fn release(number: u32, current: Option<Current>) {
    match current {
        Some(current) => {
            if current.numbers.is_full() {
                shared::give_back(&current.numbers, false);
            }
            current.numbers.insert(number);
        }
        None => {
            let mut numbers = shared::numbers();
            numbers.give_back(number);
            numbers.set_limit();
        }
    }
}

/// Empties all entries of an object, but this thread's. Values that only their own thread may destroy or free are left to it;
/// the chain has those that are nothing but memory.
///
/// # Safety
/// The word is an object's that the caller owns exclusively, and this thread's entry is empty.
unsafe fn detach_others(number: u32, current: Option<Current>) -> Chain {
    let mut chain = Chain::EMPTY;
    let mut visit = |stripe: usize, token: Option<usize>| {
        let guard = shared::stripe(stripe);
        for record in guard.records() {
            if token.map_or(false, |token| token != record.token()) {
                continue;
            }
            let block = match record.take(number) {
                Some(block) => block,
                None => continue,
            };
            // SAFETY: a block in an entry is alive, and it was taken out under this hold of the lock. Invariant 3.
            unsafe {
                let header = block.as_ref();
                match header.vtable.owner {
                    // The object's own list leads to it.
                    Owner::Object => {}
                    Owner::Thread if header.vtable.needs_drop() || header.in_arena => {
                        record.push_orphan(block)
                    }
                    Owner::Thread => chain.push(block),
                }
            }
        }
    };
    // SAFETY: the object has the number.
    match unsafe { numbers::mask(number) }.whereabouts() {
        Whereabouts::Nowhere => {}
        Whereabouts::Record(token) if current.map_or(false, |own| own.token() == token) => {}
        Whereabouts::Record(token) => visit(numbers::stripe_of(token), Some(token)),
        Whereabouts::Stripes(stripes) => stripes.for_each(|stripe| visit(stripe, None)),
    }
    chain
}

/// Empties all entries of an object whose values belong to it. They are in the object's list only, then.
///
/// # Safety
/// The word is an object's that the caller owns exclusively.
pub(crate) unsafe fn detach_all(word: &SlotWord) {
    if let Some(number) = word.number() {
        let current = current();
        // SAFETY: the caller owns the object exclusively.
        unsafe {
            current.and_then(|current| current.take(number));
            let memory = detach_others(number, current);
            drop(memory);
        }
    }
}

/// The end of an object: its values are destroyed, or left to their threads or to the object's list; and its number is free.
///
/// # Safety
/// The word is an object's that the caller owns exclusively, and that is not used again.
#[inline]
pub(crate) unsafe fn drop_object(word: &SlotWord) {
    if let Some(number) = word.number() {
        // SAFETY: the caller keeps to this function's conditions, which are the same.
        unsafe { drop_used_object(number) }
    }
}

/// # Safety
/// The number is that of an object which the caller owns exclusively, and which is not used again.
unsafe fn drop_used_object(number: u32) {
    let current = current();
    let mut own = None;
    // SAFETY: the caller owns the object exclusively. What stands in this thread's entry is this thread's to destroy, unless the
    // object's list has it.
    unsafe {
        if let Some(current) = current {
            own = current
                .take(number)
                .filter(|block| block.as_ref().vtable.owner == Owner::Thread)
                .map(|block| current.owned(block));
            // A tag, of a value that the exiting thread has destroyed.
            if let Some(entry) = current.entry(number) {
                entry.set(State::Vacant);
            }
        }
        let only_here = current.map_or(false, |own| numbers::mask(number).is_only(own.token()));
        if only_here {
            release(number, current);
            // Only now, because user code may run.
            drop(own);
        } else {
            let memory = detach_others(number, current);
            release(number, current);
            drop(own);
            drop(memory);
        }
    }
}
