//! Values that belong to the object: [`PerThread`], and the iterators over its values.

use crate::storage::{ObjectSlot, Pointers, Taken};
use crate::thread_local::panic_access;
use crate::{AccessError, InitError, NoInit};
use core::cell::Cell;
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::panic::{RefUnwindSafe, UnwindSafe};

/// A value per thread that belongs to the object: all of them can be visited, and they die with it.
///
/// Each thread that uses the object works on a value of its own, without a lock. When a thread exits, its values of all `PerThread`
/// objects stay, and a thread that begins later inherits them as they are: there are never more values than threads were alive at
/// once. The owner of the object can look at all values ([`iter_mut`](Self::iter_mut)), take them out ([`drain`](Self::drain), [`into_iter`](IntoIterator::into_iter)), or drop them;
/// where `T` is [`Sync`], any thread can look at them while their threads work ([`iter`](Self::iter)).
///
/// With [`ThreadLocal`](crate::ThreadLocal) the values belong to the threads: take that for what is of no use after its thread
/// (a handle, a cache, a value that is `!Send`), and `PerThread` for what is gathered in the end (counters, partial results, buffers).
///
/// `T` need not be `Sync`, and it may borrow. No reference to a value leaves the closure of `with`, so a value that was inherited has one
/// user.
///
/// # Values that are not `Send`
///
/// `T` must be [`Send`], because another thread may inherit a value, look at it in [`iter_mut`](Self::iter_mut), or destroy it. For an `Rc`, a
/// guard or a raw pointer (error E0277, "cannot be sent between threads safely") take [`ThreadLocal`](crate::ThreadLocal), whose values never leave
/// their thread; or `Arc` for `Rc`; or wrap the pointer in a type for which `unsafe impl Send` holds.
///
/// # When values are destroyed
///
/// With the object, at once, by the thread that drops it; or when they are taken out ([`clear`](Self::clear), [`drain`](Self::drain),
/// [`remove`](Self::remove)). Not when a thread exits: destructors that run then and use the object find the thread's value still there, or,
/// once it was left to others, a new one, or one that they inherit. Values of a `static` are not destroyed when the process exits.
///
/// On Windows each fiber has a value of its own, which it leaves behind when it is deleted. There std's thread-local values may be
/// destroyed after this crate's: a value that their destructors make or inherit stays with the thread that has ended, and is not
/// used again until it is taken out or the object is dropped.
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
#[doc(alias("CachedThreadLocal", "enumerable_thread_specific", "combinable"))]
pub struct PerThread<T: Send, F = fn() -> T> {
    slot: ObjectSlot<T>,
    init: F,
}

impl<T: Send> PerThread<T> {
    /// A per-thread object whose values are made by a function, or by a closure that captures nothing.
    ///
    /// # Captures
    ///
    /// The initializer is a function pointer (`fn() -> T`), so that the type can be named in a `static` or a field. A closure that captures
    /// a variable is none (error E0308, "expected fn pointer, found closure"): give it to [`from_fn`](Self::from_fn), or make the value
    /// where it is used, with [`with_or`](Self::with_or).
    ///
    /// A `T` that is not `Send` is refused, too (error E0277): see
    /// [Values that are not `Send`](PerThread#values-that-are-not-send).
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
    /// A per-thread object without an initializer: [`with_or`](Self::with_or), [`with_or_try`](Self::with_or_try) and the methods that
    /// set a `Cell` or a `RefCell` make its values. There is no [`with`](PerThread::with).
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

impl<T: Send, F> PerThread<T, F> {
    /// Calls `f` with this thread's value if it has one. It never makes one.
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let values = PerThread::new(|| 7);
    /// assert_eq!(values.with_existing(|v| *v), None);
    /// values.with(|_| ());
    /// assert_eq!(values.with_existing(|v| *v), Some(7));
    /// ```
    #[inline]
    pub fn with_existing<R, G: FnOnce(&T) -> R>(&self, f: G) -> Option<R> {
        self.slot.with_existing(f)
    }

