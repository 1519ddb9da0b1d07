//! A thread's record: the table that the root slot points to, and the end of the values that are found through it.
//!
//! On Windows a record belongs to a fiber, on a custom backend to a task; "thread" stands for all three.

use crate::node::{Chain, Node, Owner};
use crate::registry::REGISTRY;
use crate::root;
use crate::slot::SlotWord;
use crate::AccessError;
use alloc::alloc::{alloc, alloc_zeroed, dealloc};
use core::alloc::Layout;
use core::cell::Cell;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering::Relaxed};

/// Entries that stand in the record itself.
pub(crate) const INLINE: usize = 32;

/// "No slot number", in the links of a record's list.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// What a slot number leads to in one thread: nothing, one of two marks, or a node.
///
/// Invariant 2: only the owning thread turns an entry into a node or a mark. Another thread may only clear it, under
/// the registry's lock, while it owns the object exclusively, so that no access of the owner can be on its way to it. That
/// is why relaxed loads and stores will do.
pub(crate) struct Entry(AtomicPtr<Node>);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Vacant,
    Initializing,
    Destroyed,
    Node(NonNull<Node>),
}

/// The largest address that is not a node's: 0 is vacant, 1 initializing, 2 destroyed.
const MARKS: usize = 2;

impl Entry {
    #[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
    const VACANT: Entry = Entry(AtomicPtr::new(ptr::null_mut()));

    /// A node, or a mark: for `node_in`.
    #[inline(always)]
    pub(crate) fn content(&self) -> *mut Node {
        self.0.load(Relaxed)
    }

    pub(crate) fn node(&self) -> Option<NonNull<Node>> {
        node_in(self.content())
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        let pointer = self.0.load(Relaxed);
        match pointer as usize {
            0 => State::Vacant,
            1 => State::Initializing,
            2 => State::Destroyed,
            _ => NonNull::new(pointer).map_or(State::Vacant, State::Node),
        }
    }

    pub(crate) fn set(&self, state: State) {
        let mark = |address| ptr::null_mut::<u8>().wrapping_add(address).cast();
        self.0.store(
            match state {
                State::Vacant => ptr::null_mut(),
                State::Initializing => mark(1),
                State::Destroyed => mark(2),
                State::Node(node) => node.as_ptr(),
            },
            Relaxed,
        );
    }
}

/// One comparison tells a node from nothing and from both marks.
#[inline(always)]
pub(crate) fn node_in(content: *mut Node) -> Option<NonNull<Node>> {
    if content as usize > MARKS {
        // SAFETY: not 0.
        Some(unsafe { NonNull::new_unchecked(content) })
    } else {
        None
    }
}

/// What the root slot points to. `Cell`s are used under the registry's lock, or by the owning thread alone.
#[repr(C)]
pub(crate) struct Record {
    inline: [Entry; INLINE],
    /// Entries from number `INLINE` on. Replaced by the owning thread, under the lock.
    table: AtomicPtr<Entry>,
    table_len: AtomicUsize,
    /// Nodes of dropped objects, which only this thread may destroy; linked through `slot_next`. Written under the lock.
    pub(crate) pending: AtomicPtr<Node>,
    /// The newest node that ends with this thread, by slot number: the head of the thread's list. Under the lock.
    newest: Cell<u32>,
    /// The newest node that belongs to its object: the head of a list of its own, so that the exit walk finds only what it
    /// destroys. Under the lock.
    kept: Cell<u32>,
    /// In the registry's list of exiting records: its marks outlive the nodes. Under the lock.
    pub(crate) exiting: Cell<bool>,
    /// How often the OS key's destructor has seen the record. By the owning thread.
    pub(crate) rounds: Cell<u32>,
    /// The thread-exit list has run. By the owning thread.
    pub(crate) listed: Cell<bool>,
    /// The slot number of an object that this thread dropped, for the next that it uses first: that saves a turn of
    /// the lock. By the owning thread.
    kept_number: Cell<u32>,
    /// The owning thread is in `reclaim`.
    reclaiming: Cell<bool>,
    /// The owning thread allocates for a table or for the registry.
    growing: Cell<bool>,
    pub(crate) exiting_next: Cell<Option<NonNull<Record>>>,
    pub(crate) exiting_prev: Cell<Option<NonNull<Record>>>,
}

