//! The same without a heap: one key of the system, and no dependency at all.

#![no_std]

use core::ffi::c_void;
use core::panic::PanicInfo;
use os_thread_local::key::StaticDestructorKey;

unsafe extern "system" fn end(count: *mut c_void) {
    // SAFETY: the C program defines it so.
    unsafe { counter_ended(count as usize as u32) }
}

static COUNTER: StaticDestructorKey = StaticDestructorKey::new(end);

/// One more than the last time on this thread; 0 if there is no key.
#[no_mangle]
pub extern "C" fn counter_next() -> u32 {
    let count = COUNTER.get() as usize + 1;
    // SAFETY: `end` takes any number.
    unsafe { COUNTER.set(count as *mut c_void) }.map_or(0, |()| count as u32)
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
