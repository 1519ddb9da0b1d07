//! Objects that are made and dropped in the last round of key destructors. A value that can no longer be destroyed is leaked, with its
//! record, but the leak is small and costs other threads nothing. In particular, a leaked record keeps no slot numbers.

// Without the harness, so that no other thread allocates.

#[cfg(not(unix))]
fn main() {}

#[cfg(unix)]
mod children;
#[cfg(unix)]
mod common;

#[cfg(unix)]
fn main() {
    // LeakSanitizer and Valgrind report the leaks of this test. ThreadSanitizer has freed its state before the last round.
    if children::times("OS_THREAD_LOCAL_LATE_FIRST_USES", 1) != 0
        && children::times("OS_THREAD_LOCAL_ROUNDS", unix::ROUNDS) == unix::ROUNDS
    {
        unix::main();
    }
}

#[cfg(unix)]
mod unix {
    use super::{children, common};
    use common::counting::Counting;
    use common::{in_thread, most_in_new_threads};
    use os_thread_local::key::StaticDestructorKey;
    use os_thread_local::{is_signal_safe, AccessError, PerThread, ThreadLocal};
    use std::ffi::c_void;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[global_allocator]
    static ALLOCATOR: Counting = Counting::new();

    /// The limit of what a thread leaks, in bytes: a record, and a table for the numbers of the objects.
    const LEAK: isize = 4 * 1024;
    /// The limit of what another thread's first use of a new object allocates.
    const INNOCENT: usize = 8 * 1024;

    /// PTHREAD_DESTRUCTOR_ITERATIONS.
    pub const ROUNDS: usize = 4;

    #[derive(Clone, Copy, Debug)]
    enum Before {
        Nothing,
        Plain,
        Drops,
    }

    struct Drops(u64);

    impl Drop for Drops {
        fn drop(&mut self) {
            assert_eq!(self.0, 1);
            self.0 = 0;
        }
    }

    static PLAIN: ThreadLocal<u64> = ThreadLocal::new(|| 1);
    static DROPS: ThreadLocal<Drops> = ThreadLocal::new(|| Drops(1));

    /// Created after the crate's key: in the last round, nothing of the crate's runs after the destructor.
    static KEY: StaticDestructorKey = StaticDestructorKey::new(last);
    static CALLS: AtomicUsize = AtomicUsize::new(0);

    fn set_key(round: usize) {
        let word = std::ptr::null_mut::<u8>().wrapping_add(round).cast();
        // SAFETY: the destructor takes any word.
        unsafe { KEY.set(word) }.unwrap()
    }

    unsafe extern "system" fn last(round: *mut c_void) {
        let round = round as usize;
        if round < ROUNDS {
            return set_key(round + 1);
        }
        CALLS.fetch_add(1, SeqCst);
        objects();
    }

    /// How many objects of each kind a thread makes. A thread caches no slot numbers before it has dropped 32 objects; one whose values were
    /// destroyed caches none at all.
    static OBJECTS: AtomicUsize = AtomicUsize::new(0);

    fn objects() {
        let count = OBJECTS.load(SeqCst);
        let drops: Vec<ThreadLocal<Drops>> =
            (0..count).map(|_| ThreadLocal::new(|| Drops(1))).collect();
        for object in &drops {
            // A thread whose values were destroyed gets `Destroyed`.
            let got = object.try_with(|v| assert_eq!(v.0, 1));
            assert!(matches!(got, Ok(()) | Err(AccessError::Destroyed)), "{:?}", got);
        }
        let plain: Vec<ThreadLocal<u64>> = (0..count).map(|_| ThreadLocal::new(|| 1)).collect();
        plain.iter().for_each(|object| object.with(|v| assert_eq!(*v, 1)));
        let owned: Vec<PerThread<u64>> = (0..count).map(|_| PerThread::new(|| 1)).collect();
        owned.iter().for_each(|object| object.with(|v| assert_eq!(*v, 1)));
    }

    fn one_thread(before: Before) {
        in_thread(move || {
            match before {
                Before::Nothing => {}
                Before::Plain => PLAIN.with(|_| ()),
                Before::Drops => DROPS.with(|_| ()),
            }
            set_key(1);
        });
    }

    pub fn main() {
        DROPS.with(|_| ());
        PLAIN.with(|_| ());
        set_key(0);
        let threads = children::fewer(500);
        // Without the thread word the crate has forgotten in the last round that the thread's values were destroyed.
        let many = if is_signal_safe() { 24 } else { 10 };
        for (before, objects) in [(Before::Nothing, 10), (Before::Plain, 10), (Before::Drops, many)]
        {
            OBJECTS.store(objects, SeqCst);
            for _ in 0..2 {
                let (calls, live) = (CALLS.load(SeqCst), ALLOCATOR.live());
                (0..threads).for_each(|_| one_thread(before));
                assert_eq!(CALLS.load(SeqCst) - calls, threads);
                let leak = (ALLOCATOR.live() - live) / threads as isize;
                let innocent = most_in_new_threads(8, || {
                    let live = ALLOCATOR.live();
                    let object = ThreadLocal::new(|| 1);
                    object.with(|_| ());
                    (ALLOCATOR.live() - live).max(0) as usize
                });
                println!(
                    "late_leaks: {} threads that had used {:?} leaked {} bytes each (at most {}); a first use of another thread's \
                     takes {} (at most {})",
                    threads, before, leak, LEAK, innocent, INNOCENT
                );
                assert!(leak < LEAK && innocent < INNOCENT);
            }
        }
    }
}
