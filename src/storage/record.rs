//! A thread's record: the entries that the root slot leads to, the thread's own lists, its arena, and its cached slot numbers; and
//! the stripes, which are lists of records.
//!
//! Nothing in this module takes a lock or calls user code. What needs a stripe's lock is a method of `Locked`, which a guard
//! provides.

use super::arena::Arena;
use super::numbers::{self, NumberCache};
use super::value::{Block, BlockState, Owner};
use super::SMALL;
use crate::AccessError;
use alloc::alloc::{alloc, alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem;
use core::num::NonZeroU16;
use core::ptr::{self, NonNull};
use core::sync::atomic::{compiler_fence, AtomicPtr, AtomicU32, Ordering::*};

/// The number of entries inside a record.
pub(crate) const INLINE: usize = 32;

/// The length of the longest table that a pooled record keeps: 1,024 entries, together with the inline ones.
const LONGEST_POOLED: usize = 1024 - INLINE;

/// In a block: the value's object is gone, and its slot number is another object's.
pub(crate) const NO_NUMBER: u32 = u32::MAX;

/// What a slot number leads to in one thread: nothing, one of two tags, or a value block. Invariant 2 says who stores it, and why
/// relaxed loads and stores suffice.
#[repr(transparent)] // tables are allocated as zeroes
pub(crate) struct Entry(AtomicPtr<Block>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Vacant,
    Initializing,
    Destroyed,
    Value(NonNull<Block>),
}

/// The largest content that is not a block: 0 is vacant, 1 INITIALIZING, 2 DESTROYED.
const TAGS: usize = 2;

impl Entry {
    #[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
    const VACANT: Entry = Entry(AtomicPtr::new(ptr::null_mut()));

    /// The entry as it is stored: an argument for `block_in`.
    #[inline(always)]
    pub(crate) fn content(&self) -> *mut Block {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn is_vacant(&self) -> bool {
        self.content().is_null()
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        let content = self.content();
        match content as usize {
            0 => State::Vacant,
            1 => State::Initializing,
            2 => State::Destroyed,
            _ => NonNull::new(content).map_or(State::Vacant, State::Value),
        }
    }

    /// Called by the owning thread, or under the lock to make the entry vacant (invariant 2).
    #[inline]
    pub(crate) fn set(&self, state: State) {
        let tag = |address| ptr::null_mut::<u8>().wrapping_add(address).cast();
        self.0.store(
            match state {
                State::Vacant => ptr::null_mut(),
                State::Initializing => tag(1),
                State::Destroyed => tag(2),
                State::Value(block) => block.as_ptr(),
            },
            Relaxed,
        );
    }
}

/// The block in an entry, told from 0 and from both tags by one comparison.
#[inline(always)]
pub(crate) fn block_in(content: *mut Block) -> Option<NonNull<Block>> {
    if content as usize > TAGS {
        // SAFETY: `content` is greater than `TAGS`, so it is not 0.
        Some(unsafe { NonNull::new_unchecked(content) })
    } else {
        None
    }
}

/// What the root slot points to: the first part of a record, which the fast path reads. A sentinel consists of this part alone.
#[repr(C)]
pub(crate) struct Entries {
    inline: [Entry; INLINE],
    /// The entries from number `INLINE` on. The owning thread replaces the table under the stripe's lock.
    table: AtomicPtr<Entry>,
    table_len: AtomicU32,
    /// Set if a first use must take the slow path: in a sentinel, and in a record that may have claimed values, or orphans outside of
    /// its inbox. Set by the owning thread whenever it gets one of these, and cleared when a first use finds none.
    slow: Cell<bool>,
    /// Which of the threads that have had the record, one after another, this one is: 1 for the first, 1 again after `u16::MAX`. 0 in a
    /// sentinel.
    life: Cell<u16>,
}

/// A thread's record.
///
/// On hosted targets the alignment leaves the low bits of the address for the stripe (`numbers::token`), and keeps the records of
/// different threads on different cache lines.
#[repr(C)]
#[cfg_attr(all(not(target_os = "none"), not(os_thread_local_backend = "single")), repr(align(128)))]
pub(crate) struct Record {
    pub(crate) entries: Entries,
    /// The record's address and stripe: see `numbers::token`.
    token: usize,
    /// `numbers::several` of the token.
    several: usize,
    /// Orphans that droppers have pushed, under the stripe's lock.
    inbox: AtomicPtr<Block>,
    /// The next record of the stripe. Accessed under the stripe's lock.
    pub(crate) next_in_stripe: Cell<Option<NonNull<Record>>>,
    /// The next pooled record. Accessed under the pool's lock.
    pub(crate) next_in_pool: Cell<Option<NonNull<Record>>>,

    // Only the owning thread accesses the fields from here on, except for `object_owned` and `object_owned_taken`.
    /// The newest value with a destructor: the head of the record's list.
    newest: Cell<Option<NonNull<Block>>>,
    /// Orphans that the thread has taken out of the inbox.
    orphans: Cell<Option<NonNull<Block>>>,
    /// How many values of the list are claimed.
    claimed: Cell<u32>,
    /// How often the root key's destructor was called with this record.
    pub(crate) rounds: Cell<u8>,
    pub(crate) exit_list: Cell<ExitList>,
    /// Set if an entry may lead to a block outside of the arena.
    pub(crate) has_blocks_elsewhere: Cell<bool>,
    /// Set if an entry may lead to a thread-owned value or have the tag of one, and must be emptied when the thread ends.
    has_own_entries: Cell<bool>,
    /// How many entries are INITIALIZING for an object-owned value. If a fiber is deleted inside an initializer, its record keeps the
    /// tag, which must be emptied, too.
    initializing_object_owned: Cell<u32>,
    /// How many object-owned values the record has received, less those that its own threads have taken out. Written by the owning
    /// thread.
    pub(crate) object_owned: Cell<u32>,
    /// How many object-owned values droppers on other threads have taken out, under the stripe's lock. While the record is pooled, only
    /// this count changes: once it is equal to `object_owned`, the record has no such values and gets none.
    object_owned_taken: AtomicU32,
    /// Set while the thread is in `reclaim`.
    pub(crate) reclaiming: Cell<bool>,
    /// Set while the thread allocates a table or a bucket of slot numbers.
    pub(crate) growing: Cell<bool>,
    pub(crate) arena: Arena,
    pub(crate) numbers: NumberCache,
}

/// Whether the C library will call, or has called, the thread-exit hook for this record's thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitList {
    /// The thread has not made a value with a destructor yet.
    NotRegistered,
    Registered,
    /// The list has run with this record, so the record existed before the first round of key destructors.
    HasRun,
    /// The list had run before the record was made.
    TooLate,
}

/// The records of one stripe: a list that the stripe's lock protects.
pub(crate) struct Stripe {
    first: Option<NonNull<Record>>,
}

// SAFETY: a `Stripe` leads to its records only as `Locked`, whose methods are sound on each thread that holds the lock.
unsafe impl Send for Stripe {}

/// A record, while the lock of its stripe is held.
#[derive(Clone, Copy)]
pub(crate) struct Locked<'a> {
    record: NonNull<Record>,
    _guard: PhantomData<&'a Stripe>,
}

