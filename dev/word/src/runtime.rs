//! An allocator and a panic handler for programs and libraries without std, both with C's functions.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::panic::PanicInfo;
use core::ptr::null_mut;

extern "C" {
    fn abort() -> !;
    fn malloc(size: usize) -> *mut c_void;
    fn posix_memalign(memory: *mut *mut c_void, align: usize, size: usize) -> i32;
    fn free(memory: *mut c_void);
}

struct Malloc;

// SAFETY: C's memory fulfils the layout: `malloc` aligns to 16, and `posix_memalign` to any power of two that is not less.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let mut memory = null_mut();
        // SAFETY: `memory` is valid for a write.
        unsafe {
            if layout.align() <= 16 {
                memory = malloc(layout.size());
            } else if posix_memalign(&mut memory, layout.align(), layout.size()) != 0 {
                memory = null_mut();
            }
        }
        memory.cast()
    }

    unsafe fn dealloc(&self, memory: *mut u8, _: Layout) {
        // SAFETY: it came from `alloc`.
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

/// The precompiled `alloc` was built for unwinding and refers to this function; nothing here unwinds.
#[no_mangle]
extern "C" fn rust_eh_personality() {}
