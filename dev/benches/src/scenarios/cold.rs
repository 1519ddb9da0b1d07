//! The cold paths: a value is made or destroyed.

use super::crowd::Crowd;
use super::{grouped, objects, BOTH, CREATE, END, FIRST};
use crate::clock::{process_time, thread_time};
use crate::peers::*;
use crate::rounds::{time, Scenario};
use crate::stats::middle_mean;
use std::hint::black_box;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// The counts of objects.
const COUNTS: [usize; 4] = [1, 10, 1_000, 100_000];
/// How many threads are alive in the scenario that has many.
const CROWD: usize = 4_000;

pub fn scenarios() -> Vec<Scenario> {
    let mut all = vec![first_use_without_destructor()];
    all.extend(COUNTS.map(first_use));
    all.push(first_use_of_fresh(1_000));
    all.push(end_without_destructors(1_000));
    all.extend(COUNTS.map(end));
    all.push(whole_thread(900));
    all.extend(COUNTS.map(create_use_drop));
    all.push(create_use_drop_in_crowd());
    all
}

/// In how many processes the rows are measured whose time is mostly cache misses.
const PROCESSES: usize = 10;

/// Rounds and duration of a turn, for scenarios that start threads.
fn with_threads(scenario: Scenario, count: usize) -> Scenario {
    scenario.rounds(if count > 10_000 { 12 } else { 40 }, Duration::from_millis(10))
}

/// Runs `one` so often, and returns what all of them took, had each taken as long as the middle half: a thread that is
/// preempted in the few nanoseconds that are measured counts for a thousand others.
fn typical(iterations: u64, one: impl FnMut(u64) -> f64) -> f64 {
    middle_mean((0..iterations).map(one).collect()) * iterations as f64
}

