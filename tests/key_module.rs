//! `key::Key` and `key::StaticKey`: the keys of the operating system, without the crate's tables.
//! Works without the feature `alloc`.

mod common;

use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use common::in_thread;
use os_thread_local::key::{Destructor, DestructorKey, Key, StaticDestructorKey, StaticKey};

fn word(n: usize) -> *mut c_void {
    // Only compared, never followed.
    null_mut::<u8>().wrapping_add(n).cast()
}

#[test]
fn each_thread_has_its_own_word() {
    let key = Key::new().unwrap();
    assert!(key.get().is_null());
    key.set(word(1)).unwrap();
    thread::scope(|s| {
        s.spawn(|| {
            assert!(key.get().is_null());
            key.set(word(2)).unwrap();
            assert_eq!(key.get(), word(2));
        });
    });
    assert_eq!(key.get(), word(1));
    key.set(null_mut()).unwrap();
    assert!(key.get().is_null());
}

#[test]
fn keys_do_not_share() {
    let (a, b) = (Key::new().unwrap(), Key::new().unwrap());
    a.set(word(1)).unwrap();
    assert!(b.get().is_null());
    b.set(word(2)).unwrap();
    assert_eq!((a.get(), b.get()), (word(1), word(2)));
    for key in [&a, &b] {
        key.set(null_mut()).unwrap();
    }
}

#[test]
fn dropping_a_key_gives_it_back() {
    // More keys than any system has.
    for i in 1..20_000 {
        let key = Key::new().unwrap();
        assert!(key.get().is_null(), "a new key is null, also where an old one was not");
        key.set(word(i)).unwrap();
        assert_eq!(key.get(), word(i));
    }
}

#[test]
fn a_static_key_is_made_when_it_is_first_set() {
    static KEY: StaticKey = StaticKey::new();
    assert!(KEY.get().is_null());
    KEY.set(word(1)).unwrap();
    assert_eq!(KEY.get(), word(1));
    in_thread(|| {
        assert!(KEY.get().is_null());
        KEY.set(word(2)).unwrap();
        assert_eq!(KEY.get(), word(2));
    });
    assert_eq!(KEY.get(), word(1));
    KEY.set(null_mut()).unwrap();
}

/// The threads rarely collide. A unit test beside the code forces a collision.
#[test]
fn threads_that_set_a_static_key_at_once_agree_on_one() {
    use std::sync::Barrier;
    const THREADS: usize = 8;
    static KEYS: [StaticKey; 20] = {
        #[allow(clippy::declare_interior_mutable_const)] // it is meant to be copied
        const NEW: StaticKey = StaticKey::new();
        [NEW; 20]
    };
    let start = Barrier::new(THREADS);
    thread::scope(|s| {
        for t in 1..=THREADS {
            let start = &start;
            s.spawn(move || {
                start.wait();
                for key in &KEYS {
                    key.set(word(t)).unwrap();
                }
                start.wait();
                // If another thread made a key now, this would overwrite its word.
                for key in &KEYS {
                    assert_eq!(key.get(), word(t));
                }
            });
        }
    });
}

#[test]
fn a_destructor_gets_the_word_of_a_thread_that_ends() {
    static SUM: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "system" fn add(value: *mut c_void) {
        SUM.fetch_add(value as usize, SeqCst);
    }
    let key = DestructorKey::new(add).unwrap();
    // SAFETY: `add` takes any word.
    let set = |word| unsafe { key.set(word) }.unwrap();
    thread::scope(|s| {
        let threads = [
            s.spawn(|| set(word(1))),
            s.spawn(|| set(word(10))),
            // Not for null: neither when never set, nor when set back.
            s.spawn(|| assert!(key.get().is_null())),
            s.spawn(|| {
                set(word(100));
                set(null_mut());
            }),
        ];
        for t in threads {
            t.join().unwrap();
        }
    });
    assert_eq!(SUM.load(SeqCst), 11);
    drop(key);
    assert_eq!(SUM.load(SeqCst), 11);
}

#[test]
fn the_destructor_of_a_static_key() {
    static SUM: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "system" fn add(value: *mut c_void) {
        SUM.fetch_add(value as usize, SeqCst);
    }
    static KEY: StaticDestructorKey = StaticDestructorKey::new(add);
    for i in 1..=5 {
        // SAFETY: `add` takes any word.
        in_thread(move || unsafe { KEY.set(word(i)) }.unwrap());
    }
    assert_eq!(SUM.load(SeqCst), 15);
}

