//! Keys of the operating system: one pointer per thread, without a heap allocation.
//!
//! Most programs should use `ThreadLocal` or `PerThread`, which use one key for all objects together. This module is for code
//! that needs exactly one pointer per thread, or has no global allocator: it works without the feature `alloc`.
//!
//! | | without a destructor | with a destructor |
//! | --- | --- | --- |
//! | created by `new`, deleted on drop | [`Key`] | [`DestructorKey`] |
//! | for a `static`: created on first use, never deleted | [`StaticKey`] | [`StaticDestructorKey`] |
//!
//! A key's pointer is null in every thread until the thread sets it. When a thread exits, the system calls the key's destructor with the
//! thread's pointer. Setting a pointer that a destructor will get is `unsafe`.
//!
//! # Platform notes
//!
//! - **POSIX**: the functions are `pthread_key_create(3p)`, `pthread_key_delete(3p)`, `pthread_getspecific(3p)` and
//!   `pthread_setspecific(3p)`. A process has `PTHREAD_KEYS_MAX` keys (`limits.h(0p)`): 1,024 with glibc, 128 with musl.
//! - **Windows**: the functions are `FlsAlloc`, `FlsFree`, `FlsGetValue` and `FlsSetValue`, and each fiber has its own pointer. A process has
//!   some 4,000 indexes since Windows 10 version 1903, and 128 before. The calls leave `GetLastError` unchanged.
//! - **Custom backend**: there is one key, and with the feature `alloc` the first `ThreadLocal` or `PerThread` may get it: see the
//!   module `custom`.
//!
//! # Examples
//!
//! ```
//! use os_thread_local::key::StaticKey;
//! use std::ptr;
//!
//! static CURRENT: StaticKey = StaticKey::new();
//!
//! let mut task = 7_u32;
//! CURRENT.set(ptr::addr_of_mut!(task).cast())?;
//! assert_eq!(CURRENT.get(), ptr::addr_of_mut!(task).cast());
//! std::thread::spawn(|| assert!(CURRENT.get().is_null())).join().unwrap();
//! # Ok::<(), os_thread_local::AccessError>(())
//! ```

use crate::sys::{self, Keys, System};
use crate::AccessError;
use core::ffi::c_void;
use core::fmt;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

/// A function that the system calls with a thread's pointer when the thread exits.
///
/// On Windows it is called when a fiber is deleted, too (`PFLS_CALLBACK_FUNCTION`). It is not called with a null pointer.
///
/// The destructor must not unwind. POSIX systems set the thread's pointer to null before they call it. If it sets another pointer, they
/// call it again, up to `PTHREAD_DESTRUCTOR_ITERATIONS` times in all, which is at least 4 (`pthread_key_create(3p)`,
/// `limits.h(0p)`). Windows calls it once.
///
/// `"system"` is the same as `"C"` except on 32-bit Windows.
///
/// # Examples
///
/// See [`DestructorKey`].
pub type Destructor = unsafe extern "system" fn(*mut c_void);

/// A key of the operating system without a destructor.
///
/// Dropping it deletes the key. The memory that the pointers refer to is freed neither when a thread exits nor when the key is dropped:
/// for that, use [`DestructorKey`].
///
/// # Examples
///
/// ```
/// use os_thread_local::key::Key;
///
/// let key = Key::new()?;
/// assert!(key.get().is_null());
/// let mut value = 1;
/// key.set((&mut value as *mut i32).cast())?;
/// // SAFETY: it is the pointer set above.
/// unsafe { *key.get().cast::<i32>() += 1 };
/// assert_eq!(value, 2);
/// # Ok::<(), os_thread_local::AccessError>(())
/// ```
#[doc(alias("pthread_key_create", "pthread_setspecific", "FlsAlloc", "TlsAlloc", "tss_create"))]
pub struct Key {
    key: sys::Key,
}

impl Key {
    /// Creates a key, whose pointer is null in every thread.
    ///
    /// # Errors
    ///
    /// Returns [`OutOfKeys`](AccessError::OutOfKeys) if the system has no free key.
    ///
    /// # Examples
    ///
    /// ```
    /// let key = os_thread_local::key::Key::new()?;
    /// assert!(key.get().is_null());
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    pub fn new() -> Result<Self, AccessError> {
        Self::create(None)
    }

    fn create(destructor: Option<Destructor>) -> Result<Self, AccessError> {
        let key = System::create(destructor).ok_or(AccessError::OutOfKeys)?;
        Ok(Key { key })
    }