    /// Calls `f` with this thread's value. If it has none, `init` makes one, instead of the object's initializer.
    ///
    /// # Panics
    ///
    /// Where [`try_with_or`](Self::try_with_or) gives an error, and where it panics.
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let names = PerThread::without_init();
    /// assert_eq!(names.with_or(|| String::from("main"), String::clone), "main");
    /// assert_eq!(names.with_or(|| String::from("unused"), String::clone), "main");
    /// ```
    #[doc(alias("get_or", "get_or_init"))]
    #[inline]
    #[track_caller]
    pub fn with_or<R>(&self, init: impl FnOnce() -> T, f: impl FnOnce(&T) -> R) -> R {
        match self.slot.with(init, f) {
            Ok(result) => result,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Calls `f` with this thread's value. If it has none, `init` makes one, instead of the object's initializer.
    ///
    /// # Errors
    ///
    /// As for [`try_with`](PerThread::try_with).
    ///
    /// # Panics
    ///
    /// As for [`try_with`](PerThread::try_with), with `init` as the initializer.
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let names = PerThread::without_init();
    /// assert_eq!(names.try_with_or(|| String::from("main"), String::len), Ok(4));
    /// ```
    #[inline]
    pub fn try_with_or<R>(
        &self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&T) -> R,
    ) -> Result<R, AccessError> {
        self.slot.with(init, f)
    }

    /// Calls `f` with this thread's value. If it has none, `init` makes one, which may fail.
    ///
    /// # Errors
    ///
    /// - [`InitError::Init`]: what `init` gave. Nothing is stored, and the next access tries again.
    /// - [`InitError::Access`]: what [`try_with`](PerThread::try_with) gives.
    ///
    /// # Panics
    ///
    /// As for [`try_with`](PerThread::try_with), with `init` as the initializer.
    ///
    /// ```
    /// use os_thread_local::{InitError, PerThread};
    /// use std::{fs::File, io};
    ///
    /// let files = PerThread::without_init();
    /// let length = files.with_or_try(
    ///     || File::open("/nonexistent"),
    ///     |file| file.metadata().map(|metadata| metadata.len()),
    /// );
    /// match length {
    ///     Ok(length) => println!("{:?} bytes", length),
    ///     Err(InitError::Init(error)) => assert_eq!(error.kind(), io::ErrorKind::NotFound),
    ///     Err(InitError::Access(error)) => panic!("{}", error),
    /// }
    /// assert!(files.is_empty());
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

    /// Takes this thread's value out, if it has one. Its next access makes another.
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

    /// Performs everything that the first use on this thread needs except making the value: it takes the operating system's key,
    /// the object's slot number, and this thread's record with room for the number. Afterwards only the memory for the value can be missing.
    ///
    /// # Errors
    ///
    /// [`OutOfKeys`](AccessError::OutOfKeys) and [`OutOfMemory`](AccessError::OutOfMemory): a later call tries again.
    /// [`Recursive`](AccessError::Recursive) inside an allocation that the crate makes for the record or the number.
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// static COUNTS: PerThread<u64> = PerThread::new(|| 0);
    ///
    /// // At start-up, where a failure can still be reported.
    /// COUNTS.prepare()?;
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    pub fn prepare(&self) -> Result<(), AccessError> {
        self.slot.prepare()
    }

    /// The number of values: at most as many as threads were alive at once.
    ///
    /// It counts them one by one, without a lock. Values that other threads make meanwhile may be missed.
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

    /// Whether no thread has made a value yet.
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

    /// Iterates over all values, newest first, while other threads go on using theirs.
    ///
    /// Values that are made meanwhile may be missed; none is visited twice. No lock is held, and no thread waits for the iterator.
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

    /// Calls `f` with every value, newest first, while other threads go on using theirs: [`iter`](Self::iter) as a call.
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

    /// Iterates over all values, exclusively, newest first.
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

    /// Takes all values out. What is left when the iterator is dropped is destroyed.
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

    /// Destroys all values. The next access of each thread makes a new one.
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

    /// Makes this thread's value of `value`, or calls `f` with the one that is there and `value`.
    #[inline]
    pub(crate) fn set_or_make<V, R>(
        &self,
        value: V,
        make: fn(V) -> T,
        f: impl FnOnce(&T, V) -> R,
    ) -> Result<Option<R>, AccessError> {
        let value = Cell::new(Some(value));
        // The initializer runs once at the most, and before the closure.
        let init = || make(value.take().unwrap_or_else(|| unreachable!()));
        self.slot.with(init, |there| value.take().map(|value| f(there, value)))
    }
}

impl<T: Send, F: Fn() -> T> PerThread<T, F> {
    /// A per-thread object whose values are made by any closure, which may capture.
    ///
    /// ```
    /// use os_thread_local::PerThread;
    /// use std::sync::Mutex;
    ///
    /// let size = 16;
    /// let words = vec![String::from("a"), String::from("b")];
    /// // The values may borrow.
    /// let seen = PerThread::from_fn(|| Mutex::new(Vec::<&str>::with_capacity(size)));
    /// seen.with(|v| v.lock().unwrap().push(&words[0]));
    /// assert_eq!(seen.len(), 1);
    /// ```
    #[must_use]
    pub const fn from_fn(init: F) -> Self {
        PerThread { slot: ObjectSlot::new(), init }
    }

    /// Calls `f` with this thread's value. If it has none, the initializer makes one.
    ///
    /// # Returning references
    ///
    /// The reference does not leave the closure, because another thread may take the value over when this one has exited. A closure
    /// that returns the reference, or a [`Ref`](core::cell::Ref) made of it, does not compile ("lifetime may not live long enough"; error E0521,
    /// "borrowed data escapes", if it is stored). Return a clone, or what the caller wants of the value; or take a closure from the caller:
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
    /// Who borrows the object exclusively may keep a reference as long: see [`get_mut`](Self::get_mut) and [`iter_mut`](Self::iter_mut).
    ///
    /// # Panics
    ///
    /// Where [`try_with`](Self::try_with) gives an error, and where it panics.
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

