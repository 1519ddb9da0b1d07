//! Values per task, where a task is not a thread.

use green_threads::{Task, current_id, run, yield_now};
use os_thread_local::{AccessError, PerThread, ThreadLocal, reclaim, thread_local};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread;

fn task(f: impl FnOnce() + Send + 'static) -> Task {
    // SAFETY: the tasks here hold nothing of a thread while they yield.
    unsafe { Task::new(f) }
}

/// Every thread of the machine that runs the tests, and one more.
const THREADS: usize = 3;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static TEXT: RefCell<String> = RefCell::new(String::new());
}

#[test]
fn tasks_on_one_thread_do_not_share_values() {
    let tasks = (0..10).map(|id| {
        task(move || {
            for n in 0..20 {
                assert_eq!(COUNT.get(), n);
                COUNT.set(n + 1);
                TEXT.with_borrow_mut(|text| *text += &id.to_string());
                yield_now();
            }
            assert_eq!(TEXT.take(), id.to_string().repeat(20));
        })
    });
    run(1, tasks);
    assert_eq!(COUNT.get(), 0, "the thread that ran nothing has its own");
}

#[test]
fn a_value_follows_its_task_to_another_thread() {
    static DROPPED_ON: Mutex<Vec<thread::ThreadId>> = Mutex::new(Vec::new());
    struct Value(thread::ThreadId);
    impl Drop for Value {
        fn drop(&mut self) {
            assert_ne!(self.0, thread::current().id());
            DROPPED_ON.lock().unwrap().push(thread::current().id());
        }
    }
    thread_local!(static VALUE: Value = Value(thread::current().id()));

    let mut task = task(|| {
        let address = VALUE.with(|value| value as *const Value as usize);
        COUNT.set(7);
        yield_now();
        assert_eq!(VALUE.with(|value| value as *const Value as usize), address);
        assert_eq!(COUNT.get(), 7);
    });
    assert!(task.resume());
    assert_eq!(COUNT.get(), 0);
    let ended_on = thread::spawn(move || {
        COUNT.set(3);
        assert!(!task.resume());
        assert_eq!(COUNT.get(), 3);
        thread::current().id()
    });
    assert_eq!([ended_on.join().unwrap()], DROPPED_ON.lock().unwrap()[..]);
}

#[test]
fn a_task_may_yield_wherever_user_code_runs() {
    static LOG: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            yield_now();
            // The task is the same after the switch, and its older values are still there.
            assert_eq!(COUNT.try_with(Cell::get), Ok(1));
            assert_eq!(SLOW.try_with(|_| ()), Err(AccessError::Destroyed));
            yield_now();
            LOG.lock().unwrap().push("dropped");
        }
    }
    thread_local!(static SLOW: Slow = {
        yield_now();
        assert_eq!(SLOW.try_with(|_| ()), Err(AccessError::Recursive));
        yield_now();
        LOG.lock().unwrap().push("made");
        Slow
    });
    let tasks = (0..4).map(|_| {
        task(|| {
            COUNT.set(1);
            SLOW.with(|value| {
                yield_now();
                let before: *const Slow = value;
                SLOW.with(|value| assert_eq!(before, value as *const Slow));
                yield_now();
            });
        })
    });
    run(1, tasks);
    assert_eq!(*LOG.lock().unwrap(), [["made"; 4], ["dropped"; 4]].concat());
}