impl Stripe {
    pub(crate) const EMPTY: Stripe = Stripe { first: None };

    /// Adds a record. One store publishes it (invariant 7).
    ///
    /// # Safety
    /// The record is in no stripe, and is alive until it leaves this one.
    pub(crate) unsafe fn join(&mut self, record: NonNull<Record>) {
        // SAFETY: the record is alive (this function's contract).
        unsafe { record.as_ref().next_in_stripe.set(self.first) };
        compiler_fence(Release); // invariant 7
        self.first = Some(record);
    }

    /// Removes a record by one store (invariant 7). It searches the list: records leave only when more threads end than the pool has
    /// room for.
    pub(crate) fn leave(&mut self, record: NonNull<Record>) {
        let mut link: *const Cell<Option<NonNull<Record>>> = Cell::from_mut(&mut self.first);
        // SAFETY: records in the list are alive (invariant 9), and so are the links in them; `&mut self` excludes other accesses.
        unsafe {
            while let Some(next) = (*link).get() {
                if next == record {
                    (*link).set(record.as_ref().next_in_stripe.get());
                    return;
                }
                link = &next.as_ref().next_in_stripe;
            }
        }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = Locked<'_>> {
        let mut next = self.first;
        core::iter::from_fn(move || {
            let record = next?;
            // SAFETY: records in the list are alive (invariant 9).
            next = unsafe { record.as_ref().next_in_stripe.get() };
            Some(Locked { record, _guard: PhantomData })
        })
    }

