//! [`BorrowCell`], and the methods of [`PerThread`] that borrow it through a guard.

use crate::per_thread::{PerThread, RefMut};
use crate::thread_local::panic_access;
use crate::{AccessError, InitError};
use core::cell::UnsafeCell;
use core::fmt;
use core::num::NonZeroU16;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering::*};

/// A cell for a [`PerThread`], whose value is borrowed through a guard instead of a closure.
///
/// [`PerThread::borrow_mut`] borrows this thread's value until its guard, a [`RefMut`], is dropped. The guard can be returned from a
/// function, stored in a struct, and sent to another thread. It borrows the object, so the object can be iterated over, emptied and
/// dropped only when no guard exists.
///
/// A borrow costs about as much as one of a [`RefCell`](core::cell::RefCell) in a closure: see
/// [`with_borrow_mut`](PerThread::with_borrow_mut), which is the better choice if the borrow ends in the same function. There are no shared
/// borrows. For a [`Sync`] value, [`PerThread::get_ref`] returns a plain reference.
///
/// # Examples
///
/// ```
/// use os_thread_local::per_thread::RefMut;
/// use os_thread_local::{BorrowCell, PerThread};
///
/// #[derive(Default)]
/// struct Queues {
///     local: PerThread<BorrowCell<Vec<u32>>>,
/// }
///
/// impl Queues {
///     fn local(&self) -> RefMut<'_, Vec<u32>> {
///         self.local.borrow_mut()
///     }
/// }
///
/// let queues = Queues::default();
/// queues.local().push(1);
/// std::thread::scope(|s| {
///     s.spawn(|| queues.local().push(2));
/// });
/// let all = queues.local.into_iter().flat_map(BorrowCell::into_inner);
/// let mut all: Vec<u32> = all.collect();
/// all.sort();
/// assert_eq!(all, [1, 2]);
/// ```
///
/// # Edge cases
///
/// | case | result |
/// | --- | --- |
/// | The thread borrows its value twice | [`AccessError::Borrowed`], or a panic at the line of the second call. The first guard stays valid |
/// | A panic drops the guard | The borrow ends. The value is as the panic left it |
/// | The guard is leaked ([`mem::forget`](core::mem::forget)) | The thread gets `Borrowed` until [`get_mut`](Self::get_mut) ends the borrow. The value is not leaked |
/// | Another thread has the guard, or drops it | Allowed. Meanwhile the thread that began the borrow gets `Borrowed` |
/// | The thread has exited, and its guard still exists | The guard stays valid. A thread that would inherit the value gets a new one instead, not `Borrowed` (unless 65,534 other threads have had its record in between). The borrowed value then stays in the object until it is taken out: no thread inherits it any more |
/// | A guard in another thread-local | The borrow ends when that thread-local is destroyed. A destructor that borrows the object before that gets `Borrowed`, or, after the thread has left its values to later threads, a new value |
/// | `fork` while another thread has a guard | In the child, which does not have that thread, the value stays borrowed. Threads of the child get values of their own |
/// | A fiber or a task of a custom backend | Has its own value, as a thread has |
/// | A coroutine that shares its thread with others | The others get `Borrowed` while it has the guard, even if it has moved to another thread |
/// | A signal handler | May borrow a value that the thread already has, if it drops the guard before it returns. A guard that outlives the handler may be a second one: undefined behaviour |
pub struct BorrowCell<T> {
    /// 0 if no guard exists; otherwise the life (`ObjectSlot::pointer_and_life`) of the thread that began the borrow.
    ///
    /// Only the thread whose value this is begins a borrow, so a load and a store suffice. A guard ends it on any thread, with release:
    /// the next borrow, which acquires, sees what the guard wrote.
    borrowed_in: AtomicU16,
    value: UnsafeCell<T>,
}

impl<T> BorrowCell<T> {
    /// Creates a cell that is not borrowed.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::{BorrowCell, PerThread};
    ///
    /// static LINES: PerThread<BorrowCell<Vec<&str>>> =
    ///     PerThread::new(|| BorrowCell::new(Vec::new()));
    /// LINES.borrow_mut().push("one");
    /// assert_eq!(*LINES.borrow_mut(), ["one"]);
    /// ```
    #[must_use]
    pub const fn new(value: T) -> Self {
        BorrowCell { borrowed_in: AtomicU16::new(0), value: UnsafeCell::new(value) }
    }

