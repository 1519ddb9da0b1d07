//! A thread's record: the table that the root slot points to, the thread's own lists, its arena, and its free slot numbers.
//!
//! On Windows a record belongs to a fiber, on a custom backend to a task; "thread" stands for all three. Nothing here takes a lock
//! or calls user code.

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
use core::ptr::{self, NonNull};
use core::sync::atomic::{compiler_fence, AtomicPtr, AtomicU32, AtomicUsize, Ordering::*};

/// Entries that stand in the record itself.
pub(crate) const INLINE: usize = 32;

/// The longest table that a record keeps for the next thread: together with the inline entries, 1,024 of them.
const LONGEST_POOLED: usize = 1024 - INLINE;

/// "No slot number": of a value whose object is gone.
pub(crate) const NO_NUMBER: u32 = u32::MAX;

/// What a slot number leads to in one thread: nothing, one of two tags, or a value block.
///
/// Relaxed loads and stores will do: invariant 2.
#[repr(transparent)] // tables are allocated as zeroes
pub(crate) struct Entry(AtomicPtr<Block>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Vacant,
    Initializing,
    Destroyed,
    Value(NonNull<Block>),
}

/// The largest address that is not a block's: 0 is vacant, 1 INITIALIZING, 2 DESTROYED.
const TAGS: usize = 2;

impl Entry {
    #[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
    const VACANT: Entry = Entry(AtomicPtr::new(ptr::null_mut()));

    /// A block, or a tag: for `block_in`.
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

    /// By the owning thread.
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

/// One comparison tells a block from nothing and from both tags.
#[inline(always)]
pub(crate) fn block_in(content: *mut Block) -> Option<NonNull<Block>> {
    if content as usize > TAGS {
        // SAFETY: not 0.
        Some(unsafe { NonNull::new_unchecked(content) })
    } else {
        None
    }
}

/// What the root slot points to: the part of a record that the fast path reads. A sentinel has no other.
#[repr(C)]
pub(crate) struct Entries {
    inline: [Entry; INLINE],
    /// Entries from number `INLINE` on. Replaced by the owning thread, under the stripe's lock.
    table: AtomicPtr<Entry>,
    table_len: AtomicUsize,
}

/// On hosted targets the alignment leaves the low bits of an address for the stripe (`numbers::token`), and keeps the records of
/// two threads off each other's cache lines.
#[repr(C)]
#[cfg_attr(all(not(target_os = "none"), not(os_thread_local_backend = "single")), repr(align(128)))]
pub(crate) struct Record {
    pub(crate) entries: Entries,
    /// See `numbers::token`.
    token: usize,
    /// Orphans: blocks of dropped objects which only this thread may destroy or free. Pushed by other threads, under the stripe's
    /// lock.
    inbox: AtomicPtr<Block>,
    /// The next record of the stripe. Under the stripe's lock.
    pub(crate) next_in_stripe: Cell<Option<NonNull<Record>>>,
    /// The next pooled record. Under the pool's lock.
    pub(crate) next_in_pool: Cell<Option<NonNull<Record>>>,