    /// Returns the calling thread's pointer, or null if the thread has not set one.
    ///
    /// # Examples
    ///
    /// ```
    /// let key = os_thread_local::key::Key::new()?;
    /// assert!(key.get().is_null());
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn get(&self) -> *mut c_void {
        // SAFETY: the key is deleted when `self` is dropped, not earlier.
        unsafe { System::get(self.key) }
    }

    /// Sets the calling thread's pointer.
    ///
    /// # Errors
    ///
    /// Returns [`OutOfMemory`](AccessError::OutOfMemory) if the system has no memory for the pointer.
    ///
    /// # Examples
    ///
    /// ```
    /// let key = os_thread_local::key::Key::new()?;
    /// let here = &key as *const _ as *mut _;
    /// key.set(here)?;
    /// assert_eq!(key.get(), here);
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    #[inline]
    #[allow(clippy::not_unsafe_ptr_arg_deref)] // stored, not read
    pub fn set(&self, value: *mut c_void) -> Result<(), AccessError> {
        // SAFETY: the key has no destructor: a `Key` with one is a private field of a `DestructorKey`.
        unsafe { self.store(value) }
    }

    /// # Safety
    /// The destructor, if the key has one, may be called with `value`.
    #[inline]
    unsafe fn store(&self, value: *mut c_void) -> Result<(), AccessError> {
        // SAFETY: the key is deleted when `self` is dropped, not earlier. Its destructor may be called with `value`, as `store` requires.
        if unsafe { System::set(self.key, value) } {
            Ok(())
        } else {
            Err(AccessError::OutOfMemory)
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: the key was created by `create` and is not used after this.
        unsafe { System::delete(self.key) }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// A key of the operating system with a destructor.
///
/// When a thread exits and its pointer is not null, the system calls the destructor with the pointer. [`set`](Self::set) is therefore
/// `unsafe`, unlike [`Key::set`].
///
/// Dropping it deletes the key.
///
/// # Platform notes
///
/// Deleting a key leaks what its pointers refer to on POSIX systems, which call no destructor then (`pthread_key_delete(3p)`). Windows
/// calls the destructor for the pointer of every fiber, on the thread that drops the key (`FlsFree`).
///
/// # Examples
///
/// ```
/// use os_thread_local::key::DestructorKey;
/// use std::ffi::c_void;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// static FREED: AtomicU64 = AtomicU64::new(0);
///
/// unsafe extern "system" fn free(value: *mut c_void) {
///     // SAFETY: the program sets only pointers from `Box::<u64>::into_raw`.
///     FREED.fetch_add(*unsafe { Box::from_raw(value.cast::<u64>()) }, Ordering::Relaxed);
/// }
///
/// let key = DestructorKey::new(free)?;
/// std::thread::scope(|s| {
///     // SAFETY: `free` can be called once with a pointer from `Box::into_raw`,
///     // on any thread.
///     s.spawn(|| unsafe { key.set(Box::into_raw(Box::new(7_u64)).cast()) }).join().unwrap()
/// })?;
/// # // A scope waits for the closures; `join` waits for the thread, and so for
/// # // the destructor.
/// assert_eq!(FREED.load(Ordering::Relaxed), 7);
/// # Ok::<(), os_thread_local::AccessError>(())
/// ```
#[doc(alias("pthread_key_create", "pthread_setspecific", "FlsAlloc", "tss_create"))]
#[doc(alias("thread_specific_ptr"))]
pub struct DestructorKey {
    key: Key,
}

impl DestructorKey {
    /// Creates a key with a destructor, whose pointer is null in every thread.
    ///
    /// This is safe because the destructor is only called with pointers that were passed to [`set`](Self::set).
    ///
    /// # Errors
    ///
    /// Returns [`OutOfKeys`](AccessError::OutOfKeys) if the system has no free key.
    ///
    /// # Examples
    ///
    /// See [`DestructorKey`].
    pub fn new(destructor: Destructor) -> Result<Self, AccessError> {
        Key::create(Some(destructor)).map(|key| DestructorKey { key })
    }

    /// Returns the calling thread's pointer, or null if the thread has not set one.
    ///
    /// # Examples
    ///
    /// ```
    /// # use os_thread_local::key::DestructorKey;
    /// unsafe extern "system" fn nothing(_: *mut std::ffi::c_void) {}
    ///
    /// let key = DestructorKey::new(nothing)?;
    /// assert!(key.get().is_null());
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn get(&self) -> *mut c_void {
        self.key.get()
    }

    /// Sets the calling thread's pointer.
    ///
    /// The destructor is not called for the pointer that it replaces.
    ///
    /// # Errors
    ///
    /// Returns [`OutOfMemory`](AccessError::OutOfMemory) if the system has no memory for the pointer.
    ///
    /// # Safety
    ///
    /// If `value` is not null, and is still set when the thread (on Windows: the fiber) exits, the system calls the destructor with
    /// it. Windows also does so when another thread drops the key, on that thread. The caller must ensure that:
    ///
    /// - it is sound to call the destructor with `value` in these cases;
    /// - the destructor does not unwind;
    /// - the library that contains the destructor is not unloaded while a thread has a pointer set.
    ///
    /// # Examples
    ///
    /// See [`DestructorKey`].
    #[inline]
    pub unsafe fn set(&self, value: *mut c_void) -> Result<(), AccessError> {
        // SAFETY: the destructor may be called with `value`: this function requires it, too.
        unsafe { self.key.store(value) }
    }
}

impl fmt::Debug for DestructorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DestructorKey").finish_non_exhaustive()
    }
}

/// A key of the operating system without a destructor, for a `static`.
///
/// The first [`set`](Self::set) creates the key. It is never deleted.
///
/// # Examples
///
/// ```
/// use os_thread_local::key::StaticKey;
///
/// static KEY: StaticKey = StaticKey::new();
/// assert!(KEY.get().is_null());
/// ```
#[doc(alias("pthread_key_create", "pthread_setspecific", "FlsAlloc", "TlsAlloc", "tss_create"))]
pub struct StaticKey {
    /// The key, or `NOT_CREATED`. Stored with release and loaded with acquire, so that a thread which sees the key may use it.
    key: AtomicUsize,
    destructor: Option<Destructor>,
}

/// A custom backend has one key. A task that loses the race in `StaticKey::create` must find the key of the winner, and not
/// the error that there is no free key.
#[cfg(os_thread_local_backend = "custom")]
static CREATION: crate::lock::Lock<()> = crate::lock::Lock::new(());

/// Not a key of any system: keys are numbers that start from 0 or 1, or addresses.
const NOT_CREATED: usize = usize::MAX;

impl StaticKey {
    /// Creates a `StaticKey` without calling the operating system.
    ///
    /// # Examples
    ///
    /// ```
    /// use os_thread_local::key::StaticKey;
    ///
    /// static KEY: StaticKey = StaticKey::new();
    /// assert!(KEY.get().is_null());
    /// ```
    #[must_use]
    pub const fn new() -> Self {
        Self::with(None)
    }

