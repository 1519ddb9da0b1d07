use crate::{AccessError, ThreadLocal};
use core::cell::{Cell, RefCell};
use core::fmt;
use core::ops::Deref;

/// What [`thread_local!`](macro@crate::thread_local) declares: a constant that leads to a [`ThreadLocal`] in a static of its own.
///
/// It is `std::thread::LocalKey` in all but name: it has its stable methods, with the same type parameters in the same order, and it is a
/// constant, so that a declaration may stand in an `impl` or a `trait` block and initialize a field of another constant. It is
/// as fast as a `ThreadLocal` in a `static`.
///
/// It dereferences to the `ThreadLocal`, whose other methods ([`with_existing`](ThreadLocal::with_existing),
/// [`with_or`](ThreadLocal::with_or), [`prepare`](ThreadLocal::prepare), the `try_` forms) it thus has, too. `&*FOO` is a
/// `&'static ThreadLocal<T>` for code that takes one.
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
    /// A function, because constants of older compilers cannot refer to statics. The compiler sees through it.
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

    /// Calls `f` with this thread's value, which is made first if there is none. See [`ThreadLocal::with`].
    ///
    /// # Panics
    ///
    /// As [`ThreadLocal::with`] does.
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

    /// Calls `f` with this thread's value, which is made first if there is none. See [`ThreadLocal::try_with`].
    ///
    /// # Errors
    ///
    /// As [`ThreadLocal::try_with`] does.
    ///
    /// # Panics
    ///
    /// As [`ThreadLocal::try_with`] does.
    ///
    /// ```
    /// os_thread_local::thread_local!(static NAME: String = String::from("main"));
    ///
    /// assert_eq!(NAME.try_with(|name| name.len()), Ok(4));
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
    /// Sets this thread's value. If there is none yet, the initializer is not run.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with) does, but for the initializer.
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

    /// A copy of this thread's value.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with) does.
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

    /// Takes this thread's value and leaves `T::default()`.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with) does.
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

    /// Replaces this thread's value and gives the old one.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with) does.
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

    /// Replaces this thread's value by what `f` makes of it.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with) does; and if `f` panics.
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
    /// Calls `f` with this thread's value, borrowed.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with) does; and if the value is mutably borrowed.
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

    /// Calls `f` with this thread's value, mutably borrowed.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with) does; and if the value is borrowed.
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

    /// Sets this thread's value. If there is none yet, the initializer is not run.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with) does, but for the initializer; and if the value is borrowed.
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

    /// Takes this thread's value and leaves `T::default()`.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with) does; and if the value is borrowed.
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

    /// Replaces this thread's value and gives the old one.
    ///
    /// # Panics
    ///
    /// As [`with`](Self::with) does; and if the value is borrowed.
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
    /// Shows no value, as std's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKey").finish_non_exhaustive()
    }
}
