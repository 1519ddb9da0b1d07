//! What is measured.

use crate::peers::*;
use crate::rounds::{time, Scenario};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// Calls `$body` with `$Set` standing for each kind of objects in turn.
macro_rules! each_kind {
    ($Set:ident => $body:expr) => {{
        {
            type $Set = Ours;
            $body
        }
        {
            type $Set = Direct;
            $body
        }
        {
            type $Set = Raw;
            $body
        }
        {
            type $Set = Ancestor;
            $body
        }
        {
            type $Set = ThreadLocalCrate;
            $body
        }
        #[cfg(peer_boost)]
        {
            type $Set = Boost;
            $body
        }
    }};
}

// Why others are quicker, where they are.
const CALL: &str = "`pthread_getspecific` alone takes longer than the crate's access, which begins at the compiler's \
    thread-local storage; `direct-read` leaves the call out";
const FIRST: &str = "a value is entered in its object's list and in its thread's, so that both can destroy it, and the \
    thread's first one makes the thread's record; 0.1.3 enters nothing and leaks, `thread_local` destroys nothing at a thread's end";
const END: &str = "each value is taken out of both lists in a turn of the lock of its own, for a destructor may use any other \
    value; `thread_local` destroys nothing here";
const BOTH: &str = "first uses and the end of the thread, as above";
const CREATE: &str = "an object's number is taken and given back, and its value is entered and taken out, under a lock";
const CONTENDED: &str =
    "a thread that is preempted while it holds the lock stops all others for as long";

/// The hot paths: the value is there.
pub fn hot() -> Vec<Scenario> {
    let mut all = Vec::new();

    let mut loops = Scenario::new("hot/static/loop", "a static, in a loop", 1).reason(CALL);
    let mut calls =
        Scenario::new("hot/static/call", "a static, each access in a call of its own", 1)
            .reason(CALL);
    for fixed in statics() {
        loops.row(fixed.name, move |iterations| {
            let begin = Instant::now();
            (fixed.loop_)(iterations);
            begin.elapsed()
        });
        calls.row(fixed.name, move |iterations| {
            let begin = Instant::now();
            (fixed.calls)(iterations);
            begin.elapsed()
        });
    }
    all.push(loops);
    all.push(calls);

    let mut loops =
        Scenario::new("hot/object/loop", "through an object, in a loop", 1).reason(CALL);
    let mut calls =
        Scenario::new("hot/object/call", "through an object, each access in a call of its own", 1)
            .reason(CALL);
    each_kind!(Set => {
        if <Set as Objects>::NAME != RAW {
            let set = Arc::new(Set::create(1));
            set.use_all();
            let again = set.clone();
            loops.row(Set::NAME, move |iterations| {
                let begin = Instant::now();
                set.use_first(iterations);
                begin.elapsed()
            });
            calls.row(Set::NAME, move |iterations| time(iterations, || {
                black_box(black_box(&*again).call_first());
            }));
        }
    });
    raw_object(&mut loops, &mut calls);
    all.push(loops);
    all.push(calls);

    for count in [1_000, 100_000] {
        let mut scenario = Scenario::new(
            format!("hot/{count}"),
            format!("{} objects, one after another", grouped(count)),
            count,
        )
        .reason(CALL);
        each_kind!(Set => if <Set as Objects>::fits(count) {
            if <Set as Objects>::MAX.is_none() {
                // Made when it is first measured, and kept: its pages and caches are its own business.
                let mut set = None;
                scenario.row(Set::NAME, move |iterations| {
                    let set = set.get_or_insert_with(|| {
                        let set = Set::create(count);
                        set.use_all();
                        set
                    });
                    set.use_all();
                    time(iterations, || set.use_all())
                });
            } else {
                // Two rows cannot both have 1,000 keys: each makes them for its turn, outside of the time.
                scenario.row(Set::NAME, move |iterations| {
                    let set = Set::create(count);
                    set.use_all();
                    time(iterations, || set.use_all())
                });
            }
        });
        all.push(scenario);
    }
    all
}

