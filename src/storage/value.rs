//! Value blocks: a value behind a header, through which the non-generic code finds and destroys it.

use super::arena::{self, Arena};
use crate::lock::count;
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::marker::PhantomData;
use core::mem::{self, MaybeUninit};
use core::panic::RefUnwindSafe;
use core::ptr::{self, NonNull};
use core::sync::atomic::{compiler_fence, AtomicPtr, AtomicU32, AtomicU8, Ordering};

/// Who owns a value: the one property in which the values of `ThreadLocal` and `PerThread` differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The thread destroys the value when it exits.
    Thread,
    /// The object destroys the value when it is dropped. When the value's thread exits, the next thread that gets the record inherits
    /// the value.
    Object,
}

/// What the non-generic code needs to know about a value's type.
pub(crate) struct ValueVTable {
    layout: Layout,
    drop: Option<unsafe fn(NonNull<Block>)>,
    /// The arena's size class for such blocks; `NO_CLASS` if they come from the global allocator.
    class: usize,
    pub(crate) owner: Owner,
}

impl ValueVTable {
    pub(crate) const fn new<T>(owner: Owner) -> ValueVTable {
        let layout = Layout::new::<ValueBlock<T>>();
        ValueVTable {
            layout,
            drop: if mem::needs_drop::<T>() { Some(drop_value::<T>) } else { None },
            class: match owner {
                Owner::Thread => arena::class_of(layout),
                // The value outlives its thread's arena.
                Owner::Object => arena::NO_CLASS,
            },
            owner,
        }
    }

    pub(crate) fn needs_drop(&self) -> bool {
        self.drop.is_some()
    }

    /// Whether the thread destroys such a value when it exits.
    pub(crate) fn is_destroyed_at_exit(&self) -> bool {
        self.owner == Owner::Thread && self.needs_drop()
    }
}

/// # Safety
/// The block was allocated for a `T` and has its value, which the caller owns and does not use afterwards.
unsafe fn drop_value<T>(block: NonNull<Block>) {
    // SAFETY: the block has a `T`, which the caller owns (this function's contract).
    unsafe { ptr::drop_in_place(value::<T>(block)) }
}

/// The header of a value.
///
/// Written by the owning thread only. Exceptions: a dropper may write `older` and `next_orphan` of a block that it took out (invariant
/// 3); any thread may read an object-owned block while its object is shared.
///
/// A signal handler may follow the links of its thread's list, so what it reads is atomic.
#[repr(C)]
pub(crate) struct Block {
    pub(crate) vtable: &'static ValueVTable,
    /// The next block in the record's list of values with a destructor, newest first. Blocks in a `Values` or a `Chain`, which are in
    /// no such list, are linked through it, too.
    pub(crate) older: Link,
    /// The previous block in the record's list.
    pub(crate) newer: Link,
    /// The next orphan. Not one of the links above, because an orphan in the inbox is still in its thread's list.
    pub(crate) next_orphan: Link,
    /// The object's slot number, or `NO_NUMBER` when another object has got that number.
    number: AtomicU32,
    state: AtomicU8,
    /// Whether the block is memory of its thread's arena, not of the global allocator.
    pub(crate) in_arena: bool,
}

impl Block {
    #[inline]
    pub(crate) fn number(&self) -> u32 {
        self.number.load(Ordering::Relaxed)
    }

    pub(crate) fn set_number(&self, number: u32) {
        self.number.store(number, Ordering::Relaxed)
    }

    #[inline]
    pub(crate) fn state(&self) -> BlockState {
        match self.state.load(Ordering::Relaxed) {
            0 => BlockState::Reachable,
            1 => BlockState::Claimed,
            2 => BlockState::Borrowed,
            _ => BlockState::ClaimedAndBorrowed,
        }
    }

    #[inline]
    pub(crate) fn set_state(&self, state: BlockState) {
        self.state.store(state as u8, Ordering::Relaxed)
    }
}

/// A link of a list that one thread changes. A signal handler on that thread may follow it at any time.
pub(crate) struct Link(AtomicPtr<Block>);

impl Link {
    #[allow(clippy::declare_interior_mutable_const)] // an initial value
    pub(crate) const NONE: Link = Link(AtomicPtr::new(ptr::null_mut()));

    #[inline]
    pub(crate) fn get(&self) -> Option<NonNull<Block>> {
        NonNull::new(self.0.load(Ordering::Relaxed))
    }

    #[inline]
    pub(crate) fn set(&self, block: Option<NonNull<Block>>) {
        self.0.store(block.map_or(ptr::null_mut(), NonNull::as_ptr), Ordering::Relaxed)
    }

    /// Sets the link to a block that was prepared before.
    #[inline]
    pub(crate) fn publish(&self, block: NonNull<Block>) {
        compiler_fence(Ordering::Release);
        self.set(Some(block));
    }
}

