//! The custom backend: the whole crate on one pointer per task, which the program provides.
//!
//! Use it where there is no operating system, or where values should not belong to its threads: in an RTOS, a kernel, a runtime of
//! green threads. In this module a *task* is whatever has its own values. The rest of the documentation calls it a thread.
//!
//! 1. Select the backend. Targets without an operating system (`target_os = "none"`) always use it. Elsewhere the program selects it with
//!    a flag for rustc: see [Selecting the backend](#selecting-the-backend).
//! 2. Implement [`Backend`] and install it with [`set_backend!`](crate::set_backend), once per program.
//! 3. Call [`task_exit`] on each task as the last thing that the task does with the crate.
//! 4. Enable the feature `critical-section` if interrupt handlers use the crate, or if a task can pre-empt another one and must not wait for
//!    it: see [Locks](#locks).
//!
//! # Examples
//!
#![cfg_attr(os_thread_local_backend = "custom", doc = "```")]
#![cfg_attr(not(os_thread_local_backend = "custom"), doc = "```ignore")]
//! # // A program has one backend: the tests of this page have another one.
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
//! // SAFETY: each task has its own pointer, null at first, which only these
//! // functions access.
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
//!     // SAFETY: `entry` has returned, so no function of the crate is on this
//!     // task's stack.
//!     unsafe { os_thread_local::custom::task_exit() };
//! }
//! ```
//!
//! A program that installs no backend does not link. The linker reports symbols that are named after the macro:
//!
//! ```text
//! rust-lld: error: undefined symbol: _os_thread_local_0_2_set_backend_macro_get
//! ```
//!
//! A kernel in C defines the three functions itself, instead of using the macro, and calls a fourth:
//!
//! ```c
//! void *_os_thread_local_0_2_set_backend_macro_get(void);
//! bool _os_thread_local_0_2_set_backend_macro_set(void *value);
//! void _os_thread_local_0_2_set_backend_macro_relax(void);
//! void os_thread_local_0_2_task_exit(void);
//! ```
//!
//! A clone of the crate's repository has complete programs in `programs`: `firmware` (a Cortex-M3 without an operating system), `freertos` (the
//! tasks of FreeRTOS, pre-emptive and with strict priorities), `green-threads` (tasks in user space that move between threads), `c-kernel` (a
//! backend in C), and `wasm/examples/threads.rs` (WebAssembly workers with a shared memory, which no other backend supports).
//!
//! # Selecting the backend
//!
//! A program has one backend, so the program selects it, not a library. It is a `--cfg` flag rather than a Cargo feature, because any
//! library can enable a feature. In the program's `.cargo/config.toml`:
//!
//! ```toml
//! [build]
//! target = "x86_64-unknown-linux-gnu" # the program's; with it, the flags below are not used for build scripts
//! rustflags = ["--cfg", 'os_thread_local_backend="custom"']
//! ```
//!
//! or in the environment: `RUSTFLAGS='--cfg os_thread_local_backend="custom"'`, which replaces `build.rustflags`.
//!
//! Always set `target`, or pass `--target`. Otherwise Cargo also passes the flags to build scripts and procedural macros, and one that uses
//! this crate does not link.
//!
//! # Contexts
//!
//! - **Tasks** can call every function, like threads. See [Task switches](#task-switches).
//! - **Threads of a std program** that the scheduler does not run as tasks (the main thread, those of `std::thread::spawn`, the scheduler's own
//!   threads between two tasks) are tasks too: the operating system's keys are not used for them. `get` and `set` must give each of them a
//!   pointer of its own, for example in a `std::thread_local!` with a destructor that calls [`task_exit`]; or `get` returns null and `set`
//!   returns `false`.
//! - **The idle task, and startup code before there are tasks**, can do so too if [`Backend::get`] and [`Backend::set`] work there. `set` can
//!   return `false`; then an access that would create a value returns [`OutOfMemory`](crate::AccessError::OutOfMemory).
//! - **Interrupt handlers** are tasks of their own, and must not see the pointer of the task that they interrupt, which may be in the
//!   middle of an access. `get` and `set` must detect that they run in a handler. They use a pointer that belongs to it, one for
//!   each priority that can interrupt another, on each core; or `get` returns null and `set` returns `false`. Reading a value that
//!   exists takes no lock. Everything else (the first use of an object, `remove`, dropping an object) can take a lock, and needs the
//!   feature `critical-section`: without it, the handler can deadlock with the task that it interrupts. It can also allocate, so the global
//!   allocator must work in handlers.
//! - **The scheduler**, while it switches tasks, and code that runs between two tasks must not call this crate.
//!
//! # Task switches
//!
//! A task may be switched out, or yield, anywhere: inside the closure of `with`, an initializer, a `Drop` that the crate calls (also in
//! [`task_exit`]), and inside the crate itself. It may resume on another core or thread. The crate calls no user code while it holds a lock,
//! and finds the task's values by its pointer alone. Two conditions:
//!
//! - **`get` and `set` find the task that is running now.** If they read a thread-local of the language or of std, and tasks move between threads,
//!   the function that reads it needs `#[inline(never)]`. Otherwise the compiler may compute the thread-local's address once, and use it after
//!   the task has resumed on another thread.
//! - **A task that is unwinding does not switch.** std counts the panics of a thread, not of a task. For the same reason a task that panics needs
//!   `task_exit` after its panic is caught, on the task's own stack:
//!
#![cfg_attr(os_thread_local_backend = "custom", doc = "```")]
#![cfg_attr(not(os_thread_local_backend = "custom"), doc = "```ignore")]
//! fn task_main(entry: fn()) {
//!     let result = std::panic::catch_unwind(entry);
//!     // SAFETY: `entry` has returned or unwound, so no function of the crate is
//!     // on this task's stack.
//!     unsafe { os_thread_local::custom::task_exit() };
//!     if let Err(panic) = result {
//!         std::panic::resume_unwind(panic);
//!     }
//! }
//! # task_main(|| ());
//! ```
//!
//! # Locks
//!
//! The crate has a lock for the records of all tasks (on hosted targets, one for each of 63 groups of records), one for the free slot
//! numbers, and one for the records of ended tasks. No task holds two of them. No user code, no allocation and no deallocation runs under
//! a lock. A lock is held for some dozen instructions; longer when an object is dropped that other tasks have used (for each such
//! task), and when a task ends (for up to 64 values, or 1,024 table entries, at a time).
//!
//! A task that waits for a lock calls [`Backend::relax`] in a loop. If tasks can be pre-empted, `relax` must let the holder of the lock run. Under
//! strict priorities a plain yield does not let a task of a lower priority run; sleeping for a tick does.
//!
//! With the feature `critical-section` and this backend, the crate holds each lock inside a critical section of the
//! [critical-section](https://docs.rs/critical-section) crate, for which the program must install an implementation. On one core no
//! task then ever waits for a lock or calls `relax`, and handlers can use the crate. On several cores a task waits outside of
//! the critical section.
//!
//! # Memory use
//!
//! On targets without an operating system each value is an allocation of its own: a task keeps no memory for small values. The
//! documentation of `ThreadLocal` has the figures of other targets.
//!
//! # Non-guarantees
//!
//! The crate learns of the following events only from the program:
//!
//! - **The end of the program** destroys no values. Call [`task_exit`] on the main task to destroy its values.
//! - **A task that is killed**, or ends without [`task_exit`] (by a panic, for example), leaks its values and its memory in the crate. A value of
//!   an object that is dropped later leaks too. Do not kill a task inside the crate, where it may hold a lock.
//! - **`fork`** is not handled. Call it only while no other thread is inside the crate.
//! - **Unloading** the program's code: the crate's code runs in [`task_exit`], and does not run at any other end of a task.
//! - **Keys**: there is one pointer, which goes to the first user and is never free again. With the feature `alloc` that is the
//!   first `ThreadLocal` or `PerThread` in use, and the types of the module [`key`](crate::key) return
//!   [`OutOfKeys`](crate::AccessError::OutOfKeys). Without `alloc` the pointer is the only key: a second
//!   [`Key`](crate::key::Key) or [`StaticKey`](crate::key::StaticKey) returns `OutOfKeys`, even after the first is dropped, because
//!   the pointers that it has set in other tasks cannot be cleared.
//!
//! # Platform notes
//!
//! Targets need atomic compare-and-swap for pointers. `thumbv6m-none-eabi`, and RISC-V without the `a` extension, do not have it.

