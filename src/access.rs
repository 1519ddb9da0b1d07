//! The methods that `ThreadLocal` and `PerThread` share, with the same meaning.

use crate::per_thread::PerThread;
use crate::thread_local::{panic_access, ThreadLocal};
use crate::{AccessError, InitError};
use core::cell::Cell;

/// Defines the methods of one of the two types. `$bound` is the bound of that type on every `T`. The other arguments are texts: when
/// `with_existing` finds no value although there will be or was one, and when `init` is not called although the thread has no value.
macro_rules! access_methods {
    ($type:ident, $bound:tt, $not_there:literal, $not_called:literal) => {
        impl<T: $bound, F> $type<T, F> {
            /// Calls `f` with this thread's value, or returns `None` if there is none.
            ///
            #[doc = concat!("It neither creates a value nor allocates memory nor takes a lock. It also returns `None` ", $not_there, ".")]
            ///
            /// # Panics
            ///
            /// Panics if `f` panics.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            ///
            #[doc = concat!("let values = ", stringify!($type), "::new(|| 7);")]
            /// assert_eq!(values.with_existing(|v| *v), None);
            /// values.with(|_| ());
            /// assert_eq!(values.with_existing(|v| *v), Some(7));
            /// ```
            #[inline]
            pub fn with_existing<R, G: FnOnce(&T) -> R>(&self, f: G) -> Option<R> {
                self.slot.with_existing(f)
            }

            /// Calls `f` with this thread's value, which `init` creates if there is none.
            ///
            #[doc = concat!("`init` is called instead of the object's initializer", $not_called, ".")]
            ///
            /// # Panics
            ///
            /// Panics if [`try_with_or`](Self::try_with_or) would return an error, and in the same cases as `try_with_or`.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            ///
            #[doc = concat!("let name = ", stringify!($type), "::without_init();")]
            /// assert_eq!(name.with_or(|| String::from("main"), String::clone), "main");
            /// assert_eq!(name.with_or(|| String::from("unused"), String::clone), "main");
            /// ```
            #[doc(alias("get_or", "get_or_init"))]
            #[inline]
            #[track_caller]
            pub fn with_or<R>(&self, init: impl FnOnce() -> T, f: impl FnOnce(&T) -> R) -> R {
                match self.slot.with(init, f) {
                    Ok(result) => result,
                    Err(error) => panic_access(stringify!($type), error),
                }
            }

            /// Calls `f` with this thread's value, which `init` creates if there is none, or returns an error.
            ///
            #[doc = concat!("`init` is called instead of the object's initializer", $not_called, ".")]
            ///
            /// # Errors
            ///
            #[doc = concat!("Returns the same errors as [`try_with`](", stringify!($type), "::try_with).")]
            ///
            /// # Panics
            ///
            #[doc = concat!("Panics in the same cases as [`try_with`](", stringify!($type), "::try_with), with `init` as the initializer.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            ///
            #[doc = concat!("let name = ", stringify!($type), "::without_init();")]
            /// assert_eq!(name.try_with_or(|| String::from("main"), String::len), Ok(4));
            /// ```
            #[inline]
            pub fn try_with_or<R>(
                &self,
                init: impl FnOnce() -> T,
                f: impl FnOnce(&T) -> R,
            ) -> Result<R, AccessError> {
                self.slot.with(init, f)
            }

            /// Calls `f` with this thread's value, which the fallible `init` creates if there is none.
            ///
            #[doc = concat!("`init` is called instead of the object's initializer", $not_called, ".")]
            ///
            /// # Errors
            ///
            /// - [`InitError::Init`]: `init` returned an error. No value is stored, and the next access calls an initializer again.
            #[doc = concat!("- [`InitError::Access`]: an error of [`try_with`](", stringify!($type), "::try_with).")]
            ///
            /// # Panics
            ///
            #[doc = concat!("Panics in the same cases as [`try_with`](", stringify!($type), "::try_with), with `init` as the initializer.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::{InitError, NoInit, ", stringify!($type), "};")]
            /// use std::{fs::File, io};
            ///
            #[doc = concat!("static CONFIG: ", stringify!($type), "<File, NoInit> = ", stringify!($type), "::without_init();")]
            ///
            /// let length = CONFIG.with_or_try(
            ///     || File::open("/nonexistent"),
            ///     |file| file.metadata().map(|metadata| metadata.len()),
            /// );
            /// match length {
            ///     Ok(length) => println!("{:?} bytes", length),
            ///     Err(InitError::Init(error)) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
            ///     Err(InitError::Access(error)) => panic!("{}", error),
            /// }
            /// ```
            #[doc(alias("get_or_try", "get_or_try_init"))]
            #[inline]
            pub fn with_or_try<R, E>(
                &self,
                init: impl FnOnce() -> Result<T, E>,
                f: impl FnOnce(&T) -> R,
            ) -> Result<R, InitError<E>> {
                match self.slot.with_try_init(init, f) {
                    Ok(result) => result.map_err(InitError::Init),
                    Err(error) => Err(InitError::Access(error)),
                }
            }

            /// Calls `f` with an exclusive reference to this thread's value, or returns `None` if there is none.
            ///
            #[doc = concat!("It neither creates a value nor allocates memory nor takes a lock. It also returns `None` ", $not_there, ".")]
            ///
            /// # Panics
            ///
            /// Panics if `f` panics.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            ///
            #[doc = concat!("let mut values = ", stringify!($type), "::without_init();")]
            /// assert_eq!(values.with_mut_existing(|v| *v += 1), None);
            /// values.with_or(|| 7, |_| ());
            /// assert_eq!(values.with_mut_existing(|v| *v += 1), Some(()));
            /// assert_eq!(values.with_existing(|v| *v), Some(8));
            /// ```
            #[inline]
            pub fn with_mut_existing<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
                self.slot.with_mut_existing(f)
            }

            /// Calls `f` with an exclusive reference to this thread's value, which `init` creates if there is none.
            ///
            #[doc = concat!("`init` is called instead of the object's initializer", $not_called, ". Otherwise it is [`with_mut`](", stringify!($type), "::with_mut).")]
            ///
            /// # Panics
            ///
            /// Panics if [`try_with_mut_or`](Self::try_with_mut_or) would return an error, and in the same cases as `try_with_mut_or`.
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            ///
            #[doc = concat!("let mut name = ", stringify!($type), "::without_init();")]
            /// name.with_mut_or(|| String::from("worker"), |name| name.push_str(" 1"));
            /// assert_eq!(name.with_existing(String::clone).as_deref(), Some("worker 1"));
            /// ```
            #[inline]
            #[track_caller]
            pub fn with_mut_or<R>(
                &mut self,
                init: impl FnOnce() -> T,
                f: impl FnOnce(&mut T) -> R,
            ) -> R {
                match self.slot.with_mut(init, f) {
                    Ok(result) => result,
                    Err(error) => panic_access(stringify!($type), error),
                }
            }

            /// Calls `f` with an exclusive reference to this thread's value, which `init` creates if there is none, or returns an error.
            ///
            #[doc = concat!("`init` is called instead of the object's initializer", $not_called, ". Otherwise it is [`try_with_mut`](", stringify!($type), "::try_with_mut).")]
            ///
            /// # Errors
            ///
            #[doc = concat!("Returns the same errors as [`try_with`](", stringify!($type), "::try_with).")]
            ///
            /// # Panics
            ///
            #[doc = concat!("Panics in the same cases as [`try_with`](", stringify!($type), "::try_with), with `init` as the initializer.")]
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            ///
            #[doc = concat!("let mut name = ", stringify!($type), "::without_init();")]
            /// assert_eq!(name.try_with_mut_or(String::new, |name| name.push('a')), Ok(()));
            /// ```
            #[inline]
            pub fn try_with_mut_or<R>(
                &mut self,
                init: impl FnOnce() -> T,
                f: impl FnOnce(&mut T) -> R,
            ) -> Result<R, AccessError> {
                self.slot.with_mut(init, f)
            }

            /// Performs everything that a first use on this thread needs, except creating the value.
            ///
            /// It creates the operating system's key, allocates the object's slot number and this thread's record, with room for the number,
            /// and registers the destruction at thread exit, if values have a destructor. After that, a first use on this thread can only fail
            /// if the memory for the value itself is not available.
            ///
            /// A global allocator that uses the object should call this once before it does, for example at the start of `main`: a first use can
            /// call functions of the dynamic loader, which allocates and frees memory itself.
            ///
            /// # Errors
            ///
            /// - [`OutOfKeys`](AccessError::OutOfKeys), [`OutOfMemory`](AccessError::OutOfMemory): no key or memory was available. A later call
            ///   tries again.
            /// - [`Recursive`](AccessError::Recursive): the global allocator made this call while the crate allocated memory for this thread, or
            ///   the initializer of the thread's value made it.
            /// - [`Destroyed`](AccessError::Destroyed): the thread is exiting, and can make no more values with a destructor. Not for a
            ///   [`PerThread`](crate::PerThread).
            ///
            /// # Examples
            ///
            /// ```
            #[doc = concat!("use os_thread_local::", stringify!($type), ";")]
            ///
            #[doc = concat!("static COUNT: ", stringify!($type), "<u64> = ", stringify!($type), "::new(|| 0);")]
            ///
            /// // At startup, where a failure can still be reported.
            /// COUNT.prepare()?;
            /// # Ok::<(), os_thread_local::AccessError>(())
            /// ```
            pub fn prepare(&self) -> Result<(), AccessError> {
                self.slot.prepare()
            }

            /// Creates this thread's value from `value`, or calls `f` with the existing value and `value`.
            #[inline]
            pub(crate) fn set_or_make<V, R>(
                &self,
                value: V,
                make: fn(V) -> T,
                f: impl FnOnce(&T, V) -> R,
            ) -> Result<Option<R>, AccessError> {
                let value = Cell::new(Some(value));
                // The initializer runs at most once, and before the closure.
                let init = || make(value.take().unwrap_or_else(|| unreachable!()));
                self.slot.with(init, |there| value.take().map(|value| f(there, value)))
            }
        }
    };
}

access_methods!(ThreadLocal, 'static, "if the thread has destroyed the value, or is creating it", "");
access_methods!(
    PerThread,
    Send,
    "while the thread is creating the value",
    ", and only if the thread inherits no value"
);
