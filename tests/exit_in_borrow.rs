//! `exit` while a value is borrowed exclusively: the value is not destroyed in the middle of a change.

// Without the harness: the main thread exits.

mod children;

use os_thread_local::{NoInit, PerThread, ThreadLocal};
use std::cell::RefCell;
use std::panic::{catch_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::{process, thread};

/// Few enough for std to sort them in place, by insertion.
const ITEMS: usize = 20;
const STATUS: i32 = 33;

#[allow(clippy::declare_interior_mutable_const)] // the initial value of the array
const ZERO: AtomicUsize = AtomicUsize::new(0);
/// How often each item was destroyed.
static DESTROYED: [AtomicUsize; ITEMS] = [ZERO; ITEMS];

struct Item {
    number: usize,
    /// Freed twice, it may well crash.
    _memory: Box<usize>,
}

impl Drop for Item {
    fn drop(&mut self) {
        if DESTROYED[self.number].fetch_add(1, SeqCst) != 0 {
            println!("item {} destroyed twice", self.number);
        }
    }
}

/// Also says that it is destroyed.
struct Items(Vec<Item>);

impl Items {
    fn new() -> Items {
        let numbers = (0..ITEMS).map(|n| n * 7 % ITEMS);
        Items(numbers.map(|number| Item { number, _memory: Box::new(number) }).collect())
    }

    /// Sorts, which moves items out of the vector and back; exits at a comparison of that number.
    fn sort(&mut self, exit_at: usize) {
        let mut comparisons = 0;
        self.0.sort_by(|a, b| {
            comparisons += 1;
            if comparisons == exit_at {
                process::exit(STATUS);
            }
            a.number.cmp(&b.number)
        });
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        println!("{} items destroyed", self.0.len());
    }
}

struct Says;

impl Drop for Says {
    fn drop(&mut self) {
        println!("other destroyed");
    }
}

/// Has an object dropped by another thread.
struct Elsewhere(Option<Arc<Mutex<ThreadLocal<Items>>>>);

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let object = self.0.take();
        thread::spawn(|| drop(object)).join().unwrap();
        println!("dropped elsewhere");
    }
}

static OTHER: ThreadLocal<Says> = ThreadLocal::new(|| Says);

/// A value with an object in it, which is dropped at exit although it is in use: so are values in std's thread-locals.
static OUTER: ThreadLocal<RefCell<ThreadLocal<Items>>> =
    ThreadLocal::new(|| RefCell::new(ThreadLocal::new(Items::new)));

/// Not on Windows, where no thread starts any more when a process exits.
const WITH_A_THREAD: &str = "in with_mut of an object that another thread drops then";

/// What a child does before it exits with `STATUS`, and what it prints.
type Case = (&'static str, fn(usize), &'static str);

const CASES: &[Case] = &[
    (
        "in with_mut",
        |exit_at| {
            OTHER.with(|_| ());
            ThreadLocal::new(Items::new).with_mut(|items| items.sort(exit_at));
        },
        "other destroyed\n",
    ),
    (
        "in try_with_mut",
        |exit_at| {
            let mut object = ThreadLocal::new(Items::new);
            let _ = object.try_with_mut(|items| items.sort(exit_at));
        },
        "",
    ),
    (
        "in another thread",
        |exit_at| {
            let run = move || ThreadLocal::new(Items::new).with_mut(|items| items.sort(exit_at));
            thread::spawn(run).join().unwrap();
        },
        "",
    ),
    (
        "in with_mut of an object whose value belongs to it",
        |exit_at| PerThread::new(Items::new).with_mut(|items| items.sort(exit_at)),
        "",
    ),
    (
        "in with_mut of an object in a value",
        |exit_at| {
            OTHER.with(|_| ());
            OUTER.with(|outer| outer.borrow_mut().with_mut(|items| items.sort(exit_at)));
        },
        "other destroyed\n",
    ),
    (
        "in with_mut of an object in a value that is newer than the object's",
        |exit_at| {
            OTHER.with(|_| ());
            let mut object = ThreadLocal::new(Items::new);
            object.with_mut(|_| ());
            let outer = || RefCell::new(object);
            let late: ThreadLocal<_, NoInit> = ThreadLocal::without_init();
            late.with_or(outer, |outer| outer.borrow_mut().with_mut(|items| items.sort(exit_at)));
        },
        "other destroyed\n",
    ),
    (
        WITH_A_THREAD,
        |exit_at| {
            let object = Arc::new(Mutex::new(ThreadLocal::new(Items::new)));
            object.lock().unwrap().with_mut(|_| ());
            // So many that the exiting thread does not yet claim the older value when it destroys the newest one.
            let others: Vec<ThreadLocal<Box<u32>>> =
                (0..100).map(|_| ThreadLocal::new(Box::default)).collect();
            others.iter().for_each(|other| other.with(|_| ()));
            let elsewhere: ThreadLocal<_, NoInit> = ThreadLocal::without_init();
            elsewhere.with_or(
                || Elsewhere(Some(object)),
                |elsewhere| match &elsewhere.0 {
                    Some(object) => {
                        object.lock().unwrap().with_mut(|items| items.sort(exit_at));
                    }
                    None => unreachable!(),
                },
            );
        },
        "dropped elsewhere\n",
    ),
    // What is not borrowed is destroyed.
    (
        "after with_mut",
        |_| {
            let mut object = ThreadLocal::new(Items::new);
            object.with_mut(|items| items.sort(0));
            process::exit(STATUS);
        },
        "20 items destroyed\n",
    ),
    (
        "after a panic in with_mut",
        |_| {
            let mut object = ThreadLocal::new(Items::new);
            let panic = catch_unwind(AssertUnwindSafe(|| object.with_mut(|_| panic!("caught"))));
            assert!(panic.is_err());
            process::exit(STATUS);
        },
        "20 items destroyed\n",
    ),
    (
        "in with_mut of another object",
        |_| {
            let items = ThreadLocal::new(Items::new);
            items.with(|_| ());
            ThreadLocal::new(|| 1).with_mut(|_| process::exit(STATUS));
        },
        "20 items destroyed\n",
    ),
];

fn main() {
    if let Some(case) = children::case() {
        let (number, exit_at) = case.split_once(' ').unwrap();
        let (name, run, _) = CASES[number.parse::<usize>().unwrap()];
        run(exit_at.parse().unwrap());
        panic!("the case '{}' does not exit", name);
    }
    if !children::can_start() {
        return;
    }
    let mut failed = 0;
    for (number, (name, _, expected)) in CASES.iter().enumerate() {
        if cfg!(windows) && *name == WITH_A_THREAD {
            continue;
        }
        // The first comparison finds everything in its place; in most others an item is out of the vector.
        let comparisons: &[usize] =
            if children::is_brief() { &[1, 40] } else { &[1, 5, 20, 40, 60, 80] };
        for exit_at in comparisons {
            let output = children::run(&format!("{} {}", number, exit_at));
            let printed = children::printed(&output);
            if output.status.code() != Some(STATUS) || printed != **expected {
                println!("exit {}, comparison {}: {}\n{}", name, exit_at, output.status, printed);
                print!("{}", children::complained(&output));
                failed += 1;
            }
        }
    }
    assert_eq!(failed, 0, "children that did something else");
    println!("exit_in_borrow: {} cases ok", CASES.len());
}