/// The raw key without so much as a null check: the bar for an object.
fn raw_object(loops: &mut Scenario, calls: &mut Scenario) {
    #[inline(never)]
    fn use_first(key: &RawKey, iterations: u64) {
        for _ in 0..iterations {
            // SAFETY: both rows make the value first.
            black_box(unsafe { key.read_unchecked() });
        }
    }
    #[inline(never)]
    fn call_first(key: &RawKey) -> u64 {
        // SAFETY: both rows make the value first.
        unsafe { key.read_unchecked() }
    }
    let key = Arc::new(RawKey::new());
    key.read();
    let again = key.clone();
    loops.row(RAW, move |iterations| {
        let begin = Instant::now();
        use_first(black_box(&key), iterations);
        begin.elapsed()
    });
    calls.row(RAW, move |iterations| {
        time(iterations, || {
            black_box(call_first(black_box(&again)));
        })
    });
}

/// The counts of objects of the cold rows.
pub const COUNTS: [usize; 4] = [1, 10, 1_000, 100_000];
/// The counts of threads that contend.
pub const THREADS: [usize; 4] = [1, 4, 16, 64];

/// The cold paths: a value is made or destroyed.
pub fn cold() -> Vec<Scenario> {
    let mut all = Vec::new();
    for count in COUNTS {
        all.push(first_use(count));
    }
    for count in COUNTS {
        all.push(exit(count));
    }
    all.push(thread_of(900));
    for count in COUNTS {
        all.push(create_use_drop(count));
    }
    all
}

/// The cold paths while other threads take them too.
pub fn contended() -> Vec<Scenario> {
    let mut all = Vec::new();
    for threads in THREADS {
        all.push(contended_lives(threads));
    }
    for threads in THREADS {
        all.push(contended_threads(threads));
    }
    all
}

/// A new thread uses `set`; returns what its first uses took, and its end until it is joined.
fn in_thread<Set: Objects>(set: &Arc<Set>) -> (Duration, Duration) {
    let set = set.clone();
    let (first, end) = thread::spawn(move || {
        let begin = Instant::now();
        set.use_all();
        let end = Instant::now();
        // The caller has a reference of its own: this does not drop the objects.
        drop(set);
        (end - begin, end)
    })
    .join()
    .expect("nothing in it panics");
    (first, end.elapsed())
}

/// Objects that are in use elsewhere already, so that a thread is measured for its own part; and no other thread's, because
/// `thread_local` keeps the values of a thread that has ended and hands them to the next.
fn in_use<Set: Objects>(count: usize) -> Arc<Set> {
    let set = Set::create(count);
    set.use_all();
    Arc::new(set)
}

fn first_use(count: usize) -> Scenario {
    let mut scenario = Scenario::new(
        format!("first-use/{count}"),
        format!("first use in a thread, {}, each", objects(count)),
        count,
    )
    .reason(FIRST)
    .rounds(if count > 10_000 { 12 } else { 40 }, Duration::from_millis(10));
    each_kind!(Set => if <Set as Objects>::fits(count) {
        scenario.row(Set::NAME, move |iterations| {
            (0..iterations).map(|_| in_thread(&in_use::<Set>(count)).0).sum()
        });
    });
    if count == 1 {
        for fixed in statics() {
            if matches!(fixed.name, STD | STD_PLAIN | CPP | NOTHING) {
                scenario.row(fixed.name, move |iterations| {
                    let one = move || {
                        let begin = Instant::now();
                        black_box((fixed.call)());
                        begin.elapsed()
                    };
                    (0..iterations).map(|_| thread::spawn(one).join().expect("no panic")).sum()
                });
            }
        }
    }
    scenario
}

fn exit(count: usize) -> Scenario {
    let mut scenario = Scenario::new(
        format!("exit/{count}"),
        format!("end of a thread until it is joined, {}", objects(count)),
        1,
    )
    .reason(END)
    .rounds(if count > 10_000 { 12 } else { 40 }, Duration::from_millis(10));
    each_kind!(Set => if <Set as Objects>::fits(count) {
        scenario.row(Set::NAME, move |iterations| {
            (0..iterations).map(|_| in_thread(&in_use::<Set>(count)).1).sum()
        });
    });
    for fixed in statics() {
        let is_static = matches!(fixed.name, STD | STD_PLAIN | CPP);
        if fixed.name == NOTHING || (count == 1 && is_static) {
            scenario.row(fixed.name, move |iterations| {
                let one = move || {
                    black_box((fixed.call)());
                    Instant::now()
                };
                (0..iterations)
                    .map(|_| thread::spawn(one).join().expect("no panic").elapsed())
                    .sum()
            });
        }
    }
    scenario
}

