//! What `std::thread::LocalKey` has for `Cell` and `RefCell`, with the same meaning.

use crate::per_thread::PerThread;
use crate::thread_local::{panic_access, ThreadLocal};
use core::cell::{Cell, RefCell};

/// Sets a cell without running its initializer: a thread that has no value yet gets one made of `value`.
macro_rules! set_or_make {
    ($type:ident, $tls:expr, $make:expr, $value:expr, |$cell:ident, $rest:ident| $set:expr) => {{
        let value = Cell::new(Some($value));
        // The initializer runs once at the most, and before the closure.
        let init = || $make(value.take().unwrap_or_else(|| unreachable!()));
        let result = $tls.with_init(init, |$cell| {
            if let Some($rest) = value.take() {
                $set
            }
        });
        if let Err(error) = result {
            panic_access(stringify!($type), error)
        }
    }};
}

/// The methods of one of the two types; `$bound` is what it asks of every `T`.
macro_rules! cell_methods {
    ($type:ident, $bound:tt) => {
        impl<T: $bound, F: Fn() -> Cell<T>> $type<Cell<T>, F> {
            /// Sets this thread's value. If there is none yet, the initializer is not run.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" static X: ", stringify!($type), "<Cell<i32>> = ", stringify!($type), "::new(|| panic!(\"not run\"));")]
            /// X.set(123);
            /// assert_eq!(X.get(), 123);
            /// ```
            #[track_caller]
            pub fn set(&self, value: T) {
                set_or_make!($type, self, Cell::new, value, |cell, rest| cell.set(rest))
            }

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
            pub fn get(&self) -> T
            where
                T: Copy,
            {
                self.with(Cell::get)
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
            #[track_caller]
            pub fn take(&self) -> T
            where
                T: Default,
            {
                self.with(Cell::take)
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
            #[track_caller]
            pub fn replace(&self, value: T) -> T {
                self.with(|cell| cell.replace(value))
            }

            /// Replaces this thread's value by what `f` makes of it.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with).
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::Cell;
            ///
            #[doc = concat!(" let x = ", stringify!($type), "::new(|| Cell::new(5));")]
            /// x.update(|n| n + 1);
            /// assert_eq!(x.get(), 6);
            /// ```
            #[track_caller]
            pub fn update(&self, f: impl FnOnce(T) -> T)
            where
                T: Copy,
            {
                self.with(|cell| cell.set(f(cell.get())))
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
            pub fn with_borrow<R>(&self, f: impl FnOnce(&T) -> R) -> R {
                self.with(|cell| f(&cell.borrow()))
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
            pub fn with_borrow_mut<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
                self.with(|cell| f(&mut cell.borrow_mut()))
            }

            /// Sets this thread's value. If there is none yet, the initializer is not run.
            ///
            /// # Panics
            ///
            /// As for [`with`](Self::with); and if the value is borrowed.
            ///
            /// ```
            #[doc = concat!(" use os_thread_local::", stringify!($type), ";")]
            /// use std::cell::RefCell;
            ///
            #[doc = concat!(" static X: ", stringify!($type), "<RefCell<Vec<i32>>> = ", stringify!($type), "::new(|| panic!(\"not run\"));")]
            /// X.set(vec![1, 2, 3]);
            /// assert_eq!(X.with_borrow(Vec::len), 3);
            /// ```
            #[track_caller]
            pub fn set(&self, value: T) {
                set_or_make!($type, self, RefCell::new, value, |cell, rest| drop(cell.replace(rest)))
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
            #[track_caller]
            pub fn take(&self) -> T
            where
                T: Default,
            {
                self.with(RefCell::take)
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
            #[track_caller]
            pub fn replace(&self, value: T) -> T {
                self.with(|cell| cell.replace(value))
            }
        }
    };
}

cell_methods!(ThreadLocal, 'static);
cell_methods!(PerThread, Send);
