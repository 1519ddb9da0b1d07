//! Slot numbers: which of them are free, and a mask per number that says which records may have a value for it.
//!
//! Both are kept in buckets that never move: the first is static, each later one doubles the capacity. A bucket starts as
//! zeroes: every number is free, and every mask is empty.

use super::token::stripe_of;
use super::{SMALL, STRIPES};
use crate::lock::count;
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{compiler_fence, AtomicPtr, AtomicU32, AtomicUsize, Ordering::*};

const BITS: usize = usize::BITS as usize;

/// How many numbers the first bucket has.
const FIRST: usize = if SMALL { 64 } else { 512 };

/// Enough buckets for more numbers than an object's word can hold.
const BUCKETS: usize = if SMALL { 12 } else { 25 };

const fn bucket_len(bucket: usize) -> usize {
    if bucket == 0 {
        FIRST
    } else {
        FIRST << (bucket - 1)
    }
}

#[inline]
fn locate(number: u32) -> (usize, usize) {
    let number = number as usize;
    if number < FIRST {
        (0, number)
    } else {
        // A later bucket begins at its length, which is a power of two.
        let log = usize::BITS - 1 - number.leading_zeros();
        ((log - (FIRST.trailing_zeros() - 1)) as usize, number - (1 << log))
    }
}

fn number_at(bucket: usize, index: usize) -> u32 {
    (if bucket == 0 { index } else { bucket_len(bucket) + index }) as u32
}

/// The largest number that an object's word can hold (see `packed`).
pub(crate) const MAX_NUMBER: usize =
    if usize::BITS == 64 { u32::MAX as usize - 1 } else { (usize::MAX >> 1) - 1 };

/// The records that may have an entry for a slot number that is not vacant (invariant 1). Three forms:
///
/// - 0: no record. The number was never assigned.
/// - The lowest bit is clear: at most the record with this token. A dropper that finds its own token takes no lock and looks at
///   no other record, however many threads there are.
/// - The lowest bit is set: the records of the stripes whose bits, from the second on, are set.
///
/// With a single stripe there are no masks: every dropper visits all records.
///
/// Ordering: a dropper must see the bit of every thread that has used the object. It owns the object exclusively, so all those
/// accesses happened before. While a number is in a thread's cache, only that thread uses its mask, and the lock of the numbers
/// orders one such thread after the other. So all operations are relaxed.
#[repr(transparent)] // buckets are allocated as zeroes
pub(crate) struct Mask(AtomicUsize);

const SHARED: usize = 1;

/// How many masks a bucket with that many numbers has.
const fn masks(numbers: usize) -> usize {
    if STRIPES == 1 {
        0
    } else {
        numbers
    }
}

/// A decoded mask: where the values of an object may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Holders {
    Nowhere,
    /// At most in the record with this token.
    Record(usize),
    Stripes(StripeSet),
}

/// A set of stripes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StripeSet(usize);

impl Iterator for StripeSet {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let stripe = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(stripe)
    }
}

fn bit(stripe: usize) -> usize {
    debug_assert!(stripe < STRIPES);
    SHARED << 1 << stripe
}

/// The bits that a mask of several records has, if this one is among them.
fn shared_by(token: usize) -> usize {
    SHARED | bit(stripe_of(token))
}

fn has(mask: usize, token: usize) -> bool {
    mask == token || mask & shared_by(token) == shared_by(token)
}

impl Mask {
    /// Whether the mask has a record.
    #[inline]
    pub(crate) fn has(&self, token: usize) -> bool {
        let mask = self.0.load(Relaxed);
        debug_assert!(STRIPES == 1 || mask != 0, "the assigning thread has set the mask");
        STRIPES == 1 || has(mask, token)
    }

    /// Adds a record. Called by the owning thread before it writes the entry, for a number that is assigned: its mask is not 0.
    pub(crate) fn add(&self, token: usize) {
        let mut mask = self.0.load(Relaxed);
        while !has(mask, token) {
            let before = if mask & SHARED == 0 { bit(stripe_of(mask)) } else { mask };
            count::shared_write();
            match self.0.compare_exchange_weak(mask, before | shared_by(token), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(current) => mask = current,
            }
        }
    }

