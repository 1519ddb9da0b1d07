//! Destruction of a thread's values when the thread exits.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{mpsc, Arc, Mutex};
use std::thread;

use crate::common::{in_thread, Census, Counted, Entry, LastWords, Log, OnDrop};
use os_thread_local::{AccessError, NoInit, ThreadLocal};

type Logged = ThreadLocal<RefCell<Option<Entry>>>;

const fn logged() -> Logged {
    ThreadLocal::new(|| RefCell::new(None))
}

#[test]
fn values_are_destroyed_before_join_returns() {
    let census = Census::new();
    let c = census.clone();
    let tls = ThreadLocal::from_fn(move || c.count());
    thread::scope(|s| {
        for _ in 0..4 {
            s.spawn(|| tls.with(|_| ())).join().unwrap();
        }
        assert_eq!((census.built(), census.dropped(), census.strayed()), (4, 4, 0));
    });
    drop(tls);
    assert_eq!(census.dropped(), 4);
}

#[test]
fn a_thread_that_used_nothing_destroys_nothing() {
    let census = Census::new();
    let c = census.clone();
    let tls = ThreadLocal::<Counted, _>::from_fn(move || c.count());
    in_thread(move || assert!(tls.with_existing(|_| ()).is_none()));
    assert_eq!(census.built(), 0);
}

#[test]
fn newest_value_first() {
    static ONE: Logged = logged();
    static TWO: Logged = logged();
    static THREE: Logged = logged();
    let log = Log::new();
    let l = log.clone();
    in_thread(move || {
        TWO.set(Some(l.entry(2)));
        THREE.set(Some(l.entry(3)));
        ONE.set(Some(l.entry(1)));
        // A later use does not make a value any newer.
        TWO.with(|_| ());
    });
    assert_eq!(log.take(), [1, 3, 2]);

    // Not in the order of slot numbers, nor in the order of another thread's first uses.
    let l = log.clone();
    in_thread(move || {
        ONE.set(Some(l.entry(1)));
        TWO.set(Some(l.entry(2)));
        THREE.set(Some(l.entry(3)));
    });
    assert_eq!(log.take(), [3, 2, 1]);
}

