//! Round-robin tasks on one core: SysTick pre-empts, PendSV switches.
//!
//! It knows nothing of os-thread-local but one word per task ([`local_cell`]) and the call in `task_main`.

use core::arch::{asm, global_asm};
use core::cell::{Cell, UnsafeCell};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use cortex_m::peripheral::{scb::SystemHandler, syst::SystClkSource, SCB};
use cortex_m_rt::exception;

/// Tasks that can exist at once, the main task included.
pub const TASKS: usize = 5;
const STACK_WORDS: usize = 512;
/// Fills unused stacks, so that [`stack_used`] can tell how deep they were.
const PAINT: u32 = 0xdead_beef;
/// SysTick counts between two switches; the board's clock runs at 12.5 MHz.
const SLICE: u32 = 1_200;

#[derive(Clone, Copy, PartialEq)]
enum State {
    Free,
    Ready,
    Ended,
}

struct Tcb {
    sp: Cell<*mut u32>,
    state: Cell<State>,
    entry: Cell<fn()>,
    local: Cell<*mut c_void>,
}

#[repr(align(8))]
struct Stack(UnsafeCell<[u32; STACK_WORDS]>);

struct Kernel {
    tasks: [Tcb; TASKS],
    /// The interrupt handlers' word: see [`local_cell`].
    handler_local: Cell<*mut c_void>,
}

/// Apart from the rest, which is initialized: zeroes take no flash.
static STACKS: [Stack; TASKS] = {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "an initial value, used once per task"
    )]
    const STACK: Stack = Stack(UnsafeCell::new([0; STACK_WORDS]));
    [STACK; TASKS]
};

// SAFETY: only the task whose stack it is uses it, and `spawn` before there is one.
unsafe impl Sync for Stack {}

// SAFETY: there is one core. `state`, `sp` and `entry` are only touched with interrupts masked or by the switch, which no
// interrupt that touches them can interrupt; `local` only by the task it belongs to, `handler_local` only by handlers, which
// do not interrupt each other.
unsafe impl Sync for Kernel {}

static KERNEL: Kernel = {
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "an initial value, used once per task"
    )]
    const FREE: Tcb = Tcb {
        sp: Cell::new(ptr::null_mut()),
        state: Cell::new(State::Free),
        entry: Cell::new(|| ()),
        local: Cell::new(ptr::null_mut()),
    };
    Kernel { tasks: [FREE; TASKS], handler_local: Cell::new(ptr::null_mut()) }
};

/// The task that runs now. Only the switch stores here, so a task that is pre-empted after the load finds that it
/// still is right when it runs again.
static CURRENT: AtomicPtr<Tcb> = AtomicPtr::new(&KERNEL.tasks[0] as *const Tcb as *mut Tcb);

static PREEMPTED: AtomicU32 = AtomicU32::new(0);

/// What SysTick calls before it pre-empts the running task.
static ON_TICK: AtomicPtr<()> = AtomicPtr::new(ptr::null_mut());

/// The number of the running task: 0 is the main task.
pub fn current() -> usize {
    let tcb = CURRENT.load(Ordering::Relaxed) as usize;
    (tcb - KERNEL.tasks.as_ptr() as usize) / core::mem::size_of::<Tcb>()
}

/// Whether an interrupt handler is running.
pub fn in_handler() -> bool {
    let ipsr: u32;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, ipsr", out(reg) ipsr, options(nomem, nostack, preserves_flags)) };
    ipsr != 0
}

/// The word of the running task, or in an interrupt handler the handlers' word.
///
/// A handler must not get the word of the task that it interrupted: that task may be using its values this very moment. All
/// handlers of this kernel run at one priority and hence one after the other, so that one word does for them.
#[inline]
pub fn local_cell() -> &'static Cell<*mut c_void> {
    if in_handler() {
        &KERNEL.handler_local
    } else {
        // SAFETY: always points to an element of `KERNEL.tasks`.
        unsafe { &(*CURRENT.load(Ordering::Relaxed)).local }
    }
}

/// Turns the caller into the main task, `main`, and starts the clock.
pub fn start(main: fn() -> !, on_tick: fn()) -> ! {
    let mut core = cortex_m::Peripherals::take().unwrap();
    // The switch comes last, when no handler is active.
    // SAFETY: no critical section depends on priorities here.
    unsafe {
        core.SCB.set_priority(SystemHandler::PendSV, 0xff);
        core.SCB.set_priority(SystemHandler::SysTick, 0x80);
    }
    ON_TICK.store(on_tick as *mut (), Ordering::Relaxed);
    for stack in &STACKS {
        // SAFETY: no task runs on these stacks yet.
        unsafe { *stack.0.get() = [PAINT; STACK_WORDS] };
    }
    KERNEL.tasks[0].state.set(State::Ready);
    core.SYST.set_reload(SLICE);
    core.SYST.clear_current();
    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.enable_interrupt();
    core.SYST.enable_counter();
    // SAFETY: the stack is task 0's and has the alignment that the ABI wants; the boot stack stays with the handlers.
    unsafe {
        asm!(
            "msr psp, {stack}",
            "movs {stack}, #2",
            "msr control, {stack}",
            "isb",
            "bx {main}",
            stack = in(reg) STACKS[0].0.get().add(1),
            main = in(reg) main,
            options(noreturn)
        )
    }
}

