//! Many more threads than cores use the same objects for the first time at once.

#![cfg(feature = "alloc")]

use os_thread_local::{PerThread, ThreadLocal};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;

#[test]
fn a_thousand_threads_first_use_a_hundred_objects() {
    const OBJECTS: usize = 100;
    // Emulators have less room for threads.
    let native = cfg!(all(target_os = "linux", target_arch = "x86_64"));
    let threads =
        crate::children::times("OS_THREAD_LOCAL_THREADS", if native { 1_000 } else { 200 });

    static BUILT: AtomicUsize = AtomicUsize::new(0);
    static DROPPED: AtomicUsize = AtomicUsize::new(0);
    struct Value(usize);
    impl Drop for Value {
        fn drop(&mut self) {
            DROPPED.fetch_add(1, SeqCst);
        }
    }
    let objects: Arc<Vec<ThreadLocal<Value, _>>> = Arc::new(
        (0..OBJECTS)
            .map(|n| {
                ThreadLocal::from_fn(move || {
                    BUILT.fetch_add(1, SeqCst);
                    Value(n)
                })
            })
            .collect(),
    );
    let values = Arc::new(PerThread::new(|| Box::new(1)));
    let start = Arc::new(Barrier::new(threads));
    let all: Vec<_> = (0..threads)
        .map(|first| {
            let (objects, values, start) = (objects.clone(), values.clone(), start.clone());
            thread::Builder::new()
                .stack_size(128 * 1024)
                .spawn(move || {
                    start.wait();
                    for n in 0..OBJECTS {
                        let n = (n + first) % OBJECTS;
                        objects[n].with(|v| assert_eq!(v.0, n));
                    }
                    values.with(|v| assert_eq!(**v, 1));
                    // No thread exits before all have started, so no thread inherits a value.
                    start.wait();
                })
                .unwrap()
        })
        .collect();
    all.into_iter().for_each(|t| t.join().unwrap());
    assert_eq!(BUILT.load(SeqCst), threads * OBJECTS);
    assert_eq!(DROPPED.load(SeqCst), threads * OBJECTS);
    assert_eq!(values.len(), threads);
}
