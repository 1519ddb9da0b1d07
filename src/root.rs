//! The one OS key of the crate, and what hangs on it: each thread's record, and the hooks that end it.
//!
//! The key is created on first use and never deleted: background threads may read it while the process exits.

use crate::record::{self, Record};
use crate::registry::REGISTRY;
use crate::sync::{Masked, Once};
use crate::sys::{self, direct, Hooks};
use crate::AccessError;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The root slot, once its key exists. Creation can fail (every key of the process is taken); a later call tries again.
static ROOT: Once<Root> = Once::new();

struct Root {
    key: sys::Key,
    /// Where the slot is, from the thread pointer, if that is known (`sys::direct`).
    offset: Option<isize>,
}

/// Somebody has begun to tell the OS our hooks. Nobody waits for that: it takes the loader's lock, and who holds that may
/// be the one who would wait here (the constructor of a library that uses our objects).
static HOOKED: AtomicBool = AtomicBool::new(false);

static HOOKS: Hooks =
    Hooks { thread_exit: on_thread_exit, process_exit: on_process_exit, before_fork, after_fork };

/// The root slot's key, created by the first call.
pub(crate) fn key() -> Result<sys::Key, AccessError> {
    root().map(|root| root.key)
}

fn root() -> Result<&'static Root, AccessError> {
    /// How many keys are tried for one that can be read directly.
    const KEYS: u32 = 4;
    if let Some(root) = ROOT.get() {
        return Ok(root);
    }
    // An interrupt handler must not wait here for the task that it interrupted.
    let _masked = Masked::new();
    ROOT.try_call_once(|| create(KEYS).ok_or(AccessError::OutOfKeys))
}

fn create(keys: u32) -> Option<Root> {
    let key = sys::create(Some(on_key_destructor))?;
    let root = match direct::find(key) {
        // One that an object can keep.
        Ok(offset) if offset == extended(offset as usize) => Root { key, offset: Some(offset) },
        // Kept while the next is asked for, or it would be the same.
        Err(direct::Refusal::UsedBefore) if keys > 1 => match create(keys - 1) {
            Some(other) => {
                let (used, spare) = match other.offset {
                    Some(_) => (other, key),
                    None => (Root { key, offset: None }, other.key),
                };
                // SAFETY: nobody else has seen this one, and its value is null.
                unsafe { sys::delete(spare) };
                used
            }
            None => Root { key, offset: None },
        },
        _ => Root { key, offset: None },
    };
    Some(root)
}

/// What an object keeps to find the root slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Locator {
    /// For `read`.
    Usual(usize),
    /// For `read_by_call`, where `read` would have been without a call.
    ByCall(usize),
}

