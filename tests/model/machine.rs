//! A random program for the crate, and beside it a simple model that knows what must happen, to the order of events.
//!
//! The program runs on several threads, one operation at a time, so that its outcome is certain: objects are made, dropped and moved, threads
//! come and go, values are used, removed and reclaimed, and what initializers and destructors do (use or drop
//! another object, panic) is drawn as well. Every value logs its birth and its death; the model writes the log that it
//! expects. A value that is never destroyed, or twice, or by the wrong thread, or too early, is a difference.
//!
//! Values are of four kinds: of `ThreadLocal` and of `PerThread`, with and without a destructor. The rules for a thread's end:
//!
//! - Its `ThreadLocal` values with a destructor are destroyed, the newest first, including those that destructors make. From
//!   then on they are `Destroyed` in that thread.
//! - Its `ThreadLocal` values without a destructor stay as they are until the thread is gone. They are never `Destroyed`.
//! - Its `PerThread` values stay, and are left to later threads.
//!
//! The one thing that is not certain is which thread inherits a value of a `PerThread`, if any: the crate's log says it, and the
//! model checks that the value was free, that no other thread has it, and that there are never more values than there were threads at a time.

use os_thread_local::{reclaim, AccessError, PerThread, ThreadLocal};
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::panic::{catch_unwind, resume_unwind, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{channel, Receiver, Sender};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

/// Where the choices come from: random numbers, or a fuzzer's bytes.
pub trait Choices {
    /// Below `n`.
    fn below(&mut self, n: usize) -> usize;
    /// There is nothing left to choose from.
    fn is_over(&self) -> bool {
        false
    }
}

const THREADS: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Act {
    Nothing,
    Use(usize),
    Drop(usize),
    Panic,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Plan {
    /// A value belongs to its thread (`ThreadLocal`), or to the object (`PerThread`).
    per_thread: bool,
    /// Values have a destructor, which does `drop`.
    destructor: bool,
    init: Act,
    drop: Act,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Op {
    Make(usize, Plan),
    Drop(usize),
    Use(usize),
    Look(usize),
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
    /// Which value was used, and how often it has been.
    Used(usize, u64, u32),
    Refused(usize, AccessError),
    Panicked(usize),
    Found(usize, Option<(u64, u32)>),
    /// Which value was taken out.
    Removed(usize, Option<u64>),
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

#[derive(Default)]
struct World {
    objects: Mutex<HashMap<usize, Arc<Object>>>,
    events: Mutex<Vec<Event>>,
    births: AtomicUsize,
}

impl World {
    fn log(&self, event: Event) {
        self.events.lock().unwrap().push(event);
    }

    fn get(&self, object: usize) -> Option<Arc<Object>> {
        self.objects.lock().unwrap().get(&object).cloned()
    }

    /// No lock is held when the object's last owner lets it go.
    fn take(&self, object: usize) -> Option<Arc<Object>> {
        self.objects.lock().unwrap().remove(&object)
    }

    fn content(self: &Arc<Self>, object: usize, plan: Plan) -> Content {
        self.act(plan.init);
        let born = 1 + self.births.fetch_add(1, SeqCst) as u64;
        let event = if plan.destructor { Event::Born } else { Event::Made };
        self.log(event(object, born, current()));
        Content { object, born, uses: Cell::new(0), alive: ALIVE }
    }

    fn value(self: &Arc<Self>, object: usize, plan: Plan) -> Value {
        let content = self.content(object, plan);
        Value { content, world: self.clone(), thread: current(), plan }
    }

    fn object(self: &Arc<Self>, id: usize, plan: Plan) -> Object {
        let world = self.clone();
        match (plan.per_thread, plan.destructor) {
            (false, true) => Object::Local(ThreadLocal::from_fn(Box::new(move || {
                Own(world.value(id, plan), PhantomData)
            }))),
            (false, false) => Object::LocalPlain(ThreadLocal::from_fn(Box::new(move || {
                Own(world.content(id, plan), PhantomData)
            }))),
            (true, true) => {
                Object::Per(PerThread::from_fn(Box::new(move || world.value(id, plan))))
            }
            (true, false) => {
                Object::PerPlain(PerThread::from_fn(Box::new(move || world.content(id, plan))))
            }
        }
    }

    fn act(self: &Arc<Self>, act: Act) {
        match act {
            Act::Nothing => {}
            Act::Use(object) => self.use_it(object),
            Act::Drop(object) => drop(self.take(object)),
            Act::Panic => resume_unwind(Box::new("planned")),
        }
    }

    fn use_it(&self, id: usize) {
        let object = match self.get(id) {
            Some(object) => object,
            None => return,
        };
        let used = catch_unwind(AssertUnwindSafe(|| match &*object {
            Object::Local(local) => local.try_with(|value| count(id, value)),
            Object::LocalPlain(local) => local.try_with(|value| count(id, value)),
            Object::Per(per) => per.try_with(|value| count(id, value)),
            Object::PerPlain(per) => per.try_with(|value| count(id, value)),
        }));
        self.log(match used {
            Ok(Ok((born, uses))) => Event::Used(id, born, uses),
            Ok(Err(error)) => Event::Refused(id, error),
            Err(_) => Event::Panicked(id),
        });
    }

    fn run(self: &Arc<Self>, op: Op) {
        match op {
            Op::Make(id, plan) => {
                let object = Arc::new(self.object(id, plan));
                self.objects.lock().unwrap().insert(id, object);
            }
            Op::Drop(id) => drop(self.take(id)),
            Op::Use(id) => self.use_it(id),
            Op::Look(id) => {
                if let Some(object) = self.get(id) {
                    let found = match &*object {
                        Object::Local(local) => local.with_existing(look),
                        Object::LocalPlain(local) => local.with_existing(look),
                        Object::Per(per) => per.with_existing(look),
                        Object::PerPlain(per) => per.with_existing(look),
                    };
                    self.log(Event::Found(id, found));
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
                let object = match self.take(id) {
                    Some(object) => object,
                    None => return,
                };
                // Between operations no other thread has it.
                let mut object = Arc::try_unwrap(object).unwrap_or_else(|_| unreachable!());
                // What is in it is destroyed when it has a new place and is shared again.
                let mut destroyed: Vec<Box<dyn HasContent>> = Vec::new();
                match op {
                    Op::Remove(_) => {
                        destroyed.extend(match &mut object {
                            Object::Local(local) => local.remove().map(boxed),
                            Object::LocalPlain(local) => local.remove().map(boxed),
                            Object::Per(per) => per.remove().map(boxed),
                            Object::PerPlain(per) => per.remove().map(boxed),
                        });
                        let removed = destroyed.first().map(|value| value.content().born);
                        self.log(Event::Removed(id, removed));
                    }
                    Op::Drain(_) => match &mut object {
                        Object::Per(per) => destroyed.extend(per.drain().map(boxed)),
                        Object::PerPlain(per) => destroyed.extend(per.drain().map(boxed)),
                        _ => {}
                    },
                    _ => {}
                }
                self.objects.lock().unwrap().insert(id, Arc::new(object));
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
    orders: Option<Sender<Vec<Op>>>,
    done: Receiver<()>,
    thread: JoinHandle<()>,
}

impl Worker {
    fn start(world: &Arc<World>, id: usize) -> Worker {
        let (orders, to_do) = channel::<Vec<Op>>();
        let (tell, done) = channel();
        let world = world.clone();
        let thread = thread::spawn(move || {
            THREAD.with(|t| t.set(id));
            for ops in to_do {
                ops.into_iter().for_each(|op| world.run(op));
                tell.send(()).unwrap();
            }
        });
        Worker { orders: Some(orders), done, thread }
    }

    fn run(&self, ops: &[Op]) {
        self.orders.as_ref().unwrap().send(ops.to_vec()).unwrap();
        // An error means that the thread has panicked; `end` will say so.
        let _ = self.done.recv();
    }

    fn end(mut self, id: usize) {
        *EXITING.lock().unwrap() = id;
        self.orders = None;
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
}

#[derive(Default)]
struct ModelThread {
    /// By object, the oldest link first.
    values: Vec<ModelValue>,
    initializing: Vec<usize>,
    destroyed: Vec<usize>,
    /// Left behind by dropped objects; the last one goes first.
    pending: Vec<ModelValue>,
    reclaiming: bool,
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
    objects: HashMap<usize, ModelObject>,
    threads: HashMap<usize, ModelThread>,
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
            Act::Nothing => {}
            Act::Use(id) => self.use_it(t, id),
            Act::Drop(id) => self.drop_it(t, id),
            Act::Panic => return Err(Panicked),
        }
        Ok(())
    }

    /// The destructor of a value: it never panics.
    fn die(&mut self, t: usize, value: ModelValue) {
        if value.plan.destructor {
            self.events.push(Event::Died(value.object, value.born, t));
            let _ = self.act(t, value.plan.drop);
        }
    }

    fn begin(&mut self, t: usize) {
        self.threads.insert(t, ModelThread::default());
        MOST_THREADS.fetch_max(self.threads.len(), SeqCst);
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

    fn use_it(&mut self, t: usize, id: usize) {
        if !self.listed(id) {
            return;
        }
        self.objects.get_mut(&id).unwrap().users += 1;
        let event = match self.value(t, id) {
            Ok(Ok(())) => {
                let value = self.thread(t).values.iter_mut().find(|v| v.object == id).unwrap();
                value.uses += 1;
                Event::Used(id, value.born, value.uses)
            }
            Ok(Err(error)) => Event::Refused(id, error),
            Err(Panicked) => Event::Panicked(id),
        };
        self.events.push(event);
        self.release(t, id);
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
            Some(Event::Used(object, born, _)) if settled.is_none() && object == id => {
                self.inherit(t, id, born).then_some(Ok(()))
            }
            _ => settled,
        }
    }

    fn value(&mut self, t: usize, id: usize) -> Result<Result<(), AccessError>, Panicked> {
        if let Some(settled) = self.settled_or_inherited(t, id) {
            return Ok(settled);
        }
        self.reclaim(t);
        if let Some(settled) = self.settled_or_inherited(t, id) {
            return Ok(settled);
        }
        let plan = self.objects[&id].plan;
        self.thread(t).initializing.push(id);
        let acted = self.act(t, plan.init);
        self.thread(t).initializing.retain(|&o| o != id);
        acted?;
        self.births += 1;
        let born = self.births;
        let event = if plan.destructor { Event::Born } else { Event::Made };
        self.events.push(event(id, born, t));
        self.thread(t).values.push(ModelValue { object: id, plan, uses: 0, born });
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
                let value = thread.values.remove(index);
                if owner == t || object.plan.per_thread {
                    here.push(value);
                } else {
                    thread.pending.push(value);
                }
            }
        }
        here.sort_by_key(|v| std::cmp::Reverse(v.born));
        here.into_iter().for_each(|value| self.die(t, value));
    }

    fn reclaim(&mut self, t: usize) {
        if self.thread(t).pending.is_empty() || self.thread(t).reclaiming {
            return;
        }
        self.thread(t).reclaiming = true;
        while let Some(value) = self.thread(t).pending.pop() {
            self.die(t, value);
        }
        self.thread(t).reclaiming = false;
    }

    fn exit(&mut self, t: usize) {
        loop {
            let thread = self.thread(t);
            let ends = |v: &ModelValue| !v.plan.per_thread && v.plan.destructor;
            if let Some(newest) = thread.values.iter().rposition(ends) {
                let value = thread.values.remove(newest);
                thread.destroyed.push(value.object);
                self.die(t, value);
            } else if let Some(value) = thread.pending.pop() {
                self.die(t, value);
            } else {
                break;
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
            Op::Make(id, plan) => {
                let object = ModelObject { plan, orphaned: vec![], users: 0, listed: true };
                self.objects.insert(id, object);
            }
            Op::Drop(id) => self.drop_it(t, id),
            Op::Use(id) => self.use_it(t, id),
            Op::Look(id) => {
                if self.listed(id) {
                    if let Some(Event::Found(_, Some((born, _)))) = self.next() {
                        self.inherit(t, id, born);
                    }
                    let value = self.thread(t).values.iter().find(|v| v.object == id);
                    let found = value.map(|v| (v.born, v.uses));
                    self.events.push(Event::Found(id, found));
                }
            }
            Op::Count(id) => {
                if self.listed(id) && self.objects[&id].plan.per_thread {
                    let count = self.count(id);
                    self.events.push(Event::Counted(id, count));
                }
            }
            Op::Remove(id) => {
                if self.listed(id) {
                    if let Some(Event::Removed(_, Some(born))) = self.next() {
                        self.inherit(t, id, born);
                    }
                    let values = &mut self.thread(t).values;
                    let index = values.iter().position(|v| v.object == id);
                    let value = index.map(|index| values.remove(index));
                    self.events.push(Event::Removed(id, value.map(|v| v.born)));
                    if let Some(value) = value {
                        self.die(t, value);
                    }
                }
            }
            Op::Drain(id) => {
                if self.listed(id) && self.objects[&id].plan.per_thread {
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

fn plan(choices: &mut dyn Choices, next: usize, objects: usize) -> Plan {
    let mut act = |panics: usize| match choices.below(10) {
        0 | 1 => Act::Use(nearby(choices, next, objects)),
        2 => Act::Drop(nearby(choices, next, objects)),
        3 if panics > 0 => Act::Panic,
        // Its own object, which is in use then.
        4 => Act::Use(next),
        _ => Act::Nothing,
    };
    let (init, drop) = (act(1), act(0));
    Plan { per_thread: choices.below(4) == 0, destructor: choices.below(3) > 0, init, drop }
}

/// One of the objects of late, whether it is still there or not.
fn nearby(choices: &mut dyn Choices, next: usize, objects: usize) -> usize {
    next.saturating_sub(1 + choices.below(objects))
}

fn operation(choices: &mut dyn Choices, next: &mut usize, objects: usize) -> Op {
    let id = nearby(choices, *next, objects);
    match choices.below(20) {
        0 | 1 => {
            let plan = plan(choices, *next, objects);
            *next += 1;
            Op::Make(*next - 1, plan)
        }
        2 => Op::Drop(id),
        3 => Op::Remove(id),
        4 => Op::Move(id),
        5 => Op::Reclaim,
        6 => Op::Look(id),
        7 => Op::Count(id),
        8 => Op::Drain(id),
        _ => Op::Use(id),
    }
}

/// Runs a program of about so many operations on about so many objects at a time, and panics where the crate does not do as
/// the model.
pub fn run(choices: &mut dyn Choices, operations: u64, objects: usize) -> Census {
    let world = Arc::new(World::default());
    let mut model = Model::default();
    let mut workers: Vec<(usize, Worker)> = vec![];
    let mut census = Census::default();
    // Numbers of objects and threads are not used again.
    let mut next_object = 0;
    let mut next_thread = 0;
    // To be called when the crate has done something, and before the model does the same.
    let listen = |model: &mut Model| model.happened.append(&mut world.events.lock().unwrap());
    let expect = |model: &mut Model, what: &dyn fmt::Debug, census: &mut Census| {
        let happened = std::mem::take(&mut model.happened);
        let expected = std::mem::take(&mut model.events);
        if happened != expected {
            panic!("{:?}\nexpected {:?}\nhappened {:?}", what, expected, happened);
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
    while census.operations < operations && !choices.is_over() {
        if workers.is_empty() || (workers.len() < THREADS && choices.below(8) == 0) {
            workers.push((next_thread, Worker::start(&world, next_thread)));
            model.begin(next_thread);
            next_thread += 1;
            continue;
        }
        let index = choices.below(workers.len());
        if choices.below(24) == 0 {
            let (id, worker) = workers.swap_remove(index);
            worker.end(id);
            listen(&mut model);
            model.exit(id);
            expect(&mut model, &("the end of thread", id), &mut census);
            continue;
        }
        let (id, worker) = &workers[index];
        let ops: Vec<Op> = (0..1 + choices.below(64))
            .map(|_| operation(choices, &mut next_object, objects))
            .collect();
        worker.run(&ops);
        listen(&mut model);
        ops.iter().for_each(|op| model.run(*id, *op));
        census.operations += ops.len() as u64;
        // Old objects go, so that there are a few dozen.
        let old: Vec<usize> =
            model.objects.keys().copied().filter(|&o| o + objects < next_object).collect();
        let mut old: Vec<Op> = old.into_iter().map(Op::Drop).collect();
        old.sort_by_key(|op| format!("{:?}", op));
        worker.run(&old);
        listen(&mut model);
        old.iter().for_each(|op| model.run(*id, *op));
        expect(&mut model, &("thread", id, ops), &mut census);
    }
    // The end: every thread, and then, on a last one, every object.
    let last = (next_thread, Worker::start(&world, next_thread));
    model.begin(next_thread);
    for (id, worker) in workers {
        worker.end(id);
        listen(&mut model);
        model.exit(id);
        expect(&mut model, &("the end of thread", id), &mut census);
    }
    let ops: Vec<Op> = (0..next_object)
        .skip(next_object.saturating_sub(10 * objects))
        .filter(|id| model.listed(*id))
        .map(Op::Drop)
        .collect();
    last.1.run(&ops);
    listen(&mut model);
    ops.iter().for_each(|op| model.run(last.0, *op));
    last.1.end(last.0);
    listen(&mut model);
    model.exit(last.0);
    expect(&mut model, &"the end", &mut census);
    assert!(model.objects.is_empty());
    // Exactly once each.
    assert_eq!(census.born, census.died);
    census.threads = next_thread as u64 + 1;
    census.objects = next_object as u64;
    census
}
