//! [`PerThread`], whose values belong to the object; the iterators over its values; and the guard of a borrowed value.

use crate::storage::{ObjectSlot, Pointers, Taken};
use crate::thread_local::panic_access;
use crate::{AccessError, NoInit};
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::panic::{RefUnwindSafe, UnwindSafe};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU16, Ordering};

/// A value per thread that belongs to the object, so that its owner can read and collect the values of all threads.
///
/// Each thread that uses the object has its own `T`, and needs no lock to use it. When a thread exits, its value stays in the object, and
/// a thread that starts later inherits it unchanged. There are never more values than the largest number of threads that were
/// alive at one time, with one exception: a value that the guard of an ended thread still borrows is not inherited, but stays in the
/// object in addition to that number (see [`BorrowCell`](crate::BorrowCell)). The owner of the object can visit all values ([`iter_mut`](Self::iter_mut)), take them out
/// ([`drain`](Self::drain), [`into_iter`](IntoIterator::into_iter)) or destroy them ([`clear`](Self::clear)). If `T` is [`Sync`], any thread
/// can visit the values while their threads use them ([`iter`](Self::iter)).
///
/// Use `PerThread` for values that are useful after their threads have ended: counters, partial results, buffers. Use
/// [`ThreadLocal`](crate::ThreadLocal) for values that are not, such as handles and caches, and for values that are `!Send`.
///
/// `T` need not be `Sync`, and can borrow. References do not leave the closure of [`with`](Self::with), so that a thread which inherits a
/// value is the only one to use it.
///
/// # Examples
///
/// ```
/// use os_thread_local::PerThread;
/// use std::cell::Cell;
///
/// let hits = PerThread::new(|| Cell::new(0));
/// std::thread::scope(|s| {
///     for _ in 0..4 {
///         s.spawn(|| {
///             for _ in 0..1000 {
///                 hits.update(|n| n + 1);
///             }
///         });
///     }
/// });
/// let total: u32 = hits.into_iter().map(Cell::into_inner).sum();
/// assert_eq!(total, 4000);
/// ```
///
/// # Values that are not `Send`
///
/// `T` must be [`Send`], because another thread can inherit a value, visit it in [`iter_mut`](Self::iter_mut), or destroy it. If `T` is an
/// `Rc`, a guard or a raw pointer, the compiler reports error E0277 ("cannot be sent between threads safely"). Use
/// [`ThreadLocal`](crate::ThreadLocal), whose values never leave their threads; or replace `Rc` by `Arc`; or wrap the pointer in a type
/// for which `unsafe impl Send` is sound.
///
/// # Compiler errors
///
/// | error | answer |
/// | --- | --- |
/// | E0308, "expected fn pointer, found closure", at [`new`](Self::new) | The closure captures a variable: use [`from_fn`](Self::from_fn) or [`with_or`](Self::with_or) |
/// | the same at `from_fn` | The field or variable has the type `PerThread<T>`, whose initializer is a function pointer: see [`from_fn`](Self::from_fn) |
/// | E0599, no method `get_or` (`get_or_default`) | If `T` is `Sync`, use [`get_ref_or`](Self::get_ref_or) ([`get_ref`](Self::get_ref)). Otherwise use [`with_or`](Self::with_or) ([`with`](Self::with)), or a [`BorrowCell`](crate::BorrowCell) |
/// | E0277, "cannot be sent between threads safely" | See [Values that are not `Send`](#values-that-are-not-send) |
/// | E0277, "cannot be shared between threads safely", at `iter`, `for_each`, `get_ref` | Other threads may use the values meanwhile: use a `Sync` type such as a `Mutex`, or [`iter_mut`](Self::iter_mut), [`with`](Self::with) |
/// | E0599, no method `borrow_mut` | `T` is not a [`BorrowCell`](crate::BorrowCell). For a `RefCell` there is [`with_borrow_mut`](Self::with_borrow_mut) |
/// | E0599, "`NoInit: Fn<()>`" is not satisfied | The object has no initializer: see [`NoInit`] |
/// | "lifetime may not live long enough", E0521, "borrowed data escapes" | See [`with`](Self::with) |
///
/// # When values are destroyed
///
/// - **A thread exits**: its values stay. A destructor that runs at thread exit and uses the object finds the thread's value; if the
///   thread has already left it to later threads, the destructor gets a new value or inherits one.
/// - **The object is dropped**: the dropping thread destroys all values at once. To destroy values earlier, use [`clear`](Self::clear),
///   [`drain`](Self::drain) or [`remove`](Self::remove).
/// - **The process exits**: the values of a `static` are not destroyed.
///
/// [Guarantees and non-guarantees](crate::guide::guarantees) describes what happens in `exit`, in `fork`, and in signal handlers.
///
/// # Platform notes
///
/// On Windows each fiber has its own value, which stays in the object when the fiber is deleted. std may destroy its thread-locals after
/// this crate's work at thread exit is done. A value that their destructors create or inherit is not inherited again. It stays in the
/// object until it is taken out or the object is dropped.
///
/// # Memory use
///
/// A value takes its size plus 40 bytes on 64-bit targets. It is allocated by the global allocator, and stays until it is taken out or the
/// object is dropped. An object is two words and the initializer: three words with [`new`](Self::new). A thread uses a record and a table, as with
/// [`ThreadLocal`](crate::ThreadLocal#memory-use). They stay when the thread exits, as long as they refer to values that no thread has
/// inherited yet.
#[doc(alias("CachedThreadLocal", "enumerable_thread_specific", "combinable"))]
#[repr(C)] // the slot first: an access keeps one address of the object
pub struct PerThread<T: Send, F = fn() -> T> {
    pub(crate) slot: ObjectSlot<T>,
    pub(crate) init: F,
}

