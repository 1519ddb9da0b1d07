//! One operating system key each, without the heap: what the rest of the crate stands on, for those who need no more.
//!
//! A key holds one pointer per thread, null at first. [`Key`] is created and deleted; [`StaticKey`] stands in a `static`
//! and is created on first use. [`DestructorKey`] and [`StaticDestructorKey`] are the same with a destructor, which the system
//! calls with a thread's pointer when the thread exits: setting the pointer is `unsafe` there. Systems have few of them (1,024 with glibc, 128 with musl, 4,096 on Windows; a backend of your
//! own has one): `ThreadLocal` uses one for all objects together.
//!
//! This module needs neither `alloc` nor a global allocator.
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

/// Called when a thread (on Windows a fiber) exits, with its value of the key, if that is not null.
///
/// It must not unwind. The system has set the value to null before; if the destructor sets another one, POSIX calls it again,
/// at least `PTHREAD_DESTRUCTOR_ITERATIONS` (4) times in all; Windows does not.
///
/// `"system"` is the same as `"C"` except on 32-bit Windows.
///
/// See [`DestructorKey`] for an example.
pub type Destructor = unsafe extern "system" fn(*mut c_void);

/// A key of the operating system without a destructor, deleted when it is dropped.
///
/// POSIX: `pthread_key_create(3p)`, `pthread_key_delete(3p)`. Windows: `FlsAlloc`, `FlsFree`.
///
/// What the values point to is not freed, neither when a thread exits nor when the key is dropped: see [`DestructorKey`].
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
    /// A new key without a destructor, null in every thread.
    ///
    /// # Errors
    ///
    /// [`OutOfKeys`](AccessError::OutOfKeys) if the system has none left.
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

    /// The calling thread's value; null if it has set none.
    ///
    /// ```
    /// let key = os_thread_local::key::Key::new()?;
    /// assert!(key.get().is_null());
    /// # Ok::<(), os_thread_local::AccessError>(())
    /// ```
    #[inline]
    #[must_use]
    pub fn get(&self) -> *mut c_void {
        // SAFETY: the key lives as long as `self`.
        unsafe { System::get(self.key) }
    }

    /// Sets the calling thread's value. The one it replaces is not destroyed.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`](AccessError::OutOfMemory) if the system has no memory for it.
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
        // SAFETY: the key has no destructor: those that have one are inside a `DestructorKey`, which gives no `Key` away.
        unsafe { self.store(value) }
    }

    /// # Safety
    /// The destructor, if the key has one, may be called with `value`.
    #[inline]
    unsafe fn store(&self, value: *mut c_void) -> Result<(), AccessError> {
        // SAFETY: the key lives as long as `self`; its destructor accepts the value.
        if unsafe { System::set(self.key, value) } {
            Ok(())
        } else {
            Err(AccessError::OutOfMemory)
        }
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // SAFETY: the key lives as long as `self`, and ends with it.
        unsafe { System::delete(self.key) }
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// A key of the operating system with a destructor, deleted when it is dropped.
///
/// When a thread exits and its value is not null, the system calls the destructor with it. Any pointer that is set reaches
/// the destructor, so [`set`](Self::set) is unsafe; for a key without a destructor ([`Key`]) it is safe.
///
/// POSIX: `pthread_key_create(3p)`, `pthread_key_delete(3p)`. Windows: `FlsAlloc`, `FlsFree`.
///
/// Dropping a key does not free what its values point to on POSIX systems: they forget the values and call no destructor.
/// Windows calls the destructor for every fiber's value, on the thread that drops the key.
///
/// ```
/// use os_thread_local::key::DestructorKey;
/// use std::ffi::c_void;
/// use std::sync::atomic::{AtomicU64, Ordering};
///
/// static FREED: AtomicU64 = AtomicU64::new(0);
///
/// unsafe extern "system" fn free(value: *mut c_void) {
///     // SAFETY: only pointers from `Box::<u64>::into_raw` are set.
///     FREED.fetch_add(*unsafe { Box::from_raw(value.cast::<u64>()) }, Ordering::Relaxed);
/// }
///
/// let key = DestructorKey::new(free)?;
/// std::thread::scope(|s| {
///     // SAFETY: `free` may be called with this pointer, once.
///     s.spawn(|| unsafe { key.set(Box::into_raw(Box::new(7_u64)).cast()) }).join().unwrap()
/// })?;
/// # // A scope waits for the closures; `join` waits for the thread, whose end the destructor is part of.
/// assert_eq!(FREED.load(Ordering::Relaxed), 7);
/// # Ok::<(), os_thread_local::AccessError>(())
/// ```
#[doc(alias("pthread_key_create", "pthread_setspecific", "FlsAlloc", "tss_create"))]
#[doc(alias("thread_specific_ptr"))]
pub struct DestructorKey {
    key: Key,
}

impl DestructorKey {
    /// A new key with a destructor, null in every thread.
    ///
    /// It is safe to create: the destructor is called with values that [`set`](Self::set) was given, and with no others.
    ///
    /// # Errors
    ///
    /// [`OutOfKeys`](AccessError::OutOfKeys) if the system has none left.
    ///
    /// See [`DestructorKey`] for an example.
    pub fn new(destructor: Destructor) -> Result<Self, AccessError> {
        Key::create(Some(destructor)).map(|key| DestructorKey { key })
    }

    /// The calling thread's value; null if it has set none.
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

    /// Sets the calling thread's value. The destructor is not called for the value that it replaces.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`](AccessError::OutOfMemory) if the system has no memory for it.
    ///
    /// # Safety
    ///
    /// Unless `value` is null, or is replaced by another `set` on this thread before then: the destructor may be called with `value`,
    /// on this thread (fiber) when it exits, and on Windows also on the thread that drops the key. The destructor does not
    /// unwind, and its code is not unloaded before the last thread with a value has exited.
    ///
    /// See [`DestructorKey`] for an example.
    #[inline]
    pub unsafe fn set(&self, value: *mut c_void) -> Result<(), AccessError> {
        // SAFETY: the destructor may be called with the value: `set` requires it.
        unsafe { self.key.store(value) }
    }
}

impl fmt::Debug for DestructorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DestructorKey").finish_non_exhaustive()
    }
}