use super::Destructor;
#[cfg(os_thread_local_backend = "custom")]
use super::Keys;
#[cfg(os_thread_local_backend = "custom")]
use crate::sys::{System, Threads};
use core::ffi::c_void;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

/// The functions that a kernel provides: access to one pointer per task.
///
/// `get` is called for every access to a value, from every context in which the program uses the crate.
///
/// # Safety
///
/// - [`get`](Self::get) returns the pointer that the calling task has last [`set`](Self::set), or null if it has not set any since it
///   was created, whichever core or thread the task runs on. Nothing else changes the pointer.
/// - The code that runs as one task is to Rust what a thread is: values that are not [`Send`] do not get from one task to
///   another, nor from a task to a handler that interrupts it. If tasks move between threads of an operating system, what they
///   hold in that system's thread-locals does not move with them.
/// - After `set` has accepted a value that is not null, it accepts every value from this task until it is given null.
/// - The functions do not use this crate, do not allocate, and do not unwind.
///
/// # Examples
///
/// See [the module](self).
pub unsafe trait Backend {
    /// Returns the running task's pointer.
    ///
    /// If it reads a thread-local, and tasks move between threads, it must not be inlined: see [Task switches](self#task-switches).
    fn get() -> *mut c_void;

    /// Sets the running task's pointer, or returns `false` if the calling context has none.
    ///
    /// See [Contexts](self#contexts).
    ///
    /// # Safety
    ///
    /// Only this crate may call it: the pointer is the task's entire state in the crate.
    unsafe fn set(value: *mut c_void) -> bool;

