//! The one word through which an object finds its values: the root slot's key and the object's slot number, packed, so
//! that the fast path loads one thing and touches no global.
//!
//! ```text
//! packed      | root slot          | 0 0  slot number           |   where it is fits the upper half, the number the rest
//! by call     | key                | 0 1  slot number           |   a direct read was possible, and refused: `sys::direct`
//! unpacked    | slot number, upper | 1    slot number, lower    |   the key is looked up in `root`
//! unassigned  | 1 1 1 1 1 1 1 1 1  | 1    1 1 1 1 1 1 1 1       |
//! ```
//!
//! The halves are 32 bits wide on 64-bit targets and 16 on 32-bit ones. All but "packed" have one of the lower half's two
//! top bits set, so that `lower half < INLINE` says in one comparison that everything is where it should be.

use crate::node::Node;
use crate::record::{self, Entry, Record, INLINE};
use crate::root::{self, Locator};
use crate::sys::direct;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering};

const HALF: u32 = usize::BITS / 2;
const LOWER: usize = (1 << HALF) - 1;
const UNPACKED: usize = 1 << (HALF - 1);
/// The bit of the words "by call"; without them, numbers have it for themselves.
const BY_CALL: usize = if direct::POSSIBLE { UNPACKED >> 1 } else { UNPACKED };
const UNASSIGNED: usize = usize::MAX;

/// Ordering: a thread that sees a slot number must see the key it goes with created, and the hooks installed. The number
/// is stored with release after that, and loaded with acquire.
pub(crate) struct SlotWord(AtomicUsize);

impl SlotWord {
    pub(crate) const fn new() -> Self {
        SlotWord(AtomicUsize::new(UNASSIGNED))
    }

    /// This thread's node of the object, if it is there and the word is packed: the fast path of every access. Else the
    /// thread's record, if that is as far as it came: it may be a mark.
    ///
    /// # Safety
    /// The word belongs to one object, and its number, once assigned, to nobody else.
    #[inline(always)]
    pub(crate) unsafe fn find(&self) -> Result<NonNull<Node>, Option<NonNull<Record>>> {
        let word = self.0.load(Ordering::Acquire);
        let number = word & LOWER;
        // Both ways meet in the comparison with the marks.
        let (content, record) = if number < INLINE {
            // SAFETY: the lower half is below `BY_CALL`, so the upper half is what `root::locate` gave.
            let record = unsafe { root::read(word >> HALF).ok_or(None)? };
            // SAFETY: a record in the root slot is alive, and `number` is below `INLINE`.
            (unsafe { record.as_ref().inline_entry(number).content() }, Some(record))
        } else {
            seldom();
            // SAFETY: as the caller promises.
            unsafe { Self::find_in_table(word) }
        };
        record::node_in(content).ok_or_else(|| {
            seldom();
            record
        })
    }

    /// The content of the entry, for numbers beyond the inline entries, or null; and the record.
    #[inline(always)]
    unsafe fn find_in_table(word: usize) -> (*mut Node, Option<NonNull<Record>>) {
        let number = word & LOWER;
        if number >= BY_CALL {
            return if direct::POSSIBLE {
                // SAFETY: as the caller promises.
                (unsafe { Self::find_by_call(word) }, None)
            } else {
                (ptr::null_mut(), None)
            };
        }
        // SAFETY: as in `find`; a record in the root slot is alive, and it is this thread's.
        unsafe {
            let record = root::read(word >> HALF);
            let content = record
                .and_then(|record| record.as_ref().table_entry(number - INLINE))
                .map_or(ptr::null_mut(), Entry::content);
            (content, record)
        }
    }

    /// The same where the root slot is not read directly although it might have been: the one path that such a process takes.
    #[inline(never)]
    unsafe fn find_by_call(word: usize) -> *mut Node {
        if word & UNPACKED != 0 {
            return ptr::null_mut();
        }
        // SAFETY: the word is of the kind whose upper half is the key. A record in the root slot is alive, and it is this thread's.
        unsafe {
            root::read_by_call(word >> HALF)
                .and_then(|record| record.as_ref().entry((word & (BY_CALL - 1)) as u32))
                .map_or(ptr::null_mut(), Entry::content)
        }
    }

    /// The slot number, if one is assigned.
    #[inline]
    pub(crate) fn number(&self) -> Option<u32> {
        match self.0.load(Ordering::Acquire) {
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

    /// The largest number that the word can hold.
    pub(crate) const MAX_NUMBER: usize =
        if usize::BITS == 64 { record::NO_SLOT as usize - 1 } else { (UNASSIGNED >> 1) - 1 };
}

/// Where the record is read directly, tells the compiler that it is not this way that is to be laid out in a line. Around a
/// call the compiler finds a better layout by itself: the way through the table is a cycle shorter then.
#[inline(always)]
fn seldom() {
    #[cold]
    #[inline(always)]
    fn cold() {}
    if direct::POSSIBLE {
        cold();
    }
}

#[inline]
fn number_of(word: usize) -> u32 {
    if word & UNPACKED == 0 {
        (word & (BY_CALL - 1)) as u32
    } else {
        (word >> HALF << (HALF - 1) | word & (UNPACKED - 1)) as u32
    }
}

fn pack(number: usize, locator: Locator) -> usize {
    debug_assert!(number <= SlotWord::MAX_NUMBER);
    match locator {
        Locator::Usual(upper) if upper <= LOWER && number < BY_CALL => upper << HALF | number,
        Locator::ByCall(upper) if upper <= LOWER && number < BY_CALL => {
            upper << HALF | BY_CALL | number
        }
        _ => number >> (HALF - 1) << HALF | UNPACKED | number & (UNPACKED - 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_gives_back_its_number_in_every_form() {
        let numbers = [
            0,
            1,
            31,
            32,
            BY_CALL - 1,
            BY_CALL,
            UNPACKED - 1,
            UNPACKED,
            UNPACKED + 1,
            SlotWord::MAX_NUMBER,
        ];
        let mut locators = [0, 5, LOWER, LOWER + 1].map(Locator::Usual).to_vec();
        if direct::POSSIBLE {
            locators.extend([0, 5, LOWER, LOWER + 1].map(Locator::ByCall));
        }
        for number in numbers.iter().filter(|&&n| n <= SlotWord::MAX_NUMBER) {
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
        assert!(pack(31, Usual(LOWER)) & LOWER < INLINE);
        assert!(pack(31, Usual(LOWER + 1)) & LOWER >= UNPACKED);
        if direct::POSSIBLE {
            assert_eq!(pack(31, ByCall(LOWER)) & LOWER, BY_CALL | 31);
            assert!(pack(31, ByCall(LOWER + 1)) & LOWER >= UNPACKED);
        }
        assert!(SlotWord::new().0.into_inner() & LOWER >= UNPACKED);
        assert!(pack(SlotWord::MAX_NUMBER, Usual(0)) != UNASSIGNED);
    }
}