impl<T: Send> PerThread<T> {
    /// Creates an object with a function, or a closure that captures nothing, as initializer.
    ///
    /// This neither allocates memory nor calls the operating system. The first use does.
    ///
    /// # Closures with captures
    ///
    /// For a closure that captures a variable, use [`from_fn`](Self::from_fn); or create the value where it is used, with
    /// [`with_or`](Self::with_or). `new` rejects such a closure (error E0308, "expected fn pointer, found closure"), because a function
    /// pointer keeps the type simple to name in a `static` or a field.
    ///
    /// If the compiler reports error E0277, see [Values that are not `Send`](PerThread#values-that-are-not-send).
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// static BUFFERS: PerThread<Vec<u8>> = PerThread::new(Vec::new);
    /// assert!(BUFFERS.with(Vec::is_empty));
    /// ```
    #[must_use]
    pub const fn new(init: fn() -> T) -> Self {
        PerThread { slot: ObjectSlot::new(), init }
    }
}

impl<T: Send> PerThread<T, NoInit> {
    /// Creates an object without an initializer.
    ///
    /// [`with_or`](Self::with_or), [`with_or_try`](Self::with_or_try) and the methods that set a `Cell` or a `RefCell` create its values.
    /// Methods that need an initializer, such as [`with`](PerThread::with), do not exist for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::{NoInit, PerThread};
    /// use std::sync::Mutex;
    ///
    /// struct Log {
    ///     lines: PerThread<Mutex<Vec<String>>, NoInit>,
    /// }
    ///
    /// impl Log {
    ///     fn push(&self, line: &str) {
    ///         let with_room = || Mutex::new(Vec::with_capacity(64));
    ///         self.lines.with_or(with_room, |lines| lines.lock().unwrap().push(line.to_string()));
    ///     }
    /// }
    ///
    /// let log = Log { lines: PerThread::without_init() };
    /// log.push("started");
    /// assert_eq!(log.lines.len(), 1);
    /// ```
    #[must_use]
    pub const fn without_init() -> Self {
        PerThread { slot: ObjectSlot::new(), init: NoInit(()) }
    }
}