    // The owning thread's alone, from here on.
    /// The newest value with a destructor: the head of the record's list.
    newest: Cell<Option<NonNull<Block>>>,
    /// Orphans that the thread has taken from the inbox.
    orphans: Cell<Option<NonNull<Block>>>,
    /// How many values of the list are claimed.
    claimed: Cell<u32>,
    /// How often the root key's destructor has seen the record.
    pub(crate) rounds: Cell<u8>,
    /// The thread's place in its life, as far as the record knows.
    pub(crate) exit_list: Cell<ExitList>,
    /// Some entry may lead to a block outside of the arena.
    pub(crate) has_blocks_elsewhere: Cell<bool>,
    /// Some entry may lead to a thread-owned value, or be the tag that such a value leaves: it is emptied when the thread ends.
    has_own_entries: Cell<bool>,
    /// How many entries say INITIALIZING for an object-owned value. A fiber may be deleted inside an initializer, and leaves the tag.
    initializing_object_owned: Cell<u32>,
    /// How many object-owned values the record has got, and how many other threads have taken out of it since: the latter under the
    /// stripe's lock. While it is pooled they only become equal.
    pub(crate) object_owned: Cell<u32>,
    object_owned_taken: AtomicU32,
    /// The thread is in `reclaim`.
    pub(crate) reclaiming: Cell<bool>,
    /// The thread allocates for a table, or for more slot numbers.
    pub(crate) growing: Cell<bool>,
    pub(crate) numbers: NumberCache,
    pub(crate) arena: Arena,
}

/// Whether the C library will call, or has called, the thread-exit hook for this record's thread.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitList {
    /// No value with a destructor was made yet.
    NotRegistered,
    Registered,
    /// The list has run, so the record was there before any key's destructor was called.
    HasRun,
    /// The record was made after the list had run.
    TooLate,
}

/// The records of one stripe, as the lock protects them.
pub(crate) struct Stripe {
    first: Option<NonNull<Record>>,
}

// SAFETY: the records in the list are used through `Locked`, under the stripe's lock.
unsafe impl Send for Stripe {}

/// A record whose stripe's lock is held: what other threads may do to it.
#[derive(Clone, Copy)]
pub(crate) struct Locked<'a> {
    record: NonNull<Record>,
    _guard: PhantomData<&'a Stripe>,
}

impl Stripe {
    pub(crate) const EMPTY: Stripe = Stripe { first: None };

    /// One store publishes the record, so that the list is whole for a process that is forked at any point.
    ///
    /// # Safety
    /// The record is alive until it leaves, and in no stripe.
    pub(crate) unsafe fn join(&mut self, record: NonNull<Record>) {
        // SAFETY: the record is alive.
        unsafe { record.as_ref().next_in_stripe.set(self.first) };
        compiler_fence(Release); // invariant 7
        self.first = Some(record);
    }

    /// A walk and one store. Records leave when more threads end than the pool takes.
    pub(crate) fn leave(&mut self, record: NonNull<Record>) {
        let mut link: *const Cell<Option<NonNull<Record>>> = Cell::from_mut(&mut self.first);
        // SAFETY: records in the list are alive, and so are the links in them.
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
            // SAFETY: records in the list are alive.
            next = unsafe { record.as_ref().next_in_stripe.get() };
            Some(Locked { record, _guard: PhantomData })
        })
    }

    /// The calling thread's own record, which is in this stripe.
    pub(crate) fn own<'a>(&'a self, record: &'a Record) -> Locked<'a> {
        Locked { record: NonNull::from(record), _guard: PhantomData }
    }
}