/// A task that another task can wait for.
pub struct Handle(usize);

/// Makes a task that runs `entry`.
///
/// # Panics
///
/// When there are [`TASKS`] already. A task counts until it was joined.
pub fn spawn(entry: fn()) -> Handle {
    critical_section::with(|_| {
        let id = KERNEL.tasks.iter().position(|task| task.state.get() == State::Free);
        let id = id.expect("no free task");
        let task = &KERNEL.tasks[id];
        // The words that the switch and the return from an exception pop: r4-r11, r0-r3, r12, lr, pc, xpsr.
        // SAFETY: no task runs on the stack of a free task.
        unsafe {
            let sp = STACKS[id].0.get().cast::<u32>().add(STACK_WORDS - 16);
            sp.write_bytes(0, 16);
            sp.add(14).write(task_main as *const () as u32 & !1);
            sp.add(15).write(1 << 24);
            task.sp.set(sp);
        }
        task.entry.set(entry);
        task.local.set(ptr::null_mut());
        task.state.set(State::Ready);
        Handle(id)
    })
}

impl Handle {
    /// Waits until the task has ended and gives its place to the next one.
    pub fn join(self) {
        while critical_section::with(|_| KERNEL.tasks[self.0].state.get()) != State::Ended {
            yield_now();
        }
        KERNEL.tasks[self.0].state.set(State::Free);
    }

    /// The number that [`current`] gives in this task.
    pub fn id(&self) -> usize {
        self.0
    }
}

extern "C" fn task_main() -> ! {
    let id = current();
    (KERNEL.tasks[id].entry.get())();
    // SAFETY: nothing of this task is on the stack any more.
    unsafe { os_thread_local::custom::task_exit() };
    critical_section::with(|_| KERNEL.tasks[id].state.set(State::Ended));
    loop {
        yield_now();
    }
}

/// Lets the other tasks run.
pub fn yield_now() {
    if !in_handler() {
        SCB::set_pendsv();
        cortex_m::asm::dsb();
        cortex_m::asm::isb();
    }
}

/// Stops the clock: from here on tasks switch only when they yield.
pub fn stop_clock() {
    // SAFETY: `start` is done with it.
    unsafe { cortex_m::Peripherals::steal() }.SYST.disable_interrupt();
}

/// How often the clock has taken the processor from a task.
pub fn preempted() -> u32 {
    PREEMPTED.load(Ordering::Relaxed)
}

/// The most bytes that any task's stack held, and a stack's size.
pub fn stack_used() -> (usize, usize) {
    let unused = |stack: &Stack| {
        // SAFETY: volatile reads of words that at worst change meanwhile.
        let words = stack.0.get().cast::<u32>();
        (0..STACK_WORDS).take_while(|&i| unsafe { words.add(i).read_volatile() } == PAINT).count()
    };
    let unused = STACKS.iter().map(unused).min().unwrap();
    ((STACK_WORDS - unused) * 4, STACK_WORDS * 4)
}

#[exception]
fn SysTick() {
    PREEMPTED.store(PREEMPTED.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    // SAFETY: `start` stored a `fn()`.
    let on_tick: fn() = unsafe { core::mem::transmute(ON_TICK.load(Ordering::Relaxed)) };
    on_tick();
    SCB::set_pendsv();
}

// Saves what the exception did not, and goes on with another task. All tasks run on the process stack, so that the
// value in lr, which says where to return to, is the same for all.
global_asm!(
    ".global PendSV",
    ".type PendSV, %function",
    ".thumb_func",
    "PendSV:",
    "mrs r0, psp",
    "stmdb r0!, {{r4-r11}}",
    "push {{r3, lr}}",
    "bl {switch}",
    "pop {{r3, lr}}",
    "ldmia r0!, {{r4-r11}}",
    "msr psp, r0",
    "bx lr",
    switch = sym switch,
);

/// Takes the stack pointer of the running task, gives that of the next.
extern "C" fn switch(sp: *mut u32) -> *mut u32 {
    let tasks = &KERNEL.tasks;
    let mut next = current();
    tasks[next].sp.set(sp);
    loop {
        next = (next + 1) % TASKS;
        if tasks[next].state.get() == State::Ready {
            break;
        }
    }
    CURRENT.store(&tasks[next] as *const Tcb as *mut Tcb, Ordering::Relaxed);
    tasks[next].sp.get()
}
