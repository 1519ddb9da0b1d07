//! The registry: which slot numbers are taken, and each number's list of nodes. One lock protects it, and with it all
//! links in records and nodes, and every entry that another thread clears.
//!
//! Under the lock: links, entries, numbers. Never under the lock: user code (initializers, `Drop`, closures) and
//! allocation, because the global allocator may be a user of this crate.
//!
//! Invariant 0: nothing that another thread writes lives inside the object. An object moves, and `drop(&mut self)` is
//! exclusive to the compiler, which may then hoist loads over the lock. So the list heads live here, by slot number.

use crate::node::{Chain, Neighbours, Node, Owner, Place};
use crate::record::{Record, State, NO_SLOT};
use crate::root;
use crate::slot::SlotWord;
use crate::sync::{Guard, Lock};
use crate::AccessError;
use alloc::vec::Vec;
use core::mem;
use core::ptr::{self, NonNull};
use core::sync::atomic::Ordering::Relaxed;

pub(crate) static REGISTRY: LockedRegistry = LockedRegistry(Lock::new(Registry {
    storage: Storage { slots: Vec::new(), free: Vec::new(), summary: Vec::new() },
    exiting: None,
    idle: None,
    idle_count: 0,
}));

pub(crate) struct LockedRegistry(Lock<Registry>);

pub(crate) struct Registry {
    storage: Storage,
    /// Records whose thread is exiting: their DESTROYED marks stand for values that are in no list any more.
    exiting: Option<NonNull<Record>>,
    /// Records of ended threads, as new, for threads to come: linked through `exiting_next`; and how many there are.
    idle: Option<NonNull<Record>>,
    idle_count: usize,
}

// SAFETY: the pointers lead to records and nodes, whose links belong to who holds the lock.
unsafe impl Send for Registry {}

/// How many nodes a thread takes out of its lists before others get the lock.
const BATCH: usize = 64;

/// How many records wait for new threads.
const MOST_IDLE: usize = 4;

struct Slot {
    /// The nodes of the object with this number, newest first.
    nodes: Option<NonNull<Node>>,
    /// Those of them that no thread uses, linked through `Place::next_spare`.
    spare: Option<NonNull<Node>>,
}

/// What grows with the number of objects.
struct Storage {
    slots: Vec<Slot>,
    /// One bit per slot number, set when it is free; and one per word of these, set when the word is not 0. Two loads and a
    /// short scan find the lowest free number among a million.
    free: Vec<u64>,
    summary: Vec<u64>,
}

impl Storage {
    /// Room for `capacity` numbers, a multiple of 64. Allocates: not under the lock.
    fn with_capacity(capacity: usize) -> Result<Storage, AccessError> {
        fn reserved<T>(len: usize) -> Result<Vec<T>, AccessError> {
            let mut vec = Vec::new();
            vec.try_reserve_exact(len).map_err(|_| AccessError::OutOfMemory)?;
            Ok(vec)
        }
        let mut storage = Storage {
            slots: reserved(capacity)?,
            free: reserved(capacity / 64)?,
            summary: reserved((capacity / 64 + 63) / 64)?,
        };
        // Under the lock, only what is in use is copied over these.
        storage.slots.resize_with(capacity, || Slot { nodes: None, spare: None });
        storage.free.resize(capacity / 64, !0);
        storage.summary.resize((capacity / 64 + 63) / 64, 0);
        for word in 0..capacity / 64 {
            storage.summary[word / 64] |= 1 << (word % 64);
        }
        Ok(storage)
    }

    fn take_lowest(&mut self) -> Option<u32> {
        let (index, &summary) = self.summary.iter().enumerate().find(|(_, &word)| word != 0)?;
        let word = index * 64 + summary.trailing_zeros() as usize;
        let bit = self.free[word].trailing_zeros();
        self.free[word] &= !(1 << bit);
        if self.free[word] == 0 {
            self.summary[index] &= !(1 << (word % 64));
        }
        Some((word * 64) as u32 + bit)
    }

    fn give_back(&mut self, number: u32) {
        let word = number as usize / 64;
        debug_assert!(self.free[word] & 1 << (number % 64) == 0);
        self.free[word] |= 1 << (number % 64);
        self.summary[word / 64] |= 1 << (word % 64);
    }
}

impl LockedRegistry {
    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, Registry> {
        self.0.lock()
    }