    const fn with(destructor: Option<Destructor>) -> Self {
        StaticKey { key: AtomicUsize::new(NOT_CREATED), destructor }
    }

    /// Returns the calling thread's pointer, or null if the thread has not set one.
    ///
    /// It does not create the key.
    ///
    /// # Examples
    ///
    /// ```
    /// # use os_thread_local::key::StaticKey;
    /// static KEY: StaticKey = StaticKey::new();
    /// assert!(KEY.get().is_null());
    /// ```
    #[inline]
    #[must_use]
    pub fn get(&self) -> *mut c_void {
        match self.key.load(Ordering::Acquire) {
            NOT_CREATED => ptr::null_mut(),
            // SAFETY: `create` stores a key after it has created it, and a stored key is never deleted.
            key => unsafe { System::get(System::from_bits(key)) },
        }
    }

    /// Sets the calling thread's pointer, creating the key if necessary.
    ///
    /// # Errors
    ///
    /// - [`OutOfKeys`](AccessError::OutOfKeys): the system has no free key. A later call tries again.
    /// - [`OutOfMemory`](AccessError::OutOfMemory): the system has no memory for the pointer.
    ///
    /// # Examples
    ///
    /// ```
    /// # use os_thread_local::key::StaticKey;
    /// static KEY: StaticKey = StaticKey::new();
    /// let here = &KEY as *const _ as *mut _;
    /// KEY.set(here)?;
    /// assert_eq!(KEY.get(), here);
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    #[inline]
    #[allow(clippy::not_unsafe_ptr_arg_deref)] // stored, not read
    pub fn set(&self, value: *mut c_void) -> Result<(), AccessError> {
        // SAFETY: the key has no destructor: a `StaticKey` with one is a private field of a `StaticDestructorKey`.
        unsafe { self.store(value) }
    }

    /// # Safety
    /// The destructor, if the key has one, may be called with `value`.
    #[inline]
    unsafe fn store(&self, value: *mut c_void) -> Result<(), AccessError> {
        let key = match self.key.load(Ordering::Acquire) {
            NOT_CREATED => self.create()?,
            key => key,
        };
        // SAFETY: `create` has stored the key, and a stored key is never deleted. Its destructor may be called with `value`, as
        // `store` requires.
        if unsafe { System::set(System::from_bits(key), value) } {
            Ok(())
        } else {
            Err(AccessError::OutOfMemory)
        }
    }

