//! `main` calls `pthread_exit`: key destructors run before the thread-exit list, and before `atexit` handlers, which the last thread runs
//! when it ends. Nothing crashes, each value is destroyed once, and what runs after the crate's key destructor gets `Destroyed`.

// Without the harness and Rust's own entry point: `pthread_exit` must not unwind through a frame that catches panics.
#![cfg_attr(
    all(target_os = "linux", any(target_env = "gnu", target_env = "musl"), not(miri)),
    no_main
)]

#[cfg(not(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"), not(miri))))]
fn main() {}

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"), not(miri)))]
mod children;

#[cfg(all(target_os = "linux", any(target_env = "gnu", target_env = "musl"), not(miri)))]
mod linux {
    use super::children;
    use os_thread_local::key::StaticDestructorKey;
    use os_thread_local::{AccessError, ThreadLocal};
    use std::ffi::{c_void, CStr, OsStr};
    use std::os::raw::c_char;
    use std::os::unix::ffi::OsStrExt;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
    use std::thread;
    use std::time::Duration;

    /// The crate has a thread-local word here, which has the thread's state until the process ends.
    const WORD: bool = cfg!(all(
        not(os_thread_local_no_word),
        not(os_thread_local_keys_only),
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_pointer_width = "64"
    ));

    extern "C" {
        fn atexit(handler: extern "C" fn()) -> i32;
        fn pthread_create(
            thread: *mut usize,
            attributes: *const c_void,
            start: extern "C" fn(*mut c_void) -> *mut c_void,
            argument: *mut c_void,
        ) -> i32;
        fn pthread_detach(thread: usize) -> i32;
        #[cfg(target_env = "gnu")]
        fn __cxa_thread_atexit_impl(
            function: unsafe extern "C" fn(*mut c_void),
            object: *mut c_void,
            library: *const *const c_void,
        ) -> i32;
        #[cfg(target_env = "gnu")]
        static __dso_handle: *const c_void;
    }

    #[cfg(not(os_thread_local_old_std))]
    extern "C-unwind" {
        fn pthread_exit(result: *mut c_void) -> !;
    }
    // Compilers before 1.71 have no such ABI. They let a forced unwind pass where nothing is to be dropped.
    #[cfg(os_thread_local_old_std)]
    extern "C" {
        fn pthread_exit(result: *mut c_void) -> !;
    }

