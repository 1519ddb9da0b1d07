//! A destructor of another library's key makes and drops objects in the last round: the system does not visit that thread's record again,
//! so it is leaked. It keeps no slot numbers: otherwise each such thread would make the tables of all later threads longer.

// Without the harness, so that no other thread allocates. Where the last round is the fourth.
#![cfg_attr(not(target_os = "linux"), allow(dead_code, unused_imports))]

mod children;
mod common;

use common::in_thread;
use os_thread_local::key::StaticDestructorKey;
use os_thread_local::ThreadLocal;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// What a thread may allocate to use the last of 100 objects.
const MOST: usize = 4 * 1024;
const THREADS: usize = 300;
/// How many numbers a thread caches. A table doubles when it grows.
const MOST_CACHED: usize = 12;

struct Counting;

/// All that was ever allocated: what is freed at once counts, too.
static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: hands everything on to the system's allocator, and counts.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), SeqCst);
        // SAFETY: as our caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        // SAFETY: as our caller promises.
        unsafe { System.dealloc(p, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static DROPS: ThreadLocal<Box<u8>> = ThreadLocal::new(|| Box::new(1));
static KEY: StaticDestructorKey = StaticDestructorKey::new(in_round);

const ROUNDS: usize = 4;

fn set(round: usize) {
    // SAFETY: the destructor takes any word.
    unsafe { KEY.set(std::ptr::null_mut::<u8>().wrapping_add(round).cast()) }.unwrap()
}

unsafe extern "system" fn in_round(round: *mut c_void) {
    if (round as usize) < ROUNDS {
        return set(round as usize + 1);
    }
    let objects: Vec<_> = (0..100).map(|_| ThreadLocal::new(|| Cell::new(1))).collect();
    objects.iter().for_each(|object| object.with(|v: &Cell<u8>| v.set(2)));
}

/// What a thread allocates to use one object, after others have made objects in their last round.
fn innocent(used_before: bool) -> usize {
    for _ in 0..THREADS {
        in_thread(move || {
            if used_before {
                DROPS.with(|_| ());
            }
            set(1);
        });
    }
    // More than this thread has numbers in its cache for.
    let objects: Vec<_> = (0..100).map(|_| ThreadLocal::new(|| Cell::new(1))).collect();
    objects.iter().for_each(|object| object.with(|_: &Cell<u8>| ()));
    let last = &objects[99];
    let allocated = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let before = ALLOCATED.load(SeqCst);
            last.with(|v| assert_eq!(v.get(), 1));
            allocated.store(ALLOCATED.load(SeqCst) - before, SeqCst);
        });
    });
    allocated.into_inner()
}

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    // ThreadSanitizer takes its state down in the last round, and LeakSanitizer finds what is leaked.
    if children::times("OS_THREAD_LOCAL_LATE_FIRST_USES", 1) == 0 {
        return;
    }
    for used_before in [true, false] {
        let allocated = innocent(used_before);
        println!("used before: {}, then {} bytes", used_before, allocated);
        // A thread whose record has ended is known as such while the thread word says so. Without one, and in a thread that has not used
        // the crate, the record is as any other one in the last round, and keeps a few numbers.
        let keeps_numbers = !(used_before && os_thread_local::is_signal_safe());
        let most = if keeps_numbers { MOST + 2 * THREADS * MOST_CACHED * 16 } else { MOST };
        assert!(allocated <= most, "more than {} bytes", most);
    }
}
