//! A thread that ends in the middle of user code which the crate calls: by `pthread_exit`, or by a cancellation that is acted on. The
//! process does not abort, each value is destroyed once, and later threads can use the objects.
//!
//! glibc unwinds the stack up to the thread's start. musl abandons it: what only its frames own is leaked.

// Without the harness, whose threads catch what unwinds.

#[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"), not(miri))))]
fn main() {}

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"), not(miri)))]
mod children;

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"), not(miri)))]
fn main() {
    match children::case() {
        Some(case) => linux::run(&case),
        None => linux::run_all(),
    }
}

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"), not(miri)))]
mod linux {
    use super::children;
    use os_thread_local::{reclaim, NoInit, PerThread, ThreadLocal};
    use std::ffi::c_void;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::sync::Mutex;
    use std::{ptr, thread};

    extern "C" {
        fn pthread_create(
            thread: *mut usize,
            attributes: *const c_void,
            start: extern "C" fn(*mut c_void) -> *mut c_void,
            argument: *mut c_void,
        ) -> i32;
        fn pthread_join(thread: usize, result: *mut *mut c_void) -> i32;
        fn pthread_self() -> usize;
        fn pthread_cancel(thread: usize) -> i32;
    }
    #[cfg(not(os_thread_local_old_std))]
    extern "C-unwind" {
        fn pthread_exit(result: *mut c_void) -> !;
        fn usleep(micros: u32) -> i32;
    }
    // Compilers before 1.71 have no such ABI. They let a forced unwind pass where nothing is to be dropped.
    #[cfg(os_thread_local_old_std)]
    extern "C" {
        fn pthread_exit(result: *mut c_void) -> !;
        fn usleep(micros: u32) -> i32;
    }

    // ------------------------------------------------------------------------------------------ how a thread ends

    /// By a cancellation, instead of `pthread_exit`.
    static BY_CANCELLATION: AtomicBool = AtomicBool::new(false);

    /// Ends the calling thread. It returns if the thread is already ending and not cancelled any more.
    fn end_thread() {
        // SAFETY: threads of this program may be unwound: the tests call this from threads that nothing catches. `usleep` is a cancellation
        // point.
        unsafe {
            if BY_CANCELLATION.load(SeqCst) {
                pthread_cancel(pthread_self());
                usleep(1_000);
            } else {
                pthread_exit(ptr::null_mut());
            }
        }
    }

    // ------------------------------------------------------------------------------------------ the values

    /// How often each value was destroyed. The index is its number.
    static DESTROYED: Mutex<Vec<usize>> = Mutex::new(Vec::new());

    struct Value {
        number: usize,
        ends: bool,
    }

    impl Value {
        fn new(ends: bool) -> Value {
            let mut destroyed = DESTROYED.lock().unwrap();
            destroyed.push(0);
            Value { number: destroyed.len() - 1, ends }
        }
    }

    impl Drop for Value {
        fn drop(&mut self) {
            DESTROYED.lock().unwrap()[self.number] += 1;
            if self.ends {
                end_thread();
            }
        }
    }

    type Object = ThreadLocal<Value, NoInit>;
    #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
    const NEW: Object = ThreadLocal::without_init();
    static OBJECTS: [Object; 20] = [NEW; 20];
    /// Used after these.
    static ANOTHER: Object = ThreadLocal::without_init();
    static PER_THREAD: PerThread<Value, NoInit> = PerThread::without_init();

    fn use_all(ends: impl Fn(usize) -> bool) {
        for (index, object) in OBJECTS.iter().enumerate() {
            object.with_or(|| Value::new(ends(index)), |_| ());
        }
    }

    /// Objects that have values of this thread; that of the third ends the thread.
    fn objects() -> Vec<Object> {
        let objects: Vec<Object> = (0..5).map(|_| ThreadLocal::without_init()).collect();
        for (index, object) in objects.iter().enumerate() {
            object.with_or(|| Value::new(index == 2), |_| ());
        }
        objects
    }

    fn drop_elsewhere(objects: Vec<Object>) {
        thread::spawn(move || drop(objects)).join().unwrap();
    }

    // ------------------------------------------------------------------------------------------ the cases

    /// What happens to the values where the stack is abandoned.
    #[derive(Clone, Copy, PartialEq)]
    enum Abandoned {
        /// Each is destroyed, as where it is unwound.
        Destroyed,
        /// The frames own some.
        MayLeak,
    }
    use Abandoned::*;

