//! A random program for the crate, and a simple model that predicts every event and their order.
//!
//! The program runs on several threads, one operation at a time, so that its outcome is determined: objects are made, dropped and moved, threads
//! come and go, values are used, removed and reclaimed. What initializers, destructors and the closures of `with_mut` do is drawn as well: they
//! panic, or do any of these operations, and they may have it done by another thread, or by a new one that ends then. So an object is dropped by
//! one thread while another one is in the middle of its end, or of an initializer.
//! Every value logs its birth and its death; the model writes the log that it
//! expects. A value that is never destroyed, or twice, or by the wrong thread, or too early, is a difference.
//!
//! Values are of four kinds: of `ThreadLocal` and of `PerThread`, with and without a destructor. The rules for a thread's end:
//!
//! - Its `ThreadLocal` values with a destructor are destroyed, the newest first, including any that destructors make. From
//!   then on they are `Destroyed` in that thread.
//! - Its `ThreadLocal` values without a destructor stay as they are until the thread is gone. They are never `Destroyed`.
//! - Its `PerThread` values stay, and are left to later threads.
//!
//! Which thread inherits a value of a `PerThread`, if any, is unspecified. The model reads it from the crate's log, and
//! checks that the value was free, that no other thread has it, and that there are never more values than there were threads at a time.
//! The model follows one implementation detail: an exiting thread claims its values in batches, after which other threads no longer leave
//! them to the end.

use os_thread_local::{reclaim, AccessError, InitError, PerThread, ThreadLocal};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::marker::PhantomData;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{channel, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Where the choices come from: random numbers, or a fuzzer's bytes.
pub trait Choices {
    /// Below `n`.
    fn below(&mut self, n: usize) -> usize;
    /// Whether no choices are left.
    fn is_over(&self) -> bool {
        false
    }
}

const THREADS: usize = 4;

/// What code does that the crate calls.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Nothing,
    Panic,
    Here(Ops),
    /// By one of the threads that wait for something to do: the one of this number, counted round.
    Elsewhere(usize, Ops),
    /// By a new thread, which ends then.
    InNewThread(Ops),
}

type Ops = [Op; 2];

/// How deep acts may nest, and how many there are in one step of the program: beyond that they do nothing.
const DEPTH: usize = 6;
const ACTS: usize = 100;

#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    /// A value belongs to its thread (`ThreadLocal`), or to the object (`PerThread`).
    per_thread: bool,
    /// Values have a destructor, which does `drop`.
    destructor: bool,
    init: Act,
    drop: Act,
    /// In the closure of `with_mut`.
    change: Act,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    /// Each object is made once.
    Make(usize),
    Drop(usize),
    Use(usize),
    /// With an initializer that fails.
    Try(usize),
    Prepare(usize),
    Look(usize),
    Change(usize),
    Remove(usize),
    Move(usize),
    Count(usize),
    Drain(usize),
    Reclaim,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A value with a destructor is born: its object, its number, and the thread.
    Born(usize, u64, usize),
    /// The same of a value without one.
    Made(usize, u64, usize),
    Died(usize, u64, usize),
    /// Which value was used, how often it has been, and by which thread.
    Used(usize, u64, u32, usize),
    Refused(usize, AccessError),
    /// The initializer has failed.
    Failed(usize),
    Prepared(usize),
    Panicked(usize),
    Found(usize, Option<(u64, u32)>, usize),
    /// Which value was taken out, and by which thread.
    Removed(usize, Option<u64>, usize),
    /// Other threads cannot be waited for: std's thread-locals are gone.
    Skipped,
    Counted(usize, usize),
}

// ---------------------------------------------------------------------------------------------- the crate

/// What a value is, with a destructor or without.
struct Content {
    object: usize,
    /// Its number, in the order of births.
    born: u64,
    uses: Cell<u32>,
    alive: u32,
}

const ALIVE: u32 = 0x00C0_FFEE;

struct Value {
    content: Content,
    world: Arc<World>,
    /// The thread to which the value belongs; for `PerThread`, where it was born.
    thread: usize,
    plan: Plan,
}

impl Drop for Value {
    fn drop(&mut self) {
        assert_eq!(self.content.alive, ALIVE, "destroyed twice, or never built");
        self.content.alive = 0;
        if !self.plan.per_thread {
            assert_eq!(self.thread, current(), "destroyed by another thread");
        }
        let world = self.world.clone();
        world.log(Event::Died(self.content.object, self.content.born, current()));
        world.act(self.plan.drop);
    }
}

/// A value that must not leave its thread.
struct Own<T>(T, PhantomData<*mut ()>);

/// Where a value's content is.
trait HasContent {
    fn content(&self) -> &Content;
}

impl HasContent for Content {
    fn content(&self) -> &Content {
        self
    }
}

impl HasContent for Value {
    fn content(&self) -> &Content {
        &self.content
    }
}

