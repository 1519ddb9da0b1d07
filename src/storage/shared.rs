//! The data that threads share, each part with its lock; and what a fork does to the locks.
//!
//! No lock is acquired before a fork: other libraries' fork handlers may acquire locks of their own or join threads that use this
//! crate (deadlock). Instead, the child releases the locks that threads of its parent held, before it acquires any of them
//! (`check_process`). The data is consistent then (invariant 7).

use super::numbers::{NumberCache, Numbers};
use super::pool::Pool;
use super::record::Stripe;
use super::STRIPES;
use crate::lock::{Guard, Lock};
use crate::sys::{System, Threads};
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{compiler_fence, AtomicUsize, Ordering::*};

#[allow(clippy::declare_interior_mutable_const)] // the initial value of an array
const EMPTY: Lock<Stripe> = Lock::new(Stripe::EMPTY);
static ALL_STRIPES: [Lock<Stripe>; STRIPES] = [EMPTY; STRIPES];
static NUMBERS: Lock<Numbers> = Lock::new(Numbers::NEW);
static POOL: Lock<Pool> = Lock::new(Pool::EMPTY);

#[inline]
pub(crate) fn stripe(index: usize) -> Guard<'static, Stripe> {
    check_process();
    ALL_STRIPES[index].lock()
}

pub(crate) fn numbers() -> Guard<'static, Numbers> {
    check_process();
    NUMBERS.lock()
}

#[inline]
pub(crate) fn pool() -> Guard<'static, Pool> {
    check_process();
    POOL.lock()
}

/// The threads that are arriving: that create the root slot, or set their slot for the first time, where that may call the global
/// allocator. There is no other mark yet by which an allocator that uses the crate could be told from a thread's own first use.
static ARRIVING: Lock<Arriving> = Lock::new(Arriving(None));

struct Arriving(Option<NonNull<Arrival>>);

// SAFETY: the list is accessed by the thread that holds the lock; each arrival is alive while it is in the list (`arriving`).
unsafe impl Send for Arriving {}

/// On the stack of its thread.
struct Arrival {
    thread: usize,
    next: Cell<Option<NonNull<Arrival>>>,
}

/// Whether the calling thread is arriving.
#[cold]
pub(crate) fn is_arriving() -> bool {
    check_process();
    let (list, thread) = (ARRIVING.lock(), System::thread_id());
    let mut next = list.0;
    while let Some(arrival) = next {
        // SAFETY: arrivals in the list are alive (`arriving`).
        let arrival = unsafe { arrival.as_ref() };
        if arrival.thread == thread {
            return true;
        }
        next = arrival.next.get();
    }
    false
}

/// Calls `f`, which does not unwind, while the calling thread is marked as arriving.
#[cold]
pub(crate) fn arriving<R>(f: impl FnOnce() -> R) -> R {
    let arrival = Arrival { thread: System::thread_id(), next: Cell::new(None) };
    check_process();
    {
        let mut list = ARRIVING.lock();
        arrival.next.set(list.0);
        compiler_fence(Release); // invariant 7
        list.0 = Some(NonNull::from(&arrival));
    }
    let result = f();
    check_process();
    let mut list = ARRIVING.lock();
    let mut link: *const Cell<Option<NonNull<Arrival>>> = Cell::from_mut(&mut list.0);
    // SAFETY: arrivals in the list are alive: each leaves it here, before its frame ends. In a forked child the list is empty (`mend`).
    unsafe {
        while let Some(next) = (*link).get() {
            if next == NonNull::from(&arrival) {
                (*link).set(arrival.next.get());
                break;
            }
            link = &next.as_ref().next;
        }
    }
    result
}

/// Frees the slot numbers in a thread's cache: all, or all but the few lowest.
#[cold]
pub(crate) fn give_back(cache: &NumberCache, all: bool) {
    let mut numbers = numbers();
    cache.keep_few(all, |number| numbers.give_back(number));
    numbers.set_limit();
}

/// The id of the process whose threads hold the locks, 0 before the first acquisition. `MENDING` is set while the child releases them.
///
/// Ordering of `PROCESS` and `FORKS`: a thread that acquires a lock must have seen all locks released; a later release would take the
/// lock away from a thread that has acquired it. Both words are stored with release after the locks are, and loaded with acquire before
/// a lock is acquired.
static PROCESS: AtomicUsize = AtomicUsize::new(0);
const MENDING: usize = !(usize::MAX >> 1);
// No process id has the bit: ids are positive `i32`s.
const _: () = assert!(MENDING > i32::MAX as usize);

