//! Bring your own kernel: the whole crate on one pointer per task.
//!
//! Where there is no operating system, or where its threads are not what a value should belong to (an RTOS, a kernel, a
//! runtime of green threads), the program provides what the crate needs of one: where the running task keeps a pointer.
//! In this module's words a task is whatever has a value of its own: read "task" for "thread" in the rest of the documentation.
//!
//! Four steps:
//!
//! 1. Select the backend. Targets without an operating system (`target_os = "none"`) have no other; elsewhere the program does it with a
//!    flag for rustc ([below](#selecting-the-backend)).
//! 2. Implement [`Backend`] and install it with [`set_backend!`](crate::set_backend), once per program.
//! 3. Call [`task_exit`] when a task ends, on that task.
//! 4. If interrupt handlers use the crate, or a task can be pre-empted by one that must not wait for it: the feature
//!    `critical-section` (below).
//!
#![cfg_attr(os_thread_local_backend = "custom", doc = "```")]
#![cfg_attr(not(os_thread_local_backend = "custom"), doc = "```ignore")]
//! # // A program has one backend. The tests of this page run on one that is linked in.
//! # mod kernel {
//! use core::ffi::c_void;
//! use core::sync::atomic::{AtomicPtr, Ordering};
//!
//! /// What the kernel keeps for each task. `local` is null when a task starts.
//! struct Task {
//!     local: AtomicPtr<c_void>,
//! }
//!
//! # static TASK: Task = Task { local: AtomicPtr::new(core::ptr::null_mut()) };
//! fn current_task() -> &'static Task {
//!     # /*
//!     ...
//!     # */
//!     # &TASK
//! }
//! # fn wait_a_tick() {}
//!
//! struct MyKernel;
//!
//! unsafe impl os_thread_local::custom::Backend for MyKernel {
//!     fn get() -> *mut c_void {
//!         current_task().local.load(Ordering::Relaxed)
//!     }
//!     unsafe fn set(value: *mut c_void) -> bool {
//!         current_task().local.store(value, Ordering::Relaxed);
//!         true
//!     }
//!     fn relax() {
//!         wait_a_tick();
//!     }
//! }
//! # }
//! # /*
//!
//! os_thread_local::set_backend!(MyKernel);
//! # */
//!
//! extern "C" fn task_main(entry: extern "C" fn()) {
//!     entry();
//!     // SAFETY: `entry` has returned: no access to a value is under way.
//!     unsafe { os_thread_local::custom::task_exit() };
//! }
//! ```
//!
//! A program without one does not link, and the missing symbols are named after the macro:
//!
//! ```text
//! rust-lld: error: undefined symbol: _os_thread_local_0_2_set_backend_macro_get
//! ```
//!
//! A kernel in C defines the three functions itself and calls a fourth:
//!
//! ```c
//! void *_os_thread_local_0_2_set_backend_macro_get(void);
//! bool _os_thread_local_0_2_set_backend_macro_set(void *value);
//! void _os_thread_local_0_2_set_backend_macro_relax(void);
//! void os_thread_local_0_2_task_exit(void);
//! ```
//!
//! Whole programs are in the repository: `programs/firmware` (a Cortex-M3 without an operating system), `programs/green-threads`
//! (tasks in user space that move between threads), `programs/c-kernel`, `programs/wasm/examples/threads.rs` (WebAssembly workers on one
//! memory, for which there is no other backend).
//!
//! # Selecting the backend
//!
//! The backend holds for the whole program, so the program selects it, not one of its libraries; it is no Cargo feature. In the program's
//! `.cargo/config.toml`:
//!
//! ```toml
//! [build]
//! target = "x86_64-unknown-linux-gnu" # the program's; with it, the flags below are not for build scripts
//! rustflags = ["--cfg", 'os_thread_local_backend="custom"']
//! ```
//!
//! or in the environment: `RUSTFLAGS='--cfg os_thread_local_backend="custom"'` (which replaces `build.rustflags`). Without
//! `target` or `--target`, Cargo passes the flags to build scripts and procedural macros too; one that uses this crate would not link.
//!
//! # What may be called from where
//!
//! - **A task** may do everything, as a thread does.
//! - **The idle task, start-up code before there are tasks**: likewise, if [`Backend::get`] and [`set`](Backend::set) answer there.
//!   `set` may refuse: then an access that would make a value gives [`OutOfMemory`](crate::AccessError::OutOfMemory).
//! - **An interrupt handler** is a task of its own to the crate. It must not see the pointer of the task that it
//!   interrupted, which may be in the middle of using its values: `get` and `set` tell by the context that they are in a handler
//!   and use a pointer that belongs to it (one for each priority that can interrupt another, on each core), or `get` gives null and
//!   `set` refuses. A value that exists already is read without a lock. Everything else (the first use of an object, `remove`,
//!   dropping an object) may take a lock of the crate, which a handler may do only with the feature `critical-section`: otherwise it may
//!   wait for the very task that it interrupted. It also allocates, so the global allocator must work in handlers.
//! - **A scheduler**, while it switches tasks, and code that runs between two tasks: nothing.
//!
//! # The locks
//!
//! The crate has a lock for the records of all tasks (on hosted targets, one for each of 63 groups of them), one for the free slot numbers,
//! and one for the records of ended tasks. No task holds two of them. No user code and no allocation runs under a lock, and it is held for some
//! dozen instructions; longer when an object is dropped that other tasks have used (for each task there is), and when a task
//! ends (for up to 64 values, or 1,024 table entries, at a time). A task that finds one taken calls [`Backend::relax`] in a loop. If tasks
//! can be pre-empted, `relax` must let the holder run: under strict priorities a plain yield does not let a task of lower priority run,
//! sleeping for a tick does.
//!
//! With the feature `critical-section` and this backend, every hold of a lock is inside a critical section of the
//! [critical-section](https://docs.rs/critical-section) crate, for which the program installs an implementation, too. On
//! one core a lock is then never found taken, `relax` is never called, and handlers can use the crate. On several cores the wait is
//! outside the critical section.
//!
//! # What the operating system would have done
//!
//! - **The end of the program**: nothing happens by itself. Call [`task_exit`] on the main task for its values to be destroyed.
//! - **A task that is killed**, or that ends without [`task_exit`]: its values stay where they are. That is safe, and it is a
//!   leak: what they hold is not freed, and a value of a dropped object waits for it forever. A task must not be
//!   killed inside the crate, where it may hold a lock.
//! - **fork**: is not handled. Fork when no other thread is inside the crate.
//! - **Unloading**: code of the crate runs when [`task_exit`] is called, and then only.
//! - **Keys**: there is one pointer, and the first to ask gets it, for good. With the feature `alloc` that is the first
//!   `ThreadLocal` or `PerThread` that is used, and there is nothing left for [`key`](crate::key). Without it the pointer is the one
//!   key: a second [`Key`](crate::key::Key) or [`StaticKey`](crate::key::StaticKey) gets
//!   [`OutOfKeys`](crate::AccessError::OutOfKeys), even after the first was dropped, since nobody can clear what it left in
//!   the other tasks.
//!
//! Targets need atomic compare-and-swap for pointers: not `thumbv6m-none-eabi`, nor RISC-V without `a`.