impl Locked<'_> {
    fn record(&self) -> &Record {
        // SAFETY: a record is alive while it is in its stripe, which it leaves under the lock that is held.
        unsafe { self.record.as_ref() }
    }

    pub(crate) fn token(&self) -> usize {
        self.record().token
    }

    /// Empties an entry for the thread that owns the object, and gives the block that was in it.
    pub(crate) fn take(&self, number: u32) -> Option<NonNull<Block>> {
        // The table is not replaced meanwhile: its owner needs the lock for that.
        let entry = self.record().entry(number)?;
        // The record's thread does not write the entry meanwhile: it accesses no object that is owned exclusively, and it claims
        // values and empties entries under this lock.
        let content = entry.content();
        entry.set(State::Vacant);
        let block = block_in(content)?;
        // SAFETY: under the lock a block that was in an entry is alive.
        if unsafe { block.as_ref().vtable.owner == Owner::Object } {
            let taken = &self.record().object_owned_taken;
            taken.store(taken.load(Relaxed).wrapping_add(1), Relaxed);
        }
        Some(block)
    }

    /// Leaves a block to the record's thread.
    ///
    /// # Safety
    /// `take` gave the block, under this hold of the lock.
    pub(crate) unsafe fn push_orphan(&self, block: NonNull<Block>) {
        let inbox = &self.record().inbox;
        // SAFETY: the block is the caller's, who took it out of its entry.
        unsafe { block.as_ref().next_handed.set(NonNull::new(inbox.load(Relaxed))) };
        inbox.store(block.as_ptr(), Release); // invariant 7
    }

    /// Moves the inbox to the thread's own list of orphans, before those that are there. By the owning thread.
    pub(crate) fn empty_inbox(&self) {
        let record = self.record();
        let first = match NonNull::new(record.inbox.load(Relaxed)) {
            Some(first) => first,
            None => return,
        };
        record.inbox.store(ptr::null_mut(), Relaxed);
        let mut last = first;
        // SAFETY: blocks in the inbox are alive, and this thread's now.
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
        }
    }

    /// Claims the newest values with a destructor: from now on no other thread takes them. Their entries say DESTROYED, and the
    /// thread itself finds them through `find_claimed` until it destroys them. By the owning thread.
    pub(crate) fn claim_newest(&self) {
        /// So many per hold of the lock.
        const BATCH: usize = 64;
        self.empty_inbox();
        let record = self.record();
        let mut next = record.newest.get();
        for _ in 0..BATCH {
            let header = match next {
                // SAFETY: blocks in the list are alive.
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
                // In a forked child: a thread that the child does not have emptied the entry, and got no further.
                _ => header.number.set(NO_NUMBER),
            }
            if state.is_borrowed() {
                // The process exits from inside `with_mut`.
                // SAFETY: the block is in the list, which is this thread's.
                unsafe { record.unlink(NonNull::from(header)) }
            } else {
                header.state.set(BlockState::Claimed);
                record.claimed.set(record.claimed.get() + 1);
            }
        }
    }

    /// Empties the entries from number `from` on that end with the thread; up to a limit, so that the hold of the lock is
    /// short. Blocks outside of the arena are given to `free`; object-owned ones stay. Gives the number to go on from. By the owning
    /// thread, which has no values with a destructor any more, but for one whose fiber was deleted inside `with_mut`: that one leaks.
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
                // SAFETY: under the lock a block that is in an entry is alive.
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
        table_len: AtomicUsize::new(0),
    };

    /// # Safety
    /// `number < INLINE`
    #[inline(always)]
    pub(crate) unsafe fn inline_entry(&self, number: usize) -> &Entry {
        debug_assert!(number < INLINE);
        // SAFETY: in bounds, by this function's own condition.
        unsafe { self.inline.get_unchecked(number) }
    }

    /// The entry of slot number `INLINE + index`, if the table reaches so far. By the owning thread, or under the lock.
    #[inline(always)]
    pub(crate) fn table_entry(&self, index: usize) -> Option<&Entry> {
        if index < self.table_len.load(Relaxed) {
            // SAFETY: the table has `table_len` entries. The owning thread changes both, under the lock, so neither it nor a
            // thread that holds the lock sees one without the other.
            unsafe {
                let table = NonNull::new_unchecked(self.table.load(Relaxed));
                Some(&*table.as_ptr().add(index))
            }
        } else {
            None
        }
    }

    /// Entries from number `from` on, so many at the most, and the number that follows them. Under the lock.
    fn some_from(&self, from: usize, most: usize) -> (&[Entry], Option<usize>) {
        let len = self.table_len.load(Relaxed);
        if from < INLINE {
            return (&self.inline[from..], if len > 0 { Some(INLINE) } else { None });
        }
        let first = (from - INLINE).min(len);
        let end = (first + most).min(len);
        if first == end {
            return (&[], None);
        }
        // SAFETY: the table has `len` entries.
        let entries = unsafe {
            core::slice::from_raw_parts(self.table.load(Relaxed).add(first), end - first)
        };
        (entries, if end < len { Some(INLINE + end) } else { None })
    }

    /// The entry of a slot number, if there is one. By the owning thread, or under the lock.
    #[inline]
    pub(crate) fn entry(&self, number: u32) -> Option<&Entry> {
        let number = number as usize;
        match self.inline.get(number) {
            Some(entry) => Some(entry),
            None => self.table_entry(number - INLINE),
        }
    }
}

