//! WebAssembly threads with a custom backend: several workers run this module on one memory, and each has its own values. See ci/wasm.

#![no_std]
#![feature(thread_local)] // a compiler that builds for `atomics` has it

use core::alloc::{GlobalAlloc, Layout};
use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::ptr::{addr_of, null_mut};
use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst};
use os_thread_local::ThreadLocal;

/// A worker's pointer, in the worker's own copy of the module's thread-local memory.
#[thread_local]
static LOCAL: Cell<*mut c_void> = Cell::new(null_mut());

struct Workers;

// SAFETY: the pointer is the calling worker's, null at first, and nothing else sets it.
unsafe impl os_thread_local::custom::Backend for Workers {
    fn get() -> *mut c_void {
        LOCAL.get()
    }

    unsafe fn set(value: *mut c_void) -> bool {
        LOCAL.set(value);
        true
    }
}

os_thread_local::set_backend!(Workers);

const WORKERS: usize = 2;
const STACK: usize = 65536;

#[repr(align(16))]
struct Memory<const SIZE: usize>(UnsafeCell<[u8; SIZE]>);

// SAFETY: it is only ever used as memory: each worker has its own part.
unsafe impl<const SIZE: usize> Sync for Memory<SIZE> {}

static STACKS: Memory<{ WORKERS * STACK }> = Memory(UnsafeCell::new([0; WORKERS * STACK]));

/// The lower end of a worker's stack; `STACK` bytes. The host puts the worker's thread-local memory there, too.
#[no_mangle]
extern "C" fn stack(worker: usize) -> usize {
    addr_of!(STACKS) as usize + worker * STACK
}

struct Value {
    worker: Cell<usize>,
}

static INITIALIZED: AtomicU32 = AtomicU32::new(0);
#[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
const ZERO: AtomicUsize = AtomicUsize::new(0);
static DROPPED: [AtomicUsize; WORKERS] = [ZERO; WORKERS];
static ADDRESSES: [AtomicUsize; WORKERS] = [ZERO; WORKERS];

impl Drop for Value {
    fn drop(&mut self) {
        DROPPED[self.worker.get()].fetch_add(1, SeqCst);
    }
}

static VALUE: ThreadLocal<Value> = ThreadLocal::new(|| {
    INITIALIZED.fetch_add(1, SeqCst);
    Value { worker: Cell::new(usize::MAX) }
});

/// Runs in each worker: all have a value at the same time, each its own.
#[no_mangle]
extern "C" fn work(worker: usize) {
    VALUE.with(|value| {
        value.worker.set(worker);
        ADDRESSES[worker].store(addr_of!(*value) as usize, SeqCst);
    });
    while ADDRESSES.iter().any(|address| address.load(SeqCst) == 0) {
        core::hint::spin_loop();
    }
    assert_ne!(ADDRESSES[0].load(SeqCst), ADDRESSES[1].load(SeqCst));
    VALUE.with(|value| assert_eq!(value.worker.get(), worker));
    assert_eq!(DROPPED[worker].load(SeqCst), 0);
    // SAFETY: the worker is inside no access.
    unsafe { os_thread_local::custom::task_exit() };
    assert_eq!(DROPPED[worker].load(SeqCst), 1);
}

/// Checks the results after the workers.
#[no_mangle]
extern "C" fn check() {
    assert_eq!(INITIALIZED.load(SeqCst), WORKERS as u32);
    assert!(DROPPED.iter().all(|n| n.load(SeqCst) == 1));
}

/// Allocates from one block, and frees nothing.
struct Bump;

static HEAP: Memory<65536> = Memory(UnsafeCell::new([0; 65536]));
static TAKEN: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static ALLOCATOR: Bump = Bump;

// SAFETY: each block is a part of the memory that no other block has.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let size = layout.size() + layout.align();
        let start = TAKEN.fetch_add(size, SeqCst);
        if start + size > 65536 {
            return null_mut();
        }
        let block = addr_of!(HEAP).cast::<u8>() as *mut u8;
        let block = block.wrapping_add(start);
        block.wrapping_add(block.align_offset(layout.align()))
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    core::arch::wasm32::unreachable()
}