    pub(crate) fn try_lock(&self) -> Option<Guard<'_, Registry>> {
        self.0.try_lock()
    }

    pub(crate) fn hold_for_fork(&self) {
        self.0.hold_for_fork();
    }

    pub(crate) fn release_after_fork(&self) {
        self.0.release_after_fork();
    }

    /// The object's slot number; it gets one if it has none. Numbers are handed out lowest first, so that they stay dense.
    pub(crate) fn assign(&self, word: &SlotWord) -> Result<u32, AccessError> {
        if let Some(number) = word.number() {
            return Ok(number);
        }
        let locator = root::locate()?;
        loop {
            let mut registry = self.lock();
            // Another thread may have been first.
            if let Some(number) = word.number() {
                return Ok(number);
            }
            if let Some(number) = registry.storage.take_lowest() {
                return match word.assign(number, locator) {
                    Ok(()) => Ok(number),
                    Err(other) => {
                        registry.storage.give_back(number);
                        Ok(other)
                    }
                };
            }
            let capacity = registry.storage.slots.len();
            drop(registry);
            self.grow(capacity)?;
        }
    }

    #[cold]
    fn grow(&self, capacity: usize) -> Result<(), AccessError> {
        let larger = (capacity * 2).max(64);
        if larger > SlotWord::MAX_NUMBER {
            return Err(AccessError::OutOfMemory);
        }
        let mut storage = Storage::with_capacity(larger)?;
        let mut registry = self.lock();
        // Another thread may have been first; what is not kept is freed after the lock.
        let old = &mut registry.storage;
        if old.slots.len() < larger {
            for (new, old) in storage.slots.iter_mut().zip(old.slots.iter_mut()) {
                mem::swap(new, old);
            }
            storage.free[..old.free.len()].copy_from_slice(&old.free);
            for word in 0..old.free.len() {
                if old.free[word] == 0 {
                    storage.summary[word / 64] &= !(1 << (word % 64));
                }
            }
            mem::swap(old, &mut storage);
        }
        drop(registry);
        drop(storage);
        Ok(())
    }
}

impl Registry {
    fn slot(&mut self, number: u32) -> &mut Slot {
        &mut self.storage.slots[number as usize]
    }

    /// Puts a new node at the head of its slot's list and of the record's, and into the entry.
    ///
    /// # Safety
    /// The record is the calling thread's. The node is in no list; its entry is neither vacant nor a node.
    pub(crate) unsafe fn link(&mut self, node: NonNull<Node>, record: NonNull<Record>) {
        // SAFETY: nodes in a list are alive.
        unsafe {
            let header = node.as_ref();
            let slot = self.slot(header.number);
            header.slot_next.set(slot.nodes);
            if let Some(next) = slot.nodes {
                next.as_ref().slot_prev.set(Some(node));
            }
            slot.nodes = Some(node);
            self.link_to_record(node, record);
        }
    }

    /// # Safety
    /// The record is the calling thread's; the node is in its slot's list and has no record.
    unsafe fn link_to_record(&mut self, node: NonNull<Node>, record: NonNull<Record>) {
        // SAFETY: as the caller promises; nodes in a list are alive.
        unsafe {
            let (header, thread) = (node.as_ref(), record.as_ref());
            let newest = thread.newest(header.kind.owner);
            let older = newest.replace(header.number);
            header.record.set(Some(record));
            header.place.set(Place { in_record: Neighbours { newer: NO_SLOT, older } });
            set_neighbour(thread, older, |neighbours| neighbours.newer = header.number);
            thread.set(header.number, State::Node(node));
        }
    }

    /// Takes a node out of its record's list, and leaves `state` in its entry.
    ///
    /// # Safety
    /// The node is in its record's list.
    unsafe fn unlink_from_record(&mut self, node: NonNull<Node>, state: State) {
        // SAFETY: nodes in a list are alive, and so are the records whose list they are in.
        unsafe {
            let header = node.as_ref();
            let record = match header.record.take() {
                Some(record) => record,
                None => return,
            };
            let thread = record.as_ref();
            let newest = thread.newest(header.kind.owner);
            let Neighbours { newer, older } = header.place.get().in_record;
            if newest.get() == header.number {
                newest.set(older);
            } else {
                set_neighbour(thread, newer, |neighbours| neighbours.older = older);
                set_neighbour(thread, older, |neighbours| neighbours.newer = newer);
            }
            thread.set(header.number, state);
        }
    }

    /// # Safety
    /// The node is in its slot's list.
    unsafe fn unlink_from_slot(&mut self, node: NonNull<Node>) {
        // SAFETY: nodes in a list are alive.
        unsafe {
            let (next, prev) = (node.as_ref().slot_next.get(), node.as_ref().slot_prev.get());
            let slot = self.slot(node.as_ref().number);
            if slot.nodes == Some(node) {
                slot.nodes = next;
                return;
            }
            if let Some(prev) = prev {
                prev.as_ref().slot_next.set(next);
            }
            if let Some(next) = next {
                next.as_ref().slot_prev.set(prev);
            }
        }
    }

