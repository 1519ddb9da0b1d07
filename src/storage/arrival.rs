//! The arrival of a thread: how it gets its record. The first thread also creates the root slot and installs the hooks.
//!
//! The global allocator may use the crate at any time, and must not lead here again and again. While memory is allocated for a thread
//! without a record, a sentinel stands in its slot, and the allocator gets `Recursive`. Where setting the slot may itself allocate, the
//! thread is marked as arriving meanwhile (`shared::arriving`).

use super::entries::Kind;
use super::exit::{self, on_key_destructor, HOOKS};
use super::record::{self, Current, Record};
use super::root::{self, Root};
use super::shared;
use crate::sys::{Keys, System, Threads};
use crate::AccessError;
use core::mem;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// 0, then the id of the process whose thread installs the hooks, then `INSTALLED`.
///
/// No thread waits for another one's installation: that takes the loader's lock, and a library constructor that runs under that lock may
/// be the one that would wait (deadlock). A child that was forked in the middle finds its parent's id, and installs its own.
static HOOKS_STATE: AtomicUsize = AtomicUsize::new(0);
/// No process has this id.
const INSTALLED: usize = usize::MAX;

/// The calling thread's record; if it has none, one of the pool, or a new one.
#[cold]
pub(super) fn current_or_new() -> Result<Current, AccessError> {
    let root = match root::get() {
        Some(root) => root,
        None => create_root()?,
    };
    let entries = root.load();
    // SAFETY: the slot leads to a sentinel or to this thread's record, which it owns.
    match unsafe { record::record_at(entries).map(|record| Current::new(record)) } {
        Some(current) => Ok(current),
        // SAFETY: a slot without a record leads to a sentinel, which is a static.
        None => new_record(root, unsafe { entries.as_ref() }.kind()),
    }
}

#[cold]
fn create_root() -> Result<Root, AccessError> {
    if !System::MAY_ALLOCATE {
        return root::get_or_create(on_key_destructor);
    }
    if shared::is_arriving() {
        return Err(AccessError::Recursive);
    }
    shared::arriving(|| root::get_or_create(on_key_destructor))
}

/// `current_or_new` for a thread without a record, whose slot leads to the sentinel of this kind.
fn new_record(root: Root, kind: Kind) -> Result<Current, AccessError> {
    if kind == Kind::UnderConstruction || (root.set_may_allocate() && shared::is_arriving()) {
        return Err(AccessError::Recursive);
    }
    if HOOKS_STATE.load(Relaxed) != INSTALLED {
        install_hooks(root, kind)?;
    }
    let current = match adopt_record(root)? {
        Some(current) => current,
        None => allocate_record(root, kind)?,
    };
    if kind != Kind::NoRecord {
        current.set_late();
        if !current.numbers.is_empty() {
            shared::give_back(&current.numbers, true);
        }
    }
    Ok(current)
}

/// The fast path of `current_or_new`, for a thread whose slot leads to no record: a record of the pool. `None` if there is none, or if
/// the slow path is needed.
#[inline(always)]
pub(super) fn adopt_at_once() -> Result<Option<Current>, AccessError> {
    match root::get() {
        Some(root) if HOOKS_STATE.load(Relaxed) == INSTALLED && !root.set_may_allocate() => {
            adopt_record(root)
        }
        _ => Ok(None),
    }
}

/// Gives the calling thread a record of the pool, if there is one.
#[inline(always)]
fn adopt_record(root: Root) -> Result<Option<Current>, AccessError> {
    // A statement of its own, so that the lock is released before the slot is set (invariant 5).
    let pooled = shared::pool().pop();
    match pooled {
        Some(record) => store_record(root, record).map(Some),
        None => Ok(None),
    }
}

#[cold]
#[inline(never)]
fn allocate_record(root: Root, kind: Kind) -> Result<Current, AccessError> {
    let sentinel = SentinelGuard::put(root, kind)?;
    let stripe = shared::pool().choose_stripe();
    let record = match Record::allocate(stripe) {
        Some(record) => record,
        None => {
            shared::pool().count_left(stripe);
            return Err(AccessError::OutOfMemory);
        }
    };
    // SAFETY: the record is new and in no stripe. `exit` frees it after it has left the stripe.
    unsafe { shared::stripe(stripe).join(record) };
    let current = store_record(root, record)?;
    mem::forget(sentinel);
    Ok(current)
}

/// Stores the calling thread's new record in its root slot.
#[inline]
fn store_record(root: Root, record: NonNull<Record>) -> Result<Current, AccessError> {
    // SAFETY: the record is new or was pooled: it is this thread's from now on.
    let store = || unsafe { root.store_record(record) };
    let stored = if root.set_may_allocate() { shared::arriving(store) } else { store() };
    // SAFETY: the record is this thread's, and is not used after `end_unused`.
    let current = unsafe { Current::new(record) };
    if stored {
        Ok(current)
    } else {
        Err(end_unused(current))
    }
}

#[cold]
#[inline(never)]
fn end_unused(current: Current) -> AccessError {
    // SAFETY: the record is in no root slot, and has no values with a destructor: this thread has not used it.
    unsafe { exit::end(current) };
    AccessError::OutOfMemory
}

#[cold]
#[inline(never)]
fn install_hooks(root: Root, kind: Kind) -> Result<(), AccessError> {
    let _sentinel = SentinelGuard::put(root, kind)?;
    let process = System::process_id();
    let state = HOOKS_STATE.load(Relaxed);
    if state != INSTALLED
        && state != process
        && HOOKS_STATE.compare_exchange(state, process, Relaxed, Relaxed).is_ok()
    {
        shared::install_fork_handlers(|| System::install_hooks(&HOOKS));
        HOOKS_STATE.store(INSTALLED, Relaxed);
    }
    Ok(())
}

/// Puts a sentinel into the root slot; when it is dropped, the sentinel that was there before. Meanwhile an allocator that uses an object
/// gets `Recursive`; it would recurse without end.
struct SentinelGuard(Root, Kind);

impl SentinelGuard {
    /// `before` is the kind of the sentinel to which the slot leads.
    fn put(root: Root, before: Kind) -> Result<SentinelGuard, AccessError> {
        let put = || root.store_sentinel(Kind::UnderConstruction);
        let stored = if root.set_may_allocate() { shared::arriving(put) } else { put() };
        if stored {
            Ok(SentinelGuard(root, before))
        } else {
            Err(AccessError::OutOfMemory)
        }
    }
}

impl Drop for SentinelGuard {
    fn drop(&mut self) {
        let stored = self.0.store_sentinel(self.1);
        debug_assert!(stored, "a slot that has a value can be set");
    }
}