impl<T: HasContent> HasContent for Own<T> {
    fn content(&self) -> &Content {
        self.0.content()
    }
}

enum Object {
    Local(ThreadLocal<Own<Value>, Init<Own<Value>>>),
    LocalPlain(ThreadLocal<Own<Content>, Init<Own<Content>>>),
    Per(PerThread<Value, Init<Value>>),
    PerPlain(PerThread<Content, Init<Content>>),
}

type Init<T> = Box<dyn Fn() -> T + Send + Sync>;

std::thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(usize::MAX) };
}

fn current() -> usize {
    // Where std's thread-locals go first, a value is destroyed by an exiting thread, and only one exits at a time.
    THREAD.try_with(Cell::get).unwrap_or_else(|_| *EXITING.lock().unwrap())
}

static EXITING: Mutex<usize> = Mutex::new(usize::MAX);

std::thread_local! {
    /// The thread has nothing left to do but to end.
    static ENDING: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread can wait for others. std needs its own thread-locals for that, which this one goes with. On Windows a thread ends
/// under the loader's lock, which threads that start or end need, too.
fn can_wait() -> bool {
    if cfg!(windows) && ENDING.with(Cell::get) {
        return false;
    }

    struct Gone;

    impl Drop for Gone {
        fn drop(&mut self) {}
    }

    std::thread_local! {
        static GONE: Gone = const { Gone };
    }

    GONE.try_with(|_| ()).is_ok()
}

type Job = (Vec<Op>, Sender<()>);

#[derive(Default)]
struct World {
    plans: Mutex<Vec<Plan>>,
    objects: Mutex<HashMap<usize, Arc<Object>>>,
    /// All objects that were ever made.
    made: Mutex<HashSet<usize>>,
    events: Mutex<Vec<Event>>,
    births: AtomicUsize,
    /// The threads that take jobs, in the order in which they were started, and those that have one.
    workers: Mutex<Vec<(usize, Sender<Job>)>>,
    busy: Mutex<Vec<usize>>,
    threads: AtomicUsize,
    depth: AtomicUsize,
    acts: AtomicUsize,
}

/// One expression for the four kinds of objects.
macro_rules! each {
    ($object:expr, $slot:ident => $run:expr) => {
        match $object {
            Object::Local($slot) => $run,
            Object::LocalPlain($slot) => $run,
            Object::Per($slot) => $run,
            Object::PerPlain($slot) => $run,
        }
    };
}

impl World {
    fn log(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn plan(&self, object: usize) -> Plan {
        self.plans.lock().unwrap()[object]
    }

    fn get(&self, object: usize) -> Option<Arc<Object>> {
        self.objects.lock().unwrap().get(&object).cloned()
    }

    /// No lock is held when the object's last owner lets it go.
    fn take(&self, object: usize) -> Option<Arc<Object>> {
        self.objects.lock().unwrap().remove(&object)
    }

    /// Takes the object out if it is not in use.
    fn take_unused(&self, id: usize) -> Option<Object> {
        let mut objects = self.objects.lock().unwrap();
        match Arc::try_unwrap(objects.remove(&id)?) {
            Ok(object) => Some(object),
            Err(in_use) => {
                objects.insert(id, in_use);
                None
            }
        }
    }

    fn put(&self, id: usize, object: Object) {
        self.objects.lock().unwrap().insert(id, Arc::new(object));
    }

    fn content(self: &Arc<Self>, object: usize) -> Content {
        let plan = self.plan(object);
        self.act(plan.init);
        let born = 1 + self.births.fetch_add(1, SeqCst) as u64;
        let event = if plan.destructor { Event::Born } else { Event::Made };
        self.log(event(object, born, current()));
        Content { object, born, uses: Cell::new(0), alive: ALIVE }
    }

    fn value(self: &Arc<Self>, object: usize) -> Value {
        let content = self.content(object);
        Value { content, world: self.clone(), thread: current(), plan: self.plan(object) }
    }

    fn object(self: &Arc<Self>, id: usize) -> Object {
        let world = self.clone();
        let plan = self.plan(id);
        match (plan.per_thread, plan.destructor) {
            (false, true) => Object::Local(ThreadLocal::from_fn(Box::new(move || {
                Own(world.value(id), PhantomData)
            }))),
            (false, false) => Object::LocalPlain(ThreadLocal::from_fn(Box::new(move || {
                Own(world.content(id), PhantomData)
            }))),
            (true, true) => Object::Per(PerThread::from_fn(Box::new(move || world.value(id)))),
            (true, false) => {
                Object::PerPlain(PerThread::from_fn(Box::new(move || world.content(id))))
            }
        }
    }

    fn act(self: &Arc<Self>, act: Act) {
        match act {
            Act::Nothing => return,
            Act::Panic => resume_unwind(Box::new("planned")),
            _ => {}
        }
        if self.depth.load(SeqCst) == DEPTH || self.acts.load(SeqCst) == ACTS {
            return;
        }
        self.acts.fetch_add(1, SeqCst);
        self.depth.fetch_add(1, SeqCst);
        match act {
            Act::Here(ops) => ops.iter().for_each(|op| self.run(*op)),
            Act::Elsewhere(..) | Act::InNewThread(_) if !can_wait() => self.log(Event::Skipped),
            Act::Elsewhere(which, ops) => self.elsewhere(which, &ops),
            Act::InNewThread(ops) => self.in_new_thread(&ops),
            Act::Nothing | Act::Panic => unreachable!(),
        }
        self.depth.fetch_sub(1, SeqCst);
    }

    fn elsewhere(&self, which: usize, ops: &[Op]) {
        let worker = {
            let (workers, busy) = (self.workers.lock().unwrap(), self.busy.lock().unwrap());
            let idle: Vec<usize> =
                workers.iter().map(|(id, _)| *id).filter(|id| !busy.contains(id)).collect();
            if idle.is_empty() {
                return;
            }
            idle[which % idle.len()]
        };
        self.run_on(worker, ops);
    }

    fn run_on(&self, worker: usize, ops: &[Op]) {
        self.busy.lock().unwrap().push(worker);
        let (tell, done) = channel();
        let jobs = {
            let workers = self.workers.lock().unwrap();
            workers.iter().find(|(id, _)| *id == worker).unwrap().1.clone()
        };
        jobs.send((ops.to_vec(), tell)).unwrap();
        // An error means that the thread has panicked; `end` reports that.
        let _ = done.recv();
        self.busy.lock().unwrap().pop();
    }

    fn in_new_thread(self: &Arc<Self>, ops: &[Op]) {
        let id = self.threads.fetch_add(1, SeqCst);
        let exiting = std::mem::replace(&mut *EXITING.lock().unwrap(), id);
        let (world, ops) = (self.clone(), ops.to_vec());
        let run = move || {
            THREAD.with(|t| t.set(id));
            can_wait();
            ops.into_iter().for_each(|op| world.run(op));
            ENDING.with(|ending| ending.set(true));
        };
        if let Err(panic) = thread::spawn(run).join() {
            resume_unwind(panic);
        }
        *EXITING.lock().unwrap() = exiting;
    }

    fn use_it(self: &Arc<Self>, id: usize, fails: bool) {
        let object = match self.get(id) {
            Some(object) => object,
            None => return,
        };
        let used = catch_unwind(AssertUnwindSafe(|| {
            each!(&*object, slot => if fails {
                slot.with_or_try(|| { self.act(self.plan(id).init); Err(()) }, |value| count(id, value))
            } else {
                slot.try_with(|value| count(id, value)).map_err(InitError::Access)
            })
        }));
        self.log(match used {
            Ok(Ok((born, uses))) => Event::Used(id, born, uses, current()),
            Ok(Err(InitError::Access(error))) => Event::Refused(id, error),
            Ok(Err(InitError::Init(()))) => Event::Failed(id),
            Err(_) => Event::Panicked(id),
        });
    }

    fn change(self: &Arc<Self>, id: usize) {
        let mut object = match self.take_unused(id) {
            Some(object) => object,
            None => return,
        };
        let changed = catch_unwind(AssertUnwindSafe(|| {
            each!(&mut object, slot => slot.try_with_mut(|value| {
                let (born, uses) = count(id, &*value);
                self.log(Event::Used(id, born, uses, current()));
                self.act(self.plan(id).change);
            }))
        }));
        match changed {
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.log(Event::Refused(id, error)),
            Err(_) => self.log(Event::Panicked(id)),
        }
        self.put(id, object);
    }

    fn run(self: &Arc<Self>, op: Op) {
        match op {
            Op::Make(id) => {
                if self.made.lock().unwrap().insert(id) {
                    self.put(id, self.object(id));
                }
            }
            Op::Drop(id) => drop(self.take(id)),
            Op::Use(id) => self.use_it(id, false),
            Op::Try(id) => self.use_it(id, true),
            Op::Change(id) => self.change(id),
            Op::Prepare(id) => {
                if let Some(object) = self.get(id) {
                    self.log(match each!(&*object, slot => slot.prepare()) {
                        Ok(()) => Event::Prepared(id),
                        Err(error) => Event::Refused(id, error),
                    });
                }
            }
            Op::Look(id) => {
                if let Some(object) = self.get(id) {
                    let found = each!(&*object, slot => slot.with_existing(look));
                    self.log(Event::Found(id, found, current()));
                }
            }
            Op::Count(id) => {
                // The values are not `Sync`: `len` counts them.
                match self.get(id).as_deref() {
                    Some(Object::Per(per)) => self.log(Event::Counted(id, per.len())),
                    Some(Object::PerPlain(per)) => self.log(Event::Counted(id, per.len())),
                    _ => {}
                }
            }
            Op::Remove(id) | Op::Move(id) | Op::Drain(id) => {
                let mut object = match self.take_unused(id) {
                    Some(object) => object,
                    None => return,
                };
                // What is in it is destroyed when it has a new place and is shared again.
                let mut destroyed: Vec<Box<dyn HasContent>> = Vec::new();
                match op {
                    Op::Remove(_) => {
                        destroyed.extend(each!(&mut object, slot => slot.remove().map(boxed)));
                        let removed = destroyed.first().map(|value| value.content().born);
                        self.log(Event::Removed(id, removed, current()));
                    }
                    Op::Drain(_) => match &mut object {
                        Object::Per(per) => destroyed.extend(per.drain().map(boxed)),
                        Object::PerPlain(per) => destroyed.extend(per.drain().map(boxed)),
                        _ => {}
                    },
                    _ => {}
                }
                self.put(id, object);
                drop(destroyed);
            }
            Op::Reclaim => reclaim(),
        }
    }
}

fn count(id: usize, value: &impl HasContent) -> (u64, u32) {
    let content = value.content();
    assert_eq!((content.alive, content.object), (ALIVE, id));
    content.uses.set(content.uses.get() + 1);
    (content.born, content.uses.get())
}

fn look(value: &impl HasContent) -> (u64, u32) {
    (value.content().born, value.content().uses.get())
}

fn boxed(value: impl HasContent + 'static) -> Box<dyn HasContent> {
    Box::new(value)
}

struct Worker {
    id: usize,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(world: &Arc<World>) -> Worker {
        let id = world.threads.fetch_add(1, SeqCst);
        let (jobs, to_do) = channel::<Job>();
        world.workers.lock().unwrap().push((id, jobs));
        let world = world.clone();
        let thread = thread::spawn(move || {
            THREAD.with(|t| t.set(id));
            can_wait();
            for (ops, tell) in to_do {
                ops.into_iter().for_each(|op| world.run(op));
                tell.send(()).unwrap();
            }
            ENDING.with(|ending| ending.set(true));
        });
        Worker { id, thread }
    }

    fn end(self, world: &World) {
        *EXITING.lock().unwrap() = self.id;
        world.workers.lock().unwrap().retain(|(id, _)| *id != self.id);
        if let Err(panic) = self.thread.join() {
            resume_unwind(panic);
        }
    }
}

// ---------------------------------------------------------------------------------------------- the model

#[derive(Clone, Copy)]
struct ModelValue {
    object: usize,
    plan: Plan,
    uses: u32,
    /// The order in which values were born.
    born: u64,
    /// Its exiting thread has it to itself.
    claimed: bool,
}

#[derive(Default)]
struct ModelThread {
    /// By object, the oldest link first.
    values: Vec<ModelValue>,
    initializing: Vec<usize>,
    destroyed: Vec<usize>,
    /// Left by objects that other threads have dropped; the last one goes first.
    inbox: Vec<ModelValue>,
    /// Those that the thread has taken from there: it takes more when there are none, and when it claims values.
    orphans: Vec<ModelValue>,
    reclaiming: bool,
}

impl ModelThread {
    fn empty_inbox(&mut self) {
        self.orphans.append(&mut self.inbox);
    }

    fn next_orphan(&mut self) -> Option<ModelValue> {
        if self.orphans.is_empty() {
            self.empty_inbox();
        }
        self.orphans.pop()
    }

    /// Claims the newest values, so many at a time.
    fn claim(&mut self) {
        const BATCH: usize = 64;
        self.empty_inbox();
        let newest = self.values.iter_mut().rev().filter(|value| value.ends_with_thread());
        newest
            .take_while(|value| !value.claimed)
            .take(BATCH)
            .for_each(|value| value.claimed = true);
    }
}

impl ModelValue {
    fn ends_with_thread(&self) -> bool {
        !self.plan.per_thread && self.plan.destructor
    }
}

struct ModelObject {
    plan: Plan,
    /// `PerThread`: values that ended threads have left, and that no thread has been seen to use since.
    orphaned: Vec<ModelValue>,
    /// How many calls are using it. If it has been dropped in the meantime, the last one destroys it.
    users: usize,
    listed: bool,
}

#[derive(Default)]
struct Model {
    plans: Vec<Plan>,
    objects: HashMap<usize, ModelObject>,
    made: HashSet<usize>,
    threads: HashMap<usize, ModelThread>,
    next_thread: usize,
    workers: Vec<usize>,
    busy: Vec<usize>,
    depth: usize,
    acts: usize,
    events: Vec<Event>,
    /// What the crate has done since the events were last compared: it says which values threads inherit.
    happened: Vec<Event>,
    births: u64,
}

/// The largest number of threads at a time so far in this process, which is the largest number of values that a `PerThread` may have.
static MOST_THREADS: AtomicUsize = AtomicUsize::new(0);

/// The planned panic.
struct Panicked;

impl Model {
    fn thread(&mut self, t: usize) -> &mut ModelThread {
        self.threads.get_mut(&t).unwrap()
    }

    fn listed(&self, id: usize) -> bool {
        self.objects.get(&id).map_or(false, |o| o.listed)
    }

    fn act(&mut self, t: usize, act: Act) -> Result<(), Panicked> {
        match act {
            Act::Nothing => return Ok(()),
            Act::Panic => return Err(Panicked),
            _ => {}
        }
        if self.depth == DEPTH || self.acts == ACTS {
            return Ok(());
        }
        self.acts += 1;
        self.depth += 1;
        match act {
            Act::Here(ops) => ops.iter().for_each(|op| self.run(t, *op)),
            Act::Elsewhere(..) | Act::InNewThread(_) if self.next() == Some(Event::Skipped) => {
                self.events.push(Event::Skipped)
            }
            Act::Elsewhere(which, ops) => self.elsewhere(which, &ops),
            Act::InNewThread(ops) => self.in_new_thread(&ops),
            Act::Nothing | Act::Panic => unreachable!(),
        }
        self.depth -= 1;
        Ok(())
    }

    fn elsewhere(&mut self, which: usize, ops: &[Op]) {
        let busy = &self.busy;
        let idle: Vec<usize> =
            self.workers.iter().copied().filter(|id| !busy.contains(id)).collect();
        if !idle.is_empty() {
            self.run_on(idle[which % idle.len()], ops);
        }
    }

    fn run_on(&mut self, worker: usize, ops: &[Op]) {
        self.busy.push(worker);
        ops.iter().for_each(|op| self.run(worker, *op));
        self.busy.pop();
    }

    fn in_new_thread(&mut self, ops: &[Op]) {
        let t = self.begin();
        ops.iter().for_each(|op| self.run(t, *op));
        self.exit(t);
    }

    /// The destructor of a value: it never panics.
    fn die(&mut self, t: usize, value: ModelValue) {
        if value.plan.destructor {
            self.events.push(Event::Died(value.object, value.born, t));
            let _ = self.act(t, value.plan.drop);
        }
    }

    fn begin(&mut self) -> usize {
        let t = self.next_thread;
        self.next_thread += 1;
        self.threads.insert(t, ModelThread::default());
        MOST_THREADS.fetch_max(self.threads.len(), SeqCst);
        t
    }

    /// What the crate did next.
    fn next(&self) -> Option<Event> {
        self.happened.get(self.events.len()).copied()
    }

    /// The value of an ended thread becomes this one's, if it is one of the object's.
    fn inherit(&mut self, t: usize, id: usize, born: u64) -> bool {
        let orphaned = &mut self.objects.get_mut(&id).unwrap().orphaned;
        match orphaned.iter().position(|value| value.born == born) {
            Some(index) => {
                let value = orphaned.remove(index);
                self.thread(t).values.push(value);
                true
            }
            None => false,
        }
    }

    fn use_it(&mut self, t: usize, id: usize, fails: bool) {
        if !self.listed(id) {
            return;
        }
        self.objects.get_mut(&id).unwrap().users += 1;
        let event = match self.value(t, id, fails) {
            Ok(Ok(())) => self.count_use(t, id),
            Ok(Err(Some(error))) => Event::Refused(id, error),
            Ok(Err(None)) => Event::Failed(id),
            Err(Panicked) => Event::Panicked(id),
        };
        self.events.push(event);
        self.release(t, id);
    }

    fn count_use(&mut self, t: usize, id: usize) -> Event {
        let value = self.thread(t).values.iter_mut().find(|v| v.object == id).unwrap();
        value.uses += 1;
        Event::Used(id, value.born, value.uses, t)
    }

    fn change(&mut self, t: usize, id: usize) {
        if !self.unused(id) {
            return;
        }
        let object = self.objects.get_mut(&id).unwrap();
        object.listed = false;
        object.users += 1;
        match self.value(t, id, false) {
            Ok(Ok(())) => {
                let used = self.count_use(t, id);
                self.events.push(used);
                if self.act(t, self.plans[id].change).is_err() {
                    self.events.push(Event::Panicked(id));
                }
            }
            Ok(Err(error)) => self.events.push(Event::Refused(id, error.unwrap())),
            Err(Panicked) => self.events.push(Event::Panicked(id)),
        }
        let object = self.objects.get_mut(&id).unwrap();
        object.listed = true;
        object.users -= 1;
    }

    /// Listed, and not in use.
    fn unused(&self, id: usize) -> bool {
        self.objects.get(&id).map_or(false, |o| o.listed && o.users == 0)
    }

    fn release(&mut self, t: usize, id: usize) {
        let object = self.objects.get_mut(&id).unwrap();
        object.users -= 1;
        if object.users == 0 && !object.listed {
            self.destroy(t, id);
        }
    }

    fn settled(&mut self, t: usize, id: usize) -> Option<Result<(), AccessError>> {
        let thread = self.thread(t);
        if thread.values.iter().any(|v| v.object == id) {
            Some(Ok(()))
        } else if thread.initializing.contains(&id) {
            Some(Err(AccessError::Recursive))
        } else if thread.destroyed.contains(&id) {
            Some(Err(AccessError::Destroyed))
        } else {
            None
        }
    }

    /// The value that the thread has or, as the crate's next event says, has inherited.
    fn settled_or_inherited(&mut self, t: usize, id: usize) -> Option<Result<(), AccessError>> {
        let settled = self.settled(t, id);
        match self.next() {
            Some(Event::Used(object, born, _, user))
                if settled.is_none() && (object, user) == (id, t) =>
            {
                self.inherit(t, id, born).then_some(Ok(()))
            }
            _ => settled,
        }
    }

    /// `None`: the initializer has failed.
    fn value(
        &mut self,
        t: usize,
        id: usize,
        fails: bool,
    ) -> Result<Result<(), Option<AccessError>>, Panicked> {
        if let Some(settled) = self.settled_or_inherited(t, id) {
            return Ok(settled.map_err(Some));
        }
        self.reclaim(t);
        if let Some(settled) = self.settled_or_inherited(t, id) {
            return Ok(settled.map_err(Some));
        }
        let plan = self.plans[id];
        self.thread(t).initializing.push(id);
        let acted = self.act(t, plan.init);
        self.thread(t).initializing.retain(|&o| o != id);
        acted?;
        if fails {
            return Ok(Err(None));
        }
        self.births += 1;
        let born = self.births;
        let event = if plan.destructor { Event::Born } else { Event::Made };
        self.events.push(event(id, born, t));
        let value = ModelValue { object: id, plan, uses: 0, born, claimed: false };
        self.thread(t).values.push(value);
        if plan.per_thread {
            assert!(self.count(id) <= MOST_THREADS.load(SeqCst), "too many values of {}", id);
        }
        Ok(Ok(()))
    }

    /// The number of values of a `PerThread`.
    fn count(&self, id: usize) -> usize {
        let used = |t: &ModelThread| t.values.iter().any(|v| v.object == id) as usize;
        self.objects[&id].orphaned.len() + self.threads.values().map(used).sum::<usize>()
    }

    fn drop_it(&mut self, t: usize, id: usize) {
        if self.listed(id) {
            let object = self.objects.get_mut(&id).unwrap();
            object.listed = false;
            if object.users == 0 {
                self.destroy(t, id);
            }
        }
    }

    fn destroy(&mut self, t: usize, id: usize) {
        let mut object = self.objects.remove(&id).unwrap();
        let mut here: Vec<ModelValue> = object.orphaned.drain(..).collect();
        for (&owner, thread) in &mut self.threads {
            thread.destroyed.retain(|&o| o != id);
            if let Some(index) = thread.values.iter().position(|v| v.object == id) {
                if owner != t && thread.values[index].claimed {
                    continue;
                }
                let value = thread.values.remove(index);
                if owner == t || object.plan.per_thread {
                    here.push(value);
                } else {
                    thread.inbox.push(value);
                }
            }
        }
        here.sort_by_key(|v| std::cmp::Reverse(v.born));
        here.into_iter().for_each(|value| self.die(t, value));
    }

    fn reclaim(&mut self, t: usize) {
        if self.thread(t).reclaiming {
            return;
        }
        self.thread(t).reclaiming = true;
        while let Some(value) = self.thread(t).next_orphan() {
            self.die(t, value);
        }
        self.thread(t).reclaiming = false;
    }

    fn exit(&mut self, t: usize) {
        loop {
            let thread = self.thread(t);
            match thread.values.iter().rposition(ModelValue::ends_with_thread) {
                Some(newest) if thread.values[newest].claimed => {
                    let value = thread.values.remove(newest);
                    if self.objects.contains_key(&value.object) {
                        self.thread(t).destroyed.push(value.object);
                    }
                    self.die(t, value);
                }
                Some(_) => thread.claim(),
                None => match thread.next_orphan() {
                    Some(value) => self.die(t, value),
                    None => break,
                },
            }
        }
        // The other values are there to the end. Then those of objects are left to other threads.
        for value in self.threads.remove(&t).unwrap().values {
            if value.plan.per_thread {
                self.objects.get_mut(&value.object).unwrap().orphaned.push(value);
            }
        }
    }

    fn run(&mut self, t: usize, op: Op) {
        match op {
            Op::Make(id) => {
                if self.made.insert(id) {
                    let plan = self.plans[id];
                    let object = ModelObject { plan, orphaned: vec![], users: 0, listed: true };
                    self.objects.insert(id, object);
                }
            }
            Op::Drop(id) => self.drop_it(t, id),
            Op::Use(id) => self.use_it(t, id, false),
            Op::Try(id) => self.use_it(t, id, true),
            Op::Change(id) => self.change(t, id),
            Op::Prepare(id) => {
                if self.listed(id) {
                    let event = match self.settled(t, id) {
                        Some(Err(error)) => Event::Refused(id, error),
                        _ => Event::Prepared(id),
                    };
                    self.events.push(event);
                }
            }
            Op::Look(id) => {
                if self.listed(id) {
                    if let Some(Event::Found(_, Some((born, _)), _)) = self.next() {
                        self.inherit(t, id, born);
                    }
                    let value = self.thread(t).values.iter().find(|v| v.object == id);
                    let found = value.map(|v| (v.born, v.uses));
                    self.events.push(Event::Found(id, found, t));
                }
            }
            Op::Count(id) => {
                if self.listed(id) && self.objects[&id].plan.per_thread {
                    let count = self.count(id);
                    self.events.push(Event::Counted(id, count));
                }
            }
            Op::Remove(id) => {
                if self.unused(id) {
                    if let Some(Event::Removed(_, Some(born), _)) = self.next() {
                        self.inherit(t, id, born);
                    }
                    let values = &mut self.thread(t).values;
                    let index = values.iter().position(|v| v.object == id);
                    let value = index.map(|index| values.remove(index));
                    self.events.push(Event::Removed(id, value.map(|v| v.born), t));
                    if let Some(value) = value {
                        self.die(t, value);
                    }
                }
            }
            Op::Drain(id) => {
                if self.unused(id) && self.objects[&id].plan.per_thread {
                    let mut drained =
                        std::mem::take(&mut self.objects.get_mut(&id).unwrap().orphaned);
                    for thread in self.threads.values_mut() {
                        if let Some(index) = thread.values.iter().position(|v| v.object == id) {
                            drained.push(thread.values.remove(index));
                        }
                    }
                    drained.sort_by_key(|v| std::cmp::Reverse(v.born));
                    drained.into_iter().for_each(|value| self.die(t, value));
                }
            }
            Op::Move(_) => {}
            Op::Reclaim => self.reclaim(t),
        }
    }
}

// ---------------------------------------------------------------------------------------------- both

/// What was done, for the end of a long run.
#[derive(Clone, Copy, Default)]
pub struct Census {
    pub operations: u64,
    /// With a destructor, and without.
    pub born: u64,
    pub made: u64,
    pub died: u64,
    pub refused: u64,
    pub panicked: u64,
    pub threads: u64,
    pub objects: u64,
}

impl fmt::Display for Census {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations, {} threads, {} objects; values: {} with a destructor, {} destroyed, {} without one; {} errors, {} panics",
            self.operations,
            self.threads,
            self.objects,
            self.born,
            self.died,
            self.made,
            self.refused,
            self.panicked
        )
    }
}

