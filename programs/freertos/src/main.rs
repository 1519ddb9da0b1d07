//! The tasks of a real-time kernel, FreeRTOS, on a Cortex-M3: pre-emptive, with strict priorities. The crate runs on its custom
//! backend; `ci/freertos` runs it in QEMU.

#![no_std]
#![no_main]

extern crate alloc;

mod rtos;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};

use cortex_m_rt::entry;
use cortex_m_semihosting::hprintln;
use os_thread_local::{PerThread, ThreadLocal};

static CREATED: AtomicU32 = AtomicU32::new(0);
static DESTROYED: AtomicU32 = AtomicU32::new(0);

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
static DEPTH: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(0));

struct Shared {
    objects: Vec<ThreadLocal<Cell<u32>>>,
    total: PerThread<Cell<u32>>,
}

const OBJECTS: u32 = 50;
const PASSES: u32 = 100;

fn worker(shared: &Shared, number: u32) {
    COUNTED.with(|_| ());
    DEPTH.set(DEPTH.get() + 1);
    assert_eq!(DEPTH.get(), 1);
    for pass in 0..PASSES {
        for (index, object) in (0..).zip(&shared.objects) {
            assert_eq!(object.get(), if pass == 0 { 1 } else { number + index });
            object.set(number + index);
        }
        // Takes the lock, which a task of another priority may hold.
        let object = ThreadLocal::new(Counted::new);
        object.with(|_| ());
        drop(object);
        shared.total.with(|sum| sum.set(sum.get() + 1));
        if pass % 10 == number % 10 {
            rtos::sleep();
        }
    }
}

fn run() {
    const WORKERS: u32 = 4;
    let shared = Arc::new(Shared {
        objects: (0..OBJECTS).map(|_| ThreadLocal::new(|| Cell::new(1))).collect(),
        total: PerThread::new(|| Cell::new(0)),
    });
    COUNTED.with(|_| ());
    for round in 1..=3 {
        for number in 0..WORKERS {
            let shared = Arc::clone(&shared);
            // Two of each priority: they also take turns.
            rtos::spawn(1 + number / 2, move || worker(&shared, number));
        }
        let ended = round * WORKERS * (PASSES + 1);
        while DESTROYED.load(SeqCst) < ended {
            rtos::sleep();
        }
        assert_eq!(DESTROYED.load(SeqCst), ended);
        assert_eq!(CREATED.load(SeqCst), ended + 1, "one of them is this task's");
    }
    // The last workers are about to free their memory.
    while Arc::strong_count(&shared) > 1 {
        rtos::sleep();
    }
    let shared = Arc::into_inner(shared).unwrap();
    let total: u32 = shared.total.into_iter().map(Cell::into_inner).sum();
    assert_eq!(total, 3 * WORKERS * PASSES);
}

#[entry]
fn main() -> ! {
    rtos::spawn(4, || {
        run();
        hprintln!("done");
        rtos::exit(true)
    });
    rtos::start()
}
