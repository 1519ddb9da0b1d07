use crate::storage::{self, Slot};
use crate::AccessError;
use core::fmt;

/// A value per thread, for an object or a `static`.
///
/// Each thread that uses it has its own `T`, made by the initializer on first use and destroyed when the thread exits, or
/// when the object is dropped. It reads like `std::thread::LocalKey`, but it is a value like any other: it can be a field, be
/// moved, be dropped. It is two words.
///
/// It can be shared between threads and sent to them whatever `T` is (`Rc`, raw pointers): a `T` never leaves its thread. Only the
/// initializer `F` must be [`Send`] and [`Sync`] for that; a plain function is.
///
/// # Examples
///
/// In a `static`:
///
/// ```
/// use os_thread_local::ThreadLocal;
/// use std::cell::RefCell;
/// use std::thread;
///
/// static FOO: ThreadLocal<RefCell<u32>> = ThreadLocal::new(|| RefCell::new(1));
///
/// FOO.with(|foo| {
///     assert_eq!(*foo.borrow(), 1);
///     *foo.borrow_mut() = 2;
/// });
/// // Each thread starts out with a value of its own.
/// thread::spawn(|| {
///     FOO.with(|foo| {
///         assert_eq!(*foo.borrow(), 1);
///         *foo.borrow_mut() = 3;
///     });
/// })
/// .join()
/// .unwrap();
/// FOO.with(|foo| assert_eq!(*foo.borrow(), 2));
/// ```
///
/// In an object, used from scoped threads:
///
/// ```
/// use crossbeam_utils::thread::scope;
/// use os_thread_local::ThreadLocal;
/// use std::cell::RefCell;
///
/// struct Foo {
///     data: u32,
///     tls: ThreadLocal<RefCell<u32>>,
/// }
///
/// let foo = Foo { data: 0, tls: ThreadLocal::new(|| RefCell::new(1)) };
/// foo.tls.with(|v| *v.borrow_mut() = 2);
/// scope(|s| {
///     s.spawn(|_| {
///         foo.tls.with(|v| {
///             assert_eq!(*v.borrow(), 1);
///             *v.borrow_mut() = 3;
///         });
///     });
/// })
/// .unwrap();
/// foo.tls.with(|v| assert_eq!(*v.borrow(), 2));
/// ```
///
/// # When values are destroyed
///
/// - **A thread exits**: its values are destroyed, newest first, those included that their destructors create. From then
///   on the thread gets [`AccessError::Destroyed`] for them. Where the C library has a thread-exit list
///   (glibc, Android, FreeBSD, Apple), that is before std's thread-locals which existed when the thread first used this crate: `Drop` may
///   print and ask for the current thread. Elsewhere (musl, Windows) the order among libraries is the system's.
/// - **The object is dropped**: this thread's value is destroyed at once. A value of another thread may be `!Send`: if it
///   has anything to drop, its own thread destroys it when it next uses an object for the first time, calls [`reclaim`], or exits.
/// - **The process exits**: the values of the thread that returns from `main` or calls `exit` are destroyed. Other
///   threads keep theirs, and may go on using them.
///
/// A panic in `Drop` while a thread exits aborts the process, as with std.
///
/// On Windows each fiber has a value of its own, destroyed with the fiber. Threads end one at a time there, under the
/// loader's lock: a `Drop` must not wait for another thread to start or to end, as with std.
///
/// # What it may cost
///
/// An object that was used keeps 16 bytes of memory in a table until it is dropped; each value is one allocation with 48
/// bytes for the crate. Each thread has a table as long as the largest number of objects that were in use at a time. The
/// tables of four ended threads, if they are not longer than 1,024 entries of one word, are kept for threads to come.
pub struct ThreadLocal<T: 'static, F = fn() -> T> {
    slot: Slot<T>,
    init: F,
}

impl<T: 'static> ThreadLocal<T> {
    /// A thread-local whose values are made by a function, or by a closure that captures nothing.
    ///
    /// It touches nothing: the operating system's key is taken on first use.
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    ///
    /// static NAMES: ThreadLocal<Vec<String>> = ThreadLocal::new(Vec::new);
    /// let per_core = vec![ThreadLocal::new(|| 1), ThreadLocal::new(|| 2)];
    /// assert_eq!(per_core[1].with(|n| *n), 2);
    /// assert!(NAMES.with(Vec::is_empty));
    /// ```
    pub const fn new(init: fn() -> T) -> Self {
        Self::from_fn(init)
    }
}

