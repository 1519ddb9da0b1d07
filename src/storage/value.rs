//! A value block: one value, and the header through which it is found and destroyed.

use super::arena::{self, Arena};
use crate::lock::count;
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::cell::Cell;
use core::marker::PhantomData;
use core::mem::{self, MaybeUninit};
use core::panic::RefUnwindSafe;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicPtr, Ordering};

/// Whose a value is: the one property in which the values of `ThreadLocal` and `PerThread` differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Destroyed when its thread exits, by that thread.
    Thread,
    /// Stays when its thread exits, for the next thread that gets the record; destroyed with the object.
    Object,
}

/// What the code that is not generic needs to know of a value's type.
pub(crate) struct ValueVTable {
    layout: Layout,
    drop: Option<unsafe fn(NonNull<Block>)>,
    /// The size class of the arena that takes such blocks, if it does.
    class: Option<usize>,
    pub(crate) owner: Owner,
}

impl ValueVTable {
    pub(crate) const fn new<T>(owner: Owner) -> ValueVTable {
        let layout = Layout::new::<Full<T>>();
        ValueVTable {
            layout,
            drop: if mem::needs_drop::<T>() { Some(drop_value::<T>) } else { None },
            class: match owner {
                Owner::Thread => arena::class_of(layout),
                // It outlives its thread.
                Owner::Object => None,
            },
            owner,
        }
    }

    pub(crate) fn needs_drop(&self) -> bool {
        self.drop.is_some()
    }
}

unsafe fn drop_value<T>(block: NonNull<Block>) {
    // SAFETY: `ValueVTable::new::<T>` puts this function beside blocks with a `T`; the caller owns the value.
    unsafe { ptr::drop_in_place(value::<T>(block)) }
}

/// The header of a value. Every field but `next_handed` belongs to the thread whose record the block is found through; the fields
/// of an object-owned block do not change from when it is in its object's list until the object is borrowed exclusively.
#[repr(C)]
pub(crate) struct Block {
    pub(crate) vtable: &'static ValueVTable,
    /// The neighbours in the record's list of values with a destructor, newest first. An object-owned block uses `older` for
    /// its object's list.
    pub(crate) older: Cell<Option<NonNull<Block>>>,
    pub(crate) newer: Cell<Option<NonNull<Block>>>,
    /// The next block in an inbox or in a `Chain`. Written by the thread that took the block out of its entry.
    pub(crate) next_handed: Cell<Option<NonNull<Block>>>,
    /// The object's slot number.
    pub(crate) number: Cell<u32>,
    pub(crate) state: Cell<BlockState>,
    /// The arena of its thread holds the block; otherwise the global allocator does.
    pub(crate) in_arena: bool,
}

// Headers are left whole when user code unwinds; values answer for themselves, by the traits of their objects.
impl RefUnwindSafe for Block {}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BlockState {
    /// Its entry leads to it.
    Reachable,
    /// The exiting thread has it to itself: its entry says DESTROYED, and it waits for its turn to be destroyed.
    Claimed,
    /// The thread is inside `with_mut`: if the process exits meanwhile, the value stays.
    Borrowed,
    ClaimedAndBorrowed,
}

impl BlockState {
    pub(crate) fn is_claimed(self) -> bool {
        matches!(self, BlockState::Claimed | BlockState::ClaimedAndBorrowed)
    }

    pub(crate) fn is_borrowed(self) -> bool {
        matches!(self, BlockState::Borrowed | BlockState::ClaimedAndBorrowed)
    }
}

const _: () = assert!(mem::size_of::<Block>() <= arena::HEADER);

#[repr(C)]
struct Full<T> {
    block: Block,
    value: MaybeUninit<T>,
}

/// Where the value of a block is.
///
/// # Safety
/// The block was allocated for a `T`, and the pointer is the allocation's.
#[inline(always)]
pub(crate) unsafe fn value<T>(block: NonNull<Block>) -> *mut T {
    // SAFETY: the allocation is a `Full<T>`; no reference is made.
    unsafe { ptr::addr_of_mut!((*block.cast::<Full<T>>().as_ptr()).value).cast() }
}

