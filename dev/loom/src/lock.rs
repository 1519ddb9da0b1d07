//! The locks: loom's, so that what they protect is seen to be protected. Outside of a model there is one thread.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

pub(crate) struct InterruptGuard;

impl InterruptGuard {
    pub(crate) fn new() -> Self {
        InterruptGuard
    }
}

pub(crate) struct Lock<T>(UnsafeCell<T>);

// SAFETY: it is a lock.
unsafe impl<T: Send> Sync for Lock<T> {}

pub(crate) struct Guard<'a, T>(&'a Lock<T>, Option<core::Held>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock(UnsafeCell::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        Guard(self, Some(core::lock(self as *const Self as usize)))
    }

    /// What `lock` gives, without the lock: for the patches in `dev/loom/mutations`.
    pub(crate) fn unlocked(&self) -> Guard<'_, T> {
        Guard(self, None)
    }

    pub(crate) unsafe fn release_abandoned(&self) {
        unreachable!("no model forks")
    }
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: locked.
        unsafe { &*self.0 .0.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: locked.
        unsafe { &mut *self.0 .0.get() }
    }
}

/// Models count nothing.
pub(crate) mod count {
    pub(crate) fn acquisition() {}
    pub(crate) fn shared_write() {}
}
