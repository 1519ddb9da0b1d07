//! A global allocator that counts. A test that uses it declares its own static:
//!
//! ```ignore
//! #[global_allocator]
//! static ALLOCATOR: Counting = Counting::new();
//! ```

use super::this_thread;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::SeqCst};

/// The system's allocator, and the number of bytes that went through it.
///
/// Reallocation is `GlobalAlloc`'s default: a new block, a copy, and a free.
pub struct Counting {
    live: AtomicIsize,
    allocated: AtomicUsize,
    main_thread: bool,
}

impl Counting {
    /// Counts every thread. For tests without the harness, and those whose limits allow for the 900 bytes that it allocates.
    pub const fn new() -> Counting {
        Counting { live: AtomicIsize::new(0), allocated: AtomicUsize::new(0), main_thread: true }
    }

    /// Counts every thread except the main thread, where the harness allocates some 900 bytes soon after it has started a test: in the
    /// middle of the test when the machine is busy. A test runs its measurements in another thread (`in_thread`), because
    /// `--test-threads=1` runs tests in the main thread.
    pub const fn without_main_thread() -> Counting {
        Counting { main_thread: false, ..Counting::new() }
    }

    /// The bytes that were allocated and not freed.
    pub fn live(&self) -> isize {
        self.live.load(SeqCst)
    }

    /// All bytes that were ever allocated, including any that were freed.
    pub fn allocated(&self) -> usize {
        self.allocated.load(SeqCst)
    }

    fn counts_this_thread(&self) -> bool {
        self.main_thread || not_the_main_thread()
    }
}

/// Whether the calling thread is not the main thread, which makes the process's first allocation.
fn not_the_main_thread() -> bool {
    static MAIN: AtomicUsize = AtomicUsize::new(0);
    let this = this_thread();
    match MAIN.load(SeqCst) {
        // No other thread exists yet.
        0 => MAIN.store(this, SeqCst),
        main => return main != this,
    }
    false
}

// SAFETY: passes every call to the system's allocator, and does not unwind.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if self.counts_this_thread() {
            self.live.fetch_add(layout.size() as isize, SeqCst);
            self.allocated.fetch_add(layout.size(), SeqCst);
        }
        // SAFETY: the caller of `alloc` guarantees that the layout's size is not zero.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        if self.counts_this_thread() {
            self.live.fetch_sub(layout.size() as isize, SeqCst);
        }
        // SAFETY: the caller of `dealloc` guarantees that `alloc` returned `p` for this layout, and `alloc` returned `System`'s block.
        unsafe { System.dealloc(p, layout) }
    }
}