    /// The calling thread's own record, which must be in this stripe.
    pub(crate) fn own<'a>(&'a self, record: &'a Record) -> Locked<'a> {
        Locked { record: NonNull::from(record), _guard: PhantomData }
    }
}

impl Locked<'_> {
    fn record(&self) -> &Record {
        // SAFETY: the record is alive: it leaves its stripe under the lock, which is held (invariant 9).
        unsafe { self.record.as_ref() }
    }

    pub(crate) fn token(&self) -> usize {
        self.record().token
    }

    /// Makes an entry vacant and returns the block that was in it. Called by a dropper of the object.
    pub(crate) fn take(&self, number: u32) -> Option<NonNull<Block>> {
        // Two steps instead of a `swap`: the owning thread neither writes the entry nor replaces the table now (invariant 2).
        let entry = self.record().entry(number)?;
        let content = entry.content();
        if content.is_null() {
            // Not stored again: a store takes the cache line away from the owning thread.
            return None;
        }
        entry.set(State::Vacant);
        let block = block_in(content)?;
        // SAFETY: a block that was in an entry is alive (invariant 8), and only this thread has taken it out (invariant 3).
        if unsafe { block.as_ref().vtable.owner == Owner::Object } {
            let taken = &self.record().object_owned_taken;
            taken.store(taken.load(Relaxed).wrapping_add(1), Relaxed);
        }
        Some(block)
    }

    /// Pushes a block to the inbox, for the owning thread.
    ///
    /// # Safety
    /// `take` returned the block, and the lock has been held since.
    pub(crate) unsafe fn push_orphan(&self, block: NonNull<Block>) {
        let inbox = &self.record().inbox;
        // SAFETY: the block is alive: the caller took it out of its entry and is responsible for it (invariant 3).
        unsafe { block.as_ref().next_handed.set(NonNull::new(inbox.load(Relaxed))) };
        inbox.store(block.as_ptr(), Release); // invariant 7
    }

    /// Moves the inbox to the front of the thread's own list of orphans. Called by the owning thread.
    pub(crate) fn empty_inbox(&self) {
        let record = self.record();
        let first = match NonNull::new(record.inbox.load(Relaxed)) {
            Some(first) => first,
            None => return,
        };
        record.inbox.store(ptr::null_mut(), Relaxed);
        let mut last = first;
        // SAFETY: blocks in the inbox are alive (invariant 8), and left to this thread. Those with a destructor are still in its list.
        unsafe {
            loop {
                if last.as_ref().vtable.needs_drop() {
                    record.unlink(last);
                }
                match last.as_ref().next_handed.get() {
                    Some(next) => last = next,
                    None => break,
                }
            }
            last.as_ref().next_handed.set(record.orphans.replace(Some(first)));
            record.entries.slow.set(true);
        }
    }

    /// Claims the newest values with a destructor: their entries become DESTROYED, so that no dropper takes them, and the thread itself
    /// finds them through `find_claimed` until it destroys them. Called by the owning thread.
    ///
    /// A batch per lock acquisition replaces a read-modify-write per value; its size limits how long a dropper waits.
    pub(crate) fn claim_newest(&self) {
        const BATCH: usize = 64;
        self.empty_inbox();
        let record = self.record();
        record.entries.slow.set(true);
        let mut next = record.newest.get();
        for _ in 0..BATCH {
            let header = match next {
                // SAFETY: blocks in the list are alive (invariant 8).
                Some(block) => unsafe { block.as_ref() },
                None => return,
            };
            next = header.older.get();
            let state = header.state.get();
            if state == BlockState::Claimed {
                return;
            }
            match record.entry(header.number.get()) {
                Some(entry) if entry.content() == NonNull::from(header).as_ptr() => {
                    entry.set(State::Destroyed)
                }
                // In a forked child: a dropper of the parent, which the child does not have, was stopped between `take` and
                // `push_orphan`.
                _ => header.number.set(NO_NUMBER),
            }
            if state.is_borrowed() {
                // The process exits from inside `with_mut`: the value is leaked.
                // SAFETY: the block is in this record's list.
                unsafe { record.unlink(NonNull::from(header)) }
            } else {
                header.state.set(BlockState::Claimed);
                record.claimed.set(record.claimed.get() + 1);
            }
        }
    }

    /// Empties a batch of entries from number `from` on, except those of object-owned values, and returns the number to continue
    /// from. Passes the blocks outside of the arena to `free`. Called by the owning thread when it ends.
    ///
    /// The thread has no values with a destructor any more, with one exception: if its fiber was deleted inside `with_mut`, the
    /// borrowed value is leaked here. The size of the batch limits how long a dropper waits for the lock.
    pub(crate) fn empty_entries(
        &self,
        from: usize,
        mut free: impl FnMut(NonNull<Block>),
    ) -> Option<usize> {
        const BATCH: usize = 1024;
        let record = self.record();
        let (entries, next) = record.entries.some_from(from, BATCH);
        if !record.has_blocks_elsewhere.get() {
            entries.iter().for_each(|entry| entry.set(State::Vacant));
            return next;
        }
        for entry in entries {
            if let State::Value(block) = entry.state() {
                // SAFETY: a block in an entry is alive (invariant 8), and no dropper takes it out: the lock is held.
                let header = unsafe { block.as_ref() };
                if header.vtable.owner == Owner::Object {
                    continue;
                }
                if !header.in_arena && !header.vtable.needs_drop() {
                    free(block);
                }
            }
            entry.set(State::Vacant);
        }
        next
    }
}

