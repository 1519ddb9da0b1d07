//! A thread's arena for small values: a first chunk inside the record, then chunks that double in size, and a free list per
//! size class.
//!
//! The arena replaces a call of the global allocator for each first use, and frees all values without a destructor at once
//! when the thread ends. Only the owning thread allocates and frees (invariant 4), so it needs no lock. A freed block serves
//! every later value of its size class, so values that come and go do not let the arena grow.

use super::SMALL;
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::cell::{Cell, UnsafeCell};
use core::mem::{self, MaybeUninit};
use core::ptr::{self, NonNull};

/// Block sizes are multiples of this, and blocks are aligned to it: a class wastes 15 bytes at most.
const GRAIN: usize = 16;
/// At least the size of a block's header: `value` asserts it.
pub(crate) const HEADER: usize = 5 * mem::size_of::<usize>() + mem::size_of::<u32>() * 2;
/// The grains of a block of the first class. No block is smaller: each has a header.
const FIRST_CLASS: usize = HEADER / GRAIN;
/// The largest class takes a header and a value of 128 bytes; on 32-bit targets, of 120 bytes.
const CLASSES: usize = (HEADER + 128) / GRAIN - FIRST_CLASS + 1;
/// The size of the chunk inside the record: five word-sized values on 64-bit targets.
const INLINE: usize = 240;
const FIRST_CHUNK: usize = 512;
const LARGEST_CHUNK: usize = 32 * 1024;
/// The limit for all chunks together: an idle thread keeps no more than this of dropped objects' values without a destructor.
/// Beyond it, values come from the global allocator.
const MOST: usize = 128 * 1024;

/// The largest chunk that a pooled record keeps.
const LARGEST_POOLED: usize = FIRST_CHUNK;

/// Not a class: the block must come from the global allocator.
pub(crate) const NO_CLASS: usize = CLASSES;

/// The size class for a block of this layout, or `NO_CLASS`.
pub(crate) const fn class_of(layout: Layout) -> usize {
    let grains = (layout.size() + GRAIN - 1) / GRAIN;
    if SMALL || layout.align() > GRAIN || grains < FIRST_CLASS || grains >= FIRST_CLASS + CLASSES {
        NO_CLASS
    } else {
        grains - FIRST_CLASS
    }
}

/// Empty on small targets, where every block comes from the global allocator.
pub(crate) struct Arena([Chunks; if SMALL { 0 } else { 1 }]);

/// What every allocation reads stands first: on 64-bit targets in one cache line with the record's fields before it.
#[repr(C)]
struct Chunks {
    /// The unused rest of the newest chunk.
    start: Cell<*mut u8>,
    end: Cell<*mut u8>,
    /// The freed blocks of each class.
    free: [Cell<Option<NonNull<Free>>>; CLASSES],
    /// The newest allocated chunk. It is not in use while `total` is 0: a pooled record has kept it.
    chunk: Cell<Option<NonNull<Chunk>>>,
    /// The size of all allocated chunks that are in use.
    total: Cell<u32>,
    /// Set if a free list may have a block.
    has_free: Cell<bool>,
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
    /// An arena without memory: `start_over` must be called once the record is where it stays.
    pub(crate) const fn new() -> Self {
        #[allow(clippy::declare_interior_mutable_const)] // an initial value
        const CHUNKS: Chunks = Chunks::new();
        Arena([CHUNKS; if SMALL { 0 } else { 1 }])
    }

    /// Starts again with the inline chunk. The arena must not move afterwards: it points into itself.
    ///
    /// # Safety
    /// No block of the arena is used any more, and there are no surplus chunks.
    #[inline]
    pub(crate) unsafe fn start_over(&self) {
        self.0.iter().for_each(Chunks::start_over);
    }

    /// Whether there are chunks that a pooled record does not keep.
    #[inline]
    pub(crate) fn has_surplus(&self) -> bool {
        self.0.iter().any(|chunks| chunks.total.get() as usize > LARGEST_POOLED)
    }

    /// Frees the chunks that a pooled record does not keep.
    ///
    /// # Safety
    /// No block of the arena is used any more, and the record is in no root slot.
    pub(crate) unsafe fn free_surplus(&self) {
        // SAFETY: no block of the arena is used any more (this function's contract).
        self.0.iter().for_each(|chunks| unsafe { chunks.free_above(LARGEST_POOLED) });
    }