    /// Sets the mask of a number that the calling thread assigns: no record but the thread's own may have an entry for it.
    pub(crate) fn set_only(&self, token: usize) {
        if STRIPES > 1 && self.0.load(Relaxed) != token {
            self.0.store(token, Relaxed);
        }
    }

    /// Whether no record other than this one may have an entry.
    #[inline]
    pub(crate) fn is_only(&self, token: usize) -> bool {
        STRIPES > 1 && self.0.load(Relaxed) == token
    }

    pub(crate) fn holders(&self) -> Holders {
        if STRIPES == 1 {
            return Holders::Stripes(StripeSet(1));
        }
        match self.0.load(Relaxed) {
            0 => Holders::Nowhere,
            mask if mask & SHARED == 0 => Holders::Record(mask),
            mask => Holders::Stripes(StripeSet(mask >> 1)),
        }
    }
}

#[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
const NOWHERE: Mask = Mask(AtomicUsize::new(0));
static FIRST_MASKS: [Mask; masks(FIRST)] = [NOWHERE; masks(FIRST)];

#[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
const NO_BUCKET: AtomicPtr<Mask> = AtomicPtr::new(ptr::null_mut());
/// The masks of the later buckets.
///
/// Ordering: a thread that has a number must find its bucket. It got the number from an object's word (acquire) or under the
/// lock of the numbers; the bucket was stored before either. So the loads are relaxed.
static MASKS: [AtomicPtr<Mask>; masks(BUCKETS)] = [NO_BUCKET; masks(BUCKETS)];

/// The mask of every number where there is a single stripe. It is never written.
static NO_MASK: Mask = NOWHERE;

/// The mask of a number.
///
/// # Safety
/// `Numbers::take` has handed out the number.
#[inline]
pub(crate) unsafe fn mask(number: u32) -> &'static Mask {
    if STRIPES == 1 {
        return &NO_MASK;
    }
    match FIRST_MASKS.get(number as usize) {
        Some(mask) => mask,
        None => {
            let (bucket, index) = locate(number);
            // SAFETY: the number was handed out (this function's contract), from a bucket that was published before and is never
            // freed.
            unsafe { &*MASKS[bucket].load(Relaxed).add(index) }
        }
    }
}

/// Threads may cache numbers below this: they need a table that is hardly longer than the lowest free number does. Without the
/// limit a thread that kept the highest of 100,000 numbers made every user of its next object allocate a table of 1 MiB.
///
/// It changes only when the lowest free number crosses a power of two: threads read it whenever they assign a number, so its
/// cache line must be written rarely.
static LIMIT: AtomicU32 = AtomicU32::new(INITIAL_LIMIT);
const INITIAL_LIMIT: u32 = 64;

/// Whether a thread may cache this number.
pub(crate) fn is_low(number: u32) -> bool {
    number < LIMIT.load(Relaxed)
}

/// Sets the limit for a state in which no number below `lowest` is free.
fn publish_limit(lowest: u32) {
    let limit = lowest
        .checked_add(INITIAL_LIMIT)
        .and_then(u32::checked_next_power_of_two)
        .unwrap_or(u32::MAX);
    if LIMIT.load(Relaxed) != limit {
        LIMIT.store(limit, Relaxed);
    }
}

/// The numbers that are taken: one bit per number, and one bit per word of these that is full.
///
/// The second level makes the search for the lowest free number short: among 2^20 numbers on a 64-bit target it scans 256
/// words instead of 16,384, and those from the lowest bucket up. Low numbers keep the tables of all threads short.
///
/// A stop between two stores (invariant 7: a fork) may leave `full` wrong: a missing bit is repaired by the next search, an extra one leaks
/// numbers.
pub(crate) struct Numbers {
    buckets: usize,
    first: [usize; FIRST / BITS],
    first_full: [usize; 1],
    later: [*mut usize; BUCKETS],
}

// SAFETY: the pointers lead to buckets whose bits are accessed only through the `Numbers`, wherever it is.
unsafe impl Send for Numbers {}

