//! Shared by the models: the function that runs one, and a census of its values.

#![allow(dead_code)]

pub use loom::sync::Arc;
use loom::thread;
pub use loom_core::Boxed;
use os_thread_local_loom::storage;
use os_thread_local_loom::storage::Stripes::{self, *};
use os_thread_local_loom::{sys, ThreadLocal};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};

/// Of one execution; loom's threads run on one of the system's.
struct Census {
    built: usize,
    alive: Vec<usize>,
}

static CENSUS: Mutex<Census> = Mutex::new(Census { built: 0, alive: Vec::new() });

fn census() -> MutexGuard<'static, Census> {
    CENSUS.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A place in the census.
pub struct Citizen(usize);

impl Citizen {
    pub fn new() -> Citizen {
        let mut census = census();
        census.built += 1;
        let number = census.built;
        census.alive.push(number);
        Citizen(number)
    }
}

impl Drop for Citizen {
    fn drop(&mut self) {
        let mut census = census();
        let found = census.alive.iter().position(|number| *number == self.0);
        census.alive.swap_remove(found.expect("a value is destroyed twice"));
    }
}

/// How many values there are.
pub fn alive() -> usize {
    census().alive.len()
}

/// A value of a model.
pub trait Value: 'static {
    const WHAT: &'static str;
    fn new(what: u32) -> Self;
    fn what(&self) -> u32;
}

/// A value that the thread which built it must destroy. With padding it is not the arena's.
pub struct Dropped<const PADDING: usize> {
    _citizen: Citizen,
    thread: thread::ThreadId,
    what: u32,
    _padding: [u8; PADDING],
}

impl<const PADDING: usize> Value for Dropped<PADDING> {
    const WHAT: &'static str =
        if PADDING == 0 { "destructor, arena, " } else { "destructor, no arena, " };

    fn new(what: u32) -> Self {
        Dropped {
            _citizen: Citizen::new(),
            thread: thread::current().id(),
            what,
            _padding: [0; PADDING],
        }
    }

    fn what(&self) -> u32 {
        self.what
    }
}

impl<const PADDING: usize> Drop for Dropped<PADDING> {
    fn drop(&mut self) {
        assert_eq!(self.thread, thread::current().id(), "destroyed by another thread");
    }
}

/// A value without a destructor.
pub struct Plain<const PADDING: usize>(u32, [u8; PADDING]);

impl<const PADDING: usize> Value for Plain<PADDING> {
    const WHAT: &'static str =
        if PADDING == 0 { "no destructor, arena, " } else { "no destructor, no arena, " };

    fn new(what: u32) -> Self {
        Plain(what, [0; PADDING])
    }

    fn what(&self) -> u32 {
        self.0
    }
}

/// More than an arena takes.
pub const LARGE: usize = 200;

pub type Object<V> = Arc<Boxed<ThreadLocal<V>>>;

pub fn object<V: Value>() -> Object<V> {
    Arc::new(Boxed::new(ThreadLocal::new(|| V::new(1))))
}

pub fn second_object<V: Value>() -> Object<V> {
    Arc::new(Boxed::new(ThreadLocal::new(|| V::new(2))))
}

/// A thread, and its end as the system sees it.
pub fn spawn(f: impl FnOnce() + 'static) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        f();
        sys::end_of_thread();
    })
}

#[derive(Clone, Copy)]
pub struct Model {
    pub name: &'static str,
    /// Slot numbers that are taken before, so that the model's objects have the next ones.
    pub taken: usize,
    pub preemptions: usize,
    /// The crate was not used before.
    pub first_use: bool,
    /// For a model of what happens before a record is made: only with the thread-exit list and the records in one stripe.
    pub one_variant: bool,
}

/// One model at a time: they share what is static.
static ALONE: Mutex<()> = Mutex::new(());

impl Model {
    pub fn new(name: &'static str) -> Model {
        Model { name, taken: 0, preemptions: 3, first_use: false, one_variant: false }
    }

    /// With the thread-exit list and without it, with records in one stripe and in different ones. With a word, which is a thread's own
    /// and makes no race, half of it.
    pub fn run(self, f: impl Fn() + Copy + Send + Sync + 'static) {
        let _alone =
            ALONE.lock().expect("a model before this one failed, and left statics as they were");
        let before = if self.first_use { vec![] } else { use_numbers(self.taken) };
        let all = [(true, Same), (false, Apart), (true, Apart), (false, Same)];
        let count = match (self.one_variant, cfg!(feature = "word")) {
            (true, _) => 1,
            (false, true) => 2,
            (false, false) => all.len(),
        };
        for &(exit_list, stripes) in &all[..count] {
            self.run_one(exit_list, stripes, f);
        }
        drop(before);
    }

    fn run_one(
        self,
        exit_list: bool,
        stripes: Stripes,
        f: impl Fn() + Copy + Send + Sync + 'static,
    ) {
        let begin = std::time::Instant::now();
        sys::EXIT_LIST.store(exit_list, SeqCst);
        storage::choose_stripes(stripes);
        let executions = std::sync::Arc::new(AtomicUsize::new(0));
        let count = executions.clone();
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some((self.preemptions as isize + extra_preemptions()) as usize);
        builder.max_branches = 20_000;
        builder.check(move || {
            loom_core::begin();
            *census() = Census { built: 0, alive: Vec::new() };
            storage::begin();
            if self.first_use {
                sys::delete_keys();
            }
            f();
            sys::end_of_thread();
            storage::free_pooled_records();
            assert_eq!(alive(), 0, "values are left");
            assert_eq!(sys::count_keys(), 1, "one key is left");
            loom_core::finish();
            count.fetch_add(1, SeqCst);
        });
        storage::release_stripes(stripes);
        let list = if exit_list { "exit list" } else { "no exit list" };
        let executions = executions.load(SeqCst);
        println!("{}{list}, {stripes:?}: {executions} in {:.1?}", self.name, begin.elapsed());
    }
}

/// For a longer run by hand, `EXTRA_PREEMPTIONS=2 ci/loom-run`.
fn extra_preemptions() -> isize {
    std::env::var("EXTRA_PREEMPTIONS").map_or(0, |number| number.parse().expect("a number"))
}

/// Makes the first use of the crate, and assigns the numbers that the model's objects do not get.
fn use_numbers(taken: usize) -> Vec<ThreadLocal<u8>> {
    let before: Vec<ThreadLocal<u8>> = (0..taken).map(|_| ThreadLocal::new(|| 0)).collect();
    before.iter().for_each(|object| object.prepare().unwrap());
    ThreadLocal::new(|| 0).with(|_: &i32| ());
    sys::end_of_thread_outside();
    storage::free_pooled_records();
    before
}
