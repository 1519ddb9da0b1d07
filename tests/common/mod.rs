//! Shared by the tests: a log of destructions in order, a census of what was built and destroyed, and in which thread, and a counting
//! allocator.

#![allow(dead_code)] // each test file uses a part of it

pub mod counting;

use std::marker::PhantomData;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The operating system's identifier of the calling thread: a destructor may run after std's own `thread::current()` is gone.
pub fn this_thread() -> usize {
    #[cfg(unix)]
    {
        extern "C" {
            fn pthread_self() -> usize;
        }
        // SAFETY: has no precondition; `pthread_t` is one word wherever std has threads.
        unsafe { pthread_self() }
    }
    #[cfg(windows)]
    {
        #[link(name = "kernel32")]
        extern "system" {
            fn GetCurrentThreadId() -> u32;
        }
        // SAFETY: has no precondition.
        unsafe { GetCurrentThreadId() as usize }
    }
    #[cfg(not(any(unix, windows)))]
    {
        0
    }
}

/// std destroys its thread-locals when a thread exits. On WebAssembly it leaks them, although Emscripten's threads have exit hooks.
pub const STD_DESTROYS: bool = !cfg!(target_os = "emscripten");

/// Runs `f` in a new thread and waits until that thread has ended, including its destructors.
pub fn in_thread<R: Send + 'static>(f: impl FnOnce() -> R + Send + 'static) -> R {
    let result = Arc::new(Mutex::new(None));
    let theirs = result.clone();
    run_in_thread(Box::new(move || *theirs.lock().unwrap() = Some(f())));
    let result = result.lock().unwrap().take();
    result.unwrap()
}

/// One type for all closures: a `spawn` for each type makes up a sixth of the code of tests/suite.
fn run_in_thread(f: Box<dyn FnOnce() + Send>) {
    if let Err(panic) = thread::spawn(f).join() {
        std::panic::resume_unwind(panic);
    }
}

/// Waits until `condition` is true. Sleeps between checks, which leaves the processor to other threads and allocates nothing.
pub fn wait_until(condition: impl Fn() -> bool) {
    while !condition() {
        thread::sleep(Duration::from_micros(50));
    }
}

/// Calls `f` in that many new threads, one after another, and returns the largest result. No thread ends before the last call, so most of
/// them adopt no record of an ended thread.
pub fn most_in_new_threads(threads: usize, f: impl Fn() -> usize + Sync) -> usize {
    let most = AtomicUsize::new(0);
    let (started, turn) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|s| {
        for n in 0..threads {
            let (f, most, started, turn) = (&f, &most, &started, &turn);
            s.spawn(move || {
                // Starting a thread allocates: all have started before the first turn.
                started.fetch_add(1, SeqCst);
                wait_until(|| started.load(SeqCst) == threads);
                wait_until(|| turn.load(SeqCst) == n);
                // Also if `f` panics, so that the other threads do not deadlock.
                let next = OnDrop(|| turn.store(n + 1, SeqCst));
                most.fetch_max(f(), SeqCst);
                drop(next);
                wait_until(|| turn.load(SeqCst) == threads);
            });
        }
    });
    most.load(SeqCst)
}

/// A list that every thread can write to.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u32>>>);

impl Log {
    pub fn new() -> Log {
        Log::default()
    }

    pub fn push(&self, name: u32) {
        self.0.lock().unwrap().push(name);
    }

    /// What was written since the last call.
    pub fn take(&self) -> Vec<u32> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }

    /// A value that writes `name` when it is dropped.
    pub fn entry(&self, name: u32) -> Entry {
        Entry { log: self.clone(), name }
    }
}

/// Writes its name into a log when it is dropped.
pub struct Entry {
    log: Log,
    pub name: u32,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.log.push(self.name);
    }
}

/// Calls its closure when it is dropped.
pub struct OnDrop<F: FnMut()>(pub F);

/// The same with one type for all closures.
pub type LastWords = OnDrop<Box<dyn FnMut()>>;

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

/// How many values were built, how many destroyed, and how many of these by a thread that had not
/// built them.
#[derive(Clone, Default)]
pub struct Census(Arc<Counters>);

#[derive(Default)]
struct Counters {
    built: AtomicUsize,
    dropped: AtomicUsize,
    strayed: AtomicUsize,
}

impl Census {
    pub fn new() -> Census {
        Census::default()
    }

    pub fn count(&self) -> Counted {
        self.0.built.fetch_add(1, SeqCst);
        Counted { census: self.clone(), thread: this_thread(), alive: ALIVE, not_send: PhantomData }
    }

    pub fn built(&self) -> usize {
        self.0.built.load(SeqCst)
    }

    pub fn dropped(&self) -> usize {
        self.0.dropped.load(SeqCst)
    }

    /// The number of values destroyed by another thread than the one that built them.
    pub fn strayed(&self) -> usize {
        self.0.strayed.load(SeqCst)
    }
}

const ALIVE: u32 = 0x0A11_0A11;

/// A value that is counted when it is built and when it is dropped. It is not `Send`.
pub struct Counted {
    census: Census,
    thread: usize,
    alive: u32,
    not_send: PhantomData<*mut ()>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        // Fails for a value that is dropped twice or was never built.
        assert_eq!(self.alive, ALIVE);
        self.alive = 0;
        self.census.0.dropped.fetch_add(1, SeqCst);
        if self.thread != this_thread() {
            self.census.0.strayed.fetch_add(1, SeqCst);
        }
    }
}
