//! The lock that everything shared stands under, and the guard against interrupt handlers.

use crate::sys::{System, Threads};
use core::ops::{Deref, DerefMut};
use crossbeam_utils::{Backoff, CachePadded};
use spin::mutex::{SpinMutex, SpinMutexGuard};

/// A spin lock that yields to the operating system soon, so that a preempted holder does not burn a core. It has its cache
/// lines to itself: waiting threads do not slow down threads that work on what stands beside it.
pub(crate) struct Lock<T>(CachePadded<SpinMutex<T>>);

/// The fields are dropped in this order: the lock is released before interrupts return.
pub(crate) struct Guard<'a, T> {
    data: SpinMutexGuard<'a, T>,
    _interrupts: InterruptGuard,
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock(CachePadded::new(SpinMutex::new(value)))
    }

    /// Holders run no user code and allocate nothing, so a wait is short unless the holder was preempted.
    #[inline(never)] // every use is on a cold path, and each copy costs 90 bytes on bare metal
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        count::acquisition();
        loop {
            match self.try_lock() {
                Some(guard) => return guard,
                None => {
                    if !wait_while(&|| self.0.is_locked()) {
                        // SAFETY: this is the only thread left in the process, and it waits for the lock, so it does not hold it.
                        unsafe { self.0.force_unlock() }
                    }
                }
            }
        }
    }

    /// Masks interrupts first, so that no handler runs between taking the lock and masking; a failed attempt unmasks them
    /// before the next one.
    #[inline]
    fn try_lock(&self) -> Option<Guard<'_, T>> {
        let interrupts = InterruptGuard::new();
        let data = self.0.try_lock()?;
        Some(Guard { data, _interrupts: interrupts })
    }

    /// Releases the lock in place of a holder that no longer exists.
    ///
    /// # Safety
    /// No thread of this process holds the lock: its holder was left behind by `fork`.
    #[cfg(feature = "alloc")]
    pub(crate) unsafe fn release_abandoned(&self) {
        // SAFETY: without a holder, no guard will release the lock a second time.
        unsafe { self.0.force_unlock() }
    }
}

/// Spins for a moment, then yields. `false` if the holder was killed. Not generic: one copy for every lock.
#[cold]
fn wait_while(locked: &dyn Fn() -> bool) -> bool {
    const SPINS: u32 = 5;
    let backoff = Backoff::new();
    for _ in 0..SPINS {
        backoff.spin();
        if !locked() {
            return true;
        }
    }
    while locked() {
        if System::other_threads_were_killed() {
            return false;
        }
        System::yield_now();
    }
    true
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}

/// While it lives, no interrupt handler and no other task runs on this core: with the custom backend and the feature
/// `critical-section`. Operating systems need none of it.
pub(crate) use self::interrupts::InterruptGuard;

#[cfg(all(os_thread_local_backend = "custom", feature = "critical-section"))]
mod interrupts {
    use core::marker::PhantomData;

    /// Not `Send`: a critical section ends where it began.
    pub(crate) struct InterruptGuard(critical_section::RestoreState, PhantomData<*mut ()>);

    impl InterruptGuard {
        #[inline]
        pub(crate) fn new() -> Self {
            // SAFETY: `drop` releases it. Sections nest because guards are local variables, and none is forgotten.
            InterruptGuard(unsafe { critical_section::acquire() }, PhantomData)
        }
    }

    impl Drop for InterruptGuard {
        #[inline]
        fn drop(&mut self) {
            // SAFETY: `new` acquired it and got this state.
            unsafe { critical_section::release(self.0) }
        }
    }
}

#[cfg(not(all(os_thread_local_backend = "custom", feature = "critical-section")))]
mod interrupts {
    pub(crate) struct InterruptGuard;

    impl InterruptGuard {
        #[inline(always)]
        pub(crate) fn new() -> Self {
            InterruptGuard
        }
    }
}

/// What each thread has done to memory that threads share: for the tests that show what scales. Compiled to nothing without
/// `--cfg os_thread_local_count`.
pub(crate) mod count {
    #[cfg(os_thread_local_count)]
    std::thread_local! {
        static COUNTS: core::cell::Cell<(usize, usize)> = const { core::cell::Cell::new((0, 0)) };
    }

    /// A lock was acquired.
    #[inline(always)]
    pub(crate) fn acquisition() {
        #[cfg(os_thread_local_count)]
        let _ = COUNTS.try_with(|counts| counts.set((counts.get().0 + 1, counts.get().1)));
    }

    /// An atomic read-modify-write was made on a word that threads share, outside of any lock.
    #[inline(always)]
    #[cfg(feature = "alloc")]
    pub(crate) fn shared_write() {
        #[cfg(os_thread_local_count)]
        let _ = COUNTS.try_with(|counts| counts.set((counts.get().0, counts.get().1 + 1)));
    }

    /// Lock acquisitions and shared writes of the calling thread so far.
    #[cfg(os_thread_local_count)]
    pub fn of_this_thread() -> (usize, usize) {
        COUNTS.with(core::cell::Cell::get)
    }
}