    /// Lets the task that holds a lock run, while the calling task waits for the lock in a loop.
    ///
    /// The default implementation calls [`spin_loop`](core::hint::spin_loop), which is enough if the holder runs on another core. See
    /// [Locks](self#locks).
    fn relax() {
        core::hint::spin_loop();
    }
}

/// Installs a type that implements [`custom::Backend`](crate::custom::Backend) as the backend of the program.
///
/// Use it exactly once in a program, in any of its crates. Without it the program does not link.
///
/// # Examples
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

/// Destroys the values of the running task and frees the task's memory in the crate.
///
/// Call it on each task as the last thing that the task does with the crate, also if the task ends by a panic (see
/// [Task switches](self#task-switches)). It destroys the newest value first, including any values that
/// destructors create, until there are none.
///
/// If the task uses the crate again, it starts without values, like a new task, and needs another call at its end. A pool can call
/// `task_exit` between two jobs.
///
/// If the pointer is used by a key of the module [`key`](crate::key), `task_exit` calls the key's destructor, and up to three more times
/// if the destructor sets a new pointer.
///
/// # Panics
///
/// Never returns by a panic: if `Drop` of a value panics, the program aborts.
///
/// # Safety
///
/// The task is not inside an access: no function on its stack was called by `with` or a similar method, has a reference that one of them
/// passed to it, or is a destructor or an initializer that this crate called.
///
/// # Examples
///
/// See [the module](self).
pub unsafe fn task_exit() {
    /// The smallest value that POSIX allows for `PTHREAD_DESTRUCTOR_ITERATIONS`.
    const ROUNDS: usize = 4;
    for _ in 0..ROUNDS {
        // SAFETY: it has no preconditions.
        let value = unsafe { _os_thread_local_0_2_set_backend_macro_get() };
        if value.is_null() {
            return;
        }
        // Relaxed would be enough: the task got the key after the destructor was stored, and set the value after that.
        let destructor = DESTRUCTOR.load(Ordering::Acquire);
        // SAFETY: `hand_out` has stored an `Option<Destructor>` as a pointer, null for `None`.
        let destructor = unsafe { mem::transmute::<*mut c_void, Option<Destructor>>(destructor) };
        if OWNER.load(Ordering::Relaxed) != OF_ROOT {
            // The destructor of the root does this itself after it has destroyed the values. It must not be done earlier: a backend that
            // then refuses to set the pointer again would lose them.
            // SAFETY: this is the crate, and null is the pointer of a task without values.
            unsafe { _os_thread_local_0_2_set_backend_macro_set(ptr::null_mut()) };
        }
        match destructor {
            // SAFETY: the caller of `set` allows the call with the task's value when the task ends.
            Some(destructor) => unsafe { destructor(value) },
            None => return,
        }
    }
    // What the last round has set is leaked.
    // SAFETY: this is the crate, and null is the pointer of a task without values.
    unsafe { _os_thread_local_0_2_set_backend_macro_set(ptr::null_mut()) };
}

