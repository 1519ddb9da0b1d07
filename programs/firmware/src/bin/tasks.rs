//! Statics and objects with a value per task, on a board without an operating system.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::{boxed::Box, format, string::String, vec::Vec};
use core::cell::{Cell, RefCell};
use core::mem::MaybeUninit;
use core::ptr::addr_of;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize, Ordering};
use cortex_m_rt::entry;
use cortex_m_semihosting::hprintln;
use embedded_alloc::LlffHeap;
use firmware::kernel::{self, Handle};
use os_thread_local::{thread_local, PerThread, ThreadLocal};

#[global_allocator]
static HEAP: LlffHeap = LlffHeap::empty();
const HEAP_SIZE: usize = 24 * 1024;

#[entry]
fn boot() -> ! {
    static mut MEMORY: [MaybeUninit<u8>; HEAP_SIZE] = [MaybeUninit::uninit(); HEAP_SIZE];
    // SAFETY: the only call, before any allocation.
    unsafe { HEAP.init(addr_of!(*MEMORY) as usize, HEAP_SIZE) };
    kernel::start(main, on_tick)
}

fn main() -> ! {
    let heap = heap();
    all();
    // What the first round allocated for good, and the records that wait for new tasks, are there already.
    let before = HEAP.used();
    hprintln!("again, with what that has left:");
    all();
    assert_eq!(
        HEAP.used(),
        before,
        "the tasks that ended and the objects that were dropped left nothing behind"
    );
    interrupts();
    memory();
    hprintln!("{heap}");
    hprintln!("ok");
    firmware::exit(true)
}

fn all() {
    COUNT.set(0);
    statics();
    objects();
    contention();
    destructors();
    object_dropped_early();
    per_thread();
}

thread_local! {
    static COUNT: Cell<u32> = const { Cell::new(0) };
    static VISITS: RefCell<Vec<usize>> = RefCell::new(Vec::new());
}

fn run(tasks: &[fn()]) {
    let handles: Vec<Handle> = tasks.iter().map(|task| kernel::spawn(*task)).collect();
    handles.into_iter().for_each(Handle::join);
}

/// A static has a value in each task, which survives that the task is pre-empted.
fn statics() {
    fn task() {
        assert_eq!(COUNT.get(), 0, "a new task starts with a new value");
        for n in 0..1_000 {
            assert_eq!(COUNT.get(), n);
            COUNT.with(|count| count.set(count.get() + 1));
            if n % 100 == 0 {
                VISITS.with_borrow_mut(|visits| visits.push(kernel::current()));
            }
        }
        VISITS.with_borrow(|visits| {
            assert_eq!(visits.len(), 10);
            assert!(visits.iter().all(|&id| id == kernel::current()));
        });
    }
    let preempted = kernel::preempted();
    run(&[task, task, task]);
    // Their places are taken by new tasks.
    run(&[task]);
    assert_eq!(COUNT.get(), 0);
    assert!(kernel::preempted() > preempted + 3, "the clock interrupted the tasks");
    hprintln!("statics: each task counted to 1000 for itself");
}

/// A driver: no task owns it, and every task has its own statistics in it.
struct Port {
    errors: ThreadLocal<Cell<u32>>,
    scale: ThreadLocal<u32, Box<dyn Fn() -> u32 + Send + Sync>>,
}

static PORT: AtomicPtr<Port> = AtomicPtr::new(core::ptr::null_mut());

fn port() -> &'static Port {
    // SAFETY: only called between the store and the end of `objects`, which joins the tasks before it frees the port.
    unsafe { &*PORT.load(Ordering::Acquire) }
}

