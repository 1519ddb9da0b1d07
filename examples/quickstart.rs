//! Four threads count words, each in its own tally, which is a thread-local field of an object.
//!
//! Run it with `cargo run --example quickstart`.

use std::cell::{Cell, RefCell};
use std::thread;

use os_thread_local::ThreadLocal;

// A static needs no lazy wrapper.
static NAME: ThreadLocal<RefCell<String>> = ThreadLocal::new(|| RefCell::new("main".into()));

// A field can be thread-local: each thread has its own `words` for each `Counter`.
struct Counter {
    words: ThreadLocal<Tally>,
}

#[derive(Default)]
struct Tally(Cell<usize>);

impl Drop for Tally {
    fn drop(&mut self) {
        // Runs in the thread that made the value. `try_with`, because `NAME` may already be destroyed there.
        let _ = NAME.try_with(|name| {
            println!("{} ends; it counted {} words", name.borrow(), self.0.get());
        });
    }
}

impl Counter {
    fn count(&self, text: &str) {
        self.words.with(|tally| tally.0.set(tally.0.get() + text.split_whitespace().count()));
    }
}

fn main() {
    let counter = Counter { words: ThreadLocal::default() };
    let lines = ["one", "two words", "these are three", "and here there are six words"];

    thread::scope(|scope| {
        let workers = lines.map(|line| {
            let counter = &counter;
            scope.spawn(move || {
                NAME.set(format!("the worker for {line:?}"));
                counter.count(line);
            })
        });
        for worker in workers {
            worker.join().unwrap();
        }
    });

    counter.count("this thread has its own tally");
    counter.words.with(|tally| println!("main counted {} words", tally.0.get()));
    println!("and still has its name: {}", NAME.with_borrow(String::clone));
    drop(counter); // destroys main's tally at once
}
