//! The one lock, and the guard around initialization.

use crate::sys;
use core::ops::{Deref, DerefMut};
use crossbeam_utils::{Backoff, CachePadded};
use spin::mutex::{SpinMutex, SpinMutexGuard};
use spin::relax::RelaxStrategy;

/// How a waiting thread spends its time: it lets others run, for one of them may hold what it waits for.
pub(crate) struct Yield;

impl RelaxStrategy for Yield {
    fn relax() {
        sys::yield_now();
    }
}

#[cfg(feature = "alloc")]
pub(crate) type Once<T> = spin::once::Once<T, Yield>;

/// A spin lock that yields to the OS soon, so that a preempted holder does not burn a core. It has its cache lines to
/// itself: who waits does not slow down who works next to it.
pub(crate) struct Lock<T>(CachePadded<SpinMutex<T, Yield>>);

/// The fields are dropped in this order: interrupts come back when the lock is free.
pub(crate) struct Guard<'a, T> {
    guard: SpinMutexGuard<'a, T>,
    _masked: Masked,
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock(CachePadded::new(SpinMutex::new(value)))
    }

    /// Holders run no user code and allocate nothing, so a wait is short unless the holder was preempted.
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        match self.try_lock() {
            Some(guard) => guard,
            None => self.lock_contended(),
        }
    }

    #[cold]
    fn lock_contended(&self) -> Guard<'_, T> {
        const SPINS: u32 = 5;
        let backoff = Backoff::new();
        for _ in 0..SPINS {
            backoff.spin();
            if let Some(guard) = self.try_lock() {
                return guard;
            }
        }
        loop {
            Yield::relax();
            if let Some(guard) = self.try_lock() {
                return guard;
            }
        }
    }

    /// Masks first, so that no interrupt comes between taking the lock and masking; and waits for nobody while masked.
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        let masked = Masked::new();
        let guard = self.0.try_lock()?;
        Some(Guard { guard, _masked: masked })
    }

    /// Releases the lock for a guard that was forgotten.
    ///
    /// # Safety
    /// The lock is held by a forgotten guard, and nothing that the guard gave access to is used any more.
    #[cfg(feature = "alloc")]
    pub(crate) unsafe fn force_unlock(&self) {
        // SAFETY: as the caller promises.
        unsafe { self.0.force_unlock() }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// While it lives, no interrupt handler and no other task runs on this core: with the custom backend and the feature
/// `critical-section`. Operating systems need none of it.
pub(crate) use self::masked::Masked;

#[cfg(all(os_thread_local_backend = "custom", feature = "critical-section"))]
mod masked {
    use core::marker::PhantomData;

    /// Not `Send`: a critical section ends where it began.
    pub(crate) struct Masked(critical_section::RestoreState, PhantomData<*mut ()>);

    impl Masked {
        #[inline]
        pub(crate) fn new() -> Self {
            // SAFETY: `drop` releases it. Sections nest because guards are local variables; none is forgotten, since this
            // backend has no fork.
            Masked(unsafe { critical_section::acquire() }, PhantomData)
        }
    }

    impl Drop for Masked {
        #[inline]
        fn drop(&mut self) {
            // SAFETY: `new` acquired it and got this state.
            unsafe { critical_section::release(self.0) }
        }
    }
}

#[cfg(not(all(os_thread_local_backend = "custom", feature = "critical-section")))]
mod masked {
    pub(crate) struct Masked;

    impl Masked {
        #[inline(always)]
        pub(crate) fn new() -> Self {
            Masked
        }
    }
}
