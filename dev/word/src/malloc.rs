//! An allocator that counts its calls in a thread-local value and leaves the work to glibc, as profilers do that are preloaded.

use core::cell::Cell;
use core::ffi::c_void;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use os_thread_local::{AccessError, ThreadLocal};

extern "C" {
    fn __libc_malloc(size: usize) -> *mut c_void;
    fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
    fn __libc_realloc(memory: *mut c_void, size: usize) -> *mut c_void;
    fn __libc_free(memory: *mut c_void);
}

/// Calls that were counted in threads which have ended, and calls that got an error: `Recursive`, `Destroyed`, others.
static ENDED: AtomicUsize = AtomicUsize::new(0);
static ERRORS: [AtomicUsize; 3] = [AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0)];

struct Calls(Cell<usize>);

impl Drop for Calls {
    fn drop(&mut self) {
        ENDED.fetch_add(self.0.get(), Relaxed);
    }
}

static CALLS: ThreadLocal<Calls> = ThreadLocal::new(|| Calls(Cell::new(0)));

fn count() {
    let error = match CALLS.try_with(|calls| calls.0.set(calls.0.get() + 1)) {
        Ok(()) => return,
        Err(AccessError::Recursive) => 0,
        Err(AccessError::Destroyed) => 1,
        Err(_) => 2,
    };
    ERRORS[error].fetch_add(1, Relaxed);
}

/// # Safety
/// The conditions of C's function.
#[no_mangle]
pub unsafe extern "C" fn malloc(size: usize) -> *mut c_void {
    count();
    // SAFETY: no preconditions.
    unsafe { __libc_malloc(size) }
}

/// # Safety
/// The conditions of C's function.
#[no_mangle]
pub unsafe extern "C" fn calloc(count_of: usize, size: usize) -> *mut c_void {
    count();
    // SAFETY: no preconditions.
    unsafe { __libc_calloc(count_of, size) }
}

/// # Safety
/// The conditions of C's function.
#[no_mangle]
pub unsafe extern "C" fn realloc(memory: *mut c_void, size: usize) -> *mut c_void {
    count();
    // SAFETY: C requires that the memory came from this allocator and was not freed.
    unsafe { __libc_realloc(memory, size) }
}

/// # Safety
/// The conditions of C's function.
#[no_mangle]
pub unsafe extern "C" fn free(memory: *mut c_void) {
    count();
    // SAFETY: C requires that the memory came from this allocator and was not freed.
    unsafe { __libc_free(memory) }
}

#[no_mangle]
pub extern "C" fn calls_ended() -> usize {
    ENDED.load(Relaxed)
}

#[no_mangle]
pub extern "C" fn calls_here() -> usize {
    CALLS.with_existing(|calls| calls.0.get()).unwrap_or(0)
}

#[no_mangle]
pub extern "C" fn calls_errors(kind: usize) -> usize {
    ERRORS[kind].load(Relaxed)
}