impl<T: Send, F: Fn() -> T> PerThread<T, F> {
    /// Creates an object with any closure as initializer, also one that captures.
    ///
    /// # Fields and statics
    ///
    /// The closure is part of the type `PerThread<T, F>`. In a field, name it with a type parameter
    /// (`struct Pool<F> { buffers: PerThread<Vec<u8>, F> }`), or box it
    /// (`PerThread<Vec<u8>, Box<dyn Fn() -> Vec<u8> + Send + Sync>>`). A field of type `PerThread<T>` rejects a closure that captures (error
    /// E0308), and a `static` cannot name the type (error E0121): its closures capture nothing, so use [`new`](Self::new) there.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    /// use std::sync::Mutex;
    ///
    /// let size = 16;
    /// let words = vec![String::from("a"), String::from("b")];
    /// // The values can borrow.
    /// let seen = PerThread::from_fn(|| Mutex::new(Vec::<&str>::with_capacity(size)));
    /// seen.with(|v| v.lock().unwrap().push(&words[0]));
    /// assert_eq!(seen.len(), 1);
    /// ```
    #[must_use]
    pub const fn from_fn(init: F) -> Self {
        PerThread { slot: ObjectSlot::new(), init }
    }

    /// Calls `f` with this thread's value, which the thread inherits or the initializer creates on first use.
    ///
    /// An inherited value is as its last thread left it. Reset a buffer before use rather than after.
    ///
    /// # Returning references
    ///
    /// The reference cannot leave the closure, because another thread can inherit the value when this one has exited. A closure that returns
    /// the reference, or a [`Ref`](core::cell::Ref) of it, does not compile ("lifetime may not live long enough"); nor does one that stores it
    /// (error E0521, "borrowed data escapes"). Return a clone or a result instead, or take a closure from the caller:
    ///
    /// ```
    /// use os_thread_local::PerThread;
    /// use std::cell::RefCell;
    ///
    /// static BUFFERS: PerThread<RefCell<Vec<u8>>> = PerThread::new(|| RefCell::new(Vec::new()));
    ///
    /// // Instead of `fn buffer() -> RefMut<'static, Vec<u8>>`:
    /// fn with_buffer<R>(f: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    ///     BUFFERS.with_borrow_mut(|buffer| {
    ///         buffer.clear();
    ///         f(buffer)
    ///     })
    /// }
    /// with_buffer(|buffer| buffer.push(1));
    /// assert_eq!(with_buffer(|buffer| buffer.len()), 0);
    /// ```
    ///
    /// With an exclusive borrow of the object a reference can live longer: see [`get_mut`](Self::get_mut) and
    /// [`iter_mut`](Self::iter_mut).
    ///
    /// # Panics
    ///
    /// Panics if [`try_with`](Self::try_with) would return an error, and in the same cases as `try_with`.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    /// use std::cell::Cell;
    ///
    /// let count = PerThread::new(|| Cell::new(0));
    /// count.with(|n| n.set(n.get() + 1));
    /// assert_eq!(count.with(Cell::get), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with<R, G: FnOnce(&T) -> R>(&self, f: G) -> R {
        match self.slot.with(&self.init, f) {
            Ok(result) => result,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Calls `f` with this thread's value, inheriting or creating it on first use, or returns an error.
    ///
    /// # Errors
    ///
    /// - [`Recursive`](AccessError::Recursive): this thread is creating the value.
    /// - [`OutOfKeys`](AccessError::OutOfKeys), [`OutOfMemory`](AccessError::OutOfMemory): no key or memory was available for a first use. A
    ///   later call tries again.
    ///
    /// # Panics
    ///
    /// - Panics if `f` panics.
    /// - Panics if the initializer panics. No value is stored, and the next access calls the initializer again.
    /// - Panics if a destructor panics that a first use runs: before the thread creates a value, it destroys its values of dropped
    ///   [`ThreadLocal`](crate::ThreadLocal) objects (see [`reclaim`](crate::reclaim)). A later call destroys the rest of them.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let values = PerThread::new(|| 42);
    /// assert_eq!(values.try_with(|v| *v), Ok(42));
    /// ```
    #[inline]
    pub fn try_with<R, G: FnOnce(&T) -> R>(&self, f: G) -> Result<R, AccessError> {
        self.slot.with(&self.init, f)
    }

    /// Returns a reference to this thread's value, which the thread inherits or the initializer creates on first use.
    ///
    /// The reference lives as long as the borrow of the object, because the value belongs to the object. A thread that inherits the value may use
    /// it at the same time, so `T` must be [`Sync`]. For other types see [`with`](Self::with) and [`BorrowCell`](crate::BorrowCell).
    ///
    /// # Panics
    ///
    /// Panics if [`try_get_ref`](Self::try_get_ref) would return an error, and in the same cases as `try_get_ref`.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    /// use std::sync::{Mutex, MutexGuard};
    ///
    /// static LINES: PerThread<Mutex<Vec<String>>> = PerThread::new(Mutex::default);
    ///
    /// fn lines() -> MutexGuard<'static, Vec<String>> {
    ///     LINES.get_ref().lock().unwrap()
    /// }
    ///
    /// lines().push("one".to_string());
    /// assert_eq!(lines().len(), 1);
    /// ```
    #[doc(alias("get_or", "get_or_default"))]
    #[inline]
    #[track_caller]
    pub fn get_ref(&self) -> &T
    where
        T: Sync,
    {
        match self.slot.get_ref(&self.init) {
            Ok(value) => value,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Returns a reference to this thread's value, inheriting or creating it on first use, or an error.
    ///
    /// See [`get_ref`](Self::get_ref).
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
    /// use os_thread_local::PerThread;
    ///
    /// let values = PerThread::new(|| 42);
    /// assert_eq!(values.try_get_ref(), Ok(&42));
    /// ```
    #[inline]
    pub fn try_get_ref(&self) -> Result<&T, AccessError>
    where
        T: Sync,
    {
        self.slot.get_ref(&self.init)
    }

    /// Calls `f` with an exclusive reference to this thread's value, which the thread inherits or the initializer creates on first use.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`with`](Self::with).
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::new(Vec::new);
    /// values.with_mut(|v| v.push(1));
    /// assert_eq!(values.with(Vec::len), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with_mut<R, G: FnOnce(&mut T) -> R>(&mut self, f: G) -> R {
        match self.try_with_mut(f) {
            Ok(result) => result,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Calls `f` with an exclusive reference to this thread's value, inheriting or creating it on first use, or returns an error.
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
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::new(Vec::new);
    /// assert_eq!(values.try_with_mut(|v| v.push(1)), Ok(()));
    /// ```
    #[inline]
    pub fn try_with_mut<R, G: FnOnce(&mut T) -> R>(&mut self, f: G) -> Result<R, AccessError> {
        self.slot.with_mut(&self.init, f)
    }

    /// Returns an exclusive reference to this thread's value, inheriting or creating it on first use.
    ///
    /// The reference can outlive the thread, because the value belongs to the object.
    ///
    /// # Panics
    ///
    /// Panics if [`try_get_mut`](Self::try_get_mut) would return an error, and in the same cases as `try_get_mut`.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::new(Vec::new);
    /// values.get_mut().push(1);
    /// assert_eq!(values.into_iter().next(), Some(vec![1]));
    /// ```
    #[inline]
    #[track_caller]
    pub fn get_mut(&mut self) -> &mut T {
        match self.slot.get_mut(&self.init) {
            Ok(value) => value,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Returns an exclusive reference to this thread's value, inheriting or creating it on first use, or an error.
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
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::new(Vec::new);
    /// values.try_get_mut()?.push(1);
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    #[inline]
    pub fn try_get_mut(&mut self) -> Result<&mut T, AccessError> {
        self.slot.get_mut(&self.init)
    }
}

impl<T: Send, F> PerThread<T, F> {
    /// Returns a reference to this thread's value, which `init` creates if there is none.
    ///
    /// `init` is called instead of the object's initializer, and only if the thread inherits no value. See [`get_ref`](PerThread::get_ref).
    ///
    /// # Panics
    ///
    /// Panics if [`try_get_ref_or`](Self::try_get_ref_or) would return an error, and in the same cases as `try_get_ref_or`.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let names = PerThread::without_init();
    /// let name: &String = names.get_ref_or(|| String::from("main"));
    /// assert_eq!(name, "main");
    /// ```
    #[inline]
    #[track_caller]
    pub fn get_ref_or(&self, init: impl FnOnce() -> T) -> &T
    where
        T: Sync,
    {
        match self.slot.get_ref(init) {
            Ok(value) => value,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Returns a reference to this thread's value, which `init` creates if there is none, or an error.
    ///
    /// `init` is called instead of the object's initializer, and only if the thread inherits no value. See [`get_ref`](PerThread::get_ref).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`try_with`](PerThread::try_with).
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
    /// let names = PerThread::without_init();
    /// assert_eq!(names.try_get_ref_or(|| String::from("main"))?, "main");
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    #[inline]
    pub fn try_get_ref_or(&self, init: impl FnOnce() -> T) -> Result<&T, AccessError>
    where
        T: Sync,
    {
        self.slot.get_ref(init)
    }

    /// Returns an exclusive reference to this thread's value, or `None` if there is none.
    ///
    /// It neither creates a value nor allocates memory nor takes a lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::without_init();
    /// assert_eq!(values.get_mut_existing(), None);
    /// values.with_or(|| 1, |_| ());
    /// assert_eq!(values.get_mut_existing(), Some(&mut 1));
    /// ```
    #[must_use]
    pub fn get_mut_existing(&mut self) -> Option<&mut T> {
        self.slot.get_mut_existing()
    }

    /// Returns an exclusive reference to this thread's value, which `init` creates if there is none.
    ///
    /// `init` is called instead of the object's initializer, and only if the thread inherits no value. See [`get_mut`](PerThread::get_mut).
    ///
    /// # Panics
    ///
    /// Panics if [`try_get_mut_or`](Self::try_get_mut_or) would return an error, and in the same cases as `try_get_mut_or`.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let mut lines = PerThread::without_init();
    /// lines.get_mut_or(|| Vec::with_capacity(64)).push("one");
    /// assert_eq!(lines.into_iter().next(), Some(vec!["one"]));
    /// ```
    #[inline]
    #[track_caller]
    pub fn get_mut_or(&mut self, init: impl FnOnce() -> T) -> &mut T {
        match self.slot.get_mut(init) {
            Ok(value) => value,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Returns an exclusive reference to this thread's value, which `init` creates if there is none, or an error.
    ///
    /// `init` is called instead of the object's initializer, and only if the thread inherits no value. See [`get_mut`](PerThread::get_mut).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`try_with`](PerThread::try_with).
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
    /// let mut lines = PerThread::without_init();
    /// lines.try_get_mut_or(Vec::new)?.push("one");
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    #[inline]
    pub fn try_get_mut_or(&mut self, init: impl FnOnce() -> T) -> Result<&mut T, AccessError> {
        self.slot.get_mut(init)
    }

    /// Takes this thread's value out of the object, or returns `None` if there is none.
    ///
    /// The thread's next access creates a new value.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::new(|| vec![1]);
    /// assert_eq!(values.remove(), None);
    /// values.with(|_| ());
    /// assert_eq!(values.remove(), Some(vec![1]));
    /// assert!(values.is_empty());
    /// ```
    pub fn remove(&mut self) -> Option<T> {
        self.slot.remove()
    }

    /// Returns the number of values.
    ///
    /// It counts the values one by one, without a lock, and may miss values that other threads create at the same time.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let values = PerThread::new(|| 1);
    /// assert_eq!(values.len(), 0);
    /// values.with(|_| ());
    /// assert_eq!(values.len(), 1);
    /// ```
    #[must_use]
    pub fn len(&self) -> usize {
        self.slot.iter().count()
    }

    /// Returns `true` if the object has no values.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let values = PerThread::new(|| 1);
    /// assert!(values.is_empty());
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.slot.iter().next().is_none()
    }

    /// Returns an iterator over all values, newest first, which other threads can use at the same time.
    ///
    /// The iterator may miss values that are created during the iteration. It visits no value twice. It holds no lock.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// static REQUESTS: PerThread<AtomicU64> = PerThread::new(AtomicU64::default);
    ///
    /// fn on_request() {
    ///     REQUESTS.with(|n| n.fetch_add(1, Ordering::Relaxed));
    /// }
    ///
    /// fn requests_so_far() -> u64 {
    ///     REQUESTS.iter().map(|n| n.load(Ordering::Relaxed)).sum()
    /// }
    ///
    /// on_request();
    /// assert_eq!(requests_so_far(), 1);
    /// ```
    pub fn iter(&self) -> Iter<'_, T>
    where
        T: Sync,
    {
        Iter { values: self.slot.iter(), _values: PhantomData }
    }

    /// Calls `f` with each value, newest first, while other threads can use theirs.
    ///
    /// This is `self.iter().for_each(f)`: see [`iter`](Self::iter).
    ///
    /// # Panics
    ///
    /// Panics if `f` panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    /// use std::sync::Mutex;
    ///
    /// let words = PerThread::new(|| Mutex::new(vec!["one", "two"]));
    /// words.with(|_| ());
    /// let mut seen = 0;
    /// words.for_each(|w| seen += w.lock().unwrap().len());
    /// assert_eq!(seen, 2);
    /// ```
    pub fn for_each(&self, f: impl FnMut(&T))
    where
        T: Sync,
    {
        self.iter().for_each(f)
    }

    /// Returns an iterator over exclusive references to all values, newest first.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::new(|| 1);
    /// values.with(|_| ());
    /// for v in &mut values {
    ///     *v += 1;
    /// }
    /// assert_eq!(values.iter_mut().next(), Some(&mut 2));
    /// ```
    pub fn iter_mut(&mut self) -> IterMut<'_, T> {
        let values = self.slot.iter();
        IterMut { len: values.clone().count(), values, _values: PhantomData }
    }

    /// Takes all values out of the object and returns them as an iterator.
    ///
    /// Dropping the iterator destroys the values that it has not returned yet.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::new(|| String::from("one"));
    /// values.with(|_| ());
    /// assert_eq!(values.drain().collect::<Vec<_>>(), ["one"]);
    /// assert!(values.is_empty());
    /// ```
    pub fn drain(&mut self) -> Drain<'_, T> {
        Drain { values: self.take_all(), _object: PhantomData }
    }

    /// Destroys all values.
    ///
    /// Each thread's next access creates a new value.
    ///
    /// # Panics
    ///
    /// Panics if `Drop` of a value panics.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::new(|| 1);
    /// values.with(|_| ());
    /// values.clear();
    /// assert!(values.is_empty());
    /// ```
    pub fn clear(&mut self) {
        drop(self.take_all());
    }

    fn take_all(&mut self) -> IntoIter<T> {
        let values = self.slot.take_all();
        IntoIter { len: values.len(), values }
    }
}

impl<T: Default + Send> Default for PerThread<T> {
    /// Creates an object with `T::default` as initializer.
    #[doc(alias = "get_or_default")]
    fn default() -> Self {
        PerThread::new(T::default)
    }
}

impl<T: Send> Default for PerThread<T, NoInit> {
    /// Creates an object without an initializer: [`without_init`](PerThread::without_init).
    fn default() -> Self {
        PerThread::without_init()
    }
}

impl<T: Send, F> fmt::Debug for PerThread<T, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerThread").finish_non_exhaustive()
    }
}

impl<T: Send, F> IntoIterator for PerThread<T, F> {
    type Item = T;
    type IntoIter = IntoIter<T>;

    fn into_iter(mut self) -> IntoIter<T> {
        self.take_all()
    }
}

impl<'a, T: Send + Sync, F> IntoIterator for &'a PerThread<T, F> {
    type Item = &'a T;
    type IntoIter = Iter<'a, T>;

    fn into_iter(self) -> Iter<'a, T> {
        self.iter()
    }
}

impl<'a, T: Send, F> IntoIterator for &'a mut PerThread<T, F> {
    type Item = &'a mut T;
    type IntoIter = IterMut<'a, T>;

    fn into_iter(self) -> IterMut<'a, T> {
        self.iter_mut()
    }
}

/// An iterator over shared references to the values of a [`PerThread`].
///
/// [`PerThread::iter`] creates it.
///
/// # Examples
///
/// ```
/// use os_thread_local::PerThread;
///
/// let values = PerThread::new(|| 1);
/// values.with(|_| ());
/// assert_eq!(values.iter().count(), 1);
/// ```
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct Iter<'a, T> {
    values: Pointers<'a, T>,
    _values: PhantomData<&'a T>,
}

// SAFETY: it is equivalent to a list of `&T`.
unsafe impl<T: Sync> Send for Iter<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Iter<'_, T> {}

impl<T: RefUnwindSafe> UnwindSafe for Iter<'_, T> {}
impl<T: RefUnwindSafe> RefUnwindSafe for Iter<'_, T> {}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        // SAFETY: the value is neither destroyed nor moved while the object is borrowed. `PerThread::iter` requires `T: Sync`, so
        // several threads can have a reference to it.
        self.values.next().map(|value| unsafe { &*value })
    }
}

