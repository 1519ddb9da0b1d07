//! A library for C programs, without std and without Cargo: a counter for each thread, which tells when a thread's ends. The
//! commands that build it are in docs/VENDORING.md.

#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::ffi::c_void;
use core::panic::PanicInfo;
use os_thread_local::ThreadLocal;

struct Counter(Cell<u32>);

impl Drop for Counter {
    fn drop(&mut self) {
        // SAFETY: the C program defines it so.
        unsafe { counter_ended(self.0.get()) }
    }
}

static COUNTER: ThreadLocal<Counter> = ThreadLocal::new(|| Counter(Cell::new(0)));

/// One more than the last time on this thread; 0 if there is no memory for the counter.
#[no_mangle]
pub extern "C" fn counter_next() -> u32 {
    COUNTER
        .try_with(|counter| {
            counter.0.set(counter.0.get() + 1);
            counter.0.get()
        })
        .unwrap_or(0)
}

extern "C" {
    fn counter_ended(count: u32);
    fn abort() -> !;
    fn aligned_alloc(align: usize, size: usize) -> *mut c_void;
    fn free(memory: *mut c_void);
}

struct Malloc;

// SAFETY: C's memory fulfils the layout: `aligned_alloc` wants a multiple of the alignment.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: no preconditions.
        unsafe { aligned_alloc(layout.align().max(16), layout.pad_to_align().size()).cast() }
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: it came from `aligned_alloc`.
        unsafe { free(memory.cast()) }
    }
}

#[global_allocator]
static MALLOC: Malloc = Malloc;

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    // SAFETY: no preconditions.
    unsafe { abort() }
}