    struct Says(&'static str, usize);

    impl Drop for Says {
        fn drop(&mut self) {
            println!("{} {} destroyed", self.0, self.1);
        }
    }

    fn says(name: &'static str) -> Says {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, SeqCst);
        println!("{} {} made", name, number);
        Says(name, number)
    }

    static USED: ThreadLocal<Says> = ThreadLocal::new(|| says("used"));
    static FRESH: ThreadLocal<Says> = ThreadLocal::new(|| says("fresh"));
    static PLAIN: ThreadLocal<u8> = ThreadLocal::new(|| 1);

    fn show(when: &str) {
        let got = |result: Result<(), AccessError>| match result {
            Ok(()) => "ok".to_string(),
            Err(error) => format!("{:?}", error),
        };
        let (used, fresh) = (got(USED.try_with(|_| ())), got(FRESH.try_with(|_| ())));
        let plain = got(PLAIN.try_with(|v| assert_eq!(*v, 1)));
        println!("{}: {} {} {}", when, used, fresh, plain);
    }

    static OLDER: StaticDestructorKey = StaticDestructorKey::new(older);
    static NEWER: StaticDestructorKey = StaticDestructorKey::new(newer);
    static MAIN_HAS_ENDED: AtomicBool = AtomicBool::new(false);

    unsafe extern "system" fn older(_: *mut c_void) {
        show("older key");
    }

    unsafe extern "system" fn newer(_: *mut c_void) {
        show("newer key");
        MAIN_HAS_ENDED.store(true, SeqCst);
    }

    fn set(key: &StaticDestructorKey) {
        // SAFETY: the destructors take any word.
        unsafe { key.set(ptr::null_mut::<u8>().wrapping_add(1).cast()) }.unwrap()
    }

    extern "C" fn at_exit() {
        show("atexit");
    }

    #[cfg(target_env = "gnu")]
    unsafe extern "C" fn exit_list(_: *mut c_void) {
        show("exit list");
    }

    extern "C" fn other_thread(_: *mut c_void) -> *mut c_void {
        USED.with(|_| ());
        PLAIN.with(|_| ());
        while !MAIN_HAS_ENDED.load(SeqCst) {
            thread::sleep(Duration::from_micros(50));
        }
        // Most often, it ends the process then. The other order is right, too.
        thread::sleep(Duration::from_millis(20));
        ptr::null_mut()
    }

    const ONE: &str = "one thread";
    const TWO: &str = "two threads";
    const CASES: [&str; 3] = [ONE, TWO, LATE];
    const LATE: &str = "two threads, main's first use in a destructor";

    /// Its caller's frames have nothing to drop.
    fn run(case: &str) -> ! {
        // SAFETY: the functions may be called at any time; registered ones have their types. `pthread_exit` is a forced unwind, which passes
        // frames that have nothing to drop.
        unsafe {
            assert_eq!(atexit(at_exit), 0);
            set(&OLDER);
            // Runs after the crate's entry.
            #[cfg(target_env = "gnu")]
            assert_eq!(
                __cxa_thread_atexit_impl(exit_list, ptr::null_mut(), ptr::addr_of!(__dso_handle)),
                0
            );
            if case != LATE {
                USED.with(|_| ());
                PLAIN.with(|_| ());
            } else {
                // The key is made.
                USED.prepare().unwrap();
            }
            set(&NEWER);
            if case != ONE {
                let mut other = 0;
                let argument = ptr::null_mut();
                assert_eq!(pthread_create(&mut other, ptr::null(), other_thread, argument), 0);
                assert_eq!(pthread_detach(other), 0);
            }
            pthread_exit(ptr::null_mut())
        }
    }

    fn check(case: &str, printed: &str) {
        let lines = |start: &str| -> Vec<&str> {
            printed.lines().filter(|line| line.starts_with(start)).collect()
        };
        // Before the crate's own destructor.
        assert_eq!(lines("older key"), ["older key: ok ok ok"], "{}: {}", case, printed);
        // After it.
        let gone = "Destroyed Destroyed ok";
        assert_eq!(lines("newer key"), [format!("newer key: {}", gone)], "{}: {}", case, printed);
        assert_eq!(lines("atexit").len(), 1, "{}: {}", case, printed);
        for line in lines("atexit").into_iter().chain(lines("exit list")) {
            assert!(!WORD || line.ends_with(gone), "{}: {}", case, printed);
        }
        let made = printed.lines().filter_map(|line| line.strip_suffix(" made"));
        for value in made {
            let destroyed = lines(value).iter().filter(|l| l.ends_with(" destroyed")).count();
            // Without the word, one that is made at the very end is leaked.
            assert!(destroyed == 1 || !WORD && destroyed == 0, "{}: {}", case, printed);
        }
    }

    fn parent(exe: &CStr) {
        for case in CASES {
            let mut child = children::child_of(OsStr::from_bytes(exe.to_bytes()), case);
            let output = child.output().unwrap();
            assert!(output.status.success(), "{}: {:?}", case, output);
            check(case, &children::printed(&output));
        }
        println!("main_thread_exit: ok");
    }

    /// Which case this process is to run.
    fn case() -> Option<&'static str> {
        let name = children::case()?;
        CASES.into_iter().find(|case| *case == name)
    }

    #[no_mangle]
    extern "C" fn main(_: i32, arguments: *const *const c_char) -> i32 {
        match case() {
            Some(case) => run(case),
            // SAFETY: the first argument is the program's name, or what was given in its place.
            None => parent(unsafe { CStr::from_ptr(*arguments) }),
        }
        0
    }
}