#[test]
fn a_box_in_a_key() {
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Value(u32);
    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED.fetch_add(self.0 as usize, SeqCst);
        }
    }
    unsafe extern "system" fn free(value: *mut c_void) {
        // SAFETY: only `Box::into_raw` of a `Value` is ever stored in this key.
        drop(unsafe { Box::from_raw(value.cast::<Value>()) });
    }
    static KEY: StaticDestructorKey = StaticDestructorKey::new(free);
    in_thread(|| {
        // SAFETY: `free` takes the box.
        unsafe { KEY.set(Box::into_raw(Box::new(Value(3))).cast()) }.unwrap();
        // SAFETY: set one line above.
        assert_eq!(unsafe { &*KEY.get().cast::<Value>() }.0, 3);
        assert_eq!(DROPPED.load(SeqCst), 0);
    });
    assert_eq!(DROPPED.load(SeqCst), 3);
}

#[test]
fn keys_are_shared_between_threads() {
    fn send_sync<T: Send + Sync + 'static>() {}
    send_sync::<Key>();
    send_sync::<StaticKey>();
    send_sync::<DestructorKey>();
    send_sync::<StaticDestructorKey>();
    let _: Option<Destructor> = None;
    assert!(!format!("{:?} {:?}", Key::new().unwrap(), StaticKey::new()).is_empty());

    let key = Key::new().unwrap();
    key.set(word(1)).unwrap();
    // Dropped in another thread, while this one has a word in it.
    in_thread(move || drop(key));
}

/// POSIX systems call the destructor again, Windows does not.
#[test]
fn a_destructor_that_sets_again() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static KEY: StaticDestructorKey = StaticDestructorKey::new(again);
    unsafe extern "system" fn again(value: *mut c_void) {
        // An `assert!` would have to unwind out of here.
        let found_null = cfg!(windows) || KEY.get().is_null();
        let calls = CALLS.fetch_add(if found_null { 1 } else { 100 }, SeqCst) + 1;
        if calls < 3 {
            // SAFETY: `again` takes any word.
            let _ = unsafe { KEY.set(value) };
        }
    }
    // SAFETY: `again` takes any word.
    in_thread(|| unsafe { KEY.set(word(1)) }.unwrap());
    assert_eq!(CALLS.load(SeqCst), if cfg!(windows) { 1 } else { 3 });
}

/// Another key that gets its number neither has the words nor is called with them.
#[test]
fn a_key_is_dropped_while_other_threads_have_words() {
    use std::sync::{Arc, Barrier};

    const THREADS: usize = 3;
    static OLD: AtomicUsize = AtomicUsize::new(0);
    static NEW: AtomicUsize = AtomicUsize::new(0);
    unsafe extern "system" fn old(value: *mut c_void) {
        OLD.fetch_add(value as usize, SeqCst);
    }
    unsafe extern "system" fn new(value: *mut c_void) {
        NEW.fetch_add(value as usize, SeqCst);
    }
    let key = Arc::new(DestructorKey::new(old).unwrap());
    let next = Arc::new(once_cell::sync::OnceCell::new());
    let barrier = Arc::new(Barrier::new(THREADS + 1));
    let threads: Vec<_> = (0..THREADS)
        .map(|_| {
            let (key, next, barrier) = (key.clone(), next.clone(), barrier.clone());
            thread::spawn(move || {
                // SAFETY: `old` takes any word.
                unsafe { key.set(word(1)) }.unwrap();
                drop(key);
                barrier.wait(); // every word is set
                barrier.wait(); // the next key is there
                next.get().map_or(true, |next: &DestructorKey| next.get().is_null())
            })
        })
        .collect();
    barrier.wait();
    drop(Arc::try_unwrap(key).unwrap());
    // Windows has called the destructor for each word by now. Other systems discard the words.
    assert_eq!(OLD.load(SeqCst), if cfg!(windows) { THREADS } else { 0 });
    if let Ok(key) = DestructorKey::new(new) {
        next.set(key).unwrap();
    }
    barrier.wait();
    for thread in threads {
        assert!(thread.join().unwrap());
    }
    assert_eq!(OLD.load(SeqCst), if cfg!(windows) { THREADS } else { 0 });
    assert_eq!(NEW.load(SeqCst), 0);
}
