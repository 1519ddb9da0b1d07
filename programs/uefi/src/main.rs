//! A UEFI application: no threads, but tasks that run one after another, and a timer that interrupts them. The crate runs on
//! its custom backend; `ci/uefi` boots it in QEMU.

#![no_std]
#![no_main]

extern crate alloc;

mod firmware;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

use firmware::{print_line, Timer};
use os_thread_local::{custom, thread_local, PerThread, ThreadLocal};

/// The tasks, the first of which is the application itself.
const TASKS: usize = 5;
#[allow(clippy::declare_interior_mutable_const)] // the initial value of an array's elements
const NULL: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static POINTERS: [AtomicPtr<c_void>; TASKS] = [NULL; TASKS];
static RUNNING: AtomicUsize = AtomicUsize::new(0);
/// The timer's function interrupts any task. The crate treats it as a separate task.
static HANDLER: AtomicPtr<c_void> = NULL;
static IN_HANDLER: AtomicBool = AtomicBool::new(false);

struct Tasks;

fn pointer() -> &'static AtomicPtr<c_void> {
    if IN_HANDLER.load(SeqCst) {
        &HANDLER
    } else {
        &POINTERS[RUNNING.load(SeqCst)]
    }
}

// SAFETY: each task and the handler have a pointer of their own, null at first; `Tasks` alone uses them.
unsafe impl custom::Backend for Tasks {
    fn get() -> *mut c_void {
        pointer().load(SeqCst)
    }

    unsafe fn set(value: *mut c_void) -> bool {
        pointer().store(value, SeqCst);
        true
    }
}

os_thread_local::set_backend!(Tasks);

static CREATED: AtomicUsize = AtomicUsize::new(0);
static DESTROYED: AtomicUsize = AtomicUsize::new(0);

struct Counted;

impl Counted {
    fn new() -> Counted {
        CREATED.fetch_add(1, SeqCst);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        DESTROYED.fetch_add(1, SeqCst);
    }
}

static COUNTED: ThreadLocal<Counted> = ThreadLocal::new(Counted::new);
static LOG: ThreadLocal<RefCell<Vec<usize>>> = ThreadLocal::new(|| RefCell::new(Vec::new()));

thread_local! {
    static TICKS: Cell<u32> = const { Cell::new(0) };
}

/// The handler's own value of `TICKS`.
static TICKS_SEEN: AtomicUsize = AtomicUsize::new(0);

/// The timer's function.
extern "efiapi" fn tick(_: *mut c_void, _: *mut c_void) {
    IN_HANDLER.store(true, SeqCst);
    TICKS.set(TICKS.get() + 1);
    // Acquires the lock. Critical sections keep it from interrupting a task that holds the lock.
    let object = ThreadLocal::new(|| Box::new(7));
    object.with(|value| assert_eq!(**value, 7));
    drop(object);
    TICKS_SEEN.store(TICKS.get() as usize, SeqCst);
    IN_HANDLER.store(false, SeqCst);
}

/// Runs `main` as a task.
fn run_task(number: usize, main: impl FnOnce()) {
    let caller = RUNNING.swap(number, SeqCst);
    main();
    // SAFETY: `main` has returned, so the task is inside no access.
    unsafe { custom::task_exit() };
    RUNNING.store(caller, SeqCst);
}

fn run() {
    let objects: Vec<ThreadLocal<Cell<usize>>> =
        (0..1_000).map(|_| ThreadLocal::new(|| Cell::new(1))).collect();
    let total = PerThread::new(|| Cell::new(0));
    LOG.with_borrow_mut(|log| log.push(0));
    COUNTED.with(|_| ());

    let mut rounds = 0;
    // Often enough for the timer to interrupt a task that holds the lock: without critical sections this program hangs.
    while TICKS_SEEN.load(SeqCst) < 300 {
        rounds += 1;
        for number in 1..TASKS {
            run_task(number, || {
                COUNTED.with(|_| ());
                LOG.with_borrow_mut(|log| log.push(number));
                assert_eq!(LOG.with_borrow(|log| log.clone()), [number]);
                for object in &objects {
                    assert_eq!(object.get(), 1);
                    object.set(number);
                }
                assert!(objects.iter().all(|object| object.get() == number));
                total.with(|sum| sum.set(sum.get() + objects.len()));
                assert_eq!(TICKS.get(), 0, "the handler's value is its own");
            });
        }
        let ended = rounds * (TASKS - 1);
        assert_eq!(CREATED.load(SeqCst), ended + 1);
        assert_eq!(DESTROYED.load(SeqCst), ended, "the tasks have ended: their values are gone");
    }
    assert_eq!(LOG.with_borrow(|log| log.clone()), [0]);
    assert!(objects.iter().all(|object| object.get() == 1));
    let total: usize = total.into_iter().map(Cell::into_inner).sum();
    assert_eq!(total, rounds * (TASKS - 1) * 1_000);
    print_line(format_args!("{} tasks, {} ticks", rounds * (TASKS - 1), TICKS_SEEN.load(SeqCst)));
}

fn main() {
    let timer = Timer::every_millisecond(tick);
    run();
    drop(timer);
    // SAFETY: `run` has returned, so the task is inside no access.
    unsafe { custom::task_exit() };
    assert_eq!(CREATED.load(SeqCst), DESTROYED.load(SeqCst));
    print_line(format_args!("done"));
}
