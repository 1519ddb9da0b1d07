//! tests/one_thread.rs for a host that calls `run(n)`: no std, no threads, and an allocator that counts.

#![no_std]

use core::alloc::{GlobalAlloc, Layout};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

// `#[test]` does not exist for a program without a harness: the functions are called by number.
#[path = "../../../tests/one_thread.rs"]
#[allow(dead_code)]
mod one_thread;

#[link(wasm_import_module = "env")]
extern "C" {
    /// The host prints these bytes.
    fn print(bytes: *const u8, length: usize);
}

struct Host;

impl Write for Host {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: the bytes are valid for the length.
        unsafe { print(text.as_ptr(), text.len()) };
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Host, "{info}");
    core::arch::wasm32::unreachable()
}

/// Puts freed blocks into a list per size class, and counts the blocks, so that a leak shows.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static NEXT: AtomicUsize = AtomicUsize::new(0);
static END: AtomicUsize = AtomicUsize::new(0);
static FREE: [AtomicUsize; 32] = {
    #[allow(clippy::declare_interior_mutable_const)] // the initial value of the array
    const EMPTY: AtomicUsize = AtomicUsize::new(0);
    [EMPTY; 32]
};

const PAGE: usize = 65536;

/// Blocks are powers of two, aligned to their size.
fn class(layout: Layout) -> u32 {
    layout.size().max(layout.align()).max(16).next_power_of_two().trailing_zeros()
}

// SAFETY: there is one thread; a block is part of memory that is not in use, or was freed before.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let class = class(layout);
        LIVE.fetch_add(1, Relaxed);
        let free = FREE[class as usize].load(Relaxed) as *mut usize;
        if !free.is_null() {
            // SAFETY: a block in the list holds the address of the next one.
            FREE[class as usize].store(unsafe { free.read() }, Relaxed);
            return free.cast();
        }
        let size = 1 << class;
        let start = (NEXT.load(Relaxed) + size - 1) & !(size - 1);
        let end = END.load(Relaxed);
        if start + size > end {
            let pages = (2 * size + PAGE - 1) / PAGE;
            let grown = core::arch::wasm32::memory_grow::<0>(pages);
            if grown == usize::MAX {
                return core::ptr::null_mut();
            }
            let fresh = (grown * PAGE + size - 1) & !(size - 1);
            NEXT.store(fresh + size, Relaxed);
            END.store((grown + pages) * PAGE, Relaxed);
            return fresh as *mut u8;
        }
        NEXT.store(start + size, Relaxed);
        start as *mut u8
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        LIVE.fetch_sub(1, Relaxed);
        let list = &FREE[class(layout) as usize];
        // SAFETY: the caller frees the block, which has at least 16 bytes.
        unsafe { block.cast::<usize>().write(list.load(Relaxed)) };
        list.store(block as usize, Relaxed);
    }
}

/// Tests that expect a static's first value pass once.
const ONCE: &[&str] = &["a_static_keeps_its_value", "the_macro_declares_statics"];

/// Runs a test, in the first or in a later round. Returns false if there is no test of that number.
#[no_mangle]
pub extern "C" fn run(number: usize, again: bool) -> bool {
    match one_thread::ALL.get(number) {
        None => false,
        Some((name, _)) if again && ONCE.contains(name) => true,
        Some((name, test)) => {
            let _ = write!(Host, "test {name} ... ");
            test();
            let _ = writeln!(Host, "ok");
            true
        }
    }
}

/// The number of blocks that were not freed.
#[no_mangle]
pub extern "C" fn live() -> usize {
    LIVE.load(Relaxed)
}
