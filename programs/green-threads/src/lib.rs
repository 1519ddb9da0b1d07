//! Tasks in user space (stackful coroutines, from the crate corosensei) whose values belong to the task, whichever
//! thread runs it. A runtime of green threads can support all of os-thread-local in this way.
//!
//! A task runs until it [yields](yield_now). The threads themselves are tasks too, for what they do between two tasks.

use core::ffi::c_void;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use std::cell::Cell;
use std::collections::VecDeque;
use std::panic;
use std::ptr::{self, NonNull};
use std::sync::{Condvar, Mutex};
use std::thread;

/// The state of a task or a thread. It does not move: its address identifies the running task.
struct Context {
    local: Cell<*mut c_void>,
    /// Null for a thread, and for a task before it has started.
    yielder: Cell<*const Yielder<(), ()>>,
}

impl Context {
    const fn new() -> Self {
        Context { local: Cell::new(ptr::null_mut()), yielder: Cell::new(ptr::null()) }
    }
}

/// A thread's own context. Its destructor ends the thread's task.
struct ThreadContext(Context);

impl Drop for ThreadContext {
    fn drop(&mut self) {
        // Further destructors of this thread may use the crate; there is no context to keep a value in.
        let context = NonNull::from(&self.0);
        let _resumed = Resumed::new(context);
        // SAFETY: a thread that ends is inside no access.
        unsafe { os_thread_local::custom::task_exit() };
    }
}

thread_local! {
    static THREAD: ThreadContext = const { ThreadContext(Context::new()) };
    /// The task that this thread runs. Needs no destructor, so that it can be read as long as the thread runs.
    static RUNNING: Cell<Option<NonNull<Context>>> = const { Cell::new(None) };
}

/// Sets `RUNNING`, and sets it back.
struct Resumed(Option<NonNull<Context>>);

impl Resumed {
    fn new(context: NonNull<Context>) -> Self {
        Resumed(RUNNING.replace(Some(context)))
    }
}

impl Drop for Resumed {
    fn drop(&mut self) {
        RUNNING.set(self.0);
    }
}

/// The caller's context; `None` late in thread exit.
///
/// Never inlined: a task may come back from `yield_now` on another thread, and must not find that the compiler has kept
/// the address of the former thread's `RUNNING`.
#[inline(never)]
fn current() -> Option<NonNull<Context>> {
    RUNNING.get().or_else(|| THREAD.try_with(|thread| NonNull::from(&thread.0)).ok())
}

struct Backend;

// SAFETY: each task and each thread has a context of its own, which is found wherever it runs. Only `Task::new` decides what
// moves between threads: `Task` says what a task must not hold.
unsafe impl os_thread_local::custom::Backend for Backend {
    fn get() -> *mut c_void {
        // SAFETY: a context lives as long as its task runs.
        current().map_or(ptr::null_mut(), |context| unsafe { context.as_ref() }.local.get())
    }

    unsafe fn set(value: *mut c_void) -> bool {
        // SAFETY: a context lives as long as its task runs.
        current().map(|context| unsafe { context.as_ref() }.local.set(value)).is_some()
    }

    /// Tasks do not yield inside the crate, so the lock's holder runs on another thread.
    fn relax() {
        thread::yield_now();
    }
}

os_thread_local::set_backend!(Backend);

/// A task that can run, or has ended.
pub struct Task {
    coroutine: Coroutine<(), (), ()>,
    context: Box<Context>,
}

// SAFETY: the caller of `Task::new` guarantees that `f` holds nothing that belongs to a thread while it yields.
unsafe impl Send for Task {}

impl Task {
    /// A task that runs `f` when it is resumed.
    ///
    /// # Safety
    ///
    /// While it yields, `f` holds nothing that belongs to the thread it runs on: a guard of a mutex, a reference into std's
    /// thread-locals, an `Rc` that one of them also holds. (Values of os-thread-local belong to the task.)
    pub unsafe fn new(f: impl FnOnce() + Send + 'static) -> Self {
        let context = Box::new(Context::new());
        let address = SendPtr(NonNull::from(&*context));
        let coroutine = Coroutine::new(move |yielder: &Yielder<(), ()>, ()| {
            let address = { address };
            // SAFETY: the context lives as long as the task.
            unsafe { address.0.as_ref() }.yielder.set(yielder);
            // A destructor may yield, which a task that is unwinding must not: std counts the panics of a thread.
            let result = panic::catch_unwind(panic::AssertUnwindSafe(f));
            // SAFETY: `f` has returned or unwound.
            unsafe { os_thread_local::custom::task_exit() };
            if let Err(panic) = result {
                panic::resume_unwind(panic);
            }
        });
        Task { coroutine, context }
    }

    /// Runs the task on this thread until it yields (`true`) or ends (`false`).
    ///
    /// # Panics
    ///
    /// If the task panics, and if it has ended before.
    pub fn resume(&mut self) -> bool {
        let _resumed = Resumed::new(NonNull::from(&*self.context));
        matches!(self.coroutine.resume(()), CoroutineResult::Yield(()))
    }
}

impl Drop for Task {
    /// A task that has not ended is killed: its stack and its values are left where they are.
    fn drop(&mut self) {
        if self.coroutine.started() && !self.coroutine.done() {
            // SAFETY: nothing on the stack is used again, and nothing refers to it: see `Task::new`.
            unsafe { self.coroutine.force_reset() };
        }
    }
}

#[derive(Clone, Copy)]
struct SendPtr(NonNull<Context>);

// SAFETY: the context moves between threads with its task.
unsafe impl Send for SendPtr {}

/// Returns a number that no other live task has.
pub fn current_id() -> usize {
    current().map_or(0, |context| context.addr().get())
}

/// Lets other tasks run. The caller may resume on another thread. Outside tasks it yields to other threads.
pub fn yield_now() {
    // SAFETY: a context lives as long as its task runs, and so does its yielder.
    match current().and_then(|context| unsafe { context.as_ref().yielder.get().as_ref() }) {
        Some(yielder) => yielder.suspend(()),
        None => thread::yield_now(),
    }
}

/// Runs tasks on several threads until all have ended. One after another: a task that yields goes to the end of the
/// queue, and any of the threads resumes it.
///
/// # Panics
///
/// If one of the tasks does.
pub fn run(threads: usize, tasks: impl IntoIterator<Item = Task>) {
    struct Queue {
        ready: VecDeque<Task>,
        unfinished: usize,
    }
    let ready: VecDeque<Task> = tasks.into_iter().collect();
    let queue = Mutex::new(Queue { unfinished: ready.len(), ready });
    let changed = Condvar::new();
    thread::scope(|s| {
        for _ in 0..threads {
            s.spawn(|| {
                loop {
                    let mut guard = queue.lock().unwrap();
                    let mut task = loop {
                        if guard.unfinished == 0 {
                            return;
                        }
                        match guard.ready.pop_front() {
                            Some(task) => break task,
                            None => guard = changed.wait(guard).unwrap(),
                        }
                    };
                    drop(guard);
                    let result = panic::catch_unwind(panic::AssertUnwindSafe(|| task.resume()));
                    let mut guard = queue.lock().unwrap();
                    match result {
                        Ok(true) => guard.ready.push_back(task),
                        // A task that panicked counts as ended; the others continue.
                        _ => guard.unfinished -= 1,
                    }
                    changed.notify_all();
                    drop(guard);
                    if let Err(panic) = result {
                        panic::resume_unwind(panic);
                    }
                }
            });
        }
    });
}
