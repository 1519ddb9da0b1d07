//! Hooks for the ends of threads and processes and for forks, and how a thread yields.

#[cfg(feature = "alloc")]
use core::ffi::c_void;

/// What a backend can provide in addition to keys. A system that lacks a function uses the default.
pub(crate) trait Threads {
    /// Yields to another thread, which may hold the lock that this one waits for.
    fn yield_now() {}

    /// Whether a process can be forked and its child can use the crate.
    #[cfg(feature = "alloc")]
    const HAS_FORK: bool = false;

    /// The process's id, which is not 0. A parent and its child have different ids, except for the first processes of two process-id
    /// namespaces.
    #[cfg(feature = "alloc")]
    fn process_id() -> usize {
        1
    }

    /// An id of the calling thread, if the system's `Keys::set` may allocate.
    #[cfg(feature = "alloc")]
    fn thread_id() -> usize {
        0
    }

    /// Installs the hooks that the system supports, and pins the library that contains them. Returns whether the fork handlers are
    /// installed. Called once, by the first thread that makes a record; other threads do not wait for it.
    #[cfg(feature = "alloc")]
    fn install_hooks(_: &'static Hooks) -> bool {
        false
    }

    /// Registers `Hooks::thread_exit` in the calling thread's exit list; without such a list, `Hooks::process_exit`, once per process. Called
    /// when a thread makes its first value with a destructor.
    #[cfg(feature = "alloc")]
    fn at_thread_exit(_: &'static Hooks) {}

    /// Whether the process is ending and the system has killed all other threads, wherever they were.
    fn other_threads_were_killed() -> bool {
        false
    }
}

/// The hooks that the operating system calls. Each may be called at any time on any thread.
#[cfg(feature = "alloc")]
#[allow(dead_code)] // a backend connects what its system has
pub(crate) struct Hooks {
    /// Called when the calling thread ends, while C++'s and std's thread-locals are still usable. The argument is ignored.
    pub(crate) thread_exit: unsafe extern "C" fn(*mut c_void),
    /// Called when the process ends, on the thread that calls `exit` or returns from `main`.
    pub(crate) process_exit: extern "C" fn(),
    /// Called before `fork`, on the forking thread.
    pub(crate) before_fork: unsafe extern "C" fn(),
    /// Called after `fork` in the parent, also if it failed, on the forking thread.
    pub(crate) after_fork_in_parent: unsafe extern "C" fn(),
    /// Called after `fork` in the child.
    pub(crate) after_fork_in_child: unsafe extern "C" fn(),
}

#[cfg(os_thread_local_backend = "pthread")]
mod posix;

#[cfg(os_thread_local_backend = "fls")]
mod windows;

/// Systems without threads have no hooks. With a custom backend the program calls `task_exit`.
#[cfg(not(any(
    os_thread_local_backend = "pthread",
    os_thread_local_backend = "fls",
    os_thread_local_backend = "custom",
    os_thread_local_backend = "model",
)))]
impl Threads for super::System {}
