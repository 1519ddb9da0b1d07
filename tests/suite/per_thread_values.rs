//! Reading the values of a `PerThread` and taking them out: `get_mut`, `iter_mut`, `into_iter`, `drain`, `clear`,
//! `remove`, `len`; `iter` and `for_each` while other threads start and exit.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt::Debug;
use std::iter::FusedIterator;
use std::mem::size_of;
use std::panic::{RefUnwindSafe, UnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Barrier, Mutex};
use std::thread;

use crate::common::{in_thread, Entry, Log};
use os_thread_local::per_thread::{Drain, IntoIter, Iter, IterMut};
use os_thread_local::{InitError, NoInit, PerThread};

fn address<T>(value: &T) -> usize {
    value as *const T as usize
}

/// Uses the object in so many threads at once.
fn use_in_threads<T: Send, F: Fn() -> T + Sync>(object: &PerThread<T, F>, threads: usize) {
    let all = Barrier::new(threads);
    thread::scope(|s| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                s.spawn(|| {
                    object.with(|_| ());
                    all.wait();
                })
            })
            .collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
    });
}

/// An object with the values 0, 1, 2, ..., which log their end.
fn numbered(log: &Log, values: u32) -> PerThread<Entry, impl Fn() -> Entry + '_> {
    let next = AtomicUsize::new(0);
    let object = PerThread::from_fn(move || log.entry(next.fetch_add(1, SeqCst) as u32));
    use_in_threads(&object, values as usize);
    assert_eq!(object.len(), values as usize);
    object
}

fn sorted(names: impl IntoIterator<Item = u32>) -> Vec<u32> {
    let mut names: Vec<u32> = names.into_iter().collect();
    names.sort_unstable();
    names
}

/// The iterator says at every step how many are left, and ends for good.
fn drive<I: Iterator + ExactSizeIterator + FusedIterator>(
    mut values: I,
    len: usize,
) -> Vec<I::Item> {
    let mut all = Vec::new();
    for left in (0..len).rev() {
        assert_eq!(values.len(), left + 1);
        all.extend(values.next());
        assert_eq!(values.size_hint(), (left, Some(left)));
    }
    for _ in 0..3 {
        assert!(values.next().is_none());
        assert_eq!(values.size_hint(), (0, Some(0)));
    }
    all
}

#[test]
fn an_unused_object_has_no_values() {
    let mut object = PerThread::new(|| 1);
    assert!(object.is_empty());
    assert_eq!(object.len(), 0);
    assert_eq!(object.iter().next(), None);
    assert!(drive(object.iter_mut(), 0).is_empty());
    assert!(drive(object.drain(), 0).is_empty());
    assert_eq!(object.remove(), None);
    object.clear();
    object.for_each(|_| unreachable!());
    assert!(drive(object.into_iter(), 0).is_empty());
}

#[test]
fn get_mut_makes_and_finds_this_threads_value() {
    let mut object = PerThread::new(|| vec![1]);
    object.try_get_mut().unwrap().push(2);
    object.with(|v| assert_eq!(*v, [1, 2]));
    // The reference is the object's: it may outlive the thread that asked for it.
    let value = thread::scope(|s| s.spawn(|| object.get_mut()).join().unwrap());
    value.push(3);
    assert_eq!(*value, [1, 3]);
    assert_eq!(object.len(), 2);
}

#[test]
fn iter_mut_visits_every_value_once() {
    let log = Log::new();
    let mut object = numbered(&log, 7);
    assert_eq!(sorted(drive(object.iter_mut(), 7).iter().map(|v| v.name)), [0, 1, 2, 3, 4, 5, 6]);
    // All references at once, in another thread.
    thread::scope(|s| {
        let values = object.iter_mut();
        s.spawn(move || {
            let mut all: Vec<_> = values.collect();
            for value in &mut all {
                value.name += 10;
            }
            assert_eq!(all.len(), 7);
        });
    });
    for value in &mut object {
        value.name += 10;
    }
    assert_eq!(log.take(), []);
    drop(object);
    assert_eq!(sorted(log.take()), [20, 21, 22, 23, 24, 25, 26]);
}

#[test]
fn into_iter_gives_every_value_away() {
    let log = Log::new();
    let all = drive(numbered(&log, 5).into_iter(), 5);
    assert_eq!(log.take(), []);
    assert_eq!(sorted(all.iter().map(|v| v.name)), [0, 1, 2, 3, 4]);
    drop(all);
    assert_eq!(sorted(log.take()), [0, 1, 2, 3, 4]);
}