use super::Destructor;
#[cfg(os_thread_local_backend = "custom")]
use super::Keys;
#[cfg(os_thread_local_backend = "custom")]
use crate::sys::{System, Threads};
use core::ffi::c_void;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// What a kernel provides: one pointer for each task.
///
/// # Safety
///
/// - [`get`](Self::get) gives what the calling task has [`set`](Self::set) last, and null if it has not set anything since it was
///   created, whichever core or thread the task runs on. Nobody else changes it.
/// - The code that runs as one task is to Rust what a thread is: values that are not [`Send`] do not get from one task to
///   another, nor from a task to a handler that interrupts it. If tasks move between threads of an operating system, what they
///   hold in that system's thread-locals does not move with them.
/// - After `set` has accepted a value that is not null, it accepts every value from this task, until it was given null.
/// - The functions do not use this crate, do not allocate, and do not unwind.
///
/// They are called often (`get` for every access), from every context in which the program uses the crate.
pub unsafe trait Backend {
    /// The running task's pointer.
    fn get() -> *mut c_void;

    /// Sets the running task's pointer. `false` if this context has none: see [the module](self).
    ///
    /// # Safety
    ///
    /// Only for this crate: the pointer is the task's whole state in it.
    unsafe fn set(value: *mut c_void) -> bool;

    /// Called by a task in a loop while another one holds a lock: lets that one run.
    ///
    /// As it stands it only tells the processor that this is a loop, which is enough if the holder runs on another core.
    fn relax() {
        core::hint::spin_loop();
    }
}

/// Installs a type that implements [`custom::Backend`](crate::custom::Backend). Exactly once in a program, in any of its crates.
///
/// See [`custom`](crate::custom).
#[macro_export]
macro_rules! set_backend {
    ($backend:ty) => {
        const _: () = {
            #[no_mangle]
            extern "C" fn _os_thread_local_0_2_set_backend_macro_get() -> *mut ::core::ffi::c_void {
                <$backend as $crate::custom::Backend>::get()
            }
            #[no_mangle]
            unsafe extern "C" fn _os_thread_local_0_2_set_backend_macro_set(
                value: *mut ::core::ffi::c_void,
            ) -> bool {
                // SAFETY: only this crate calls it.
                unsafe { <$backend as $crate::custom::Backend>::set(value) }
            }
            #[no_mangle]
            extern "C" fn _os_thread_local_0_2_set_backend_macro_relax() {
                <$backend as $crate::custom::Backend>::relax()
            }
        };
    };
}

extern "C" {
    fn _os_thread_local_0_2_set_backend_macro_get() -> *mut c_void;
    fn _os_thread_local_0_2_set_backend_macro_set(value: *mut c_void) -> bool;
    fn _os_thread_local_0_2_set_backend_macro_relax();
}