/// A key without a destructor for a `static`: created on first use, never deleted.
///
/// ```
/// use os_thread_local::key::StaticKey;
///
/// static KEY: StaticKey = StaticKey::new();
/// assert!(KEY.get().is_null());
/// ```
#[doc(alias("pthread_key_create", "pthread_setspecific", "FlsAlloc", "TlsAlloc", "tss_create"))]
pub struct StaticKey {
    /// The key, or `NOT_CREATED`. Release when it is stored, acquire when it is loaded: who sees the key may use it.
    key: AtomicUsize,
    destructor: Option<Destructor>,
}

/// A custom backend has one key. Who loses the race in `StaticKey::create` must find the winner's key stored, not learn
/// that there is none left.
#[cfg(os_thread_local_backend = "custom")]
static CREATION: crate::lock::Lock<()> = crate::lock::Lock::new(());

/// No system's key: they count from 0 or 1, or are addresses.
const NOT_CREATED: usize = usize::MAX;

impl StaticKey {
    /// A key without a destructor.
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

    /// The calling thread's value; null if it has set none. It does not create the key.
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
            // SAFETY: created before it was stored, and never deleted.
            key => unsafe { System::get(System::from_bits(key)) },
        }
    }

    /// Sets the calling thread's value, and creates the key if it is the first. The value it replaces is not destroyed.
    ///
    /// # Errors
    ///
    /// [`OutOfKeys`](AccessError::OutOfKeys) if the system has no key left, [`OutOfMemory`](AccessError::OutOfMemory) if it has no
    /// memory for the value. A later call tries again.
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
        // SAFETY: the key has no destructor: those that have one are inside a `StaticDestructorKey`, which gives no
        // `StaticKey` away.
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
        // SAFETY: the key was created and is never deleted; its destructor accepts the value.
        if unsafe { System::set(System::from_bits(key), value) } {
            Ok(())
        } else {
            Err(AccessError::OutOfMemory)
        }
    }

    /// Threads may race here: the first to store its key wins, the others delete theirs. So nobody waits for anybody, not
    /// even in the child of a fork.
    #[cold]
    fn create(&self) -> Result<usize, AccessError> {
        #[cfg(os_thread_local_backend = "custom")]
        let _turn = CREATION.lock();
        let key = match System::create(self.destructor) {
            Some(key) => key,
            // The winner of a race may have taken the last one.
            None => match self.key.load(Ordering::Acquire) {
                NOT_CREATED => return Err(AccessError::OutOfKeys),
                key => return Ok(key),
            },
        };
        let bits = System::to_bits(key);
        match self.key.compare_exchange(NOT_CREATED, bits, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(bits),
            Err(winner) => {
                // SAFETY: created above, and nobody has seen it.
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

/// A key with a destructor for a `static`: created on first use, never deleted.
///
/// ```
/// use os_thread_local::key::StaticDestructorKey;
/// use std::ffi::c_void;
///
/// unsafe extern "system" fn free(value: *mut c_void) {
///     // SAFETY: only pointers from `Box::<u64>::into_raw` are set.
///     drop(unsafe { Box::from_raw(value.cast::<u64>()) });
/// }
///
/// static KEY: StaticDestructorKey = StaticDestructorKey::new(free);
///
/// std::thread::spawn(|| {
///     // SAFETY: `free` may be called with this pointer, once.
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
    /// A key with a destructor.
    ///
    /// It is safe to create: the destructor is called with values that [`set`](Self::set) was given, and with no others.
    ///
    /// See [`StaticDestructorKey`] for an example.
    #[must_use]
    pub const fn new(destructor: Destructor) -> Self {
        StaticDestructorKey { key: StaticKey::with(Some(destructor)) }
    }

    /// The calling thread's value; null if it has set none. It does not create the key.
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

    /// Sets the calling thread's value, and creates the key if it is the first. The destructor is not called for the value that it
    /// replaces.
    ///
    /// # Errors
    ///
    /// [`OutOfKeys`](AccessError::OutOfKeys) if the system has no key left, [`OutOfMemory`](AccessError::OutOfMemory) if it has no
    /// memory for the value. A later call tries again.
    ///
    /// # Safety
    ///
    /// Unless `value` is null, or is replaced by another `set` on this thread before then: the destructor may be called with `value`
    /// on this thread (fiber) when it exits. The destructor does not unwind, and its code is not unloaded before the last
    /// thread with a value has exited.
    ///
    /// See [`StaticDestructorKey`] for an example.
    #[inline]
    pub unsafe fn set(&self, value: *mut c_void) -> Result<(), AccessError> {
        // SAFETY: the destructor may be called with the value: `set` requires it.
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
        // More often than a system has keys.
        for _ in 0..10_000 {
            assert_eq!(key.create(), Ok(winner));
        }
    }
}
