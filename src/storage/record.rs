//! A thread's record: its entries, what other threads may access, and what belongs to the owning thread alone; and the stripes, which
//! are lists of records.
//!
//! Nothing in this module takes a lock or calls user code. The right to access a record is a type: [`Current`] is the owning thread's,
//! [`Locked`] exists while the lock of the record's stripe is held, and [`OwnLocked`] is both.

use super::arena::Arena;
use super::entries::{block_in, Entries, Entry, Kind, State, Table};
use super::numbers::NumberCache;
use super::packed::INLINE;
use super::token::{stripe_of, token, TOKEN_ALIGN};
use super::value::{Block, BlockState, Link, Owner};
use super::SMALL;
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::sync::atomic::{compiler_fence, AtomicPtr, AtomicU32, Ordering::*};

/// In a block: the value's object is gone, and its slot number is another object's.
pub(crate) const NO_NUMBER: u32 = u32::MAX;

/// A thread's record.
///
/// On hosted targets the alignment leaves the low bits of the address for the stripe (`token`), and keeps the records of different
/// threads on different cache lines.
#[repr(C)]
#[cfg_attr(all(not(target_os = "none"), not(os_thread_local_backend = "single")), repr(align(128)))]
pub(crate) struct Record {
    /// Written by the owning thread; a dropper may make an entry vacant under the stripe's lock (invariant 2).
    entries: Entries,
    shared: Shared,
    own: Own,
}

/// The part of a record that other threads may access.
#[repr(C)]
struct Shared {
    /// The record's address and stripe: see `token`. It does not change.
    token: usize,
    /// Orphans that droppers have pushed, under the stripe's lock.
    inbox: AtomicPtr<Block>,
    /// The next record of the stripe. Accessed under the stripe's lock.
    next_in_stripe: Cell<Option<NonNull<Record>>>,
    /// The next pooled record. Accessed under the pool's lock.
    next_in_pool: Cell<Option<NonNull<Record>>>,
    /// How many object-owned values droppers on other threads have taken out, under the stripe's lock. While the record is pooled, only
    /// this count changes: once it is equal to `Own::object_owned`, the record has no such values and gets none.
    object_owned_taken: AtomicU32,
}

/// The part of a record that only the owning thread accesses. The owner of a pooled record is the thread that holds the pool's lock.
#[repr(C)]
pub(crate) struct Own {
    /// The newest value with a destructor: the head of the thread's list.
    newest: Link,
    /// Orphans that the thread has taken out of the inbox.
    orphans: Link,
    /// How many values of the list are claimed.
    claimed: AtomicU32,
    /// No entry from this number on leads to a thread-owned value or has the tag of one. Those below must be emptied when the thread
    /// ends.
    own_end: Cell<u32>,
    /// How many entries are INITIALIZING for an object-owned value. If a fiber is deleted inside an initializer, its record keeps the
    /// tag, which must be emptied, too.
    initializing_object_owned: Cell<u32>,
    /// How many object-owned values the record has received, less those that its own threads have taken out.
    object_owned: Cell<u32>,
    pub(crate) arena: Arena,
    pub(crate) numbers: NumberCache,
    pub(crate) destructors: Cell<Destructors>,
    /// Set if an entry may lead to a block outside of the arena.
    pub(crate) has_blocks_elsewhere: Cell<bool>,
    /// Set if the record may have a table or chunks that a pooled record does not keep.
    pub(crate) has_memory: Cell<bool>,
    /// Set while the thread is in `reclaim`.
    pub(crate) reclaiming: Cell<bool>,
    /// Set while the thread allocates a table or a bucket of slot numbers.
    pub(crate) growing: Cell<bool>,
}

/// What the thread has done with values that have a destructor.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destructors {
    /// It has made none.
    None,
    /// It has made one; the system's thread-exit list, if there is one, has the hook.
    Registered,
    /// An earlier record of the thread has ended and destroyed some: this one is late, and gets none.
    Late,
}