    /// Frees all chunks. The arena is not used afterwards.
    ///
    /// # Safety
    /// The conditions of `free_surplus` hold.
    pub(crate) unsafe fn free_chunks(&self) {
        // SAFETY: no block of the arena is used any more (this function's contract).
        self.0.iter().for_each(|chunks| unsafe { chunks.free_above(0) });
    }

    /// Allocates a block without a call of the global allocator. `None` if there is no memory for it, or no such class.
    ///
    /// Called by the owning thread.
    #[inline]
    pub(crate) fn allocate_now(&self, class: usize) -> Option<NonNull<u8>> {
        self.0.first()?.allocate_now(class)
    }

    /// Allocates a block. `None` if the arena has reached its limit, the global allocator has no memory for another chunk, or there is
    /// no such class.
    ///
    /// Called by the owning thread.
    pub(crate) fn allocate(&self, class: usize) -> Option<NonNull<u8>> {
        let chunks = self.0.first()?;
        chunks.free.get(class)?;
        chunks.allocate_now(class).or_else(|| {
            chunks.grow()?;
            chunks.allocate_now(class)
        })
    }

    /// Frees a block. Called by the owning thread.
    ///
    /// # Safety
    /// `allocate` returned the block for this class, and it is not used any more.
    #[inline]
    pub(crate) unsafe fn free(&self, block: NonNull<u8>, class: usize) {
        // SAFETY: the block was allocated for this class and is not used any more (this function's contract).
        self.0.iter().for_each(|chunks| unsafe { chunks.free(block, class) });
    }
}

impl Chunks {
    #[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
    const NONE: Cell<Option<NonNull<Free>>> = Cell::new(None);

    const fn new() -> Self {
        Chunks {
            start: Cell::new(ptr::null_mut()),
            end: Cell::new(ptr::null_mut()),
            free: [Self::NONE; CLASSES],
            chunk: Cell::new(None),
            total: Cell::new(0),
            has_free: Cell::new(false),
            inline: Inline(UnsafeCell::new([MaybeUninit::uninit(); INLINE])),
        }
    }

    #[inline]
    fn start_over(&self) {
        let start = self.inline.0.get().cast::<u8>();
        self.start.set(start);
        self.end.set(start.wrapping_add(INLINE));
        self.total.set(0);
        if self.has_free.replace(false) {
            self.free.iter().for_each(|list| list.set(None));
        }
    }

    /// Frees all chunks that are larger than `limit`.
    ///
    /// # Safety
    /// No block of the arena is used any more.
    unsafe fn free_above(&self, limit: usize) {
        // The newest chunk is the largest. A chunk leaves the list before it is freed.
        while let Some(chunk) = self.chunk.get() {
            // SAFETY: chunks in the list are alive and owned by the arena. `grow` allocated each with this layout.
            unsafe {
                let size = chunk.as_ref().size;
                if size <= limit {
                    return;
                }
                self.chunk.set(chunk.as_ref().older);
                dealloc(chunk.as_ptr().cast(), Layout::from_size_align_unchecked(size, GRAIN));
            }
        }
    }

    #[inline]
    fn allocate_now(&self, class: usize) -> Option<NonNull<u8>> {
        let list = self.free.get(class)?;
        if let Some(block) = list.get() {
            // SAFETY: blocks in the free list are unused memory of this arena, which begins with a link.
            list.set(unsafe { block.as_ref().next });
            return Some(block.cast());
        }
        let block = self.start.get();
        let next = block.wrapping_add((class + FIRST_CLASS) * GRAIN);
        if next > self.end.get() {
            return None;
        }
        self.start.set(next);
        // SAFETY: `next` is not above `end`, so the block is in a chunk: without one, both `start` and `end` are null, and `next` is above.
        Some(unsafe { NonNull::new_unchecked(block) })
    }

