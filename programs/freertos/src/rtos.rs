//! The functions of FreeRTOS that the program uses: tasks, sleep, the heap, and the one pointer per task that os-thread-local needs.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::{c_char, c_void};
use core::panic::PanicInfo;
use core::ptr;

use alloc::boxed::Box;
use cortex_m_semihosting::{debug, hprintln};
use os_thread_local::custom;

extern "C" {
    fn xTaskCreate(
        main: extern "C" fn(*mut c_void),
        name: *const c_char,
        stack_words: u32,
        argument: *mut c_void,
        priority: u32,
        task: *mut *mut c_void,
    ) -> i32;
    fn vTaskDelete(task: *mut c_void);
    fn vTaskDelay(ticks: u32);
    fn vTaskStartScheduler();
    fn pvTaskGetThreadLocalStoragePointer(task: *mut c_void, index: i32) -> *mut c_void;
    fn vTaskSetThreadLocalStoragePointer(task: *mut c_void, index: i32, value: *mut c_void);
    fn pvPortMalloc(size: usize) -> *mut c_void;
    fn vPortFree(block: *mut c_void);
}

struct Tasks;

// SAFETY: the kernel keeps a pointer for each task, null at first; `Tasks` alone uses it. Interrupt handlers and the code before the
// scheduler starts do not use the crate.
unsafe impl custom::Backend for Tasks {
    fn get() -> *mut c_void {
        // SAFETY: null means the running task; it has one pointer.
        unsafe { pvTaskGetThreadLocalStoragePointer(ptr::null_mut(), 0) }
    }

    unsafe fn set(value: *mut c_void) -> bool {
        // SAFETY: null means the running task; it has one pointer.
        unsafe { vTaskSetThreadLocalStoragePointer(ptr::null_mut(), 0, value) };
        true
    }

    fn relax() {
        // Priorities are strict: the holder of the lock runs when this task sleeps, not when it yields.
        sleep();
    }
}

os_thread_local::set_backend!(Tasks);

/// Sleeps until the next tick.
pub fn sleep() {
    // SAFETY: called by tasks, while the scheduler runs.
    unsafe { vTaskDelay(1) };
}

type Main = Box<dyn FnOnce() + Send>;

pub fn spawn(priority: u32, main: impl FnOnce() + Send + 'static) {
    extern "C" fn task_main(main: *mut c_void) {
        // SAFETY: `spawn` made it for this task.
        let main = unsafe { Box::from_raw(main.cast::<Main>()) };
        main();
        // SAFETY: `main` has returned, so the task is inside no access. The kernel deletes this task, which does not run again.
        unsafe {
            custom::task_exit();
            vTaskDelete(ptr::null_mut());
        }
    }
    let main: Main = Box::new(main);
    let main = Box::into_raw(Box::new(main));
    // SAFETY: the name ends with a zero; `task_main` frees `main`.
    let result = unsafe {
        xTaskCreate(task_main, c"task".as_ptr(), 512, main.cast(), priority, ptr::null_mut())
    };
    assert_eq!(result, 1, "no memory for a task");
}

pub fn start() -> ! {
    // SAFETY: called once, with the stack that the handlers keep.
    unsafe { vTaskStartScheduler() };
    panic!("the scheduler has returned");
}

/// Ends the emulation; the status becomes QEMU's exit status.
pub fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

struct Heap;

#[global_allocator]
static HEAP: Heap = Heap;

/// What `pvPortMalloc` aligns to.
const HEAP_ALIGN: usize = 8;

// SAFETY: the kernel's heap fulfils the conditions for alignments up to `HEAP_ALIGN`, and `alloc` returns null for larger ones.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > HEAP_ALIGN {
            return ptr::null_mut();
        }
        // SAFETY: called by tasks, or before the scheduler starts.
        unsafe { pvPortMalloc(layout.size()).cast() }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: the block is `pvPortMalloc`'s.
        unsafe { vPortFree(block.cast()) }
    }
}

#[no_mangle]
extern "C" fn assertion_failed(_: *const c_char, line: i32) -> ! {
    panic!("an assertion of the kernel's, line {line}");
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    cortex_m::interrupt::disable();
    hprintln!("{}", info);
    exit(false)
}