/// Memory for a value, in the thread's arena or from the global allocator, with its header written.
pub(crate) fn allocate(
    vtable: &'static ValueVTable,
    number: u32,
    arena: &Arena,
) -> Option<NonNull<Block>> {
    let from_arena = vtable.class.and_then(|class| arena.allocate(class));
    let block = match from_arena {
        Some(block) => block,
        // SAFETY: the layout is not zero-sized: there is a header.
        None => NonNull::new(unsafe { alloc(vtable.layout) })?,
    }
    .cast::<Block>();
    let header = Block {
        vtable,
        older: Cell::new(None),
        newer: Cell::new(None),
        next_handed: Cell::new(None),
        number: Cell::new(number),
        state: Cell::new(BlockState::Reachable),
        in_arena: from_arena.is_some(),
    };
    // SAFETY: fresh memory that begins with a `Block`.
    unsafe { block.as_ptr().write(header) };
    Some(block)
}

/// Frees a block without its value. `arena` is that of the thread which made it; an object-owned block needs none.
///
/// # Safety
/// The block is in no entry and in no list, and the caller gives it up.
pub(crate) unsafe fn free(block: NonNull<Block>, arena: Option<&Arena>) {
    // SAFETY: the block is alive.
    let (vtable, in_arena) = unsafe { (block.as_ref().vtable, block.as_ref().in_arena) };
    match (vtable.class, arena) {
        // SAFETY: allocated there, with that class.
        (Some(class), Some(arena)) if in_arena => unsafe { arena.free(block.cast(), class) },
        _ if in_arena => debug_assert!(false, "an arena's block without its arena"),
        // SAFETY: allocated with that layout.
        _ => unsafe { dealloc(block.as_ptr().cast(), vtable.layout) },
    }
}

/// A value in no entry and in no list. Dropped, it destroys the value and frees the block.
pub(crate) struct OwnedBlock<'a> {
    block: NonNull<Block>,
    arena: Option<&'a Arena>,
}

impl<'a> OwnedBlock<'a> {
    /// # Safety
    /// The block has a value, is in no entry and in no list, and the caller gives it up; its value may be destroyed on this
    /// thread. `arena` is that of the thread which made it, this one, unless the block is object-owned.
    pub(crate) unsafe fn new(block: NonNull<Block>, arena: Option<&'a Arena>) -> Self {
        OwnedBlock { block, arena }
    }

    /// Moves the value out and frees the block.
    ///
    /// # Safety
    /// The block was allocated for a `T`.
    pub(crate) unsafe fn into_value<T>(self) -> T {
        // SAFETY: a `T`, which is not used in its old place any more.
        let moved = unsafe { value::<T>(self.block).read() };
        drop(Memory { block: self.block, arena: self.arena });
        mem::forget(self);
        moved
    }
}

impl Drop for OwnedBlock<'_> {
    fn drop(&mut self) {
        let _memory = Memory { block: self.block, arena: self.arena };
        // SAFETY: the block is alive, and its value is this thread's to destroy (`new`).
        unsafe {
            if let Some(drop_value) = self.block.as_ref().vtable.drop {
                drop_value(self.block);
            }
        }
    }
}

/// A block without a value: dropped, it is freed. So it is also when a destructor panics.
struct Memory<'a> {
    block: NonNull<Block>,
    arena: Option<&'a Arena>,
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        // SAFETY: a block that is in no entry and in no list, owned by this guard.
        unsafe { free(self.block, self.arena) }
    }
}

/// Blocks from the global allocator in no entry and in no other list, owned by the chain: linked through `older`, which is how
/// an object links its values. Dropped, it destroys them, each once, also when a destructor panics.
pub(crate) struct Chain(Option<NonNull<Block>>);

impl Chain {
    pub(crate) const EMPTY: Chain = Chain(None);

