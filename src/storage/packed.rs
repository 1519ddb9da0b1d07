//! The one word through which an object finds its values: the root slot's key and the object's slot number, packed, so
//! that the fast path loads one thing and touches no global.
//!
//! ```text
//! packed      | root slot          | 0 0  slot number           |   where it is fits the upper half, the number the rest
//! indirect    | key                | 0 1  slot number           |   a direct read was possible, and refused: `sys::direct`
//! unpacked    | slot number, upper | 1    slot number, lower    |   the key is looked up in `root`
//! unassigned  | 1 1 1 1 1 1 1 1 1  | 1    1 1 1 1 1 1 1 1       |
//! ```
//!
//! The halves are 32 bits wide on 64-bit targets and 16 on 32-bit ones. All but "packed" have one of the lower half's two
//! top bits set, so that `lower half < INLINE` says in one comparison that everything is where it should be.

use super::numbers::MAX_NUMBER;
use crate::sys::direct;
use core::sync::atomic::{AtomicUsize, Ordering};

pub(crate) const HALF: u32 = usize::BITS / 2;
pub(crate) const LOWER: usize = (1 << HALF) - 1;
pub(crate) const UNPACKED: usize = 1 << (HALF - 1);
/// The bit of the words "indirect"; where there are none, numbers have it for themselves.
pub(crate) const INDIRECT: usize = if direct::POSSIBLE { UNPACKED >> 1 } else { UNPACKED };
const UNASSIGNED: usize = usize::MAX;

/// What an object holds to find the root slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locator {
    /// For `root::read`.
    Read(usize),
    /// For `root::read_indirect`: a direct read was possible, and refused.
    ReadIndirect(usize),
}

/// Ordering: a thread that sees a slot number must see that its key was created, its mask published, and the hooks installed. The
/// number is stored with release after that, and loaded with acquire.
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

    /// Assigns `number`, unless another thread was first: then it gives the number that the object has.
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
        (word & (INDIRECT - 1)) as u32
    } else {
        (word >> HALF << (HALF - 1) | word & (UNPACKED - 1)) as u32
    }
}

fn pack(number: usize, locator: Locator) -> usize {
    debug_assert!(number <= MAX_NUMBER);
    match locator {
        Locator::Read(upper) if upper <= LOWER && number < INDIRECT => upper << HALF | number,
        Locator::ReadIndirect(upper) if upper <= LOWER && number < INDIRECT => {
            upper << HALF | INDIRECT | number
        }
        _ => number >> (HALF - 1) << HALF | UNPACKED | number & (UNPACKED - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::INLINE;
    use super::*;

    #[test]
    fn a_word_gives_back_its_number_in_every_form() {
        let numbers = [
            0,
            1,
            31,
            32,
            INDIRECT - 1,
            INDIRECT,
            UNPACKED - 1,
            UNPACKED,
            UNPACKED + 1,
            MAX_NUMBER,
        ];
        let mut locators = [0, 5, LOWER, LOWER + 1].map(Locator::Read).to_vec();
        if direct::POSSIBLE {
            locators.extend([0, 5, LOWER, LOWER + 1].map(Locator::ReadIndirect));
        }
        for number in numbers.iter().filter(|&&n| n <= MAX_NUMBER) {
            for &locator in &locators {
                let word = SlotWord::new();
                assert_eq!(word.number(), None);
                assert_eq!(word.assign(*number as u32, locator), Ok(()));
                assert_eq!(word.assign(7, locator), Err(*number as u32));
                assert_eq!(word.number(), Some(*number as u32), "{} {:?}", number, locator);
            }
        }
    }

    #[test]
    fn only_a_packed_word_passes_for_a_slot_number() {
        use Locator::*;
        assert!(pack(31, Read(LOWER)) & LOWER < INLINE);
        assert!(pack(31, Read(LOWER + 1)) & LOWER >= UNPACKED);
        if direct::POSSIBLE {
            assert_eq!(pack(31, ReadIndirect(LOWER)) & LOWER, INDIRECT | 31);
            assert!(pack(31, ReadIndirect(LOWER + 1)) & LOWER >= UNPACKED);
        }
        assert!(SlotWord::new().0.into_inner() & LOWER >= UNPACKED);
        assert!(pack(MAX_NUMBER, Read(0)) != UNASSIGNED);
    }
}
