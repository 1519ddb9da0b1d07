//! What `std::thread::LocalKey` has for `Cell` and `RefCell`, with the same meaning; and the same without a panic.

use crate::per_thread::PerThread;
use crate::thread_local::{panic_access, ThreadLocal};
use crate::AccessError;
use core::cell::{Cell, RefCell};
use core::mem;

/// The methods of one of the two types; `$bound` is what it asks of every `T`.
macro_rules! cell_methods {
    ($type:ident, $bound:tt) => {
        impl<T: $bound, F> $type<Cell<T>, F> {
            /// Sets this thread's value. If there is none yet, the initializer is not run.
            ///
            /// # Panics
            ///
            /// Where [`try_set`](Self::try_set) gives an error, and where it panics.
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" static X: ", stringify!($type), "<Cell<i32>> = ", stringify!($type), "::new(|| panic!(\"not run\"));")]
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

            /// Sets this thread's value. If there is none yet, the initializer is not run.
            ///
            /// # Errors
            ///
            #[doc = concat!(" As for [`try_with`](", stringify!($type), "::try_with); `value` is dropped then.")]
            ///
            /// # Panics
            ///
            #[doc = concat!(" If a destructor panics: that of the old value, or one that a first use runs (as for [`try_with`](", stringify!($type), "::try_with)).")]
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// assert_eq!(x.try_set(2), Ok(()));
            /// assert_eq!(x.get(), 2);
            /// ```
            #[inline]
            pub fn try_set(&self, value: T) -> Result<(), AccessError> {
                self.set_or_make(value, Cell::new, Cell::set).map(drop)
            }
        }

        impl<T: $bound, F: Fn() -> Cell<T>> $type<Cell<T>, F> {
            /// A copy of this thread's value.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| Cell::new(1));")]
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

            /// A copy of this thread's value.
            ///
            /// # Errors
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// # Panics
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// assert_eq!(x.try_get(), Ok(1));
            /// ```
            #[inline]
            pub fn try_get(&self) -> Result<T, AccessError>
            where
                T: Copy,
            {
                self.try_with(Cell::get)
            }

            /// Takes this thread's value and leaves `T::default()`.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| Cell::new(Some(1)));")]
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

            /// Takes this thread's value and leaves `T::default()`.
            ///
            /// # Errors
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// # Panics
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| Cell::new(Some(1)));")]
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

            /// Replaces this thread's value and gives the old one.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// assert_eq!(x.replace(2), 1);
            /// assert_eq!(x.replace(3), 2);
            /// ```
            #[inline]
            #[track_caller]
            pub fn replace(&self, value: T) -> T {
                self.with(|cell| cell.replace(value))
            }

            /// Replaces this thread's value and gives the old one.
            ///
            /// # Errors
            ///
            /// As for [`try_with`](Self::try_with); `value` is dropped then.
            ///
            /// # Panics
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| Cell::new(1));")]
            /// assert_eq!(x.try_replace(2), Ok(1));
            /// ```
            #[inline]
            pub fn try_replace(&self, value: T) -> Result<T, AccessError> {
                self.try_with(|cell| cell.replace(value))
            }

            /// Replaces this thread's value by what `f` makes of it.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with); and if `f` panics.
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| Cell::new(1));")]
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

            /// Replaces this thread's value by what `f` makes of it.
            ///
            /// # Errors
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// # Panics
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| Cell::new(1));")]
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
            /// Sets this thread's value. If there is none yet, the initializer is not run.
            ///
            /// # Panics
            ///
            /// Where [`try_set`](Self::try_set) gives an error, and where it panics.
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!(" static X: ", stringify!($type), "<RefCell<Vec<i32>>> = ", stringify!($type), "::new(|| panic!(\"not run\"));")]
            /// X.set(vec![1, 2, 3]);
            /// assert_eq!(X.with_borrow(Vec::len), 3);
            /// ```
            #[inline]
            #[track_caller]
            pub fn set(&self, value: T) {
                if let Err(error) = self.set_or_make(value, RefCell::new, RefCell::replace) {
                    panic_access(stringify!($type), error)
                }
            }

            /// Sets this thread's value. If there is none yet, the initializer is not run.
            ///
            /// # Errors
            ///
            #[doc = concat!(" As for [`try_with`](", stringify!($type), "::try_with); and [`Borrowed`](AccessError::Borrowed) if the value is borrowed. `value` is dropped")]
            /// then.
            ///
            /// # Panics
            ///
            #[doc = concat!(" If a destructor panics: that of the old value, or one that a first use runs (as for [`try_with`](", stringify!($type), "::try_with)).")]
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            /// use os_thread_local::AccessError;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.try_set(vec![2]), Ok(()));
            /// x.with_borrow(|_| assert_eq!(x.try_set(vec![]), Err(AccessError::Borrowed)));
            /// ```
            #[inline]
            pub fn try_set(&self, value: T) -> Result<(), AccessError> {
                match self.set_or_make(value, RefCell::new, try_replace)? {
                    Some(replaced) => replaced.map(drop),
                    None => Ok(()),
                }
            }
        }

        impl<T: $bound, F: Fn() -> RefCell<T>> $type<RefCell<T>, F> {
            /// Calls `f` with this thread's value, borrowed.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with); and if the value is mutably borrowed.
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.with_borrow(Vec::len), 1);
            /// ```
            #[inline]
            #[track_caller]
            pub fn with_borrow<R, G: FnOnce(&T) -> R>(&self, f: G) -> R {
                self.with(|cell| f(&cell.borrow()))
            }

            /// Calls `f` with this thread's value, borrowed.
            ///
            /// # Errors
            ///
            /// As for [`try_with`](Self::try_with); and [`Borrowed`](AccessError::Borrowed) if the value is mutably borrowed.
            ///
            /// # Panics
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            /// use os_thread_local::AccessError;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.try_with_borrow(Vec::len), Ok(1));
            /// x.with_borrow_mut(|_| assert_eq!(x.try_with_borrow(Vec::len), Err(AccessError::Borrowed)));
            /// ```
            #[inline]
            pub fn try_with_borrow<R, G: FnOnce(&T) -> R>(&self, f: G) -> Result<R, AccessError> {
                self.try_with(|cell| match cell.try_borrow() {
                    Ok(value) => Ok(f(&value)),
                    Err(_) => Err(AccessError::Borrowed),
                })?
            }

            /// Calls `f` with this thread's value, mutably borrowed.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with); and if the value is borrowed.
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// x.with_borrow_mut(|v| v.push(2));
            /// assert_eq!(x.with_borrow(Vec::len), 2);
            /// ```
            #[inline]
            #[track_caller]
            pub fn with_borrow_mut<R, G: FnOnce(&mut T) -> R>(&self, f: G) -> R {
                self.with(|cell| f(&mut cell.borrow_mut()))
            }

            /// Calls `f` with this thread's value, mutably borrowed.
            ///
            /// # Errors
            ///
            /// As for [`try_with`](Self::try_with); and [`Borrowed`](AccessError::Borrowed) if the value is borrowed.
            ///
            /// # Panics
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            /// use os_thread_local::AccessError;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.try_with_borrow_mut(|v| v.push(2)), Ok(()));
            /// x.with_borrow(|_| assert_eq!(x.try_with_borrow_mut(|v| v.push(3)), Err(AccessError::Borrowed)));
            /// ```
            #[inline]
            pub fn try_with_borrow_mut<R, G: FnOnce(&mut T) -> R>(&self, f: G) -> Result<R, AccessError> {
                self.try_with(|cell| match cell.try_borrow_mut() {
                    Ok(mut value) => Ok(f(&mut value)),
                    Err(_) => Err(AccessError::Borrowed),
                })?
            }

            /// Takes this thread's value and leaves `T::default()`.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with); and if the value is borrowed.
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
            /// assert_eq!(x.take(), [1]);
            /// assert!(x.take().is_empty());
            /// ```
            #[inline]
            #[track_caller]
            pub fn take(&self) -> T
            where
                T: Default,
            {
                self.with(RefCell::take)
            }

            /// Takes this thread's value and leaves `T::default()`.
            ///
            /// # Errors
            ///
            /// As for [`try_with`](Self::try_with); and [`Borrowed`](AccessError::Borrowed) if the value is borrowed.
            ///
            /// # Panics
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            /// use os_thread_local::AccessError;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| RefCell::new(vec![1]));")]
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

            /// Replaces this thread's value and gives the old one.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with); and if the value is borrowed.
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| RefCell::new(1));")]
            /// assert_eq!(x.replace(2), 1);
            /// assert_eq!(x.replace(3), 2);
            /// ```
            #[inline]
            #[track_caller]
            pub fn replace(&self, value: T) -> T {
                self.with(|cell| cell.replace(value))
            }

            /// Replaces this thread's value and gives the old one.
            ///
            /// # Errors
            ///
            /// As for [`try_with`](Self::try_with); and [`Borrowed`](AccessError::Borrowed) if the value is borrowed. `value` is dropped then.
            ///
            /// # Panics
            ///
            /// As for [`try_with`](Self::try_with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| RefCell::new(1));")]
            /// assert_eq!(x.try_replace(2), Ok(1));
            /// ```
            #[inline]
            pub fn try_replace(&self, value: T) -> Result<T, AccessError> {
                self.try_with(|cell| try_replace(cell, value))?
            }
        }
    };
}

fn try_replace<T>(cell: &RefCell<T>, value: T) -> Result<T, AccessError> {
    let mut place = cell.try_borrow_mut().map_err(|_| AccessError::Borrowed)?;
    Ok(mem::replace(&mut *place, value))
}

fn try_take<T: Default>(cell: &RefCell<T>) -> Result<T, AccessError> {
    let mut place = cell.try_borrow_mut().map_err(|_| AccessError::Borrowed)?;
    Ok(mem::take(&mut *place))
}

cell_methods!(ThreadLocal, 'static);
cell_methods!(PerThread, Send);
