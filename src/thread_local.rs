use crate::storage::{self, Slot};
use crate::{AccessError, InitError};
use core::cell::Cell;
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
/// # Memory use
///
/// On 64-bit targets a thread's first use takes 768 bytes, which hold five word-sized values. A value of up to 128 bytes takes 40 bytes more
/// than its size, in multiples of 16, from memory that the thread keeps for the next ones, at most 128 KiB, until it ends; a larger value is
/// an allocation of its own. Each thread has a table of one word for each slot number beyond 32, as long as the largest number of objects
/// that were in use at a time. Four records of ended threads, with tables of up to 1,024 entries, are kept for threads to come; and those
/// that hold values of [`PerThread`](crate::PerThread) objects.
#[doc(alias("thread_specific_ptr", "FlsAlloc", "TlsAlloc", "pthread_key_create", "LocalKey"))]
pub struct ThreadLocal<T: 'static, F = fn() -> T> {
    slot: Slot<T>,
    init: F,
}

impl<T: 'static> ThreadLocal<T> {
    /// A thread-local whose values are made by a function, or by a closure that captures nothing.
    ///
    /// It touches nothing: the operating system's key is taken on first use.
    ///
    /// # Captures
    ///
    /// The initializer is a function pointer (`fn() -> T`), so that the type can be named in a `static` or a field. A closure that captures
    /// a variable is none (error E0308, "expected fn pointer, found closure"): give it to [`from_fn`](Self::from_fn), or make the value
    /// where it is used, with [`with_or`](Self::with_or).
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    ///
    /// static NAMES: ThreadLocal<Vec<String>> = ThreadLocal::new(Vec::new);
    /// let per_core = vec![ThreadLocal::new(|| 1), ThreadLocal::new(|| 2)];
    /// assert_eq!(per_core[1].with(|n| *n), 2);
    /// assert!(NAMES.with(Vec::is_empty));
    /// ```
    #[must_use]
    pub const fn new(init: fn() -> T) -> Self {
        ThreadLocal { slot: Slot::new(), init }
    }
}

impl<T: 'static> ThreadLocal<T, NoInit> {
    /// A thread-local without an initializer: [`with_or`](Self::with_or), [`with_or_try`](Self::with_or_try) and the methods that set
    /// a `Cell` or a `RefCell` make its values. There is no [`with`](ThreadLocal::with).
    ///
    /// ```
    /// use os_thread_local::{NoInit, ThreadLocal};
    ///
    /// static REQUEST: ThreadLocal<String, NoInit> = ThreadLocal::without_init();
    ///
    /// fn handle(id: u32) -> usize {
    ///     REQUEST.with_or(|| format!("request {}", id), |request| request.len())
    /// }
    /// assert_eq!(handle(15), 10);
    /// assert_eq!(REQUEST.with_existing(String::clone).as_deref(), Some("request 15"));
    /// ```
    #[must_use]
    pub const fn without_init() -> Self {
        ThreadLocal { slot: Slot::new(), init: NoInit(()) }
    }
}

/// "No initializer", as a type: the second parameter of what [`ThreadLocal::without_init`] and
/// [`PerThread::without_init`](crate::PerThread::without_init) make.
///
/// ```
/// use os_thread_local::{NoInit, ThreadLocal};
/// use std::fs::File;
///
/// struct Logger {
///     file: ThreadLocal<File, NoInit>,
/// }
///
/// let logger = Logger { file: ThreadLocal::without_init() };
/// assert!(logger.file.with_existing(|_| ()).is_none());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct NoInit(pub(crate) ());

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
    #[inline]
    pub fn with_existing<R, G: FnOnce(&T) -> R>(&self, f: G) -> Option<R> {
        self.slot.with_existing(f)
    }

    /// Calls `f` with this thread's value, which is made first, with `init` instead of the object's initializer, if there is none.
    ///
    /// # Panics
    ///
    /// Where [`try_with_or`](Self::try_with_or) gives an error, and where it panics.
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    ///
    /// let name = ThreadLocal::without_init();
    /// assert_eq!(name.with_or(|| String::from("main"), String::clone), "main");
    /// assert_eq!(name.with_or(|| String::from("unused"), String::clone), "main");
    /// ```
    #[doc(alias("get_or", "get_or_init"))]
    #[inline]
    #[track_caller]
    pub fn with_or<R>(&self, init: impl FnOnce() -> T, f: impl FnOnce(&T) -> R) -> R {
        match self.slot.with(init, f) {
            Ok(result) => result,
            Err(error) => panic_access("ThreadLocal", error),
        }
    }

    /// Calls `f` with this thread's value, which is made first, with `init` instead of the object's initializer, if there is none.
    ///
    /// # Errors
    ///
    /// As for [`try_with`](ThreadLocal::try_with).
    ///
    /// # Panics
    ///
    /// As for [`try_with`](ThreadLocal::try_with), with `init` as the initializer.
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    ///
    /// let name = ThreadLocal::without_init();
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

    /// Calls `f` with this thread's value, which is made first, with `init`, if there is none. `init` may fail.
    ///
    /// # Errors
    ///
    /// - [`InitError::Init`]: what `init` gave. Nothing is stored, and the next access tries again.
    /// - [`InitError::Access`]: what [`try_with`](ThreadLocal::try_with) gives.
    ///
    /// # Panics
    ///
    /// As for [`try_with`](ThreadLocal::try_with), with `init` as the initializer.
    ///
    /// ```
    /// use os_thread_local::{InitError, NoInit, ThreadLocal};
    /// use std::{fs::File, io};
    ///
    /// static CONFIG: ThreadLocal<File, NoInit> = ThreadLocal::without_init();
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

    /// Performs everything that the first use on this thread needs except making the value: it takes the operating system's key,
    /// the object's slot number, and this thread's record with room for the number. Afterwards only the memory for the value can be missing.
    ///
    /// # Errors
    ///
    /// [`OutOfKeys`](AccessError::OutOfKeys) and [`OutOfMemory`](AccessError::OutOfMemory): a later call tries again.
    /// [`Recursive`](AccessError::Recursive) inside an allocation that the crate makes for the record or the number.
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

