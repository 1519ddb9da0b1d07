use core::fmt;

/// The reason why a thread-local value could not be accessed.
///
/// The `try_` methods return it. Methods without `try_` in their names panic with the same text.
///
/// Code that may run while a thread exits, such as an implementation of [`Drop`], should handle [`Destroyed`](Self::Destroyed).
/// [`OutOfKeys`](Self::OutOfKeys) and [`OutOfMemory`](Self::OutOfMemory) leave nothing behind: the same call can succeed later.
///
/// # Examples
///
#[cfg_attr(feature = "alloc", doc = "```")]
#[cfg_attr(not(feature = "alloc"), doc = "```ignore")]
/// use os_thread_local::{AccessError, ThreadLocal};
///
/// static ANSWER: ThreadLocal<u32> = ThreadLocal::new(|| 42);
///
/// match ANSWER.try_with(|answer| *answer) {
///     Ok(answer) => assert_eq!(answer, 42),
///     Err(AccessError::Destroyed) => println!("the thread is exiting"),
///     Err(error) => println!("{}", error),
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AccessError {
    /// The value has been destroyed, or is being destroyed, because its thread is exiting.
    Destroyed,
    /// The thread is creating the value: its initializer, or the global allocator on behalf of the crate, tried to access it.
    ///
    /// The initializer need not do so itself. While it waits in a work-stealing scheduler, the same thread may run another job, which
    /// accesses the value. Do not wait in an initializer: compute what it needs before the access, and pass it to `with_or` or `set`.
    ///
    /// A value belongs to the thread where its initializer began.
    Recursive,
    /// The operating system has no free key.
    ///
    /// All objects of a process together need one key. POSIX systems limit the number of keys to `PTHREAD_KEYS_MAX`
    /// (`pthread_key_create(3p)`), Windows to the number of FLS indexes (`FlsAlloc`). A custom backend has one key.
    OutOfKeys,
    /// The allocator, or the operating system, has no memory for the value or for the crate's tables.
    OutOfMemory,
    /// The value is a [`RefCell`](core::cell::RefCell), or a `BorrowCell` in a `PerThread`, that this thread has already borrowed.
    ///
    /// Only the `try_` methods for such values, and `borrow_mut_or_try`, return this. The corresponding methods without `try` panic.
    ///
    /// The borrow need not be in the same function. While a closure of `with_borrow_mut` waits in a work-stealing scheduler, or while a
    /// guard exists, the same thread may run another job, which borrows the value, too. End the borrow before a wait, or handle the error.
    Borrowed,
}

impl fmt::Display for AccessError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AccessError::Destroyed => {
                "the thread is exiting and has destroyed the value; use a `try_` method in code that destructors call"
            }
            AccessError::Recursive => {
                "the thread is creating the value; its initializer, an allocator or a stolen job that the thread runs meanwhile must not access it"
            }
            AccessError::OutOfKeys => {
                "the operating system has no free thread-local key; other code in this process uses all of them"
            }
            AccessError::OutOfMemory => "out of memory for the thread-local value; a later call can succeed",
            AccessError::Borrowed => {
                "the thread has already borrowed the cell in the thread-local value; end that borrow first, also before waiting in a work-stealing scheduler"
            }
        })
    }
}

#[cfg(feature = "std")]
impl std::error::Error for AccessError {}

/// The error of `with_or_try`: the initializer failed, or the storage did.
///
/// # Examples
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
    /// The initializer returned this error.
    Init(E),
    /// The value could not be accessed or created.
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
    /// Returns the source of the initializer's error, because `Display` already shows that error.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            InitError::Init(error) => error.source(),
            InitError::Access(_) => None,
        }
    }
}