/// Destroys the values of the running task: call it when a task ends, on that task, as the last thing it does with this crate.
///
/// The newest value is destroyed first, including those that the destructors create, until none are left; then the task's
/// memory in this crate is freed. Should the task go on and use the crate again, it is as a new task would: with new values,
/// and another call at the end. A pool may call it between two jobs.
///
/// With a key of the module [`key`](crate::key) instead, its destructor is called, and up to three more times if it sets a new value.
///
/// # Safety
///
/// The task is not inside an access: no function on its stack was called by `with` or its likes, has a reference that they gave to it, or is a
/// destructor or an initializer that this crate called.
pub unsafe fn task_exit() {
    /// As POSIX's PTHREAD_DESTRUCTOR_ITERATIONS.
    const ROUNDS: usize = 4;
    for _ in 0..ROUNDS {
        // SAFETY: `get` has no preconditions.
        let value = unsafe { _os_thread_local_0_2_set_backend_macro_get() };
        if value.is_null() {
            return;
        }
        // The value was set with the key, and the key after the destructor was stored: relaxed would do.
        let destructor = DESTRUCTOR.load(Ordering::Acquire);
        // SAFETY: `hand_out` stored it from this very type.
        let destructor = unsafe { mem::transmute::<*mut c_void, Option<Destructor>>(destructor) };
        if OWNER.load(Ordering::Relaxed) != OF_ROOT {
            // The root's destructor does it itself when the values are destroyed: a backend that refuses the pointer which is put back
            // would lose them.
            // SAFETY: null is what a task without a value has.
            unsafe { _os_thread_local_0_2_set_backend_macro_set(ptr::null_mut()) };
        }
        match destructor {
            // SAFETY: the task's value, on the task that ends.
            Some(destructor) => unsafe { destructor(value) },
            None => return,
        }
    }
    // SAFETY: as above. What the last round set is leaked.
    unsafe { _os_thread_local_0_2_set_backend_macro_set(ptr::null_mut()) };
}

/// [`task_exit`] for kernels in other languages.
///
/// # Safety
/// As for `task_exit`.
#[no_mangle]
unsafe extern "C" fn os_thread_local_0_2_task_exit() {
    // SAFETY: the task is not inside an access, which is this function's condition, too.
    unsafe { task_exit() }
}

/// There is one pointer per task, hence one key.
#[derive(Clone, Copy)]
pub(crate) struct OnlyKey;

/// Whether the key was handed out, and for what. It is not handed out again after `delete`: a new key must be null in every task.
static OWNER: AtomicU8 = AtomicU8::new(UNOWNED);
const UNOWNED: u8 = 0;
const OF_KEY: u8 = 1;
const OF_ROOT: u8 = 2;

/// The key's destructor, null if it has none. Stored before any task has the key.
static DESTRUCTOR: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

fn hand_out(destructor: Option<Destructor>) -> OnlyKey {
    let destructor = destructor.map_or(ptr::null_mut(), |destructor| destructor as *mut c_void);
    DESTRUCTOR.store(destructor, Ordering::Release);
    OnlyKey
}

#[cfg(os_thread_local_backend = "custom")]
impl Keys for System {
    type Key = OnlyKey;

    /// `task_exit` would, but there is one key: no other destructor could still want the record after one round.
    #[cfg(feature = "alloc")]
    const DESTRUCTOR_REPEATS: bool = false;

    #[inline(always)]
    fn to_bits(_: OnlyKey) -> usize {
        0
    }

    #[inline(always)]
    fn from_bits(_: usize) -> OnlyKey {
        OnlyKey
    }

    fn create(destructor: Option<Destructor>) -> Option<OnlyKey> {
        match OWNER.compare_exchange(UNOWNED, OF_KEY, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Some(hand_out(destructor)),
            Err(_) => None,
        }
    }

    #[inline(always)]
    unsafe fn get(_: OnlyKey) -> *mut c_void {
        // SAFETY: a `Backend`'s; it has no preconditions.
        unsafe { _os_thread_local_0_2_set_backend_macro_get() }
    }

    unsafe fn set(_: OnlyKey, value: *mut c_void) -> bool {
        // SAFETY: this is the crate's one use of the pointer.
        unsafe { _os_thread_local_0_2_set_backend_macro_set(value) }
    }

    unsafe fn delete(_: OnlyKey) {
        // What tasks have set is still there when they end, and the key's owner no longer is.
        DESTRUCTOR.store(ptr::null_mut(), Ordering::Release);
    }

    /// Tasks may race to create it: all of them get it.
    #[cfg(feature = "alloc")]
    fn create_root(destructor: Destructor) -> Option<OnlyKey> {
        match OWNER.compare_exchange(UNOWNED, OF_ROOT, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) | Err(OF_ROOT) => Some(hand_out(Some(destructor))),
            Err(_) => None,
        }
    }

    /// All tasks have it.
    #[cfg(feature = "alloc")]
    unsafe fn discard_root(_: OnlyKey) {}
}

/// Nothing tells when the process ends or forks, and there is no exit list but `task_exit`.
#[cfg(os_thread_local_backend = "custom")]
impl Threads for System {
    fn yield_now() {
        // SAFETY: a `Backend`'s; it has no preconditions.
        unsafe { _os_thread_local_0_2_set_backend_macro_relax() }
    }
}
