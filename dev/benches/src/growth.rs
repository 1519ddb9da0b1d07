//! What grows with the number of objects or of threads.

use crate::peers::Value;
use crate::scenarios::{grouped, Gate};
use crate::stats::human;
use os_thread_local::ThreadLocal;
use std::fmt::Write;
use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

type Object = ThreadLocal<Value>;

fn new() -> Object {
    ThreadLocal::new(Value::new)
}

fn timed<R>(body: impl FnOnce() -> R) -> (Duration, R) {
    let begin = Instant::now();
    let result = body();
    (begin.elapsed(), result)
}

fn each(time: Duration, count: usize) -> f64 {
    time.as_nanos() as f64 / count as f64
}

/// Each row is measured so often, and the best of each column taken.
const RUNS: usize = 3;

fn best<const N: usize>(runs: impl Iterator<Item = [f64; N]>) -> [f64; N] {
    runs.fold([f64::INFINITY; N], |best, run| std::array::from_fn(|i| best[i].min(run[i])))
}

/// Memory of the process, in bytes, where the system says it.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? * 1024)
}

fn use_all(objects: &[Object]) {
    for object in objects {
        black_box(object.with(Value::get));
    }
}

fn objects(limit: usize) -> String {
    let mut out = String::from(
        "| objects in use | first use, each | later use, each | first use and exit of another thread, each | drop, each | memory, each, one value |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut count = 1;
    while count <= limit {
        let runs: Vec<_> = (0..RUNS).map(|_| with_objects(count)).collect();
        let [first, later, thread, drop] = best(runs.iter().map(|run| run.0));
        // The first run's: later ones find memory that the allocator has kept.
        let memory = runs[0].1.filter(|_| count >= 1_000);
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            grouped(count),
            human(first),
            human(later),
            human(thread),
            human(drop),
            memory.map_or(String::new(), |bytes| format!("{bytes} bytes")),
        );
        count *= 10;
    }
    out
}

/// Nanoseconds per object, and bytes.
fn with_objects(count: usize) -> ([f64; 4], Option<usize>) {
    let before = resident();
    let objects: Vec<Object> = (0..count).map(|_| new()).collect();
    let (first, ()) = timed(|| use_all(&objects));
    let memory = before.zip(resident()).map(|(before, after)| after.saturating_sub(before) / count);
    use_all(&objects);
    let rounds = (1_000_000 / count).max(1);
    let (later, ()) = timed(|| (0..rounds).for_each(|_| use_all(&objects)));
    let objects = Arc::new(objects);
    let shared = objects.clone();
    let (thread, ()) = timed(|| thread::spawn(move || use_all(&shared)).join().expect("no panic"));
    let objects = Arc::into_inner(objects).expect("the other thread has ended");
    let (drop, ()) = timed(|| drop(objects));
    let times =
        [each(first, count), each(later, count * rounds), each(thread, count), each(drop, count)];
    (times, memory)
}

fn threads(limit: usize) -> String {
    let mut out = String::from(
        "| threads with a value | first use in one more thread | later use | first use of a new object | drop of an object with a value in each thread, per value | exit of all threads, each |\n\
         | ---: | ---: | ---: | ---: | ---: | ---: |\n",
    );
    let mut count = 1;
    while count <= limit {
        let [first, later, fresh, drop, exit] = best((0..RUNS).map(|_| with_threads(count)));
        let _ = writeln!(
            out,
            "| {} | {} | {} | {} | {} | {} |",
            grouped(count),
            human(first),
            human(later),
            human(fresh),
            human(drop),
            human(exit),
        );
        count *= 10;
    }
    out
}

/// Nanoseconds.
fn with_threads(count: usize) -> [f64; 5] {
    let gate = Arc::new(Gate::default());
    let (kept, dropped) = (Arc::new(new()), Arc::new(new()));
    let (send, ready) = std::sync::mpsc::channel();
    let handles: Vec<_> = (0..count)
        .map(|_| {
            let (gate, kept, dropped, send) =
                (gate.clone(), kept.clone(), dropped.clone(), send.clone());
            thread::Builder::new()
                .stack_size(64 * 1024)
                .spawn(move || {
                    black_box(kept.with(Value::get) + dropped.with(Value::get));
                    drop((kept, dropped));
                    send.send(()).expect("the receiver waits");
                    gate.wait();
                })
                .expect("the system allows so many threads")
        })
        .collect();
    (0..count).for_each(|_| ready.recv().expect("the threads run"));

    let other = kept.clone();
    let (first, later, fresh) = thread::spawn(move || {
        let (first, _) = timed(|| black_box(other.with(Value::get)));
        let (later, ()) = timed(|| (0..1_000).for_each(|_| _ = black_box(other.with(Value::get))));
        let objects: Vec<Object> = (0..100).map(|_| new()).collect();
        let (fresh, ()) = timed(|| use_all(&objects));
        (first, later, fresh)
    })
    .join()
    .expect("no panic");
    // Not `Arc::into_inner`: a thread that has said it is ready has dropped its reference.
    let dropped = Arc::try_unwrap(dropped).expect("the last reference");
    let (drop, ()) = timed(|| drop(dropped));
    let (exit, ()) = timed(|| {
        gate.open();
        handles.into_iter().for_each(|handle| handle.join().expect("no panic"));
    });
    [each(first, 1), each(later, 1_000), each(fresh, 100), each(drop, count), each(exit, count)]
}

/// Both tables. `divisor` divides the limits, which are 1,000,000 objects and 10,000 threads.
pub fn tables(divisor: usize) -> String {
    black_box(new().with(Value::get));
    let (objects, threads) = (objects(1_000_000 / divisor), threads(10_000 / divisor));
    format!("The best of {RUNS} runs in each column.\n\n{objects}\n{threads}")
}

/// The same, in a process of its own: this one has memory to spare that others have released.
pub fn tables_in_new_process(divisor: usize) -> std::io::Result<String> {
    let program = std::env::current_exe()?;
    let output = Command::new(program).args(["--growth", &divisor.to_string()]).output()?;
    let text = String::from_utf8(output.stdout).map_err(std::io::Error::other)?;
    match output.status.success() {
        true => Ok(text),
        false => Err(std::io::Error::other(String::from_utf8_lossy(&output.stderr))),
    }
}