/// A record with every entry vacant, which is nobody's: the fast path finds no value in it, and the cold path knows it.
struct Mark(Record);

// SAFETY: nothing in it is ever written, and only the atomics are read.
unsafe impl Sync for Mark {}

/// Stands in the root slot while a thread's record is allocated or freed.
pub(crate) fn under_construction() -> NonNull<Record> {
    static MARK: Mark = Mark(Record::new());
    NonNull::from(&MARK.0)
}

/// Stands in the root slot of an exiting thread from when its record has been freed until the next round.
pub(crate) fn ended() -> NonNull<Record> {
    static MARK: Mark = Mark(Record::new());
    NonNull::from(&MARK.0)
}

pub(crate) fn is_mark(record: NonNull<Record>) -> bool {
    record == under_construction() || record == ended()
}

impl Record {
    const fn new() -> Self {
        Record {
            inline: [Entry::VACANT; INLINE],
            table: AtomicPtr::new(ptr::null_mut()),
            table_len: AtomicUsize::new(0),
            pending: AtomicPtr::new(ptr::null_mut()),
            newest: Cell::new(NO_SLOT),
            kept: Cell::new(NO_SLOT),
            exiting: Cell::new(false),
            rounds: Cell::new(0),
            listed: Cell::new(false),
            kept_number: Cell::new(NO_SLOT),
            reclaiming: Cell::new(false),
            growing: Cell::new(false),
            exiting_next: Cell::new(None),
            exiting_prev: Cell::new(None),
        }
    }

    /// One that an ended thread has left, or a new one.
    pub(crate) fn obtain() -> Option<NonNull<Record>> {
        let idle = REGISTRY.lock().take_idle();
        idle.or_else(|| {
            // SAFETY: the layout is not zero-sized.
            let record = NonNull::new(unsafe { alloc(Layout::new::<Record>()) })?.cast::<Record>();
            // SAFETY: fresh memory of that layout.
            unsafe { record.as_ptr().write(Record::new()) };
            Some(record)
        })
    }

    /// The head of one of this thread's two lists. Under the lock.
    pub(crate) fn newest(&self, owner: Owner) -> &Cell<u32> {
        match owner {
            Owner::Thread => &self.newest,
            Owner::Object => &self.kept,
        }
    }

    /// # Safety
    /// `number < INLINE`
    #[inline(always)]
    pub(crate) unsafe fn inline_entry(&self, number: usize) -> &Entry {
        debug_assert!(number < INLINE);
        // SAFETY: as the caller promises.
        unsafe { self.inline.get_unchecked(number) }
    }

