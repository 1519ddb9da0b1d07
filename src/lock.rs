//! The lock for shared data, and the interrupt guard.

use crate::sys::{System, Threads};
use core::ops::{Deref, DerefMut};
use crossbeam_utils::{Backoff, CachePadded};
use spin::mutex::{SpinMutex, SpinMutexGuard};

/// A spin lock that yields to the operating system after a few attempts, because its holder may be preempted. It is padded to cache
/// lines of its own, so that waiting threads do not slow down threads that use neighbouring data.
pub(crate) struct Lock<T>(CachePadded<SpinMutex<T>>);

/// The fields are dropped in this order: the lock is released before interrupts are enabled.
pub(crate) struct Guard<'a, T> {
    data: SpinMutexGuard<'a, T>,
    _interrupts: InterruptGuard,
}

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock(CachePadded::new(SpinMutex::new(value)))
    }

    /// Acquires the lock. Holders run no user code and do not allocate, so a wait is short unless the holder is preempted.
    #[inline(never)] // every use is on a cold path: one copy of the code
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        count::acquisition();
        loop {
            match self.try_lock() {
                Some(guard) => return guard,
                None => {
                    if !wait_while(&|| self.0.is_locked()) {
                        // SAFETY: the holder was killed. This is the only thread left, and it is not the holder, because it waits.
                        unsafe { self.0.force_unlock() }
                    }
                }
            }
        }
    }

    /// Makes one attempt. Masks interrupts first, so that no handler runs while the lock is held; a failed attempt unmasks them.
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
        // SAFETY: no thread holds the lock (this function's contract), so no guard releases it a second time.
        unsafe { self.0.force_unlock() }
    }
}

/// Spins briefly, then yields until the lock is free. `false` if the holder was killed. Not generic, so that all locks share one copy.
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

/// With the custom backend and the feature `critical-section`, keeps interrupt handlers and other tasks from running on this core
/// while it lives. Otherwise it does nothing: threads of an operating system need no such guard.
pub(crate) use self::interrupts::InterruptGuard;

#[cfg(all(os_thread_local_backend = "custom", feature = "critical-section"))]
mod interrupts {
    use core::marker::PhantomData;

    /// Not `Send`: a critical section must be released where it was acquired.
    pub(crate) struct InterruptGuard(critical_section::RestoreState, PhantomData<*mut ()>);

    impl InterruptGuard {
        #[inline]
        pub(crate) fn new() -> Self {
            // SAFETY: `drop` releases the section. Sections nest, because guards are local variables and none is forgotten.
            InterruptGuard(unsafe { critical_section::acquire() }, PhantomData)
        }
    }

    impl Drop for InterruptGuard {
        #[inline]
        fn drop(&mut self) {
            // SAFETY: `new` acquired the section and got this state.
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

/// Counts each thread's lock acquisitions and read-modify-writes on shared memory, for `tests/shared_operations.rs`. Compiled to
/// nothing without `--cfg os_thread_local_count`.
pub(crate) mod count {
    #[cfg(os_thread_local_count)]
    std::thread_local! {
        static COUNTS: core::cell::Cell<(usize, usize)> = const { core::cell::Cell::new((0, 0)) };
    }

    /// Counts a lock acquisition.
    #[inline(always)]
    pub(crate) fn acquisition() {
        #[cfg(os_thread_local_count)]
        let _ = COUNTS.try_with(|counts| counts.set((counts.get().0 + 1, counts.get().1)));
    }

    /// Counts an atomic read-modify-write on a word that threads share, outside of any lock.
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
