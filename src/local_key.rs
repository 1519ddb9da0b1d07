use crate::{AccessError, ThreadLocal};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::Deref;

/// The type of the constants that [`thread_local!`](macro@crate::thread_local) declares, with the API of `std::thread::LocalKey`.
///
/// The constant refers to a [`ThreadLocal`] in a `static` of its own. The type has the stable methods of `std::thread::LocalKey`, with
/// the same type parameters in the same order. Because it is a constant, a declaration can be in an `impl` block or a `trait`,
/// and can initialize a field of another constant. Access is as fast as to a `ThreadLocal` in a `static`.
///
/// A `LocalKey` dereferences to its `ThreadLocal` and has the other methods too:
/// [`with_existing`](ThreadLocal::with_existing), [`with_or`](ThreadLocal::with_or), [`prepare`](ThreadLocal::prepare) and the `try_`
/// forms. For a function that takes a `&'static ThreadLocal<T>`, pass `&*FOO`.
///
/// [`ThreadLocal`] describes when values are destroyed, the differences between platforms, and the use of memory.
///
/// # Examples
///
/// ```
/// use os_thread_local::{thread_local, LocalKey};
/// use std::cell::Cell;
///
/// struct Scope {
///     depth: LocalKey<Cell<u32>>,
/// }
///
/// impl Scope {
///     thread_local! {
///         static DEPTH: Cell<u32> = const { Cell::new(0) };
///     }
/// }
///
/// static SCOPE: Scope = Scope { depth: Scope::DEPTH };
///
/// SCOPE.depth.set(1);
/// assert_eq!(Scope::DEPTH.get(), 1);
/// assert_eq!(SCOPE.depth.try_get(), Ok(1));
/// ```
pub struct LocalKey<T: 'static> {
    /// A function, because constants cannot refer to statics before Rust 1.83. The optimizer inlines it.
    object: fn() -> &'static ThreadLocal<T>,
}

impl<T: 'static> LocalKey<T> {
    #[doc(hidden)]
    pub const fn __new(object: fn() -> &'static ThreadLocal<T>) -> Self {
        LocalKey { object }
    }

    #[inline(always)]
    fn object(&self) -> &'static ThreadLocal<T> {
        (self.object)()
    }

    /// Calls `f` with this thread's value, which the initializer creates on first use.
    ///
    /// See [`ThreadLocal::with`].
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`ThreadLocal::with`].
    ///
    /// # Examples
    ///
    /// ```
    /// os_thread_local::thread_local!(static NAME: String = String::from("main"));
    ///
    /// assert_eq!(NAME.with(|name| name.len()), 4);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.object().with(f)
    }

    /// Calls `f` with this thread's value, which the initializer creates on first use, or returns an error.
    ///
    /// Use it in code that may run while the thread exits. See [`ThreadLocal::try_with`].
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`ThreadLocal::try_with`].
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`ThreadLocal::try_with`].
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::thread_local;
    /// use std::cell::RefCell;
    ///
    /// thread_local!(static LOG: RefCell<Vec<&'static str>> = RefCell::new(Vec::new()));
    ///
    /// struct Connection;
    ///
    /// impl Drop for Connection {
    ///     fn drop(&mut self) {
    ///         // If the thread is exiting, it may already have destroyed `LOG`.
    ///         let _ = LOG.try_with(|log| log.borrow_mut().push("closed"));
    ///     }
    /// }
    ///
    /// drop(Connection);
    /// assert_eq!(LOG.take(), ["closed"]);
    /// ```
    #[inline]
    pub fn try_with<F, R>(&'static self, f: F) -> Result<R, AccessError>
    where
        F: FnOnce(&T) -> R,
    {
        self.object().try_with(f)
    }
}

