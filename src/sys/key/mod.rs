//! Keys: one pointer per thread each. No backend needs a heap.

use core::ffi::c_void;

/// What a backend MUST provide. `build.rs` picks it, and says so in one cfg.
pub(crate) trait Keys {
    /// The system's key.
    type Key: Copy;

    /// Whether the system nulls a thread's value before it calls the destructor, and calls the destructor again in a later round
    /// when it has set a value.
    #[cfg(feature = "alloc")]
    const DESTRUCTOR_REPEATS: bool;

    /// A key as a word. `from_bits` MUST be the inverse.
    fn to_bits(key: Self::Key) -> usize;
    fn from_bits(bits: usize) -> Self::Key;

    /// A new key, whose value MUST be null in every thread, or `None` when the system has none left. At the end of a thread (a fiber,
    /// a task) the system MUST call the destructor with the thread's value if it is not null, on the context that is ending.
    fn create(destructor: Option<Destructor>) -> Option<Self::Key>;

    /// The calling thread's value. It MUST NOT fail, and MUST NOT change what a caller can observe (`errno`, the last
    /// error). It is the hot path.
    ///
    /// # Safety
    /// `create` returned the key before, and it has not been deleted.
    unsafe fn get(key: Self::Key) -> *mut c_void;

    /// Sets the calling thread's value; `false` when there is no memory. It MUST succeed for a thread whose value of that key
    /// is not null.
    ///
    /// # Safety
    /// As for `get`; and the value is one that the key's destructor accepts.
    unsafe fn set(key: Self::Key, value: *mut c_void) -> bool;

    /// Gives the key back. Whether destructors run is the system's business; `crate::key` documents it.
    ///
    /// # Safety
    /// As for `get`; the key is not used again.
    unsafe fn delete(key: Self::Key);

    /// The key of the root slot. Threads may race here, and each may get a key.
    #[cfg(feature = "alloc")]
    fn create_root(destructor: Destructor) -> Option<Self::Key> {
        Self::create(Some(destructor))
    }

    /// Gives back a key of `create_root` that another thread's was preferred to.
    ///
    /// # Safety
    /// No other thread has seen the key, and its value is null.
    #[cfg(feature = "alloc")]
    unsafe fn discard_root(key: Self::Key) {
        // SAFETY: live, and not used again.
        unsafe { Self::delete(key) }
    }
}

/// The system's key.
pub(crate) type Key = <super::System as Keys>::Key;

/// A destructor as the system calls it. `"system"` is the C convention everywhere but on 32-bit Windows.
pub(crate) type Destructor = unsafe extern "system" fn(*mut c_void);

#[cfg(os_thread_local_backend = "fls")]
pub(super) mod fls;
#[cfg(os_thread_local_backend = "pthread")]
mod pthread;
#[cfg(all(os_thread_local_backend = "single", not(target_feature = "atomics")))]
mod single;
// No backend: an error, and nothing that hides it.
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

// Elsewhere it is there for its documentation.
#[cfg(any(os_thread_local_backend = "custom", doc))]
#[cfg_attr(not(os_thread_local_backend = "custom"), allow(dead_code))]
pub mod custom;
