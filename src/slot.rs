//! The one word through which an object finds its values: the root slot's key and the object's slot number, packed, so
//! that the fast path loads one thing and touches no global.
//!
//! ```text
//! packed      | key                | 0  slot number           |   the key fits the upper half, the number the rest
//! unpacked    | slot number, upper | 1  slot number, lower    |   the key is looked up in `root`
//! unassigned  | 1 1 1 1 1 1 1 1 1  | 1  1 1 1 1 1 1 1 1       |
//! ```
//!
//! The halves are 32 bits wide on 64-bit targets and 16 on 32-bit ones. Both kinds of "not packed" have the lower
//! half's top bit set, so that `lower half < INLINE` says in one comparison that everything is where it should be.

use crate::node::Node;
use crate::record::{self, INLINE};
use crate::root;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

const HALF: u32 = usize::BITS / 2;
const LOWER: usize = (1 << HALF) - 1;
const UNPACKED: usize = 1 << (HALF - 1);
const UNASSIGNED: usize = usize::MAX;

/// Ordering: a thread that sees a slot number must see the key it goes with created, and the hooks installed. The number
/// is stored with release after that, and loaded with acquire.
pub(crate) struct SlotWord(AtomicUsize);

impl SlotWord {
    pub(crate) const fn new() -> Self {
        SlotWord(AtomicUsize::new(UNASSIGNED))
    }

    /// This thread's node of the object, if it is there and the word is packed: the fast path of every access.
    ///
    /// # Safety
    /// The word belongs to one object, and its number, once assigned, to nobody else.
    #[inline(always)]
    pub(crate) unsafe fn find(&self) -> Option<NonNull<Node>> {
        let word = self.0.load(Ordering::Acquire);
        let number = word & LOWER;
        if number < INLINE {
            // SAFETY: the lower half is below `UNPACKED`, so the upper half is what `root::locate` gave.
            let record = unsafe { root::read(word >> HALF)? };
            // SAFETY: a record in the root slot is alive, and `number` is below `INLINE`.
            unsafe { record.as_ref().inline_entry(number).node() }
        } else {
            // SAFETY: as the caller promises.
            unsafe { Self::find_in_table(word) }
        }
    }

    /// The same for numbers beyond the inline entries.
    #[inline(always)]
    unsafe fn find_in_table(word: usize) -> Option<NonNull<Node>> {
        let number = word & LOWER;
        if number >= UNPACKED {
            return None;
        }
        // SAFETY: as in `find`.
        let record = unsafe { root::read(word >> HALF)? };
        // SAFETY: a record in the root slot is alive, and it is this thread's.
        unsafe { record.as_ref().table_entry(number - INLINE)?.node() }
    }

    /// The slot number, if one is assigned.
    pub(crate) fn number(&self) -> Option<u32> {
        let word = self.0.load(Ordering::Acquire);
        if word == UNASSIGNED {
            None
        } else if word & UNPACKED == 0 {
            Some((word & LOWER) as u32)
        } else {
            Some((word >> HALF << (HALF - 1) | word & (UNPACKED - 1)) as u32)
        }
    }

    /// Assigns `number`. Called under the registry's lock, so that an object gets one number.
    pub(crate) fn assign(&self, number: u32, locator: Option<usize>) {
        debug_assert!(self.number().is_none());
        self.0.store(pack(number as usize, locator), Ordering::Release);
    }

    /// The largest number that the word can hold.
    pub(crate) const MAX_NUMBER: usize =
        if usize::BITS == 64 { record::NO_SLOT as usize - 1 } else { (UNASSIGNED >> 1) - 1 };
}

fn pack(number: usize, locator: Option<usize>) -> usize {
    debug_assert!(number <= SlotWord::MAX_NUMBER);
    match locator {
        Some(locator) if locator <= LOWER && number < UNPACKED => locator << HALF | number,
        _ => number >> (HALF - 1) << HALF | UNPACKED | number & (UNPACKED - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_back_its_number_in_every_form() {
        let numbers = [0, 1, 31, 32, UNPACKED - 1, UNPACKED, UNPACKED + 1, SlotWord::MAX_NUMBER];
        for number in numbers.iter().filter(|&&n| n <= SlotWord::MAX_NUMBER) {
            for locator in [Some(0), Some(5), Some(LOWER), Some(LOWER + 1), None] {
                let word = SlotWord::new();
                assert_eq!(word.number(), None);
                word.assign(*number as u32, locator);
                assert_eq!(word.number(), Some(*number as u32), "{} {:?}", number, locator);
            }
        }
    }

    #[test]
    fn only_a_packed_word_passes_for_a_slot_number() {
        assert!(pack(31, Some(LOWER)) & LOWER < INLINE);
        assert!(pack(31, Some(LOWER + 1)) & LOWER >= UNPACKED);
        assert!(pack(31, None) & LOWER >= UNPACKED);
        assert!(SlotWord::new().0.into_inner() & LOWER >= UNPACKED);
        assert!(pack(SlotWord::MAX_NUMBER, None) != UNASSIGNED);
    }
}
