//! The same without a heap: one key of the system, and no dependency at all.

#![no_std]

use core::ffi::c_void;
use core::panic::PanicInfo;
use os_thread_local::key::StaticKey;

unsafe extern "system" fn end(count: *mut c_void) {
    // SAFETY: the C program defines it so.
    unsafe { counter_ended(count as usize as u32) }
}

// SAFETY: `end` does not follow the pointer.
static COUNTER: StaticKey = unsafe { StaticKey::with_destructor(end) };

/// One more than the last time on this thread; 0 if there is no key.
#[no_mangle]
pub extern "C" fn counter_next() -> u32 {
    let count = COUNTER.get() as usize + 1;
    COUNTER.set(count as *mut c_void).map_or(0, |()| count as u32)
}

extern "C" {
    fn counter_ended(count: u32);
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    // SAFETY: no preconditions.
    unsafe { abort() }
}
