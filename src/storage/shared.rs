//! What threads share, each part under its lock; and what happens to the locks when the process is forked.
//!
//! Nothing is taken before a fork: the handlers of other libraries may then take their own locks or wait for their threads, which may use
//! this crate. In the child the locks are released whose holders the child does not have, before any of them is taken: `check_process`.

use super::numbers::{NumberCache, Numbers};
use super::record::{Record, Stripe};
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

/// Gives back the numbers of a thread's cache: all, or all but the few lowest.
#[cold]
pub(crate) fn give_back(cache: &NumberCache, all: bool) {
    let mut numbers = numbers();
    cache.keep_few(all, |number| numbers.give_back(number));
    numbers.set_limit();
}

/// The records of ended threads, for threads to come: these mostly use what the ended ones used, and a request for as much
/// memory at once is what makes a C library's allocator merge the small blocks that it has at hand.
pub(crate) struct Pool {
    /// Records with object-owned values, which the next thread inherits: kept however many they are.
    holding: Option<NonNull<Record>>,
    /// The others, and how many they are.
    bare: Option<NonNull<Record>>,
    bare_count: usize,
    /// The record of the first list behind which `trim` goes on.
    trimmed: Option<NonNull<Record>>,
    /// How many records each stripe has.
    population: [u32; STRIPES],
}

// SAFETY: a pooled record belongs to the thread that holds the lock, but for what the lock of its stripe protects.
unsafe impl Send for Pool {}

/// How many records without values wait for new threads.
const MOST_BARE: usize = 4;

impl Pool {
    const EMPTY: Pool =
        Pool { holding: None, bare: None, bare_count: 0, trimmed: None, population: [0; STRIPES] };

    /// A record for a new thread: one with values if there is one.
    pub(crate) fn pop(&mut self) -> Option<NonNull<Record>> {
        // SAFETY: pooled records are alive, and in one of the two lists.
        unsafe {
            if let Some(record) = self.holding {
                if self.trimmed == Some(record) {
                    self.trimmed = None;
                }
                self.holding = record.as_ref().next_in_pool.get();
                return Some(record);
            }
            let record = self.bare?;
            self.bare = record.as_ref().next_in_pool.get();
            self.bare_count = self.bare_count.saturating_sub(1);
            Some(record)
        }
    }

    /// `false` if there are enough: the caller still has the record then.
    ///
    /// # Safety
    /// The record is as `Record::reset` leaves it, and the caller gives it up.
    pub(crate) unsafe fn push(&mut self, record: NonNull<Record>, holding: bool) -> bool {
        let (list, full) = match holding {
            true => (&mut self.holding, false),
            false => (&mut self.bare, self.bare_count >= MOST_BARE),
        };
        if full {
            return false;
        }
        // SAFETY: the record is alive. One store publishes it.
        unsafe { record.as_ref().next_in_pool.set(*list) };
        compiler_fence(Release); // invariant 7
        *list = Some(record);
        self.bare_count += usize::from(!holding);
        true
    }

    /// Looks at one record that had values when it was pooled, the next one at each call, and takes it out if its objects are gone. So a
    /// pool gives back what a peak has left, one record at the end of each later thread.
    pub(crate) fn trim(&mut self) -> Option<NonNull<Record>> {
        // SAFETY: pooled records are alive, and in one of the two lists.
        unsafe {
            let link = match &self.trimmed {
                Some(record) => &record.as_ref().next_in_pool,
                None => Cell::from_mut(&mut self.holding),
            };
            let record = match link.get() {
                Some(record) => record,
                None => {
                    self.trimmed = None;
                    return None;
                }
            };
            if record.as_ref().has_object_owned() {
                self.trimmed = Some(record);
                return None;
            }
            link.set(record.as_ref().next_in_pool.get());
            Some(record)
        }
    }

    /// The stripe for a new record: one with few.
    pub(crate) fn choose_stripe(&mut self) -> usize {
        let (stripe, population) = self
            .population
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, population)| **population)
            .unwrap_or_else(|| unreachable!("there is a stripe"));
        *population += 1;
        stripe
    }

    /// A record has left its stripe.
    pub(crate) fn count_left(&mut self, stripe: usize) {
        self.population[stripe] = self.population[stripe].saturating_sub(1);
    }
}

/// The process whose threads hold the locks. 0 before the first lock; `MENDING` is set while they are released.
static PROCESS: AtomicUsize = AtomicUsize::new(0);
const MENDING: usize = !(usize::MAX >> 1);

/// How many forks are under way, and one more until the fork handlers are installed: while it is not 0, this may be a child whose
/// locks were not released yet. A child is forked by a thread that has counted its fork here.
static FORKS: AtomicUsize = AtomicUsize::new(if System::HAS_FORK { 1 } else { 0 });
/// The fork handlers are installed.
static FORK_HANDLERS: AtomicUsize = AtomicUsize::new(0);

/// In a forked child, releases the locks that the parent's threads held. Before any lock is taken, so that no thread of the child
/// can hold one.
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
            // Another thread of this process releases the locks.
            process if process == current | MENDING => System::yield_now(),
            0 => {
                let _ = PROCESS.compare_exchange(0, current, AcqRel, Relaxed);
            }
            process => {
                if PROCESS.compare_exchange(process, current | MENDING, AcqRel, Relaxed).is_ok() {
                    // SAFETY: this is a child, in which no thread has taken a lock yet: each would have come here first.
                    unsafe { mend(current) };
                }
            }
        }
    }
}

/// Releases the locks whose holders this child does not have.
///
/// Release: a thread that sees no fork under way, or this process, sees the locks released. A late release would take the lock from
/// a thread that has acquired it.
///
/// # Safety
/// No thread of this process holds a lock of the crate.
unsafe fn mend(process: usize) {
    // SAFETY: no thread holds them.
    unsafe {
        ALL_STRIPES.iter().for_each(|stripe| stripe.release_abandoned());
        NUMBERS.release_abandoned();
        POOL.release_abandoned();
    }
    FORKS.store(1 - FORK_HANDLERS.load(Relaxed), Release);
    PROCESS.store(process, Release);
}

/// In the parent, before a fork.
pub(crate) unsafe extern "C" fn before_fork() {
    FORKS.fetch_add(1, Relaxed);
}

pub(crate) unsafe extern "C" fn after_fork_in_parent() {
    // Not below 0: another library's handler may have forked inside this fork, and this is its child, where the count was reset.
    let _ = FORKS.fetch_update(Relaxed, Relaxed, |forks| forks.checked_sub(1));
}

pub(crate) unsafe extern "C" fn after_fork_in_child() {
    if FORK_HANDLERS.load(Relaxed) == 1 && FORKS.load(Acquire) != 0 {
        // Not by the process id, which does not tell the first processes of two process-id namespaces apart.
        // SAFETY: the one thread of this child, which has not taken a lock yet: that would have set the count to 0.
        unsafe { mend(System::process_id()) };
    } else {
        check_process();
    }
}

/// Has the handlers above installed by `install`, which says whether it could. If not, each lock goes on looking at the process.
pub(crate) fn install_fork_handlers(install: impl FnOnce() -> bool) {
    // The handlers find the process known.
    check_process();
    if install() && System::HAS_FORK {
        FORK_HANDLERS.store(1, Relaxed);
        FORKS.fetch_sub(1, Relaxed);
    }
}
