use crate::storage::{self, ThreadSlot};
use crate::AccessError;
use core::fmt;

/// A value per thread, for a field, a local variable or a `static`.
///
/// Each thread has its own `T`, which the initializer creates on first use. It is destroyed when the thread exits or when the object is
/// dropped. The methods are those of `std::thread::LocalKey`, but a `ThreadLocal` is an ordinary value, which can be moved and
/// dropped.
///
/// Threads can share a `ThreadLocal`, and send it to each other, even if `T` is neither [`Send`] nor [`Sync`] (an `Rc`, a raw
/// pointer), because a `T` never leaves its thread. Only the initializer `F` must be `Send` and `Sync`, as function pointers are.
///
/// If values should outlive their threads, or one thread should read the values of all, use [`PerThread`](crate::PerThread).
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
/// // Another thread has a value of its own.
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
/// use os_thread_local::ThreadLocal;
/// use std::cell::RefCell;
/// use std::thread;
///
/// struct Foo {
///     data: u32,
///     tls: ThreadLocal<RefCell<u32>>,
/// }
///
/// let foo = Foo { data: 0, tls: ThreadLocal::new(|| RefCell::new(1)) };
/// foo.tls.with(|v| *v.borrow_mut() = 2);
/// thread::scope(|s| {
///     s.spawn(|| {
///         foo.tls.with(|v| {
///             assert_eq!(*v.borrow(), 1);
///             *v.borrow_mut() = 3;
///         });
///     });
/// });
/// foo.tls.with(|v| assert_eq!(*v.borrow(), 2));
/// ```
///
/// A destructor that uses another thread-local:
///
/// ```
/// use os_thread_local::ThreadLocal;
/// use std::cell::RefCell;
///
/// static LOG: ThreadLocal<RefCell<Vec<String>>> = ThreadLocal::new(RefCell::default);
/// static CONNECTION: ThreadLocal<Connection> = ThreadLocal::new(|| Connection);
///
/// struct Connection;
///
/// impl Drop for Connection {
///     fn drop(&mut self) {
///         // Use `try_with`: an exiting thread may already have destroyed `LOG`,
///         // and a panic would abort the process.
///         let _ = LOG.try_with(|log| log.borrow_mut().push("closed".to_string()));
///     }
/// }
///
/// std::thread::spawn(|| {
///     CONNECTION.with(|_| ());
///     // `LOG` gets its value later than `CONNECTION`, so the thread destroys it
///     // first.
///     LOG.with(|log| log.borrow_mut().push("open".to_string()));
/// })
/// .join()
/// .unwrap();
/// ```
///
/// # Compiler errors
///
/// | error | answer |
/// | --- | --- |
/// | E0308, "expected fn pointer, found closure", at [`new`](Self::new) | The closure captures a variable: use [`from_fn`](Self::from_fn) or [`with_or`](Self::with_or) |
/// | the same at `from_fn` | The field or variable has the type `ThreadLocal<T>`, whose initializer is a function pointer: see [`from_fn`](Self::from_fn) |
/// | E0599, no method `get_or` (`get`, `get_or_default`) | References do not leave a closure: use [`with_or`](Self::with_or) ([`with_existing`](Self::with_existing), [`with`](Self::with)); or a [`PerThread`](crate::PerThread), which has [`get_ref_or`](crate::PerThread::get_ref_or) |
/// | E0599, no method `iter` (`iter_mut`, `clear`); E0277, "is not an iterator" | A thread cannot reach the values of other threads: use a [`PerThread`](crate::PerThread) |
/// | E0599, "`NoInit: Fn<()>`" is not satisfied | The object has no initializer: see [`NoInit`] |
/// | "lifetime may not live long enough", E0521, "borrowed data escapes" | See [`with`](Self::with) |
///
/// # When values are destroyed
///
/// - **A thread exits**: the thread destroys its values, newest first, including any that destructors create. From then on, access to
///   them on this thread returns [`AccessError::Destroyed`]. Values of types without a destructor stay usable meanwhile; a key
///   destructor of another library that runs after the crate's can re-create them.
/// - **The object is dropped**: the value of the dropping thread is destroyed at once. A value of another thread may be `!Send`: if it
///   has a destructor, its own thread destroys it when it next creates a value, calls [`reclaim`], or exits.
/// - **The process exits**: the values of the thread that returns from `main` or calls `exit` are destroyed. Other threads keep
///   theirs and can continue to use them.
///
/// If `Drop` panics while a thread exits, the process aborts, as with std.
///
/// [Guarantees and non-guarantees](crate::guide::guarantees) describes what happens in `exit`, in `fork`, in signal handlers, and in the
/// last round of destructors.
///
/// # Platform notes
///
/// - **glibc, Android, FreeBSD, Apple systems**: the C library has a list of functions to call at thread exit
///   (`__cxa_thread_atexit_impl`, `_tlv_atexit`), which std uses too. The crate's values are destroyed before those of std's
///   thread-locals that the thread created before it first used this crate, so `Drop` can print and call
///   `std::thread::current`.
/// - **Other POSIX systems**, such as musl: the destructor of a key destroys the values (`pthread_key_create(3p)`). POSIX does not
///   specify the order of the destructors of different keys, so std's thread-locals may be destroyed first.
/// - **Windows**: each fiber has its own values, which are destroyed with the fiber (`FlsCallback`, in Microsoft's documentation of
///   `PFLS_CALLBACK_FUNCTION`). `Drop` must not wait for another thread to start or to exit, or it deadlocks: Windows starts and ends
///   no thread before the callbacks have returned. The same holds for std.
///
/// # Memory use
///
/// An object is one word and the initializer: two words with [`new`](Self::new). The following numbers are for 64-bit targets.
///
/// - A thread's first use of the crate takes 768 bytes, which have room for five word-sized values.
/// - A value of up to 128 bytes takes its size plus 40 bytes, rounded up to a multiple of 16. The thread keeps this memory for later
///   values, at most 128 KiB, until it exits. A larger value is an allocation of its own.
/// - A thread has a table of one word for each slot number from 32 up to the highest that it has used, doubling. A new object gets a low
///   free number, so the table grows with the largest number of objects that were in use at one time.
/// - The crate keeps the memory of four ended threads for new ones, and that of threads which left values in a
///   [`PerThread`](crate::PerThread).
#[doc(alias("thread_specific_ptr", "FlsAlloc", "TlsAlloc", "pthread_key_create", "LocalKey"))]
#[repr(C)] // the slot first: an access keeps one address of the object
pub struct ThreadLocal<T: 'static, F = fn() -> T> {
    pub(crate) slot: ThreadSlot<T>,
    init: F,
}