impl<T: 'static, F> ThreadLocal<T, F> {
    /// Calls `f` with this thread's value if there is one. It never makes one.
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    ///
    /// let tls = ThreadLocal::new(|| 7);
    /// assert_eq!(tls.with_existing(|v| *v), None);
    /// tls.with(|_| ());
    /// assert_eq!(tls.with_existing(|v| *v), Some(7));
    /// ```
    pub fn with_existing<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        self.slot.with_existing(f)
    }

    /// Takes this thread's value out, if there is one. The next access makes a new one.
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    ///
    /// let mut tls = ThreadLocal::new(|| String::from("fresh"));
    /// tls.with_mut(|s| s.push_str(", used"));
    /// assert_eq!(tls.remove().as_deref(), Some("fresh, used"));
    /// assert_eq!(tls.remove(), None);
    /// tls.with(|s| assert_eq!(s, "fresh"));
    /// ```
    pub fn remove(&mut self) -> Option<T> {
        self.slot.remove()
    }

    /// Takes what the first use would take, but for the value itself: the operating system's key, this thread's record,
    /// and the object's slot number.
    ///
    /// # Errors
    ///
    /// [`OutOfKeys`](AccessError::OutOfKeys) and [`OutOfMemory`](AccessError::OutOfMemory): a later call tries again.
    /// [`Recursive`](AccessError::Recursive) inside an allocation that the crate makes for this thread's record.
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    ///
    /// static STATE: ThreadLocal<u64> = ThreadLocal::new(|| 0);
    ///
    /// // At start-up, where a failure can still be reported.
    /// STATE.prepare()?;
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    pub fn prepare(&self) -> Result<(), AccessError> {
        self.slot.prepare()
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

impl<T: 'static, F: Fn() -> T> ThreadLocal<T, F> {
    /// A thread-local whose values are made by any closure, which may capture.
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    ///
    /// let next = AtomicU32::new(0);
    /// let index = ThreadLocal::from_fn(|| next.fetch_add(1, Ordering::Relaxed));
    /// assert_eq!(index.with(|i| *i), 0);
    /// std::thread::scope(|s| {
    ///     s.spawn(|| assert_eq!(index.with(|i| *i), 1));
    /// });
    /// ```
    pub const fn from_fn(init: F) -> Self {
        ThreadLocal { slot: Slot::new(), init }
    }

    /// Calls `f` with this thread's value, which is made first if there is none.
    ///
    /// # Panics
    ///
    /// Where [`try_with`](Self::try_with) gives an error; and if the initializer panics.
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    /// use std::cell::Cell;
    ///
    /// let tls = ThreadLocal::new(|| Cell::new(42));
    /// tls.with(|v| v.set(v.get() + 1));
    /// assert_eq!(tls.with(Cell::get), 43);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with<R>(&self, f: impl FnOnce(&T) -> R) -> R {
        match self.slot.with(&self.init, f) {
            Ok(result) => result,
            Err(error) => panic_access("ThreadLocal", error),
        }
    }

    /// Calls `f` with this thread's value, which is made first if there is none.
    ///
    /// # Errors
    ///
    /// - [`Destroyed`](AccessError::Destroyed): the thread is exiting, and its value is gone.
    /// - [`Recursive`](AccessError::Recursive): the initializer is running.
    /// - [`OutOfKeys`](AccessError::OutOfKeys), [`OutOfMemory`](AccessError::OutOfMemory): the first use needs one that is not to be had; a later
    ///   call tries again.
    ///
    /// # Panics
    ///
    /// If the initializer panics. Nothing is stored then, and the next access runs it again.
    ///
    /// ```
    /// use os_thread_local::{AccessError, ThreadLocal};
    ///
    /// static LOOP: ThreadLocal<u32> = ThreadLocal::new(|| match LOOP.try_with(|n| *n) {
    ///     Err(AccessError::Recursive) => 1,
    ///     other => panic!("{:?}", other),
    /// });
    /// assert_eq!(LOOP.try_with(|n| *n), Ok(1));
    /// ```
    #[inline]
    pub fn try_with<R>(&self, f: impl FnOnce(&T) -> R) -> Result<R, AccessError> {
        self.slot.with(&self.init, f)
    }

    /// Calls `f` with this thread's value, exclusively.
    ///
    /// The reference does not leave the closure: the object may outlive the thread, but the value does not.
    ///
    /// # Panics
    ///
    /// As for [`with`](Self::with).
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    ///
    /// let mut tls = ThreadLocal::new(Vec::new);
    /// tls.with_mut(|v| v.push(1));
    /// assert_eq!(tls.with(Vec::len), 1);
    /// ```
    #[inline]
    #[track_caller]
    pub fn with_mut<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> R {
        match self.try_with_mut(f) {
            Ok(result) => result,
            Err(error) => panic_access("ThreadLocal", error),
        }
    }

    /// Calls `f` with this thread's value, exclusively.
    ///
    /// # Errors
    ///
    /// As for [`try_with`](Self::try_with).
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    ///
    /// let mut tls = ThreadLocal::new(Vec::new);
    /// assert_eq!(tls.try_with_mut(|v| v.push(1)), Ok(()));
    /// ```
    #[inline]
    pub fn try_with_mut<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> Result<R, AccessError> {
        self.slot.with_mut(&self.init, f)
    }
}

/// Not generic: one copy for every `with`.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn panic_access(what: &str, error: AccessError) -> ! {
    panic!("cannot access a {}: {}", what, error)
}

impl<T: Default + 'static> Default for ThreadLocal<T> {
    /// Values are made by `T::default`.
    fn default() -> Self {
        ThreadLocal::new(T::default)
    }
}

impl<T: 'static, F> fmt::Debug for ThreadLocal<T, F> {
    /// Shows no value: the object does not know what other threads have.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadLocal").finish_non_exhaustive()
    }
}

/// Destroys the values that dropped objects left on this thread.
///
/// A value with a destructor may be `!Send`, so when an object is dropped on another thread its value stays here until this thread uses
/// an object for the first time, exits, or calls this. A thread that does neither for long, and hears that objects it used
/// are gone, may call it.
///
/// # Panics
///
/// If the `Drop` of a value panics. The others are destroyed by a later call.
///
/// ```
/// use os_thread_local::ThreadLocal;
/// use std::rc::Rc;
///
/// let alive = Rc::new(());
/// let tls = ThreadLocal::new(|| std::cell::RefCell::new(None));
/// tls.with(|v| *v.borrow_mut() = Some(alive.clone()));
/// std::thread::spawn(move || drop(tls)).join().unwrap();
///
/// assert_eq!(Rc::strong_count(&alive), 2);
/// os_thread_local::reclaim();
/// assert_eq!(Rc::strong_count(&alive), 1);
/// ```
pub fn reclaim() {
    storage::reclaim()
}
