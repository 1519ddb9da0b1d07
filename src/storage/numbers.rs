//! Slot numbers: which are free, and for each of them a mask that says where its values may be.
//!
//! Both lie in buckets that never move: the first is static, each later one doubles what there is. All zeroes are the beginning:
//! every number is free, and no record has an entry for it.

use super::{SMALL, STRIPES};
use crate::lock::count;
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{compiler_fence, AtomicPtr, AtomicU32, AtomicUsize, Ordering::*};

const BITS: usize = usize::BITS as usize;

/// The numbers of the first bucket.
const FIRST: usize = if SMALL { 64 } else { 512 };

/// More than an object's word can hold.
const BUCKETS: usize = if SMALL { 12 } else { 25 };

const fn bucket_len(bucket: usize) -> usize {
    if bucket == 0 {
        FIRST
    } else {
        FIRST << (bucket - 1)
    }
}

fn locate(number: u32) -> (usize, usize) {
    let number = number as usize;
    if number < FIRST {
        (0, number)
    } else {
        let bucket = (usize::BITS - (number / FIRST).leading_zeros()) as usize;
        (bucket, number - bucket_len(bucket))
    }
}

fn number_at(bucket: usize, index: usize) -> u32 {
    (if bucket == 0 { index } else { bucket_len(bucket) + index }) as u32
}

/// The largest number that an object's word can hold: see `packed`.
pub(crate) const MAX_NUMBER: usize =
    if usize::BITS == 64 { u32::MAX as usize - 1 } else { (usize::MAX >> 1) - 1 };

/// What the address of a record must be a multiple of.
pub(crate) const TOKEN_ALIGN: usize = 2 * (STRIPES + 1);

/// A word for "at most this record, of this stripe": the record's address, with the stripe in the low bits that alignment leaves.
/// Never 0, and the lowest bit is not set.
pub(crate) fn token(record: usize, stripe: usize) -> usize {
    record | stripe << 1
}

/// The stripe in a token.
pub(crate) fn stripe_of(token: usize) -> usize {
    (token & (TOKEN_ALIGN - 1)) >> 1
}

/// Which records may have a non-null entry for a number. Three forms:
///
/// - 0: none.
/// - The lowest bit is clear: at most the record whose token this is.
/// - The lowest bit is set: those of the stripes whose bits, from the second on, are set.
///
/// Where there is one stripe there are no masks: every dropper looks at all records.
///
/// Relaxed: the dropper of an object reads it after all accesses to the object, because it owns the object exclusively; and a
/// free number's mask belongs to the thread that has the number.
#[repr(transparent)] // buckets are allocated as zeroes
pub(crate) struct Mask(AtomicUsize);

const SEVERAL: usize = 1;

/// So many masks go with so many numbers: see `Mask`.
const fn masks(numbers: usize) -> usize {
    if STRIPES == 1 {
        0
    } else {
        numbers
    }
}

/// Where the values of an object may be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Whereabouts {
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
    SEVERAL << 1 << stripe
}

impl Mask {
    /// Adds a record. By its thread, before it writes the entry.
    #[inline]
    pub(crate) fn add(&self, token: usize) {
        if STRIPES == 1 {
            return;
        }
        let own = SEVERAL | bit(stripe_of(token));
        let mask = self.0.load(Relaxed);
        if mask != token && mask & own != own {
            self.add_first(token, own, mask);
        }
    }

    /// `own` is the stripe of the record; `mask` was found a moment ago.
    #[cold]
    fn add_first(&self, token: usize, own: usize, mut mask: usize) {
        loop {
            let new = if mask == 0 {
                token
            } else if mask & SEVERAL == 0 {
                own | bit(stripe_of(mask))
            } else {
                mask | own
            };
            count::shared_write();
            match self.0.compare_exchange_weak(mask, new, Relaxed, Relaxed) {
                Ok(_) => return,
                Err(current) => mask = current,
            }
        }
    }

    /// For a number that is handed out: no record but this one has an entry for it.
    pub(crate) fn set_only(&self, token: usize) {
        if STRIPES > 1 && self.0.load(Relaxed) != token {
            self.0.store(token, Relaxed);
        }
    }

