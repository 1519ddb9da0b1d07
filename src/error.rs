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
    /// The value is a `RefCell`, and it is borrowed: from the `try_` methods for `RefCell`s alone, which would have to panic otherwise.
    Borrowed,
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
            AccessError::Borrowed => "the `RefCell` that is the thread-local value is already borrowed",
        })
    }
}

#[cfg(feature = "std")]
impl std::error::Error for AccessError {}

/// Why `with_or_try` gave no value: its initializer failed, or the storage did.
///
#[cfg_attr(feature = "std", doc = "```")]
#[cfg_attr(not(feature = "std"), doc = "```ignore")]
/// use os_thread_local::{InitError, NoInit, ThreadLocal};
///
/// static NUMBER: ThreadLocal<u32, NoInit> = ThreadLocal::without_init();
///
/// fn number(text: &str) -> Result<u32, Box<dyn std::error::Error>> {
///     Ok(NUMBER.with_or_try(|| text.parse(), |n| *n)?)
/// }
/// let error = number("four").unwrap_err();
/// assert!(matches!(
///     error.downcast_ref::<InitError<std::num::ParseIntError>>(),
///     Some(InitError::Init(_))
/// ));
/// assert_eq!(number("4").unwrap(), 4);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum InitError<E> {
    /// The initializer that was given to the call failed.
    Init(E),
    /// The storage of the thread-local value could not be reached.
    Access(AccessError),
}

impl<E> From<AccessError> for InitError<E> {
    fn from(error: AccessError) -> Self {
        InitError::Access(error)
    }
}

impl<E: fmt::Display> fmt::Display for InitError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InitError::Init(error) => fmt::Display::fmt(error, f),
            InitError::Access(error) => fmt::Display::fmt(error, f),
        }
    }
}

#[cfg(feature = "std")]
impl<E: std::error::Error> std::error::Error for InitError<E> {
    /// The source of the error that it holds, whose text it shows.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            InitError::Init(error) => error.source(),
            InitError::Access(_) => None,
        }
    }
}
