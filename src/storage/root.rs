//! The root slot: the one key of the operating system through which a thread finds its record.
//!
//! The key is created on first use. It is never deleted, because threads may read it until the process is gone.

use super::packed::{Locator, HALF, LOWER};
use super::record::Entries;
use crate::lock::InterruptGuard;
use crate::sys::{direct, Destructor, Key, Keys, System, Threads};
use crate::AccessError;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::*};

/// The root slot. Two words without an `Option`, so that it is passed in registers: a copy in memory was read in other pieces than it
/// was written in, a stall of 10 ns in each first use (33 ns to create, use and drop an object, 20 ns without).
#[derive(Clone, Copy)]
pub(crate) struct Root {
    pub(crate) key: Key,
    /// The slot's distance from the thread pointer, if a direct read is possible (`sys::direct`); otherwise `NO_OFFSET`.
    offset: isize,
}

/// 0, then the id of the process whose thread publishes the root, then `READY`.
///
/// Ordering: a thread that sees `READY` must see `KEY` and `OFFSET`, and the key created. `READY` is stored with release after both,
/// and loaded with acquire.
static STATE: AtomicUsize = AtomicUsize::new(0);
/// No process has this id.
const READY: usize = usize::MAX;
static KEY: AtomicUsize = AtomicUsize::new(0);
static OFFSET: AtomicIsize = AtomicIsize::new(NO_OFFSET);
const NO_OFFSET: isize = isize::MIN;

/// The root, if a thread has published it.
#[inline(always)]
pub(crate) fn get() -> Option<Root> {
    if STATE.load(Acquire) != READY {
        return None;
    }
    let offset = if direct::POSSIBLE { OFFSET.load(Relaxed) } else { NO_OFFSET };
    Some(Root { key: System::from_bits(KEY.load(Relaxed)), offset })
}

/// The root; the first call creates it. Threads may race: the first to publish its key wins, the others delete theirs. So a thread
/// waits only for two stores of another thread, and a forked child does not wait for a thread of its parent.
///
/// # Errors
/// `OutOfKeys` if all keys of the process are in use. A later call tries again.
#[inline]
pub(crate) fn get_or_create(destructor: Destructor) -> Result<Root, AccessError> {
    loop {
        if let Some(root) = get() {
            return Ok(root);
        }
        // Returns no root: see `Root` for what a copy in memory costs.
        create_first(destructor)?;
    }
}

#[cold]
fn create_first(destructor: Destructor) -> Result<(), AccessError> {
    /// How many keys are created in search of one that can be read directly.
    const KEYS: u32 = 4;
    match create(destructor, KEYS) {
        Some(root) => {
            publish(root);
            Ok(())
        }
        // Another thread may have got the last key, and published it.
        None if get().is_some() => Ok(()),
        None => Err(AccessError::OutOfKeys),
    }
}

fn publish(root: Root) {
    let process = System::process_id();
    while !try_publish(root, process) {
        // Outside of `try_publish`: a task must not wait with interrupts masked.
        System::yield_now();
    }
}

/// `false` while another thread publishes its root.
fn try_publish(root: Root, process: usize) -> bool {
    // Otherwise an interrupt handler could wait here for the task that it interrupted (deadlock).
    let _interrupts = InterruptGuard::new();
    let turn = match STATE.compare_exchange(0, process, Acquire, Acquire) {
        Err(READY) => {
            // SAFETY: this thread has created the key and neither published it nor set a value.
            unsafe { System::discard_root(root.key) };
            return true;
        }
        Err(state) if state == process => false,
        // The publishing thread belongs to the process that this one was forked from.
        Err(state) => STATE.compare_exchange(state, process, Acquire, Relaxed).is_ok(),
        Ok(_) => true,
    };
    if turn {
        KEY.store(System::to_bits(root.key), Relaxed);
        OFFSET.store(root.offset, Relaxed);
        STATE.store(READY, Release);
    }
    turn
}