impl<T> FusedIterator for Iter<'_, T> {}

impl<T> Clone for Iter<'_, T> {
    fn clone(&self) -> Self {
        Iter { values: self.values.clone(), _values: PhantomData }
    }
}

impl<T> fmt::Debug for Iter<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Iter").finish_non_exhaustive()
    }
}

/// An iterator over exclusive references to the values of a [`PerThread`].
///
/// [`PerThread::iter_mut`] creates it.
///
/// # Examples
///
/// ```
/// use os_thread_local::PerThread;
///
/// let mut values = PerThread::new(|| 1);
/// values.with(|_| ());
/// assert_eq!(values.iter_mut().len(), 1);
/// ```
#[must_use = "iterators are lazy and do nothing unless consumed"]
pub struct IterMut<'a, T> {
    values: Pointers<'a, T>,
    len: usize,
    _values: PhantomData<&'a mut T>,
}

// SAFETY: it is equivalent to a list of `&mut T`.
unsafe impl<T: Send> Send for IterMut<'_, T> {}
// SAFETY: as above; a shared reference to the iterator gives no access to the values.
unsafe impl<T: Sync> Sync for IterMut<'_, T> {}

// Like `&mut T`, it is not `UnwindSafe`.
impl<T: RefUnwindSafe> RefUnwindSafe for IterMut<'_, T> {}

