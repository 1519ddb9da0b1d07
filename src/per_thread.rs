//! Values that belong to the object: [`PerThread`], and the iterators over its values.

use crate::access;
use crate::local::panic_access;
use crate::node::{self, Chain, Kind, Node, Owner};
use crate::registry::{self, REGISTRY};
use crate::root;
use crate::slot::SlotWord;
use crate::AccessError;
use core::fmt;
use core::iter::FusedIterator;
use core::marker::PhantomData;
use core::ptr::NonNull;

/// A value per thread that belongs to the object: all of them can be visited, and they die with it.
///
/// Each thread that uses the object works on a value of its own, without a lock. When a thread exits, its value stays, and the
/// next thread that needs one takes it over as it is: there are never more values than threads alive at once. Who owns the object can look
/// at all values ([`iter_mut`](Self::iter_mut)), take them out ([`drain`](Self::drain), [`into_iter`](IntoIterator::into_iter)), or drop them.
///
/// With [`ThreadLocal`](crate::ThreadLocal) the values belong to the threads: take that for what is of no use after its thread
/// (a handle, a cache, a value that is `!Send`), and `PerThread` for what is gathered in the end (counters, partial results, buffers).
///
/// `T` must be [`Send`], because another thread may take it over or destroy it. It need not be `Sync`, and it may borrow.
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
///                 hits.with(|n| n.set(n.get() + 1));
///             }
///         });
///     }
/// });
/// let total: u32 = hits.into_iter().map(Cell::into_inner).sum();
/// assert_eq!(total, 4000);
/// ```
pub struct PerThread<T: Send, F = fn() -> T> {
    word: SlotWord,
    init: F,
    /// `T` is `Send`, which is all that sharing the object asks of it: one thread at a time has a value. (`for_each`, which
    /// shows values to other threads, asks for `Sync` itself.) Invariant in `T`: values are stored through `&self`, so an object whose
    /// type says `&'static str` must not pass for one of a shorter lifetime, not even behind a shared reference.
    _values: PhantomData<fn(T) -> T>,
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
    const KIND: &'static Kind = &Kind::new::<T>(Owner::Object);

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
        // SAFETY: the word is this object's. Its values are destroyed and moved through `&mut self` only, and this one is
        // taken over only after this thread has exited.
        unsafe { access::existing::<T>(&self.word).map(|value| f(&*value)) }
    }

    /// The number of values: at most as many as there were threads with one at the same time.
    ///
    /// Other threads may be making values meanwhile. It counts them one by one, with the crate's lock held.
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
        self.word.number().map_or(0, |number| REGISTRY.lock().nodes(number).1)
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
        self.first().is_none()
    }

    /// Calls `f` with every value, newest first, while other threads go on using theirs.
    ///
    /// Values that are made meanwhile may be missed; none is visited twice. No lock is held while `f` runs.
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
    ///     let mut sum = 0;
    ///     REQUESTS.for_each(|n| sum += n.load(Ordering::Relaxed));
    ///     sum
    /// }
    ///
    /// on_request();
    /// assert_eq!(requests_so_far(), 1);
    /// ```
    pub fn for_each(&self, mut f: impl FnMut(&T))
    where
        T: Sync,
    {
        let mut rest = self.first();
        while let Some(node) = rest {
            // SAFETY: a node of this object, which `&self` keeps alive and in the slot's list. Its value was written
            // before it came into the list, and `T: Sync` lets this thread look at it.
            unsafe {
                f(&*node::value::<T>(node));
                // Not under the lock: only newer nodes are put in front of it, so its own `slot_next` does not change.
                rest = node.as_ref().slot_next.get();
            }
        }
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
        let (next, len) = match self.word.number() {
            Some(number) => REGISTRY.lock().nodes(number),
            None => (None, 0),
        };
        IterMut { next, len, _values: PhantomData }
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
        let chain = match self.word.number() {
            // SAFETY: the object is borrowed exclusively.
            Some(number) => unsafe { REGISTRY.lock().detach(number, root::current()) },
            None => Chain::new(),
        };
        IntoIter { len: chain.len(), chain, _values: PhantomData }
    }

    fn first(&self) -> Option<NonNull<Node>> {
        let number = self.word.number()?;
        REGISTRY.lock().first(number)
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
        PerThread { word: SlotWord::new(), init, _values: PhantomData }
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
        // SAFETY: used before this returns.
        match unsafe { self.value() } {
            // SAFETY: a live value that is this thread's; nobody has it exclusively while `self` is shared.
            Ok(value) => f(unsafe { &*value }),
            Err(error) => panic_access(error),
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
        // SAFETY: used before this returns; a live value that is this thread's, and nobody has it exclusively while `self`
        // is shared.
        unsafe { self.value().map(|value| f(&*value)) }
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
        // SAFETY: the value is the object's, which is borrowed exclusively for as long as the reference lives, whatever becomes of
        // the thread.
        unsafe { self.value().map(|value| &mut *value) }
    }

    /// # Safety
    /// As for `access::value_or`.
    #[inline(always)]
    unsafe fn value(&self) -> Result<*mut T, AccessError> {
        // SAFETY: the word is this object's, and `KIND` is what all its nodes are; the rest as the caller promises.
        unsafe { access::value_or(&self.word, Self::KIND, || (self.init)()) }
    }
}

impl<T: Send, F> Drop for PerThread<T, F> {
    fn drop(&mut self) {
        // SAFETY: the object is owned exclusively and ends here.
        unsafe { registry::drop_object(&self.word) }
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

impl<'a, T: Send, F> IntoIterator for &'a mut PerThread<T, F> {
    type Item = &'a mut T;
    type IntoIter = IterMut<'a, T>;

    fn into_iter(self) -> IterMut<'a, T> {
        self.iter_mut()
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
    next: Option<NonNull<Node>>,
    len: usize,
    _values: PhantomData<&'a mut T>,
}

// SAFETY: it is a number of `&mut T`.
unsafe impl<T: Send> Send for IterMut<'_, T> {}
// SAFETY: as above; a shared one gives nothing out.
unsafe impl<T: Sync> Sync for IterMut<'_, T> {}

impl<'a, T> Iterator for IterMut<'a, T> {
    type Item = &'a mut T;

    fn next(&mut self) -> Option<&'a mut T> {
        let node = self.next?;
        self.len -= 1;
        // SAFETY: the object is borrowed exclusively for `'a`, so its nodes stay in the slot's list, in the order they have. Each is
        // visited once, so the references are to different values.
        unsafe {
            self.next = node.as_ref().slot_next.get();
            Some(&mut *node::value::<T>(node))
        }
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
    chain: Chain,
    len: usize,
    _values: PhantomData<T>,
}

// SAFETY: it is a number of `T`s, in memory of its own.
unsafe impl<T: Send> Send for IntoIter<T> {}
// SAFETY: as above; a shared one gives nothing out.
unsafe impl<T: Sync> Sync for IntoIter<T> {}

impl<T> Iterator for IntoIter<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let node = self.chain.pop()?;
        self.len -= 1;
        // SAFETY: the chain holds nodes of one `PerThread<T>`, which are in no list, and gives each out once.
        Some(unsafe { node::into_value::<T>(node) })
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
