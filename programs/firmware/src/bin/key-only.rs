//! Without a heap: a kernel's one pointer per task as the one key.

#![no_std]
#![no_main]

use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering};
use cortex_m_rt::entry;
use cortex_m_semihosting::hprintln;
use firmware::kernel;
use os_thread_local::key::{Key, StaticDestructorKey};
use os_thread_local::AccessError;

#[entry]
fn boot() -> ! {
    kernel::start(main, || ())
}

static ENDED: AtomicU32 = AtomicU32::new(0);

unsafe extern "system" fn count(value: *mut c_void) {
    assert_eq!(value as usize, kernel::current() + 1000);
    ENDED.store(ENDED.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

static KEY: StaticDestructorKey = StaticDestructorKey::new(count);

fn set(number: usize) {
    // SAFETY: `count` does not follow the pointer.
    unsafe { KEY.set(number as *mut c_void) }.unwrap();
}

fn task() {
    assert!(KEY.get().is_null());
    set(kernel::current() + 1000);
    for _ in 0..100 {
        kernel::yield_now();
        assert_eq!(KEY.get() as usize, kernel::current() + 1000);
    }
}

fn main() -> ! {
    set(5);
    let tasks = [kernel::spawn(task), kernel::spawn(task), kernel::spawn(task)];
    for task in tasks {
        task.join();
    }
    assert_eq!(ENDED.load(Ordering::Relaxed), 3);
    assert_eq!(KEY.get() as usize, 5);
    assert_eq!(Key::new().err(), Some(AccessError::OutOfKeys));
    hprintln!("key: three tasks ended and their destructors ran; a second key is refused");
    hprintln!("ok");
    firmware::exit(true)
}