// A panic in user code leaves headers consistent. Whether a value is unwind-safe is decided by the traits of the public types.
impl RefUnwindSafe for Block {}

#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum BlockState {
    /// The entry leads to the block.
    Reachable,
    /// The exiting thread has claimed the value: the entry is DESTROYED, so no dropper takes the block, and the thread will destroy the
    /// value.
    Claimed,
    /// The thread is inside `with_mut`: if the process exits now, the value is leaked.
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
struct ValueBlock<T> {
    block: Block,
    value: MaybeUninit<T>,
}

/// The address of a block's value.
///
/// # Safety
/// The block was allocated for a `T`, and the pointer is the allocation's.
#[inline(always)]
pub(crate) unsafe fn value<T>(block: NonNull<Block>) -> *mut T {
    // SAFETY: the allocation is a `ValueBlock<T>` (this function's contract); no reference is created.
    unsafe { ptr::addr_of_mut!((*block.cast::<ValueBlock<T>>().as_ptr()).value).cast() }
}

/// Allocates a block from memory that the thread's arena has, and writes its header. No user code runs.
#[inline(always)]
pub(crate) fn allocate_now(
    vtable: &'static ValueVTable,
    number: u32,
    arena: &Arena,
) -> Option<NonNull<Block>> {
    let memory = arena.allocate_now(vtable.class)?;
    // SAFETY: the memory is new, and the class is for blocks with this layout.
    Some(unsafe { write_header(memory, vtable, number, true) })
}

/// Allocates a block from the thread's arena or the global allocator, and writes its header.
pub(crate) fn allocate(
    vtable: &'static ValueVTable,
    number: u32,
    arena: &Arena,
) -> Option<NonNull<Block>> {
    let (memory, in_arena) = match arena.allocate(vtable.class) {
        Some(memory) => (memory, true),
        // SAFETY: the layout includes a header, so it is not zero-sized.
        None => (NonNull::new(unsafe { alloc(vtable.layout) })?, false),
    };
    // SAFETY: the memory is new, and has the layout.
    Some(unsafe { write_header(memory, vtable, number, in_arena) })
}

/// # Safety
/// The memory is new, and large and aligned enough for the vtable's layout.
#[inline(always)]
unsafe fn write_header(
    memory: NonNull<u8>,
    vtable: &'static ValueVTable,
    number: u32,
    in_arena: bool,
) -> NonNull<Block> {
    let block = memory.cast::<Block>();
    let header = Block {
        vtable,
        older: Link::NONE,
        newer: Link::NONE,
        next_orphan: Link::NONE,
        number: AtomicU32::new(number),
        state: AtomicU8::new(BlockState::Reachable as u8),
        in_arena,
    };
    // SAFETY: the memory is new, and the layout begins with a `Block` (this function's contract).
    unsafe { block.as_ptr().write(header) };
    block
}

/// Frees a block, but does not destroy a value in it.
///
/// # Safety
/// The block is alive, in no entry and in no list, and not used afterwards. If it is from an arena, `arena` is that one, and this is its
/// thread.
pub(crate) unsafe fn free(block: NonNull<Block>, arena: Option<&Arena>) {
    // SAFETY: the block is alive (this function's contract).
    let (vtable, in_arena) = unsafe { (block.as_ref().vtable, block.as_ref().in_arena) };
    match arena {
        // SAFETY: `allocate` or `allocate_now` took the block from this arena, with this class.
        Some(arena) if in_arena => unsafe { arena.free(block.cast(), vtable.class) },
        None if in_arena => debug_assert!(false, "an arena's block without its arena"),
        // SAFETY: `allocate` took the block from the global allocator, with this layout.
        _ => unsafe { dealloc(block.as_ptr().cast(), vtable.layout) },
    }
}

/// An owned value, in no entry and in no list. Dropping it destroys the value and frees the block.
pub(crate) struct OwnedBlock<'a> {
    block: NonNull<Block>,
    arena: Option<&'a Arena>,
}

impl<'a> OwnedBlock<'a> {
    /// # Safety
    /// The block has a value, is in no entry and in no list, and only the result is used from now on. The value may be destroyed on this
    /// thread. If the block is from an arena, `arena` is that one, and this is its thread.
    pub(crate) unsafe fn new(block: NonNull<Block>, arena: Option<&'a Arena>) -> Self {
        OwnedBlock { block, arena }
    }

    /// Moves the value out and frees the block.
    ///
    /// # Safety
    /// The block was allocated for a `T`.
    pub(crate) unsafe fn into_value<T>(self) -> T {
        // SAFETY: the block has a `T` (this function's contract), which is not used in the block afterwards.
        let moved = unsafe { value::<T>(self.block).read() };
        drop(Memory { block: self.block, arena: self.arena });
        mem::forget(self);
        moved
    }
}

