//! The first use of the crate in a process, by two threads at once. Alone in its program: other models begin after the first use.

mod common;

use common::*;
use os_thread_local_loom::sys;
use std::sync::atomic::Ordering::SeqCst;

fn create_the_root() {
    Model { first_use: true, one_variant: true, preemptions: 2, ..Model::new("") }.run(|| {
        let object = object::<Dropped<0>>();
        let other = {
            let object = object.clone();
            spawn(move || object.with(|v| assert_eq!(v.what(), 1)))
        };
        object.with(|v| assert_eq!(v.what(), 1));
        other.join().unwrap();
    });
}

#[test]
fn two_threads_create_the_root() {
    create_the_root();
}

/// Each thread is in the list of those that are arriving, and finds itself there alone.
#[test]
fn two_threads_arrive() {
    sys::SET_MAY_ALLOCATE.store(true, SeqCst);
    create_the_root();
    sys::SET_MAY_ALLOCATE.store(false, SeqCst);
}
