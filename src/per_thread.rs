//! Values that belong to the object: [`PerThread`], and the iterators over its values.

use crate::storage::{ObjectSlot, Pointers, Taken};
use crate::thread_local::panic_access;
use crate::AccessError;
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::panic::{RefUnwindSafe, UnwindSafe};

/// A value per thread that belongs to the object: all of them can be visited, and they die with it.
///
/// Each thread that uses the object works on a value of its own, without a lock. When a thread exits, its value stays, and the
/// next thread that needs one takes it over as it is: there are never more values than threads alive at once. Who owns the object can look
/// at all values ([`iter_mut`](Self::iter_mut)), take them out ([`drain`](Self::drain), [`into_iter`](IntoIterator::into_iter)), or drop them;
/// where `T` is [`Sync`], anyone can look at them while their threads work ([`iter`](Self::iter)).
///
/// With [`ThreadLocal`](crate::ThreadLocal) the values belong to the threads: take that for what is of no use after its thread
/// (a handle, a cache, a value that is `!Send`), and `PerThread` for what is gathered in the end (counters, partial results, buffers).
///
/// `T` must be [`Send`], because another thread may take it over or destroy it. It need not be `Sync`, and it may borrow. No
/// reference to a value leaves the closure of `with`, so a value that was taken over has one user.
///
/// # When values are destroyed
///
/// With the object, at once, by the thread that drops it; or when they are taken out ([`clear`](Self::clear), [`drain`](Self::drain),
/// [`remove`](Self::remove)). Not when a thread exits: destructors that run then and use the object find the thread's value still there, or,
/// once it was left to others, take over one like a new thread. Values of a `static` are not destroyed when the process exits.
///
/// On Windows each fiber has a value of its own, which it leaves behind when it is deleted. There std's thread-local values may be
/// destroyed after this crate's: a value that their destructors take over or make stays with the thread that has ended, and is not
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
pub struct PerThread<T: Send, F = fn() -> T> {
    slot: ObjectSlot<T>,
    init: F,
}

impl<T: Send> PerThread<T> {
    /// A per-thread object whose values are made by a function, or by a closure that captures nothing.
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// static BUFFERS: PerThread<Vec<u8>> = PerThread::new(Vec::new);
    /// assert!(BUFFERS.with(Vec::is_empty));
    /// ```
    pub const fn new(init: fn() -> T) -> Self {
        Self::from_fn(init)
    }
}

impl<T: Send, F> PerThread<T, F> {
    /// Calls `f` with this thread's value if it has one. It never makes one, and takes over none.
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let values = PerThread::new(|| 7);
    /// assert_eq!(values.with_existing(|v| *v), None);
    /// values.with(|_| ());
    /// assert_eq!(values.with_existing(|v| *v), Some(7));
    /// ```
    pub fn with_existing<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.slot.with_existing(f)
    }

    /// Calls `f` with this thread's value. If it has none, it takes over one that a thread left behind, or makes one with `init`
    /// instead of the object's initializer.
    ///
    /// # Panics
    ///
    /// As for [`with`](Self::with).
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let names = PerThread::new(String::new);
    /// assert_eq!(names.with_or(|| String::from("main"), String::clone), "main");
    /// assert_eq!(names.with_or(|| String::from("unused"), String::clone), "main");
    /// ```
    #[inline]
    #[track_caller]
    pub fn with_or<R>(&self, init: impl FnOnce() -> T, f: impl FnOnce(&T) -> R) -> R {
        match self.slot.with(init, f) {
            Ok(result) => result,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Calls `f` with this thread's value. If it has none, it takes over one that a thread left behind, or makes one with `init`,
    /// which may fail.
    ///
    /// # Errors
    ///
    /// What `init` gives; nothing is stored then, and the next access tries again. What [`try_with`](Self::try_with) gives,
    /// turned into an `E`.
    ///
    /// ```
    /// use os_thread_local::{AccessError, PerThread};
    /// use std::{fs::File, io};
    ///
    /// enum NoFile {
    ///     NotOpened(io::Error),
    ///     NoStorage(AccessError),
    /// }
    /// impl From<AccessError> for NoFile {
    ///     fn from(error: AccessError) -> Self {
    ///         NoFile::NoStorage(error)
    ///     }
    /// }
    ///
    /// let files = PerThread::new(|| unreachable!("made by `with_or_try` only"));
    /// let length = files.with_or_try(
    ///     || File::open("/nonexistent").map_err(NoFile::NotOpened),
    ///     |file| file.metadata().map(|metadata| metadata.len()),
    /// );
    /// assert!(matches!(length, Err(NoFile::NotOpened(_))));
    /// assert!(files.is_empty());
    /// ```
    pub fn with_or_try<R, E: From<AccessError>>(
        &self,
        init: impl FnOnce() -> Result<T, E>,
        f: impl FnOnce(&T) -> R,
    ) -> Result<R, E> {
        match self.slot.with_try_init(init, f) {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes this thread's value out, if it has one. Its next access takes over or makes another.
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

    /// Takes what the first use would take: the operating system's key, and the object's slot number. Afterwards only the memory for a
    /// thread's value can be missing.
    ///
    /// # Errors
    ///
    /// [`OutOfKeys`](AccessError::OutOfKeys) and [`OutOfMemory`](AccessError::OutOfMemory). A later call tries again.
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

    /// The number of values: at most as many as there were threads with one at the same time.
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
    pub fn is_empty(&self) -> bool {
        self.slot.iter().next().is_none()
    }

    /// Iterates over all values, newest first, while other threads go on using theirs.
    ///
    /// Values that are made meanwhile may be missed; none is visited twice. No lock is held, and nobody waits for the iterator.
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

    /// Calls `f` with this thread's value, made by `init` if there is none.
    #[inline(always)]
    pub(crate) fn with_init<R>(
        &self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&T) -> R,
    ) -> Result<R, AccessError> {
        self.slot.with(init, f)
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
    pub const fn from_fn(init: F) -> Self {
        PerThread { slot: ObjectSlot::new(), init }
    }

    /// Calls `f` with this thread's value. If it has none, it takes over one that a thread left behind, or makes one.
    ///
    /// # Panics
    ///
    /// Where [`try_with`](Self::try_with) gives an error; and if the initializer panics.
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
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        match self.slot.with(&self.init, f) {
            Ok(result) => result,
            Err(error) => panic_access("PerThread", error),
        }
    }

    /// Calls `f` with this thread's value. If it has none, it takes over one that a thread left behind, or makes one.
    ///
    /// # Errors
    ///
    /// - [`Recursive`](AccessError::Recursive): the initializer is running.
    /// - [`OutOfKeys`](AccessError::OutOfKeys), [`OutOfMemory`](AccessError::OutOfMemory): the first use needs one that is not to be had; a later
    ///   call tries again.
    ///
    /// # Panics
    ///
    /// If the initializer panics. Nothing is stored then, and the next access runs it again.
    ///
    /// ```
    /// use os_thread_local::PerThread;
    ///
    /// let values = PerThread::new(|| 42);
    /// assert_eq!(values.try_with(|v| *v), Ok(42));
    /// ```
    #[inline]
    pub fn try_with<R>(&self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        self.slot.with(&self.init, f)
    }

    /// This thread's value, exclusively; taken over or made if it has none.
    ///
    /// # Errors
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
    pub fn get_mut(&mut self) -> Result<&mut T, AccessError> {
        self.slot.get_mut(&self.init)
    }
}

impl<T: Default + Send> Default for PerThread<T> {
    /// Values are made by `T::default`.
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