pub(crate) fn locate() -> Result<Locator, AccessError> {
    let root = root()?;
    Ok(match root.offset {
        // `read` extends the sign.
        Some(offset) => Locator::Usual(offset as usize & LOWER),
        None if direct::POSSIBLE => Locator::ByCall(sys::to_bits(root.key)),
        None => Locator::Usual(sys::to_bits(root.key)),
    })
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
///     assert!(!os_thread_local::direct_read());
/// }
/// ```
pub fn direct_read() -> bool {
    ROOT.get().map_or(false, |root| root.offset.is_some())
}

const HALF: u32 = usize::BITS / 2;
const LOWER: usize = (1 << HALF) - 1;

/// The lower half of a word as a signed number.
#[inline(always)]
fn extended(half: usize) -> isize {
    (half << HALF) as isize >> HALF
}

/// This thread's record, if it has one: the read on the fast path.
///
/// # Safety
/// `locate` gave the locator, as the usual one, and that happened before.
#[inline(always)]
pub(crate) unsafe fn read(locator: usize) -> Option<NonNull<Record>> {
    if direct::POSSIBLE {
        // SAFETY: the locator is the offset that was found for the live root key.
        NonNull::new(unsafe { direct::read(extended(locator)) }.cast())
    } else {
        // SAFETY: the locator is the key.
        unsafe { read_by_call(locator) }
    }
}

/// The same where a direct read was possible, and refused.
///
/// # Safety
/// `locate` gave the locator, and it is not an offset.
#[inline(always)]
pub(crate) unsafe fn read_by_call(locator: usize) -> Option<NonNull<Record>> {
    // SAFETY: the locator is the live root key, which is never deleted.
    NonNull::new(unsafe { sys::get(sys::from_bits(locator)) }.cast())
}

/// This thread's record, if it has one; for the cold paths.
#[inline]
pub(crate) fn current() -> Option<NonNull<Record>> {
    let key = ROOT.get()?.key;
    // SAFETY: the key is live: it is never deleted.
    let record = NonNull::new(unsafe { sys::get(key) }.cast())?;
    if record::is_mark(record) {
        None
    } else {
        Some(record)
    }
}

/// This thread's record; makes it on the thread's first use.
#[inline]
pub(crate) fn current_or_new() -> Result<NonNull<Record>, AccessError> {
    let key = key()?;
    // SAFETY: the key is live: it is never deleted.
    match NonNull::new(unsafe { sys::get(key) }.cast()) {
        Some(record) if record == record::under_construction() => Err(AccessError::Recursive),
        Some(record) if record == record::ended() => new_record(key, false),
        Some(record) => Ok(record),
        None => new_record(key, true),
    }
}

/// The mark stands in the root slot meanwhile: an allocator that uses an object of this crate gets `Recursive` instead
/// of calling itself, or waiting for itself, without end.
#[cold]
fn new_record(key: sys::Key, exit_list: bool) -> Result<NonNull<Record>, AccessError> {
    // SAFETY: the key is live; the destructor accepts the mark.
    if !unsafe { sys::set(key, record::under_construction().as_ptr().cast()) } {
        return Err(AccessError::OutOfMemory);
    }
    if !HOOKED.load(Relaxed) && !HOOKED.swap(true, Relaxed) {
        sys::install_hooks(&HOOKS);
    }
    let record = Record::obtain();
    let value = record.map_or(ptr::null_mut(), |record| record.as_ptr().cast());
    // SAFETY: the key is live; the destructor accepts a record and is not called for null.
    let set = unsafe { sys::set(key, value) };
    debug_assert!(set, "a slot that has a value can be set");
    let record = record.ok_or(AccessError::OutOfMemory)?;
    // A thread whose record has been freed is past its exit list: what is registered there now is never called, and stays.
    if exit_list {
        sys::at_thread_exit(&HOOKS);
    }
    Ok(record)
}

/// The first hook: the OS key's destructor. Everywhere, and the one that frees the record.
///
/// Where the OS calls it in rounds (POSIX), the record is put back first and stays for one round at the least, so that
/// the destructors of other libraries that use our objects find it, with its marks. It is freed in the first round after that
/// which finds nothing to do, and not later: sanitizers take their own state down in the last one. Where each round has found
/// something, the last one frees it: nobody would come back for it.
unsafe extern "system" fn on_key_destructor(value: *mut c_void) {
    let record = match NonNull::new(value.cast::<Record>()) {
        Some(record) if !record::is_mark(record) => record,
        _ => return,
    };
    let key = match ROOT.get() {
        Some(root) => root.key,
        None => return,
    };
    if sys::other_threads_were_killed() && REGISTRY.try_lock().is_none() {
        // One of them held the lock, and nobody will release it. The process ends: let it.
        return;
    }
    // SAFETY: the key is live. On Windows another fiber's record can stand there: `DeleteFiber` calls back on the fiber
    // that deletes. That one stays.
    let ours = unsafe {
        let present = sys::get(key);
        present.is_null() || present == value
    };
    if ours {
        // SAFETY: the key is live, the value a record. If it fails, destructors that use our objects get a new record.
        unsafe { sys::set(key, value) };
    }
    // SAFETY: the OS gives the record that was set, on the context that ends.
    let (found, rounds, listed) = unsafe {
        let rounds = record.as_ref().rounds.get() + 1;
        record.as_ref().rounds.set(rounds);
        (record::destroy_values(record), rounds, record.as_ref().listed.get())
    };
    if sys::DESTRUCTOR_REPEATS && rounds < ROUNDS && (found || rounds == 1) {
        return;
    }
    if ours {
        // The allocator may use our objects while the record is freed. For it there is none, and none is made.
        // SAFETY: the key is live; the destructor accepts the mark.
        unsafe { sys::set(key, record::under_construction().as_ptr().cast()) };
    }
    // SAFETY: it has no values any more, and the root slot does not hold it.
    unsafe { record::end(record) };
    if ours {
        // The mark means one more call, which must not be in the last round. A record that the exit list has seen was there in
        // the first: this is the second.
        let last = if sys::DESTRUCTOR_REPEATS && listed && rounds == 2 {
            record::ended().as_ptr()
        } else {
            ptr::null_mut()
        };
        // SAFETY: the key is live; the destructor accepts the mark.
        unsafe { sys::set(key, last.cast()) };
    }
}

/// PTHREAD_DESTRUCTOR_ITERATIONS: what POSIX asks for, and what every system has.
const ROUNDS: u32 = 4;

/// The second hook: the thread-exit list. It destroys values while C++'s and std's thread-locals live; the record stays
/// for the key's destructor, with the marks that say what is destroyed.
unsafe extern "C" fn on_thread_exit(_: *mut c_void) {
    if let Some(record) = current() {
        // SAFETY: it is this thread's record. It may be in the middle of this already (`exit` in a destructor): what is
        // being destroyed then is in no list any more.
        unsafe {
            record.as_ref().listed.set(true);
            record::destroy_values(record)
        };
    }
}

extern "C" fn on_process_exit() {
    // SAFETY: any time, any thread, any argument.
    unsafe { on_thread_exit(ptr::null_mut()) }
}

/// A child has only the thread that forked. Had another one held the lock, nobody would release it there.
unsafe extern "C" fn before_fork() {
    REGISTRY.hold_for_fork();
}

unsafe extern "C" fn after_fork() {
    REGISTRY.release_after_fork();
}

#[cfg(all(test, feature = "std"))]
mod tests;