/// The record that begins with these entries, or `None` for a sentinel.
///
/// # Safety
/// The entries are a sentinel, or the first part of a record that is alive.
#[inline]
pub(crate) unsafe fn record_at(entries: NonNull<Entries>) -> Option<NonNull<Record>> {
    // SAFETY: sentinels are statics, and the record is alive (this function's contract).
    if unsafe { entries.as_ref() }.is_record() {
        Some(entries.cast())
    } else {
        None
    }
}

impl Record {
    /// Allocates a record of a stripe, which it must join before its first use.
    pub(crate) fn allocate(stripe: usize) -> Option<NonNull<Record>> {
        // SAFETY: the layout is not zero-sized.
        let record = NonNull::new(unsafe { alloc(Layout::new::<Record>()) })?.cast::<Record>();
        let new = Record {
            entries: Entries::EMPTY,
            shared: Shared {
                token: token(record.as_ptr() as usize, stripe),
                inbox: AtomicPtr::new(ptr::null_mut()),
                next_in_stripe: Cell::new(None),
                next_in_pool: Cell::new(None),
                object_owned_taken: AtomicU32::new(0),
            },
            own: Own {
                claimed: AtomicU32::new(0),
                newest: Link::NONE,
                orphans: Link::NONE,
                own_end: Cell::new(0),
                initializing_object_owned: Cell::new(0),
                object_owned: Cell::new(0),
                destructors: Cell::new(Destructors::None),
                has_blocks_elsewhere: Cell::new(false),
                has_memory: Cell::new(false),
                reclaiming: Cell::new(false),
                growing: Cell::new(false),
                arena: Arena::new(),
                numbers: NumberCache::new(),
            },
        };
        // SAFETY: the memory is new and has the layout of a record; the arena has no blocks.
        unsafe {
            record.as_ptr().write(new);
            record.as_ref().own.arena.start_over();
        }
        Some(record)
    }

    /// # Safety
    /// The record has ended, is in no stripe and not pooled, and is not used afterwards.
    pub(crate) unsafe fn free(record: NonNull<Record>) {
        // SAFETY: the record is not used afterwards (this function's contract): nothing else refers to it, no block is in its arena, and it
        // was allocated with this layout.
        unsafe {
            drop((*record.as_ptr()).entries.take_table());
            record.as_ref().own.arena.free_chunks();
            dealloc(record.as_ptr().cast(), Layout::new::<Record>());
        }
    }

    /// The link to the next pooled record. Accessed under the pool's lock.
    #[inline]
    pub(crate) fn next_in_pool(&self) -> &Cell<Option<NonNull<Record>>> {
        &self.shared.next_in_pool
    }

    /// Whether the record has object-owned values. Called by the owner.
    #[inline]
    pub(crate) fn has_object_owned(&self) -> bool {
        self.own.object_owned.get() != self.shared.object_owned_taken.load(Relaxed)
    }

    pub(crate) fn stripe(&self) -> usize {
        stripe_of(self.shared.token)
    }
}

/// A record, for its owning thread. Not `Send`, and stored in no static or thread-local, so it is not used after the record has ended.
#[derive(Clone, Copy)]
pub(crate) struct Current(NonNull<Record>);

impl Deref for Current {
    type Target = Own;

    #[inline]
    fn deref(&self) -> &Own {
        &self.record().own
    }
}

impl Current {
    /// # Safety
    /// The calling thread owns the record until it ends, and the result is not used afterwards.
    #[inline]
    pub(crate) unsafe fn new(record: NonNull<Record>) -> Current {
        Current(record)
    }

    #[inline]
    fn record(&self) -> &Record {
        // SAFETY: the record of a thread is alive until the thread ends it (invariant 9, `new`).
        unsafe { self.0.as_ref() }
    }

    #[inline]
    pub(crate) fn pointer(self) -> NonNull<Record> {
        self.0
    }