/// An object on the heap has a value in each task.
fn objects() {
    fn task() {
        for _ in 0..500 {
            port().errors.set(port().errors.get() + port().scale.with(|scale| *scale));
        }
        assert_eq!(port().errors.get(), 500 * 3);
    }
    let factor = 3;
    let port = Box::into_raw(Box::new(Port {
        errors: ThreadLocal::new(|| Cell::new(0)),
        scale: ThreadLocal::from_fn(Box::new(move || factor)),
    }));
    PORT.store(port, Ordering::Release);
    run(&[task, task, task]);
    // SAFETY: made by `into_raw`; no task uses it any more.
    let port = unsafe { Box::from_raw(port) };
    assert!(port.errors.with_existing(|_| ()).is_none(), "this task never used it");
    hprintln!("objects: each task has its own value in a driver");
}

/// Tasks that make and drop objects as fast as they can, so that some are pre-empted in the middle of it.
fn contention() {
    fn task() {
        for n in 0..150 {
            let objects: Vec<ThreadLocal<Cell<usize>>> =
                (0..4).map(|_| ThreadLocal::new(|| Cell::new(0))).collect();
            for object in &objects {
                object.set(n + kernel::current());
            }
            for object in &objects {
                assert_eq!(object.get(), n + kernel::current());
            }
        }
    }
    let before = kernel::preempted();
    run(&[task, task, task, task]);
    let preempted = kernel::preempted() - before;
    hprintln!(
        "contention: 2400 objects made and dropped by 4 tasks, pre-empted {} times",
        preempted
    );
    assert!(preempted > 100);
}

/// The order of destruction: one digit for the task, one for the value.
static LOG: AtomicU32 = AtomicU32::new(0);

struct Logged(u32);

impl Drop for Logged {
    fn drop(&mut self) {
        let entry = kernel::current() as u32 * 10 + self.0;
        LOG.store(LOG.load(Ordering::Relaxed) * 100 + entry, Ordering::Relaxed);
        // A destructor may use other values of its task.
        COUNT.with(|count| count.set(count.get() + 1));
    }
}

thread_local! {
    static FIRST: Logged = Logged(1);
    static SECOND: Logged = Logged(2);
}

/// A task that ends destroys its values itself, the newest first.
fn destructors() {
    fn task() {
        // The oldest value is destroyed last, so that the destructors of the others may use it.
        COUNT.set(0);
        FIRST.with(|_| ());
        SECOND.with(|_| ());
    }
    LOG.store(0, Ordering::Relaxed);
    let task = kernel::spawn(task);
    let id = task.id() as u32;
    task.join();
    assert_eq!(LOG.load(Ordering::Relaxed), (id * 10 + 2) * 100 + id * 10 + 1);
    hprintln!("destructors: task {} destroyed its two values when it ended", id);
}

/// The values of an object that is dropped go back to the tasks that own them.
fn object_dropped_early() {
    static OBJECT: AtomicPtr<ThreadLocal<Logged>> = AtomicPtr::new(core::ptr::null_mut());
    static USED: AtomicBool = AtomicBool::new(false);
    static DROPPED: AtomicBool = AtomicBool::new(false);
    fn task() {
        // SAFETY: `object_dropped_early` frees it after `USED` is set.
        unsafe { &*OBJECT.load(Ordering::Acquire) }.with(|_| ());
        USED.store(true, Ordering::Release);
        while !DROPPED.load(Ordering::Acquire) {
            kernel::yield_now();
        }
        assert_eq!(LOG.load(Ordering::Relaxed), 0, "the value waits for its task");
        os_thread_local::reclaim();
        assert_eq!(LOG.load(Ordering::Relaxed), kernel::current() as u32 * 10 + 5);
    }
    LOG.store(0, Ordering::Relaxed);
    USED.store(false, Ordering::Relaxed);
    DROPPED.store(false, Ordering::Relaxed);
    let object = Box::into_raw(Box::new(ThreadLocal::new(|| Logged(5))));
    OBJECT.store(object, Ordering::Release);
    let task = kernel::spawn(task);
    while !USED.load(Ordering::Acquire) {
        kernel::yield_now();
    }
    // SAFETY: made by `into_raw`; the task is done with it.
    drop(unsafe { Box::from_raw(object) });
    DROPPED.store(true, Ordering::Release);
    task.join();
    hprintln!("dropped objects: the value was destroyed by the task that owned it");
}