impl Entries {
    #[allow(clippy::declare_interior_mutable_const)] // an initial value
    const EMPTY: Entries = Entries {
        inline: [Entry::VACANT; INLINE],
        table: AtomicPtr::new(ptr::null_mut()),
        table_len: AtomicU32::new(0),
        slow: Cell::new(false),
        life: Cell::new(1),
    };

    /// Whether a first use must take the slow path.
    #[inline(always)]
    pub(crate) fn is_slow(&self) -> bool {
        self.slow.get()
    }

    /// The thread's life in this record: a number that the 65,534 threads before and after it with this record do not have. `None` for
    /// a sentinel. Called by the owning thread.
    #[inline(always)]
    pub(crate) fn life(&self) -> Option<NonZeroU16> {
        NonZeroU16::new(self.life.get())
    }

    /// The entry of a slot number below `INLINE`.
    ///
    /// # Safety
    /// `number < INLINE`
    #[inline(always)]
    pub(crate) unsafe fn inline_entry(&self, number: usize) -> &Entry {
        debug_assert!(number < INLINE);
        // SAFETY: `number < INLINE` (this function's contract).
        unsafe { self.inline.get_unchecked(number) }
    }

    /// The entry of slot number `INLINE + index`, if the table is long enough. Called by the owning thread, or under the lock.
    #[inline(always)]
    pub(crate) fn table_entry(&self, index: usize) -> Option<&Entry> {
        if index < self.table_len.load(Relaxed) as usize {
            // SAFETY: the table has `table_len` entries. The owning thread changes both under the lock, so neither it nor a thread
            // that holds the lock finds a table with another table's length.
            unsafe {
                let table = NonNull::new_unchecked(self.table.load(Relaxed));
                Some(&*table.as_ptr().add(index))
            }
        } else {
            None
        }
    }