    const CASES: &[(&str, fn(), Abandoned)] = &[
        ("one of 20 values at the end", || use_all(|index| index == 10), Destroyed),
        ("each of 20 values at the end", || use_all(|_| true), Destroyed),
        (
            "a value that a destructor makes",
            || {
                struct Makes;
                impl Drop for Makes {
                    fn drop(&mut self) {
                        ANOTHER.with_or(|| Value::new(true), |_| ());
                        end_thread();
                    }
                }
                static MAKES: ThreadLocal<Makes> = ThreadLocal::new(|| Makes);
                use_all(|_| false);
                MAKES.with(|_| ());
            },
            Destroyed,
        ),
        (
            "reclaim",
            || {
                use_all(|_| false);
                drop_elsewhere(objects());
                reclaim();
            },
            Destroyed,
        ),
        (
            "a first use that reclaims",
            || {
                use_all(|_| false);
                drop_elsewhere(objects());
                ANOTHER.with_or(|| Value::new(false), |_| ());
            },
            Destroyed,
        ),
        (
            "orphans at the end",
            || {
                use_all(|_| false);
                drop_elsewhere(objects());
            },
            Destroyed,
        ),
        (
            "an object that is dropped",
            || {
                use_all(|_| false);
                let object = NEW;
                object.with_or(|| Value::new(true), |_| ());
                drop(object);
            },
            Destroyed,
        ),
        (
            "objects that are dropped",
            || {
                use_all(|_| false);
                drop(objects());
            },
            Destroyed,
        ),
        (
            "values of a PerThread that is dropped",
            || {
                use_all(|_| false);
                let object = PerThread::without_init();
                thread::scope(|s| {
                    for _ in 0..3 {
                        s.spawn(|| object.with_or(|| Value::new(false), |_| ())).join().unwrap();
                    }
                });
                object.with_or(|| Value::new(true), |_| ());
                drop(object);
            },
            MayLeak,
        ),
        (
            "an initializer",
            || {
                use_all(|_| false);
                let init = || {
                    end_thread();
                    Value::new(false)
                };
                ANOTHER.with_or(init, |_| ());
            },
            Destroyed,
        ),
        (
            "an initializer of a PerThread",
            || {
                use_all(|_| false);
                let init = || {
                    end_thread();
                    Value::new(false)
                };
                PER_THREAD.with_or(init, |_| ());
            },
            Destroyed,
        ),
        (
            "the first initializer of the thread",
            || {
                let init = || {
                    end_thread();
                    Value::new(false)
                };
                ANOTHER.with_or(init, |_| ());
            },
            Destroyed,
        ),
        (
            "with",
            || {
                use_all(|_| false);
                ANOTHER.with_or(|| Value::new(false), |_| end_thread());
            },
            Destroyed,
        ),
        (
            "with_mut",
            || {
                use_all(|_| false);
                let mut object: ThreadLocal<Value> = ThreadLocal::new(|| Value::new(false));
                object.with_mut(|_| end_thread());
            },
            // It stays borrowed.
            MayLeak,
        ),
    ];

    extern "C" fn start(case: *mut c_void) -> *mut c_void {
        CASES[case as usize].1();
        ptr::null_mut()
    }

    pub fn run(name: &str) {
        let (name, how) = name.split_once(" by ").unwrap();
        BY_CANCELLATION.store(how == "cancellation", SeqCst);
        let index = CASES.iter().position(|case| case.0 == name).unwrap();
        for _ in 0..3 {
            let argument = ptr::null_mut::<u8>().wrapping_add(index).cast();
            let mut thread = 0;
            // SAFETY: the thread's function takes an index of a case; the thread is joined once.
            unsafe {
                assert_eq!(pthread_create(&mut thread, ptr::null(), start, argument), 0);
                assert_eq!(pthread_join(thread, ptr::null_mut()), 0);
            }
            // A later thread gets values of its own, perhaps in the same record.
            let before = DESTROYED.lock().unwrap().len();
            let later = thread::spawn(|| {
                use_all(|_| false);
                ANOTHER.with_or(|| Value::new(false), |_| ());
                PER_THREAD.with_or(|| Value::new(false), |value| assert!(!value.ends));
            });
            later.join().unwrap();
            assert!(DESTROYED.lock().unwrap().len() > before + OBJECTS.len());
        }
        let owned = PER_THREAD.len();
        let destroyed = DESTROYED.lock().unwrap();
        let times = |n: usize| destroyed.iter().filter(|times| **times == n).count();
        let may_leak = cfg!(target_env = "musl") && CASES[index].2 == MayLeak;
        println!("{} values, {} not destroyed, {} owned", destroyed.len(), times(0), owned);
        assert!(destroyed.iter().all(|times| *times <= 1), "{:?}", destroyed);
        assert!(times(0) == owned || may_leak && times(0) > owned, "{:?}", destroyed);
    }

    pub fn run_all() {
        let mut failed = Vec::new();
        for (name, _, _) in CASES {
            for how in ["exit", "cancellation"] {
                let case = format!("{} by {}", name, how);
                let output = children::run(&case);
                if output.status.success() {
                    println!("forced_unwind: {}: {}", case, children::printed(&output).trim());
                } else {
                    let complained = children::complained(&output);
                    println!("forced_unwind: {}: {}\n{}", case, output.status, complained);
                    failed.push(case);
                }
            }
        }
        assert!(failed.is_empty(), "{:?}", failed);
    }
}