/// Nanoseconds that `body` takes in a new thread, without those that reading the clock takes.
///
/// The thread has used the allocator and the clock before, so that what their first use costs is not attributed to `body`.
fn in_new_thread(body: impl FnOnce() + Send + 'static) -> f64 {
    let in_thread = move || {
        drop(black_box(Box::new(0_u64)));
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

fn first_use_row<Set: Objects>(scenario: &mut Scenario, make: impl Fn() -> Arc<Set> + 'static) {
    scenario.row(Set::NAME, move |iterations| {
        typical(iterations, |_| {
            let set = make();
            let again = set.clone();
            // The drop of `set` after it drops the objects: not the thread's.
            let time = in_new_thread(move || again.use_all());
            drop(set);
            time
        })
    });
}

fn first_use(count: usize) -> Scenario {
    let title = format!("first use in a new thread, {}, each", objects(count));
    let mut scenario = with_threads(
        Scenario::new(format!("first-use/{count}"), title, count).reason(FIRST),
        count,
    );
    if count <= 10 {
        scenario = scenario.processes(PROCESSES);
    }
    each_kind!(Set => if <Set as Objects>::fits(count) {
        first_use_row(&mut scenario, move || in_use::<Set>(count));
    });
    if count == 1 {
        fixed_rows(&mut scenario, &[STD, STD_PLAIN, CPP, NOTHING]);
    }
    scenario
}

/// The first use of statics of the compiler's.
fn fixed_rows(scenario: &mut Scenario, peers: &'static [&str]) {
    for fixed in statics() {
        if peers.contains(&fixed.name) {
            scenario.row(fixed.name, move |iterations| {
                typical(iterations, |_| in_new_thread(move || _ = black_box((fixed.call)())))
            });
        }
    }
}

fn first_use_without_destructor() -> Scenario {
    let title = "first use in a new thread, 1 object without a destructor";
    let mut scenario = with_threads(Scenario::new("first-use/plain/1", title, 1).reason(FIRST), 1)
        .processes(PROCESSES);
    each!(Set in [Ours<Plain>, Direct<Plain>, Ancestor<Plain>, ThreadLocalCrate<Plain>] => {
        first_use_row(&mut scenario, move || in_use::<Set>(1));
    });
    fixed_rows(&mut scenario, &[STD_PLAIN, NOTHING]);
    scenario
}

/// Objects that no thread has used: their numbers are assigned, too.
fn first_use_of_fresh(count: usize) -> Scenario {
    let title =
        format!("first use in a new thread, {} that no thread has used, each", objects(count));
    let id = format!("first-use/fresh/{count}");
    let mut scenario = with_threads(Scenario::new(id, title, count).reason(FIRST), count);
    each_kind!(Set => if <Set as Objects>::fits(count) {
        first_use_row(&mut scenario, move || Arc::new(Set::create(count)));
    });
    scenario
}

/// The processor time of a new thread after it has run `body`, until the system has ended it, in nanoseconds.
///
/// Not the time until it is joined: waking the thread that waits takes as long as destroying a thousand values, and
/// varies by more.
fn end_after(body: impl FnOnce() + Send + 'static) -> f64 {
    let in_thread = move || {
        drop(black_box(Box::new(0_u64)));
        body();
        thread_time()
    };
    let (process, own) = (process_time(), thread_time());
    let before_end = thread::spawn(in_thread).join().expect("nothing in it panics");
    let (own, process) = (thread_time() - own, process_time() - process);
    process - own - before_end
}

fn end_row<Set: Objects>(scenario: &mut Scenario, count: usize) {
    scenario.row(Set::NAME, move |iterations| {
        typical(iterations, |iteration| {
            let set = in_use::<Set>(count);
            let again = set.clone();
            let full = || end_after(move || again.use_all());
            let empty = || end_after(|| ());
            // In pairs, either first: both find the machine in the same state.
            let (full, empty) = if iteration % 2 == 0 {
                let full = full();
                (full, empty())
            } else {
                let empty = empty();
                (full(), empty)
            };
            drop(set);
            full - empty
        })
    });
}

fn end(count: usize) -> Scenario {
    let title = format!("end of a thread with values of {}, above an empty thread", objects(count));
    let mut scenario =
        with_threads(Scenario::new(format!("end/{count}"), title, 1).reason(END), count);
    each_kind!(Set => if <Set as Objects>::fits(count) {
        end_row::<Set>(&mut scenario, count);
    });
    scenario
}

fn end_without_destructors(count: usize) -> Scenario {
    let title = format!(
        "end of a thread with values without a destructor of {}, above an empty thread",
        objects(count)
    );
    let id = format!("end/plain/{count}");
    let mut scenario = with_threads(Scenario::new(id, title, 1).reason(END), count);
    each!(Set in [Ours<Plain>, Direct<Plain>, Ancestor<Plain>, ThreadLocalCrate<Plain>] => {
        end_row::<Set>(&mut scenario, count);
    });
    scenario
}

/// Nanoseconds from the start of a new thread until it is joined.
pub fn start_to_join(body: impl FnOnce() + Send + 'static) -> f64 {
    let begin = Instant::now();
    thread::spawn(body).join().expect("nothing in it panics");
    begin.elapsed().as_nanos() as f64
}

/// A row of new threads that use objects which each of them finds as the last one left them.
pub fn whole_thread_row<Set: Objects>(scenario: &mut Scenario, count: usize) {
    scenario.row(Set::NAME, move |iterations| {
        let set = in_use::<Set>(count);
        let one = || {
            let set = set.clone();
            start_to_join(move || set.use_all())
        };
        // Leaves its values, where a thread does that.
        one();
        typical(iterations, |_| one())
    });
}

fn whole_thread(count: usize) -> Scenario {
    let title = format!("a thread that uses {} once, start to join", objects(count));
    let mut scenario =
        with_threads(Scenario::new(format!("thread/{count}"), title, 1).reason(BOTH), count);
    each_kind!(Set => whole_thread_row::<Set>(&mut scenario, count));
    scenario.row(NOTHING, |iterations| typical(iterations, |_| start_to_join(|| ())));
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
    each!(Set in [Ours, Direct, ThreadLocalCrate] => {
        scenario.row(<Set as Objects>::NAME, |iterations| {
            let _crowd = Crowd::new::<Set>(CROWD);
            lives::<Set>(iterations)
        });
    });
    scenario.row(ALONE, lives::<Ours>);
    scenario
}