/// Entries that are all vacant, and belong to no thread. The fast path finds no value in them, and the slow path knows their
/// addresses.
struct Sentinel(Entries);

// SAFETY: nothing in it is ever written.
unsafe impl Sync for Sentinel {}

/// In so many rounds of destructors a sentinel is stored after a record has ended. Some systems (illumos, RTEMS) call destructors
/// until no value is left, so one of the rounds has to be the last.
const ENDED_ROUNDS: usize = if SMALL { 0 } else { 3 };

#[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
const SENTINEL: Sentinel = Sentinel(Entries::EMPTY);
/// One array, so that one comparison tells a sentinel from a record.
static SENTINELS: [Sentinel; 1 + ENDED_ROUNDS] = [SENTINEL; 1 + ENDED_ROUNDS];

/// Stands in the root slot while a thread's record is allocated or freed.
pub(crate) fn under_construction() -> NonNull<Entries> {
    NonNull::from(&SENTINELS[0].0)
}

/// Stands in the root slot of an exiting thread after its record has ended: the first, then one after the other in the following
/// rounds of destructors. There are none on small targets, which have no rounds.
pub(crate) fn ended(round: usize) -> Option<NonNull<Entries>> {
    SENTINELS.get(1 + round).map(|sentinel| NonNull::from(&sentinel.0))
}

/// The sentinel that follows this one.
pub(crate) fn next_ended(entries: NonNull<Entries>) -> Option<NonNull<Entries>> {
    let round = (0..ENDED_ROUNDS).find(|&round| ended(round) == Some(entries))?;
    ended(round + 1)
}

fn is_sentinel(entries: NonNull<Entries>) -> bool {
    let offset = (entries.as_ptr() as usize).wrapping_sub(SENTINELS.as_ptr() as usize);
    offset < mem::size_of_val(&SENTINELS)
}

/// The record that the root slot leads to, unless it leads to a sentinel.
#[inline]
pub(crate) fn record_at(entries: NonNull<Entries>) -> Option<NonNull<Record>> {
    if is_sentinel(entries) {
        None
    } else {
        // Entries that are no sentinel's begin a record.
        Some(entries.cast())
    }
}

impl Record {
    const fn new() -> Self {
        Record {
            entries: Entries::EMPTY,
            token: 0,
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
            numbers: NumberCache::new(),
            arena: Arena::new(),
        }
    }

    /// A new record, for one of the stripes.
    pub(crate) fn allocate() -> Option<NonNull<Record>> {
        // SAFETY: the layout is not zero-sized.
        let record = NonNull::new(unsafe { alloc(Layout::new::<Record>()) })?.cast::<Record>();
        // SAFETY: fresh memory of that layout; the arena has no blocks.
        unsafe {
            record.as_ptr().write(Record::new());
            record.as_ref().arena.reset();
        }
        Some(record)
    }

    /// Before the record joins the stripe.
    ///
    /// # Safety
    /// The caller has the record to itself.
    pub(crate) unsafe fn set_stripe(record: NonNull<Record>, stripe: usize) {
        // SAFETY: no other thread has the record.
        unsafe { (*record.as_ptr()).token = numbers::token(record.as_ptr() as usize, stripe) }
    }

