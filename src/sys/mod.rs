//! The seam to the operating system.
//!
//! A backend is one file. `build.rs` picks it and says so in one cfg. It exports:
//!
//! - `Key`: the OS's key, `Copy`. `to_bits` and `from_bits` turn it into a `usize` and back; they MUST be inverse.
//! - `create(destructor)`: a new key, whose value is null in every thread, or `None` when the OS has none left. At the
//!   end of a thread (a fiber, a task) the OS MUST call the destructor with the thread's value if it is not null, on the
//!   context that is ending. `create` MUST happen before every `get` and `set` of the key.
//! - `get(key)`: the calling thread's value. It MUST NOT fail, and MUST NOT change what a caller can observe (`errno`,
//!   the last error). It is the hot path.
//! - `set(key, value)`: sets it; `false` when there is no memory. It MUST succeed for a thread whose value of that key
//!   is not null.
//! - `delete(key)`: gives the key back. Whether destructors run is the OS's business; `key` documents it.
//!
//! And with `alloc`:
//!
//! - `yield_now()`: lets another thread run that may hold the lock.
//! - `DESTRUCTOR_REPEATS`: the OS nulls the value before it calls the destructor, and calls it again in a later round
//!   when the destructor has set a value.
//! - `other_threads_were_killed()`: the process is ending and the calling thread is the only one left, the others having been
//!   stopped wherever they were.
//! - `install_hooks(hooks)`: called once, by the first thread that gets a record; connects what the OS has of `Hooks`. Other
//!   threads do not wait for it. `true` if the fork handlers are installed.
//! - `at_thread_exit(hooks)`: called once by each thread that gets a record; registers `Hooks::thread_exit` in the
//!   thread's exit list, where there is one.

#[cfg(all(os_thread_local_backend = "pthread", feature = "alloc"))]
#[path = "posix_hooks.rs"]
mod hooks;
#[cfg(os_thread_local_backend = "pthread")]
#[path = "pthread.rs"]
mod imp;

#[cfg(os_thread_local_backend = "fls")]
#[path = "fls.rs"]
mod imp;

#[cfg(os_thread_local_backend = "single")]
#[path = "single.rs"]
mod imp;

// Elsewhere it is there for its documentation.
#[cfg(any(os_thread_local_backend = "custom", doc))]
#[cfg_attr(not(os_thread_local_backend = "custom"), allow(dead_code))]
pub mod custom;
#[cfg(os_thread_local_backend = "custom")]
use self::custom as imp;

#[cfg(os_thread_local_backend = "unsupported")]
#[path = "unsupported.rs"]
mod imp;

#[cfg(feature = "alloc")]
pub(crate) mod direct;

#[cfg(all(os_thread_local_backend = "pthread", feature = "alloc"))]
pub(crate) use self::hooks::{at_thread_exit, has_exit_list, install_hooks, process_id, HAS_FORK};
pub(crate) use self::imp::*;

#[cfg(not(all(os_thread_local_backend = "pthread", feature = "alloc")))]
mod no_hooks {
    /// Processes are forked, and their children use the crate.
    pub(crate) const HAS_FORK: bool = false;

    /// Not 0, and different in a parent and its child.
    pub(crate) fn process_id() -> usize {
        1
    }

    /// Whether `at_thread_exit` registers anything.
    pub(crate) fn has_exit_list() -> bool {
        false
    }
}
#[cfg(not(all(os_thread_local_backend = "pthread", feature = "alloc")))]
#[cfg_attr(not(feature = "alloc"), allow(unused_imports))]
pub(crate) use self::no_hooks::*;

#[cfg(all(feature = "alloc", not(os_thread_local_backend = "custom")))]
pub(crate) fn create_root(destructor: Destructor) -> Option<Key> {
    create(Some(destructor))
}

/// # Safety
/// No other thread has seen the key, which `create_root` gave; its value is null.
#[cfg(all(feature = "alloc", not(os_thread_local_backend = "custom")))]
pub(crate) unsafe fn discard_root(key: Key) {
    // SAFETY: live, and not used again.
    unsafe { delete(key) }
}

/// A destructor as the OS calls it. `"system"` is the C convention everywhere but on 32-bit Windows.
pub(crate) type Destructor = unsafe extern "system" fn(*mut core::ffi::c_void);

/// What the crate wants to be told by the OS. Every function is safe to call at any time on any thread.
#[cfg(feature = "alloc")]
#[allow(dead_code)] // a backend connects what its OS has
pub(crate) struct Hooks {
    /// The calling thread is about to end, and C++'s and std's thread-locals still live. The argument is not used.
    pub(crate) thread_exit: unsafe extern "C" fn(*mut core::ffi::c_void),
    /// The process ends by `exit` or by returning from `main`; called on the thread that does it.
    pub(crate) process_exit: extern "C" fn(),
    /// `fork` is about to run, on this thread.
    pub(crate) before_fork: unsafe extern "C" fn(),
    /// `fork` has run or failed, in the parent, on the thread that called it.
    pub(crate) after_fork_in_parent: unsafe extern "C" fn(),
    /// `fork` has run, in the child.
    pub(crate) after_fork_in_child: unsafe extern "C" fn(),
}
