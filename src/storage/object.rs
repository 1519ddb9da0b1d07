//! What the exclusive owner of an object does: look a value up on the cold path, take values out, drop the object.

use super::current::current;
use super::entries::State;
use super::numbers::{self, Holders};
use super::packed::SlotWord;
use super::record::Current;
use super::shared;
use super::token::stripe_of;
use super::value::{Block, Chain, OwnedBlock, Owner};
use core::num::NonZeroU16;
use core::ptr::NonNull;

/// The calling thread's value of an object, for every form of the word.
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

/// Takes the calling thread's value out of an object that does not own its values.
///
/// # Safety
/// The caller owns the object of this word exclusively, and the object does not own its values. The result is not used after the
/// thread's record has ended.
pub(crate) unsafe fn remove<'a>(word: &SlotWord) -> Option<OwnedBlock<'a>> {
    let (number, current) = (word.number()?, current()?);
    // SAFETY: the caller owns the object exclusively, and does not use the result too long (this function's contract).
    unsafe { current.take(number).map(|block| current.owned(block)) }
}

/// Takes the calling thread's value out of its entry, for an object that owns its values. The value stays in the object's list.
///
/// # Safety
/// The caller owns the object of this word exclusively.
pub(crate) unsafe fn remove_from_entry(word: &SlotWord) -> Option<NonNull<Block>> {
    let (number, current) = (word.number()?, current()?);
    // SAFETY: the caller owns the object exclusively (this function's contract).
    unsafe { current.take(number) }
}

/// Makes the calling thread's entry vacant. Its value stays in the object's list, and no thread inherits it.
///
/// # Safety
/// The object owns its values.
#[cold]
pub(crate) unsafe fn detach_own(word: &SlotWord) {
    // As `Current::take`, for an object that other threads share: there is no dropper, and the entry is this thread's (invariant 2).
    if let (Some(number), Some(current)) = (word.number(), current()) {
        match current.entry(number) {
            Some(entry) if matches!(entry.state(), State::Value(_)) => {
                entry.set(State::Vacant);
                current.count_object_owned_taken();
            }
            _ => {}
        }
    }
}

/// The calling thread's life in its record, if it has a record.
#[cold]
pub(crate) fn life() -> Option<NonZeroU16> {
    current()?.entries().life()
}

/// Frees the slot number of a dropped object: the thread caches it for its next object, or gives it back.
///
/// The entry for it must be vacant in every record (invariant 1).
fn release(number: u32, current: Option<Current>) {
    match current {
        // A late record may be leaked, so it keeps no numbers.
        Some(current) if !current.is_late() && current.numbers.may_keep() => {
            if current.numbers.is_full() {
                shared::give_back(&current.numbers, false);
            }
            current.numbers.insert(number);
        }
        _ => {
            let mut numbers = shared::numbers();
            numbers.give_back(number);
            numbers.set_limit();
        }
    }
}

/// Empties the entries of all other threads for an object. Pushes values that only their own thread may destroy or free to its inbox;
/// returns those that are memory of the global allocator without a destructor.
///
/// # Safety
/// The slot number belongs to an object that the caller owns exclusively, and the calling thread's entry is vacant.
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
            // SAFETY: the block was in an entry, so it is alive (invariant 8). It was taken out under this lock acquisition, so this
            // thread is responsible for it (invariant 3), and no other list has a block without a destructor.
            unsafe {
                let header = block.as_ref();
                match header.vtable.owner {
                    // The object's list leads to the block.
                    Owner::Object => {}
                    Owner::Thread if header.vtable.needs_drop() || header.in_arena => {
                        record.push_orphan(block)
                    }
                    Owner::Thread => chain.push(block),
                }
            }
        }
    };
    // SAFETY: the number was handed out: an object has it (this function's contract).
    match unsafe { numbers::mask(number) }.holders() {
        Holders::Nowhere => {}
        Holders::Record(token) if current.map_or(false, |own| own.token() == token) => {}
        Holders::Record(token) => visit(stripe_of(token), Some(token)),
        Holders::Stripes(stripes) => stripes.for_each(|stripe| visit(stripe, None)),
    }
    chain
}

/// Empties all entries for an object that owns its values, which are then in the object's list only.
///
/// # Safety
/// The caller owns the object of this word exclusively.
pub(crate) unsafe fn detach_all(word: &SlotWord) {
    if let Some(number) = word.number() {
        let current = current();
        // SAFETY: the caller owns the object exclusively (this function's contract), and `take` makes this thread's entry vacant.
        unsafe {
            current.and_then(|current| current.take(number));
            let memory = detach_others(number, current);
            drop(memory);
        }
    }
}

/// Drops an object: destroys the calling thread's value, leaves the other values to their threads or to the object's list, and frees
/// the slot number.
///
/// # Safety
/// The caller owns the object of this word exclusively, and does not use it afterwards.
#[inline]
pub(crate) unsafe fn drop_object(word: &SlotWord) {
    if let Some(number) = word.number() {
        // SAFETY: the caller owns the object exclusively and does not use it afterwards (this function's contract).
        unsafe { drop_used_object(number) }
    }
}

/// # Safety
/// The slot number belongs to an object that the caller owns exclusively and does not use afterwards.
unsafe fn drop_used_object(number: u32) {
    let current = current();
    let mut own = None;
    if let Some(current) = current {
        // SAFETY: the caller owns the object exclusively (this function's contract).
        let block = unsafe { current.take(number) };
        own = block
            // SAFETY: a block that `take` returns is alive.
            .filter(|block| unsafe { block.as_ref() }.vtable.owner == Owner::Thread)
            // SAFETY: `take` returned the block. The value is dropped below, before the record can end.
            .map(|block| unsafe { current.owned(block) });
        // The entry may still have the tag of a value that this exiting thread has destroyed.
        if let Some(entry) = current.entry(number) {
            entry.set(State::Vacant);
        }
    }
    // SAFETY: the number was handed out: the object has it.
    let mask = unsafe { numbers::mask(number) };
    if current.map_or(false, |own| mask.is_only(own.token())) {
        release(number, current);
        // After `release`: the destructor may use the crate, and even create an object with this number.
        drop(own);
    } else {
        // SAFETY: the caller owns the object exclusively (this function's contract), and this thread's entry is vacant.
        let memory = unsafe { detach_others(number, current) };
        release(number, current);
        drop(own);
        drop(memory);
    }
}
