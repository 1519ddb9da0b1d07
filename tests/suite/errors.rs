//! `AccessError`, and the panic messages of `with`.

#![cfg(feature = "alloc")]

use std::collections::HashSet;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex};

use crate::common::{in_thread, OnDrop};
use os_thread_local::{AccessError, ThreadLocal};

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

/// The panic's location is the line that called `with`, not a line of ours.
#[test]
fn the_panic_points_at_the_caller() {
    static RECURSIVE: ThreadLocal<std::cell::Cell<u32>> =
        ThreadLocal::new(|| RECURSIVE.with(|_| unreachable!()));
    let places = Arc::new(Mutex::new(vec![]));
    let (p, me) = (Arc::clone(&places), crate::common::this_thread());
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if crate::common::this_thread() == me {
            p.lock().unwrap().push(info.location().unwrap().file().to_string());
        } else {
            default(info);
        }
    }));
    assert!(catch_unwind(|| RECURSIVE.with(|_| ())).is_err());
    assert!(catch_unwind(|| RECURSIVE.get()).is_err());
    drop(std::panic::take_hook());
    let places = places.lock().unwrap();
    assert_eq!(places.len(), 2);
    for place in &*places {
        assert!(place.ends_with("errors.rs"), "{}", place);
    }
}