impl<T: 'static> ThreadLocal<T> {
    /// Creates a thread-local with a function, or a closure that captures nothing, as initializer.
    ///
    /// This neither allocates memory nor calls the operating system. The first use does.
    ///
    /// # Closures with captures
    ///
    /// For a closure that captures a variable, use [`from_fn`](Self::from_fn); or create the value where it is used, with
    /// [`with_or`](Self::with_or). `new` rejects such a closure (error E0308, "expected fn pointer, found closure"), because a function
    /// pointer keeps the type simple to name in a `static` or a field.
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
        ThreadLocal { slot: ThreadSlot::new(), init }
    }
}

impl<T: 'static> ThreadLocal<T, NoInit> {
    /// Creates a thread-local without an initializer.
    ///
    /// [`with_or`](Self::with_or), [`with_or_try`](Self::with_or_try) and the methods that set a `Cell` or a `RefCell` create its values.
    /// Methods that need an initializer, such as [`with`](ThreadLocal::with), do not exist for it.
    ///
    /// # Examples
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
        ThreadLocal { slot: ThreadSlot::new(), init: NoInit(()) }
    }
}

/// The type parameter `F` of a [`ThreadLocal`] or [`PerThread`](crate::PerThread) without an initializer.
///
/// [`ThreadLocal::without_init`] and [`PerThread::without_init`](crate::PerThread::without_init) create such objects, and so does
/// `Default`.
///
/// # Methods
///
/// Methods that need an initializer do not exist for such an object: for them the compiler reports error E0599, with "`NoInit: Fn<()>`"
/// among the bounds that are not satisfied. Use the method that takes one:
///
/// | instead of | use |
/// | --- | --- |
/// | `with` | [`with_or`](ThreadLocal::with_or), [`with_or_try`](ThreadLocal::with_or_try), [`with_existing`](ThreadLocal::with_existing) |
/// | `with_mut` | [`with_mut_or`](ThreadLocal::with_mut_or), [`with_mut_existing`](ThreadLocal::with_mut_existing) |
/// | `get`, `take`, `replace`, `with_borrow`, `with_borrow_mut` | `with_or` and the method of the cell; `set` exists |
/// | `get_ref` | [`get_ref_or`](crate::PerThread::get_ref_or) |
/// | `get_mut` | [`get_mut_or`](crate::PerThread::get_mut_or), [`get_mut_existing`](crate::PerThread::get_mut_existing) |
/// | `borrow_mut` | [`borrow_mut_or`](crate::PerThread::borrow_mut_or), [`borrow_mut_or_try`](crate::PerThread::borrow_mut_or_try) |
///
/// # Examples
///
/// ```
/// use os_thread_local::{NoInit, ThreadLocal};
/// use std::fs::File;
///
/// #[derive(Default)]
/// struct Logger {
///     file: ThreadLocal<File, NoInit>,
/// }
///
/// let logger = Logger::default();
/// assert!(logger.file.with_existing(|_| ()).is_none());
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct NoInit(pub(crate) ());