    /// The entry of slot number `INLINE + index`, if the table reaches so far. By the owning thread, or under the lock.
    #[inline(always)]
    pub(crate) fn table_entry(&self, index: usize) -> Option<&Entry> {
        if index < self.table_len.load(Relaxed) {
            // SAFETY: the table has `table_len` entries. Both change together, by the owning thread under the lock, so
            // neither it nor who holds the lock sees one without the other.
            unsafe {
                let table = NonNull::new_unchecked(self.table.load(Relaxed));
                Some(&*table.as_ptr().add(index))
            }
        } else {
            None
        }
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

    /// By the owning thread, or under the lock.
    pub(crate) fn state(&self, number: u32) -> State {
        self.entry(number).map_or(State::Vacant, Entry::state)
    }

    /// By the owning thread, or under the lock; `number` has an entry.
    #[inline]
    pub(crate) fn set(&self, number: u32, state: State) {
        match self.entry(number) {
            Some(entry) => entry.set(state),
            None => debug_assert!(false, "no entry for slot number {}", number),
        }
    }

    /// The number of an object and its entry: makes both if need be. By the owning thread; the entry is where it is until
    /// the table grows.
    #[inline]
    pub(crate) fn admit(&self, word: &SlotWord) -> Result<(u32, &Entry), AccessError> {
        if let Some(number) = word.number() {
            if let Some(entry) = self.entry(number) {
                return Ok((number, entry));
            }
        }
        self.admit_first(word)
    }

    /// A global allocator that uses an object which needs the same comes here again, and gets `Recursive`.
    #[cold]
    fn admit_first(&self, word: &SlotWord) -> Result<(u32, &Entry), AccessError> {
        if let Some(number) = self.use_kept_number(word) {
            if let Some(entry) = self.entry(number) {
                return Ok((number, entry));
            }
        }
        if self.growing.replace(true) {
            return Err(AccessError::Recursive);
        }
        let _done = Unset(&self.growing);
        let number = REGISTRY.assign(word)?;
        self.reserve(number)?;
        self.entry(number).map(|entry| (number, entry)).ok_or(AccessError::OutOfMemory)
    }

    fn use_kept_number(&self, word: &SlotWord) -> Option<u32> {
        let locator = root::locate().ok()?;
        let number = self.take_kept_number()?;
        match word.assign(number, locator) {
            Ok(()) => Some(number),
            // Another thread was first.
            Err(other) => {
                self.kept_number.set(number);
                Some(other)
            }
        }
    }

    pub(crate) fn take_kept_number(&self) -> Option<u32> {
        match self.kept_number.replace(NO_SLOT) {
            NO_SLOT => None,
            number => Some(number),
        }
    }

    /// Keeps a number that is nobody's any more, if there is none yet and the thread goes on. Invariant 3 holds for it as
    /// for those that the registry has.
    pub(crate) fn keep_number(&self, number: u32) -> bool {
        let keep = !self.exiting.get() && self.kept_number.get() == NO_SLOT;
        if keep {
            self.kept_number.set(number);
        }
        keep
    }

    /// Makes sure that a slot number has an entry. By the owning thread.
    fn reserve(&self, number: u32) -> Result<(), AccessError> {
        if self.entry(number).is_some() {
            return Ok(());
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
        // The allocator may have used objects of this crate, and so may have made the table grow itself.
        let registry = REGISTRY.lock();
        let (old, old_len) = (self.table.load(Relaxed), self.table_len.load(Relaxed));
        let (garbage, garbage_len) = if old_len < len {
            for index in 0..old_len {
                // SAFETY: both tables are longer than `index`; all zeroes are a vacant entry. Under the lock nobody
                // else writes an entry.
                unsafe { (*table.add(index)).0.store((*old.add(index)).0.load(Relaxed), Relaxed) };
            }
            self.table.store(table, Relaxed);
            self.table_len.store(len, Relaxed);
            (old, old_len)
        } else {
            (table, len)
        };
        drop(registry);
        // SAFETY: nobody else has it: it never was in the record, or is not any more.
        unsafe { free_table(garbage, garbage_len) };
        Ok(())
    }
}

fn table_layout(len: usize) -> Option<Layout> {
    Layout::array::<Entry>(len).ok()
}

/// # Safety
/// The table was allocated with `table_layout(len)`, or `len` is 0; nobody uses it.
unsafe fn free_table(table: *mut Entry, len: usize) {
    if len != 0 {
        if let Some(layout) = table_layout(len) {
            // SAFETY: as the caller promises.
            unsafe { dealloc(table.cast(), layout) };
        }
    }
}

impl Record {
    /// Whether dropped objects have left something on this thread.
    #[inline]
    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.load(Relaxed).is_null()
    }

    /// Destroys what dropped objects left on this thread. By the owning thread.
    #[cold]
    pub(crate) fn reclaim(&self) {
        // A destructor that comes here again leaves the rest to the loop below it, or long lists would nest as deep.
        if self.reclaiming.replace(true) {
            return;
        }
        let _done = Unset(&self.reclaiming);
        while self.has_pending() {
            // A statement of its own: what is destroyed below is not to be under the lock.
            let node = REGISTRY.lock().pop_pending(self);
            let mut chain = Chain::new();
            if let Some(node) = node {
                // SAFETY: the node was in no other list, and this thread is the one that may destroy it.
                unsafe { chain.push(node) };
            }
        }
    }
}

struct Unset<'a>(&'a Cell<bool>);

