//! Entries: what slot numbers lead to in one thread; and the sentinels, which stand in a root slot in place of a record.
//!
//! A signal handler may read the entries between any two instructions of their thread. So each of its steps is one atomic store, and a
//! compiler fence or a release store keeps a store that publishes behind those that prepare it.

use super::packed::INLINE;
use super::value::Block;
use super::SMALL;
use crate::sys::word;
use crate::AccessError;
use alloc::alloc::{alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::mem;
use core::num::NonZeroU16;
use core::ptr::{self, NonNull};
use core::sync::atomic::{compiler_fence, AtomicPtr, AtomicU16, AtomicU32, AtomicU8, Ordering::*};

/// The length of the longest table that a pooled record keeps: 1,024 entries, together with the inline ones.
const LONGEST_POOLED: usize = 1024 - INLINE;

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
        let content = match state {
            State::Vacant => ptr::null_mut(),
            State::Initializing => tag(1),
            State::Destroyed => tag(2),
            State::Value(block) => {
                compiler_fence(Release); // the block and its value come first
                block.as_ptr()
            }
        };
        self.0.store(content, Relaxed);
    }
}

/// The block in an entry: `None` for vacant and tags, which are the addresses up to `TAGS`.
#[inline(always)]
pub(crate) fn block_in(content: *mut Block) -> Option<NonNull<Block>> {
    if content as usize > TAGS {
        // SAFETY: `content` is greater than `TAGS`, so it is not 0.
        Some(unsafe { NonNull::new_unchecked(content) })
    } else {
        None
    }
}

/// What the root slot leads to: the first part of a record, which the fast path reads. A sentinel consists of this part alone.
#[repr(C)] // `sys::word` defines a sentinel
pub(crate) struct Entries {
    inline: [Entry; INLINE],
    /// The entries from number `INLINE` on. The owning thread replaces the table under the stripe's lock.
    table: AtomicPtr<Entry>,
    table_len: AtomicU32,
    kind: AtomicU8,
    /// Which of the threads that have had the record, one after another, this one is: 1 for the first, 1 again after `u16::MAX`. 0 in a
    /// sentinel.
    life: AtomicU16,
}

/// What the entries are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// A record.
    Record = 0,
    /// A record in which a first use must take the slow path: it may have claimed values, or orphans outside of its inbox, or is late. Set
    /// by the owning thread whenever it gets one of these, and cleared when a first use finds none.
    SlowRecord = 1,
    /// The sentinel of a thread without a record. A null slot means the same.
    NoRecord = 2,
    /// The sentinel of a thread whose record is being allocated or freed: an allocator that uses an object meanwhile gets `Recursive`
    /// instead of a second record.
    UnderConstruction = 3,
    /// The sentinel of an exiting thread whose record has ended, and which had made values with a destructor: an object with a destructor
    /// gets `Destroyed`.
    Ended = 4,
    /// `Ended`, in a key's slot, after one further round of key destructors.
    EndedBefore = 5,
}

impl Kind {
    pub(crate) fn is_ended(self) -> bool {
        matches!(self, Kind::Ended | Kind::EndedBefore)
    }
}

impl Entries {
    #[allow(clippy::declare_interior_mutable_const)] // an initial value
    pub(crate) const EMPTY: Entries = Entries {
        inline: [Entry::VACANT; INLINE],
        table: AtomicPtr::new(ptr::null_mut()),
        table_len: AtomicU32::new(0),
        kind: AtomicU8::new(Kind::Record as u8),
        life: AtomicU16::new(1),
    };

    #[inline]
    pub(crate) fn kind(&self) -> Kind {
        match self.kind.load(Relaxed) {
            0 => Kind::Record,
            1 => Kind::SlowRecord,
            2 => Kind::NoRecord,
            3 => Kind::UnderConstruction,
            4 => Kind::Ended,
            _ => Kind::EndedBefore,
        }
    }

    /// Whether these entries are a record's, in which a first use may take the fast path.
    #[inline(always)]
    pub(crate) fn is_fast_record(&self) -> bool {
        self.kind.load(Relaxed) == Kind::Record as u8
    }

    /// Whether these entries are a record's, and not a sentinel.
    #[inline]
    pub(crate) fn is_record(&self) -> bool {
        self.kind.load(Relaxed) <= Kind::SlowRecord as u8
    }

    /// Called by the owning thread of a record.
    #[inline]
    pub(crate) fn set_slow(&self, slow: bool) {
        let kind = if slow { Kind::SlowRecord } else { Kind::Record };
        self.kind.store(kind as u8, Relaxed);
    }

    /// The thread's life in this record: a number that the 65,534 threads before and after it with this record do not have. `None` for
    /// a sentinel. Called by the owning thread.
    #[inline(always)]
    pub(crate) fn life(&self) -> Option<NonZeroU16> {
        NonZeroU16::new(self.life.load(Relaxed))
    }