impl<'a, T> Iterator for IterMut<'a, T> {
    type Item = &'a mut T;

    fn next(&mut self) -> Option<&'a mut T> {
        let value = self.values.next()?;
        self.len -= 1;
        // SAFETY: the object is borrowed exclusively for `'a`. Each value is visited once, so no two references are to the same
        // value.
        Some(unsafe { &mut *value })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl<T> ExactSizeIterator for IterMut<'_, T> {}
impl<T> FusedIterator for IterMut<'_, T> {}

impl<T> fmt::Debug for IterMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IterMut").field("len", &self.len).finish_non_exhaustive()
    }
}

/// An iterator over the values taken out of a [`PerThread`].
///
/// [`PerThread::into_iter`] creates it. Dropping it destroys the values that it has not
/// returned yet.
///
/// # Examples
///
/// ```
/// use os_thread_local::PerThread;
///
/// let values = PerThread::new(|| 1);
/// values.with(|_| ());
/// assert_eq!(values.into_iter().len(), 1);
/// ```
pub struct IntoIter<T> {
    values: Taken<T>,
    len: usize,
}

// SAFETY: it owns a list of `T`.
unsafe impl<T: Send> Send for IntoIter<T> {}
// SAFETY: as above; a shared reference to the iterator gives no access to the values.
unsafe impl<T: Sync> Sync for IntoIter<T> {}