    /// # Safety
    /// The blocks from `first` on are linked through `older`, owned by the caller, who gives them up, in no entry, from the global
    /// allocator, and may be destroyed on any thread.
    pub(crate) unsafe fn new(first: Option<NonNull<Block>>) -> Self {
        Chain(first)
    }

    /// Puts a block in front.
    ///
    /// # Safety
    /// As for `new`.
    pub(crate) unsafe fn push(&mut self, block: NonNull<Block>) {
        // SAFETY: the block is the chain's now.
        unsafe { block.as_ref().older.set(self.0) };
        self.0 = Some(block);
    }

    /// Takes the first block out.
    pub(crate) fn pop(&mut self) -> Option<OwnedBlock<'static>> {
        let block = self.0?;
        // SAFETY: the chain owns its blocks (`new`), and none of them is an arena's.
        unsafe {
            self.0 = block.as_ref().older.get();
            Some(OwnedBlock::new(block, None))
        }
    }

    /// Counts the blocks one by one.
    pub(crate) fn len(&self) -> usize {
        let (mut len, mut rest) = (0, self.0);
        while let Some(block) = rest {
            len += 1;
            // SAFETY: the chain owns its blocks.
            rest = unsafe { block.as_ref().older.get() };
        }
        len
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        /// Destroys the rest when a destructor panics.
        struct Rest<'a>(&'a mut Chain);

        impl Drop for Rest<'_> {
            fn drop(&mut self) {
                drop(Chain(self.0 .0.take()));
            }
        }

        while let Some(block) = self.pop() {
            let rest = Rest(self);
            drop(block);
            mem::forget(rest);
        }
    }
}

/// The values of an object that owns them, newest first, linked through `Block::older`. It grows by one compare-and-swap at its
/// head, and shrinks only through `&mut`: an iterator needs no lock.
pub(crate) struct Values(AtomicPtr<Block>);

impl Values {
    pub(crate) const fn new() -> Self {
        Values(AtomicPtr::new(ptr::null_mut()))
    }

    /// Release: a thread that finds the block finds its header and its value written.
    ///
    /// # Safety
    /// The block is object-owned, has its value, is in no list, and lives until it is taken out.
    pub(crate) unsafe fn push(&self, block: NonNull<Block>) {
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: the block is alive, and no other thread has it yet.
            unsafe { block.as_ref().older.set(NonNull::new(first)) };
            count::shared_write();
            match self.0.compare_exchange_weak(
                first,
                block.as_ptr(),
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return,
                Err(current) => first = current,
            }
        }
    }

    /// The values there are now.
    pub(crate) fn iter(&self) -> Blocks<'_> {
        Blocks { next: NonNull::new(self.0.load(Ordering::Acquire)), _values: PhantomData }
    }

    /// Takes all values out of the list. They are still in their entries.
    pub(crate) fn take(&mut self) -> Option<NonNull<Block>> {
        NonNull::new(mem::replace(self.0.get_mut(), ptr::null_mut()))
    }

    /// Takes one value out of the list, by a walk.
    pub(crate) fn unlink(&mut self, block: NonNull<Block>) {
        // SAFETY: blocks in the list are alive, and change through `&mut self` only.
        unsafe {
            let older = block.as_ref().older.get();
            match self.iter().find(|newer| newer.as_ref().older.get() == Some(block)) {
                Some(newer) => newer.as_ref().older.set(older),
                None => *self.0.get_mut() = older.map_or(ptr::null_mut(), NonNull::as_ptr),
            }
        }
    }
}

/// The blocks of an object's list from one on.
#[derive(Clone)]
pub(crate) struct Blocks<'a> {
    next: Option<NonNull<Block>>,
    _values: PhantomData<&'a Values>,
}

impl Iterator for Blocks<'_> {
    type Item = NonNull<Block>;

    fn next(&mut self) -> Option<NonNull<Block>> {
        let block = self.next?;
        // SAFETY: the list is borrowed, so the block is alive and stays in it; its link does not change.
        self.next = unsafe { block.as_ref().older.get() };
        Some(block)
    }
}