    /// Whether no record but this one may have an entry.
    #[inline]
    pub(crate) fn is_only(&self, token: usize) -> bool {
        STRIPES > 1 && self.0.load(Relaxed) == token
    }

    pub(crate) fn whereabouts(&self) -> Whereabouts {
        if STRIPES == 1 {
            return Whereabouts::Stripes(StripeSet(1));
        }
        match self.0.load(Relaxed) {
            0 => Whereabouts::Nowhere,
            mask if mask & SEVERAL == 0 => Whereabouts::Record(mask),
            mask => Whereabouts::Stripes(StripeSet(mask >> 1)),
        }
    }
}

#[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
const NOWHERE: Mask = Mask(AtomicUsize::new(0));
static FIRST_MASKS: [Mask; masks(FIRST)] = [NOWHERE; masks(FIRST)];

#[allow(clippy::declare_interior_mutable_const)] // as above
const NO_BUCKET: AtomicPtr<Mask> = AtomicPtr::new(ptr::null_mut());
/// The later buckets. Relaxed: a thread learns a number through an object's word, with acquire, after its bucket was published.
static MASKS: [AtomicPtr<Mask>; masks(BUCKETS)] = [NO_BUCKET; masks(BUCKETS)];

/// All numbers' mask where there is one stripe: it is never written.
static NO_MASK: Mask = NOWHERE;

/// # Safety
/// The number was handed out.
#[inline]
pub(crate) unsafe fn mask(number: u32) -> &'static Mask {
    if STRIPES == 1 {
        return &NO_MASK;
    }
    match FIRST_MASKS.get(number as usize) {
        Some(mask) => mask,
        None => {
            let (bucket, index) = locate(number);
            // SAFETY: the number's bucket was published before the number was handed out, and is never freed.
            unsafe { &*MASKS[bucket].load(Relaxed).add(index) }
        }
    }
}

/// Numbers below this cost a table no more than the lowest free one does: threads may keep them for their next objects. It changes
/// when the lowest free number crosses a power of two, so that threads which read it share a line that is hardly written.
static LIMIT: AtomicU32 = AtomicU32::new(INITIAL_LIMIT);
const INITIAL_LIMIT: u32 = 64;

/// Whether a thread may keep this number.
pub(crate) fn is_low(number: u32) -> bool {
    number < LIMIT.load(Relaxed)
}

/// `lowest`: no number below it is free.
fn publish_limit(lowest: u32) {
    let limit = lowest
        .checked_add(INITIAL_LIMIT)
        .and_then(u32::checked_next_power_of_two)
        .unwrap_or(u32::MAX);
    if LIMIT.load(Relaxed) != limit {
        LIMIT.store(limit, Relaxed);
    }
}

/// Which numbers are taken: one bit per number, and one per full word of these. Two loads and a short scan find the lowest free
/// number among a million. Everything is found whole by a process that is forked between any two stores: `full` may then lack a bit,
/// or have one too many, for which some numbers are lost.
pub(crate) struct Numbers {
    buckets: usize,
    first: [usize; FIRST / BITS],
    first_full: [usize; 1],
    later: [*mut usize; BUCKETS],
}

// SAFETY: the pointers lead to buckets, whose bits belong to the thread that holds the lock.
unsafe impl Send for Numbers {}

/// A bucket that is not in use.
pub(crate) struct Bucket {
    bucket: usize,
    memory: NonNull<usize>,
}

impl Bucket {
    /// The masks, then `taken`, then `full`.
    fn layout(bucket: usize) -> Option<Layout> {
        let len = bucket_len(bucket);
        let bits = (len / BITS).checked_add(full_len(bucket))?;
        Layout::array::<usize>(masks(len).checked_add(bits)?).ok()
    }