impl<T: UnwindSafe> UnwindSafe for IntoIter<T> {}
impl<T: RefUnwindSafe> RefUnwindSafe for IntoIter<T> {}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let value = self.values.next()?;
        self.len -= 1;
        Some(value)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.len, Some(self.len))
    }
}

impl<T> ExactSizeIterator for IntoIter<T> {}
impl<T> FusedIterator for IntoIter<T> {}

impl<T> fmt::Debug for IntoIter<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IntoIter").field("len", &self.len).finish_non_exhaustive()
    }
}

/// A draining iterator over the values of a [`PerThread`].
///
/// [`PerThread::drain`] creates it. Dropping it destroys the values that it has not returned yet.
///
/// # Examples
///
/// ```
/// use os_thread_local::PerThread;
///
/// let mut values = PerThread::new(|| 1);
/// values.with(|_| ());
/// assert_eq!(values.drain().next(), Some(1));
/// ```
pub struct Drain<'a, T> {
    values: IntoIter<T>,
    _object: PhantomData<&'a mut ()>,
}

impl<T> Iterator for Drain<'_, T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        self.values.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.values.size_hint()
    }
}

impl<T> ExactSizeIterator for Drain<'_, T> {}
impl<T> FusedIterator for Drain<'_, T> {}

impl<T> fmt::Debug for Drain<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// The guard of a borrowed [`BorrowCell`](crate::BorrowCell): it dereferences to the value, and ends the borrow when it is dropped.
///
/// [`PerThread::borrow_mut`] and its variants create it. Any thread can drop it, also when the thread that created it has exited.
///
/// # Examples
///
/// ```
/// use os_thread_local::per_thread::RefMut;
/// use os_thread_local::{BorrowCell, PerThread};
///
/// static BUFFERS: PerThread<BorrowCell<Vec<u8>>> = PerThread::new(BorrowCell::default);
///
/// fn empty_buffer() -> RefMut<'static, Vec<u8>> {
///     let mut buffer = BUFFERS.borrow_mut();
///     buffer.clear();
///     buffer
/// }
///
/// empty_buffer().push(1);
/// assert!(empty_buffer().is_empty());
/// ```
#[must_use = "the borrow ends when the guard is dropped"]
pub struct RefMut<'a, T: ?Sized> {
    value: NonNull<T>,
    borrow: Borrow<'a>,
    _value: PhantomData<&'a mut T>,
}

