//! Fork handlers of another library: they take a lock under which its threads use objects, wait for a thread that uses objects, join
//! one, or use objects themselves. Registered before this crate's first use or after it, they never deadlock, neither in the
//! parent nor in a child. In the child every object can be used, old and new, by the thread that forked and by new threads.
//!
//! Each case is a process of its own, killed when it makes no progress. `OS_THREAD_LOCAL_FORKS` sets the number of forks of a case
//! (`ci/processes`: 500; `ci/processes --full`: 10,000). With `OS_THREAD_LOCAL_FORK_THREADS=0` the children start no threads: some emulators
//! cannot do that.

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
    let forks = children::times("OS_THREAD_LOCAL_FORKS", children::fewer(30));
    match children::case() {
        Some(case) => unix::run(&case, forks),
        None if forks > 0 => unix::watch_all(forks),
        None => {}
    }
    println!("fork_handlers: {} forks each", forks);
}

#[cfg(all(unix, not(miri)))]
mod unix {
    use super::children;
    use os_thread_local::{reclaim, PerThread, ThreadLocal};
    use std::cell::{Cell, RefCell};
    use std::ffi::c_void;
    use std::io::{Read, Write};
    use std::panic::{catch_unwind, AssertUnwindSafe};
    use std::process::Stdio;
    use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc::{channel, RecvTimeoutError};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;
    use std::{io, ptr, thread};

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

    // ------------------------------------------------------------------------------------------ the first process

    /// The seconds without a fork after which a case counts as hanging. Fewer in QEMU, where a case has three attempts.
    fn patience() -> u32 {
        if children::is_qemu() {
            40
        } else {
            120
        }
    }

    pub fn watch_all(forks: usize) {
        let mut failed = Vec::new();
        for library in LIBRARIES {
            for order in ["before", "after"] {
                let case = format!("{} {}", order, library.name);
                match watch_patiently(&case) {
                    Ok(()) => println!("{} forks, {}: ok", forks, case),
                    Err(error) => {
                        println!("{} forks, {}: {}", forks, case, error);
                        failed.push(case);
                    }
                }
            }
        }
        assert!(failed.is_empty(), "{:?}", failed);
    }

    /// As `watch`. In QEMU, what hangs has three attempts: see `children::is_qemu`.
    fn watch_patiently(case: &str) -> Result<(), String> {
        let mut result = watch(case);
        for _ in 0..2 {
            match &result {
                Err(error) if children::is_qemu() && error.starts_with(HANGS_AFTER) => {
                    println!("{}: {}; once more", case, error);
                    result = watch(case);
                }
                _ => break,
            }
        }
        result
    }

    const HANGS_AFTER: &str = "hangs after";