fn create(destructor: Destructor, keys: u32) -> Option<Root> {
    let key = System::create_root(destructor)?;
    let root = match direct::find(key) {
        // Only an offset that fits the upper half of an object's word.
        Ok(offset) if offset == extended(offset as usize) => Root { key, offset },
        // Deleted only after the next one is created, which would otherwise get the same number.
        Err(direct::Refusal::UsedBefore) if keys > 1 => match create(destructor, keys - 1) {
            Some(other) => {
                let (used, unused) = match other.is_direct() {
                    true => (other, key),
                    false => (Root { key, offset: NO_OFFSET }, other.key),
                };
                // SAFETY: this thread has created the key and not published it; its value is null after `find`.
                unsafe { System::discard_root(unused) };
                used
            }
            None => Root { key, offset: NO_OFFSET },
        },
        _ => Root { key, offset: NO_OFFSET },
    };
    Some(root)
}

impl Root {
    pub(crate) fn locator(&self) -> Locator {
        match self.is_direct() {
            // `read` sign-extends the half.
            true => Locator::Read(self.offset as usize & LOWER),
            false if direct::POSSIBLE => Locator::ReadIndirect(System::to_bits(self.key)),
            false => Locator::Read(System::to_bits(self.key)),
        }
    }

    /// The content of the calling thread's slot.
    #[inline]
    pub(crate) fn load(&self) -> Option<NonNull<Entries>> {
        // SAFETY: the key is live: a root's key is never deleted.
        NonNull::new(unsafe { System::get(self.key) }.cast())
    }

    /// Sets the calling thread's slot. `false` if the system has no memory for the value, which cannot happen if the slot has one.
    ///
    /// # Safety
    /// The entries are a sentinel or the calling thread's record.
    #[inline]
    pub(crate) unsafe fn store(&self, entries: Option<NonNull<Entries>>) -> bool {
        let value = entries.map_or(ptr::null_mut(), |entries| entries.as_ptr().cast());
        // SAFETY: the key is live, and its destructor accepts null, sentinels and records.
        unsafe { System::set(self.key, value) }
    }

    /// Whether a direct read returns the content of the slot. `true` if the slot is not read directly.
    #[inline]
    pub(crate) fn reads_right(&self) -> bool {
        // SAFETY: the key is live, and `find` returned the offset for it.
        !self.is_direct() || unsafe { direct::read(self.offset) == System::get(self.key) }
    }

    fn is_direct(&self) -> bool {
        direct::POSSIBLE && self.offset != NO_OFFSET
    }
}

/// Returns whether this process reads the root slot without a libc call.
///
/// It does if it was built with the feature `direct-read` and the run-time probe of the crate's first use has succeeded, which is possible
/// with glibc and on Apple systems. Before the first use this is `false`.
///
/// # Examples
///
/// ```
/// use os_thread_local::ThreadLocal;
///
/// let tls = ThreadLocal::new(|| 1);
/// tls.with(|_| ());
/// if cfg!(not(feature = "direct-read")) {
///     assert!(!os_thread_local::is_direct_read());
/// }
/// ```
#[must_use]
pub fn is_direct_read() -> bool {
    get().map_or(false, |root| root.is_direct())
}

/// The lower half of a word as a signed number.
#[inline(always)]
fn extended(half: usize) -> isize {
    (half << HALF) as isize >> HALF
}

/// The content of the calling thread's root slot, as the fast path reads it.
///
/// # Safety
/// `locator` is from the `Locator::Read` of the published root.
#[inline(always)]
pub(crate) unsafe fn read(locator: usize) -> Option<NonNull<Entries>> {
    if direct::POSSIBLE {
        // SAFETY: the locator holds the offset that `find` returned for the root key, which is live.
        NonNull::new(unsafe { direct::read(extended(locator)) }.cast())
    } else {
        // SAFETY: without direct reads the locator is the root key.
        unsafe { read_indirect(locator) }
    }
}

/// The content of the calling thread's root slot, read by a call of the operating system.
///
/// # Safety
/// `locator` is the key of the published root.
#[inline(always)]
pub(crate) unsafe fn read_indirect(locator: usize) -> Option<NonNull<Entries>> {
    // SAFETY: the locator is the root key (this function's contract), which is never deleted.
    NonNull::new(unsafe { System::get(System::from_bits(locator)) }.cast())
}