#[test]
fn drain_leaves_an_object_that_works() {
    let log = Log::new();
    let mut object = numbered(&log, 5);
    let all = drive(object.drain(), 5);
    assert!(object.is_empty());
    object.with(|v| assert_eq!(v.name, 5));
    use_in_threads(&object, 2);
    assert_eq!((object.len(), log.take()), (3, vec![]));
    drop(all);
    assert_eq!(sorted(log.take()), [0, 1, 2, 3, 4]);
    drop(object);
    assert_eq!(sorted(log.take()), [5, 6, 7]);
}

#[test]
fn clear_destroys_at_once() {
    let log = Log::new();
    let mut object = numbered(&log, 5);
    for round in 1..4 {
        object.clear();
        assert_eq!(sorted(log.take()).len(), 5);
        assert!(object.is_empty());
        assert!(object.with_existing(|_| ()).is_none());
        use_in_threads(&object, 5);
        assert_eq!(object.len(), 5, "round {}", round);
    }
}

/// A thread that lives on finds nothing where its value was.
#[test]
fn a_living_thread_makes_a_new_value_after_clear() {
    let object = Mutex::new(PerThread::new(|| Cell::new(0)));
    let (used, cleared) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|s| {
        s.spawn(|| {
            object.lock().unwrap().with(|v| v.set(1));
            used.wait();
            cleared.wait();
            let object = object.lock().unwrap();
            assert_eq!(object.with_existing(Cell::get), None);
            assert_eq!(object.with(Cell::get), 0);
        });
        used.wait();
        object.lock().unwrap().clear();
        cleared.wait();
    });
}

#[test]
fn a_dropped_iterator_destroys_the_rest() {
    let log = Log::new();
    let mut drained = numbered(&log, 6);
    let mut values = drained.drain();
    let first = values.next().unwrap();
    assert_eq!(log.take(), []);
    drop(values);
    assert_eq!(log.take().len(), 5);
    drop(first);
    assert_eq!(log.take().len(), 1);
    drop(drained);
    assert_eq!(log.take(), []);

    let mut values = numbered(&log, 6).into_iter();
    drop(values.next());
    drop(values.next());
    assert_eq!(log.take().len(), 2);
    drop(values);
    assert_eq!(log.take().len(), 4);

    let mut object = numbered(&log, 6);
    object.iter_mut().next();
    assert_eq!(log.take(), []);
}

/// Leaks a value where leak checkers still find a pointer to it.
fn leak<T>(value: T) {
    static LEAKED: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    LEAKED.lock().unwrap().push(Box::into_raw(Box::new(value)) as usize);
}

/// Leaks the values in it, and nothing else.
#[test]
fn a_leaked_iterator_is_sound() {
    let log = Log::new();
    let mut object = numbered(&log, 4);
    leak(object.iter_mut());
    assert_eq!(object.len(), 4);
    let mut values = object.drain();
    values.next();
    assert_eq!(log.take().len(), 1);
    leak(values);
    assert!(object.is_empty());
    object.with(|v| assert_eq!(v.name, 4));
    use_in_threads(&object, 2);
    assert_eq!((object.len(), log.take()), (3, vec![]));
    let mut values = object.into_iter();
    values.next();
    assert_eq!(log.take().len(), 1);
    leak(values);
    in_thread(|| PerThread::new(|| Box::new(1)).with(|_| ()));
    assert_eq!(log.take(), []);
}

#[test]
fn remove_takes_this_threads_value() {
    let log = Log::new();
    let mut object = numbered(&log, 3);
    object.with(|_| ()); // inherited, or a fourth
    let others = object.len() - 1;
    let ours = object.remove().unwrap();
    assert_eq!((object.len(), log.take()), (others, vec![]));
    assert!((2..=3).contains(&others), "{}", others);
    assert!(object.remove().is_none());
    drop(ours);
    assert_eq!(log.take().len(), 1);
    // In the middle of the list, among others of this thread.
    let before = object.len();
    let others: Vec<_> = (0..40).map(|_| PerThread::new(|| Cell::new(1))).collect();
    others[..20].iter().for_each(|o| o.with(|v| v.set(2)));
    object.with(|_| ());
    others[20..].iter().for_each(|o| o.with(|v| v.set(2)));
    assert!(object.remove().is_some());
    assert!(others.iter().all(|o| o.with_existing(Cell::get) == Some(2)));
    let left = object.len();
    assert!(left == before || left == before - 1, "{} {}", left, before);
    log.take();
    drop(object);
    assert_eq!(log.take().len(), left);
}