    /// Creates the key. If threads race, the first one to store its key wins, and the others delete theirs: no thread waits for another,
    /// which the child of a fork may not have.
    #[cold]
    fn create(&self) -> Result<usize, AccessError> {
        #[cfg(os_thread_local_backend = "custom")]
        let _turn = CREATION.lock();
        let key = match System::create(self.destructor) {
            Some(key) => key,
            // Another thread may have created this key, and used up the last one.
            None => match self.key.load(Ordering::Acquire) {
                NOT_CREATED => return Err(AccessError::OutOfKeys),
                key => return Ok(key),
            },
        };
        let bits = System::to_bits(key);
        match self.key.compare_exchange(NOT_CREATED, bits, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(bits),
            Err(winner) => {
                // SAFETY: created above, and not stored.
                unsafe { System::delete(key) };
                Ok(winner)
            }
        }
    }
}

impl Default for StaticKey {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StaticKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticKey").finish_non_exhaustive()
    }
}

/// A key of the operating system with a destructor, for a `static`.
///
/// The first [`set`](Self::set) creates the key. It is never deleted. When a thread exits and its pointer is not null, the system calls
/// the destructor with the pointer. `set` is therefore `unsafe`, unlike [`StaticKey::set`].
///
/// # Examples
///
/// ```
/// use os_thread_local::key::StaticDestructorKey;
/// use std::ffi::c_void;
///
/// unsafe extern "system" fn free(value: *mut c_void) {
///     // SAFETY: the program sets only pointers from `Box::<u64>::into_raw`.
///     drop(unsafe { Box::from_raw(value.cast::<u64>()) });
/// }
///
/// static KEY: StaticDestructorKey = StaticDestructorKey::new(free);
///
/// std::thread::spawn(|| {
///     // SAFETY: `free` can be called once with a pointer from `Box::into_raw`.
///     unsafe { KEY.set(Box::into_raw(Box::new(1_u64)).cast()) }
/// })
/// .join()
/// .unwrap()?;
/// # Ok::<(), os_thread_local::AccessError>(())
/// ```
#[doc(alias("pthread_key_create", "pthread_setspecific", "FlsAlloc", "tss_create"))]
#[doc(alias("thread_specific_ptr"))]
pub struct StaticDestructorKey {
    key: StaticKey,
}

impl StaticDestructorKey {
    /// Creates a `StaticDestructorKey` without calling the operating system.
    ///
    /// This is safe because the destructor is only called with pointers that were passed to [`set`](Self::set).
    ///
    /// # Examples
    ///
    /// See [`StaticDestructorKey`].
    #[must_use]
    pub const fn new(destructor: Destructor) -> Self {
        StaticDestructorKey { key: StaticKey::with(Some(destructor)) }
    }

    /// Returns the calling thread's pointer, or null if the thread has not set one.
    ///
    /// It does not create the key.
    ///
    /// # Examples
    ///
    /// ```
    /// # use os_thread_local::key::StaticDestructorKey;
    /// unsafe extern "system" fn nothing(_: *mut std::ffi::c_void) {}
    ///
    /// static KEY: StaticDestructorKey = StaticDestructorKey::new(nothing);
    /// assert!(KEY.get().is_null());
    /// ```
    #[inline]
    #[must_use]
    pub fn get(&self) -> *mut c_void {
        self.key.get()
    }

    /// Sets the calling thread's pointer, creating the key if necessary.
    ///
    /// The destructor is not called for the pointer that it replaces.
    ///
    /// # Errors
    ///
    /// - [`OutOfKeys`](AccessError::OutOfKeys): the system has no free key. A later call tries again.
    /// - [`OutOfMemory`](AccessError::OutOfMemory): the system has no memory for the pointer.
    ///
    /// # Safety
    ///
    /// If `value` is not null, and is still set when the thread (on Windows: the fiber) exits, the system calls the destructor with
    /// it. The caller must ensure that:
    ///
    /// - it is sound to call the destructor with `value` in that case;
    /// - the destructor does not unwind;
    /// - the library that contains the destructor is not unloaded while a thread has a pointer set.
    ///
    /// # Examples
    ///
    /// See [`StaticDestructorKey`].
    #[inline]
    pub unsafe fn set(&self, value: *mut c_void) -> Result<(), AccessError> {
        // SAFETY: the destructor may be called with `value`: this function requires it, too.
        unsafe { self.key.store(value) }
    }
}

impl fmt::Debug for StaticDestructorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StaticDestructorKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loser_of_a_race_takes_the_winners_key_and_deletes_its_own() {
        let key = StaticKey::new();
        let winner = key.create().unwrap();
        // More times than any system has keys.
        for _ in 0..10_000 {
            assert_eq!(key.create(), Ok(winner));
        }
    }
}