    /// The newest node of an object.
    pub(crate) fn first(&mut self, number: u32) -> Option<NonNull<Node>> {
        self.slot(number).nodes
    }

    /// Gives a node that no thread uses to this one.
    ///
    /// # Safety
    /// The record is the calling thread's, and its entry is vacant.
    pub(crate) unsafe fn adopt(
        &mut self,
        number: u32,
        record: NonNull<Record>,
    ) -> Option<NonNull<Node>> {
        let slot = self.slot(number);
        let node = slot.spare?;
        // SAFETY: a spare node is in its slot's list and has no record, so `next_spare` is what its place is.
        unsafe {
            slot.spare = node.as_ref().place.get().next_spare;
            self.link_to_record(node, record);
        }
        Some(node)
    }

    /// For a thread that exits: takes its newest nodes out of the lists, up to and including the first that user code
    /// destroys. `true` if there may be more.
    ///
    /// # Safety
    /// The record is the calling thread's, and so is the chain.
    pub(crate) unsafe fn take_newest(
        &mut self,
        record: NonNull<Record>,
        chain: &mut Chain,
    ) -> bool {
        // SAFETY: the record is alive; so are the nodes in its list. What is taken out belongs to this thread, which may destroy it.
        unsafe {
            self.remember(record);
            let thread = record.as_ref();
            let newest = thread.newest(Owner::Thread);
            for _ in 0..BATCH {
                let first = thread.entry(newest.get());
                let node = match first.and_then(|entry| Some((entry, entry.node()?))) {
                    Some((entry, node)) => {
                        entry.set(State::Destroyed);
                        newest.set(node.as_ref().place.get().in_record.older);
                        self.unlink_from_slot(node);
                        node
                    }
                    None => match self.pop_pending(thread) {
                        Some(node) => node,
                        None => return false,
                    },
                };
                chain.push(node);
                if node.as_ref().kind.needs_drop() {
                    break;
                }
            }
        }
        true
    }

    /// For a thread that has ended: makes spare nodes of those that belong to their objects. `true` if there may be more.
    ///
    /// # Safety
    /// The record is alive, and its thread does not use it any more.
    pub(crate) unsafe fn leave_kept(&mut self, record: NonNull<Record>) -> bool {
        for _ in 0..BATCH {
            // SAFETY: the record is alive; so are the nodes in its list. Without a record, `next_spare` is what a node's place is.
            unsafe {
                let node = match newest(record.as_ref(), Owner::Object) {
                    Some(node) => node,
                    None => return false,
                };
                self.unlink_from_record(node, State::Vacant);
                let slot = self.slot(node.as_ref().number);
                node.as_ref().place.set(Place { next_spare: slot.spare });
                slot.spare = Some(node);
            }
        }
        true
    }

    /// Takes one of the nodes that dropped objects left to a thread.
    pub(crate) fn pop_pending(&mut self, record: &Record) -> Option<NonNull<Node>> {
        let node = NonNull::new(record.pending.load(Relaxed))?;
        // SAFETY: a pending node is alive.
        let next = unsafe { node.as_ref().slot_next.get() };
        record.pending.store(next.map_or(ptr::null_mut(), NonNull::as_ptr), Relaxed);
        Some(node)
    }

    /// Takes this thread's node of an object out of the lists; the next access makes a new value.
    ///
    /// # Safety
    /// The node is the calling thread's, and the object is owned exclusively.
    pub(crate) unsafe fn remove(&mut self, node: NonNull<Node>) {
        // SAFETY: as the caller promises.
        unsafe {
            self.unlink_from_record(node, State::Vacant);
            self.unlink_from_slot(node);
        }
    }

    /// Takes every node of an object out of the lists. Those that only their own thread may destroy are handed to it, the others
    /// are the caller's.
    ///
    /// # Safety
    /// The object is owned exclusively.
    pub(crate) unsafe fn detach(&mut self, number: u32, current: Option<NonNull<Record>>) -> Chain {
        let mut chain = Chain::new();
        let slot = self.slot(number);
        slot.spare = None;
        let mut rest = slot.nodes.take();
        while let Some(node) = rest {
            // SAFETY: nodes in a list are alive, and so are their records. The slot's list is ours as a whole. A value goes into the chain if it
            // is this thread's, or the object's, or is nothing but memory.
            unsafe {
                let header = node.as_ref();
                rest = header.slot_next.get();
                let record = header.record.get();
                self.unlink_from_record(node, State::Vacant);
                match record {
                    Some(owner)
                        if header.kind.owner == Owner::Thread
                            && header.kind.needs_drop()
                            && record != current =>
                    {
                        let pending = &owner.as_ref().pending;
                        header.slot_next.set(NonNull::new(pending.load(Relaxed)));
                        pending.store(node.as_ptr(), Relaxed);
                    }
                    _ => chain.push(node),
                }
            }
        }
        chain
    }