    /// The entries from number `from` on, `most` at most (or the inline ones), and the number that follows them. Called under the
    /// lock.
    fn some_from(&self, from: usize, most: usize) -> (&[Entry], Option<usize>) {
        let len = self.table_len.load(Relaxed) as usize;
        if from < INLINE {
            return (&self.inline[from..], if len > 0 { Some(INLINE) } else { None });
        }
        let first = (from - INLINE).min(len);
        let end = (first + most).min(len);
        if first == end {
            return (&[], None);
        }
        // SAFETY: the table has `len` entries, and is not replaced while the lock is held.
        let entries = unsafe {
            core::slice::from_raw_parts(self.table.load(Relaxed).add(first), end - first)
        };
        (entries, if end < len { Some(INLINE + end) } else { None })
    }

    /// The entry of a slot number, if the record has one. Called by the owning thread, or under the lock.
    #[inline]
    pub(crate) fn entry(&self, number: u32) -> Option<&Entry> {
        let number = number as usize;
        match self.inline.get(number) {
            Some(entry) => Some(entry),
            None => self.table_entry(number - INLINE),
        }
    }
}

/// A static that stands in root slots in place of a record. All entries are vacant, so the fast path needs no check for it: it finds
/// no value, and the slow path compares addresses.
struct Sentinel(Entries);

// SAFETY: no thread writes to it.
unsafe impl Sync for Sentinel {}

/// For how many rounds of destructors a sentinel marks that the thread's record has ended. Bounded, because some systems (illumos,
/// RTEMS) call destructors until no value is set.
const ENDED_ROUNDS: usize = if SMALL { 0 } else { 3 };

#[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
const SENTINEL: Sentinel =
    Sentinel(Entries { slow: Cell::new(true), life: Cell::new(0), ..Entries::EMPTY });
/// All sentinels in one array, so that one comparison tells a sentinel from a record.
static SENTINELS: [Sentinel; 1 + ENDED_ROUNDS] = [SENTINEL; 1 + ENDED_ROUNDS];

/// The sentinel for a thread whose record is being allocated or freed.
pub(crate) fn under_construction() -> NonNull<Entries> {
    NonNull::from(&SENTINELS[0].0)
}

/// Stands for the content of a root slot that was not read: like every sentinel, it leads a first use to the slow path.
#[inline(always)]
pub(crate) fn unread() -> NonNull<Entries> {
    NonNull::from(&SENTINELS[0].0)
}

/// The sentinel for an exiting thread whose record has ended; there is one for each following round of destructors. `None` after the
/// last, and on small targets, which have no rounds.
pub(crate) fn ended(round: usize) -> Option<NonNull<Entries>> {
    SENTINELS.get(1 + round).map(|sentinel| NonNull::from(&sentinel.0))
}

/// The sentinel for the next round. `None` if `entries` is not the sentinel of a round.
pub(crate) fn next_ended(entries: NonNull<Entries>) -> Option<NonNull<Entries>> {
    let round = (0..ENDED_ROUNDS).find(|&round| ended(round) == Some(entries))?;
    ended(round + 1)
}

fn is_sentinel(entries: NonNull<Entries>) -> bool {
    let offset = (entries.as_ptr() as usize).wrapping_sub(SENTINELS.as_ptr() as usize);
    offset < mem::size_of_val(&SENTINELS)
}

/// The record that begins with these entries, or `None` for a sentinel.
#[inline]
pub(crate) fn record_at(entries: NonNull<Entries>) -> Option<NonNull<Record>> {
    if is_sentinel(entries) {
        None
    } else {
        Some(entries.cast())
    }
}

impl Record {
    const fn new() -> Self {
        Record {
            entries: Entries::EMPTY,
            token: 0,
            several: 0,
            inbox: AtomicPtr::new(ptr::null_mut()),
            next_in_stripe: Cell::new(None),
            next_in_pool: Cell::new(None),
            newest: Cell::new(None),
            orphans: Cell::new(None),
            claimed: Cell::new(0),
            rounds: Cell::new(0),
            exit_list: Cell::new(ExitList::NotRegistered),
            has_blocks_elsewhere: Cell::new(false),
            has_own_entries: Cell::new(false),
            initializing_object_owned: Cell::new(0),
            object_owned: Cell::new(0),
            object_owned_taken: AtomicU32::new(0),
            reclaiming: Cell::new(false),
            growing: Cell::new(false),
            arena: Arena::new(),
            numbers: NumberCache::new(),
        }
    }