    /// Adds a chunk.
    ///
    /// The global allocator may use this arena inside `alloc`, and make it grow too. Then the rest of that chunk is not used.
    #[cold]
    fn grow(&self) -> Option<()> {
        // SAFETY: chunks in the list are alive.
        let last = self.chunk.get().map(|chunk| unsafe { (chunk, chunk.as_ref().size) });
        if let (Some((chunk, size)), 0) = (last, self.total.get()) {
            self.use_chunk(chunk, size);
            return Some(());
        }
        let size = last.map_or(FIRST_CHUNK, |(_, size)| (size * 2).min(LARGEST_CHUNK));
        if self.total.get() as usize + size > MOST {
            return None;
        }
        // SAFETY: `size` is not 0 and at most `LARGEST_CHUNK`; `GRAIN` is a power of two.
        let memory =
            NonNull::new(unsafe { alloc(Layout::from_size_align_unchecked(size, GRAIN)) })?;
        let chunk = memory.cast::<Chunk>();
        // SAFETY: the memory is new, aligned for a `Chunk` and larger than one.
        unsafe { chunk.as_ptr().write(Chunk { older: self.chunk.get(), size }) };
        self.chunk.set(Some(chunk));
        self.use_chunk(chunk, size);
        Some(())
    }

    /// Makes the newest chunk the one from which blocks are taken.
    fn use_chunk(&self, chunk: NonNull<Chunk>, size: usize) {
        let memory = chunk.as_ptr().cast::<u8>();
        self.total.set(self.total.get() + size as u32);
        self.start.set(memory.wrapping_add(mem::size_of::<Chunk>()));
        self.end.set(memory.wrapping_add(size));
    }

    /// # Safety
    /// `allocate` returned the block for this class, and it is not used any more.
    #[inline]
    unsafe fn free(&self, block: NonNull<u8>, class: usize) {
        if let Some(list) = self.free.get(class) {
            let block = block.cast::<Free>();
            // SAFETY: the block is unused (`Arena::free`), larger than a link, and aligned to `GRAIN`.
            unsafe { block.as_ptr().write(Free { next: list.get() }) };
            list.set(Some(block));
            self.has_free.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::boxed::Box;
    use alloc::vec::Vec;

    #[test]
    fn the_class_is_the_smallest_that_fits() {
        if SMALL {
            return;
        }
        for size in 1..2 * CLASSES * GRAIN {
            let grains = (0..).find(|grains| grains * GRAIN >= size).unwrap();
            let class = match grains.checked_sub(FIRST_CLASS) {
                Some(class) if class < CLASSES => class,
                _ => NO_CLASS,
            };
            let layout = |align| Layout::from_size_align(size, align).unwrap();
            assert_eq!(class_of(layout(GRAIN)), class, "{} bytes", size);
            assert_eq!(class_of(layout(2 * GRAIN)), NO_CLASS);
        }
        if usize::BITS == 64 {
            // The header of a block, rounded up to `GRAIN`, and a value.
            assert_eq!(class_of(Layout::from_size_align(48 + 128, 8).unwrap()), CLASSES - 1);
            assert_eq!(class_of(Layout::from_size_align(48, 8).unwrap()), 0);
        }
    }

    #[test]
    fn blocks_do_not_overlap_and_are_used_again() {
        if SMALL {
            return;
        }
        let arena = Box::new(Arena::new());
        for _ in 0..3 {
            // SAFETY: no block of the arena is used.
            unsafe { arena.start_over() };
            assert!(arena.allocate(NO_CLASS).is_none());
            let mut blocks = Vec::new();
            // The classes in turn; then the rest of the last chunk.
            let mut class = 0;
            loop {
                let block = match arena.allocate(class) {
                    Some(block) => block,
                    None if class > 0 => {
                        class = 0;
                        continue;
                    }
                    None => break,
                };
                let size = (class + FIRST_CLASS) * GRAIN;
                assert_eq!(block.as_ptr() as usize % GRAIN, 0);
                // SAFETY: the block has this size.
                unsafe { block.as_ptr().write_bytes(blocks.len() as u8, size) };
                blocks.push((block, size));
                class = (class + 1) % CLASSES;
            }
            let total: usize = blocks.iter().map(|(_, size)| size).sum();
            assert!(total > MOST * 3 / 4 && total <= MOST + INLINE, "{} bytes", total);
            for (i, (block, size)) in blocks.iter().enumerate() {
                for at in 0..*size {
                    // SAFETY: the block has this size, and was written.
                    assert_eq!(unsafe { block.as_ptr().add(at).read() }, i as u8);
                }
            }
            for (class, (block, _)) in blocks.iter().enumerate().take(CLASSES) {
                // SAFETY: the block has this class, and is not used any more.
                unsafe { arena.free(*block, class) };
                assert_eq!(arena.allocate_now(class), Some(*block));
                assert_eq!(arena.allocate_now(class), None);
            }
        }
        // SAFETY: no block of the arena is used.
        unsafe { arena.free_chunks() };
    }
}