impl OwnedBlock<'_> {
    /// Destroys the value of an exiting thread. Memory of the arena is not freed: it goes with the arena.
    #[inline]
    pub(crate) fn destroy_at_exit(self) {
        // SAFETY: the block is alive and has a value, which may be destroyed on this thread (`new`).
        unsafe {
            let block = self.block;
            if block.as_ref().in_arena {
                mem::forget(self);
                if let Some(drop_value) = block.as_ref().vtable.drop {
                    drop_value(block);
                }
            }
        }
    }
}

impl Drop for OwnedBlock<'_> {
    fn drop(&mut self) {
        let _memory = Memory { block: self.block, arena: self.arena };
        // SAFETY: the block is alive and has a value, which may be destroyed on this thread (`new`).
        unsafe {
            if let Some(drop_value) = self.block.as_ref().vtable.drop {
                drop_value(self.block);
            }
        }
    }
}

/// An owned block without a value. Dropping it frees the block, also when the value's destructor panics.
struct Memory<'a> {
    block: NonNull<Block>,
    arena: Option<&'a Arena>,
}

impl Drop for Memory<'_> {
    fn drop(&mut self) {
        // SAFETY: `OwnedBlock::new` promises it: the block is in no entry and in no list, and this is its last use.
        unsafe { free(self.block, self.arena) }
    }
}

/// A list of owned values from the global allocator, in no entry and in no other list, linked through `older`. Dropping it destroys
/// each value once, also when a destructor panics.
pub(crate) struct Chain(Option<NonNull<Block>>);

impl Chain {
    pub(crate) const EMPTY: Chain = Chain(None);

    /// # Safety
    /// The blocks from `first` on are linked through `older`, have values, are from the global allocator, and are in no entry and in no
    /// other list. The values may be destroyed on this thread, and only the result is used from now on.
    pub(crate) unsafe fn new(first: Option<NonNull<Block>>) -> Self {
        Chain(first)
    }

    /// Adds a block at the front.
    ///
    /// # Safety
    /// The conditions of `new` hold for the block.
    pub(crate) unsafe fn push(&mut self, block: NonNull<Block>) {
        // SAFETY: the block is alive, and owned by the chain from now on (this function's contract).
        unsafe { block.as_ref().older.set(self.0) };
        self.0 = Some(block);
    }

    /// Removes the first block.
    pub(crate) fn pop(&mut self) -> Option<OwnedBlock<'static>> {
        let block = self.0?;
        // SAFETY: the chain owns its blocks, none of which is from an arena (`new`).
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
            // SAFETY: the chain owns its blocks, so they are alive.
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

/// The values of an object that owns them, newest first, linked through `Block::older`.
///
/// It grows by one compare-and-swap at its head and shrinks only through `&mut self`, so iteration needs no lock.
///
/// Ordering: a thread that finds a block must see its header and its value. `push` stores the block with release, and `iter` loads
/// the head with acquire. Older blocks are in the same release sequence: every later store to the head is a read-modify-write.
pub(crate) struct Values(AtomicPtr<Block>);

impl Values {
    pub(crate) const fn new() -> Self {
        Values(AtomicPtr::new(ptr::null_mut()))
    }

    /// Adds a value at the front.
    ///
    /// # Safety
    /// The block is object-owned, has its value, is in no list, and is alive until it is removed.
    pub(crate) unsafe fn push(&self, block: NonNull<Block>) {
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: the block is alive, and in no list yet, so no other thread reads the link.
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

    /// The values at the time of the call.
    pub(crate) fn iter(&self) -> Blocks<'_> {
        Blocks { next: NonNull::new(self.0.load(Ordering::Acquire)), _values: PhantomData }
    }

    /// Empties the list and returns its first block. The entries are not changed.
    pub(crate) fn take(&mut self) -> Option<NonNull<Block>> {
        NonNull::new(mem::replace(self.0.get_mut(), ptr::null_mut()))
    }

    /// Removes one value. Takes time in proportion to the number of newer values.
    pub(crate) fn unlink(&mut self, block: NonNull<Block>) {
        // SAFETY: blocks in the list are alive (invariant 8), and `&mut self` excludes other readers of the links.
        unsafe {
            let older = block.as_ref().older.get();
            match self.iter().find(|newer| newer.as_ref().older.get() == Some(block)) {
                Some(newer) => newer.as_ref().older.set(older),
                None => *self.0.get_mut() = older.map_or(ptr::null_mut(), NonNull::as_ptr),
            }
        }
    }
}

/// Iterates over the blocks of an object's list.
#[derive(Clone)]
pub(crate) struct Blocks<'a> {
    next: Option<NonNull<Block>>,
    _values: PhantomData<&'a Values>,
}

impl Iterator for Blocks<'_> {
    type Item = NonNull<Block>;

    fn next(&mut self) -> Option<NonNull<Block>> {
        let block = self.next?;
        // SAFETY: the list is borrowed, so no block is removed and no link changes; blocks in it are alive (invariant 8).
        self.next = unsafe { block.as_ref().older.get() };
        Some(block)
    }
}