/// Values that stay with the object when their task ends.
fn per_thread() {
    static SHARED: AtomicPtr<PerThread<Cell<u32>>> = AtomicPtr::new(core::ptr::null_mut());
    fn task() {
        // SAFETY: `per_thread` joins the tasks before it frees it.
        let sums = unsafe { &*SHARED.load(Ordering::Acquire) };
        for n in 0..100 {
            sums.with(|sum| sum.set(sum.get() + n));
        }
    }
    let sums = Box::into_raw(Box::new(PerThread::new(|| Cell::new(0))));
    SHARED.store(sums, Ordering::Release);
    run(&[task, task, task]);
    // SAFETY: made by `into_raw`; the tasks have ended.
    let mut sums = unsafe { Box::from_raw(sums) };
    let sum: u32 = sums.iter_mut().map(|sum| sum.get()).sum();
    assert_eq!(sum, 3 * 4950);
    hprintln!("PerThread: three tasks that have ended left {} in all", sum);
}

static FROM_HANDLER: AtomicBool = AtomicBool::new(false);
static TICKS: AtomicU32 = AtomicU32::new(0);

/// Runs in the SysTick handler. With the feature `critical-section` it can take the crate's lock: the interrupted
/// task does not hold it.
fn on_tick() {
    if FROM_HANDLER.load(Ordering::Relaxed) {
        COUNT.with(|count| count.set(count.get() + 1));
        let object = ThreadLocal::new(|| Cell::new(7));
        assert_eq!(object.get(), 7);
        TICKS.store(COUNT.get(), Ordering::Relaxed);
    }
}

/// An interrupt handler has values of its own, and can make and drop objects while tasks do.
fn interrupts() {
    COUNT.set(1_000_000);
    FROM_HANDLER.store(true, Ordering::Relaxed);
    contention();
    kernel::stop_clock();
    let ticks = TICKS.load(Ordering::Relaxed);
    assert!(ticks > 100 && ticks < 1_000_000);
    assert_eq!(COUNT.get(), 1_000_000);
    hprintln!("interrupts: the clock's handler counted {} ticks in a value of its own", ticks);
}

/// What all this takes, from the linker's symbols.
fn memory() {
    extern "C" {
        static __sidata: u32;
        static __sdata: u32;
        static __edata: u32;
        static __ebss: u32;
    }
    let (used, size) = kernel::stack_used();
    let at = |symbol: *const u32| symbol as usize;
    let data = at(addr_of!(__edata)) - at(addr_of!(__sdata));
    let flash = at(addr_of!(__sidata)) + data;
    let ram = at(addr_of!(__ebss)) - at(addr_of!(__sdata));
    hprintln!("flash: {} bytes", flash);
    hprintln!(
        "static RAM: {} bytes ({} of them initialized), with {} of heap and {} of stacks",
        ram,
        data,
        HEAP_SIZE,
        kernel::TASKS * size
    );
    hprintln!("deepest stack of a task: {} of {} bytes", used, size);
}

/// What values take of the heap, before there is a record that waits for a new task.
fn heap() -> String {
    static USED: AtomicUsize = AtomicUsize::new(0);
    // The first use of all allocates for good.
    COUNT.set(0);
    let before = HEAP.used();
    let task = kernel::spawn(|| {
        COUNT.set(1);
        USED.store(HEAP.used(), Ordering::Relaxed);
    });
    task.join();
    let record = USED.load(Ordering::Relaxed) - before;
    let objects: Vec<ThreadLocal<Cell<u32>>> =
        (0..8).map(|_| ThreadLocal::new(|| Cell::new(0))).collect();
    let before = HEAP.used();
    objects.iter().for_each(|object| object.set(1));
    let value = (HEAP.used() - before) / 8;
    format!("heap: {record} bytes for a task and its first value, {value} for a further Cell<u32>")
}