    /// Allocates a record. `set_stripe` must be called before its first use.
    pub(crate) fn allocate() -> Option<NonNull<Record>> {
        // SAFETY: the layout is not zero-sized.
        let record = NonNull::new(unsafe { alloc(Layout::new::<Record>()) })?.cast::<Record>();
        // SAFETY: the memory is new and has the layout of a record; the arena has no blocks.
        unsafe {
            record.as_ptr().write(Record::new());
            record.as_ref().arena.reset();
        }
        Some(record)
    }

    /// Sets the stripe that the record will join.
    ///
    /// # Safety
    /// The record is new, and has no other users.
    pub(crate) unsafe fn set_stripe(record: NonNull<Record>, stripe: usize) {
        // SAFETY: the record has no other users (this function's contract).
        unsafe {
            let token = numbers::token(record.as_ptr() as usize, stripe);
            (*record.as_ptr()).token = token;
            (*record.as_ptr()).several = numbers::several(token);
        }
    }

    /// # Safety
    /// The record has ended, is in no stripe and not pooled, and is not used afterwards.
    pub(crate) unsafe fn free(record: NonNull<Record>) {
        // SAFETY: the record is not used afterwards (this function's contract); it owns its table, and was allocated with this layout.
        unsafe {
            let entries = &record.as_ref().entries;
            free_table(entries.table.load(Relaxed), entries.table_len.load(Relaxed) as usize);
            dealloc(record.as_ptr().cast(), Layout::new::<Record>());
        }
    }

    #[inline]
    pub(crate) fn token(&self) -> usize {
        self.token
    }

    #[inline]
    pub(crate) fn several(&self) -> usize {
        self.several
    }

    pub(crate) fn stripe(&self) -> usize {
        numbers::stripe_of(self.token)
    }