/// Ends a borrow when it is dropped.
struct Borrow<'a>(&'a AtomicU16);

impl Drop for Borrow<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.store(0, Ordering::Release);
    }
}

// SAFETY: it is equivalent to a `&mut T`. The borrow ends by an atomic store.
unsafe impl<T: ?Sized + Send> Send for RefMut<'_, T> {}
// SAFETY: a shared reference to the guard gives a `&T`.
unsafe impl<T: ?Sized + Sync> Sync for RefMut<'_, T> {}

impl<'a, T: ?Sized> RefMut<'a, T> {
    /// # Safety
    /// The value is alive for `'a`. Until the guard is dropped, which stores 0 in `borrowed`, only the guard accesses it.
    #[inline(always)]
    pub(crate) unsafe fn new(value: NonNull<T>, borrowed: &'a AtomicU16) -> Self {
        RefMut { value, borrow: Borrow(borrowed), _value: PhantomData }
    }

    /// Makes a guard for a component of the borrowed value.
    ///
    /// This is an associated function, so that it does not hide a method of the value: `RefMut::map(guard, f)`.
    ///
    /// # Panics
    ///
    /// Panics if `f` panics. The borrow has ended then.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::per_thread::RefMut;
    /// use os_thread_local::{BorrowCell, PerThread};
    ///
    /// let pairs = PerThread::new(|| BorrowCell::new((1, String::new())));
    /// let mut text: RefMut<'_, String> = RefMut::map(pairs.borrow_mut(), |pair| &mut pair.1);
    /// text.push('a');
    /// drop(text);
    /// assert_eq!(*pairs.borrow_mut(), (1, "a".to_string()));
    /// ```
    #[inline]
    pub fn map<U: ?Sized>(
        mut guard: RefMut<'a, T>,
        f: impl FnOnce(&mut T) -> &mut U,
    ) -> RefMut<'a, U> {
        let value = NonNull::from(f(&mut guard));
        RefMut { value, borrow: guard.borrow, _value: PhantomData }
    }
}

impl<T: ?Sized> Deref for RefMut<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the value is alive, and only this guard accesses it (`new`).
        unsafe { self.value.as_ref() }
    }
}

impl<T: ?Sized> DerefMut for RefMut<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as in `deref`; the guard is borrowed exclusively.
        unsafe { self.value.as_mut() }
    }
}

impl<T: ?Sized + fmt::Debug> fmt::Debug for RefMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl<T: ?Sized + fmt::Display> fmt::Display for RefMut<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&**self, f)
    }
}
