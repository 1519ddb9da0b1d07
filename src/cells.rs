//! The methods of `std::thread::LocalKey` for `Cell` and `RefCell`, with the same meaning, and their `try_` forms.

use crate::per_thread::PerThread;
use crate::thread_local::{panic_access, ThreadLocal};
use crate::AccessError;
use core::cell::{Cell, RefCell};
use core::mem;

/// Defines the methods of one of the two types. `$bound` is the bound of that type on every `T`.
macro_rules! cell_methods {
    ($type:ident, $bound:tt) => {
        impl<T: $bound, F> $type<Cell<T>, F> {
            /// Sets this thread's value; if there is none, creates it without the initializer.
            ///
            /// # Panics
            ///
            /// Panics if [`try_set`](Self::try_set) would return an error, and in the same cases as `try_set`.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!("static X: ", stringify!($type), "<Cell<i32>> = ", stringify!($type), "::new(|| panic!(\"not run\"));")]
            /// X.set(123);
            /// assert_eq!(X.get(), 123);
            /// ```
            #[inline]
            #[track_caller]
            pub fn set(&self, value: T) {
                if let Err(error) = self.set_or_make(value, Cell::new, Cell::set) {
                    panic_access(stringify!($type), error)
                }
            }

            /// Sets this thread's value, or returns an error; if there is no value, creates it without the initializer.
            ///
            /// # Errors
            ///
            #[doc = concat!("Returns the same errors as [`try_with`](", stringify!($type), "::try_with). `value` is dropped then.")]
            ///
            /// # Panics
            ///
            #[doc = concat!("Panics if a destructor panics: that of the old value, or one that a first use runs (see [`try_with`](", stringify!($type), "::try_with)).")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// assert_eq!(x.try_set(2), Ok(()));
            /// assert_eq!(x.get(), 2);
            /// ```
            #[inline]
            pub fn try_set(&self, value: T) -> Result<(), AccessError> {
                self.set_or_make(value, Cell::new, Cell::set).map(drop)
            }
        }

        impl<T: $bound, F: Fn() -> Cell<T>> $type<Cell<T>, F> {
            /// Returns a copy of this thread's value.
            ///
            /// # Panics
            ///
            /// Panics in the same cases as [`with`](Self::with).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// assert_eq!(x.get(), 1);
            /// ```
            #[inline]
            #[track_caller]
            #[must_use]
            pub fn get(&self) -> T
            where
                T: Copy,
            {
                self.with(Cell::get)
            }

            /// Returns a copy of this thread's value, or an error.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`try_with`](Self::try_with).
            ///
            /// # Panics
            ///
            /// Panics in the same cases as [`try_with`](Self::try_with).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// assert_eq!(x.try_get(), Ok(1));
            /// ```
            #[inline]
            pub fn try_get(&self) -> Result<T, AccessError>
            where
                T: Copy,
            {
                self.try_with(Cell::get)
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
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| Cell::new(Some(1)));")]
            /// assert_eq!(x.take(), Some(1));
            /// assert_eq!(x.take(), None);
            /// ```
            #[inline]
            #[track_caller]
            pub fn take(&self) -> T
            where
                T: Default,
            {
                self.with(Cell::take)
            }

            /// Takes this thread's value and leaves `T::default()` in its place, or returns an error.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`try_with`](Self::try_with).
            ///
            /// # Panics
            ///
            /// Panics in the same cases as [`try_with`](Self::try_with).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| Cell::new(Some(1)));")]
            /// assert_eq!(x.try_take(), Ok(Some(1)));
            /// assert_eq!(x.try_take(), Ok(None));
            /// ```
            #[inline]
            pub fn try_take(&self) -> Result<T, AccessError>
            where
                T: Default,
            {
                self.try_with(Cell::take)
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
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// assert_eq!(x.replace(2), 1);
            /// assert_eq!(x.replace(3), 2);
            /// ```
            #[inline]
            #[track_caller]
            pub fn replace(&self, value: T) -> T {
                self.with(|cell| cell.replace(value))
            }

            /// Replaces this thread's value and returns the old one, or an error.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`try_with`](Self::try_with). `value` is dropped then.
            ///
            /// # Panics
            ///
            /// Panics in the same cases as [`try_with`](Self::try_with).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// assert_eq!(x.try_replace(2), Ok(1));
            /// ```
            #[inline]
            pub fn try_replace(&self, value: T) -> Result<T, AccessError> {
                self.try_with(|cell| cell.replace(value))
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
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// x.update(|n| n + 1);
            /// assert_eq!(x.get(), 2);
            /// ```
            #[inline]
            #[track_caller]
            pub fn update(&self, f: impl FnOnce(T) -> T)
            where
                T: Copy,
            {
                self.with(|cell| cell.set(f(cell.get())))
            }

            /// Applies `f` to a copy of this thread's value and stores the result, or returns an error.
            ///
            /// # Errors
            ///
            /// Returns the same errors as [`try_with`](Self::try_with).
            ///
            /// # Panics
            ///
            /// Panics in the same cases as [`try_with`](Self::try_with).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// assert_eq!(x.try_update(|n| n + 1), Ok(()));
            /// assert_eq!(x.get(), 2);
            /// ```
            #[inline]
            pub fn try_update(&self, f: impl FnOnce(T) -> T) -> Result<(), AccessError>
            where
                T: Copy,
            {
                self.try_with(|cell| cell.set(f(cell.get())))
            }
        }

        impl<T: $bound, F> $type<RefCell<T>, F> {
            /// Sets this thread's value; if there is none, creates it without the initializer.
            ///
            /// # Panics
            ///
            /// Panics if [`try_set`](Self::try_set) would return an error, and in the same cases as `try_set`.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!("static X: ", stringify!($type), "<RefCell<Vec<i32>>> =")]
            #[doc = concat!("    ", stringify!($type), "::new(|| panic!(\"not run\"));")]
            /// X.set(vec![1, 2, 3]);
            /// assert_eq!(X.with_borrow(Vec::len), 3);
            /// ```
            #[inline]
            #[track_caller]
            pub fn set(&self, value: T) {
                if let Err(error) = self.try_set(value) {
                    panic_access(stringify!($type), error)
                }
            }

            /// Sets this thread's value, or returns an error; if there is no value, creates it without the initializer.
            ///
            /// # Errors
            ///
            /// - [`Borrowed`](AccessError::Borrowed): the value is already borrowed.
            #[doc = concat!("- The errors of [`try_with`](", stringify!($type), "::try_with).")]
            ///
            /// `value` is dropped then.
            ///
            /// # Panics
            ///
            #[doc = concat!("Panics if a destructor panics: that of the old value, or one that a first use runs (see [`try_with`](", stringify!($type), "::try_with)).")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::{AccessError, ", stringify!($type), "};")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.try_set(vec![2]), Ok(()));
            /// x.with_borrow(|_| assert_eq!(x.try_set(vec![]), Err(AccessError::Borrowed)));
            /// ```
            #[inline]
            pub fn try_set(&self, value: T) -> Result<(), AccessError> {
                self.set_or_make(value, RefCell::new, try_set)?.unwrap_or(Ok(()))
            }
        }

        impl<T: $bound, F: Fn() -> RefCell<T>> $type<RefCell<T>, F> {
            /// Calls `f` with a shared borrow of this thread's value.
            ///
            /// # Panics
            ///
            /// Panics if the value is already mutably borrowed, and in the same cases as [`with`](Self::with).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.with_borrow(Vec::len), 1);
            /// ```
            #[inline]
            #[track_caller]
            pub fn with_borrow<R, G: FnOnce(&T) -> R>(&self, f: G) -> R {
                match self.try_with_borrow(f) {
                    Ok(result) => result,
                    Err(error) => panic_access(stringify!($type), error),
                }
            }

            /// Calls `f` with a shared borrow of this thread's value, or returns an error.
            ///
            /// # Errors
            ///
            /// - [`Borrowed`](AccessError::Borrowed): the value is already mutably borrowed.
            /// - The errors of [`try_with`](Self::try_with).
            ///
            /// # Panics
            ///
            /// Panics in the same cases as [`try_with`](Self::try_with).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::{AccessError, ", stringify!($type), "};")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.try_with_borrow(Vec::len), Ok(1));
            /// x.with_borrow_mut(|_| {
            ///     assert_eq!(x.try_with_borrow(Vec::len), Err(AccessError::Borrowed));
            /// });
            /// ```
            #[inline]
            pub fn try_with_borrow<R, G: FnOnce(&T) -> R>(&self, f: G) -> Result<R, AccessError> {
                self.try_with(|cell| match cell.try_borrow() {
                    Ok(value) => Ok(f(&value)),
                    Err(_) => Err(AccessError::Borrowed),
                })?
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
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// x.with_borrow_mut(|v| v.push(2));
            /// assert_eq!(x.with_borrow(Vec::len), 2);
            /// ```
            #[inline]
            #[track_caller]
            pub fn with_borrow_mut<R, G: FnOnce(&mut T) -> R>(&self, f: G) -> R {
                match self.try_with_borrow_mut(f) {
                    Ok(result) => result,
                    Err(error) => panic_access(stringify!($type), error),
                }
            }

            /// Calls `f` with a mutable borrow of this thread's value, or returns an error.
            ///
            /// # Errors
            ///
            /// - [`Borrowed`](AccessError::Borrowed): the value is already borrowed.
            /// - The errors of [`try_with`](Self::try_with).
            ///
            /// # Panics
            ///
            /// Panics in the same cases as [`try_with`](Self::try_with).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::{AccessError, ", stringify!($type), "};")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.try_with_borrow_mut(|v| v.push(2)), Ok(()));
            /// x.with_borrow(|_| {
            ///     assert_eq!(x.try_with_borrow_mut(|v| v.push(3)), Err(AccessError::Borrowed));
            /// });
            /// ```
            #[inline]
            pub fn try_with_borrow_mut<R, G: FnOnce(&mut T) -> R>(&self, f: G) -> Result<R, AccessError> {
                self.try_with(|cell| match cell.try_borrow_mut() {
                    Ok(mut value) => Ok(f(&mut value)),
                    Err(_) => Err(AccessError::Borrowed),
                })?
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
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.take(), [1]);
            /// assert!(x.take().is_empty());
            /// ```
            #[inline]
            #[track_caller]
            pub fn take(&self) -> T
            where
                T: Default,
            {
                match self.try_with(try_take) {
                    Ok(Ok(result)) => result,
                    Ok(Err(error)) | Err(error) => panic_access(stringify!($type), error),
                }
            }

            /// Takes this thread's value and leaves `T::default()` in its place, or returns an error.
            ///
            /// # Errors
            ///
            /// - [`Borrowed`](AccessError::Borrowed): the value is already borrowed.
            /// - The errors of [`try_with`](Self::try_with).
            ///
            /// # Panics
            ///
            /// Panics in the same cases as [`try_with`](Self::try_with).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::{AccessError, ", stringify!($type), "};")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.try_take(), Ok(vec![1]));
            /// x.with_borrow(|_| assert_eq!(x.try_take(), Err(AccessError::Borrowed)));
            /// ```
            #[inline]
            pub fn try_take(&self) -> Result<T, AccessError>
            where
                T: Default,
            {
                self.try_with(|cell| try_take(cell))?
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
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| RefCell::new(1));")]
            /// assert_eq!(x.replace(2), 1);
            /// assert_eq!(x.replace(3), 2);
            /// ```
            #[inline]
            #[track_caller]
            pub fn replace(&self, value: T) -> T {
                match self.try_with(|cell| try_replace(cell, value)) {
                    Ok(Ok(result)) => result,
                    Ok(Err(error)) | Err(error) => panic_access(stringify!($type), error),
                }
            }

            /// Replaces this thread's value and returns the old one, or an error.
            ///
            /// # Errors
            ///
            /// - [`Borrowed`](AccessError::Borrowed): the value is already borrowed.
            /// - The errors of [`try_with`](Self::try_with).
            ///
            /// `value` is dropped then.
            ///
            /// # Panics
            ///
            /// Panics in the same cases as [`try_with`](Self::try_with).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!("let x = ", stringify!($type), "::new(|| RefCell::new(1));")]
            /// assert_eq!(x.try_replace(2), Ok(1));
            /// ```
            #[inline]
            pub fn try_replace(&self, value: T) -> Result<T, AccessError> {
                self.try_with(|cell| try_replace(cell, value))?
            }
        }
    };
}

/// Swaps, so that the old value is dropped when the cell is not borrowed any more.
#[inline]
fn try_set<T>(cell: &RefCell<T>, mut value: T) -> Result<(), AccessError> {
    mem::swap(&mut *cell.try_borrow_mut().map_err(|_| AccessError::Borrowed)?, &mut value);
    Ok(())
}

#[inline]
fn try_replace<T>(cell: &RefCell<T>, value: T) -> Result<T, AccessError> {
    let mut place = cell.try_borrow_mut().map_err(|_| AccessError::Borrowed)?;
    Ok(mem::replace(&mut *place, value))
}

#[inline]
fn try_take<T: Default>(cell: &RefCell<T>) -> Result<T, AccessError> {
    // `default` is the user's code: it runs before the borrow.
    try_replace(cell, T::default())
}

cell_methods!(ThreadLocal, 'static);
cell_methods!(PerThread, Send);
