//! The cold paths: a value is made or destroyed, a thread starts and ends.
//!
//! Everything here runs on one processor, but for the scenarios of `parallel`. "Hot" is what a thread finds whose predecessor did the same a
//! moment ago; "cold" is the same after `evict::sweep`.

use super::crowd::Crowd;
use super::{grouped, objects, BOTH, CREATE, END, FIRST};
use crate::evict;
use crate::peers::*;
use crate::rounds::{time, Scenario};
use crate::stats::middle_mean;
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The counts of objects.
const COUNTS: [usize; 4] = [1, 10, 1_000, 100_000];
/// Those whose values fit into the caches, so that it matters what is in them.
const SMALL: [usize; 3] = [1, 10, 1_000];
/// How many threads are alive in the scenario that has many.
const CROWD: usize = 4_000;

pub fn scenarios() -> Vec<Scenario> {
    let mut all = Vec::new();
    for caches in Caches::all() {
        let of_caches = |count: &usize| caches == Caches::Hot || SMALL.contains(count);
        let counts = || COUNTS.into_iter().filter(of_caches);
        all.push(first_use_without_destructor(caches));
        all.extend(counts().map(|count| first_use(count, caches)));
        all.push(first_use_of_fresh(1_000, caches));
        all.extend([1, 1_000].map(|count| end_without_destructors(count, caches)));
        all.extend(counts().map(|count| end(count, caches)));
    }
    all.extend(SMALL.map(life_without_destructors));
    all.extend(SMALL.map(life));
    all.extend(COUNTS.map(create_use_drop));
    all.push(create_use_drop_in_crowd());
    all
}

/// What is in the caches when the measured part begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caches {
    Hot,
    Cold,
}

impl Caches {
    fn all() -> impl Iterator<Item = Caches> {
        [Caches::Hot, Caches::Cold]
            .into_iter()
            .filter(|caches| *caches == Caches::Hot || evict::AVAILABLE)
    }

    fn prepare(self) {
        if self == Caches::Cold {
            evict::sweep();
        }
    }

    /// A scenario, and the duration of a turn. The report puts a scenario and its cold twin, `ID/cold`, into one row.
    fn scenario(self, id: String, title: String, operations: usize) -> Scenario {
        match self {
            Caches::Hot => Scenario::new(id, title, operations),
            Caches::Cold => Scenario::new(id + COLD, title + ", cold", operations),
        }
    }

    /// A sweep takes as long as many threads.
    fn turn(self, milliseconds: u64) -> Duration {
        Duration::from_millis(if self == Caches::Cold { 3 * milliseconds } else { milliseconds })
    }
}

/// What the ids of cold scenarios end with.
pub const COLD: &str = "/cold";

/// In how many processes the rows are measured whose time is mostly cache misses.
const PROCESSES: usize = 10;

/// Rounds and processes of scenarios that start threads.
fn with_threads(scenario: Scenario, count: usize, turn: Duration) -> Scenario {
    let scenario = scenario.rounds(if count > 10_000 { 12 } else { 40 }, turn);
    if count <= 10 {
        scenario.processes(PROCESSES)
    } else {
        scenario
    }
}

/// Runs `one` so often, and returns what all of them took, had each taken as long as the middle half: a thread that is
/// preempted in the few nanoseconds that are measured counts for a thousand others.
fn typical(iterations: u64, one: impl FnMut(u64) -> f64) -> f64 {
    middle_mean((0..iterations).map(one).collect()) * iterations as f64
}

/// Nanoseconds that `body` takes in a new thread, without those that reading the clock takes.
///
/// The thread has used the allocator and the clock before, so that what their first use costs is not attributed to `body`. If the caches
/// are cold, the clock has been read again since.
fn in_new_thread(caches: Caches, body: impl FnOnce() + Send + 'static) -> f64 {
    let in_thread = move || {
        drop(black_box(Box::new(0_u64)));
        caches.prepare();
        let nothing = || {
            let begin = Instant::now();
            begin.elapsed()
        };
        let clock = (0..8).map(|_| nothing()).min().expect("there are eight");
        let begin = Instant::now();
        body();
        begin.elapsed().as_nanos() as f64 - clock.as_nanos() as f64
    };
    thread::spawn(in_thread).join().expect("nothing in it panics")
}

/// Objects that the calling thread has used, so that a new one is measured for its own part; and no other thread's,
/// because `thread_local` keeps the values of a thread that has ended and hands them to the next.
fn in_use<Set: Objects>(count: usize) -> Arc<Set> {
    let set = Set::create(count);
    set.use_all();
    Arc::new(set)
}

fn first_use_row<Set: Objects>(
    scenario: &mut Scenario,
    caches: Caches,
    make: impl Fn() -> Arc<Set> + 'static,
) {
    scenario.row(Set::NAME, move |iterations| {
        typical(iterations, |_| {
            let set = make();
            let again = set.clone();
            // The drop of `set` after it drops the objects: not the thread's.
            let time = in_new_thread(caches, move || again.use_all());
            drop(set);
            time
        })
    });
}

