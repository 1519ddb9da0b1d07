//! Threads without any libc ([origin](https://docs.rs/origin)): the crate on its custom backend, which is one
//! thread-local pointer of the compiler's.

#![no_std]
#![no_main]
#![feature(thread_local)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ffi::c_void;
use core::fmt::{self, Write};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use origin::{program, thread};
use os_thread_local::{custom, PerThread, ThreadLocal};

#[global_allocator]
static ALLOCATOR: rustix_dlmalloc::GlobalDlmalloc = rustix_dlmalloc::GlobalDlmalloc;

#[thread_local]
static LOCAL: Cell<*mut c_void> = Cell::new(ptr::null_mut());

struct Threads;

// SAFETY: each thread has a `LOCAL` of its own, null at first; `Threads` alone uses it.
unsafe impl custom::Backend for Threads {
    fn get() -> *mut c_void {
        LOCAL.get()
    }

    unsafe fn set(value: *mut c_void) -> bool {
        LOCAL.set(value);
        true
    }

    fn relax() {
        thread::yield_current();
    }
}

os_thread_local::set_backend!(Threads);

struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // SAFETY: this program does not close its standard output.
        let output = unsafe { rustix::stdio::stdout() };
        rustix::io::write(output, text.as_bytes()).map_or(Err(fmt::Error), |_| Ok(()))
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    let _ = writeln!(Output, "{info}");
    program::immediate_exit(101)
}

/// The precompiled `core` was built for unwinding and refers to this function; nothing here unwinds.
#[no_mangle]
extern "C" fn rust_eh_personality() {}

static CREATED: AtomicUsize = AtomicUsize::new(0);
static DESTROYED: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Counted {
    fn new() -> Counted {
        CREATED.fetch_add(1, SeqCst);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        DESTROYED.fetch_add(1, SeqCst);
    }
}

static COUNTED: ThreadLocal<Counted> = ThreadLocal::new(Counted::new);
static DEPTH: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(0));

/// The main thread's value: `ci/origin` checks that its destructor prints.
struct Last;

impl Drop for Last {
    fn drop(&mut self) {
        let _ = writeln!(Output, "the main thread's value is destroyed");
    }
}

static LAST: ThreadLocal<Last> = ThreadLocal::new(|| Last);

struct Shared {
    objects: Vec<ThreadLocal<Cell<usize>>>,
    total: PerThread<Cell<usize>>,
}

/// Destroys the calling thread's values when it ends. Each thread calls this first.
fn destroy_at_exit() {
    // SAFETY: the thread's main function has returned, so the thread is inside no access.
    thread::at_exit(Box::new(|| unsafe { custom::task_exit() }));
}

fn worker(shared: &Shared) {
    destroy_at_exit();
    COUNTED.with(|_| ());
    DEPTH.set(DEPTH.get() + 1);
    assert_eq!(DEPTH.get(), 1);
    for (index, object) in shared.objects.iter().enumerate() {
        assert_eq!(object.get(), 1);
        object.set(index);
    }
    assert!(shared.objects.iter().enumerate().all(|(index, object)| object.get() == index));
    shared.total.with(|sum| sum.set(sum.get() + shared.objects.len()));
}

fn spawn(shared: &Shared) -> thread::Thread {
    // SAFETY: `run` joins the thread before it drops `shared`.
    unsafe {
        thread::create(
            |arguments| {
                worker(arguments[0].unwrap().cast::<Shared>().as_ref());
                None
            },
            &[Some(NonNull::from(shared).cast())],
            thread::default_stack_size(),
            thread::default_guard_size(),
        )
        .unwrap()
    }
}

fn run() {
    let shared = Shared {
        objects: (0..5_000).map(|_| ThreadLocal::new(|| Cell::new(1))).collect(),
        total: PerThread::new(|| Cell::new(0)),
    };
    LAST.with(|_| ());
    for round in 1..=3 {
        let threads: Vec<_> = (0..4).map(|_| spawn(&shared)).collect();
        for thread in threads {
            // SAFETY: joined once.
            unsafe { thread::join(thread) };
        }
        assert_eq!(CREATED.load(SeqCst), 4 * round);
        assert_eq!(
            DESTROYED.load(SeqCst),
            4 * round,
            "the threads have ended: their values are gone"
        );
    }
    assert!(shared.objects.iter().all(|object| object.get() == 1));
    let total: usize = shared.total.into_iter().map(Cell::into_inner).sum();
    assert_eq!(total, 3 * 4 * 5_000);
    let _ = writeln!(Output, "done");
}

#[no_mangle]
unsafe fn origin_main(_: usize, _: *mut *mut u8, _: *mut *mut u8) -> i32 {
    // SAFETY: `run` has returned by then, so the thread is inside no access.
    program::at_exit(Box::new(|| unsafe { custom::task_exit() }));
    run();
    0
}
