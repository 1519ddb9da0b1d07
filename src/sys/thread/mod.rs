//! Threads and processes: what the system tells the crate of their ends and forks, and how a thread waits.

#[cfg(feature = "alloc")]
use core::ffi::c_void;

/// What a backend can provide beside keys. A system that lacks something takes the default.
pub(crate) trait Threads {
    /// Lets another thread run, which may hold the lock that this one waits for.
    fn yield_now() {}

    /// Processes are forked, and their children use the crate.
    #[cfg(feature = "alloc")]
    const HAS_FORK: bool = false;

    /// Not 0. Different in a parent and its child, but for the first processes of two process-id namespaces.
    #[cfg(feature = "alloc")]
    fn process_id() -> usize {
        1
    }

    /// Called once, by the first thread that gets a record; connects what the system has of `Hooks`, and keeps the code that will be
    /// called from being unloaded. Other threads do not wait for it. `true` if the fork handlers are installed.
    #[cfg(feature = "alloc")]
    fn install_hooks(_: &'static Hooks) -> bool {
        false
    }

    /// Whether `at_thread_exit` registers anything.
    #[cfg(feature = "alloc")]
    fn has_exit_list() -> bool {
        false
    }

    /// Called by each thread that makes a value with a destructor; registers `Hooks::thread_exit` in the thread's exit list.
    #[cfg(feature = "alloc")]
    fn at_thread_exit(_: &'static Hooks) {}

    /// The process is ending and the calling thread is the only one left, the others having been stopped wherever they were.
    fn other_threads_were_killed() -> bool {
        false
    }
}

/// What the crate wants to be told by the system. Every function is safe to call at any time on any thread.
#[cfg(feature = "alloc")]
#[allow(dead_code)] // a backend connects what its system has
pub(crate) struct Hooks {
    /// The calling thread is about to end, and C++'s and std's thread-locals still live. The argument is not used.
    pub(crate) thread_exit: unsafe extern "C" fn(*mut c_void),
    /// The process ends by `exit` or by returning from `main`; called on the thread that does it.
    pub(crate) process_exit: extern "C" fn(),
    /// `fork` is about to run, on this thread.
    pub(crate) before_fork: unsafe extern "C" fn(),
    /// `fork` has run or failed, in the parent, on the thread that called it.
    pub(crate) after_fork_in_parent: unsafe extern "C" fn(),
    /// `fork` has run, in the child.
    pub(crate) after_fork_in_child: unsafe extern "C" fn(),
}

#[cfg(os_thread_local_backend = "pthread")]
mod posix;

#[cfg(os_thread_local_backend = "fls")]
mod windows;

/// Nothing is told where there are no threads, or where the program itself says when a task ends.
#[cfg(not(any(
    os_thread_local_backend = "pthread",
    os_thread_local_backend = "fls",
    os_thread_local_backend = "custom",
    os_thread_local_backend = "model",
)))]
impl Threads for super::System {}