/// Adds a new object's plan, and gives the object's number.
fn plan(choices: &mut dyn Choices, plans: &mut Vec<Plan>, objects: usize) -> usize {
    let id = plans.len();
    let (init, drop, change) = (Act::Nothing, Act::Nothing, Act::Nothing);
    let (per_thread, destructor) = (choices.below(4) == 0, choices.below(3) > 0);
    plans.push(Plan { per_thread, destructor, init, drop, change });
    let mut act = || match choices.below(16) {
        0..=3 => Act::Here(ops(choices, plans, objects)),
        // Its own object, which is in use then.
        4 => Act::Here([Op::Use(id), operation(choices, plans, objects)]),
        5 => Act::Panic,
        6 | 7 => Act::Elsewhere(choices.below(THREADS), ops(choices, plans, objects)),
        8 if choices.below(2) == 0 => Act::InNewThread(ops(choices, plans, objects)),
        _ => Act::Nothing,
    };
    let (init, mut drop, change) = (act(), act(), act());
    if drop == Act::Panic {
        drop = Act::Nothing;
    }
    plans[id] = Plan { per_thread, destructor, init, drop, change };
    id
}

fn ops(choices: &mut dyn Choices, plans: &mut Vec<Plan>, objects: usize) -> Ops {
    let first = match choices.below(4) {
        0 => Op::Drop(nearby(choices, plans.len(), objects)),
        _ => operation(choices, plans, objects),
    };
    match first {
        // What is new is used, so that it gets a number.
        Op::Make(id) => [first, Op::Use(id)],
        _ => [first, operation(choices, plans, objects)],
    }
}

