//! Process exit: which values are destroyed, and that nothing fails while other threads keep running.
//!
//! `OS_THREAD_LOCAL_EXITS` sets the number of exits under load, which is small by default (`ci/processes`: 1,000).

// Without the harness: these tests are about the thread that returns from `main`.

mod children;

use os_thread_local::{PerThread, ThreadLocal};
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use std::{process, thread};

struct Says(&'static str);

impl Drop for Says {
    fn drop(&mut self) {
        println!("{} destroyed", self.0);
    }
}

static ONE: ThreadLocal<RefCell<Option<Says>>> = ThreadLocal::new(|| RefCell::new(None));
static TWO: ThreadLocal<Says> = ThreadLocal::new(|| Says("two"));
/// Its destructor uses another object, which it finds or makes.
static THREE: ThreadLocal<UsesTwo> = ThreadLocal::new(|| UsesTwo);

struct UsesTwo;

impl Drop for UsesTwo {
    fn drop(&mut self) {
        println!("three finds {}", TWO.with(|two| two.0));
    }
}

fn say(name: &'static str) {
    ONE.with(|one| *one.borrow_mut() = Some(Says(name)));
}

fn elsewhere(f: impl FnOnce() + Send + 'static) {
    thread::spawn(f);
    loop {
        thread::park();
    }
}

/// What a child does, and what it prints.
type Case = (&'static str, fn(), &'static str);

const CASES: &[Case] = &[
    ("return", || say("main"), "main destroyed\n"),
    (
        "exit",
        || {
            say("main");
            process::exit(33)
        },
        "main destroyed\n",
    ),
    (
        "newest first, and what destructors make",
        || {
            say("one");
            THREE.with(|_| ());
        },
        "three finds two\ntwo destroyed\none destroyed\n",
    ),
    (
        "exit inside with",
        || {
            say("main");
            ONE.with(|one| {
                assert!(one.borrow().is_some());
                process::exit(33)
            })
        },
        "main destroyed\n",
    ),
    (
        "exit inside an initializer",
        || {
            static EXITS: ThreadLocal<u8> = ThreadLocal::new(|| process::exit(33));
            say("main");
            EXITS.with(|_| ());
        },
        "main destroyed\n",
    ),
    (
        "exit inside a destructor",
        || {
            struct Exits;
            impl Drop for Exits {
                fn drop(&mut self) {
                    process::exit(33);
                }
            }
            say("main");
            drop(ThreadLocal::new(|| Exits));
            let object = ThreadLocal::new(|| Exits);
            object.with(|_| ());
            drop(object);
        },
        "main destroyed\n",
    ),
    (
        "exit in another thread",
        || {
            say("main");
            elsewhere(|| {
                say("the thread that exits");
                process::exit(33);
            })
        },
        "the thread that exits destroyed\n",
    ),
    (
        "exit in another thread inside with",
        || {
            elsewhere(|| {
                say("the thread that exits");
                ONE.with(|_| TWO.with(|_| process::exit(33)));
            })
        },
        "two destroyed\nthe thread that exits destroyed\n",
    ),
    ("eight threads and a return", eight_threads, "main destroyed\n"),
    (
        "eight threads and an exit",
        || {
            eight_threads();
            process::exit(33)
        },
        "main destroyed\n",
    ),
    (
        "eight threads and an exit inside with",
        || {
            eight_threads();
            ONE.with(|_| process::exit(33))
        },
        "main destroyed\n",
    ),
];

/// Leaves eight threads behind that do everything at once. They abort the process when anything goes wrong.
fn eight_threads() {
    static VALUES: PerThread<Cell<usize>> = PerThread::new(|| Cell::new(0));
    static ROUNDS: AtomicUsize = AtomicUsize::new(0);
    struct Aborts;
    impl Drop for Aborts {
        fn drop(&mut self) {
            process::abort();
        }
    }
    say("main");
    let start = Arc::new(Barrier::new(9));
    for kind in 0..8 {
        let start = start.clone();
        thread::spawn(move || {
            let _aborts = Aborts;
            let mine = ThreadLocal::new(|| RefCell::new(vec![0]));
            mine.with(|_| ());
            start.wait();
            loop {
                mine.with(|v| v.borrow_mut()[0] += 1);
                VALUES.with(|v| v.set(v.get() + 1));
                match kind % 4 {
                    0 => {}
                    // First uses and drops.
                    1 | 2 => {
                        let objects: Vec<_> = (0..40)
                            .map(|n| ThreadLocal::from_fn(move || RefCell::new(vec![n])))
                            .collect();
                        objects.iter().for_each(|o| o.with(|v| v.borrow_mut().push(1)));
                    }
                    // Exits.
                    _ => {
                        let _ = thread::Builder::new().spawn(|| {
                            ONE.with(|one| assert!(one.borrow().is_none()));
                            VALUES.with(|v| v.set(v.get() + 1));
                        });
                    }
                }
                ROUNDS.fetch_add(1, SeqCst);
            }
        });
    }
    start.wait();
    // Somewhere in the middle of it, somewhere else each time.
    let rounds = process::id() as usize % 61;
    while ROUNDS.load(SeqCst) < rounds {
        thread::yield_now();
    }
}

fn main() {
    if let Some(name) = children::case() {
        let (_, run, _) = CASES.iter().find(|(case, _, _)| *case == name).unwrap();
        return run();
    }
    if !children::can_start() {
        return;
    }
    let times = children::times("OS_THREAD_LOCAL_EXITS", 12);
    // In Wine 8 a killed thread may have held the lock of a wait queue: the last thread then spins in RtlWakeAddressSingle, with or without
    // this crate. That happens once in a hundred exits; a lock of the crate would deadlock more often.
    let (wine, mut stuck) = (children::is_wine(), 0);
    for (name, _, expected) in CASES {
        let (runs, may_be_cut) = if name.starts_with("eight") {
            // Windows kills the other threads first. One of them may have held a lock, ours or the system's: then the process ends where it
            // needs that lock. That can be in the middle of a line: std has taken its buffer down by then, and writes a line in parts.
            ((times + 2) / 3, cfg!(windows))
        } else {
            (1, false)
        };
        for _ in 0..runs {
            let output = if may_be_cut && wine {
                match children::run_for(name, Duration::from_secs(60)) {
                    Some(output) => output,
                    None => {
                        stuck += 1;
                        continue;
                    }
                }
            } else {
                children::run(name)
            };
            let printed = children::printed(&output);
            let code = if name.contains("exit") && !name.contains("return") { 33 } else { 0 };
            if may_be_cut {
                assert!(expected.starts_with(&printed), "{}: {:?}", name, output);
            } else {
                assert_eq!(printed, *expected, "{}: {:?}", name, output);
            }
            assert_eq!(output.status.code(), Some(code), "{}: {:?}", name, output);
            assert_eq!(children::complained(&output), "", "{}", name);
        }
    }
    assert!(stuck <= 1, "{} children are stuck", stuck);
    println!("process_exit: {} cases ok, {} children stuck in Wine", CASES.len(), stuck);
}
