//! A program that replaces functions of the C library's allocator, which the library calls where it is least expected: `calloc` inside of
//! `pthread_setspecific`, and `free` after the last round of key destructors.

// Without the harness: each case is a process of its own, in which keys are created in a certain order.

#[cfg(not(all(target_os = "linux", target_env = "gnu", not(miri))))]
fn main() {}

#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
mod children;
#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
mod common;

#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
fn main() {
    // Valgrind replaces the allocator itself.
    if children::is_valgrind() {
        return;
    }
    match children::case().as_deref() {
        Some("calloc") => glibc::failing_calloc(),
        Some("prepare") => glibc::prepared(),
        Some("free") => glibc::late_free(),
        Some(case) => panic!("{}", case),
        None => {
            for case in ["calloc", "prepare", "free"] {
                let output = children::run(case);
                assert!(output.status.success(), "{}: {:?}", case, output);
            }
        }
    }
}

#[cfg(all(target_os = "linux", target_env = "gnu", not(miri)))]
mod glibc {
    use super::common::{in_thread, this_thread};
    use os_thread_local::key::StaticDestructorKey;
    use os_thread_local::{is_signal_safe, AccessError, ThreadLocal};
    use std::ffi::c_void;
    use std::ptr;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    extern "C" {
        fn __libc_calloc(count: usize, size: usize) -> *mut c_void;
        fn __libc_free(memory: *mut c_void);
    }

    /// The thread whose next `calloc` fails after it has used `OBJECT`, and the one whose next `free` uses it.
    static FAILS: AtomicUsize = AtomicUsize::new(0);
    static FREES: AtomicUsize = AtomicUsize::new(0);
    /// What `OBJECT` returned there: an error plus 2, or `MADE`.
    static FOUND: AtomicUsize = AtomicUsize::new(0);
    const MADE: usize = 1;

    /// Notes where it was made and where it was destroyed.
    struct Value(usize);

    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    static DROPPED_ELSEWHERE: AtomicUsize = AtomicUsize::new(0);

    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, SeqCst);
            if self.0 != this_thread() {
                DROPPED_ELSEWHERE.fetch_add(1, SeqCst);
            }
        }
    }

    static OBJECT: ThreadLocal<Value> = ThreadLocal::new(|| Value(this_thread()));

    fn is_armed(thread: &AtomicUsize) -> bool {
        let armed = thread.load(SeqCst);
        armed != 0 && armed == this_thread() && thread.swap(0, SeqCst) != 0
    }

    fn use_object() {
        let found = OBJECT.try_with(|_| ()).map_or_else(|error| error as usize + 2, |()| MADE);
        FOUND.store(found, SeqCst);
    }

    #[no_mangle]
    unsafe extern "C" fn calloc(count: usize, size: usize) -> *mut c_void {
        if is_armed(&FAILS) {
            use_object();
            return ptr::null_mut();
        }
        // SAFETY: the C library's own function.
        unsafe { __libc_calloc(count, size) }
    }

    #[no_mangle]
    unsafe extern "C" fn free(memory: *mut c_void) {
        if is_armed(&FREES) {
            use_object();
        }
        // SAFETY: the caller's memory is from the C library, whose other functions are not replaced.
        unsafe { __libc_free(memory) }
    }

    fn word() -> *mut c_void {
        ptr::null_mut::<u8>().wrapping_add(1).cast()
    }

    unsafe extern "system" fn nothing(_: *mut c_void) {}

    /// The thread's end calls it, and then `free` for the block that has this key's value.
    unsafe extern "system" fn arm_free(_: *mut c_void) {
        FREES.store(this_thread(), SeqCst);
    }

    /// glibc has room for the values of the first 32 keys in the thread itself, and allocates for others.
    fn take_32_keys() {
        #[allow(clippy::declare_interior_mutable_const)] // the initial value of the array
        const KEY: StaticDestructorKey = StaticDestructorKey::new(nothing);
        static KEYS: [StaticDestructorKey; 32] = [KEY; 32];
        // std's key is not to share a block of values with a later one.
        in_thread(|| ());
        for key in &KEYS {
            // SAFETY: the destructor takes any word.
            unsafe { key.set(word()) }.unwrap();
        }
    }

    /// `pthread_setspecific` has no memory, and its `calloc` has used an object before it said so. No value may be made meanwhile: its record is
    /// given back.
    pub fn failing_calloc() {
        take_32_keys();
        let first_use = || {
            in_thread(|| {
                FOUND.store(0, SeqCst);
                FAILS.store(this_thread(), SeqCst);
                assert_eq!(OBJECT.try_with(|_| ()), Err(AccessError::OutOfMemory));
                assert_eq!(FAILS.load(SeqCst), 0, "calloc was not called");
                assert_eq!(FOUND.load(SeqCst), AccessError::Recursive as usize + 2);
                // The same call succeeds later.
                assert_eq!(OBJECT.try_with(|_| ()), Ok(()));
            })
        };
        // With a new record, and with one of the pool.
        first_use();
        first_use();
        assert_eq!((DROPPED.load(SeqCst), DROPPED_ELSEWHERE.load(SeqCst)), (2, 0));
    }

    /// After `prepare` the first value with a destructor has its place in the thread-exit list: the C library neither allocates for it nor looks up
    /// the list's function, which an allocator could not bear inside of the dynamic loader.
    pub fn prepared() {
        in_thread(|| {
            OBJECT.prepare().unwrap();
            FAILS.store(this_thread(), SeqCst);
            assert_eq!(OBJECT.try_with(|_| ()), Ok(()));
            assert_ne!(FAILS.swap(0, SeqCst), 0, "calloc was called");
        });
        assert_eq!(DROPPED.load(SeqCst), 1);
    }

    /// A value is made after the last round of key destructors. glibc reuses the thread's stack, and with it the value of the crate's key: the
    /// next thread's end gets a record that is not its own. The value is leaked, and not destroyed by a thread that does not own it.
    pub fn late_free() {
        // The crate's key is among the first 32, and the next one is not.
        OBJECT.prepare().unwrap();
        take_32_keys();
        static OTHER: StaticDestructorKey = StaticDestructorKey::new(arm_free);
        static THIRD: StaticDestructorKey = StaticDestructorKey::new(nothing);
        // SAFETY: the destructor takes any word.
        in_thread(|| unsafe { OTHER.set(word()) }.unwrap());
        assert_eq!(FOUND.load(SeqCst), MADE, "free was not called, or made no value");
        // A thread that does not use the crate, but a key.
        // SAFETY: as above.
        in_thread(|| unsafe { THIRD.set(word()) }.unwrap());
        if is_signal_safe() {
            assert_eq!(DROPPED.load(SeqCst), 0);
        }
        // Without the thread word the crate cannot tell the record from the thread's own: docs/GUARANTEES.md.
        let before = DROPPED.load(SeqCst);
        in_thread(|| OBJECT.with(|value| assert_eq!(value.0, this_thread())));
        assert_eq!(DROPPED.load(SeqCst) - before, 1);
    }
}