/// One of the objects of late, whether it is still there or not.
fn nearby(choices: &mut dyn Choices, next: usize, objects: usize) -> usize {
    next.saturating_sub(1 + choices.below(objects))
}

fn operation(choices: &mut dyn Choices, plans: &mut Vec<Plan>, objects: usize) -> Op {
    let id = nearby(choices, plans.len(), objects);
    match choices.below(24) {
        0 => Op::Use(id),
        1 | 2 => Op::Make(plan(choices, plans, objects)),
        3 => Op::Drop(id),
        4 => Op::Remove(id),
        5 => Op::Move(id),
        6 => Op::Reclaim,
        7 => Op::Look(id),
        8 => Op::Count(id),
        9 => Op::Drain(id),
        10 => Op::Change(id),
        11 => Op::Prepare(id),
        12 => Op::Try(id),
        _ => Op::Use(id),
    }
}

/// Runs a program of about so many operations on about so many objects at a time, and panics where the crate does not do as
/// the model.
pub fn run(choices: &mut dyn Choices, operations: u64, objects: usize) -> Census {
    let world = Arc::new(World::default());
    let mut model = Model::default();
    let mut workers: Vec<Worker> = vec![];
    let mut census = Census::default();
    let mut plans = vec![];
    // To be called before the crate does something.
    let prepare = |model: &mut Model, plans: &[Plan]| {
        let new = plans.get(model.plans.len()..).unwrap_or(&[]);
        world.plans.lock().unwrap().extend(new);
        model.plans.extend(new);
        world.acts.store(0, SeqCst);
        model.acts = 0;
    };
    // To be called when the crate has done something, and before the model does the same.
    let listen = |model: &mut Model| model.happened.append(&mut world.events.lock().unwrap());
    let expect = |model: &mut Model, what: &dyn fmt::Debug, census: &mut Census| {
        let happened = std::mem::take(&mut model.happened);
        let expected = std::mem::take(&mut model.events);
        if happened != expected {
            let same = happened.iter().zip(&expected).take_while(|(h, e)| h == e).count();
            let (happened, expected) = (&happened[same..], &expected[same..]);
            panic!(
                "{:?}\n{} events, then\nexpected {:?}\nhappened {:?}",
                what, same, expected, happened
            );
        }
        for event in happened {
            match event {
                Event::Born(..) => census.born += 1,
                Event::Made(..) => census.made += 1,
                Event::Died(..) => census.died += 1,
                Event::Refused(..) => census.refused += 1,
                Event::Panicked(..) => census.panicked += 1,
                _ => {}
            }
        }
    };
    let start = |model: &mut Model| {
        let worker = Worker::start(&world);
        assert_eq!(model.begin(), worker.id);
        model.workers.push(worker.id);
        worker
    };
    let end = |model: &mut Model, worker: Worker, census: &mut Census| {
        let id = worker.id;
        prepare(model, &[]);
        worker.end(&world);
        listen(model);
        model.workers.retain(|&worker| worker != id);
        model.exit(id);
        expect(model, &("the end of thread", id), census);
    };
    let run_on = |model: &mut Model, id: usize, ops: &[Op], census: &mut Census| {
        prepare(model, &[]);
        world.run_on(id, ops);
        listen(model);
        model.run_on(id, ops);
        expect(model, &("thread", id, ops), census);
    };
    // In some programs threads live for long, in others not.
    let life = [8, 24, 64][choices.below(3)];
    while census.operations < operations && !choices.is_over() {
        if workers.is_empty() || (workers.len() < THREADS && choices.below(8) == 0) {
            workers.push(start(&mut model));
            continue;
        }
        let index = choices.below(workers.len());
        if choices.below(life) == 0 {
            end(&mut model, workers.swap_remove(index), &mut census);
            continue;
        }
        let few = choices.below(4) == 0;
        let most = if few { 4 } else { [4, 64][choices.below(2)] };
        let ops: Vec<Op> =
            (0..1 + choices.below(most)).map(|_| operation(choices, &mut plans, objects)).collect();
        prepare(&mut model, &plans);
        census.operations += ops.len() as u64;
        if few {
            // By a thread that lives no longer than that.
            world.in_new_thread(&ops);
            listen(&mut model);
            model.in_new_thread(&ops);
            expect(&mut model, &("a new thread", ops), &mut census);
            continue;
        }
        let id = workers[index].id;
        run_on(&mut model, id, &ops, &mut census);
        // Old objects go, so that there are a few dozen.
        let old = drops(&model, plans.len().saturating_sub(objects));
        run_on(&mut model, id, &old, &mut census);
    }
    // The end: every thread, and then, on further ones, every object.
    for worker in workers {
        end(&mut model, worker, &mut census);
    }
    while !model.objects.is_empty() {
        let last = start(&mut model);
        let all = drops(&model, plans.len());
        run_on(&mut model, last.id, &all, &mut census);
        end(&mut model, last, &mut census);
    }
    // Exactly once each.
    assert_eq!(census.born, census.died);
    census.threads = model.next_thread as u64;
    census.objects = model.made.len() as u64;
    census
}

/// Drops the objects below that number.
fn drops(model: &Model, end: usize) -> Vec<Op> {
    let mut old: Vec<usize> = model.objects.keys().copied().filter(|&o| o < end).collect();
    old.sort_unstable();
    old.into_iter().map(Op::Drop).collect()
}
