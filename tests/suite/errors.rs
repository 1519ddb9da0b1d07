//! `AccessError`, and the panic messages of `with`.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::common::{in_thread, OnDrop};
use os_thread_local::{thread_local, AccessError, BorrowCell, PerThread, ThreadLocal};

const ALL: [AccessError; 5] = [
    AccessError::Destroyed,
    AccessError::Recursive,
    AccessError::OutOfKeys,
    AccessError::OutOfMemory,
    AccessError::Borrowed,
];

#[test]
fn error_messages_are_distinct() {
    let texts: HashSet<String> = ALL.iter().map(|e| e.to_string()).collect();
    assert_eq!(texts.len(), ALL.len());
    for text in texts {
        assert!(text.len() > 10 && !text.ends_with('.'), "{:?}", text);
    }
    let debugs: HashSet<String> = ALL.iter().map(|e| format!("{:?}", e)).collect();
    assert_eq!(debugs.len(), ALL.len());
}

#[test]
fn the_usual_traits() {
    fn is<T: Copy + Eq + std::hash::Hash + std::fmt::Debug + Send + Sync + Unpin + 'static>() {}
    is::<AccessError>();
    assert_eq!(ALL.iter().collect::<HashSet<_>>().len(), ALL.len());
    assert_ne!(AccessError::Destroyed, AccessError::Recursive);
}

#[cfg(feature = "std")]
#[test]
fn access_error_implements_error() {
    fn fails() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
        Err(AccessError::OutOfKeys)?;
        Ok(())
    }
    let error = fails().unwrap_err();
    assert_eq!(error.downcast_ref(), Some(&AccessError::OutOfKeys));
}

/// `?` converts an `InitError` into a box. Its text and its source are those of the error that it holds.
#[cfg(feature = "std")]
#[test]
fn an_init_error_shows_the_error_that_it_holds() {
    use os_thread_local::{InitError, NoInit};
    use std::error::Error;

    static NUMBER: ThreadLocal<u32, NoInit> = ThreadLocal::without_init();
    fn number(text: &str) -> Result<u32, Box<dyn Error + Send + Sync>> {
        Ok(NUMBER.with_or_try(|| text.parse(), |n| *n)?)
    }
    let error = number("x").unwrap_err();
    assert_eq!(error.to_string(), "x".parse::<u32>().unwrap_err().to_string());
    assert!(error.downcast_ref::<InitError<std::num::ParseIntError>>().is_some());
    assert_eq!(number("7").unwrap(), 7);

    let access: InitError<std::fmt::Error> = AccessError::OutOfKeys.into();
    assert_eq!(access.to_string(), AccessError::OutOfKeys.to_string());
    assert!(access.source().is_none());

    #[derive(Debug)]
    struct Outer(std::fmt::Error);
    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("outer")
        }
    }
    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
    assert!(InitError::Init(Outer(std::fmt::Error)).source().unwrap().is::<std::fmt::Error>());
}

fn message(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().unwrap().to_string(),
    }
}

#[test]
fn with_panics_with_the_errors_text() {
    static RECURSIVE: ThreadLocal<u32> = ThreadLocal::new(|| RECURSIVE.with(|v| *v));
    let text = message(catch_unwind(|| RECURSIVE.with(|v| *v)).unwrap_err());
    assert!(text.contains(&AccessError::Recursive.to_string()), "{:?}", text);

    static DESTROYED: ThreadLocal<Box<dyn std::any::Any>> = ThreadLocal::new(|| {
        Box::new(OnDrop(|| {
            let panic = catch_unwind(|| DESTROYED.with(|_| ())).unwrap_err();
            *SEEN.lock().unwrap() = message(panic);
        }))
    });
    static SEEN: Mutex<String> = Mutex::new(String::new());
    in_thread(|| DESTROYED.with(|_| ()));
    let text = SEEN.lock().unwrap();
    assert!(text.contains(&AccessError::Destroyed.to_string()), "{:?}", text);
}