    #[inline]
    pub(crate) fn entries(&self) -> &Entries {
        &self.record().entries
    }

    #[inline]
    pub(crate) fn token(self) -> usize {
        self.record().shared.token
    }

    #[inline]
    pub(crate) fn stripe(self) -> usize {
        self.record().stripe()
    }

    #[inline]
    pub(crate) fn entry(&self, number: u32) -> Option<&Entry> {
        self.entries().entry(number)
    }

    /// Sets an entry, which must exist.
    #[inline]
    pub(crate) fn set(self, number: u32, state: State) {
        match self.entry(number) {
            Some(entry) => entry.set(state),
            None => debug_assert!(false, "no entry for slot number {}", number),
        }
    }

    #[inline]
    pub(crate) fn has_object_owned(self) -> bool {
        self.record().has_object_owned()
    }

    /// Whether droppers have pushed no orphans. A relaxed load suffices: the inbox is emptied under the lock.
    #[inline(always)]
    pub(crate) fn is_inbox_empty(self) -> bool {
        self.record().shared.inbox.load(Relaxed).is_null()
    }

    /// Whether droppers have left orphans to this thread.
    #[inline]
    pub(crate) fn has_orphans(self) -> bool {
        !self.is_inbox_empty() || self.orphans.get().is_some()
    }

    /// Lets the next first use take the fast path again, if the record has no orphans and no claimed values any more, and is not late.
    pub(crate) fn end_slow(self) {
        let slow = self.orphans.get().is_some() || self.claimed.load(Relaxed) > 0;
        self.entries().set_slow(slow || self.is_late());
    }

    /// Makes a new record a late one: each first use takes the slow path, which refuses values with a destructor.
    pub(crate) fn set_late(self) {
        self.destructors.set(Destructors::Late);
        self.entries().set_slow(true);
    }

    /// Prepares an ended record for another thread. It keeps its object-owned values, its table, its stripe and its cached slot
    /// numbers; the rest is as in a new record.
    ///
    /// # Safety
    /// The record is in no root slot, and has no thread-owned values and no orphans.
    #[inline]
    pub(crate) unsafe fn reset(self) {
        debug_assert!(!self.has_newest() && self.orphans.get().is_none());
        debug_assert!(self.claimed.load(Relaxed) == 0);
        let holds_values = self.has_object_owned();
        self.entries().set_slow(false);
        self.entries().begin_life();
        self.destructors.set(Destructors::None);
        self.has_blocks_elsewhere.set(holds_values);
        self.has_memory.set(self.entries().has_long_table());
        self.own_end.set(0);
        self.initializing_object_owned.set(0);
        self.reclaiming.set(false);
        self.growing.set(false);
        self.numbers.start_over();
        // SAFETY: only thread-owned values are in the arena, and there are none (this function's contract).
        unsafe { self.arena.start_over() };
    }
}

impl Own {
    /// Adds a value with a destructor at the head of the thread's list.
    ///
    /// # Safety
    /// The block is new, so it is in no list and its links are null. It has a destructor, and is alive until it is unlinked.
    #[inline]
    pub(crate) unsafe fn link_newest(&self, block: NonNull<Block>) {
        let older = self.newest.get();
        // SAFETY: the block is alive (this function's contract), and so are those in the list (invariant 8).
        unsafe {
            block.as_ref().older.set(older);
            self.newest.publish(block);
            if let Some(older) = older {
                older.as_ref().newer.set(Some(block));
            }
        }
    }

