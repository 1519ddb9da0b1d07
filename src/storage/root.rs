//! The root slot: the one key of the operating system through which a thread finds its record.
//!
//! The key is created on first use and never deleted: threads may read it while the process exits.

use super::packed::{Locator, HALF, LOWER};
use super::record::Entries;
use crate::lock::InterruptGuard;
use crate::sys::{direct, Destructor, Key, Keys, System, Threads};
use crate::AccessError;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicIsize, AtomicUsize, Ordering::*};

/// Two words, which travel in registers: through memory, copies of an `Option` in it cost a stall in every first use.
#[derive(Clone, Copy)]
pub(crate) struct Root {
    pub(crate) key: Key,
    /// Where the slot is, from the thread pointer, if that is known (`sys::direct`); otherwise `NO_OFFSET`.
    offset: isize,
}

/// 0, then the id of the process whose thread publishes the root, then `READY`. Release when `READY` is stored, acquire when it is
/// loaded: a thread that sees it sees the two words below, and may use the key.
static STATE: AtomicUsize = AtomicUsize::new(0);
/// No process has this id.
const READY: usize = usize::MAX;
static KEY: AtomicUsize = AtomicUsize::new(0);
static OFFSET: AtomicIsize = AtomicIsize::new(NO_OFFSET);
const NO_OFFSET: isize = isize::MIN;

/// The root, if a thread has created it.
#[inline(always)]
pub(crate) fn get() -> Option<Root> {
    if STATE.load(Acquire) != READY {
        return None;
    }
    Some(Root { key: System::from_bits(KEY.load(Relaxed)), offset: OFFSET.load(Relaxed) })
}

/// The root, created by the first call. Threads may race here: the first to publish its key wins, the others delete theirs. So
/// a thread waits for no more than two stores of another one, and in a forked child not for a thread that the child does not have.
///
/// # Errors
/// Creation can fail: every key of the process is taken. A later call tries again.
#[inline]
pub(crate) fn get_or_create(destructor: Destructor) -> Result<Root, AccessError> {
    loop {
        if let Some(root) = get() {
            return Ok(root);
        }
        // It gives no root back: through memory, that cost a stall in every first use, 10 ns.
        create_first(destructor)?;
    }
}

#[cold]
fn create_first(destructor: Destructor) -> Result<(), AccessError> {
    /// How many keys are tried for one that can be read directly.
    const KEYS: u32 = 4;
    match create(destructor, KEYS) {
        Some(root) => {
            publish(root);
            Ok(())
        }
        // Another thread may have published the last key meanwhile.
        None if get().is_some() => Ok(()),
        None => Err(AccessError::OutOfKeys),
    }
}

fn publish(root: Root) {
    let process = System::process_id();
    while !try_publish(root, process) {
        // Not in `try_publish`: no task waits with interrupts masked.
        System::yield_now();
    }
}

/// `false` while another thread publishes its root.
fn try_publish(root: Root, process: usize) -> bool {
    // An interrupt handler must not wait here for the task that it interrupted.
    let _interrupts = InterruptGuard::new();
    let turn = match STATE.compare_exchange(0, process, Acquire, Acquire) {
        Err(READY) => {
            // SAFETY: no other thread has seen this key, and its value is null.
            unsafe { System::discard_root(root.key) };
            return true;
        }
        Err(state) if state == process => false,
        // The thread that began is in the process that this one was forked from.
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
        // One that an object can hold.
        Ok(offset) if offset == extended(offset as usize) => Root { key, offset },
        // Not deleted before the next is created, or that would be the same.
        Err(direct::Refusal::UsedBefore) if keys > 1 => match create(destructor, keys - 1) {
            Some(other) => {
                let (used, spare) = match other.is_direct() {
                    true => (other, key),
                    false => (Root { key, offset: NO_OFFSET }, other.key),
                };
                // SAFETY: no other thread has seen this key, and its value is null.
                unsafe { System::discard_root(spare) };
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
            // `read` extends the sign.
            true => Locator::Read(self.offset as usize & LOWER),
            false if direct::POSSIBLE => Locator::ReadIndirect(System::to_bits(self.key)),
            false => Locator::Read(System::to_bits(self.key)),
        }
    }

    /// What stands in the calling thread's slot.
    #[inline]
    pub(crate) fn load(&self) -> Option<NonNull<Entries>> {
        // SAFETY: the key is live: it is never deleted.
        NonNull::new(unsafe { System::get(self.key) }.cast())
    }

    /// `false` if the system has no memory for the value; never if the slot has one.
    ///
    /// # Safety
    /// The entries are a sentinel, or the record of the calling thread.
    #[inline]
    pub(crate) unsafe fn store(&self, entries: Option<NonNull<Entries>>) -> bool {
        let value = entries.map_or(ptr::null_mut(), |entries| entries.as_ptr().cast());
        // SAFETY: the key is live, and its destructor accepts both.
        unsafe { System::set(self.key, value) }
    }

    /// Whether a direct read gives what stands in the slot.
    #[inline]
    pub(crate) fn reads_right(&self) -> bool {
        // SAFETY: the offset was found for this key, which is live.
        !self.is_direct() || unsafe { direct::read(self.offset) == System::get(self.key) }
    }

    fn is_direct(&self) -> bool {
        direct::POSSIBLE && self.offset != NO_OFFSET
    }
}

/// Whether this process finds values without a call to the operating system: it was built with the feature `direct-read`, the
/// system is one where that may be possible, and the first use of the crate has proved that it is.
///
/// Before the first use nothing is proved, and this is `false`.
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

/// What stands in this thread's root slot: the read on the fast path.
///
/// # Safety
/// The word comes from `Locator::Read`, of a root that was published before.
#[inline(always)]
pub(crate) unsafe fn read(locator: usize) -> Option<NonNull<Entries>> {
    if direct::POSSIBLE {
        // SAFETY: the locator is the offset that was found for the live root key.
        NonNull::new(unsafe { direct::read(extended(locator)) }.cast())
    } else {
        // SAFETY: the locator is the key.
        unsafe { read_indirect(locator) }
    }
}

/// The same by a call, where a direct read was possible, and refused.
///
/// # Safety
/// The locator is the key of a root that was published before.
#[inline(always)]
pub(crate) unsafe fn read_indirect(locator: usize) -> Option<NonNull<Entries>> {
    // SAFETY: the locator is the live root key, which is never deleted.
    NonNull::new(unsafe { System::get(System::from_bits(locator)) }.cast())
}