/// A method that panics, and the line that calls it.
type Call = (&'static str, u32, fn());

/// One per line of the source: inside another macro, `line!` and the location of a panic are the line of that one.
macro_rules! call {
    ($call:expr) => {
        (stringify!($call), line!(), (|| _ = $call) as fn())
    };
}

thread_local! {
    static KEY: RefCell<u32> = RefCell::new(1);
    static RECURSIVE_KEY: RefCell<u32> = panics(&KEY_RECURSIVE, AccessError::Recursive, RefCell::new(1));
    static CELL_KEY: Cell<u32> = panics(&CELL_KEY_RECURSIVE, AccessError::Recursive, Cell::new(1));
}

static TLS: ThreadLocal<RefCell<u32>> = ThreadLocal::new(|| RefCell::new(1));
static RECURSIVE_TLS: ThreadLocal<RefCell<u32>> =
    ThreadLocal::new(|| panics(&TLS_RECURSIVE, AccessError::Recursive, RefCell::new(1)));
static CELL_TLS: ThreadLocal<Cell<u32>> =
    ThreadLocal::new(|| panics(&CELL_TLS_RECURSIVE, AccessError::Recursive, Cell::new(1)));

static VALUES: PerThread<RefCell<u32>> = PerThread::new(|| RefCell::new(1));
static RECURSIVE_VALUES: PerThread<RefCell<u32>> =
    PerThread::new(|| panics(&VALUES_RECURSIVE, AccessError::Recursive, RefCell::new(1)));
static CELL_VALUES: PerThread<Cell<u32>> =
    PerThread::new(|| panics(&CELL_VALUES_RECURSIVE, AccessError::Recursive, Cell::new(1)));

const TLS_BORROWED: [Call; 5] = [
    call!(TLS.with_borrow(|_| ())),
    call!(TLS.with_borrow_mut(|_| ())),
    call!(TLS.set(2)),
    call!(TLS.take()),
    call!(TLS.replace(2)),
];

const TLS_RECURSIVE: [Call; 5] = [
    call!(RECURSIVE_TLS.with_borrow(|_| ())),
    call!(RECURSIVE_TLS.with_borrow_mut(|_| ())),
    call!(RECURSIVE_TLS.set(2)),
    call!(RECURSIVE_TLS.take()),
    call!(RECURSIVE_TLS.replace(2)),
];

const CELL_TLS_RECURSIVE: [Call; 7] = [
    call!(CELL_TLS.with(|_| ())),
    call!(CELL_TLS.with_or(|| Cell::new(1), |_| ())),
    call!(CELL_TLS.get()),
    call!(CELL_TLS.set(2)),
    call!(CELL_TLS.take()),
    call!(CELL_TLS.replace(2)),
    call!(CELL_TLS.update(|n| n)),
];

const VALUES_BORROWED: [Call; 5] = [
    call!(VALUES.with_borrow(|_| ())),
    call!(VALUES.with_borrow_mut(|_| ())),
    call!(VALUES.set(2)),
    call!(VALUES.take()),
    call!(VALUES.replace(2)),
];

const VALUES_RECURSIVE: [Call; 5] = [
    call!(RECURSIVE_VALUES.with_borrow(|_| ())),
    call!(RECURSIVE_VALUES.with_borrow_mut(|_| ())),
    call!(RECURSIVE_VALUES.set(2)),
    call!(RECURSIVE_VALUES.take()),
    call!(RECURSIVE_VALUES.replace(2)),
];

const CELL_VALUES_RECURSIVE: [Call; 7] = [
    call!(CELL_VALUES.with(|_| ())),
    call!(CELL_VALUES.with_or(|| Cell::new(1), |_| ())),
    call!(CELL_VALUES.get()),
    call!(CELL_VALUES.set(2)),
    call!(CELL_VALUES.take()),
    call!(CELL_VALUES.replace(2)),
    call!(CELL_VALUES.update(|n| n)),
];

const KEY_BORROWED: [Call; 5] = [
    call!(KEY.with_borrow(|_| ())),
    call!(KEY.with_borrow_mut(|_| ())),
    call!(KEY.set(2)),
    call!(KEY.take()),
    call!(KEY.replace(2)),
];

const KEY_RECURSIVE: [Call; 5] = [
    call!(RECURSIVE_KEY.with_borrow(|_| ())),
    call!(RECURSIVE_KEY.with_borrow_mut(|_| ())),
    call!(RECURSIVE_KEY.set(2)),
    call!(RECURSIVE_KEY.take()),
    call!(RECURSIVE_KEY.replace(2)),
];

const CELL_KEY_RECURSIVE: [Call; 7] = [
    call!(CELL_KEY.with(|_| ())),
    call!(CELL_KEY.with_or(|| Cell::new(1), |_| ())),
    call!(CELL_KEY.get()),
    call!(CELL_KEY.set(2)),
    call!(CELL_KEY.take()),
    call!(CELL_KEY.replace(2)),
    call!(CELL_KEY.update(|n| n)),
];

static CELLS: PerThread<BorrowCell<u32>> = PerThread::new(|| BorrowCell::new(1));
static RECURSIVE_CELLS: PerThread<BorrowCell<u32>> =
    PerThread::new(|| panics(&CELLS_RECURSIVE, AccessError::Recursive, BorrowCell::new(1)));
static SYNC: PerThread<u32> = PerThread::new(|| panics(&SYNC_RECURSIVE, AccessError::Recursive, 1));

const CELLS_BORROWED: [Call; 2] =
    [call!(CELLS.borrow_mut()), call!(CELLS.borrow_mut_or(|| unreachable!()))];

const CELLS_RECURSIVE: [Call; 2] =
    [call!(RECURSIVE_CELLS.borrow_mut()), call!(RECURSIVE_CELLS.borrow_mut_or(|| unreachable!()))];

const SYNC_RECURSIVE: [Call; 2] = [call!(SYNC.get_ref()), call!(SYNC.get_ref_or(|| 1))];

static OBJECT: Mutex<ThreadLocal<Box<u32>>> = Mutex::new(ThreadLocal::new(|| Box::new(1)));

/// The calls panic while they have the lock.
fn object() -> MutexGuard<'static, ThreadLocal<Box<u32>>> {
    OBJECT.lock().unwrap_or_else(PoisonError::into_inner)
}

