//! A stress test: threads start and exit, objects are created and dropped, and at the end no value may be left.
//!
//! Run it with `cargo run --release --example soak -- 60` (seconds; 2 if none are given).

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use os_thread_local::{PerThread, ThreadLocal};

const WORKERS: usize = 4;
const SHARED: usize = 100;

static BUILT: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicUsize = AtomicUsize::new(0);
static STRAYED: AtomicUsize = AtomicUsize::new(0);
static THREADS: AtomicUsize = AtomicUsize::new(0);
static OBJECTS: AtomicUsize = AtomicUsize::new(0);

/// A value that is counted, and records its thread.
struct Value(thread::ThreadId, Vec<u8>);

impl Value {
    fn new() -> Value {
        BUILT.fetch_add(1, Relaxed);
        Value(thread::current().id(), vec![7; 64])
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert_eq!(self.1, [7; 64]);
        DROPPED.fetch_add(1, Relaxed);
        if self.0 != thread::current().id() {
            STRAYED.fetch_add(1, Relaxed);
        }
    }
}

type Object = ThreadLocal<Value>;

/// Objects that all threads use, and replace from time to time.
struct Shelf(Vec<Mutex<Arc<Object>>>);

impl Shelf {
    fn new() -> Shelf {
        Shelf((0..SHARED).map(|_| Mutex::new(Shelf::object())).collect())
    }

    fn object() -> Arc<Object> {
        OBJECTS.fetch_add(1, Relaxed);
        Arc::new(ThreadLocal::new(Value::new))
    }

    fn get(&self, n: usize) -> Arc<Object> {
        self.0[n % SHARED].lock().unwrap().clone()
    }

    fn replace(&self, n: usize) {
        let old = std::mem::replace(&mut *self.0[n % SHARED].lock().unwrap(), Shelf::object());
        drop(old);
    }
}

static KEPT: ThreadLocal<RefCell<Vec<Arc<Object>>>> = ThreadLocal::new(|| RefCell::new(vec![]));
static ADOPTED: PerThread<u64> = PerThread::new(|| 0);

fn work(shelf: &Shelf, seed: usize) {
    let mut random = seed.wrapping_mul(0x9E37_79B9) | 1;
    for _ in 0..200 {
        random ^= random << 7;
        random ^= random >> 9;
        let object = shelf.get(random);
        object.with(|v| assert_eq!(v.1.len(), 64));
        match random % 16 {
            0 => shelf.replace(random / 16),
            // The thread keeps the object until it exits.
            1 => KEPT.with(|kept| kept.borrow_mut().push(object)),
            2 => os_thread_local::reclaim(),
            3 => ADOPTED.with(|_| ()),
            _ => {}
        }
    }
}

fn resident_kilobytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").unwrap_or_default();
    statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0) * 4
}

fn main() {
    let seconds = env::args().nth(1).map_or(2, |s| s.parse().expect("a number of seconds"));
    let shelf = Arc::new(Shelf::new());
    let stop = Arc::new(AtomicBool::new(false));
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let (shelf, stop) = (shelf.clone(), stop.clone());
            thread::spawn(move || {
                while !stop.load(Relaxed) {
                    let seed = THREADS.fetch_add(1, Relaxed) * WORKERS + worker;
                    let shelf = shelf.clone();
                    thread::spawn(move || work(&shelf, seed)).join().unwrap();
                }
            })
        })
        .collect();

    let begun = Instant::now();
    let total = Duration::from_secs(seconds);
    while begun.elapsed() < total {
        thread::sleep(Duration::from_millis(200).min(total - begun.elapsed().min(total)));
        let done = 30 * begun.elapsed().as_millis() as usize / total.as_millis().max(1) as usize;
        eprint!(
            "\r[{:-<30}] {:4} s {:9} threads {:10} objects {:11} values {:7} KB ",
            "#".repeat(done.min(30)),
            begun.elapsed().as_secs(),
            THREADS.load(Relaxed),
            OBJECTS.load(Relaxed),
            BUILT.load(Relaxed),
            resident_kilobytes(),
        );
        io::stderr().flush().unwrap();
    }
    stop.store(true, Relaxed);
    workers.into_iter().for_each(|w| w.join().unwrap());
    drop(shelf);
    eprintln!();
    let (built, dropped) = (BUILT.load(Relaxed), DROPPED.load(Relaxed));
    println!(
        "values built and destroyed: {}",
        if built == dropped { "the same" } else { "DIFFER" }
    );
    println!("destroyed by another thread: {}", STRAYED.load(Relaxed));
    println!("values of PerThread: at most {}: {}", 2 * WORKERS, ADOPTED.len() <= 2 * WORKERS);
    assert_eq!((built, STRAYED.load(Relaxed)), (dropped, 0));
}
