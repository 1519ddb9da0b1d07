//! The locks: loom's, so that what they protect is seen to be protected. Outside of a model there is one thread.

use core::cell::Cell;
use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

pub(crate) struct InterruptGuard;

impl InterruptGuard {
    pub(crate) fn new() -> Self {
        InterruptGuard
    }
}

/// The cell says whether its holder is a thread of the parent process. It is set without the lock: loom complains when a release of what
/// such a thread held is not ordered before an acquisition.
pub(crate) struct Lock<T>(UnsafeCell<T>, Cell<bool>);

// SAFETY: it is a lock.
unsafe impl<T: Send> Sync for Lock<T> {}

pub(crate) struct Guard<'a, T>(&'a Lock<T>, Option<core::Held>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock(UnsafeCell::new(value), Cell::new(false))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let held = core::lock(self as *const Self as usize);
        assert!(!self.1.get(), "a thread waits for a thread of the parent process");
        Guard(self, Some(held))
    }

    /// What `lock` gives, without the lock: for the patches in `dev/loom/mutations`.
    pub(crate) fn unlocked(&self) -> Guard<'_, T> {
        Guard(self, None)
    }

    pub(crate) unsafe fn release_abandoned(&self) {
        self.1.set(false);
    }
}

impl<T> Guard<'_, T> {
    /// The process is forked, and the child does not have the thread that holds the lock.
    pub(crate) fn abandon(self) {
        self.0 .1.set(true);
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