    /// Allocates: not under a lock.
    pub(crate) fn allocate(bucket: usize) -> Option<Bucket> {
        if bucket >= BUCKETS || number_at(bucket, bucket_len(bucket) - 1) as usize > MAX_NUMBER {
            return None;
        }
        // SAFETY: not zero-sized.
        let memory = NonNull::new(unsafe { alloc_zeroed(Self::layout(bucket)?) })?.cast();
        Some(Bucket { bucket, memory })
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        if let Some(layout) = Self::layout(self.bucket) {
            // SAFETY: allocated with that layout, and published nowhere.
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

    /// The bits of a bucket: taken, and full.
    fn bits(&mut self, bucket: usize) -> (&mut [usize], &mut [usize]) {
        if bucket == 0 {
            return (&mut self.first, &mut self.first_full);
        }
        let words = bucket_len(bucket) / BITS;
        // SAFETY: behind the masks stand this many words, and behind these the others; the lock protects both.
        unsafe {
            let taken = self.later[bucket].add(masks(bucket_len(bucket)));
            (
                core::slice::from_raw_parts_mut(taken, words),
                core::slice::from_raw_parts_mut(taken.add(words), full_len(bucket)),
            )
        }
    }

    /// The word with the lowest free number: bucket and index.
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

    /// Hands out the lowest free number, and what is free of the aligned group of `most` (1, 2, 4 or 8) it stands in, so that the masks of
    /// numbers which different threads hand out are mostly on different cache lines. `false` if there is none: another bucket is needed.
    /// The cache is empty.
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
        // From high to low, as the cache has them.
        while wanted != 0 {
            let offset = BITS - 1 - wanted.leading_zeros() as usize;
            cache.push(number_at(bucket, index * BITS + offset));
            wanted &= !(1 << offset);
        }
        publish_limit(number_at(bucket, index * BITS));
        true
    }

    /// Takes a number back. Every entry for it is null.
    pub(crate) fn give_back(&mut self, number: u32) {
        let (bucket, index) = locate(number);
        let (taken, full) = self.bits(bucket);
        debug_assert!(taken[index / BITS] & 1 << (index % BITS) != 0);
        taken[index / BITS] &= !(1 << (index % BITS));
        full[index / BITS / BITS] &= !(1 << (index / BITS % BITS));
    }

    /// After numbers were given back.
    pub(crate) fn set_limit(&mut self) {
        if let Some((bucket, index)) = self.lowest() {
            publish_limit(number_at(bucket, index * BITS));
        }
    }

    /// The bucket that comes next.
    pub(crate) fn next_bucket(&self) -> usize {
        self.buckets
    }

    /// Puts a bucket in use, if it is still the next one; gives it back otherwise. Its last store publishes it.
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

/// The free numbers that a thread keeps: an object's life then touches nothing that threads share. From high to low.
pub(crate) struct NumberCache {
    numbers: [Cell<u32>; NumberCache::MOST],
    len: Cell<u8>,
    /// How many numbers the thread has got last time: each time it gets twice as many, up to a group. A thread with few objects keeps
    /// no numbers from others, which would make everybody's tables longer.
    asked: Cell<u8>,
}

impl NumberCache {
    const MOST: usize = if SMALL { 2 } else { 12 };
    /// So many stay when there is no room.
    const FEW: usize = if SMALL { 1 } else { 4 };

    pub(crate) const fn new() -> Self {
        #[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
        const ZERO: Cell<u32> = Cell::new(0);
        NumberCache { numbers: [ZERO; Self::MOST], len: Cell::new(0), asked: Cell::new(0) }
    }

    /// For how many numbers the thread asks.
    pub(crate) fn next_request(&self) -> usize {
        const GROUP: u8 = if SMALL { 1 } else { 8 };
        self.asked.set((self.asked.get() * 2).clamp(1, GROUP));
        self.asked.get().into()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    /// No room for another number.
    pub(crate) fn is_full(&self) -> bool {
        self.len.get() as usize == Self::MOST
    }

    pub(crate) fn has_many(&self) -> bool {
        self.len.get() as usize > Self::FEW
    }

    /// The lowest number, if a thread may keep it.
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

    /// There is room, and the number is lower than all that are there.
    fn push(&self, number: u32) {
        let at = self.len.get() as usize;
        debug_assert!(at == 0 || self.numbers[at - 1].get() > number);
        if let Some(place) = self.numbers.get(at) {
            place.set(number);
            self.len.set(at as u8 + 1);
        }
    }

    /// There is room.
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

    /// Takes all out, or all but the few lowest.
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
