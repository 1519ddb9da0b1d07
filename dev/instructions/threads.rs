//! `threads THREADS VALUES`: starts and joins so many threads, one after another. Each uses that many objects, whose values have a
//! destructor.
//!
//! `ci/instructions` counts all instructions of two runs, and divides the difference by the difference in threads: what happens once
//! cancels out. The same without values is an empty thread.

use os_thread_local_instructions::{through_all, used};

fn main() {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse().expect("a number"));
    let mut number = || numbers.next().expect("two arguments");
    let (threads, values): (usize, usize) = (number(), number());
    // Never dropped, and the same objects for every thread.
    let objects = used(values).leak();
    for _ in 0..threads {
        let objects = &*objects;
        std::thread::spawn(move || through_all(objects)).join().expect("no panic");
    }
}
