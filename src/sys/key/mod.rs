//! Keys of the operating system: each holds one pointer per thread. No backend allocates.

use core::ffi::c_void;

/// What a backend MUST provide. `build.rs` selects the backend and passes its name in one cfg.
pub(crate) trait Keys {
    /// The system's key.
    type Key: Copy;

    /// Whether the system sets a thread's value to null before it calls the destructor, and calls the destructor again in a later round
    /// if the value is not null then.
    #[cfg(feature = "alloc")]
    const DESTRUCTOR_REPEATS: bool;

    /// A key as a word. `from_bits` MUST be the inverse.
    fn to_bits(key: Self::Key) -> usize;
    fn from_bits(bits: usize) -> Self::Key;

    /// Creates a key, whose value MUST be null in every thread. `None` if the system has no key left. At the end of a thread (fiber,
    /// task) whose value is not null, the system MUST call the destructor with the value, on that thread.
    fn create(destructor: Option<Destructor>) -> Option<Self::Key>;

    /// The calling thread's value. MUST NOT fail, and MUST NOT change what the caller can observe (`errno`, the last error). This is
    /// the hot path.
    ///
    /// # Safety
    /// `create` returned the key before, and it has not been deleted.
    unsafe fn get(key: Self::Key) -> *mut c_void;

    /// Sets the calling thread's value. `false` if there is no memory, which MUST NOT happen if the current value is not null.
    ///
    /// # Safety
    /// `create` returned the key before, and it has not been deleted. The key's destructor accepts the value.
    unsafe fn set(key: Self::Key, value: *mut c_void) -> bool;

    /// Whether `create`, or `set` when a thread sets a key for the first time, may call `malloc`.
    #[cfg(feature = "alloc")]
    const MAY_ALLOCATE: bool = false;

    /// Whether `set` may do so for this key.
    #[cfg(feature = "alloc")]
    fn set_may_allocate(_: Self::Key) -> bool {
        Self::MAY_ALLOCATE
    }

    /// Whether a `get` in a signal handler that interrupts the thread's first `set` may clear the value.
    #[cfg(feature = "alloc")]
    const GET_MAY_CLEAR: bool = false;

    /// Deletes a key. Whether destructors still run depends on the system; `crate::key` documents it.
    ///
    /// # Safety
    /// `create` returned the key before, it has not been deleted, and it is not used afterwards.
    unsafe fn delete(key: Self::Key);

    /// Creates a key for the root slot. Several threads may race, and each may get a key.
    #[cfg(feature = "alloc")]
    fn create_root(destructor: Destructor) -> Option<Self::Key> {
        Self::create(Some(destructor))
    }

    /// Deletes a key from `create_root` that is not used as the root.
    ///
    /// # Safety
    /// `create_root` returned the key to this thread, which has not published it. Its value is null, and it is not used afterwards.
    #[cfg(feature = "alloc")]
    unsafe fn discard_root(key: Self::Key) {
        // SAFETY: the key is live, and is not used afterwards (this function's contract).
        unsafe { Self::delete(key) }
    }
}

/// The operating system's key.
pub(crate) type Key = <super::System as Keys>::Key;

/// A key's destructor. `"system"` is the C calling convention, except on 32-bit Windows.
pub(crate) type Destructor = unsafe extern "system" fn(*mut c_void);

#[cfg(os_thread_local_backend = "fls")]
pub(super) mod fls;
#[cfg(os_thread_local_backend = "pthread")]
mod pthread;
#[cfg(all(os_thread_local_backend = "single", not(target_feature = "atomics")))]
mod single;
// No backend: one compile error, without others that hide it.
#[cfg(any(
    all(os_thread_local_backend = "single", target_feature = "atomics"),
    not(any(
        os_thread_local_backend = "pthread",
        os_thread_local_backend = "fls",
        os_thread_local_backend = "single",
        os_thread_local_backend = "custom",
        os_thread_local_backend = "model",
    ))
))]
mod unsupported;

// With other backends, only for its documentation.
#[cfg(any(os_thread_local_backend = "custom", doc))]
#[cfg_attr(not(os_thread_local_backend = "custom"), allow(dead_code))]
pub mod custom;