/// The memory of a bucket that is not in use yet. Dropped, it is freed.
pub(crate) struct Bucket {
    bucket: usize,
    memory: NonNull<usize>,
}

impl Bucket {
    /// The masks, then the bits of the numbers, then the bits of their full words.
    fn layout(bucket: usize) -> Option<Layout> {
        let len = bucket_len(bucket);
        let bits = (len / BITS).checked_add(full_len(bucket))?;
        Layout::array::<usize>(masks(len).checked_add(bits)?).ok()
    }

    /// Allocates the memory of a bucket. Must not be called under a lock (invariant 5).
    pub(crate) fn allocate(bucket: usize) -> Option<Bucket> {
        if bucket >= BUCKETS || number_at(bucket, bucket_len(bucket) - 1) as usize > MAX_NUMBER {
            return None;
        }
        // SAFETY: the layout has room for at least one word of bits.
        let memory = NonNull::new(unsafe { alloc_zeroed(Self::layout(bucket)?) })?.cast();
        Some(Bucket { bucket, memory })
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.bucket) {
            // SAFETY: `allocate` used this layout, and the bucket was not published: `install` forgets those that it publishes.
            unsafe { dealloc(self.memory.as_ptr().cast(), layout) }
        }
    }
}

const fn full_len(bucket: usize) -> usize {
    (bucket_len(bucket) / BITS + BITS - 1) / BITS
}

impl Numbers {
    pub(crate) const NEW: Numbers = Numbers {
        buckets: 1,
        first: [0; FIRST / BITS],
        first_full: [0; 1],
        later: [ptr::null_mut(); BUCKETS],
    };

    /// The two levels of a bucket's bits: the numbers that are taken, and the words of these that are full.
    fn bits(&mut self, bucket: usize) -> (&mut [usize], &mut [usize]) {
        if bucket == 0 {
            return (&mut self.first, &mut self.first_full);
        }
        let words = bucket_len(bucket) / BITS;
        // SAFETY: an installed bucket has this many words behind its masks, and then those of the second level (`Bucket::layout`). They
        // do not overlap, and are accessed through `&mut self` only.
        unsafe {
            let taken = self.later[bucket].add(masks(bucket_len(bucket)));
            (
                core::slice::from_raw_parts_mut(taken, words),
                core::slice::from_raw_parts_mut(taken.add(words), full_len(bucket)),
            )
        }
    }

    /// The bucket and index of the word with the lowest free number.
    fn lowest(&mut self) -> Option<(usize, usize)> {
        for bucket in 0..self.buckets {
            let (taken, full) = self.bits(bucket);
            for (at, full) in full.iter_mut().enumerate() {
                while *full != usize::MAX {
                    let index = at * BITS + (!*full).trailing_zeros() as usize;
                    match taken.get(index) {
                        None => break,
                        Some(&usize::MAX) => *full |= 1 << (index % BITS),
                        Some(_) => return Some((bucket, index)),
                    }
                }
            }
        }
        None
    }

    /// Moves the lowest free number to an empty cache, together with the free numbers of its aligned group of `most` (1, 2, 4 or 8)
    /// numbers. `false` if no number is free: then another bucket is needed.
    ///
    /// Groups are aligned so that the masks of numbers that different threads assign are mostly on different cache lines.
    pub(crate) fn take(&mut self, most: usize, cache: &NumberCache) -> bool {
        let (bucket, index) = match self.lowest() {
            Some(found) => found,
            None => return false,
        };
        let (taken, full) = self.bits(bucket);
        let lowest = (!taken[index]).trailing_zeros() as usize;
        let mut wanted = !taken[index] & ((1 << most) - 1) << (lowest & !(most - 1));
        taken[index] |= wanted;
        if taken[index] == usize::MAX {
            full[index / BITS] |= 1 << (index % BITS);
        }
        // From high to low, as the cache is sorted: so it appends, and moves nothing.
        while wanted != 0 {
            let offset = BITS - 1 - wanted.leading_zeros() as usize;
            cache.push(number_at(bucket, index * BITS + offset));
            wanted &= !(1 << offset);
        }
        publish_limit(number_at(bucket, index * BITS));
        true
    }

