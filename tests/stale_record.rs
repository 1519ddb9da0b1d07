//! A key destructor of another library that runs after the crate's, while another thread has already got the record of the thread that
//! ends: it does not reach the other thread's values.
//!
//! A process of its own, because the order of keys matters: one test.

#![cfg(all(feature = "alloc", unix))]

mod common;

use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;

use common::{wait_until, Entry, Log};
use os_thread_local::key::StaticDestructorKey;
use os_thread_local::{AccessError, PerThread, ThreadLocal};

static PLAIN: ThreadLocal<Cell<u64>> = ThreadLocal::new(|| Cell::new(0));
static IN_TABLE: ThreadLocal<Cell<u64>> = ThreadLocal::new(|| Cell::new(0));
static DROPS: ThreadLocal<Entry> = ThreadLocal::new(|| log().entry(WHICH.load(SeqCst) as u32));
static PER_THREAD: PerThread<Cell<u64>> = PerThread::new(|| Cell::new(0));

fn log() -> &'static Log {
    static LOG: once_cell::sync::Lazy<Log> = once_cell::sync::Lazy::new(Log::new);
    &LOG
}

/// The name of the values of `DROPS` that are made next.
static WHICH: AtomicUsize = AtomicUsize::new(0);

/// The step that the two threads have reached.
static STEP: AtomicUsize = AtomicUsize::new(0);
const ENDING: usize = 1;
const LIVE_THREAD_HAS_VALUES: usize = 2;
const ENDED_THREAD_HAS_SET_ITS_OWN: usize = 3;
static WITH_DROPS: AtomicBool = AtomicBool::new(false);
/// Without these, a record has no memory of its own to free, and ends on the crate's shortest path.
static WITH_PER_THREAD: AtomicBool = AtomicBool::new(false);

fn at(step: usize) -> bool {
    STEP.load(SeqCst) == step
}

static KEY: StaticDestructorKey = StaticDestructorKey::new(of_another_library);

fn set_key(n: usize) {
    let word = std::ptr::null_mut::<u8>().wrapping_add(n).cast();
    // SAFETY: the destructor takes any word.
    unsafe { KEY.set(word) }.unwrap();
}

fn set_per_thread(n: u64) {
    if WITH_PER_THREAD.load(SeqCst) {
        PER_THREAD.with(|v| v.set(n));
    }
}

/// Addresses of the live thread's values.
static LIVE: [AtomicUsize; 3] = [AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0)];

fn addresses() -> Result<[usize; 3], AccessError> {
    let address = |v: &Cell<u64>| v as *const Cell<u64> as usize;
    let per_thread = match WITH_PER_THREAD.load(SeqCst) {
        true => PER_THREAD.try_with(address)?,
        // No value's: the two threads call this at different steps.
        false => STEP.load(SeqCst),
    };
    Ok([PLAIN.try_with(address)?, IN_TABLE.try_with(address)?, per_thread])
}

unsafe extern "system" fn of_another_library(_: *mut c_void) {
    STEP.store(ENDING, SeqCst);
    wait_until(|| at(LIVE_THREAD_HAS_VALUES));
    // None is the live thread's.
    let live = [LIVE[0].load(SeqCst), LIVE[1].load(SeqCst), LIVE[2].load(SeqCst)];
    assert_ne!(PLAIN.with_existing(Cell::get), Some(77));
    assert_ne!(IN_TABLE.with_existing(Cell::get), Some(77));
    assert_ne!(PER_THREAD.with_existing(Cell::get), Some(77));
    assert_eq!(DROPS.with_existing(|v| v.name), None);
    if WITH_DROPS.load(SeqCst) {
        assert_eq!(DROPS.try_with(|_| ()), Err(AccessError::Destroyed));
    }
    let ours = addresses().unwrap();
    assert!(ours.iter().all(|address| !live.contains(address)), "{:?} {:?}", ours, live);
    PLAIN.set(666);
    IN_TABLE.set(666);
    set_per_thread(666);
    STEP.store(ENDED_THREAD_HAS_SET_ITS_OWN, SeqCst);
}

#[test]
fn an_ended_thread_does_not_reach_the_record_that_it_had() {
    let objects: Vec<ThreadLocal<u8>> = (0..40).map(|_| ThreadLocal::new(|| 1)).collect();
    PLAIN.with(|_| ());
    PER_THREAD.with(|_| ());
    DROPS.prepare().unwrap();
    objects.iter().for_each(|object| object.prepare().unwrap());
    IN_TABLE.prepare().unwrap();
    // After the crate's key.
    set_key(1);
    set_key(0);

    // Those without come first: a new thread gets a record with values before others.
    for (with_drops, with_per_thread) in
        [(false, false), (true, false), (false, true), (true, true), (false, true), (true, true)]
    {
        WITH_DROPS.store(with_drops, SeqCst);
        WITH_PER_THREAD.store(with_per_thread, SeqCst);
        STEP.store(0, SeqCst);
        WHICH.store(1, SeqCst);
        let ends = thread::spawn(move || {
            PLAIN.set(1);
            IN_TABLE.set(1);
            set_per_thread(1);
            if with_drops {
                DROPS.with(|v| assert_eq!(v.name, 1));
            }
            set_key(1);
        });
        wait_until(|| at(ENDING));
        WHICH.store(2, SeqCst);
        let lives = thread::spawn(move || {
            let addresses = addresses().unwrap();
            PLAIN.set(77);
            IN_TABLE.set(77);
            set_per_thread(77);
            DROPS.with(|v| assert_eq!(v.name, 2));
            LIVE.iter().zip(addresses).for_each(|(live, address)| live.store(address, SeqCst));
            STEP.store(LIVE_THREAD_HAS_VALUES, SeqCst);
            wait_until(|| at(ENDED_THREAD_HAS_SET_ITS_OWN));
            assert_eq!((PLAIN.get(), IN_TABLE.get()), (77, 77));
            assert_eq!(PER_THREAD.with_existing(Cell::get), with_per_thread.then_some(77));
            assert_eq!(DROPS.with_existing(|v| v.name), Some(2));
        });
        ends.join().unwrap();
        lives.join().unwrap();
        let names = log().take();
        assert_eq!(names, if with_drops { vec![1, 2] } else { vec![2] });
    }
}