#[test]
fn for_each_and_iter_see_the_values_of_all_threads() {
    const THREADS: u32 = 6;
    let next = AtomicUsize::new(0);
    let object = PerThread::from_fn(|| next.fetch_add(1, SeqCst) as u32);
    let (all_used, looked) =
        (Barrier::new(THREADS as usize + 1), Barrier::new(THREADS as usize + 1));
    thread::scope(|s| {
        for _ in 0..THREADS {
            s.spawn(|| {
                object.with(|_| ());
                all_used.wait();
                looked.wait();
            });
        }
        all_used.wait();
        // The threads live.
        let mut seen = Vec::new();
        object.for_each(|v| seen.push(*v));
        assert_eq!(sorted(seen), [0, 1, 2, 3, 4, 5]);
        let values = object.iter();
        let copy = values.clone();
        assert_eq!(sorted(values.copied()), [0, 1, 2, 3, 4, 5]);
        looked.wait();
        // The references borrow from the object, so the threads may end.
        assert_eq!(sorted(copy.copied()), [0, 1, 2, 3, 4, 5]);
    });
    let mut sum = 0;
    for value in &object {
        sum += value;
    }
    assert_eq!(sum, 15);
}

/// No lock is held while `f` runs, nor between the steps of `iter`: both may use the object, make and drop others, and wait for
/// threads that do so and end.
#[test]
fn for_each_holds_no_lock() {
    let object = PerThread::new(|| Mutex::new(0));
    use_in_threads(&object, 3);
    let busy = || {
        object.with(|v| drop(v.try_lock()));
        let other = PerThread::new(|| Box::new(1));
        other.with(|_| ());
        thread::scope(|s| {
            s.spawn(|| {
                object.with(|_| ());
                other.with(|_| ());
            })
            .join()
            .unwrap();
        });
        object.len()
    };
    // Visits the values that were there, perhaps those that are made during the iteration, and none twice.
    let before: HashSet<usize> = object.iter().map(address).collect();
    assert_eq!(before.len(), 3);
    let mut visited = HashSet::new();
    object.for_each(|v| {
        *v.lock().unwrap() += 1;
        assert!(busy() >= 3);
        assert!(visited.insert(address(v)));
    });
    assert!(visited.is_superset(&before));
    let before: HashSet<usize> = object.iter().map(address).collect();
    visited.clear();
    for value in &object {
        *value.lock().unwrap() += 1;
        assert!(busy() >= 3);
        assert!(visited.insert(address(value)));
    }
    assert!(visited.is_superset(&before));
}

/// Other threads start, exit, inherit and make values all the time.
#[test]
fn iter_while_others_come_and_go() {
    const LINES: usize = 3;
    const THREADS: usize = if cfg!(miri) { 5 } else { 150 };
    let made = AtomicUsize::new(0);
    let object = PerThread::from_fn(|| Box::new((made.fetch_add(1, SeqCst), AtomicUsize::new(0))));
    let stop = AtomicBool::new(false);
    thread::scope(|s| {
        let looking = s.spawn(|| {
            let mut last = 0;
            while !stop.load(SeqCst) {
                let mut seen = HashSet::new();
                let mut sum = 0;
                for value in object.iter() {
                    assert!(seen.insert(value.0), "{} twice", value.0);
                    sum += value.1.load(SeqCst);
                }
                // Values do not go while the object is shared.
                assert!(sum >= last);
                last = sum;
                thread::yield_now();
            }
        });
        let lines: Vec<_> = (0..LINES)
            .map(|_| {
                s.spawn(|| {
                    for _ in 0..THREADS {
                        thread::scope(|s| {
                            s.spawn(|| object.with(|v| v.1.fetch_add(1, SeqCst)));
                        });
                    }
                })
            })
            .collect();
        lines.into_iter().for_each(|line| line.join().unwrap());
        stop.store(true, SeqCst);
        looking.join().unwrap();
    });
    assert_eq!(object.iter().map(|v| v.1.load(SeqCst)).sum::<usize>(), LINES * THREADS);
}