    /// Makes a number free. Its entry must be vacant in every record (invariant 1).
    pub(crate) fn give_back(&mut self, number: u32) {
        let (bucket, index) = locate(number);
        let (taken, full) = self.bits(bucket);
        debug_assert!(taken[index / BITS] & 1 << (index % BITS) != 0);
        taken[index / BITS] &= !(1 << (index % BITS));
        full[index / BITS / BITS] &= !(1 << (index / BITS % BITS));
    }

    /// Updates the limit. Must be called after numbers were given back.
    pub(crate) fn set_limit(&mut self) {
        if let Some((bucket, index)) = self.lowest() {
            publish_limit(number_at(bucket, index * BITS));
        }
    }

    /// The index of the next bucket to install.
    pub(crate) fn next_bucket(&self) -> usize {
        self.buckets
    }

    /// Puts a bucket in use if it is still the next one, otherwise returns it. The last store publishes it (invariant 7).
    pub(crate) fn install(&mut self, bucket: Bucket) -> Option<Bucket> {
        if bucket.bucket != self.buckets {
            return Some(bucket);
        }
        self.later[bucket.bucket] = bucket.memory.as_ptr();
        if let Some(masks) = MASKS.get(bucket.bucket) {
            masks.store(bucket.memory.as_ptr().cast(), Release);
        }
        compiler_fence(Release); // invariant 7
        self.buckets += 1;
        core::mem::forget(bucket);
        None
    }
}

/// The free numbers that a thread has cached, from high to low.
///
/// With a cached number, a thread creates, uses and drops an object without a lock acquisition and without a write to memory that
/// threads share (`tests/shared_operations.rs` counts both).
pub(crate) struct NumberCache {
    numbers: [Cell<u32>; NumberCache::MOST],
    len: Cell<u8>,
    /// The size of the thread's last request. It doubles up to a group: a thread with few objects must not hold numbers that other
    /// threads then replace by higher ones, which need longer tables.
    asked: Cell<u8>,
    /// How many numbers the thread has released, up to `TRIAL`.
    released: Cell<u8>,
}

impl NumberCache {
    const MOST: usize = if SMALL { 2 } else { 12 };
    /// How many numbers stay when a full cache, or an ended thread, gives numbers back.
    const FEW: usize = if SMALL { 1 } else { 4 };
    /// How many numbers a thread releases before it caches them. A thread that uses the crate for the first time in the last round of key
    /// destructors leaks its record; the numbers in it would make the tables of all later threads longer.
    const TRIAL: u8 = if SMALL { 0 } else { 32 };

    pub(crate) const fn new() -> Self {
        #[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
        const ZERO: Cell<u32> = Cell::new(0);
        NumberCache {
            numbers: [ZERO; Self::MOST],
            len: Cell::new(0),
            asked: Cell::new(0),
            released: Cell::new(0),
        }
    }

    /// Counts a released number. Whether the thread may cache it.
    #[inline]
    pub(crate) fn may_keep(&self) -> bool {
        if self.released.get() >= Self::TRIAL {
            return true;
        }
        self.released.set(self.released.get() + 1);
        false
    }

    /// Must be called when another thread gets the cache.
    #[inline]
    pub(crate) fn start_over(&self) {
        self.released.set(0);
    }