    #[inline]
    pub(crate) fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.entry(number)
    }

    /// Sets an entry, which must exist. Called by the owning thread.
    #[inline]
    pub(crate) fn set(&self, number: u32, state: State) {
        match self.entry(number) {
            Some(entry) => entry.set(state),
            None => debug_assert!(false, "no entry for slot number {}", number),
        }
    }

    /// Adds a value with a destructor at the head of the thread's list. Called by the owning thread.
    ///
    /// # Safety
    /// The block is new, so it is in no list and its links are null. It has a destructor, and is alive until it is unlinked.
    #[inline]
    pub(crate) unsafe fn link_newest(&self, block: NonNull<Block>) {
        let older = self.newest.replace(Some(block));
        // SAFETY: the block is alive (this function's contract), and so are those in the list (invariant 8).
        unsafe {
            block.as_ref().older.set(older);
            if let Some(older) = older {
                older.as_ref().newer.set(Some(block));
            }
        }
    }

    /// Removes a value with a destructor from the thread's list. Called by the owning thread.
    ///
    /// # Safety
    /// The block is in this record's list.
    #[inline]
    pub(crate) unsafe fn unlink(&self, block: NonNull<Block>) {
        // SAFETY: the block is in this list (this function's contract), and blocks in the list are alive (invariant 8).
        unsafe {
            let header = block.as_ref();
            let (older, newer) = (header.older.get(), header.newer.get());
            match newer {
                Some(newer) => newer.as_ref().older.set(older),
                None => self.newest.set(older),
            }
            if let Some(older) = older {
                older.as_ref().newer.set(newer);
            }
            if header.state.get().is_claimed() {
                self.claimed.set(self.claimed.get() - 1);
            }
        }
    }

    /// Whether the thread's list has a value with a destructor.
    pub(crate) fn has_newest(&self) -> bool {
        self.newest.get().is_some()
    }

    /// Removes the newest value with a destructor from the thread's list, if it is claimed. Called by the owning thread.
    pub(crate) fn pop_claimed(&self) -> Option<NonNull<Block>> {
        let block = self.newest.get()?;
        // SAFETY: blocks in the list are alive (invariant 8).
        unsafe {
            if block.as_ref().state.get() != BlockState::Claimed {
                return None;
            }
            let older = block.as_ref().older.get();
            self.newest.set(older);
            if let Some(older) = older {
                older.as_ref().newer.set(None);
            }
        }
        self.claimed.set(self.claimed.get() - 1);
        Some(block)
    }

    /// A claimed value that is not destroyed yet: the entry is DESTROYED, but the thread's own destructors may still use it.
    #[inline]
    pub(crate) fn find_claimed(&self, number: u32) -> Option<NonNull<Block>> {
        if self.claimed.get() == 0 {
            return None;
        }
        self.search_claimed(number)
    }

    #[cold]
    fn search_claimed(&self, number: u32) -> Option<NonNull<Block>> {
        let (mut left, mut next) = (self.claimed.get(), self.newest.get());
        while let (Some(block), true) = (next, left > 0) {
            // SAFETY: blocks in the list are alive (invariant 8).
            let header = unsafe { block.as_ref() };
            if header.state.get().is_claimed() {
                if header.number.get() == number {
                    return Some(block);
                }
                left -= 1;
            }
            next = header.older.get();
        }
        None
    }

    /// Whether the record has object-owned values.
    pub(crate) fn has_object_owned(&self) -> bool {
        self.object_owned.get() != self.object_owned_taken.load(Relaxed)
    }

    /// Must be called before an entry becomes INITIALIZING.
    #[inline]
    pub(crate) fn begin_entry(&self, owner: Owner) {
        match owner {
            Owner::Thread => self.has_own_entries.set(true),
            Owner::Object => {
                self.initializing_object_owned.set(self.initializing_object_owned.get() + 1)
            }
        }
    }

    /// Must be called when an entry is not INITIALIZING any more.
    #[inline]
    pub(crate) fn end_initializing(&self, owner: Owner) {
        if owner == Owner::Object {
            self.initializing_object_owned.set(self.initializing_object_owned.get() - 1);
        }
    }

    /// Whether an entry may have to be emptied before another thread gets the record.
    pub(crate) fn needs_emptying(&self) -> bool {
        self.has_own_entries.get() || self.initializing_object_owned.get() > 0
    }

    /// Whether droppers have left orphans to this thread. A relaxed load suffices: the inbox is emptied under the lock.
    #[inline]
    pub(crate) fn has_orphans(&self) -> bool {
        !self.is_inbox_empty() || self.orphans.get().is_some()
    }

    /// Whether the inbox is empty.
    #[inline(always)]
    pub(crate) fn is_inbox_empty(&self) -> bool {
        self.inbox.load(Relaxed).is_null()
    }

    /// Lets the next first use take the fast path again, if the record has no orphans and no claimed values any more.
    pub(crate) fn end_slow(&self) {
        self.entries.slow.set(self.orphans.get().is_some() || self.claimed.get() > 0);
    }

    /// Removes an orphan that was taken out of the inbox. Called by the owning thread.
    pub(crate) fn pop_orphan(&self) -> Option<NonNull<Block>> {
        let block = self.orphans.get()?;
        // SAFETY: blocks in the list are alive (invariant 8).
        self.orphans.set(unsafe { block.as_ref().next_handed.get() });
        Some(block)
    }

    /// Allocates a table with an entry for `number`. `None` if the record already has that entry.
    pub(crate) fn larger_table(&self, number: u32) -> Result<Option<Table>, AccessError> {
        if self.entry(number).is_some() {
            return Ok(None);
        }
        // Doubling: consecutive slot numbers cost amortized constant time.
        let len =
            (number as usize + 1).checked_next_power_of_two().ok_or(AccessError::OutOfMemory)?
                - INLINE;
        let layout = table_layout(len).ok_or(AccessError::OutOfMemory)?;
        // SAFETY: the layout is not zero-sized: the record has no entry for `number`, so it is not below `INLINE`.
        let table = unsafe { alloc_zeroed(layout) }.cast::<Entry>();
        if table.is_null() {
            return Err(AccessError::OutOfMemory);
        }
        Ok(Some(Table { table, len }))
    }

    /// Prepares an ended record for another thread. It keeps its object-owned values, its table, its stripe and its cached slot
    /// numbers; the rest is as in a new record.
    ///
    /// # Safety
    /// The record is in no root slot, and has no thread-owned values and no orphans. If it has object-owned values, `holding` is set.
    pub(crate) unsafe fn reset(&self, holding: bool) {
        debug_assert!(self.newest.get().is_none() && self.orphans.get().is_none());
        debug_assert!(self.claimed.get() == 0);
        self.entries.slow.set(false);
        self.entries.life.set(self.entries.life.get().checked_add(1).unwrap_or(1));
        self.rounds.set(0);
        self.exit_list.set(ExitList::NotRegistered);
        self.has_blocks_elsewhere.set(holding);
        self.has_own_entries.set(false);
        self.initializing_object_owned.set(0);
        self.reclaiming.set(false);
        self.growing.set(false);
        // SAFETY: only thread-owned values are in the arena, and there are none (this function's contract).
        unsafe { self.arena.reset() };
    }

    /// Whether the table is too long for a pooled record.
    pub(crate) fn has_long_table(&self) -> bool {
        self.entries.table_len.load(Relaxed) as usize > LONGEST_POOLED
    }
}

