//! The child of a `fork` has only the thread that forked. It can use every object, whatever the other threads were doing.
//!
//! `OS_THREAD_LOCAL_FORKS` sets the number of forks, which is small by default (`ci/processes`: 1,000). With
//! `OS_THREAD_LOCAL_FORK_THREADS=0` the children start no threads: some emulators cannot do that.

// Without the harness, whose threads have locks of their own that a child would inherit.

#[cfg(not(all(unix, not(miri))))]
fn main() {}

#[cfg(all(unix, not(miri)))]
mod children;

#[cfg(all(unix, not(miri)))]
fn main() {
    if !children::can_start() {
        return;
    }
    if children::is_qemu() && children::case().is_none() {
        return in_three_attempts();
    }
    let forks = children::times("OS_THREAD_LOCAL_FORKS", children::fewer(50));
    if forks > 0 {
        unix::handlers_of_others();
        unix::forks(forks, children::times("OS_THREAD_LOCAL_FORK_THREADS", 1) > 0);
    }
    println!("fork: {} forks", forks);
}

/// This program in a process of its own, and once more if that hangs: see `children::is_qemu`.
#[cfg(all(unix, not(miri)))]
fn in_three_attempts() {
    // Ten times the usual duration.
    const HANGS: std::time::Duration = std::time::Duration::from_secs(60);
    for _ in 0..3 {
        match children::run_for("all", HANGS) {
            Some(output) => {
                print!("{}", children::printed(&output));
                assert!(output.status.success(), "{}", children::complained(&output));
                return;
            }
            None => println!("fork: hangs"),
        }
    }
    panic!("it hangs each time");
}

#[cfg(all(unix, not(miri)))]
mod unix {
    use os_thread_local::{PerThread, ThreadLocal};
    use std::cell::{Cell, RefCell};
    use std::ffi::c_void;
    use std::ptr;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
    use std::sync::Arc;
    use std::thread;

    extern "C" {
        fn fork() -> i32;
        fn waitpid(pid: i32, status: *mut i32, options: i32) -> i32;
        fn alarm(seconds: u32) -> u32;
        fn exit(status: i32) -> !;
        fn pthread_atfork(
            prepare: extern "C" fn(),
            parent: extern "C" fn(),
            child: extern "C" fn(),
        ) -> i32;
        fn pthread_create(
            thread: *mut usize,
            attributes: *const c_void,
            start: extern "C" fn(*mut c_void) -> *mut c_void,
            argument: *mut c_void,
        ) -> i32;
        fn pthread_join(thread: usize, result: *mut *mut c_void) -> i32;
    }

    /// A child that hangs is killed by its alarm, and then counts as crashed.
    const HANGS: u32 = 100;

    static OLD: ThreadLocal<RefCell<Vec<u32>>> = ThreadLocal::new(|| RefCell::new(vec![1]));
    static SHARED: PerThread<Cell<u32>> = PerThread::new(|| Cell::new(0));

    fn in_a_child(f: impl FnOnce()) {
        // SAFETY: the child calls nothing that another thread of the parent may have left locked: no output, and the
        // allocator is the C library's, which takes care of itself.
        let pid = unsafe { fork() };
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: no preconditions.
            unsafe { alarm(HANGS) };
            f();
            // Not std's: that takes a lock of std's, which another thread may have had when the process forked.
            // SAFETY: it does not return.
            unsafe { exit(33) };
        }
        let mut status = 0;
        // SAFETY: `status` is valid for a write.
        assert_eq!(unsafe { waitpid(pid, &mut status, 0) }, pid);
        assert_eq!(status, 33 << 8, "the child's wait status");
    }

    /// A child's thread. Not std's, which takes the same lock.
    fn in_a_new_thread(f: extern "C" fn(*mut c_void) -> *mut c_void) {
        let mut thread = 0;
        // SAFETY: `pthread_t` is a word on the systems where this runs; the thread is joined once.
        unsafe {
            assert_eq!(pthread_create(&mut thread, ptr::null(), f, ptr::null_mut()), 0);
            assert_eq!(pthread_join(thread, ptr::null_mut()), 0);
        }
    }

    extern "C" fn finds_a_value_of_its_own(_: *mut c_void) -> *mut c_void {
        OLD.with(|v| assert_eq!(*v.borrow(), [1]));
        ptr::null_mut()
    }

    static HANDLED: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn handler() {
        static STATIC: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(0));
        STATIC.with(|n| n.set(n.get() + 1));
        let object = ThreadLocal::new(|| String::from("made in a fork handler"));
        object.with(|s| assert_eq!(s.len(), 22));
        drop(object);
        HANDLED.fetch_add(1, SeqCst);
    }

    /// The fork handlers of another library, registered before the crate's. `tests/fork_handlers.rs` tests them under load.
    pub fn handlers_of_others() {
        // SAFETY: `handler` may be called on any thread.
        assert_eq!(unsafe { pthread_atfork(handler, handler, handler) }, 0);
        OLD.with(|_| ());
        in_a_child(|| assert_eq!(HANDLED.load(SeqCst), 2));
        assert_eq!(HANDLED.load(SeqCst), 2);
    }

    pub fn forks(times: usize, threads: bool) {
        let stop = Arc::new(AtomicBool::new(false));
        let busy: Vec<_> = (0..4)
            .map(|kind| {
                let stop = stop.clone();
                thread::spawn(move || {
                    while !stop.load(SeqCst) {
                        match kind {
                            // First uses, and drops of objects.
                            0 | 1 => {
                                let objects: Vec<_> = (0..40)
                                    .map(|_| ThreadLocal::new(|| RefCell::new(vec![7])))
                                    .collect();
                                objects.iter().for_each(|o| o.with(|v| v.borrow_mut().push(8)));
                            }
                            // Exits.
                            _ => {
                                let _ = thread::spawn(|| {
                                    OLD.with(|v| v.borrow_mut().push(3));
                                    SHARED.with(|n| n.set(n.get() + 1));
                                })
                                .join();
                            }
                        }
                    }
                })
            })
            .collect();

        let object = ThreadLocal::new(|| RefCell::new(vec![2]));
        object.with(|v| v.borrow_mut().push(3));
        OLD.with(|v| v.borrow_mut().push(4));
        for _ in 0..times {
            in_a_child(|| {
                // The value of the thread that forked is there.
                OLD.with(|v| assert_eq!(*v.borrow(), [1, 4]));
                object.with(|v| assert_eq!(*v.borrow(), [2, 3]));
                SHARED.with(|n| n.set(n.get() + 1));
                let new: Vec<_> = (0..100).map(|n| ThreadLocal::from_fn(move || vec![n])).collect();
                new.iter().enumerate().for_each(|(i, o)| o.with(|v| assert_eq!(*v, [i])));
                drop(new);
                if threads {
                    in_a_new_thread(finds_a_value_of_its_own);
                }
            });
        }
        stop.store(true, SeqCst);
        busy.into_iter().for_each(|thread| thread.join().unwrap());
    }
}
