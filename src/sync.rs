//! The one lock, and the guard around initialization.

use crate::sys;
#[cfg(feature = "alloc")]
use core::mem;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
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
pub(crate) struct Lock<T> {
    mutex: CachePadded<SpinMutex<T, Yield>>,
    /// The thread that holds the lock while it forks, or 0. Other libraries' fork handlers run then, and may use our
    /// objects: that thread gets through. It is in no critical section, so what the lock protects is whole.
    forking: AtomicUsize,
}

/// The fields are dropped in this order: interrupts come back when the lock is free.
pub(crate) struct Guard<'a, T> {
    data: NonNull<T>,
    /// `None` for the thread that holds the lock while it forks.
    _locked: Option<SpinMutexGuard<'a, T>>,
    _masked: Masked,
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock { mutex: CachePadded::new(SpinMutex::new(value)), forking: AtomicUsize::new(0) }
    }

    /// Holders run no user code and allocate nothing, so a wait is short unless the holder was preempted.
    #[inline]
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
    #[inline]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        let masked = Masked::new();
        let locked = self.mutex.try_lock();
        if locked.is_none() && !self.is_forking() {
            return None;
        }
        // SAFETY: a pointer into `self`.
        let data = unsafe { NonNull::new_unchecked(self.mutex.as_mut_ptr()) };
        Some(Guard { data, _locked: locked, _masked: masked })
    }

    /// The calling thread holds the lock while it forks. Relaxed: a thread finds its own name only if it stored it.
    fn is_forking(&self) -> bool {
        let forking = self.forking.load(Relaxed);
        forking != 0 && forking == sys::thread_id()
    }

    /// Takes the lock until `release_after_fork`.
    #[cfg(feature = "alloc")]
    pub(crate) fn hold_for_fork(&self) {
        mem::forget(self.lock());
        self.forking.store(sys::thread_id(), Relaxed);
    }

    /// Releases the lock if `hold_for_fork` took it on this thread (in a child, on the thread that forked it).
    #[cfg(feature = "alloc")]
    pub(crate) fn release_after_fork(&self) {
        if self.is_forking() {
            self.forking.store(0, Relaxed);
            // SAFETY: the lock is held, by a guard that was forgotten. Others that this thread had meanwhile have gone
            // with their critical sections.
            unsafe { self.mutex.force_unlock() }
        }
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this thread holds the lock, and has one guard at a time that it uses.
        unsafe { self.data.as_ref() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { self.data.as_mut() }
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
