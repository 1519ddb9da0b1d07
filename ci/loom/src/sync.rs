//! The lock: loom's, so that what it protects is seen to be protected. Outside of a model there is one thread.

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};

pub(crate) struct Masked;

impl Masked {
    pub(crate) fn new() -> Self {
        Masked
    }
}

/// There is one in the crate.
pub(crate) struct Lock<T>(UnsafeCell<T>);

// SAFETY: it is a lock.
unsafe impl<T: Send> Sync for Lock<T> {}

pub(crate) struct Guard<'a, T>(&'a Lock<T>, Option<loom::sync::MutexGuard<'static, ()>>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock(UnsafeCell::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        Guard(self, loom_core::lock())
    }

    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        Some(self.lock())
    }

    pub(crate) fn hold_for_fork(&self) {}

    pub(crate) fn release_after_fork(&self) {}
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

/// Models begin after the first use of the crate, so that it is done by one thread.
pub(crate) struct Once<T>(std::sync::OnceLock<T>);

impl<T> Once<T> {
    pub(crate) const fn new() -> Self {
        Once(std::sync::OnceLock::new())
    }

    pub(crate) fn get(&self) -> Option<&T> {
        self.0.get()
    }

    pub(crate) fn try_call_once<E>(&self, f: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
        if self.0.get().is_none() {
            let _ = self.0.set(f()?);
        }
        Ok(self.0.get().unwrap())
    }
}
