//! Loom's locks, so that loom sees what they protect. Outside of a model there is one thread.

use core::cell::Cell;
use std::cell::UnsafeCell;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::Mutex;

pub(crate) struct InterruptGuard;

impl InterruptGuard {
    pub(crate) fn new() -> Self {
        InterruptGuard
    }
}

/// The cell holds whether the lock's holder is a thread of the parent process. It is set without the lock: loom reports a release of such a
/// lock that is not ordered before an acquisition. The last field holds whether a running thread has the lock.
pub(crate) struct Lock<T>(UnsafeCell<T>, Cell<bool>, AtomicBool);

/// The locks that were acquired, in this execution or outside of models, each with a function that acquires and abandons it.
#[allow(clippy::incompatible_msrv)] // not built with the minimum
static ALL: Mutex<BTreeMap<usize, Known>> = Mutex::new(BTreeMap::new());

#[derive(Clone, Copy)]
struct Known {
    abandon: fn(usize),
    in_model: bool,
}

/// The beginning of an execution, which must do the same as every other.
pub(crate) fn begin() {
    ALL.lock().unwrap().retain(|_, known| !known.in_model);
}

/// The process is forked while threads which the child does not have hold all locks.
pub(crate) fn abandon_all() {
    let all = ALL.lock().unwrap().clone();
    all.into_iter().for_each(|(address, known)| (known.abandon)(address));
}

// SAFETY: it is a lock.
unsafe impl<T: Send> Sync for Lock<T> {}

pub(crate) struct Guard<'a, T>(&'a Lock<T>, Option<core::Held>);

impl<T> Lock<T> {
    pub(crate) const fn new(value: T) -> Self {
        Lock(UnsafeCell::new(value), Cell::new(false), AtomicBool::new(false))
    }

    fn abandon(address: usize) {
        // SAFETY: `lock` has the address from a lock of this type, and all are statics.
        unsafe { &*(address as *const Self) }.lock().abandon();
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        let address = self as *const Self as usize;
        let known = Known { abandon: Self::abandon, in_model: core::in_model() };
        ALL.lock().unwrap().entry(address).or_insert(known);
        let held = core::lock(address);
        assert!(!self.1.get(), "a thread waits for a thread of the parent process");
        self.2.store(true, SeqCst);
        Guard(self, Some(held))
    }

    /// What `lock` gives, without the lock: for the patches in `dev/loom/mutations`.
    pub(crate) fn unlocked(&self) -> Guard<'_, T> {
        Guard(self, None)
    }

    pub(crate) unsafe fn release_abandoned(&self) {
        assert!(!self.2.load(SeqCst), "a lock is released that a running thread holds");
        self.1.set(false);
    }
}

impl<T> Guard<'_, T> {
    /// The process is forked, and the child does not have the thread that holds the lock.
    pub(crate) fn abandon(self) {
        self.0 .1.set(true);
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        if self.1.is_some() {
            self.0 .2.store(false, SeqCst);
        }
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