impl Drop for Unset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// Destroys every value of a thread, newest first, those included that the destructors create. `true` if there was one.
///
/// # Safety
/// The thread is the record's.
pub(crate) unsafe fn destroy_values(record: NonNull<Record>) -> bool {
    or_abort(|| {
        let mut found = false;
        let mut chain = Chain::new();
        loop {
            // SAFETY: the record is alive, as the caller promises, and it is this thread's.
            let more = unsafe { REGISTRY.lock().take_newest(record, &mut chain) };
            found |= !chain.is_empty();
            chain.destroy();
            if !more {
                return found;
            }
        }
    })
}

const PANICKED: &str =
    "os-thread-local: the Drop of a thread-local value panicked while its thread was exiting; aborting";

/// There is no frame to unwind to at a thread's end: std aborts there too.
#[cfg(feature = "std")]
fn or_abort(destroy: impl FnOnce() -> bool) -> bool {
    use std::panic::{catch_unwind, AssertUnwindSafe};

    // Caught, because an unwinder that finds nobody to catch does not begin, and says so instead of what happened.
    catch_unwind(AssertUnwindSafe(destroy)).unwrap_or_else(|_| {
        std::eprintln!("{}", PANICKED);
        std::process::abort();
    })
}

#[cfg(not(feature = "std"))]
fn or_abort(destroy: impl FnOnce() -> bool) -> bool {
    struct AbortOnUnwind;

    impl Drop for AbortOnUnwind {
        fn drop(&mut self) {
            // A panic while another one unwinds: told by the panic handler, then the process aborts.
            panic!("{}", PANICKED);
        }
    }

    let abort = AbortOnUnwind;
    let found = destroy();
    core::mem::forget(abort);
    found
}

/// The end of a thread's record. Only now the values of objects are left to other threads: until here the thread may have used its own,
/// also when it is the one that ends the process while others run, from the middle of a closure that has the value.
///
/// A few records wait for new threads. These mostly use what the ended ones used, and would make the same tables again; and a
/// request for as much at once is what makes a C library's allocator merge the small blocks that it has at hand.
///
/// # Safety
/// The record is in no root slot and has no values that end with the thread; nobody uses it.
pub(crate) unsafe fn end(record: NonNull<Record>) {
    // SAFETY: the record is alive. Once it is out of the list of exiting records and its nodes are out of its list, nobody
    // finds it, and it is ours.
    unsafe {
        loop {
            let mut registry = REGISTRY.lock();
            if !registry.leave_kept(record) {
                registry.forget(record);
                break;
            }
        }
        renew(record);
        let kept = REGISTRY.lock().keep_idle(record);
        if !kept {
            free(record);
        }
    }
}

/// # Safety
/// The caller has the record to himself, and gives it up.
pub(crate) unsafe fn free(record: NonNull<Record>) {
    // SAFETY: as the caller promises; a record owns its table.
    unsafe {
        let (table, len) = (&record.as_ref().table, &record.as_ref().table_len);
        free_table(table.load(Relaxed), len.load(Relaxed));
        dealloc(record.as_ptr().cast(), Layout::new::<Record>());
    }
}

/// As new, but for the table, unless that is a long one.
///
/// # Safety
/// The caller has the record to himself.
unsafe fn renew(record: NonNull<Record>) {
    // SAFETY: as the caller promises; a record owns its table, whose entries are vacant when they are zero.
    unsafe {
        let old = record.as_ref();
        debug_assert_eq!((old.newest.get(), old.kept.get()), (NO_SLOT, NO_SLOT));
        debug_assert_eq!(old.kept_number.get(), NO_SLOT);
        debug_assert!(!old.has_pending() && !old.exiting.get());
        let (mut table, mut len) = (old.table.load(Relaxed), old.table_len.load(Relaxed));
        if len > LONGEST_IDLE {
            free_table(table, len);
            (table, len) = (ptr::null_mut(), 0);
        } else if len != 0 {
            ptr::write_bytes(table, 0, len);
        }
        record.as_ptr().write(Record {
            table: AtomicPtr::new(table),
            table_len: AtomicUsize::new(len),
            ..Record::new()
        });
    }
}

/// The longest table that waits for a new thread: together with the entries in the record, 1,024 of them.
const LONGEST_IDLE: usize = 1024 - INLINE;