#[test]
fn with_or_and_with_or_try_use_the_callers_initializer() {
    let object = PerThread::new(|| 0);
    assert_eq!(object.with_or_try(|| Err("no"), |v| *v), Err(InitError::Init("no")));
    assert!(object.is_empty());
    assert_eq!(object.with_or_try(|| Ok::<_, &str>(1), |v| *v), Ok(1));
    assert_eq!(object.with_or_try(|| Err("no"), |v| *v), Ok(1));
    assert_eq!((object.with_or(|| 2, |v| *v), object.with(|v| *v)), (1, 1));
    assert_eq!(object.try_with_or(|| 2, |v| *v), Ok(1));
    assert_eq!(in_thread(move || object.with_or(|| 3, |v| *v)), 3);

    // What a thread left behind is inherited, or this thread's value is made in this way.
    let object = PerThread::new(|| Cell::new(0));
    thread::scope(|s| {
        s.spawn(|| object.with_or(|| Cell::new(5), |_| ())).join().unwrap();
    });
    let value = object.with_or(|| Cell::new(6), Cell::get);
    assert!(value == 5 && object.len() == 1 || value == 6 && object.len() == 2);
}

#[test]
fn prepare_makes_no_value() {
    static OBJECT: PerThread<u32> = PerThread::new(|| 1);
    assert_eq!(OBJECT.prepare(), Ok(()));
    assert!(OBJECT.is_empty());
    assert_eq!(OBJECT.with(|v| *v), 1);
}

#[test]
fn auto_traits() {
    fn send<T: Send>() {}
    fn sync<T: Sync>() {}
    fn usable<T: Debug + Unpin>() {}
    fn unwind<T: UnwindSafe + RefUnwindSafe>() {}
    fn check<T: Send + Unpin + 'static>() {
        send::<PerThread<T>>();
        sync::<PerThread<T>>();
        unwind::<PerThread<T>>();
        usable::<PerThread<T>>();
        send::<PerThread<T, Box<dyn Fn() -> T + Send>>>();
        send::<(IterMut<'_, T>, IntoIter<T>, Drain<'_, T>)>();
        usable::<(Iter<'_, T>, IterMut<'_, T>, IntoIter<T>, Drain<'_, T>)>();
    }
    check::<u32>();
    check::<Cell<u32>>();
    check::<RefCell<Vec<u32>>>();
    struct NotDebug(#[allow(dead_code)] u32);
    check::<NotDebug>();
    unwind::<(Iter<'_, u32>, IntoIter<u32>)>();
    send::<Iter<'_, u32>>();
    sync::<(Iter<'_, u32>, IterMut<'_, u32>, IntoIter<u32>, Drain<'_, u32>)>();
    assert_eq!(size_of::<PerThread<[u8; 4096]>>(), 3 * size_of::<usize>());
    // The iterators can give longer-lived values out as shorter-lived ones.
    fn _covariant<'a>(
        v: IntoIter<&'static str>,
        d: Drain<'static, &'static str>,
    ) -> (IntoIter<&'a str>, Drain<'a, &'a str>) {
        (v, d)
    }
}

#[test]
fn debug_shows_no_value() {
    let mut object = PerThread::new(|| 1);
    object.with(|_| ());
    assert_eq!(format!("{:?}", object), "PerThread { .. }");
    assert_eq!(format!("{:?}", object.iter()), "Iter { .. }");
    assert_eq!(format!("{:?}", object.iter_mut()), "IterMut { len: 1, .. }");
    assert_eq!(format!("{:?}", object.drain()), "Drain { len: 1, .. }");
    object.with(|_| ());
    assert_eq!(format!("{:?}", object.into_iter()), "IntoIter { len: 1, .. }");
}

#[test]
fn values_of_any_size_and_alignment() {
    #[repr(align(1024))]
    struct Aligned(u8);
    let mut object = PerThread::new(|| Aligned(1));
    use_in_threads(&object, 3);
    assert!(object.iter().all(|v| v as *const Aligned as usize % 1024 == 0 && v.0 == 1));
    assert!(object.iter_mut().all(|v| v as *const Aligned as usize % 1024 == 0));
    let unit = PerThread::new(|| ());
    use_in_threads(&unit, 3);
    assert_eq!(unit.into_iter().count(), 3);
}

#[test]
fn exclusive_references_without_an_initializer() {
    let mut object: PerThread<Vec<u32>, NoInit> = PerThread::without_init();
    assert_eq!(object.get_mut_existing(), None);
    object.get_mut_or(Vec::new).push(1);
    object.try_get_mut_or(|| unreachable!()).unwrap().push(2);
    object.get_mut_existing().unwrap().push(3);
    // The reference outlives the thread.
    let theirs = thread::scope(|s| s.spawn(|| object.get_mut_or(|| vec![4])).join().unwrap());
    theirs.push(5);
    let mut all: Vec<_> = object.into_iter().collect();
    all.sort();
    assert_eq!(all, [vec![1, 2, 3], vec![4, 5]]);
}