    /// Calls `f` with this thread's value. If it has none, the initializer makes one.
    ///
    /// # Errors
    ///
    /// - [`Recursive`](AccessError::Recursive): the initializer is running.
    /// - [`OutOfKeys`](AccessError::OutOfKeys), [`OutOfMemory`](AccessError::OutOfMemory): no key or memory was available for the first use; a later
    ///   call tries again.
    ///
    /// # Panics
    ///
    /// - If `f` panics.
    /// - If the initializer panics. Nothing is stored then, and the next access runs it again.
    /// - If a destructor panics that a first use runs: before it makes a value, it destroys those that dropped objects of the type
    ///   [`ThreadLocal`](crate::ThreadLocal) left on this thread (see [`reclaim`](crate::reclaim)). The rest of them are destroyed by a later call.
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

    /// Calls `f` with this thread's value, exclusively; it is made if there is none.
    ///
    /// # Panics
    ///
    /// As for [`with`](Self::with).
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
        match self.get_mut() {
            Ok(value) => f(value),
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Calls `f` with this thread's value, exclusively; it is made if there is none.
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
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::new(Vec::new);
    /// assert_eq!(values.try_with_mut(|v| v.push(1)), Ok(()));
    /// ```
    #[inline]
    pub fn try_with_mut<R, G: FnOnce(&mut T) -> R>(&mut self, f: G) -> Result<R, AccessError> {
        self.get_mut().map(f)
    }

    /// This thread's value, exclusively; made if it has none.
    ///
    /// Unlike [`with_mut`](Self::with_mut) it gives the reference out: the value is the object's, and stays when the thread exits.
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
    /// use os_thread_local::PerThread;
    ///
    /// let mut values = PerThread::new(Vec::new);
    /// values.get_mut()?.push(1);
    /// assert_eq!(values.into_iter().next(), Some(vec![1]));
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    #[inline]
    pub fn get_mut(&mut self) -> Result<&mut T, AccessError> {
        self.slot.get_mut(&self.init)
    }
}

impl<T: Default + Send> Default for PerThread<T> {
    /// Values are made by `T::default`.
    #[doc(alias = "get_or_default")]
    fn default() -> Self {
        PerThread::new(T::default)
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

/// An iterator over the values of a [`PerThread`] while their threads use them; from [`iter`](PerThread::iter).
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

// SAFETY: it is a number of `&T`.
unsafe impl<T: Sync> Send for Iter<'_, T> {}
// SAFETY: as above.
unsafe impl<T: Sync> Sync for Iter<'_, T> {}

impl<T: RefUnwindSafe> UnwindSafe for Iter<'_, T> {}
impl<T: RefUnwindSafe> RefUnwindSafe for Iter<'_, T> {}

impl<'a, T> Iterator for Iter<'a, T> {
    type Item = &'a T;

    fn next(&mut self) -> Option<&'a T> {
        // SAFETY: the value is not destroyed or moved while the object is borrowed, and `T` is `Sync` (`PerThread::iter`), so
        // that this thread may look at it beside its own.
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

/// An iterator over the values of a [`PerThread`], exclusively; from [`iter_mut`](PerThread::iter_mut).
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

// SAFETY: it is a number of `&mut T`.
unsafe impl<T: Send> Send for IterMut<'_, T> {}
// SAFETY: as above; a shared one gives nothing out.
unsafe impl<T: Sync> Sync for IterMut<'_, T> {}

// As a `&mut T`, it is not `UnwindSafe`.
impl<T: RefUnwindSafe> RefUnwindSafe for IterMut<'_, T> {}

impl<'a, T> Iterator for IterMut<'a, T> {
    type Item = &'a mut T;

    fn next(&mut self) -> Option<&'a mut T> {
        let value = self.values.next()?;
        self.len -= 1;
        // SAFETY: the object is borrowed exclusively for `'a`. Each is visited once, so the references are to different
        // values.
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

/// The values of a [`PerThread`], taken out of it; from [`into_iter`](IntoIterator::into_iter). Dropped, it destroys the rest.
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

// SAFETY: it is a number of `T`s, in memory of its own.
unsafe impl<T: Send> Send for IntoIter<T> {}
// SAFETY: as above; a shared one gives nothing out.
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

/// The values of a [`PerThread`], taken out of it; from [`drain`](PerThread::drain). Dropped, it destroys the rest.
///
/// ```
/// use os_thread_local::PerThread;
///
/// let mut values = PerThread::new(|| 1);
/// values.with(|_| ());
/// assert_eq!(values.drain().next(), Some(1));
/// ```
#[derive(Debug)]
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