    /// # Safety
    /// The record has ended, is in no stripe, and the caller gives it up.
    pub(crate) unsafe fn free(record: NonNull<Record>) {
        // SAFETY: a record owns its table, and was allocated with this layout.
        unsafe {
            let entries = &record.as_ref().entries;
            free_table(entries.table.load(Relaxed), entries.table_len.load(Relaxed));
            dealloc(record.as_ptr().cast(), Layout::new::<Record>());
        }
    }

    #[inline]
    pub(crate) fn token(&self) -> usize {
        self.token
    }

    pub(crate) fn stripe(&self) -> usize {
        numbers::stripe_of(self.token)
    }

    #[inline]
    pub(crate) fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries.entry(number)
    }

    /// By the owning thread; `number` has an entry.
    #[inline]
    pub(crate) fn set(&self, number: u32, state: State) {
        match self.entry(number) {
            Some(entry) => entry.set(state),
            None => debug_assert!(false, "no entry for slot number {}", number),
        }
    }

    /// Puts a value with a destructor at the head of the thread's list.
    ///
    /// # Safety
    /// The block is alive until it is unlinked, has a destructor, and is in no list.
    #[inline]
    pub(crate) unsafe fn link_newest(&self, block: NonNull<Block>) {
        let older = self.newest.replace(Some(block));
        // SAFETY: blocks in the list are alive.
        unsafe {
            block.as_ref().older.set(older);
            block.as_ref().newer.set(None);
            if let Some(older) = older {
                older.as_ref().newer.set(Some(block));
            }
        }
    }

    /// Takes a value with a destructor out of the thread's list.
    ///
    /// # Safety
    /// The block is in this record's list.
    #[inline]
    pub(crate) unsafe fn unlink(&self, block: NonNull<Block>) {
        // SAFETY: blocks in the list are alive.
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

    /// The newest value with a destructor, and whether it is claimed.
    pub(crate) fn newest(&self) -> Option<(NonNull<Block>, bool)> {
        let block = self.newest.get()?;
        // SAFETY: blocks in the list are alive.
        let state = unsafe { block.as_ref().state.get() };
        Some((block, state == BlockState::Claimed))
    }

    /// The value of an object whose entry says DESTROYED although the value only waits for its turn to be.
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
            // SAFETY: blocks in the list are alive.
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

    /// Whether the record has values that belong to their objects.
    pub(crate) fn has_object_owned(&self) -> bool {
        self.object_owned.get() != self.object_owned_taken.load(Relaxed)
    }

    /// Before an entry says INITIALIZING.
    #[inline]
    pub(crate) fn begin_entry(&self, owner: Owner) {
        match owner {
            Owner::Thread => self.has_own_entries.set(true),
            Owner::Object => {
                self.initializing_object_owned.set(self.initializing_object_owned.get() + 1)
            }
        }
    }

    /// After an entry has said INITIALIZING.
    #[inline]
    pub(crate) fn end_initializing(&self, owner: Owner) {
        if owner == Owner::Object {
            self.initializing_object_owned.set(self.initializing_object_owned.get() - 1);
        }
    }

    /// Whether some entry may have to be emptied before another thread gets the record.
    pub(crate) fn needs_emptying(&self) -> bool {
        self.has_own_entries.get() || self.initializing_object_owned.get() > 0
    }

    /// Whether dropped objects have left something to this thread.
    #[inline]
    pub(crate) fn has_orphans(&self) -> bool {
        !self.inbox.load(Relaxed).is_null() || self.orphans.get().is_some()
    }

    /// Takes an orphan. It is in no list then, and the calling thread's, which is the owning one.
    pub(crate) fn pop_orphan(&self) -> Option<NonNull<Block>> {
        let block = self.orphans.get()?;
        // SAFETY: blocks in the list are alive.
        self.orphans.set(unsafe { block.as_ref().next_handed.get() });
        Some(block)
    }

    /// A table that has an entry for `number`, or `None` if the record has one already.
    pub(crate) fn larger_table(&self, number: u32) -> Result<Option<Table>, AccessError> {
        if self.entry(number).is_some() {
            return Ok(None);
        }
        // Doubling, so that numbers handed out one after another cost a constant time each.
        let len =
            (number as usize + 1).checked_next_power_of_two().ok_or(AccessError::OutOfMemory)?
                - INLINE;
        let layout = table_layout(len).ok_or(AccessError::OutOfMemory)?;
        // SAFETY: the layout is not zero-sized: `number` is beyond the inline entries.
        let table = unsafe { alloc_zeroed(layout) }.cast::<Entry>();
        if table.is_null() {
            return Err(AccessError::OutOfMemory);
        }
        Ok(Some(Table { table, len }))
    }

    /// Gets the record ready for another thread: everything but the object-owned values, a table that is not too long, the stripe,
    /// and the slot numbers is as new. Gives a table that is too long.
    ///
    /// # Safety
    /// The record has ended: it is in no root slot, has no thread-owned values and no orphans. `holding` says whether it has
    /// object-owned ones.
    pub(crate) unsafe fn reset(&self, holding: bool) {
        debug_assert!(self.newest.get().is_none() && self.orphans.get().is_none());
        debug_assert!(self.claimed.get() == 0);
        self.rounds.set(0);
        self.exit_list.set(ExitList::NotRegistered);
        self.has_blocks_elsewhere.set(holding);
        self.has_own_entries.set(false);
        self.initializing_object_owned.set(0);
        self.reclaiming.set(false);
        self.growing.set(false);
        // SAFETY: no block of the arena is in use.
        unsafe { self.arena.reset() };
    }

    pub(crate) fn has_long_table(&self) -> bool {
        self.entries.table_len.load(Relaxed) > LONGEST_POOLED
    }
}