#[test]
fn newest_value_first_among_many_objects() {
    let log = Log::new();
    let objects: Arc<Vec<Logged>> = Arc::new((0..300).map(|_| logged()).collect());
    // 7 and 300 have no common divisor: each object once, in an order of its own.
    let order: Vec<u32> = (0..300).map(|i| i * 7 % 300).collect();
    let (l, o, uses) = (log.clone(), Arc::clone(&objects), order.clone());
    in_thread(move || {
        for &i in &uses {
            o[i as usize].set(Some(l.entry(i)));
        }
    });
    assert_eq!(log.take(), order.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn a_value_that_was_removed_and_made_again_is_new() {
    let log = Log::new();
    let l = log.clone();
    in_thread(move || {
        static OTHER: Logged = logged();
        // Leaked: the object must outlive the closure, or its value would go with it.
        let object: &'static mut Logged = Box::leak(Box::new(logged()));
        object.set(Some(l.entry(1)));
        OTHER.set(Some(l.entry(2)));
        drop(object.remove());
        object.set(Some(l.entry(3)));
    });
    assert_eq!(log.take(), [1, 3, 2]);
}

#[test]
fn a_destructor_uses_values_of_every_state() {
    static OLDER: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(10));
    static NEWER: ThreadLocal<Box<u32>> = ThreadLocal::new(|| Box::new(20));
    static UNUSED: Logged = logged();
    static PROBE: ThreadLocal<RefCell<Option<Probe>>> = ThreadLocal::new(|| RefCell::new(None));

    struct Probe(Log);
    impl Drop for Probe {
        fn drop(&mut self) {
            // An older value still lives, a newer one is gone, and so is our own.
            self.0.push(OLDER.get());
            assert_eq!(NEWER.try_with(|_| ()), Err(AccessError::Destroyed));
            assert_eq!(PROBE.try_with(|_| ()), Err(AccessError::Destroyed));
            assert_eq!(NEWER.with_existing(|_| ()), None);
            // One that this thread never used is made now, and destroyed after us.
            UNUSED.set(Some(self.0.entry(99)));
            self.0.push(11);
        }
    }
    let log = Log::new();
    let probe = Probe(log.clone());
    in_thread(move || {
        OLDER.set(10);
        PROBE.set(Some(probe));
        NEWER.with(|_| ());
    });
    assert_eq!(log.take(), [10, 11, 99]);
}

#[test]
fn a_destructor_creates_and_drops_objects() {
    static OUTER: ThreadLocal<RefCell<Option<Probe>>> = ThreadLocal::new(|| RefCell::new(None));
    struct Probe {
        log: Log,
        owned: Option<Logged>,
    }
    impl Drop for Probe {
        fn drop(&mut self) {
            self.log.push(1);
            drop(self.owned.take());
            self.log.push(3);
            for i in 0..100 {
                let object = logged();
                object.set(Some(self.log.entry(100 + i)));
            }
            // Leaked with a value in it: the thread destroys that too.
            Box::leak(Box::new(logged())).set(Some(self.log.entry(4)));
        }
    }
    let log = Log::new();
    let l = log.clone();
    in_thread(move || {
        let owned = logged();
        let probe = Probe { log: l.clone(), owned: None };
        OUTER.set(Some(probe));
        OUTER.with_borrow_mut(|p| p.as_mut().unwrap().owned = Some(owned));
        // Newer than the probe, and already destroyed when the probe drops the object.
        OUTER.with_borrow(|p| p.as_ref().unwrap().owned.as_ref().unwrap().set(Some(l.entry(2))));
    });
    let mut expected = vec![2, 1, 3];
    expected.extend(100..200);
    expected.push(4);
    assert_eq!(log.take(), expected);
}

/// An object that is dropped by a destructor while its value in this thread is still alive.
#[test]
fn a_destructor_drops_an_object_with_an_older_value() {
    static OLDER: Mutex<Option<Logged>> = Mutex::new(None);
    static PROBE: ThreadLocal<RefCell<Option<Probe>>> = ThreadLocal::new(|| RefCell::new(None));
    struct Probe(Log);
    impl Drop for Probe {
        fn drop(&mut self) {
            self.0.push(1);
            let object = OLDER.lock().unwrap().take();
            drop(object);
            self.0.push(3);
        }
    }
    let log = Log::new();
    let l = log.clone();
    in_thread(move || {
        let object = logged();
        object.set(Some(l.entry(2)));
        *OLDER.lock().unwrap() = Some(object);
        PROBE.set(Some(Probe(l.clone())));
    });
    assert_eq!(log.take(), [1, 2, 3]);
}

#[test]
fn a_chain_of_a_thousand_is_destroyed_to_its_end() {
    static CHAIN: [ThreadLocal<RefCell<Option<Link>>>; 1_000] = {
        // A constant, so that it can be repeated: each element is an object of its own.
        #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
        const EMPTY: ThreadLocal<RefCell<Option<Link>>> = ThreadLocal::new(|| RefCell::new(None));
        [EMPTY; 1_000]
    };
    struct Link {
        index: usize,
        dropped: Arc<AtomicUsize>,
    }
    impl Drop for Link {
        fn drop(&mut self) {
            assert_eq!(self.dropped.fetch_add(1, SeqCst), self.index);
            if let Some(next) = CHAIN.get(self.index + 1) {
                next.set(Some(Link { index: self.index + 1, dropped: Arc::clone(&self.dropped) }));
            }
        }
    }
    let dropped = Arc::new(AtomicUsize::new(0));
    let first = Link { index: 0, dropped: Arc::clone(&dropped) };
    in_thread(move || CHAIN[0].set(Some(first)));
    assert_eq!(dropped.load(SeqCst), 1_000);
}

#[test]
fn destroyed_for_the_rest_of_the_thread() {
    // Every destructor uses every object: values that were destroyed before stay destroyed.
    static ALL: [ThreadLocal<RefCell<Option<Probe>>>; 40] = {
        #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
        const EMPTY: ThreadLocal<RefCell<Option<Probe>>> = ThreadLocal::new(|| RefCell::new(None));
        [EMPTY; 40]
    };
    struct Probe(usize, Arc<AtomicUsize>);
    impl Drop for Probe {
        fn drop(&mut self) {
            for (i, object) in ALL.iter().enumerate() {
                let expected = if i < self.0 { Ok(()) } else { Err(AccessError::Destroyed) };
                assert_eq!(object.try_with(|_| ()), expected, "{} from {}", i, self.0);
                assert_eq!(object.with_existing(|_| ()), expected.ok());
                assert_eq!(object.prepare(), expected);
            }
            self.1.fetch_add(1, SeqCst);
        }
    }
    let asked = Arc::new(AtomicUsize::new(0));
    let a = Arc::clone(&asked);
    in_thread(move || {
        for (i, object) in ALL.iter().enumerate() {
            object.set(Some(Probe(i, Arc::clone(&a))));
        }
    });
    assert_eq!(asked.load(SeqCst), 40);
}

/// Made before and after the values that are destroyed, in the record and in its table: every destructor finds the same
/// value that the thread has used.
#[test]
fn values_without_a_destructor_stay_usable() {
    const PROBES: usize = 10;
    static NUMBERS: [ThreadLocal<Cell<usize>>; 100] = {
        #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
        const ZERO: ThreadLocal<Cell<usize>> = ThreadLocal::new(|| Cell::new(0));
        [ZERO; 100]
    };
    static PROBE: [ThreadLocal<RefCell<Option<Probe>>>; PROBES] = {
        #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
        const NONE: ThreadLocal<RefCell<Option<Probe>>> = ThreadLocal::new(|| RefCell::new(None));
        [NONE; PROBES]
    };
    /// Only destructors use these: what the first makes, the others find.
    static LATE: [ThreadLocal<Cell<usize>>; 2] =
        [ThreadLocal::new(|| Cell::new(7)), ThreadLocal::new(|| Cell::new(7))];
    struct Probe(Arc<AtomicUsize>);
    impl Drop for Probe {
        fn drop(&mut self) {
            let before = self.0.fetch_add(1, SeqCst);
            for (i, number) in NUMBERS.iter().enumerate() {
                let expected = 1_000 * (i + 1) + before;
                assert_eq!(number.with_existing(Cell::get), Some(expected), "{}", i);
                assert_eq!(number.try_with(|v| v.replace(expected + 1)), Ok(expected), "{}", i);
            }
            for late in &LATE {
                assert_eq!(late.try_with(|v| v.replace(v.get() + 1)), Ok(7 + before));
            }
        }
    }
    let ran = Arc::new(AtomicUsize::new(0));
    let r = Arc::clone(&ran);
    in_thread(move || {
        for (i, number) in NUMBERS.iter().enumerate() {
            number.set(1_000 * (i + 1));
            if i % 10 == 5 {
                PROBE[i / 10].set(Some(Probe(Arc::clone(&r))));
            }
        }
    });
    assert_eq!(ran.load(SeqCst), PROBES);
    // The next thread, which may have that one's record, starts with new values.
    in_thread(|| {
        for number in &NUMBERS {
            assert_eq!((number.with_existing(Cell::get), number.get()), (None, 0));
        }
        assert!(LATE.iter().all(|late| late.with_existing(Cell::get).is_none() && late.get() == 7));
    });
}

/// A destructor may take such a value out, and make another.
#[test]
fn a_value_without_a_destructor_is_removed_in_one() {
    static OBJECT: Mutex<Option<ThreadLocal<Cell<u32>>>> = Mutex::new(None);
    static GUARD: ThreadLocal<RefCell<Option<Probe>>> = ThreadLocal::new(|| RefCell::new(None));
    struct Probe(Log);
    impl Drop for Probe {
        fn drop(&mut self) {
            let mut object = OBJECT.lock().unwrap().take().unwrap();
            self.0.push(object.remove().map_or(0, |v| v.get()));
            self.0.push(object.remove().map_or(0, |v| v.get()));
            self.0.push(object.try_with_mut(|v| v.get()).unwrap_or(0));
            object.set(3);
            drop(object);
            let new = ThreadLocal::new(|| Cell::new(4));
            self.0.push(new.try_with(Cell::get).unwrap_or(0));
        }
    }
    let log = Log::new();
    let probe = Probe(log.clone());
    in_thread(move || {
        GUARD.set(Some(probe));
        let object = ThreadLocal::new(|| Cell::new(1));
        object.set(2);
        *OBJECT.lock().unwrap() = Some(object);
    });
    assert_eq!(log.take(), [2, 0, 1, 4]);
}

/// `remove` in a destructor takes what is there; what is destroyed is not there, and stays destroyed.
#[test]
fn remove_from_a_destructor() {
    static OBJECT: Mutex<Option<ThreadLocal<Box<u32>>>> = Mutex::new(None);
    static GUARD: ThreadLocal<RefCell<Option<Probe>>> = ThreadLocal::new(|| RefCell::new(None));
    struct Probe(Log);
    impl Drop for Probe {
        fn drop(&mut self) {
            let mut object = OBJECT.lock().unwrap().take().unwrap();
            self.0.push(object.remove().is_none() as u32);
            self.0.push((object.try_with(|_| ()) == Err(AccessError::Destroyed)) as u32);
            self.0.push((object.try_with_mut(|_| ()) == Err(AccessError::Destroyed)) as u32);
        }
    }
    let log = Log::new();
    let probe = Probe(log.clone());
    in_thread(move || {
        GUARD.set(Some(probe));
        let object = ThreadLocal::new(|| Box::new(1));
        object.with(|_| ());
        *OBJECT.lock().unwrap() = Some(object);
    });
    assert_eq!(log.take(), [1, 1, 1]);
}

/// The next object that gets the number of a dropped one must not inherit that it was destroyed.
#[test]
fn a_new_object_is_not_destroyed_because_its_predecessor_was() {
    static OBJECTS: Mutex<Vec<ThreadLocal<Box<u32>>>> = Mutex::new(Vec::new());
    static GUARD: ThreadLocal<RefCell<Option<Probe>>> = ThreadLocal::new(|| RefCell::new(None));
    struct Probe(Arc<AtomicUsize>);
    impl Drop for Probe {
        fn drop(&mut self) {
            let old = std::mem::take(&mut *OBJECTS.lock().unwrap());
            for object in &old {
                assert_eq!(object.try_with(|_| ()), Err(AccessError::Destroyed));
            }
            drop(old);
            // As many new ones: between them they have every number that just became free.
            let new: Vec<ThreadLocal<Box<u32>>> =
                (0..100).map(|_| ThreadLocal::new(|| Box::new(7))).collect();
            for object in &new {
                self.0.fetch_add(object.try_with(|v| **v).unwrap() as usize, SeqCst);
            }
        }
    }
    let sum = Arc::new(AtomicUsize::new(0));
    let probe = Probe(Arc::clone(&sum));
    in_thread(move || {
        GUARD.set(Some(probe));
        let objects: Vec<ThreadLocal<Box<u32>>> =
            (0..100).map(|_| ThreadLocal::new(|| Box::new(1))).collect();
        for object in &objects {
            object.with(|_| ());
        }
        *OBJECTS.lock().unwrap() = objects;
    });
    assert_eq!(sum.load(SeqCst), 700);
}

/// The same while the values of the dropped objects still wait for their turn to be destroyed.
#[test]
fn another_thread_reuses_the_numbers_of_values_that_wait_for_their_end() {
    const OBJECTS: usize = 20;
    static NEW: Mutex<Vec<Arc<ThreadLocal<Looks, NoInit>>>> = Mutex::new(Vec::new());

    /// A value of the new objects, which looks for itself.
    struct Looks(usize, Arc<AtomicUsize>);

    impl Drop for Looks {
        fn drop(&mut self) {
            let object = NEW.lock().unwrap()[self.0].clone();
            if object.try_with_or(|| unreachable!(), |_| ()) == Err(AccessError::Destroyed) {
                self.1.fetch_add(1, SeqCst);
            }
        }
    }

    let destroyed = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&destroyed);
    let (to_main, from_thread) = mpsc::channel::<Vec<ThreadLocal<Box<u32>>>>();
    let (to_thread, from_main) = mpsc::channel::<()>();
    let thread = thread::spawn(move || {
        static FIRST: ThreadLocal<RefCell<Option<LastWords>>> =
            ThreadLocal::new(|| RefCell::new(None));

        let mut old: Vec<ThreadLocal<Box<u32>>> =
            (0..OBJECTS).map(|_| ThreadLocal::new(Box::default)).collect();
        old.iter().for_each(|object| object.with(|_| ()));
        // The newest value, and so the first that is destroyed.
        FIRST.set(Some(OnDrop(Box::new(move || {
            to_main.send(std::mem::take(&mut old)).unwrap();
            from_main.recv().unwrap();
            for number in 0..OBJECTS {
                let object = NEW.lock().unwrap()[number].clone();
                object.with_or(|| Looks(number, Arc::clone(&counter)), |_| ());
            }
        }))));
    });
    drop(from_thread.recv().unwrap());
    for _ in 0..OBJECTS {
        let object = Arc::new(ThreadLocal::without_init());
        object.prepare().unwrap();
        NEW.lock().unwrap().push(object);
    }
    to_thread.send(()).unwrap();
    thread.join().unwrap();
    assert_eq!(destroyed.load(SeqCst), OBJECTS);
}