    /// Gives a slot number back, or leaves it to the thread that drops the object.
    ///
    /// Invariant 3: by then every record's entry for it is vacant. Those that nodes were in are (`detach`); what
    /// remains are the marks of values that exiting threads have destroyed.
    ///
    /// # Safety
    /// The object is owned exclusively, and has no nodes. `current` is the calling thread's record.
    unsafe fn release(&mut self, number: u32, current: Option<NonNull<Record>>) {
        let mut rest = self.exiting;
        while let Some(record) = rest {
            // SAFETY: records in the list are alive.
            let record = unsafe { record.as_ref() };
            if let Some(entry) = record.entry(number) {
                entry.set(State::Vacant);
            }
            rest = record.exiting_next.get();
        }
        // SAFETY: this thread's record.
        let kept = current.map_or(false, |record| unsafe { record.as_ref().keep_number(number) });
        if !kept {
            self.storage.give_back(number);
        }
    }

    /// Puts a record into the list of exiting ones, if it is not there.
    ///
    /// # Safety
    /// The record is alive.
    unsafe fn remember(&mut self, record: NonNull<Record>) {
        // SAFETY: as the caller promises; records in the list are alive.
        unsafe {
            if !record.as_ref().exiting.replace(true) {
                if let Some(number) = record.as_ref().take_kept_number() {
                    self.storage.give_back(number);
                }
                record.as_ref().exiting_next.set(self.exiting);
                if let Some(next) = self.exiting {
                    next.as_ref().exiting_prev.set(Some(record));
                }
                self.exiting = Some(record);
            }
        }
    }

    /// Takes a record out of the list of exiting ones, if it is there.
    ///
    /// # Safety
    /// The record is alive.
    pub(crate) unsafe fn forget(&mut self, record: NonNull<Record>) {
        // SAFETY: as the caller promises; records in the list are alive.
        unsafe {
            let header = record.as_ref();
            if !header.exiting.replace(false) {
                return;
            }
            let (prev, next) = (header.exiting_prev.take(), header.exiting_next.take());
            match prev {
                Some(prev) => prev.as_ref().exiting_next.set(next),
                None => self.exiting = next,
            }
            if let Some(next) = next {
                next.as_ref().exiting_prev.set(prev);
            }
        }
    }

    pub(crate) fn take_idle(&mut self) -> Option<NonNull<Record>> {
        let record = self.idle?;
        // SAFETY: an idle record is alive, and in this list alone.
        self.idle = unsafe { record.as_ref().exiting_next.take() };
        self.idle_count -= 1;
        Some(record)
    }

    /// Keeps a record for a thread to come, if there are few.
    ///
    /// # Safety
    /// The record is as new, and the caller's, who gives it away if this says `true`.
    pub(crate) unsafe fn keep_idle(&mut self, record: NonNull<Record>) -> bool {
        if self.idle_count == MOST_IDLE {
            return false;
        }
        // SAFETY: as the caller promises.
        unsafe { record.as_ref().exiting_next.set(self.idle) };
        self.idle = Some(record);
        self.idle_count += 1;
        true
    }
}

/// The head of one of the record's lists.
fn newest(record: &Record, owner: Owner) -> Option<NonNull<Node>> {
    record.entry(record.newest(owner).get()).and_then(|entry| entry.node())
}

/// # Safety
/// `number` is `NO_SLOT`, or its entry in the record is a node.
unsafe fn set_neighbour(record: &Record, number: u32, change: impl FnOnce(&mut Neighbours)) {
    if let Some(node) = record.entry(number).and_then(|entry| entry.node()) {
        // SAFETY: the node is alive and in this record's list, so `in_record` is what its place is.
        unsafe {
            let place = &node.as_ref().place;
            let mut neighbours = place.get().in_record;
            change(&mut neighbours);
            place.set(Place { in_record: neighbours });
        }
    }
}

/// The end of an object: its values are destroyed or handed to their threads, and its number is given back.
///
/// # Safety
/// The object is owned exclusively and is not used again.
pub(crate) unsafe fn drop_object(word: &SlotWord) {
    if let Some(number) = word.number() {
        let current = root::current();
        let mut registry = REGISTRY.lock();
        // SAFETY: as the caller promises.
        let chain = unsafe {
            let chain = registry.detach(number, current);
            registry.release(number, current);
            chain
        };
        drop(registry);
        drop(chain);
    }
}