fn first_use_scenario(caches: Caches, id: String, title: String, count: usize) -> Scenario {
    let scenario = caches.scenario(id, title, count).reason(FIRST);
    with_threads(scenario, count, caches.turn(20))
}

fn first_use(count: usize, caches: Caches) -> Scenario {
    let title = format!("first use in a new thread, {}, each", objects(count));
    let mut scenario = first_use_scenario(caches, format!("first-use/{count}"), title, count);
    each_kind!(Set => if <Set as Objects>::fits(count) {
        first_use_row(&mut scenario, caches, move || in_use::<Set>(count));
    });
    if count == 1 {
        fixed_rows(&mut scenario, caches, &[STD, STD_PLAIN, CPP, NOTHING]);
    }
    scenario
}

/// The first use of statics of the compiler's.
fn fixed_rows(scenario: &mut Scenario, caches: Caches, peers: &'static [&str]) {
    for fixed in statics() {
        if peers.contains(&fixed.name) {
            scenario.row(fixed.name, move |iterations| {
                let one = || in_new_thread(caches, move || _ = black_box((fixed.call)()));
                typical(iterations, |_| one())
            });
        }
    }
}

fn first_use_without_destructor(caches: Caches) -> Scenario {
    let title = "first use in a new thread, 1 object without a destructor".into();
    let mut scenario = first_use_scenario(caches, "first-use/plain/1".into(), title, 1);
    each!(Set in [Ours<Plain>, Ancestor<Plain>, ThreadLocalCrate<Plain>] => {
        first_use_row(&mut scenario, caches, move || in_use::<Set>(1));
    });
    fixed_rows(&mut scenario, caches, &[STD_PLAIN, NOTHING]);
    scenario
}

/// Objects that no thread has used: their numbers are assigned, too.
fn first_use_of_fresh(count: usize, caches: Caches) -> Scenario {
    let title =
        format!("first use in a new thread, {} that no thread has used, each", objects(count));
    let mut scenario = first_use_scenario(caches, format!("first-use/fresh/{count}"), title, count);
    each_kind!(Set => if <Set as Objects>::fits(count) {
        first_use_row(&mut scenario, caches, move || Arc::new(Set::create(count)));
    });
    scenario
}

/// What one thread takes and an empty one does not. In pairs, either first: both find the machine in the same state.
fn above_empty(iteration: u64, full: impl FnOnce() -> f64, empty: impl FnOnce() -> f64) -> f64 {
    if iteration.is_multiple_of(2) {
        let full = full();
        full - empty()
    } else {
        let empty = empty();
        full() - empty
    }
}

/// Nanoseconds from the end of `body` in a new thread until the thread is joined: the destructors, the C library's part and the system's.
fn end_after(caches: Caches, body: impl FnOnce() + Send + 'static) -> f64 {
    let in_thread = move || {
        drop(black_box(Box::new(0_u64)));
        body();
        caches.prepare();
        Instant::now()
    };
    let end = thread::spawn(in_thread).join().expect("nothing in it panics");
    end.elapsed().as_nanos() as f64
}

/// A row of threads that end with values of the same objects, one thread after another.
fn end_row<Set: Objects>(scenario: &mut Scenario, caches: Caches, count: usize) {
    scenario.row(Set::NAME, move |iterations| {
        let set = in_use::<Set>(count);
        typical(iterations, |iteration| {
            let set = set.clone();
            let full = || end_after(caches, move || set.use_all());
            above_empty(iteration, full, || end_after(caches, || ()))
        })
    });
}

/// The end of a thread that has used statics of the compiler's.
fn fixed_end_rows(scenario: &mut Scenario, caches: Caches, peers: &'static [&str]) {
    for fixed in statics() {
        if peers.contains(&fixed.name) {
            scenario.row(fixed.name, move |iterations| {
                typical(iterations, |iteration| {
                    let full = || end_after(caches, move || _ = black_box((fixed.call)()));
                    above_empty(iteration, full, || end_after(caches, || ()))
                })
            });
        }
    }
}

/// Differences of threads' ends, or of whole threads, need many pairs: a single one varies by more than a value's part of it.
fn pairs(scenario: Scenario, caches: Caches, count: usize) -> Scenario {
    with_threads(scenario, count, caches.turn(if count > 10 { 40 } else { 80 }))
}

fn end(count: usize, caches: Caches) -> Scenario {
    let title = format!("end of a thread with values of {}, above an empty thread", objects(count));
    let scenario = caches.scenario(format!("end/{count}"), title, 1).reason(END);
    let mut scenario = pairs(scenario, caches, count);
    each_kind!(Set => if <Set as Objects>::fits(count) {
        end_row::<Set>(&mut scenario, caches, count);
    });
    if count == 1 {
        fixed_end_rows(&mut scenario, caches, &[STD, CPP]);
    }
    scenario
}