/// [`task_exit`] for kernels in other languages.
///
/// # Safety
/// The same as for [`task_exit`].
#[no_mangle]
unsafe extern "C" fn os_thread_local_0_2_task_exit() {
    // SAFETY: the task is not inside an access: this function requires it, too.
    unsafe { task_exit() }
}

/// The only key, because there is one pointer per task.
#[derive(Clone, Copy)]
pub(crate) struct OnlyKey;

/// Whether the key is in use, and by what. It is not used again after `delete`, because a new key must be null in every task.
static OWNER: AtomicU8 = AtomicU8::new(UNOWNED);
const UNOWNED: u8 = 0;
const OF_KEY: u8 = 1;
const OF_ROOT: u8 = 2;

/// The key's destructor, or null. Stored before a task gets the key.
static DESTRUCTOR: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

fn hand_out(destructor: Option<Destructor>) -> OnlyKey {
    let destructor = destructor.map_or(ptr::null_mut(), |destructor| destructor as *mut c_void);
    DESTRUCTOR.store(destructor, Ordering::Release);
    OnlyKey
}

#[cfg(os_thread_local_backend = "custom")]
impl Keys for System {
    type Key = OnlyKey;

    /// `task_exit` does repeat it, but there is one key: no destructor of another key can use the record after one round.
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
        // SAFETY: it has no preconditions.
        unsafe { _os_thread_local_0_2_set_backend_macro_get() }
    }

    unsafe fn set(_: OnlyKey, value: *mut c_void) -> bool {
        // SAFETY: this is the crate.
        unsafe { _os_thread_local_0_2_set_backend_macro_set(value) }
    }

    unsafe fn delete(_: OnlyKey) {
        // The tasks still have the pointers that they have set, but `task_exit` must no longer pass them to the destructor.
        DESTRUCTOR.store(ptr::null_mut(), Ordering::Release);
    }

    /// Returns the key to every task that asks for it: tasks may race to create the root.
    #[cfg(feature = "alloc")]
    fn create_root(destructor: Destructor) -> Option<OnlyKey> {
        match OWNER.compare_exchange(UNOWNED, OF_ROOT, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) | Err(OF_ROOT) => Some(hand_out(Some(destructor))),
            Err(_) => None,
        }
    }

    /// Does nothing: all tasks share the key.
    #[cfg(feature = "alloc")]
    unsafe fn discard_root(_: OnlyKey) {}
}

/// There are no hooks: the backend does not report the end or a fork of the process, and `task_exit` takes the place of an exit list.
#[cfg(os_thread_local_backend = "custom")]
impl Threads for System {
    fn yield_now() {
        // SAFETY: it has no preconditions.
        unsafe { _os_thread_local_0_2_set_backend_macro_relax() }
    }
}