    /// How many numbers the thread requests next.
    pub(crate) fn next_request(&self) -> usize {
        const GROUP: u8 = if SMALL { 1 } else { 8 };
        self.asked.set((self.asked.get() * 2).clamp(1, GROUP));
        self.asked.get().into()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// Whether there is no room for another number.
    pub(crate) fn is_full(&self) -> bool {
        self.len.get() as usize == Self::MOST
    }

    /// Whether there are more numbers than an ended thread's record keeps.
    pub(crate) fn has_many(&self) -> bool {
        self.len.get() as usize > Self::FEW
    }

    /// The lowest number, if a thread may still cache it.
    #[inline]
    pub(crate) fn lowest(&self) -> Option<u32> {
        let number = self.numbers[(self.len.get() as usize).checked_sub(1)?].get();
        if is_low(number) {
            Some(number)
        } else {
            None
        }
    }

    /// Takes the lowest number out.
    #[inline]
    pub(crate) fn pop(&self) -> Option<u32> {
        let last = (self.len.get() as usize).checked_sub(1)?;
        self.len.set(last as u8);
        Some(self.numbers[last].get())
    }

    /// Appends a number. There must be room, and the number must be lower than all in the cache.
    fn push(&self, number: u32) {
        let at = self.len.get() as usize;
        debug_assert!(at == 0 || self.numbers[at - 1].get() > number);
        if let Some(place) = self.numbers.get(at) {
            place.set(number);
            self.len.set(at as u8 + 1);
        }
    }

    /// Sorts a number in. There must be room.
    pub(crate) fn insert(&self, number: u32) {
        let mut at = self.len.get() as usize;
        if at == Self::MOST {
            debug_assert!(false, "no room for a number");
            return;
        }
        self.len.set(at as u8 + 1);
        while at > 0 && self.numbers[at - 1].get() < number {
            self.numbers[at].set(self.numbers[at - 1].get());
            at -= 1;
        }
        self.numbers[at].set(number);
    }

    /// Takes all numbers out if `none`, otherwise all but the `FEW` lowest, and passes them to `give_back`.
    pub(crate) fn keep_few(&self, none: bool, mut give_back: impl FnMut(u32)) {
        let few = if none { 0 } else { Self::FEW };
        let len = self.len.get() as usize;
        let surplus = len.saturating_sub(few);
        self.numbers[..surplus].iter().for_each(|number| give_back(number.get()));
        for index in surplus..len {
            self.numbers[index - surplus].set(self.numbers[index].get());
        }
        self.len.set((len - surplus) as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::super::token::{token, TOKEN_ALIGN};
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    fn content(cache: &NumberCache) -> Vec<u32> {
        cache.numbers[..cache.len.get() as usize].iter().map(Cell::get).collect()
    }

    /// A multiplicative generator: the high bits of the product.
    fn random(state: &mut u64, below: usize) -> usize {
        *state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (*state >> 33) as usize % below
    }

    #[test]
    fn each_number_has_one_place_in_the_buckets() {
        let mut next = 0;
        for bucket in 0..8 {
            for index in [0, 1, bucket_len(bucket) - 1] {
                assert_eq!(number_at(bucket, index), (next + index) as u32);
                assert_eq!(locate((next + index) as u32), (bucket, index));
            }
            next += bucket_len(bucket);
        }
        assert_eq!(next, FIRST << 7);
    }

    #[test]
    fn a_bucket_has_room_for_its_masks_and_bits() {
        for bucket in 1..8 {
            let (len, memory) = (bucket_len(bucket), Bucket::allocate(bucket).unwrap());
            let words = masks(len) + len / BITS + (len / BITS + BITS - 1) / BITS;
            assert_eq!(Bucket::layout(bucket), Layout::array::<usize>(words).ok());
            drop(memory);
        }
        assert!(Bucket::allocate(BUCKETS).is_none());
    }

    /// Against a set of the free numbers, in buckets of which the last one has several words of full words. The buckets are not
    /// installed: their masks are not those of the process.
    #[test]
    fn the_lowest_free_number_is_taken_with_its_group() {
        let last = (1..).find(|&bucket| bucket_len(bucket) >= 2 * BITS * BITS).unwrap();
        let mut numbers = Numbers::NEW;
        let memory: Vec<Bucket> =
            (1..=last).map(|bucket| Bucket::allocate(bucket).unwrap()).collect();
        for bucket in &memory {
            numbers.later[bucket.bucket] = bucket.memory.as_ptr();
        }
        numbers.buckets += last;
        let mut free: BTreeSet<u32> = (0..(FIRST << last) as u32).collect();
        let mut taken = Vec::new();
        let mut state = 1;
        for round in 0..4 {
            loop {
                let most = 1 << random(&mut state, if round == 0 { 1 } else { 4 });
                let cache = NumberCache::new();
                let lowest = match free.iter().next() {
                    Some(lowest) => *lowest,
                    None => {
                        assert!(!numbers.take(most, &cache));
                        assert_eq!(content(&cache), []);
                        break;
                    }
                };
                let group = lowest & !(most as u32 - 1);
                let expected: Vec<u32> =
                    free.range(lowest..group + most as u32).rev().copied().collect();
                assert!(numbers.take(most, &cache));
                assert_eq!(content(&cache), expected);
                for number in expected {
                    free.remove(&number);
                    taken.push(number);
                }
            }
            // A few, so that full words stay between them; in the last round all.
            let back = if round == 2 { taken.len() } else { 100 };
            for _ in 0..back {
                let number = taken.swap_remove(random(&mut state, taken.len()));
                numbers.give_back(number);
                free.insert(number);
            }
        }
    }

    #[test]
    fn a_cache_is_sorted() {
        let (cache, mut expected, mut state) = (NumberCache::new(), Vec::new(), 1);
        for round in 0..200 {
            assert!(cache.is_empty() && cache.pop().is_none() && cache.lowest().is_none());
            while !cache.is_full() {
                assert!(expected.len() < NumberCache::MOST);
                // 0 is below any limit that another test may set.
                let number =
                    if expected.is_empty() { 0 } else { random(&mut state, 1000) as u32 + 1 };
                cache.insert(number);
                expected.push(number);
                expected.sort_unstable_by(|a, b| b.cmp(a));
                assert_eq!(content(&cache), expected);
                assert_eq!(cache.lowest(), Some(0));
                assert_eq!(cache.has_many(), expected.len() > NumberCache::FEW);
            }
            assert_eq!(expected.len(), NumberCache::MOST);
            let (none, mut back) = (round % 2 == 0, Vec::new());
            cache.keep_few(none, |number| back.push(number));
            let few = if none { 0 } else { NumberCache::FEW };
            assert_eq!(back, expected[..expected.len() - few]);
            expected.drain(..back.len());
            while let Some(number) = expected.pop() {
                assert_eq!(cache.pop(), Some(number));
            }
        }
    }

    #[test]
    fn the_requests_of_a_thread_double() {
        let cache = NumberCache::new();
        let requests: Vec<usize> = (0..6).map(|_| cache.next_request()).collect();
        assert_eq!(requests, if SMALL { [1; 6] } else { [1, 2, 4, 8, 8, 8] });
    }

    #[test]
    fn a_token_holds_its_stripe() {
        for stripe in 0..STRIPES {
            let token = token(5 * TOKEN_ALIGN, stripe);
            assert_eq!(stripe_of(token), stripe);
            assert_eq!(token & SHARED, 0);
            assert_eq!(token - 2 * stripe, 5 * TOKEN_ALIGN);
        }
    }

    #[test]
    fn a_mask_covers_the_records_that_were_added() {
        if STRIPES == 1 {
            return;
        }
        let stripes = |mask: &Mask| match mask.holders() {
            Holders::Stripes(stripes) => stripes.collect::<Vec<_>>(),
            _ => Vec::new(),
        };
        let [a, b, c] = [(1, 0), (2, 0), (3, STRIPES - 1)].map(|(n, s)| token(n * TOKEN_ALIGN, s));
        let mask = Mask(AtomicUsize::new(0));
        assert!(mask.holders() == Holders::Nowhere && !mask.is_only(a));
        mask.set_only(a);
        mask.add(a);
        assert!(mask.holders() == Holders::Record(a) && mask.is_only(a) && !mask.is_only(b));
        mask.add(b);
        assert!(stripes(&mask) == [0] && !mask.is_only(a) && !mask.is_only(b));
        mask.add(a);
        assert_eq!(stripes(&mask), [0]);
        mask.add(c);
        mask.add(b);
        assert_eq!(stripes(&mask), [0, STRIPES - 1]);
        mask.set_only(c);
        assert!(mask.holders() == Holders::Record(c) && mask.is_only(c));
        mask.add(a);
        assert_eq!(stripes(&mask), [0, STRIPES - 1]);
    }
}