/// The same, with another thread that drops the object and makes its successor.
#[test]
fn another_thread_reuses_the_number_during_destruction() {
    static RUN: ThreadLocal<RefCell<Option<LastWords>>> = ThreadLocal::new(|| RefCell::new(None));

    let (to_main, from_thread) = mpsc::channel::<Vec<ThreadLocal<Box<u32>>>>();
    let (to_thread, from_main) = mpsc::channel::<Arc<Vec<ThreadLocal<Box<u32>>>>>();
    let thread = thread::spawn(move || {
        let objects: Vec<ThreadLocal<Box<u32>>> =
            (0..100).map(|_| ThreadLocal::new(|| Box::new(1))).collect();
        let slot = Rc::new(RefCell::new(None));
        let s = Rc::clone(&slot);
        RUN.set(Some(OnDrop(Box::new(move || {
            // By now every value of ours is destroyed.
            to_main.send(s.borrow_mut().take().unwrap()).unwrap();
            for object in &*from_main.recv().unwrap() {
                assert_eq!(object.try_with(|v| **v), Ok(2));
            }
        }))));
        for object in &objects {
            object.with(|_| ());
        }
        *slot.borrow_mut() = Some(objects);
    });
    drop(from_thread.recv().unwrap());
    let new: Arc<Vec<ThreadLocal<Box<u32>>>> =
        Arc::new((0..100).map(|_| ThreadLocal::new(|| Box::new(2))).collect());
    for object in &*new {
        object.with(|_| ());
    }
    to_thread.send(Arc::clone(&new)).unwrap();
    thread.join().unwrap();
}