const OBJECT_DESTROYED: [Call; 2] =
    [call!(object().with_mut(|_| ())), call!(object().with_mut_or(|| unreachable!(), |_| ()))];

std::thread_local! {
    /// Whether the hook records this thread's panics. It has no destructor, so a destructor can use it.
    static RECORDED: Cell<bool> = const { Cell::new(false) };
}

/// Where the recorded panics were.
static PLACES: Mutex<Vec<(String, u32)>> = Mutex::new(Vec::new());

/// Makes all calls. Each must panic with the error's text, and point at its own line.
fn panics<R>(calls: &[Call], error: AccessError, result: R) -> R {
    for (text, line, call) in calls {
        RECORDED.with(|recorded| recorded.set(true));
        let panic = catch_unwind(call).expect_err(text);
        RECORDED.with(|recorded| recorded.set(false));
        let places = std::mem::take(&mut *PLACES.lock().unwrap());
        assert_eq!(places, [(file!().to_string(), *line)], "{}", text);
        let message = message(panic);
        assert!(message.ends_with(&format!(": {}", error)), "{}: {:?}", text, message);
    }
    result
}

/// A panic on account of a call points at the call, not at a line of this crate or of core.
#[test]
fn panics_point_at_the_caller() {
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        // Other tests panic meanwhile.
        if RECORDED.with(Cell::get) {
            let place = info.location().unwrap();
            PLACES.lock().unwrap().push((place.file().to_string(), place.line()));
        } else {
            default(info);
        }
    }));

    TLS.with_borrow_mut(|_| panics(&TLS_BORROWED, AccessError::Borrowed, ()));
    VALUES.with_borrow_mut(|_| panics(&VALUES_BORROWED, AccessError::Borrowed, ()));
    KEY.with_borrow_mut(|_| panics(&KEY_BORROWED, AccessError::Borrowed, ()));

    let guard = CELLS.borrow_mut();
    panics(&CELLS_BORROWED, AccessError::Borrowed, ());
    drop(guard);

    // The initializers make the calls.
    RECURSIVE_TLS.with(|_| ());
    RECURSIVE_VALUES.with(|_| ());
    RECURSIVE_KEY.with(|_| ());
    CELL_TLS.with(|_| ());
    CELL_VALUES.with(|_| ());
    CELL_KEY.with(|_| ());
    RECURSIVE_CELLS.with(|_| ());
    SYNC.with(|_| ());

    let destructor_ran = Arc::new(AtomicBool::new(false));
    let ran = Arc::clone(&destructor_ran);
    in_thread(move || {
        static OLDER: ThreadLocal<RefCell<Option<Box<dyn std::any::Any>>>> =
            ThreadLocal::new(|| RefCell::new(None));
        OLDER.set(Some(Box::new(OnDrop(move || {
            panics(&OBJECT_DESTROYED, AccessError::Destroyed, ());
            ran.store(true, SeqCst);
        }))));
        object().with(|_| ());
    });
    assert!(destructor_ran.load(SeqCst));

    drop(std::panic::take_hook());
}