/// The same, and each part runs on a thread of its own.
#[test]
fn a_task_may_change_threads_wherever_user_code_runs() {
    static LOG: Mutex<Vec<&str>> = Mutex::new(Vec::new());
    struct Slow;
    impl Drop for Slow {
        fn drop(&mut self) {
            yield_now();
            assert_eq!(COUNT.try_with(Cell::get), Ok(1));
            assert_eq!(SLOW.try_with(|_| ()), Err(AccessError::Destroyed));
            LOG.lock().unwrap().push("dropped");
        }
    }
    thread_local!(static SLOW: Slow = {
        yield_now();
        assert_eq!(SLOW.try_with(|_| ()), Err(AccessError::Recursive));
        LOG.lock().unwrap().push("made");
        Slow
    });
    let mut task = task(|| {
        COUNT.set(1);
        SLOW.with(|value| {
            let before: *const Slow = value;
            yield_now();
            SLOW.with(|value| assert_eq!(before, value as *const Slow));
        });
    });
    let mut threads = Vec::new();
    loop {
        let (more, id);
        (task, more, id) = thread::spawn(|| {
            COUNT.set(7);
            let more = task.resume();
            assert_eq!(COUNT.get(), 7);
            (task, more, thread::current().id())
        })
        .join()
        .unwrap();
        assert!(!threads.contains(&id));
        threads.push(id);
        if !more {
            break;
        }
    }
    assert_eq!(threads.len(), 4);
    assert_eq!(*LOG.lock().unwrap(), ["made", "dropped"]);
}

#[test]
fn a_task_that_panics_destroys_its_values() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Value;
    impl Drop for Value {
        fn drop(&mut self) {
            assert!(!thread::panicking());
            yield_now();
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    thread_local!(static VALUE: Value = const { Value });
    let mut task = task(|| {
        VALUE.with(|_| panic!("in a task"));
    });
    assert!(task.resume(), "the destructor yields");
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| task.resume()));
    assert_eq!(*panic.unwrap_err().downcast::<&str>().unwrap(), "in a task");
    assert_eq!(DROPPED.load(SeqCst), 1);
    drop(task);
}

#[test]
fn a_task_that_ends_destroys_its_values_newest_first() {
    static LOG: Mutex<Vec<u32>> = Mutex::new(Vec::new());
    struct Logged(u32);
    impl Drop for Logged {
        fn drop(&mut self) {
            LOG.lock().unwrap().push(self.0);
            if self.0 == 2 {
                LATE.with(|_| ());
            }
        }
    }
    thread_local! {
        static ONE: Logged = const { Logged(1) };
        static TWO: Logged = const { Logged(2) };
        static LATE: Logged = const { Logged(3) };
    }
    let mut task = task(|| {
        ONE.with(|_| ());
        TWO.with(|_| ());
        yield_now();
    });
    assert!(task.resume());
    assert!(LOG.lock().unwrap().is_empty());
    assert!(!task.resume());
    assert_eq!(*LOG.lock().unwrap(), [2, 3, 1]);
}

#[test]
fn a_task_can_begin_again() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Job(usize);
    impl Drop for Job {
        fn drop(&mut self) {
            DROPPED.fetch_add(self.0, SeqCst);
        }
    }
    thread_local!(static JOB: Cell<Job> = Cell::new(Job(0)));
    let mut pool = task(|| {
        for job in [1, 10, 100] {
            assert_eq!(JOB.replace(Job(job)).0, 0, "a new value for each job");
            // SAFETY: inside no access.
            unsafe { os_thread_local::custom::task_exit() };
        }
        assert_eq!(DROPPED.load(SeqCst), 111);
        JOB.set(Job(1000));
    });
    assert!(!pool.resume());
    assert_eq!(DROPPED.load(SeqCst), 1111);
    // Without values, this has no effect.
    // SAFETY: inside no access.
    unsafe { os_thread_local::custom::task_exit() };
}