impl<T: 'static, F: Fn() -> T> ThreadLocal<T, F> {
    /// A thread-local whose values are made by any closure, which may capture.
    ///
    /// The closure is part of the type. A field or a `static` names it as a type parameter (`struct Pool<F> { buffers: ThreadLocal<Vec<u8>,
    /// F> }`) or as a boxed closure (`ThreadLocal<Vec<u8>, Box<dyn Fn() -> Vec<u8> + Send + Sync>>`).
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
    #[must_use]
    pub const fn from_fn(init: F) -> Self {
        ThreadLocal { slot: Slot::new(), init }
    }

    /// Calls `f` with this thread's value, which is made first if there is none.
    ///
    /// # Returning references
    ///
    /// The reference does not leave the closure, because the value ends with its thread, which the object may outlive. A closure
    /// that returns the reference, or a [`Ref`](core::cell::Ref) made of it, does not compile ("lifetime may not live long enough"; error E0521,
    /// "borrowed data escapes", if it is stored). Return a clone, or what the caller wants of the value; or take a closure from the caller:
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    /// use std::cell::RefCell;
    ///
    /// static NAMES: ThreadLocal<RefCell<Vec<String>>> = ThreadLocal::new(|| RefCell::new(Vec::new()));
    ///
    /// // Instead of `fn names() -> Ref<'static, Vec<String>>`:
    /// fn with_names<R>(f: impl FnOnce(&[String]) -> R) -> R {
    ///     NAMES.with_borrow(|names| f(names))
    /// }
    /// assert_eq!(with_names(|names| names.len()), 0);
    /// ```
    ///
    /// # Process exit
    ///
    /// The values of the thread that calls `exit` are destroyed, also if `f` calls it, and while `f` borrows one of them. `f` does not go
    /// on, but two things may still see the value: another thread that `f` lent the reference to, and the destructor of a value that
    /// was being changed. A `RefCell` that `f` has borrowed mutably is destroyed in the state that the change has reached: if code in `f`,
    /// such as `sort_by` with a comparison that calls `exit`, has moved a part of it out and not back yet, that part is destroyed
    /// twice. Do not call `exit` while a value is borrowed mutably. std destroys its main thread's values in the same way.
    ///
    /// # Panics
    ///
    /// Where [`try_with`](Self::try_with) gives an error, and where it panics.
    ///
    /// # Examples
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
    pub fn with<R, G: FnOnce(&T) -> R>(&self, f: G) -> R {
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
    /// - [`OutOfKeys`](AccessError::OutOfKeys), [`OutOfMemory`](AccessError::OutOfMemory): no key or memory was available for the first use; a later
    ///   call tries again.
    ///
    /// # Panics
    ///
    /// - If `f` panics.
    /// - If the initializer panics. Nothing is stored then, and the next access runs it again.
    /// - If a destructor panics that a first use runs: before it makes a value, it destroys those that dropped objects left on this
    ///   thread (see [`reclaim`]). The rest of them are destroyed by a later call.
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
    pub fn try_with<R, G: FnOnce(&T) -> R>(&self, f: G) -> Result<R, AccessError> {
        self.slot.with(&self.init, f)
    }

    /// Calls `f` with this thread's value, exclusively. It is made first if there is none.
    ///
    /// The reference does not leave the closure: the object may outlive the thread, but the value does not.
    ///
    /// If `f` exits the process, this thread's other values are destroyed, and this one is not, because `f` may be in the middle of changing it.
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
    #[doc(alias = "get_mut")]
    #[inline]
    #[track_caller]
    pub fn with_mut<R, G: FnOnce(&mut T) -> R>(&mut self, f: G) -> R {
        match self.try_with_mut(f) {
            Ok(result) => result,
            Err(error) => panic_access("ThreadLocal", error),
        }
    }

    /// Calls `f` with this thread's value, exclusively. It is made first if there is none.
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
    /// use os_thread_local::ThreadLocal;
    ///
    /// let mut tls = ThreadLocal::new(Vec::new);
    /// assert_eq!(tls.try_with_mut(|v| v.push(1)), Ok(()));
    /// ```
    #[inline]
    pub fn try_with_mut<R, G: FnOnce(&mut T) -> R>(&mut self, f: G) -> Result<R, AccessError> {
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
    #[doc(alias = "get_or_default")]
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
