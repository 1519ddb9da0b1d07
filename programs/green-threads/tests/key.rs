//! The one pointer of a custom backend as the one key. Each test is a process of its own, because there is no second key.

use green_threads::{Task, run, yield_now};
use os_thread_local::AccessError;
use os_thread_local::key::{Key, StaticDestructorKey, StaticKey};
use std::ffi::c_void;
use std::process::Command;
use std::ptr::{null_mut, without_provenance_mut};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

fn alone(test: &str, body: fn()) {
    const ALONE: &str = "ALONE";
    if std::env::var_os(ALONE).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ALONE, "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn task(f: impl FnOnce() + Send + 'static) -> Task {
    // SAFETY: the tasks here hold nothing of a thread while they yield.
    unsafe { Task::new(f) }
}

static SUM: AtomicUsize = AtomicUsize::new(0);

unsafe extern "system" fn add(value: *mut c_void) {
    SUM.fetch_add(value.addr(), SeqCst);
}

#[test]
fn each_task_has_its_own_pointer() {
    alone("each_task_has_its_own_pointer", || {
        static KEY: StaticDestructorKey = StaticDestructorKey::new(add);
        run(
            2,
            (1..=9).map(|id| {
                task(move || {
                    assert!(KEY.get().is_null());
                    // SAFETY: `add` takes any pointer.
                    unsafe { KEY.set(without_provenance_mut(id)) }.unwrap();
                    for _ in 0..10 {
                        yield_now();
                        assert_eq!(KEY.get().addr(), id);
                    }
                })
            }),
        );
        assert_eq!(SUM.load(SeqCst), 45);
    });
}

#[test]
fn there_is_no_second_key() {
    alone("there_is_no_second_key", || {
        let key = Key::new().unwrap();
        key.set(without_provenance_mut(1)).unwrap();
        assert_eq!(Key::new().err(), Some(AccessError::OutOfKeys));
        assert_eq!(StaticKey::new().set(null_mut()), Err(AccessError::OutOfKeys));
        let object = os_thread_local::ThreadLocal::new(|| 1);
        assert_eq!(object.try_with(|n| *n), Err(AccessError::OutOfKeys));
        drop(key);
        assert_eq!(Key::new().err(), Some(AccessError::OutOfKeys), "a new one might not be null");
    });
}

#[test]
fn a_destructor_that_sets_a_value_is_called_four_times() {
    alone("a_destructor_that_sets_a_value_is_called_four_times", || {
        unsafe extern "system" fn again(value: *mut c_void) {
            SUM.fetch_add(1, SeqCst);
            set(value);
        }
        static KEY: StaticDestructorKey = StaticDestructorKey::new(again);
        fn set(value: *mut c_void) {
            // SAFETY: `again` takes any pointer.
            unsafe { KEY.set(value) }.unwrap();
        }
        task(|| set(without_provenance_mut(8))).resume();
        assert_eq!(SUM.load(SeqCst), 4);
    });
}

/// The second caller finds the first caller's key and gets no `OutOfKeys`. The race happens once per process.
#[test]
fn the_first_uses_of_a_static_key_may_race() {
    for _ in 0..100 {
        alone("the_first_uses_of_a_static_key_may_race", || {
            const THREADS: usize = 2;
            static KEY: StaticKey = StaticKey::new();
            static STARTED: AtomicUsize = AtomicUsize::new(0);
            thread::scope(|s| {
                for id in 1..=THREADS {
                    s.spawn(move || {
                        STARTED.fetch_add(1, SeqCst);
                        while STARTED.load(SeqCst) < THREADS {
                            std::hint::spin_loop();
                        }
                        KEY.set(without_provenance_mut(id)).unwrap();
                        assert_eq!(KEY.get().addr(), id);
                    });
                }
            });
            std::process::exit(0);
        });
    }
}
