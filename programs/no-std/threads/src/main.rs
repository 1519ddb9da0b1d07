//! Statics and objects in a program without std: started by the C runtime's `main`, with an allocator
//! over `malloc`, a panic handler of its own, and threads from the operating system.

#![no_std]
#![no_main]

extern crate alloc;

mod platform;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use os_thread_local::{thread_local, AccessError, ThreadLocal};
use platform::{print_line, Thread};

static FOO: ThreadLocal<RefCell<u32>> = ThreadLocal::new(|| RefCell::new(1));

thread_local! {
    static BUFFER: RefCell<Vec<u32>> = RefCell::new(Vec::new());
    static COUNT: Cell<u32> = const { Cell::new(0) };
}

static BUILT: AtomicU32 = AtomicU32::new(0);
static DROPPED: AtomicU32 = AtomicU32::new(0);

/// A value with a destructor that prints.
struct Noisy(u32);

impl Noisy {
    fn new() -> Noisy {
        Noisy(BUILT.fetch_add(1, SeqCst) + 1)
    }
}

impl Drop for Noisy {
    fn drop(&mut self) {
        DROPPED.fetch_add(1, SeqCst);
        print_line(format_args!("  value {} is destroyed", self.0));
    }
}

static NOISY: ThreadLocal<Noisy> = ThreadLocal::new(Noisy::new);

struct Shared {
    data: u32,
    tls: ThreadLocal<Cell<u32>>,
    many: Vec<ThreadLocal<Box<u32>>>,
}

extern "C" fn worker(shared: *mut c_void) -> *mut c_void {
    // SAFETY: `main` joins this thread before it drops what it passed.
    let shared = unsafe { &*shared.cast::<Shared>() };
    FOO.with(|value| {
        assert_eq!(*value.borrow(), 1);
        *value.borrow_mut() = 3;
    });
    assert_eq!(shared.tls.get(), 10);
    shared.tls.set(shared.data);
    assert!(shared.many.iter().enumerate().all(|(i, o)| {
        BUFFER.with_borrow_mut(|b| b.push(i as u32));
        o.with(|v| **v) == 7
    }));
    assert_eq!(BUFFER.with_borrow(Vec::len), shared.many.len());
    COUNT.set(COUNT.get() + 1);
    assert_eq!(COUNT.get(), 1);
    NOISY.with(|v| print_line(format_args!("  a thread made value {}", v.0)));
    core::ptr::null_mut()
}

fn run() {
    let shared = Box::new(Shared {
        data: 42,
        tls: ThreadLocal::new(|| Cell::new(10)),
        // More than an operating system has keys for.
        many: (0..5_000).map(|_| ThreadLocal::new(|| Box::new(7))).collect(),
    });
    FOO.with(|value| *value.borrow_mut() = 2);
    shared.tls.set(11);

    for round in 1..=3 {
        print_line(format_args!("round {round}: 4 threads"));
        let arg: *const Shared = &*shared;
        let threads: Vec<Thread> =
            (0..4).map(|_| Thread::spawn(worker, arg as *mut c_void)).collect();
        for thread in threads {
            thread.join();
        }
        assert_eq!(BUILT.load(SeqCst), 4 * round);
        assert_eq!(
            DROPPED.load(SeqCst),
            4 * round,
            "the threads have ended: their values are gone"
        );
    }
    assert_eq!(FOO.with_borrow(|v| *v), 2);
    assert_eq!(shared.tls.get(), 11);

    // The object's value in this thread is destroyed with the object.
    let object = ThreadLocal::from_fn(Noisy::new);
    object.with(|v| print_line(format_args!("the main thread made value {}", v.0)));
    drop(object);
    assert_eq!(DROPPED.load(SeqCst), BUILT.load(SeqCst));
    drop(shared);

    // No unwinding here, so an error is a value.
    static RECURSIVE: ThreadLocal<Option<AccessError>> =
        ThreadLocal::new(|| RECURSIVE.try_with(|_| ()).err());
    print_line(format_args!("recursion: {}", RECURSIVE.with(|e| e.unwrap())));

    // The main thread's value is destroyed when `main` returns, if the C library reports that to the crate.
    NOISY.with(|_| ());
    print_line(format_args!("done"));
}

#[no_mangle]
pub extern "C" fn main(_argc: i32, _argv: *const *const u8) -> i32 {
    run();
    0
}
