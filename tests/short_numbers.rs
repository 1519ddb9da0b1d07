//! After a peak of many objects, dropped in any order, a thread that uses a single object allocates little: slot numbers of
//! dropped objects are reused, lowest first, so that no thread's table has to cover the peak.

// Without the harness, so that no other thread allocates.

mod children;
mod common;

use common::counting::Counting;
use common::{in_thread, most_in_new_threads};
use os_thread_local::ThreadLocal;
use std::sync::{Arc, Barrier};
use std::thread;

/// The limit of what a thread allocates to use the one object.
const MOST: usize = 4 * 1024;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

type Object = ThreadLocal<u8>;

fn peak() -> Vec<Object> {
    // A table for the numbers of 5,000 has eight times `MOST` or more.
    let count = if children::is_brief() { 5_000 } else { 100_000 };
    let objects: Vec<Object> = (0..count).map(|_| ThreadLocal::new(|| 1)).collect();
    objects.iter().for_each(|o| o.with(|_| ()));
    objects
}

#[derive(Clone, Copy, Debug)]
enum Order {
    Forward,
    Backward,
    Shuffled,
}

const ORDERS: [Order; 3] = [Order::Forward, Order::Backward, Order::Shuffled];

fn drop_all(mut objects: Vec<Object>, order: Order) {
    match order {
        Order::Forward => objects.into_iter().for_each(drop),
        Order::Backward => {
            while let Some(object) = objects.pop() {
                drop(object);
            }
        }
        Order::Shuffled => {
            // xorshift64*, from a fixed seed.
            let mut random = 0x9E37_79B9_7F4A_7C15_u64;
            while !objects.is_empty() {
                random ^= random >> 12;
                random ^= random << 25;
                random ^= random >> 27;
                let n = random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
                let index = n as usize % objects.len();
                drop(objects.swap_remove(index));
            }
        }
    }
}

/// The largest number of bytes that a new thread allocates when it uses the object.
fn used_by_new_threads(object: &Object) -> usize {
    most_in_new_threads(8, || {
        let before = ALLOCATOR.allocated();
        object.with(|v| assert_eq!(*v, 1));
        ALLOCATOR.allocated() - before
    })
}

fn check(what: &str, bytes: usize) -> bool {
    println!("short_numbers: {}: a new thread allocates {} bytes", what, bytes);
    bytes < MOST
}

/// A thread that makes, uses and drops all objects, and then makes the one that lives.
fn by_one_thread(order: Order, elsewhere: bool) -> bool {
    let run = move || {
        drop_all(peak(), order);
        let object = ThreadLocal::new(|| 1);
        object.with(|_| ());
        used_by_new_threads(&object)
    };
    let bytes = if elsewhere { in_thread(run) } else { run() };
    check(
        &format!("{:?}, by {} thread", order, if elsewhere { "a new" } else { "the main" }),
        bytes,
    )
}

/// A second thread drops a few of the objects while all the others live, and then lives on.
fn by_two_threads(order: Order, few: usize, used: bool) -> bool {
    let (at_peak, after) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let mut objects = peak();
    // Those with the highest numbers.
    let theirs = objects.split_off(objects.len() - few);
    let second = {
        let (at_peak, after) = (at_peak.clone(), after.clone());
        thread::spawn(move || {
            if used {
                theirs.iter().for_each(|o| o.with(|_| ()));
            } else {
                // The thread has a record, but no value of `theirs`.
                ThreadLocal::new(|| 1).with(|_| ());
            }
            drop(theirs);
            at_peak.wait();
            after.wait();
            let object = ThreadLocal::new(|| 1);
            object.with(|_| ());
            used_by_new_threads(&object)
        })
    };
    at_peak.wait();
    drop_all(objects, order);
    let object = ThreadLocal::new(|| 1);
    object.with(|_| ());
    let what = format!("{:?}, {} of them by a second thread", order, few);
    let first = check(&format!("{}, object of the first", what), used_by_new_threads(&object));
    drop(object);
    after.wait();
    let bytes = second.join().unwrap();
    check(&format!("{}, object of the second", what), bytes) && first
}

fn main() {
    let mut ok = true;
    for order in ORDERS {
        ok &= by_one_thread(order, false);
        ok &= by_one_thread(order, true);
        for few in [1, 10, 100] {
            ok &= by_two_threads(order, few, few != 10);
        }
    }
    assert!(ok, "more than {} bytes", MOST);
}