impl Locked<'_> {
    /// Copies the entries to a longer table and uses that one. Returns the old table, or the new one if it is not longer; an empty
    /// new table always replaces the old one. Called by the owning thread.
    ///
    /// Under the lock, because a dropper could otherwise empty an entry of the old table after it was copied.
    pub(crate) fn replace_table(&self, new: Table) -> Table {
        let entries = &self.record().entries;
        let (old, old_len) =
            (entries.table.load(Relaxed), entries.table_len.load(Relaxed) as usize);
        if old_len >= new.len && new.len != 0 {
            return new;
        }
        for index in 0..old_len.min(new.len) {
            // SAFETY: both tables are longer than `index`, and initialized: zeroes are vacant entries.
            unsafe { (*new.table.add(index)).0.store((*old.add(index)).0.load(Relaxed), Relaxed) };
        }
        // Invariant 7: in a child that was forked between two stores, the table is at least as long as `table_len`.
        if new.len == 0 {
            entries.table_len.store(0, Relaxed);
        }
        entries.table.store(new.table, core::sync::atomic::Ordering::Release);
        entries.table_len.store(new.len as u32, core::sync::atomic::Ordering::Release);
        mem::forget(new);
        Table { table: old, len: old_len }
    }
}

/// A table of entries that no record uses. Dropping it frees the memory.
pub(crate) struct Table {
    table: *mut Entry,
    len: usize,
}

impl Table {
    pub(crate) const NONE: Table = Table { table: ptr::null_mut(), len: 0 };
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: `larger_table` allocated it, or it is empty; no record uses it.
        unsafe { free_table(self.table, self.len) }
    }
}

fn table_layout(len: usize) -> Option<Layout> {
    Layout::array::<Entry>(len).ok()
}

/// # Safety
/// `len` is 0, or the table was allocated with `table_layout(len)` and is not used any more.
unsafe fn free_table(table: *mut Entry, len: usize) {
    if len != 0 {
        if let Some(layout) = table_layout(len) {
            // SAFETY: the table was allocated with this layout and is not used any more (this function's contract).
            unsafe { dealloc(table.cast(), layout) };
        }
    }
}

const _: () = assert!(mem::align_of::<Record>() >= numbers::TOKEN_ALIGN);
// The size that docs/GUARANTEES.md states.
const _: () = assert!(SMALL || usize::BITS != 64 || mem::size_of::<Record>() == 768);