    /// Returns the value, also if a guard was leaked.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::BorrowCell;
    ///
    /// assert_eq!(BorrowCell::new(1).into_inner(), 1);
    /// ```
    pub fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// Returns an exclusive reference to the value, and ends the borrow of a leaked guard.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::{AccessError, BorrowCell, PerThread};
    ///
    /// let mut values = PerThread::new(|| BorrowCell::new(1));
    /// std::mem::forget(values.borrow_mut());
    /// assert_eq!(values.try_borrow_mut().err(), Some(AccessError::Borrowed));
    /// values.iter_mut().for_each(|value| *value.get_mut() += 1);
    /// assert_eq!(*values.borrow_mut(), 2);
    /// ```
    pub fn get_mut(&mut self) -> &mut T {
        *self.borrowed_in.get_mut() = 0;
        self.value.get_mut()
    }
}

impl<T: Default> Default for BorrowCell<T> {
    /// Creates a cell with `T::default()`.
    fn default() -> Self {
        BorrowCell::new(T::default())
    }
}

impl<T> From<T> for BorrowCell<T> {
    fn from(value: T) -> Self {
        BorrowCell::new(value)
    }
}

impl<T> fmt::Debug for BorrowCell<T> {
    /// Formats the name of the type without the value, which a guard may be changing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BorrowCell").finish_non_exhaustive()
    }
}

impl<T: Send, F> PerThread<BorrowCell<T>, F> {
    /// Borrows this thread's value, which `init` creates if there is none, until the guard is dropped.
    ///
    /// `init` is called instead of the object's initializer, and only if the thread inherits no value.
    ///
    /// # Panics
    ///
    /// Panics if [`try_borrow_mut_or`](Self::try_borrow_mut_or) would return an error, and in the same cases as `try_borrow_mut_or`.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let lines = PerThread::without_init();
    /// lines.borrow_mut_or(|| Vec::with_capacity(64)).push("one");
    /// assert_eq!(*lines.borrow_mut_or(Vec::new), ["one"]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn borrow_mut_or(&self, init: impl FnOnce() -> T) -> RefMut<'_, T> {
        match self.try_borrow_mut_or(init) {
            Ok(guard) => guard,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Borrows this thread's value, which `init` creates if there is none, until the guard is dropped, or returns an error.
    ///
    /// `init` is called instead of the object's initializer, and only if the thread inherits no value.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`try_borrow_mut`](PerThread::try_borrow_mut).
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`try_with`](PerThread::try_with), with `init` as the initializer.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let lines = PerThread::without_init();
    /// lines.try_borrow_mut_or(Vec::new)?.push("one");
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    #[inline]
    pub fn try_borrow_mut_or(
        &self,
        init: impl FnOnce() -> T,
    ) -> Result<RefMut<'_, T>, AccessError> {
        let mut init = Some(init);
        // The initializer runs at most once: a new value is not borrowed.
        let mut init = move || match init.take() {
            Some(init) => BorrowCell::new(init()),
            None => unreachable!(),
        };
        self.borrow(|| self.slot.pointer_and_life(&mut init))
    }

    /// Borrows this thread's value, which the fallible `init` creates if there is none, until the guard is dropped.
    ///
    /// `init` is called instead of the object's initializer, and only if the thread inherits no value.
    ///
    /// # Errors
    ///
    /// - [`InitError::Init`]: `init` returned an error. No value is stored, and the next access calls an initializer again.
    /// - [`InitError::Access`]: an error of [`try_borrow_mut`](PerThread::try_borrow_mut).
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`try_with`](PerThread::try_with), with `init` as the initializer.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::{InitError, PerThread};
    ///
    /// let numbers = PerThread::without_init();
    /// let error = numbers.borrow_mut_or_try(|| "x".parse::<u32>()).err();
    /// assert!(matches!(error, Some(InitError::Init(_))));
    /// *numbers.borrow_mut_or_try(|| "1".parse::<u32>())? += 1;
    /// assert_eq!(*numbers.borrow_mut_or(|| 0), 2);
    /// # Ok::<(), InitError<core::num::ParseIntError>>(())
    /// ```
    #[doc(alias("get_or_try", "get_or_try_init"))]
    #[inline]
    pub fn borrow_mut_or_try<E>(
        &self,
        init: impl FnOnce() -> Result<T, E>,
    ) -> Result<RefMut<'_, T>, InitError<E>> {
        let mut init = Some(init);
        // As above. After an error there is no further call.
        let mut init = move || match init.take() {
            Some(init) => init().map(BorrowCell::new),
            None => unreachable!(),
        };
        self.borrow(|| match self.slot.pointer_and_life_try_init(&mut init) {
            Ok(found) => found.map_err(InitError::Init),
            Err(error) => Err(InitError::Access(error)),
        })
    }

    /// Borrows the value that `find` returns: this thread's, with the thread's life.
    #[inline(always)]
    fn borrow<E: From<AccessError>>(
        &self,
        mut find: impl FnMut() -> Result<(NonNull<BorrowCell<T>>, NonZeroU16), E>,
    ) -> Result<RefMut<'_, T>, E> {
        let (cell, life) = find()?;
        // SAFETY: the cell is this thread's, from `find`.
        match unsafe { self.begin(cell, life) } {
            Ok(guard) => Ok(guard),
            Err(borrowed_in) => self.borrow_new(borrowed_in, life, find),
        }
    }

    /// `borrow` for a value that is already borrowed. If an earlier thread did that, from which this one has inherited the value, this
    /// thread gets a new value.
    #[cold]
    #[inline(never)]
    fn borrow_new<E: From<AccessError>>(
        &self,
        mut borrowed_in: u16,
        mut life: NonZeroU16,
        mut find: impl FnMut() -> Result<(NonNull<BorrowCell<T>>, NonZeroU16), E>,
    ) -> Result<RefMut<'_, T>, E> {
        loop {
            if borrowed_in == life.get() {
                return Err(AccessError::Borrowed.into());
            }
            self.slot.detach_own();
            let found = find()?;
            life = found.1;
            // SAFETY: the cell is this thread's, from `find`.
            match unsafe { self.begin(found.0, life) } {
                Ok(guard) => return Ok(guard),
                // A destructor that ran in `find` has made and borrowed the value.
                Err(other) => borrowed_in = other,
            }
        }
    }

    /// Begins a borrow. If the value is already borrowed, returns the life of the thread that did it.
    ///
    /// # Safety
    /// The cell is the calling thread's value of this object.
    #[inline(always)]
    unsafe fn begin(
        &self,
        cell: NonNull<BorrowCell<T>>,
        life: NonZeroU16,
    ) -> Result<RefMut<'_, T>, u16> {
        // SAFETY: the value is neither destroyed nor moved nor borrowed exclusively while the object is borrowed. Other threads do not use
        // this thread's value (this function's contract), which is not `Sync`, with one exception: a guard ends a borrow.
        let cell: &BorrowCell<T> = unsafe { &*cell.as_ptr() };
        match cell.borrowed_in.load(Acquire) {
            0 => {
                cell.borrowed_in.store(life.get(), Relaxed);
                // SAFETY: there was no guard, and only this thread makes one. While it exists, nothing else accesses the value: `get_mut` and
                // `into_inner` need the object exclusively, which the guard borrows.
                Ok(unsafe {
                    RefMut::new(NonNull::new_unchecked(cell.value.get()), &cell.borrowed_in)
                })
            }
            borrowed_in => Err(borrowed_in),
        }
    }
}