impl<T: 'static, F: Fn() -> T> ThreadLocal<T, F> {
    /// Creates a thread-local with any closure as initializer, also one that captures.
    ///
    /// # Fields and statics
    ///
    /// The closure is part of the type `ThreadLocal<T, F>`. In a field, name it with a type parameter, or box it. A field of type
    /// `ThreadLocal<T>` rejects a closure that captures (error E0308), and a `static` cannot name the type (error E0121): its closures
    /// capture nothing, so use [`new`](Self::new) there.
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    ///
    /// struct Generic<F> {
    ///     buffers: ThreadLocal<Vec<u8>, F>,
    /// }
    ///
    /// struct Boxed {
    ///     buffers: ThreadLocal<Vec<u8>, Box<dyn Fn() -> Vec<u8> + Send + Sync>>,
    /// }
    ///
    /// let size = 64;
    /// let one = Generic { buffers: ThreadLocal::from_fn(move || vec![0; size]) };
    /// let two = Boxed { buffers: ThreadLocal::from_fn(Box::new(move || vec![0; size])) };
    /// assert_eq!(one.buffers.with(Vec::len), two.buffers.with(Vec::len));
    /// ```
    ///
    /// # Examples
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
        ThreadLocal { slot: ThreadSlot::new(), init }
    }

    /// Calls `f` with this thread's value, which the initializer creates on first use.
    ///
    /// In code that may run while the thread exits, such as an implementation of [`Drop`], use [`try_with`](Self::try_with).
    ///
    /// # Returning references
    ///
    /// The reference cannot leave the closure, because the object may outlive the thread and its value. A closure that returns the
    /// reference, or a [`Ref`](core::cell::Ref) of it, does not compile ("lifetime may not live long enough"); nor does one that stores it
    /// (error E0521, "borrowed data escapes"). Return a clone or a result instead, or take a closure from the caller:
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    /// use std::cell::RefCell;
    ///
    /// static NAMES: ThreadLocal<RefCell<Vec<String>>> = ThreadLocal::new(RefCell::default);
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
    /// Do not call `exit` while a value is mutably borrowed. `exit` destroys the values of the calling thread, even if `f` calls it while it
    /// borrows one of them. A `RefCell` that is mutably borrowed is then destroyed in the middle of the change. If code such as
    /// `sort_by` has moved an element out, and the comparison calls `exit`, the element is destroyed twice, which is undefined
    /// behaviour. If `f` has lent its reference to another thread, that thread may use the value after it was destroyed. std's
    /// thread-locals of the main thread behave the same way with glibc.
    ///
    /// # Panics
    ///
    /// Panics if [`try_with`](Self::try_with) would return an error, and in the same cases as `try_with`.
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

    /// Calls `f` with this thread's value, which the initializer creates on first use, or returns an error.
    ///
    /// # Errors
    ///
    /// - [`Destroyed`](AccessError::Destroyed): the thread is exiting and has destroyed the value.
    /// - [`Recursive`](AccessError::Recursive): this thread is creating the value.
    /// - [`OutOfKeys`](AccessError::OutOfKeys), [`OutOfMemory`](AccessError::OutOfMemory): no key or memory was available for a first use. A
    ///   later call tries again.
    ///
    /// # Panics
    ///
    /// - Panics if `f` panics.
    /// - Panics if the initializer panics. No value is stored, and the next access calls the initializer again.
    /// - Panics if a destructor panics that a first use runs: before the thread creates a value, it destroys its values of dropped objects
    ///   (see [`reclaim`]). A later call destroys the rest of them.
    ///
    /// # Examples
    ///
    /// In a destructor:
    ///
    /// ```
    /// use os_thread_local::ThreadLocal;
    /// use std::cell::RefCell;
    ///
    /// static POOL: ThreadLocal<RefCell<Vec<Vec<u8>>>> = ThreadLocal::new(RefCell::default);
    ///
    /// struct Buffer(Vec<u8>);
    ///
    /// impl Drop for Buffer {
    ///     fn drop(&mut self) {
    ///         let buffer = std::mem::take(&mut self.0);
    ///         // If the thread is exiting and has destroyed `POOL`, the buffer is
    ///         // freed.
    ///         let _ = POOL.try_with(|pool| pool.borrow_mut().push(buffer));
    ///     }
    /// }
    ///
    /// drop(Buffer(vec![1]));
    /// assert_eq!(POOL.with_borrow(Vec::len), 1);
    /// ```
    ///
    /// In an initializer that uses its own value:
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

    /// Calls `f` with an exclusive reference to this thread's value, which the initializer creates on first use.
    ///
    /// The reference cannot leave the closure, because the object may outlive the thread and its value.
    ///
    /// # Process exit
    ///
    /// If `f` calls `exit`, this value is leaked, because `f` may be in the middle of a change. The thread's other values are destroyed.
    ///
    /// # Panics
    ///
    /// Panics in the same cases as [`with`](Self::with).
    ///
    /// # Examples
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

    /// Calls `f` with an exclusive reference to this thread's value, creating it on first use, or returns an error.
    ///
    /// See [`with_mut`](Self::with_mut).
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