    /// Removes a value with a destructor from the thread's list.
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
                // The link of the list's head is not kept up to date: `pop_claimed` does not write to the next block.
                Some(newer) if self.newest.get() != Some(block) => newer.as_ref().older.set(older),
                _ => self.newest.set(older),
            }
            if let Some(older) = older {
                older.as_ref().newer.set(newer);
            }
            if header.state().is_claimed() {
                self.claimed.store(self.claimed.load(Relaxed) - 1, Relaxed);
            }
        }
        compiler_fence(SeqCst); // a signal handler walks the list: before the block's memory is used for something else
    }

    /// Whether the thread's list has a value with a destructor.
    #[inline]
    pub(crate) fn has_newest(&self) -> bool {
        self.newest.get().is_some()
    }

    /// Removes the newest value with a destructor from the thread's list, if it is claimed.
    #[inline]
    pub(crate) fn pop_claimed(&self) -> Option<NonNull<Block>> {
        let block = self.newest.get()?;
        // SAFETY: blocks in the list are alive (invariant 8).
        let header = unsafe { block.as_ref() };
        if header.state() != BlockState::Claimed {
            return None;
        }
        self.newest.set(header.older.get());
        self.claimed.store(self.claimed.load(Relaxed) - 1, Relaxed);
        compiler_fence(SeqCst); // as in `unlink`
        Some(block)
    }

    /// A claimed value that is not destroyed yet: the entry is DESTROYED, but the thread's own destructors may still use it.
    #[inline]
    pub(crate) fn find_claimed(&self, number: u32) -> Option<NonNull<Block>> {
        if self.claimed.load(Relaxed) == 0 {
            return None;
        }
        self.search_claimed(number)
    }

    /// A signal handler may be here while the thread is anywhere else: what it follows are single words, each of which leads to a block
    /// that is alive.
    #[cold]
    fn search_claimed(&self, number: u32) -> Option<NonNull<Block>> {
        let (mut left, mut next) = (self.claimed.load(Relaxed), self.newest.get());
        while let (Some(block), true) = (next, left > 0) {
            // SAFETY: blocks in the list are alive (invariant 8).
            let header = unsafe { block.as_ref() };
            if header.state().is_claimed() {
                if header.number() == number {
                    return Some(block);
                }
                left -= 1;
            }
            next = header.older.get();
        }
        None
    }

    /// Removes an orphan that was taken out of the inbox.
    pub(crate) fn pop_orphan(&self) -> Option<NonNull<Block>> {
        let block = self.orphans.get()?;
        // SAFETY: blocks in the list are alive (invariant 8).
        self.orphans.set(unsafe { block.as_ref().next_orphan.get() });
        Some(block)
    }

    /// Must be called before an entry becomes INITIALIZING.
    #[inline]
    pub(crate) fn begin_entry(&self, owner: Owner, number: u32) {
        match owner {
            Owner::Thread => {
                if number >= self.own_end.get() {
                    self.own_end.set(number + 1);
                }
            }
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

    /// Counts an object-owned value that the record has received.
    #[inline]
    pub(crate) fn count_object_owned(&self) {
        self.object_owned.set(self.object_owned.get().wrapping_add(1));
    }

    /// Counts an object-owned value that the owning thread has taken out.
    #[inline]
    pub(crate) fn count_object_owned_taken(&self) {
        self.object_owned.set(self.object_owned.get().wrapping_sub(1));
    }

    /// Whether an entry may have to be emptied before another thread gets the record.
    #[inline]
    pub(crate) fn needs_emptying(&self) -> bool {
        self.own_end.get() != 0 || self.initializing_object_owned.get() > 0
    }

    #[inline]
    pub(crate) fn is_late(&self) -> bool {
        self.destructors.get() == Destructors::Late
    }

    /// What the root slot leads to after the end of the record.
    #[inline]
    pub(crate) fn remains(&self) -> Kind {
        match self.destructors.get() {
            Destructors::None => Kind::NoRecord,
            Destructors::Registered | Destructors::Late => Kind::Ended,
        }
    }
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

/// A record, for its owning thread, while the lock of its stripe is held.
pub(crate) struct OwnLocked<'a> {
    current: Current,
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
        unsafe { record.as_ref().shared.next_in_stripe.set(self.first) };
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
                    (*link).set(record.as_ref().shared.next_in_stripe.get());
                    return;
                }
                link = &next.as_ref().shared.next_in_stripe;
            }
        }
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = Locked<'_>> {
        let mut next = self.first;
        core::iter::from_fn(move || {
            let record = next?;
            // SAFETY: records in the list are alive (invariant 9).
            next = unsafe { record.as_ref().shared.next_in_stripe.get() };
            Some(Locked { record, _guard: PhantomData })
        })
    }

    /// The calling thread's own record, which must be in this stripe.
    #[inline]
    pub(crate) fn own(&self, current: Current) -> OwnLocked<'_> {
        OwnLocked { current, _guard: PhantomData }
    }
}