#[test]
fn a_value_that_owns_the_object_it_belongs_to() {
    // The thread's value keeps the object alive; destroying the value drops the object from inside.
    struct Node {
        _me: RefCell<Option<Arc<ThreadLocal<Node>>>>,
        _entry: Entry,
    }
    let log = Log::new();
    let l = log.clone();
    in_thread(move || {
        static LOG: ThreadLocal<RefCell<Log>> = ThreadLocal::new(RefCell::default);
        LOG.set(l);
        let object: Arc<ThreadLocal<Node>> = Arc::new(ThreadLocal::new(|| Node {
            _me: RefCell::new(None),
            _entry: LOG.with_borrow(|l| l.entry(1)),
        }));
        object.with(|node| *node._me.borrow_mut() = Some(Arc::clone(&object)));
    });
    assert_eq!(log.take(), [1]);
}

/// Many threads that end at once, each with values of the same objects.
#[test]
fn many_threads_at_once() {
    const THREADS: usize = 16;
    const OBJECTS: usize = 50;
    let census = Census::new();
    let objects: Arc<Vec<_>> = Arc::new(
        (0..OBJECTS)
            .map(|_| {
                let c = census.clone();
                ThreadLocal::from_fn(move || c.count())
            })
            .collect(),
    );
    for _ in 0..4 {
        let threads: Vec<_> = (0..THREADS)
            .map(|t| {
                let objects = Arc::clone(&objects);
                thread::spawn(move || {
                    for i in 0..OBJECTS {
                        objects[(i + t) % OBJECTS].with(|_| ());
                    }
                })
            })
            .collect();
        for t in threads {
            t.join().unwrap();
        }
    }
    let all = 4 * THREADS * OBJECTS;
    assert_eq!((census.built(), census.dropped(), census.strayed()), (all, all, 0));
}