impl<T: 'static, F> ThreadLocal<T, F> {
    /// Takes this thread's value out of the object, or returns `None` if there is none.
    ///
    /// The next access creates a new value.
    ///
    /// # Examples
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
}

/// Panics with the error's text. Not generic, so that all callers share one copy.
#[cold]
#[inline(never)]
#[track_caller]
pub(crate) fn panic_access(what: &str, error: AccessError) -> ! {
    panic!("cannot access a {}: {}", what, error)
}

impl<T: Default + 'static> Default for ThreadLocal<T> {
    /// Creates a thread-local with `T::default` as initializer.
    #[doc(alias = "get_or_default")]
    fn default() -> Self {
        ThreadLocal::new(T::default)
    }
}

impl<T: 'static> Default for ThreadLocal<T, NoInit> {
    /// Creates a thread-local without an initializer: [`without_init`](ThreadLocal::without_init).
    fn default() -> Self {
        ThreadLocal::without_init()
    }
}

impl<T: 'static, F> fmt::Debug for ThreadLocal<T, F> {
    /// Formats the name of the type without a value.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadLocal").finish_non_exhaustive()
    }
}

/// Destroys this thread's values of objects that other threads have dropped.
///
/// A value with a destructor may be `!Send`. When another thread drops the object, the value therefore stays until its own thread
/// creates a value, exits, or calls this function. Call it in a thread that does neither for a long time, after objects which it has used were
/// dropped.
///
/// # Panics
///
/// Panics if `Drop` of a value panics. A later call destroys the remaining values.
///
/// # Examples
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