/// A whole thread, from its start until it is joined.
fn thread_of(count: usize) -> Scenario {
    let mut scenario = Scenario::new(
        format!("thread/{count}"),
        format!("a thread that uses {} once, start to join", objects(count)),
        1,
    )
    .reason(BOTH)
    .rounds(60, Duration::from_millis(10));
    each_kind!(Set => scenario.row(<Set as Objects>::NAME, move |iterations| {
        let set = Arc::new(Set::create(count));
        set.use_all();
        time(iterations, || {
            in_thread(&set);
        })
    }));
    scenario.row(NOTHING, |iterations| {
        time(iterations, || {
            let end = thread::spawn(Instant::now).join().expect("no panic");
            black_box(end.elapsed());
        })
    });
    scenario
}

fn create_use_drop(count: usize) -> Scenario {
    let mut scenario = Scenario::new(
        format!("create-use-drop/{count}"),
        if count == 1 {
            "create, use and drop an object".into()
        } else {
            format!("create, use and drop {}, each", objects(count))
        },
        count,
    )
    .reason(CREATE)
    .by_median()
    .rounds(if count > 10_000 { 12 } else { 40 }, Duration::from_millis(5));
    each_kind!(Set => if <Set as Objects>::fits(count) {
        scenario.row(Set::NAME, move |iterations| {
            time(iterations, || {
                let set = Set::create(count);
                set.use_all();
                drop(black_box(set));
            })
        });
    });
    scenario
}

/// Runs `body` in so many threads at once, and returns the time from the first one's start to the last one's end.
fn together(threads: usize, body: impl Fn() + Send + Sync + 'static) -> Duration {
    let barrier = Arc::new(Barrier::new(threads));
    let body = Arc::new(body);
    let handles: Vec<_> = (0..threads)
        .map(|_| {
            let (barrier, body) = (barrier.clone(), body.clone());
            thread::spawn(move || {
                barrier.wait();
                let begin = Instant::now();
                body();
                (begin, Instant::now())
            })
        })
        .collect();
    let times: Vec<_> =
        handles.into_iter().map(|handle| handle.join().expect("nothing in it panics")).collect();
    let begin = times.iter().map(|time| time.0).min().expect("there are threads");
    let end = times.iter().map(|time| time.1).max().expect("there are threads");
    end - begin
}

/// How many objects each thread of `contended_lives` and `contended_threads` uses.
const EACH: usize = 100;

fn contended_lives(threads: usize) -> Scenario {
    let mut scenario = Scenario::new(
        format!("contended/create-use-drop/{threads}"),
        format!("create, use and drop an object, {} at once, each", many(threads)),
        threads * EACH,
    )
    .reason(if threads == 1 { CREATE } else { CONTENDED })
    // Several turns of the scheduler, so that holders of locks are preempted too.
    .rounds(24, Duration::from_millis(30))
    .by_median();
    each_kind!(Set => scenario.row(<Set as Objects>::NAME, move |iterations| {
        together(threads, move || {
            for _ in 0..iterations * EACH as u64 {
                let set = Set::create(1);
                set.use_all();
                drop(black_box(set));
            }
        })
    }));
    scenario
}

fn contended_threads(threads: usize) -> Scenario {
    let mut scenario = Scenario::new(
        format!("contended/thread/{threads}"),
        format!(
            "use {EACH} shared objects for the first time and exit, {} at once, each object",
            many(threads)
        ),
        threads * EACH,
    )
    .reason(BOTH)
    // Several turns of the scheduler, so that holders of locks are preempted too.
    .rounds(24, Duration::from_millis(30))
    .by_median();
    each_kind!(Set => scenario.row(<Set as Objects>::NAME, move |iterations| {
        let set = Arc::new(Set::create(EACH));
        set.use_all();
        // Threads that start while others run and end are the point: each start is part of the time.
        let left = AtomicU64::new(iterations * threads as u64);
        let begin = Instant::now();
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                        let set = set.clone();
                        thread::spawn(move || set.use_all()).join().expect("no panic");
                    }
                });
            }
        });
        begin.elapsed()
    }));
    scenario
}

fn objects(count: usize) -> String {
    if count == 1 {
        "1 object".into()
    } else {
        format!("{} objects", grouped(count))
    }
}

fn many(threads: usize) -> String {
    if threads == 1 {
        "1 thread".into()
    } else {
        format!("{threads} threads")
    }
}

/// 100000 as "100,000".
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
