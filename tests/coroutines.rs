//! A coroutine with a stack of its own that moves to another thread between any two accesses: each access finds the value of the thread
//! that runs it. The compiler must not keep the thread's address, or that of its record, across a switch. `ci/word` runs it with fat LTO.

#![cfg(feature = "alloc")]
#![cfg(all(target_os = "linux", target_env = "gnu", target_pointer_width = "64", not(miri)))]

use os_thread_local::ThreadLocal;
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;

const STEPS: usize = 1_000;

/// `ucontext_t`: at most 4,560 bytes on glibc's 64-bit targets, aligned to 16.
#[repr(C, align(16))]
struct Context([u8; 8192]);

extern "C" {
    fn getcontext(context: *mut Context) -> i32;
    fn makecontext(context: *mut Context, start: extern "C" fn(), arguments: i32, ...);
    fn swapcontext(from: *mut Context, to: *const Context) -> i32;
}

static mut COROUTINE: Context = Context([0; 8192]);
static mut RESUMER: Context = Context([0; 8192]);

/// Which of the threads runs the coroutine.
static RUNNING: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicBool = AtomicBool::new(false);
static WRONG: AtomicUsize = AtomicUsize::new(0);

static STATIC: ThreadLocal<Cell<usize>> = ThreadLocal::new(|| Cell::new(RUNNING.load(SeqCst)));

#[inline(always)]
fn check(object: &ThreadLocal<Cell<usize>>) {
    if object.with(Cell::get) != RUNNING.load(SeqCst) {
        WRONG.fetch_add(1, SeqCst);
    }
}

#[inline(always)]
fn switch() {
    // SAFETY: the resumer waits for this in `swapcontext`, and no other thread uses the two contexts meanwhile.
    unsafe { swapcontext(std::ptr::addr_of_mut!(COROUTINE), std::ptr::addr_of!(RESUMER)) };
}

extern "C" fn coroutine() {
    let object = ThreadLocal::new(|| Cell::new(RUNNING.load(SeqCst)));
    for _ in 0..STEPS {
        // Nothing between the accesses but a switch: they are inlined into one function.
        check(&STATIC);
        switch();
        check(&STATIC);
        check(&object);
        switch();
        check(&object);
    }
    drop(object);
    DONE.store(true, SeqCst);
    loop {
        switch();
    }
}

#[test]
fn a_coroutine_finds_the_values_of_the_thread_that_runs_it() {
    let mut stack = vec![0_u8; 256 * 1024];
    // SAFETY: the context is initialized by `getcontext` before it is changed. `uc_stack` follows two words on all these targets. The
    // stack outlives the coroutine's last step.
    unsafe {
        let context = std::ptr::addr_of_mut!(COROUTINE);
        assert_eq!(getcontext(context), 0);
        // ucontext_t { unsigned long flags; ucontext_t *link; stack_t { void *sp; int flags; size_t size; } ... }
        let words = context.cast::<usize>();
        words.add(2).cast::<*mut c_void>().write(stack.as_mut_ptr().cast());
        words.add(4).write(stack.len());
        makecontext(context, coroutine, 0);
    }
    let turn = Arc::new([Barrier::new(2), Barrier::new(2)]);
    let threads: Vec<_> = (1..=2)
        .map(|number| {
            let turn = turn.clone();
            // Two switches in each round, as in each step.
            thread::spawn(move || {
                for _ in 0..STEPS + 2 {
                    if number == 2 {
                        turn[0].wait();
                    }
                    if !DONE.load(SeqCst) {
                        RUNNING.store(number, SeqCst);
                        // SAFETY: the threads take turns, and the coroutine is suspended.
                        unsafe {
                            swapcontext(
                                std::ptr::addr_of_mut!(RESUMER),
                                std::ptr::addr_of!(COROUTINE),
                            )
                        };
                    }
                    if number == 1 {
                        turn[0].wait();
                    }
                    turn[1].wait();
                }
                STATIC.with(Cell::get)
            })
        })
        .collect();
    let own: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(own, [1, 2]);
    assert!(DONE.load(SeqCst));
    assert_eq!(WRONG.load(SeqCst), 0, "accesses found another thread's value");
}
