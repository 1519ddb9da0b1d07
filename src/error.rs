use core::fmt;

/// Why a thread-local value could not be reached.
///
/// Every variant names one cause. `ThreadLocal::with` panics with the same text.
///
#[cfg_attr(feature = "alloc", doc = "```")]
#[cfg_attr(not(feature = "alloc"), doc = "```ignore")]
/// use os_thread_local::{AccessError, ThreadLocal};
///
/// static ANSWER: ThreadLocal<u32> = ThreadLocal::new(|| 42);
///
/// match ANSWER.try_with(|answer| *answer) {
///     Ok(answer) => assert_eq!(answer, 42),
///     Err(AccessError::Destroyed) => println!("this thread is about to end"),
///     Err(other) => println!("{}", other),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccessError {
    /// This thread's value has been destroyed, or is being destroyed: the thread is exiting.
    Destroyed,
    /// The value is being initialized by this thread: its initializer, or an allocation made for it, uses it.
    Recursive,
    /// The operating system has no key left for this process.
    OutOfKeys,
    /// The memory for the value, or for the tables that find it, could not be allocated.
    OutOfMemory,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AccessError::Destroyed => "the thread-local value is already destroyed: the thread is exiting",
            AccessError::Recursive => {
                "the thread-local value is being initialized: its initializer must not use it"
            }
            AccessError::OutOfKeys => {
                "the operating system has no thread-local key left: another part of the process holds them all"
            }
            AccessError::OutOfMemory => "out of memory for a thread-local value",
        })
    }
}

#[cfg(feature = "std")]
impl std::error::Error for AccessError {}
