//! What a destructor can do at thread exit: print, call `thread::current()`, use std's thread-locals.
//!
//! Where the C library has a thread-exit list all of it works, if std's thread-local was made before the thread first used
//! the crate. With the key's destructor alone (musl, Windows; `--cfg os_thread_local_no_exit_list`) it depends on
//! the system; only that values are destroyed and nothing crashes is guaranteed. `ci/hooks` runs both.

#![cfg(feature = "alloc")]

use crate::common::{Census, Counted, OnDrop, STD_DESTROYS};
use os_thread_local::ThreadLocal;
use std::cell::{Cell, RefCell};
use std::panic::catch_unwind;
use std::sync::mpsc::{channel, Sender};
use std::thread;

/// The system has a thread-exit list, and the crate uses it.
const EXIT_LIST: bool = cfg!(all(
    not(os_thread_local_no_exit_list),
    not(miri),
    any(
        all(target_os = "linux", target_env = "gnu"),
        target_os = "android",
        target_os = "freebsd",
        target_vendor = "apple"
    )
));

type Action = OnDrop<Box<dyn FnMut()>>;

std::thread_local! {
    static STD: RefCell<Option<Action>> = const { RefCell::new(None) };
    static STD_VALUE: Cell<u32> = const { Cell::new(0) };
}

static OURS: ThreadLocal<RefCell<Option<Action>>> = ThreadLocal::new(|| RefCell::new(None));
static COUNTED: ThreadLocal<RefCell<Option<Counted>>> = ThreadLocal::new(|| RefCell::new(None));

#[derive(Debug, PartialEq)]
enum Event {
    Name(Option<String>),
    /// What std's thread-local held, if it was there.
    Std(Option<u32>),
    StdDestroyed,
}

fn on_drop(f: impl FnMut() + 'static) -> Action {
    OnDrop(Box::new(f))
}

/// Makes a value of std's that reports its destruction.
fn use_std(log: &Sender<Event>) {
    let log = log.clone();
    STD_VALUE.with(|v| v.set(7));
    STD.with(|std| {
        *std.borrow_mut() = Some(on_drop(move || log.send(Event::StdDestroyed).unwrap()))
    });
}

/// Makes a value of the crate's whose destructor checks everything.
fn use_ours(log: &Sender<Event>) {
    let log = log.clone();
    let drop = on_drop(move || {
        println!("printed in a destructor");
        eprintln!("and so is this");
        // A value that is made after the exit list has run is destroyed by the key's destructor. std may have no current thread by then:
        // the system may call the destructor of std's key first.
        if let Ok(name) = catch_unwind(|| thread::current().name().map(String::from)) {
            log.send(Event::Name(name)).unwrap();
        }
        log.send(Event::Std(STD.try_with(|_| STD_VALUE.with(Cell::get)).ok())).unwrap();
    });
    OURS.with(|ours| *ours.borrow_mut() = Some(drop));
}

fn events(name: &str, f: impl FnOnce(&Sender<Event>) + Send + 'static) -> Vec<Event> {
    let (log, events) = channel();
    let census = Census::new();
    let c = census.clone();
    thread::Builder::new()
        .name(name.into())
        .spawn(move || {
            f(&log);
            COUNTED.with(|v| *v.borrow_mut() = Some(c.count()));
        })
        .unwrap()
        .join()
        .unwrap();
    assert_eq!((census.built(), census.dropped(), census.strayed()), (1, 1, 0));
    // The thread's messages have arrived. A sender in a leaked value would keep the channel open.
    events.try_iter().collect()
}

fn named(name: &str) -> Event {
    Event::Name(Some(name.into()))
}

#[test]
fn stds_thread_locals_that_were_first_outlive_ours() {
    let events = events("first", |log| {
        use_std(log);
        use_ours(log);
    });
    if EXIT_LIST {
        assert_eq!(events, [named("first"), Event::Std(Some(7)), Event::StdDestroyed]);
    } else {
        assert!(events.len() >= if STD_DESTROYS { 2 } else { 1 });
        assert_eq!(events.contains(&Event::StdDestroyed), STD_DESTROYS);
    }
}

#[test]
fn stds_thread_locals_that_came_later_may_be_gone() {
    let events = events("later", |log| {
        use_ours(log);
        use_std(log);
    });
    if EXIT_LIST {
        assert_eq!(events, [Event::StdDestroyed, named("later"), Event::Std(None)]);
    } else {
        assert!(events.len() >= if STD_DESTROYS { 2 } else { 1 });
    }
}

/// A thread's very first use is in the destructor of a value of std's.
#[test]
#[cfg_attr(
    os_thread_local_old_std,
    ignore = "1.63's panic handler asks for the thread that is gone"
)]
#[cfg_attr(windows, ignore = "std's destructors come after the only round: what they make stays")]
#[cfg_attr(target_os = "emscripten", ignore = "std runs no destructors at thread exit")]
fn the_destructor_of_stds_is_the_first_to_use_ours() {
    let events = events("late", |log| {
        let l = log.clone();
        STD_VALUE.with(|v| v.set(8));
        STD.with(|std| *std.borrow_mut() = Some(on_drop(move || use_ours(&l))));
    });
    assert_eq!(events.last(), Some(&Event::Std(None)));
}

/// A value of ours that std's destructor makes after ours have been destroyed is destroyed, too.
#[test]
#[cfg_attr(target_os = "emscripten", ignore = "std runs no destructors at thread exit")]
#[cfg_attr(
    os_thread_local_old_std,
    ignore = "1.63's panic handler asks for the thread that is gone"
)]
fn what_stds_destructors_make_afterwards() {
    let census = Census::new();
    let c = census.clone();
    static LATE: ThreadLocal<RefCell<Option<Counted>>> = ThreadLocal::new(|| RefCell::new(None));
    let got = events("afterwards", move |log| {
        let l = log.clone();
        STD.with(|std| {
            *std.borrow_mut() = Some(on_drop(move || {
                LATE.with(|late| *late.borrow_mut() = Some(c.count()));
                l.send(Event::StdDestroyed).unwrap();
            }))
        });
        OURS.with(|_| ());
    });
    assert_eq!(got, [Event::StdDestroyed]);
    assert_eq!((census.built(), census.strayed()), (1, 0));
    // Windows has one round: a value that is made after it is leaked.
    if cfg!(not(windows)) {
        assert_eq!(census.dropped(), 1);
    }
}

/// std's destructors that run when ours have run find the values that have nothing to destroy.
#[test]
#[cfg_attr(windows, ignore = "std's destructors come after the only round: the record is gone")]
#[cfg_attr(target_os = "emscripten", ignore = "std runs no destructors at thread exit")]
fn stds_destructors_find_values_without_a_destructor() {
    static NUMBER: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(0));
    static LATE: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(0));
    let (log, found) = channel();
    thread::spawn(move || {
        // Older than what the crate registers, so that it is destroyed later.
        STD.with(|std| {
            *std.borrow_mut() = Some(on_drop(move || {
                log.send((NUMBER.try_with(Cell::get), LATE.try_with(Cell::get))).unwrap();
            }))
        });
        NUMBER.set(1);
        OURS.with(|ours| *ours.borrow_mut() = Some(on_drop(|| LATE.set(NUMBER.get() + 1))));
    })
    .join()
    .unwrap();
    let found: Vec<_> = found.try_iter().collect();
    if EXIT_LIST {
        assert_eq!(found, [(Ok(1), Ok(2))]);
    } else {
        // std's may also be the first; the second value is new then.
        assert!(found == [(Ok(1), Ok(2))] || found == [(Ok(1), Ok(0))], "{:?}", found);
    }
}
