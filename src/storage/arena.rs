//! A thread's memory for small values: a first chunk in the record, then chunks that double, with a free list per size class.
//!
//! Only the owning thread allocates and frees. All chunks are freed as a whole at the end of the record.

use super::SMALL;
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::cell::{Cell, UnsafeCell};
use core::mem::{self, MaybeUninit};
use core::ptr::{self, NonNull};

/// Size classes are multiples of this, and blocks are aligned to it.
const GRAIN: usize = 16;
/// A block's header.
pub(crate) const HEADER: usize = 5 * mem::size_of::<usize>() + mem::size_of::<u32>() * 2;
/// Blocks of the first class have so many grains: more than a header on 64-bit targets without a value.
const FIRST_CLASS: usize = HEADER / GRAIN;
/// Up to a header and 128 bytes.
const CLASSES: usize = (HEADER + 128) / GRAIN - FIRST_CLASS + 1;
/// What the record itself provides: five word-sized values on 64-bit targets.
const INLINE: usize = 256;
const FIRST_CHUNK: usize = 512;
const LARGEST_CHUNK: usize = 32 * 1024;
/// All chunks together: what a thread keeps at the most when the objects it used are gone. Further values come from the global
/// allocator.
const MOST: usize = 128 * 1024;

/// The size class of a block, if the arena takes it.
pub(crate) const fn class_of(layout: Layout) -> Option<usize> {
    let grains = (layout.size() + GRAIN - 1) / GRAIN;
    if SMALL || layout.align() > GRAIN || grains < FIRST_CLASS || grains >= FIRST_CLASS + CLASSES {
        None
    } else {
        Some(grains - FIRST_CLASS)
    }
}

/// None on targets where memory counts more than time: there the global allocator has every block.
pub(crate) struct Arena([Chunks; if SMALL { 0 } else { 1 }]);

struct Chunks {
    /// What is left of the newest chunk.
    start: Cell<*mut u8>,
    left: Cell<usize>,
    /// The newest chunk that was allocated, and the size of all of them.
    chunk: Cell<Option<NonNull<Chunk>>>,
    total: Cell<usize>,
    /// By class: blocks that were freed.
    free: [Cell<Option<NonNull<Free>>>; CLASSES],
    inline: Inline,
}

#[repr(C)]
#[cfg_attr(not(any(target_os = "none", os_thread_local_backend = "single")), repr(align(16)))]
struct Inline(UnsafeCell<[MaybeUninit<u8>; INLINE]>);

struct Free {
    next: Option<NonNull<Free>>,
}

#[repr(C, align(16))]
struct Chunk {
    older: Option<NonNull<Chunk>>,
    size: usize,
}

impl Arena {
    /// Without its inline chunk: see `reset`.
    pub(crate) const fn new() -> Self {
        #[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
        const CHUNKS: Chunks = Chunks::new();
        Arena([CHUNKS; if SMALL { 0 } else { 1 }])
    }

    /// Frees all chunks, and begins again with the inline one. The arena does not move afterwards.
    ///
    /// # Safety
    /// No block of the arena is used any more.
    pub(crate) unsafe fn reset(&self) {
        // SAFETY: this function's own condition.
        self.0.iter().for_each(|chunks| unsafe { chunks.reset() });
    }

    /// A block, or `None` if the arena has reached its size, or there is no memory for another chunk. By the owning thread.
    #[inline]
    pub(crate) fn allocate(&self, class: usize) -> Option<NonNull<u8>> {
        self.0.first()?.allocate(class)
    }

    /// By the owning thread.
    ///
    /// # Safety
    /// `allocate` gave the block for that class, and the caller gives it up.
    #[inline]
    pub(crate) unsafe fn free(&self, block: NonNull<u8>, class: usize) {
        // SAFETY: this function's own condition.
        self.0.iter().for_each(|chunks| unsafe { chunks.free(block, class) });
    }
}

impl Chunks {
    #[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
    const NONE: Cell<Option<NonNull<Free>>> = Cell::new(None);

    const fn new() -> Self {
        Chunks {
            start: Cell::new(ptr::null_mut()),
            left: Cell::new(0),
            chunk: Cell::new(None),
            total: Cell::new(0),
            free: [Self::NONE; CLASSES],
            inline: Inline(UnsafeCell::new([MaybeUninit::uninit(); INLINE])),
        }
    }

    /// # Safety
    /// As for `Arena::reset`.
    unsafe fn reset(&self) {
        self.start.set(self.inline.0.get().cast());
        self.left.set(INLINE);
        self.total.set(0);
        self.free.iter().for_each(|list| list.set(None));
        // The global allocator may use this arena again: each chunk is out of the list when it is freed.
        while let Some(chunk) = self.chunk.get() {
            // SAFETY: the arena owns its chunks, each of which was allocated with the layout for its size.
            unsafe {
                self.chunk.set(chunk.as_ref().older);
                let layout = Layout::from_size_align_unchecked(chunk.as_ref().size, GRAIN);
                dealloc(chunk.as_ptr().cast(), layout);
            }
        }
    }

    #[inline]
    fn allocate(&self, class: usize) -> Option<NonNull<u8>> {
        let list = self.free.get(class)?;
        if let Some(block) = list.get() {
            // SAFETY: a freed block holds its link, and is the arena's.
            list.set(unsafe { block.as_ref().next });
            return Some(block.cast());
        }
        let size = (class + FIRST_CLASS) * GRAIN;
        if self.left.get() < size {
            self.grow()?;
        }
        let block = self.start.get();
        // In bounds: `left` bytes follow `start`.
        self.start.set(block.wrapping_add(size));
        self.left.set(self.left.get() - size);
        NonNull::new(block)
    }

    /// The global allocator may use this arena meanwhile, and make it grow itself: the newer chunk is used, and what is left of the
    /// other is not.
    #[cold]
    fn grow(&self) -> Option<()> {
        // SAFETY: chunks are alive until `reset`.
        let last = self.chunk.get().map(|chunk| unsafe { chunk.as_ref().size });
        let size = last.map_or(FIRST_CHUNK, |size| (size * 2).min(LARGEST_CHUNK));
        if self.total.get() + size > MOST {
            return None;
        }
        // SAFETY: not zero-sized; a power of two, far below the limit.
        let memory =
            NonNull::new(unsafe { alloc(Layout::from_size_align_unchecked(size, GRAIN)) })?;
        let chunk = memory.cast::<Chunk>();
        // SAFETY: fresh memory, larger than the header.
        unsafe { chunk.as_ptr().write(Chunk { older: self.chunk.get(), size }) };
        self.chunk.set(Some(chunk));
        self.total.set(self.total.get() + size);
        self.start.set(memory.as_ptr().wrapping_add(mem::size_of::<Chunk>()));
        self.left.set(size - mem::size_of::<Chunk>());
        Some(())
    }

    /// # Safety
    /// As for `Arena::free`.
    #[inline]
    unsafe fn free(&self, block: NonNull<u8>, class: usize) {
        if let Some(list) = self.free.get(class) {
            let block = block.cast::<Free>();
            // SAFETY: a block is larger than the link, and aligned to 16.
            unsafe { block.as_ptr().write(Free { next: list.get() }) };
            list.set(Some(block));
        }
    }
}