    /// Runs a case for as long as it prints.
    fn watch(case: &str) -> Result<(), String> {
        let mut child = children::child(case).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = child.stdout.take().unwrap();
        let (tell, told) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut buffer) {
                if tell.send(n).is_err() {
                    break;
                }
            }
        });
        let (mut progress, patience) = (0, Duration::from_secs(patience().into()));
        loop {
            match told.recv_timeout(patience) {
                Ok(n) => progress += n,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    children::kill(child);
                    return Err(format!("{} {} forks", HANGS_AFTER, progress));
                }
            }
        }
        match child.wait().unwrap() {
            status if status.success() => Ok(()),
            status => Err(format!("{} after {} forks", status, progress)),
        }
    }

    // ------------------------------------------------------------------------------------------ the other library

    /// What the other library's handlers and threads do.
    struct Library {
        name: &'static str,
        prepare: extern "C" fn(),
        parent: extern "C" fn(),
        child: extern "C" fn(),
        /// Called once, when the handlers are registered.
        start: fn(),
        /// Called by its threads all the time.
        work: fn(),
    }

    const LIBRARIES: &[Library] = &[
        Library {
            name: "a lock",
            prepare: lock,
            parent: unlock,
            child: unlock_in_the_child,
            start: || (),
            work: || {
                lock();
                use_objects();
                unlock();
            },
        },
        Library {
            name: "a thread that answers",
            prepare: ask,
            parent: nothing,
            child: worker_is_gone,
            start: start_worker,
            work: use_objects,
        },
        Library {
            name: "a thread that is joined",
            prepare: join_worker,
            parent: start_worker_again,
            child: worker_is_gone,
            start: start_worker,
            work: use_objects,
        },
        Library {
            name: "handlers that use objects",
            prepare: handler,
            parent: handler,
            child: handler,
            start: || (),
            work: use_objects,
        },
    ];

    fn register(prepare: extern "C" fn(), parent: extern "C" fn(), child: extern "C" fn()) {
        // SAFETY: the functions may be called on any thread.
        assert_eq!(unsafe { pthread_atfork(prepare, parent, child) }, 0);
    }

    extern "C" fn nothing() {}

    /// The alarm kills a child that hangs before its parent counts as hanging.
    static CHILD_PATIENCE: AtomicU32 = AtomicU32::new(0);

    extern "C" fn set_alarm() {
        // SAFETY: no preconditions.
        unsafe { alarm(CHILD_PATIENCE.load(SeqCst)) };
    }

    /// A fair lock: threads that acquire it all the time do not starve the one that forks.
    static TICKETS: AtomicUsize = AtomicUsize::new(0);
    static SERVED: AtomicUsize = AtomicUsize::new(0);

    extern "C" fn lock() {
        let ticket = TICKETS.fetch_add(1, SeqCst);
        while SERVED.load(SeqCst) != ticket {
            thread::yield_now();
        }
    }

    extern "C" fn unlock() {
        SERVED.fetch_add(1, SeqCst);
    }

    /// The threads that waited for it are not in the child.
    extern "C" fn unlock_in_the_child() {
        SERVED.store(TICKETS.load(SeqCst), SeqCst);
    }

    /// The library's thread, 0 where there is none: in a child.
    static WORKER: AtomicUsize = AtomicUsize::new(0);
    static STATE: AtomicUsize = AtomicUsize::new(0);
    const IDLE: usize = 0;
    const ASKED: usize = 1;
    const TOLD_TO_END: usize = 2;

    fn start_worker() {
        STATE.store(IDLE, SeqCst);
        WORKER.store(start(worker), SeqCst);
    }

    extern "C" fn start_worker_again() {
        if WORKER.load(SeqCst) != 0 {
            start_worker();
        }
    }

    extern "C" fn worker_is_gone() {
        WORKER.store(0, SeqCst);
    }

    /// Uses objects before it answers, and before it ends.
    extern "C" fn worker(_: *mut c_void) -> *mut c_void {
        loop {
            let state = STATE.load(SeqCst);
            use_objects();
            match state {
                ASKED => STATE.store(IDLE, SeqCst),
                TOLD_TO_END => return ptr::null_mut(),
                _ => thread::yield_now(),
            }
        }
    }

    extern "C" fn ask() {
        if WORKER.load(SeqCst) != 0 {
            STATE.store(ASKED, SeqCst);
            while STATE.load(SeqCst) == ASKED {
                thread::yield_now();
            }
        }
    }

    extern "C" fn join_worker() {
        let worker = WORKER.load(SeqCst);
        if worker != 0 {
            STATE.store(TOLD_TO_END, SeqCst);
            join(worker);
        }
    }

    static HANDLED: AtomicUsize = AtomicUsize::new(0);

    /// Uses objects that were there before the fork, and new ones.
    extern "C" fn handler() {
        static STATIC: ThreadLocal<Cell<usize>> = ThreadLocal::new(|| Cell::new(0));
        let handled = HANDLED.fetch_add(1, SeqCst);
        assert_eq!(STATIC.replace(handled + 1), handled);
        OLD.with(|v| assert_eq!(v.borrow()[0], 1));
        SHARED.with(|n| n.fetch_add(1, SeqCst));
        use_objects();
        reclaim();
    }

    fn start(f: extern "C" fn(*mut c_void) -> *mut c_void) -> usize {
        let mut thread = 0;
        // SAFETY: `pthread_t` is a word on the systems where this runs.
        let error = unsafe { pthread_create(&mut thread, ptr::null(), f, ptr::null_mut()) };
        assert_eq!(error, 0);
        thread
    }

    fn join(thread: usize) {
        // SAFETY: `start` gave the thread, which is joined once.
        assert_eq!(unsafe { pthread_join(thread, ptr::null_mut()) }, 0);
    }

    // ------------------------------------------------------------------------------------------ a case

    static OLD: ThreadLocal<RefCell<Vec<u32>>> = ThreadLocal::new(|| RefCell::new(vec![1]));
    static SHARED: PerThread<AtomicU32> = PerThread::new(|| AtomicU32::new(0));
    static STOP: AtomicBool = AtomicBool::new(false);

    struct Stop;

    impl Drop for Stop {
        fn drop(&mut self) {
            STOP.store(true, SeqCst);
        }
    }

    /// Makes, uses and drops objects of all kinds, more than stand in a thread's record.
    fn use_objects() {
        let objects: Vec<_> = (0..20).map(|n| ThreadLocal::from_fn(move || vec![n])).collect();
        let plain: Vec<_> = (0..20).map(|n| ThreadLocal::from_fn(move || n)).collect();
        let per_thread: Vec<_> = (0..5).map(|n| PerThread::from_fn(move || vec![n])).collect();
        for (n, object) in objects.iter().enumerate() {
            assert!(object.with_existing(|_| ()).is_none());
            object.with(|v| assert_eq!(*v, [n]));
        }
        for (n, object) in plain.iter().enumerate() {
            assert_eq!((object.with_existing(|v| *v), object.with(|v| *v)), (None, n));
        }
        for (n, object) in per_thread.iter().enumerate() {
            object.with(|v| assert_eq!(*v, [n]));
            assert_eq!(object.iter().count(), 1);
        }
    }

    type Shared = ThreadLocal<RefCell<Vec<u32>>>;

    /// A thread that uses the crate until the case is over.
    fn busy(kind: usize, work: fn(), object: &Shared) {
        /// On their way from one thread to another: an object is dropped when two threads have used it.
        static EXCHANGE: Mutex<Vec<Arc<ThreadLocal<Box<u32>>>>> = Mutex::new(Vec::new());
        while !STOP.load(SeqCst) {
            match kind {
                0 | 1 => work(),
                2 => {
                    let new = Arc::new(ThreadLocal::new(|| Box::new(7)));
                    new.with(|v| assert_eq!(**v, 7));
                    EXCHANGE.lock().unwrap().push(new);
                    thread::yield_now();
                }
                // First uses, and ends of threads.
                _ => {
                    let old = std::mem::take(&mut *EXCHANGE.lock().unwrap());
                    thread::scope(|s| {
                        s.spawn(|| {
                            OLD.with(|v| v.borrow_mut().push(3));
                            SHARED.with(|n| n.fetch_add(1, SeqCst));
                            object.with(|v| v.borrow_mut().push(4));
                            old.iter().for_each(|o| o.with(|v| assert_eq!(**v, 7)));
                        });
                    });
                }
            }
        }
    }

    /// A case: the process that `watch` runs.
    pub fn run(case: &str, forks: usize) {
        let is_case = |library: &&Library| case.ends_with(library.name);
        let library = LIBRARIES.iter().find(is_case).unwrap();
        let threads = children::times("OS_THREAD_LOCAL_FORK_THREADS", 1) > 0;
        let before = case.starts_with("before");
        let register_theirs = || register(library.prepare, library.parent, library.child);
        CHILD_PATIENCE.store(patience() * 3 / 4, SeqCst);
        // Called first in a child, so that the alarm also kills one that hangs in another handler.
        register(nothing, nothing, set_alarm);
        // A library's constructor would register them before `main`; nothing has used the crate before this either.
        if before {
            register_theirs();
        }
        OLD.with(|v| v.borrow_mut().push(2));
        if !before {
            register_theirs();
        }
        (library.start)();

        let object: Shared = ThreadLocal::new(|| RefCell::new(vec![2]));
        object.with(|v| v.borrow_mut().push(3));
        thread::scope(|s| {
            for kind in 0..4 {
                let object = &object;
                s.spawn(move || busy(kind, library.work, object));
            }
            // Also when an assertion fails.
            let _stop = Stop;
            for n in 0..forks {
                in_a_child(|| {
                    // SAFETY: no other thread is in the child, which never returns from here: the object has one owner.
                    let object = unsafe { ptr::read(&object) };
                    in_the_child(object, threads);
                    if n % 16 == 0 {
                        in_a_child(use_objects);
                    }
                });
                // Reports progress.
                io::stdout().write_all(b".").unwrap();
                io::stdout().flush().unwrap();
            }
        });
        if WORKER.load(SeqCst) != 0 {
            join_worker();
        }
        let handled = if library.name.contains("use objects") { 2 * forks } else { 0 };
        assert_eq!(HANDLED.load(SeqCst), handled);
    }

    fn in_a_child(f: impl FnOnce()) {
        // SAFETY: the child calls nothing that another thread of the parent may have left locked: no output, and the
        // allocator is the C library's, which takes care of itself.
        let pid = unsafe { fork() };
        assert!(pid >= 0);
        if pid == 0 {
            let result = catch_unwind(AssertUnwindSafe(f));
            // Not std's: that takes a lock of std's, which another thread may have had when the process forked.
            // SAFETY: it does not return.
            unsafe { exit(if result.is_ok() { 33 } else { 34 }) };
        }
        let mut status = 0;
        // SAFETY: `status` is valid for a write.
        assert_eq!(unsafe { waitpid(pid, &mut status, 0) }, pid);
        assert_eq!(status, 33 << 8, "the child's wait status");
    }

    /// A child may do everything, whatever state the other threads of its parent were in.
    fn in_the_child(object: Shared, threads: bool) {
        // The values of the thread that forked are there.
        OLD.with(|v| assert_eq!(*v.borrow(), [1, 2]));
        object.with(|v| assert_eq!(*v.borrow(), [2, 3]));
        SHARED.with(|n| n.fetch_add(1, SeqCst));
        assert!(!SHARED.is_empty() && SHARED.iter().all(|n| n.load(SeqCst) < u32::MAX));
        reclaim();
        // An object that threads of the parent are using for the first time. Later objects get its number.
        drop(object);
        for _ in 0..3 {
            use_objects();
        }
        if threads {
            join(start(in_a_thread_of_the_child));
            let both = [start(in_a_thread_of_the_child), start(in_a_thread_of_the_child)];
            use_objects();
            both.iter().for_each(|&thread| join(thread));
        }
    }

    extern "C" fn in_a_thread_of_the_child(_: *mut c_void) -> *mut c_void {
        let used = catch_unwind(|| {
            OLD.with(|v| assert_eq!(*v.borrow(), [1]));
            SHARED.with(|n| n.fetch_add(1, SeqCst));
            use_objects();
        });
        if used.is_err() {
            // SAFETY: it does not return.
            unsafe { exit(35) };
        }
        ptr::null_mut()
    }
}