    /// Begins the life of the next thread that gets the record. Called by the owning thread.
    #[inline]
    pub(crate) fn begin_life(&self) {
        self.life.store(self.life.load(Relaxed).checked_add(1).unwrap_or(1), Relaxed);
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

    /// The entry of a slot number, if the record has one. Called by the owning thread, or under the lock.
    #[inline]
    pub(crate) fn entry(&self, number: u32) -> Option<&Entry> {
        let number = number as usize;
        match self.inline.get(number) {
            Some(entry) => Some(entry),
            None => self.table_entry(number - INLINE),
        }
    }

    /// The entries from number `from` on, `most` at most (or the inline ones), and the number that follows them. Called under the
    /// lock.
    pub(crate) fn some_from(&self, from: usize, most: usize) -> (&[Entry], Option<usize>) {
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

    /// Allocates a table with an entry for `number`. `None` if there is that entry already.
    pub(crate) fn larger_table(&self, number: u32) -> Result<Option<Table>, AccessError> {
        if self.entry(number).is_some() {
            return Ok(None);
        }
        // Doubling: consecutive slot numbers cost amortized constant time.
        let len =
            (number as usize + 1).checked_next_power_of_two().ok_or(AccessError::OutOfMemory)?
                - INLINE;
        let layout = table_layout(len).ok_or(AccessError::OutOfMemory)?;
        // SAFETY: the layout is not zero-sized: there is no entry for `number`, so it is not below `INLINE`.
        let table = unsafe { alloc_zeroed(layout) }.cast::<Entry>();
        if table.is_null() {
            return Err(AccessError::OutOfMemory);
        }
        Ok(Some(Table { table, len }))
    }

    /// Copies the entries to a longer table and uses that one. Returns the old table, or the new one if it is not longer; an empty
    /// new table always replaces the old one.
    ///
    /// Called by the owning thread under its stripe's lock: a dropper could otherwise empty an entry of the old table after it was copied.
    pub(crate) fn replace_table(&self, new: Table) -> Table {
        let (old, old_len) = (self.table.load(Relaxed), self.table_len.load(Relaxed) as usize);
        if old_len >= new.len && new.len != 0 {
            return new;
        }
        for index in 0..old_len.min(new.len) {
            // SAFETY: both tables are longer than `index`, and initialized: zeroes are vacant entries.
            unsafe { (*new.table.add(index)).0.store((*old.add(index)).0.load(Relaxed), Relaxed) };
        }
        // A child that was forked between two stores (invariant 7), and a signal handler, find a table of at least `table_len` entries.
        if new.len == 0 {
            self.table_len.store(0, Relaxed);
        }
        self.table.store(new.table, Release);
        self.table_len.store(new.len as u32, Release);
        mem::forget(new);
        Table { table: old, len: old_len }
    }

    /// Whether the table is too long for a pooled record.
    pub(crate) fn has_long_table(&self) -> bool {
        self.table_len.load(Relaxed) as usize > LONGEST_POOLED
    }

    /// Takes the table out, for a record that is freed.
    pub(crate) fn take_table(&mut self) -> Table {
        let len = mem::take(self.table_len.get_mut()) as usize;
        Table { table: mem::replace(self.table.get_mut(), ptr::null_mut()), len }
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
        if self.len != 0 {
            if let Some(layout) = table_layout(self.len) {
                // SAFETY: `larger_table` allocated the table with this layout, and no record uses it.
                unsafe { dealloc(self.table.cast(), layout) };
            }
        }
    }
}

fn table_layout(len: usize) -> Option<Layout> {
    Layout::array::<Entry>(len).ok()
}

/// A static that stands in root slots in place of a record: `Entries` without interior mutability, so that it is in read-only memory, where
/// relaxed loads are allowed ("Atomic accesses to read-only memory", `core::sync::atomic`). All entries are vacant, so the fast path needs
/// no check for it: it finds no value, and the slow path looks at the kind.
#[repr(C)]
struct Sentinel {
    inline: [usize; INLINE],
    table: usize,
    table_len: u32,
    kind: u8,
    life: u16,
}

const _: () = assert!(
    mem::size_of::<Sentinel>() == mem::size_of::<Entries>()
        && mem::align_of::<Sentinel>() == mem::align_of::<Entries>()
);

impl Sentinel {
    const fn of(kind: Kind) -> Sentinel {
        Sentinel { inline: [0; INLINE], table: 0, table_len: 0, kind: kind as u8, life: 0 }
    }
}

static NO_RECORD: Sentinel = Sentinel::of(Kind::NoRecord);
static UNDER_CONSTRUCTION: Sentinel = Sentinel::of(Kind::UnderConstruction);
static ENDED: Sentinel = Sentinel::of(Kind::Ended);
static ENDED_BEFORE: Sentinel = Sentinel::of(Kind::EndedBefore);

/// The sentinel of this kind; `NoRecord` for the kinds of records, and for what the target does not have.
#[inline]
pub(crate) fn sentinel(kind: Kind) -> NonNull<Entries> {
    let sentinel = match kind {
        Kind::UnderConstruction => ptr::addr_of!(UNDER_CONSTRUCTION),
        // Small targets have no rounds of destructors.
        Kind::Ended if !SMALL => ptr::addr_of!(ENDED),
        Kind::EndedBefore if !SMALL => ptr::addr_of!(ENDED_BEFORE),
        _ => ptr::addr_of!(NO_RECORD),
    };
    // SAFETY: the address of a static.
    unsafe { NonNull::new_unchecked(sentinel as *mut Entries) }
}

/// Placeholder for an unread root slot: it leads a first use to the slow path, which reads the slot.
#[inline(always)]
pub(crate) fn unread() -> NonNull<Entries> {
    sentinel(Kind::UnderConstruction)
}

// The sentinel of `sys::word`: the kind follows 32 entries, a pointer and a `u32`.
const _: () = assert!(
    !word::POSSIBLE
        || (word::SENTINEL.0 == mem::size_of::<Entries>()
            && word::SENTINEL.1 == (INLINE + 1) * mem::size_of::<usize>() + mem::size_of::<u32>()
            && word::SENTINEL.2 == Kind::NoRecord as u8)
);
