//! One key of the operating system and nothing else: no heap, no std, no table.

#![no_std]
#![no_main]

use core::ffi::c_void;
use core::panic::PanicInfo;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use os_thread_local::key::{Key, StaticDestructorKey, StaticKey};

#[cfg_attr(all(unix, not(target_vendor = "apple")), link(name = "c"))]
#[cfg_attr(target_vendor = "apple", link(name = "System"))]
#[cfg_attr(windows, link(name = "msvcrt"))]
extern "C" {
    fn puts(text: *const u8) -> i32;
    fn abort() -> !;
}

fn print(text: &'static str) {
    assert!(text.ends_with('\0'));
    // SAFETY: ends with a zero, as `puts` wants it.
    unsafe { puts(text.as_ptr()) };
}

static COUNTER: StaticKey = StaticKey::new();

/// Counts up in a variable of this thread, which the caller provides the first time.
fn count(storage: &'static AtomicU32) -> u32 {
    if COUNTER.get().is_null() {
        let storage: *const AtomicU32 = storage;
        COUNTER.set(storage as *mut c_void).unwrap();
    }
    // SAFETY: only pointers to statics of this type are stored in this key.
    let mine = unsafe { &*COUNTER.get().cast::<AtomicU32>() };
    mine.fetch_add(1, SeqCst) + 1
}

/// A key with a destructor, which the system calls when a thread ends.
#[cfg(unix)]
mod thread {
    use super::*;
    use core::ptr::null;

    extern "C" {
        // `pthread_t` is one word everywhere: an integer on some systems, a pointer on others.
        fn pthread_create(
            thread: *mut usize,
            attributes: *const c_void,
            main: extern "C" fn(*mut c_void) -> *mut c_void,
            arg: *mut c_void,
        ) -> i32;
        fn pthread_join(thread: usize, result: *mut *mut c_void) -> i32;
    }

    static ENDED: AtomicU32 = AtomicU32::new(0);

    unsafe extern "system" fn ended(value: *mut c_void) {
        // SAFETY: only pointers to statics of this type are stored in this key.
        unsafe { &*value.cast::<AtomicU32>() }.fetch_add(1, SeqCst);
    }

    static KEY: StaticDestructorKey = StaticDestructorKey::new(ended);

    extern "C" fn main(counter: *mut c_void) -> *mut c_void {
        assert!(KEY.get().is_null());
        // SAFETY: `ended` takes pointers to counters, as `check` passes one here.
        unsafe { KEY.set(counter) }.unwrap();
        assert_eq!(KEY.get(), counter);
        null_mut()
    }

    pub fn check() {
        for i in 1..=10 {
            let counter: *const AtomicU32 = &ENDED;
            let mut thread = 0;
            // SAFETY: `thread` is ours to write; joined once.
            unsafe {
                assert_eq!(pthread_create(&mut thread, null(), main, counter as *mut c_void), 0);
                assert_eq!(pthread_join(thread, null_mut()), 0);
            }
            assert_eq!(ENDED.load(SeqCst), i);
        }
        print("the destructor at the end of a thread: ok\0");
    }
}

#[no_mangle]
pub extern "C" fn main(_argc: i32, _argv: *const *const u8) -> i32 {
    static STORAGE: AtomicU32 = AtomicU32::new(0);
    assert!(COUNTER.get().is_null());
    assert_eq!(count(&STORAGE), 1);
    assert_eq!(count(&STORAGE), 2);
    assert_eq!(STORAGE.load(SeqCst), 2);
    COUNTER.set(null_mut()).unwrap();
    assert!(COUNTER.get().is_null());
    print("a static key: ok\0");

    // Keys are created and deleted; the operating system limits their number.
    for _ in 0..10_000 {
        let mut local = 5u32;
        let key = Key::new().unwrap();
        assert!(key.get().is_null());
        key.set((&mut local as *mut u32).cast()).unwrap();
        // SAFETY: the pointer that was set one line above.
        assert_eq!(unsafe { *key.get().cast::<u32>() }, 5);
    }
    print("keys that come and go: ok\0");

    #[cfg(unix)]
    thread::check();
    0
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    print("panicked\0");
    // SAFETY: has no precondition.
    unsafe { abort() }
}

/// The precompiled `core` was built for unwinding and refers to this function; nothing here unwinds.
#[no_mangle]
extern "C" fn rust_eh_personality() {}