fn end_without_destructors(count: usize, caches: Caches) -> Scenario {
    let title = format!(
        "end of a thread with values without a destructor of {}, above an empty thread",
        objects(count)
    );
    let scenario = caches.scenario(format!("end/plain/{count}"), title, 1).reason(END);
    let mut scenario = pairs(scenario, caches, count);
    each!(Set in [Ours<Plain>, Ancestor<Plain>, ThreadLocalCrate<Plain>] => {
        end_row::<Set>(&mut scenario, caches, count);
    });
    scenario
}

/// Nanoseconds from the start of a new thread until it is joined.
fn start_to_join(body: impl FnOnce() + Send + 'static) -> f64 {
    let begin = Instant::now();
    thread::spawn(body).join().expect("nothing in it panics");
    begin.elapsed().as_nanos() as f64
}

/// A row of new threads that use objects which each of them finds as the last one left them, above empty threads.
pub fn life_of_thread_row<Set: Objects>(scenario: &mut Scenario, count: usize) {
    scenario.row(Set::NAME, move |iterations| {
        let set = in_use::<Set>(count);
        let full = || {
            let set = set.clone();
            start_to_join(move || set.use_all())
        };
        // Leaves its values, where a thread does that.
        full();
        typical(iterations, |iteration| above_empty(iteration, full, || start_to_join(|| ())))
    });
}

/// The same with statics of the compiler's.
fn fixed_lives(scenario: &mut Scenario, peers: &'static [&str]) {
    for fixed in statics() {
        if peers.contains(&fixed.name) {
            scenario.row(fixed.name, move |iterations| {
                typical(iterations, |iteration| {
                    let full = || start_to_join(move || _ = black_box((fixed.call)()));
                    above_empty(iteration, full, || start_to_join(|| ()))
                })
            });
        }
    }
}

fn life(count: usize) -> Scenario {
    let title =
        format!("a thread that uses {}, start to join, above an empty thread", objects(count));
    let scenario = Scenario::new(format!("thread/{count}"), title, 1).reason(BOTH);
    let mut scenario = pairs(scenario, Caches::Hot, count);
    each_kind!(Set => if <Set as Objects>::fits(count) {
        life_of_thread_row::<Set>(&mut scenario, count);
    });
    if count == 1 {
        fixed_lives(&mut scenario, &[STD, CPP]);
    }
    scenario
}

fn life_without_destructors(count: usize) -> Scenario {
    let title = format!(
        "a thread that uses {} without a destructor, start to join, above an empty thread",
        objects(count)
    );
    let scenario = Scenario::new(format!("thread/plain/{count}"), title, 1).reason(BOTH);
    let mut scenario = pairs(scenario, Caches::Hot, count);
    each!(Set in [Ours<Plain>, Ancestor<Plain>, ThreadLocalCrate<Plain>] => {
        life_of_thread_row::<Set>(&mut scenario, count);
    });
    if count == 1 {
        fixed_lives(&mut scenario, &[STD_PLAIN]);
    }
    scenario
}

/// A row of single objects' lives, in this thread.
pub fn life_row<Set: Objects>(scenario: &mut Scenario) {
    scenario.row(Set::NAME, move |iterations| time(iterations, Set::life));
}

fn create_use_drop(count: usize) -> Scenario {
    let title = if count == 1 {
        "create, use and drop an object".into()
    } else {
        format!("create, use and drop {}, each", objects(count))
    };
    let mut scenario = Scenario::new(format!("create-use-drop/{count}"), title, count)
        .reason(CREATE)
        .rounds(if count > 10_000 { 12 } else { 40 }, Duration::from_millis(5));
    each_kind!(Set => if count == 1 {
        life_row::<Set>(&mut scenario);
    } else if <Set as Objects>::fits(count) {
        scenario.row(Set::NAME, move |iterations| time(iterations, || {
            let set = Set::create(count);
            set.use_all();
            drop(black_box(set));
        }));
    });
    scenario
}

/// Lives in one turn of `create_use_drop_in_crowd`: starting the crowd takes longer than anything, so that the
/// calibration would leave it at one.
const LIVES: usize = 100_000;

fn create_use_drop_in_crowd() -> Scenario {
    let title = format!(
        "create, use and drop an object, {} other threads alive that use other objects",
        grouped(CROWD)
    );
    let mut scenario = Scenario::new(format!("create-use-drop/crowd/{CROWD}"), title, LIVES)
        .reason(CREATE)
        .rounds(16, Duration::from_millis(5));
    fn lives<Set: Objects>(iterations: u64) -> f64 {
        time(iterations * LIVES as u64, Set::life)
    }
    // Not the peers that have a key for each object: there are too few.
    each!(Set in [Ours, ThreadLocalCrate] => {
        scenario.row(<Set as Objects>::NAME, |iterations| {
            let _crowd = Crowd::new::<Set>(CROWD);
            lives::<Set>(iterations)
        });
    });
    scenario.row(ALONE, lives::<Ours>);
    scenario
}