impl<T: Send, F: Fn() -> BorrowCell<T>> PerThread<BorrowCell<T>, F> {
    /// Borrows this thread's value, inheriting or creating it on first use, until the guard is dropped.
    ///
    /// # Panics
    ///
    /// Panics if [`try_borrow_mut`](Self::try_borrow_mut) would return an error, and in the same cases as `try_borrow_mut`.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::{BorrowCell, PerThread};
    ///
    /// let lines = PerThread::<BorrowCell<Vec<&str>>>::default();
    /// lines.borrow_mut().push("one");
    /// assert_eq!(*lines.borrow_mut(), ["one"]);
    /// ```
    #[inline]
    #[track_caller]
    pub fn borrow_mut(&self) -> RefMut<'_, T> {
        match self.try_borrow_mut() {
            Ok(guard) => guard,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Borrows this thread's value, inheriting or creating it on first use, until the guard is dropped, or returns an error.
    ///
    /// # Errors
    ///
    /// - [`Borrowed`](AccessError::Borrowed): this thread has already borrowed the value, and the guard still exists.
    /// - The errors of [`try_with`](Self::try_with).
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`try_with`](Self::try_with).
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::{AccessError, BorrowCell, PerThread};
    ///
    /// let lines = PerThread::<BorrowCell<Vec<&str>>>::default();
    /// let guard = lines.try_borrow_mut()?;
    /// assert_eq!(lines.try_borrow_mut().err(), Some(AccessError::Borrowed));
    /// # drop(guard);
    /// # Ok::<(), AccessError>(())
    /// ```
    #[inline]
    pub fn try_borrow_mut(&self) -> Result<RefMut<'_, T>, AccessError> {
        self.borrow(|| {
            self.slot.pointer_and_life(|| {
                let mut cell = (self.init)();
                // The initializer may return a cell whose guard was leaked.
                cell.get_mut();
                cell
            })
        })
    }
}