impl<T: 'static> LocalKey<Cell<T>> {
    /// Sets this thread's value; if there is none, creates it without the initializer.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`with`](Self::with), except that the initializer does not run.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// os_thread_local::thread_local!(static X: Cell<i32> = panic!("not run"));
    ///
    /// X.set(123);
    /// assert_eq!(X.get(), 123);
    /// ```
    #[inline]
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.object().set(value)
    }

    /// Returns a copy of this thread's value.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// os_thread_local::thread_local!(static X: Cell<i32> = Cell::new(1));
    ///
    /// assert_eq!(X.get(), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn get(&'static self) -> T
    where
        T: Copy,
    {
        self.object().get()
    }

    /// Takes this thread's value and leaves `T::default()` in its place.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// os_thread_local::thread_local!(static X: Cell<Option<i32>> = Cell::new(Some(1)));
    ///
    /// assert_eq!(X.take(), Some(1));
    /// assert_eq!(X.take(), None);
    /// ```
    #[inline]
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.object().take()
    }

    /// Replaces this thread's value and returns the old one.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// os_thread_local::thread_local!(static X: Cell<i32> = Cell::new(1));
    ///
    /// assert_eq!(X.replace(2), 1);
    /// assert_eq!(X.replace(3), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.object().replace(value)
    }

    /// Applies `f` to a copy of this thread's value and stores the result.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::Cell;
    ///
    /// os_thread_local::thread_local!(static X: Cell<i32> = Cell::new(1));
    ///
    /// X.update(|x| x + 1);
    /// assert_eq!(X.get(), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn update(&'static self, f: impl FnOnce(T) -> T)
    where
        T: Copy,
    {
        self.object().update(f)
    }
}

impl<T: 'static> LocalKey<RefCell<T>> {
    /// Calls `f` with a shared borrow of this thread's value.
    ///
    /// # Panics
    ///
    /// Panics if the value is already mutably borrowed, and in the same cases as [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// os_thread_local::thread_local!(static X: RefCell<Vec<i32>> = RefCell::new(vec![1]));
    ///
    /// assert_eq!(X.with_borrow(|v| v.len()), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with_borrow<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&T) -> R,
    {
        self.object().with_borrow(f)
    }

    /// Calls `f` with a mutable borrow of this thread's value.
    ///
    /// # Panics
    ///
    /// Panics if the value is already borrowed, and in the same cases as [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// os_thread_local::thread_local!(static X: RefCell<Vec<i32>> = RefCell::new(vec![1]));
    ///
    /// X.with_borrow_mut(|v| v.push(2));
    /// assert_eq!(X.with_borrow(|v| v.len()), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with_borrow_mut<F, R>(&'static self, f: F) -> R
    where
        F: FnOnce(&mut T) -> R,
    {
        self.object().with_borrow_mut(f)
    }

    /// Sets this thread's value; if there is none, creates it without the initializer.
    ///
    /// # Panics
    ///
    /// Panics if the value is already borrowed, and in the same cases as [`with`](Self::with), except that the initializer
    /// does not run.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// os_thread_local::thread_local!(static X: RefCell<Vec<i32>> = panic!("not run"));
    ///
    /// X.set(vec![1, 2, 3]);
    /// assert_eq!(X.with_borrow(|v| v.len()), 3);
    /// ```
    #[inline]
    #[track_caller]
    pub fn set(&'static self, value: T) {
        self.object().set(value)
    }

    /// Takes this thread's value and leaves `T::default()` in its place.
    ///
    /// # Panics
    ///
    /// Panics if the value is already borrowed, and in the same cases as [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// os_thread_local::thread_local!(static X: RefCell<Vec<i32>> = RefCell::new(vec![1]));
    ///
    /// assert_eq!(X.take(), [1]);
    /// assert_eq!(X.take(), []);
    /// ```
    #[inline]
    #[track_caller]
    pub fn take(&'static self) -> T
    where
        T: Default,
    {
        self.object().take()
    }

    /// Replaces this thread's value and returns the old one.
    ///
    /// # Panics
    ///
    /// Panics if the value is already borrowed, and in the same cases as [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::cell::RefCell;
    ///
    /// os_thread_local::thread_local!(static X: RefCell<i32> = RefCell::new(1));
    ///
    /// assert_eq!(X.replace(2), 1);
    /// assert_eq!(X.replace(3), 2);
    /// ```
    #[inline]
    #[track_caller]
    pub fn replace(&'static self, value: T) -> T {
        self.object().replace(value)
    }
}

impl<T: 'static> Deref for LocalKey<T> {
    type Target = ThreadLocal<T>;

    #[inline]
    fn deref(&self) -> &ThreadLocal<T> {
        self.object()
    }
}

impl<T: 'static> fmt::Debug for LocalKey<T> {
    /// Formats the name of the type without a value, like `std::thread::LocalKey`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}