/// How many forks are in progress, plus one until the fork handlers are installed. While it is not 0, this may be a child that has not
/// released the locks: the forking thread has incremented it before the fork.
static FORKS: AtomicUsize = AtomicUsize::new(if System::HAS_FORK { 1 } else { 0 });
/// 1 if the fork handlers are installed, otherwise 0.
static FORK_HANDLERS: AtomicUsize = AtomicUsize::new(0);

/// In a forked child, releases the locks that the parent's threads held. Must be called before each acquisition, so that no thread of
/// the child holds a lock then. Outside of forks it costs one load.
#[inline]
fn check_process() {
    if System::HAS_FORK && FORKS.load(Acquire) != 0 {
        check_process_slow();
    }
}

#[cold]
fn check_process_slow() {
    let current = System::process_id();
    loop {
        match PROCESS.load(Acquire) {
            process if process == current => return,
            // Another thread of this process is releasing the locks.
            process if process == current | MENDING => System::yield_now(),
            0 => {
                let _ = PROCESS.compare_exchange(0, current, AcqRel, Relaxed);
            }
            process => {
                if PROCESS.compare_exchange(process, current | MENDING, AcqRel, Relaxed).is_ok() {
                    // SAFETY: no thread of this child has acquired a lock: each calls `check_process` first, and waits for this thread.
                    unsafe { mend(current) };
                }
            }
        }
    }
}

/// Releases all locks in a forked child.
///
/// # Safety
/// No thread of this process holds a lock of the crate.
unsafe fn mend(process: usize) {
    // SAFETY: no thread of this process holds one of the locks (this function's contract).
    unsafe {
        ALL_STRIPES.iter().for_each(|stripe| stripe.release_abandoned());
        NUMBERS.release_abandoned();
        POOL.release_abandoned();
        ARRIVING.release_abandoned();
    }
    // The other arrivals are on stacks of threads that this process does not have.
    ARRIVING.lock().0 = None;
    FORKS.store(1 - FORK_HANDLERS.load(Relaxed), Release);
    PROCESS.store(process, Release);
}

/// The handler that runs before a fork.
pub(crate) unsafe extern "C" fn before_fork() {
    // The id may be that of another process: of the parent of this one, if it was made without fork handlers (`_Fork(3)`, `clone(2)`), or
    // of a `vfork(2)` child, which shared this memory. Threads of this process would then take it for a forked child.
    // Not while a fork is in progress: in a child that has not released the locks, the id must stay the parent's.
    if FORKS.load(Relaxed) == 0 {
        PROCESS.store(System::process_id(), Relaxed);
    }
    FORKS.fetch_add(1, Release);
}

pub(crate) unsafe extern "C" fn after_fork_in_parent() {
    // Not below 0: if another library's handler forks inside this fork, the inner child resets the count and then runs this handler.
    let _ = FORKS.fetch_update(Relaxed, Relaxed, |forks| forks.checked_sub(1));
}

pub(crate) unsafe extern "C" fn after_fork_in_child() {
    let (current, process) = (System::process_id(), PROCESS.load(Acquire));
    // A handler of another library may have started a thread of the child, which releases the locks (`PROCESS` says so) or has released
    // them (the count, loaded after `PROCESS`, is 0). The process id is not compared: the first processes of two process-id namespaces
    // have the same.
    if FORK_HANDLERS.load(Relaxed) == 1
        && FORKS.load(Acquire) != 0
        && process != current | MENDING
        && PROCESS.compare_exchange(process, current | MENDING, AcqRel, Relaxed).is_ok()
    {
        // SAFETY: no thread of this child has acquired a lock: `check_process` would have set the count to 0, and waits for this thread.
        unsafe { mend(current) };
    } else {
        check_process();
    }
}

/// Installs the handlers above through `install`, which returns whether it succeeded. If not, each acquisition still checks the
/// process id.
pub(crate) fn install_fork_handlers(install: impl FnOnce() -> bool) {
    // The handlers need `PROCESS` to be set.
    check_process();
    // A child may install them again, if its parent's thread was stopped in the middle. Handlers that run twice do no harm.
    if install() && System::HAS_FORK && FORK_HANDLERS.swap(1, Relaxed) == 0 {
        FORKS.fetch_sub(1, Relaxed);
    }
}
