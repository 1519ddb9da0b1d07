//! The word of an object: the location of the root slot and the object's slot number, packed so that the fast path loads one word
//! and reads no static.
//!
//! ```text
//! packed      | root slot          | 0 0 0  slot number         |   both fit; the normal form
//! keyed       | key                | 1 0 0  slot number         |   the target can have a thread word, but it was refused;
//!             | key                | 0 0 1  slot number         |   the same, for numbers from `INLINE` on
//! unpacked    | slot number, upper | 0 1    slot number, lower  |   one of them does not fit: the key is read from `root`
//! unassigned  | 1 1 1 1 1 1 1 1 1  | 0 1    1 1 1 1 1 1 1       |
//! ```
//!
//! The halves have 32 bits on 64-bit targets and 16 on 32-bit targets. All forms but "packed" set one of the top bits of the lower half. So a
//! single comparison, `lower half < INLINE`, tells the fast path that the word is packed and that the entry is inline; and if not, the sign of
//! the lower half tells that the word is keyed and the entry inline. Targets without a thread word have the forms "packed" and "unpacked",
//! which is marked by the top bit there.

use super::numbers::MAX_NUMBER;
use super::SMALL;
use crate::sys::word;
use core::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const HALF: u32 = usize::BITS / 2;
pub(crate) const LOWER: usize = (1 << HALF) - 1;
/// The number of entries inside a record. A task of a small target uses few objects.
pub(crate) const INLINE: usize = if SMALL { 16 } else { 32 };

/// The top bit of the lower half, which marks the form "keyed" of an inline number.
pub(crate) const KEYED_INLINE: usize = 1 << (HALF - 1);
pub(crate) const UNPACKED: usize = if word::POSSIBLE { KEYED_INLINE >> 1 } else { KEYED_INLINE };
/// The bit that marks the form "keyed" of the other numbers. Where that form is not used, the bit belongs to the number.
pub(crate) const KEYED: usize = if word::POSSIBLE { UNPACKED >> 1 } else { UNPACKED };
const UNASSIGNED: usize = if word::POSSIBLE { usize::MAX ^ KEYED_INLINE } else { usize::MAX };

/// The location of the root slot, as a word holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locator {
    /// An argument for `root::read`.
    Read(usize),
    /// An argument for `root::read_key`: the target can have a thread word, but it was refused.
    ReadKey(usize),
}

/// An object's word. A number is assigned once and never changes.
///
/// Ordering: a thread that loads an assigned word must be able to use the root key and the number's mask, so it must see the key
/// created and the bucket of masks published. The assigning thread did or saw both before it stores the word with release; the
/// word is loaded with acquire.
pub(crate) struct SlotWord(AtomicUsize);

impl SlotWord {
    pub(crate) const fn new() -> Self {
        SlotWord(AtomicUsize::new(UNASSIGNED))
    }

    #[inline(always)]
    pub(crate) fn load(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// The slot number, if one is assigned.
    #[inline]
    pub(crate) fn number(&self) -> Option<u32> {
        match self.load() {
            UNASSIGNED => None,
            word => Some(number_of(word)),
        }
    }

    /// The slot number, if one is assigned and the word is packed.
    #[inline(always)]
    pub(crate) fn packed_number(&self) -> Option<u32> {
        let lower = self.load() & LOWER;
        if lower < KEYED {
            Some(lower as u32)
        } else {
            None
        }
    }

    /// Assigns `number`. If another thread was first, returns the number that it assigned.
    pub(crate) fn assign(&self, number: u32, locator: Locator) -> Result<(), u32> {
        let word = pack(number as usize, locator);
        match self.0.compare_exchange(UNASSIGNED, word, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(word) => Err(number_of(word)),
        }
    }
}

#[inline]
fn number_of(word: usize) -> u32 {
    if word & UNPACKED == 0 {
        (word & (KEYED - 1)) as u32
    } else {
        (word >> HALF << UNPACKED.trailing_zeros() | word & (UNPACKED - 1)) as u32
    }
}

fn pack(number: usize, locator: Locator) -> usize {
    debug_assert!(number <= MAX_NUMBER);
    match locator {
        Locator::Read(upper) if upper <= LOWER && number < KEYED => upper << HALF | number,
        Locator::ReadKey(upper) if upper <= LOWER && number < KEYED => {
            upper << HALF | number | if number < INLINE { KEYED_INLINE } else { KEYED }
        }
        _ => {
            let (upper, lower) = (number >> UNPACKED.trailing_zeros(), number & (UNPACKED - 1));
            upper << HALF | UNPACKED | lower
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_back_its_number_in_every_form() {
        let numbers =
            [0, 1, 31, 32, KEYED - 1, KEYED, UNPACKED - 1, UNPACKED, UNPACKED + 1, MAX_NUMBER];
        let mut locators = [0, 5, LOWER, LOWER + 1].map(Locator::Read).to_vec();
        if word::POSSIBLE {
            locators.extend([0, 5, LOWER, LOWER + 1].map(Locator::ReadKey));
        }
        for number in numbers.iter().filter(|&&n| n <= MAX_NUMBER) {
            for &locator in &locators {
                let word = SlotWord::new();
                assert_eq!(word.number(), None);
                assert_eq!(word.assign(*number as u32, locator), Ok(()));
                assert_eq!(word.assign(7, locator), Err(*number as u32));
                assert_eq!(word.number(), Some(*number as u32), "{} {:?}", number, locator);
                let packed =
                    *number < KEYED && matches!(locator, Locator::Read(upper) if upper <= LOWER);
                assert_eq!(word.packed_number().is_some(), packed, "{} {:?}", number, locator);
                assert!(!packed || word.packed_number() == word.number());
            }
        }
    }

    #[test]
    fn only_a_packed_word_passes_for_a_slot_number() {
        use Locator::*;
        const LAST: usize = INLINE - 1;
        assert_eq!(pack(LAST, Read(5)) >> HALF, 5);
        assert_eq!(pack(LAST, ReadKey(5)) >> HALF, 5);
        assert!(pack(LAST, Read(LOWER)) & LOWER < INLINE);
        assert!(pack(LAST, Read(LOWER + 1)) & LOWER >= UNPACKED);
        if word::POSSIBLE {
            assert_eq!(pack(LAST, ReadKey(LOWER)) & LOWER, KEYED_INLINE | LAST);
            assert_eq!(pack(INLINE, ReadKey(LOWER)) & LOWER, KEYED | INLINE);
            for word in [pack(LAST, ReadKey(LOWER + 1)), UNASSIGNED, pack(MAX_NUMBER, Read(0))] {
                assert!(word & UNPACKED != 0 && word & KEYED_INLINE == 0);
            }
        }
        assert!(SlotWord::new().0.into_inner() & LOWER >= UNPACKED);
        assert_eq!(SlotWord::new().packed_number(), None);
        assert!(pack(MAX_NUMBER, Read(0)) != UNASSIGNED);
    }
}
