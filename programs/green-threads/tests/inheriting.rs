//! Values of a `PerThread` are inherited by later tasks. In a process of its own: tasks of other tests would come in between.

use green_threads::{Task, run, yield_now};
use os_thread_local::PerThread;
use std::cell::Cell;
use std::sync::Arc;

#[test]
fn as_many_values_as_tasks_at_a_time() {
    let sum = Arc::new(PerThread::new(|| Cell::new(0_usize)));
    for _ in 0..3 {
        let tasks = (0..5).map(|_| {
            let sum = sum.clone();
            // SAFETY: the tasks hold nothing of a thread while they yield.
            unsafe {
                Task::new(move || {
                    for n in 0..10 {
                        sum.with(|sum| sum.set(sum.get() + n));
                        yield_now();
                    }
                })
            }
        });
        run(1, tasks);
    }
    let mut sum = Arc::try_unwrap(sum).map_err(drop).unwrap();
    assert_eq!(sum.iter_mut().count(), 5);
    assert_eq!(sum.iter_mut().map(|n| n.get()).sum::<usize>(), 3 * 5 * 45);
}