impl Locked<'_> {
    fn record(&self) -> &Record {
        // SAFETY: the record is alive: it leaves its stripe under the lock, which is held (invariant 9).
        unsafe { self.record.as_ref() }
    }

    pub(crate) fn token(&self) -> usize {
        self.record().shared.token
    }

    /// Makes an entry vacant and returns the block that was in it. Called by a dropper of the object.
    pub(crate) fn take(&self, number: u32) -> Option<NonNull<Block>> {
        // Two steps instead of a `swap`: the owning thread neither writes the entry nor replaces the table now (invariant 2).
        let entry = self.record().entries.entry(number)?;
        let content = entry.content();
        if content.is_null() {
            // Not stored again: a store takes the cache line away from the owning thread.
            return None;
        }
        entry.set(State::Vacant);
        let block = block_in(content)?;
        // SAFETY: a block that was in an entry is alive (invariant 8), and only this thread has taken it out (invariant 3).
        if unsafe { block.as_ref().vtable.owner == Owner::Object } {
            let taken = &self.record().shared.object_owned_taken;
            taken.store(taken.load(Relaxed).wrapping_add(1), Relaxed);
        }
        Some(block)
    }

    /// Pushes a block to the inbox, for the owning thread.
    ///
    /// # Safety
    /// `take` returned the block, and the lock has been held since.
    pub(crate) unsafe fn push_orphan(&self, block: NonNull<Block>) {
        let inbox = &self.record().shared.inbox;
        // SAFETY: the block is alive: the caller took it out of its entry and is responsible for it (invariant 3).
        unsafe { block.as_ref().next_orphan.set(NonNull::new(inbox.load(Relaxed))) };
        inbox.store(block.as_ptr(), Release); // invariant 7
    }
}