#[test]
fn a_dropped_object_leaves_its_values_to_their_tasks() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Value(usize);
    impl Drop for Value {
        fn drop(&mut self) {
            assert_eq!(self.0, current_id(), "destroyed by the task that made it");
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    let object = Arc::new(ThreadLocal::new(|| Value(current_id())));
    let new_task = |reclaims| {
        let object = object.clone();
        task(move || {
            object.with(|_| ());
            drop(object);
            yield_now();
            if reclaims {
                reclaim();
                assert_eq!(DROPPED.load(SeqCst), 1);
            }
        })
    };
    let mut tasks = [new_task(true), new_task(false)];
    for task in &mut tasks {
        assert!(task.resume());
    }
    drop(Arc::try_unwrap(object).map_err(drop).unwrap());
    assert_eq!(DROPPED.load(SeqCst), 0);
    for task in &mut tasks {
        assert!(!task.resume());
    }
    assert_eq!(DROPPED.load(SeqCst), 2);
}

#[test]
fn a_killed_task_leaks_and_harms_no_other_task() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Value;
    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    let object = Arc::new(ThreadLocal::new(|| Value));
    let numbers = Arc::new(PerThread::new(|| Cell::new(0)));
    let mut victim = task({
        let (object, numbers) = (Arc::downgrade(&object), Arc::downgrade(&numbers));
        move || {
            object.upgrade().unwrap().with(|_| ());
            numbers.upgrade().unwrap().with(|n| n.set(5));
            TEXT.with_borrow_mut(|text| text.push('x'));
            yield_now();
            unreachable!();
        }
    });
    assert!(victim.resume());
    drop(victim);
    drop(object);
    assert_eq!(DROPPED.load(SeqCst), 0);
    // The object's own values are not leaked.
    let mut numbers = Arc::try_unwrap(numbers).map_err(drop).unwrap();
    assert_eq!(numbers.iter_mut().map(|n| n.get()).sum::<i32>(), 5);
    let again = ThreadLocal::new(|| Value);
    again.with(|_| ());
    drop(again);
    assert_eq!(DROPPED.load(SeqCst), 1);
}

#[test]
fn many_tasks_on_several_threads() {
    const TASKS: usize = 60;
    static ALIVE: AtomicUsize = AtomicUsize::new(0);
    struct Value(usize);
    impl Value {
        fn new() -> Self {
            ALIVE.fetch_add(1, SeqCst);
            Value(COUNT.get())
        }
    }
    impl Drop for Value {
        fn drop(&mut self) {
            ALIVE.fetch_sub(1, SeqCst);
        }
    }
    // More than stand in a task's first table.
    let shared: Arc<Vec<ThreadLocal<Value>>> =
        Arc::new((0..50).map(|_| ThreadLocal::new(Value::new)).collect());
    let tasks = (0..TASKS).map(|id| {
        let shared = shared.clone();
        task(move || {
            COUNT.set(id);
            for round in 0..30 {
                let own: Vec<ThreadLocal<Value>> =
                    (0..5).map(|_| ThreadLocal::new(Value::new)).collect();
                for object in own.iter().chain(&shared[..round]) {
                    object.with(|value| {
                        if round % 7 == 0 {
                            yield_now();
                        }
                        assert_eq!(value.0, id);
                    });
                }
                yield_now();
            }
        })
    });
    run(THREADS, tasks);
    assert_eq!(ALIVE.load(SeqCst), 0);
}

#[test]
fn a_thread_is_a_task_of_its_own() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Value;
    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    thread_local!(static VALUE: Value = const { Value });
    thread::spawn(|| VALUE.with(|_| ())).join().unwrap();
    assert_eq!(DROPPED.load(SeqCst), 1);
}

/// At the very end of a thread this backend has no place for a pointer, and refuses to store it.
#[test]
fn where_the_backend_refuses_there_is_an_error() {
    static SEEN: Mutex<Vec<Result<usize, AccessError>>> = Mutex::new(Vec::new());
    struct AtTheEnd;
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            SEEN.lock().unwrap().push(COUNT.try_with(Cell::get));
        }
    }
    std::thread_local!(static AT_THE_END: AtTheEnd = const { AtTheEnd });
    let thread = thread::spawn(|| {
        // Made before the thread's context, and so destroyed after it.
        AT_THE_END.with(|_| ());
        COUNT.set(1);
    });
    thread.join().unwrap();
    assert_eq!(*SEEN.lock().unwrap(), [Err(AccessError::OutOfMemory)]);
}