impl Locked<'_> {
    /// Gives the record a table with what is in the old one, unless it has one that is as long. Gives the table that is not used.
    /// By the owning thread.
    pub(crate) fn replace_table(&self, new: Table) -> Table {
        let entries = &self.record().entries;
        let (old, old_len) = (entries.table.load(Relaxed), entries.table_len.load(Relaxed));
        if old_len >= new.len && new.len != 0 {
            return new;
        }
        for index in 0..old_len.min(new.len) {
            // SAFETY: both tables are longer than `index`; all zeroes are a vacant entry. Under the lock no other thread
            // writes an entry.
            unsafe { (*new.table.add(index)).0.store((*old.add(index)).0.load(Relaxed), Relaxed) };
        }
        // In this order for a process that is forked between the two: a table is never shorter than its length says.
        if new.len == 0 {
            entries.table_len.store(0, Relaxed);
        }
        entries.table.store(new.table, core::sync::atomic::Ordering::Release);
        entries.table_len.store(new.len, core::sync::atomic::Ordering::Release);
        mem::forget(new);
        Table { table: old, len: old_len }
    }
}

/// A table of entries that is in no record.
pub(crate) struct Table {
    table: *mut Entry,
    len: usize,
}

impl Table {
    pub(crate) const NONE: Table = Table { table: ptr::null_mut(), len: 0 };
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: allocated by `larger_table`, or empty; the table is in no record.
        unsafe { free_table(self.table, self.len) }
    }
}

fn table_layout(len: usize) -> Option<Layout> {
    Layout::array::<Entry>(len).ok()
}

/// # Safety
/// The table was allocated with `table_layout(len)`, or `len` is 0; no thread uses it.
unsafe fn free_table(table: *mut Entry, len: usize) {
    if len != 0 {
        if let Some(layout) = table_layout(len) {
            // SAFETY: allocated with that layout.
            unsafe { dealloc(table.cast(), layout) };
        }
    }
}

const _: () = assert!(mem::align_of::<Record>() >= numbers::TOKEN_ALIGN);
// What docs/GUARANTEES.md says.
const _: () = assert!(SMALL || usize::BITS != 64 || mem::size_of::<Record>() == 768);