impl OwnLocked<'_> {
    /// Moves the inbox to the front of the thread's own list of orphans.
    #[cold]
    #[inline(never)]
    pub(crate) fn empty_inbox(&self) {
        let record = self.current.record();
        let first = match NonNull::new(record.shared.inbox.load(Relaxed)) {
            Some(first) => first,
            None => return,
        };
        record.shared.inbox.store(ptr::null_mut(), Relaxed);
        let mut last = first;
        // SAFETY: blocks in the inbox are alive (invariant 8), and left to this thread. Those with a destructor are still in its list.
        unsafe {
            loop {
                if last.as_ref().vtable.needs_drop() {
                    record.own.unlink(last);
                }
                match last.as_ref().next_orphan.get() {
                    Some(next) => last = next,
                    None => break,
                }
            }
            last.as_ref().next_orphan.set(record.own.orphans.get());
            record.own.orphans.publish(first);
            record.entries.set_slow(true);
        }
    }

    /// Claims the newest values with a destructor: their entries become DESTROYED, so that no dropper takes them, and the thread itself
    /// finds them through `find_claimed` until it destroys them.
    ///
    /// A batch per lock acquisition replaces a read-modify-write per value; its size limits how long a dropper waits.
    #[inline]
    pub(crate) fn claim_newest(&self) {
        const BATCH: u32 = 64;
        if !self.current.is_inbox_empty() {
            self.empty_inbox();
        }
        let current = self.current;
        current.entries().set_slow(true);
        let (mut next, mut claimed) = (current.newest.get(), current.claimed.load(Relaxed));
        let most = claimed + BATCH;
        while let Some(block) = next {
            // SAFETY: blocks in the list are alive (invariant 8).
            let header = unsafe { block.as_ref() };
            next = header.older.get();
            let state = header.state();
            if state == BlockState::Claimed || claimed == most {
                break;
            }
            match current.entry(header.number()) {
                Some(entry) if entry.content() == block.as_ptr() => {
                    if state == BlockState::Reachable {
                        // A signal handler finds the value in the entry, or through the list: not in neither, and the count is not too low.
                        claimed += 1;
                        current.claimed.store(claimed, Relaxed);
                        header.set_state(BlockState::Claimed);
                        compiler_fence(Release);
                        entry.set(State::Destroyed);
                        continue;
                    }
                    entry.set(State::Destroyed);
                }
                // In a forked child: a dropper of the parent, which the child does not have, was stopped between `take` and
                // `push_orphan`.
                _ => header.set_number(NO_NUMBER),
            }
            claimed = self.claim_slow(block, claimed);
        }
    }

    /// Claims a value that is borrowed, or is not in its entry. Returns how many are claimed.
    #[cold]
    #[inline(never)]
    fn claim_slow(&self, block: NonNull<Block>, claimed: u32) -> u32 {
        // SAFETY: the block is in the thread's list, so it is alive (invariant 8).
        unsafe {
            if block.as_ref().state().is_borrowed() {
                // The process exits from inside `with_mut`: the value is leaked.
                self.current.unlink(block);
                return self.current.claimed.load(Relaxed);
            }
            self.current.claimed.store(claimed + 1, Relaxed);
            block.as_ref().set_state(BlockState::Claimed);
        }
        claimed + 1
    }

    /// Makes the entries of thread-owned values vacant, for a record in which no entry leads to a block outside of the arena. `false` if
    /// there are orphans: then nothing was done.
    #[inline]
    pub(crate) fn clear_entries(&self) -> bool {
        if !self.current.is_inbox_empty() {
            return false;
        }
        let end = self.current.own_end.get() as usize;
        let (inline, _) = self.current.entries().some_from(0, INLINE);
        for entry in &inline[..end.min(INLINE)] {
            entry.set(State::Vacant);
            // One store after the other: most threads have few values, and code that is not unrolled is on fewer cache lines.
            compiler_fence(SeqCst);
        }
        if end > INLINE {
            self.clear_table(end - INLINE);
        }
        true
    }

    #[cold]
    #[inline(never)]
    fn clear_table(&self, end: usize) {
        let (table, _) = self.current.entries().some_from(INLINE, end);
        table.iter().for_each(|entry| entry.set(State::Vacant));
    }

    /// Empties a batch of entries from number `from` on, except those of object-owned values, and returns the number to continue
    /// from. Passes the blocks outside of the arena to `free`.
    ///
    /// The thread has no values with a destructor any more, with one exception: if its fiber was deleted inside `with_mut`, the
    /// borrowed value is leaked here. The size of the batch limits how long a dropper waits for the lock.
    pub(crate) fn empty_entries(
        &self,
        from: usize,
        mut free: impl FnMut(NonNull<Block>),
    ) -> Option<usize> {
        const BATCH: usize = 1024;
        let current = self.current;
        let end = match current.initializing_object_owned.get() {
            0 => current.own_end.get() as usize,
            _ => usize::MAX,
        };
        let (entries, next) = current.entries().some_from(from, BATCH);
        let next = next.filter(|&next| next < end);
        if !current.has_blocks_elsewhere.get() {
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

    /// See `Entries::replace_table`.
    pub(crate) fn replace_table(&self, new: Table) -> Table {
        self.current.entries().replace_table(new)
    }
}

const _: () = assert!(mem::align_of::<Record>() >= TOKEN_ALIGN);
// The size that docs/GUARANTEES.md states.
const _: () = assert!(SMALL || usize::BITS != 64 || mem::size_of::<Record>() == 768);
