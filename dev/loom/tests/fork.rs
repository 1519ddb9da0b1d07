//! The child of a fork, whose parent's threads held all locks. Another library's fork handler, which runs before the crate's, starts a
//! thread there: each thread may be the first to acquire a lock.

mod common;

use common::*;
use os_thread_local_loom::storage::{after_fork_in_child, fork};
use os_thread_local_loom::sys::PROCESS;
use std::sync::atomic::Ordering::SeqCst;

fn child(first: impl Fn() + Copy + Send + Sync + 'static) {
    Model { preemptions: 2, one_variant: true, ..Model::new("") }.run(move || {
        fork(|| _ = PROCESS.fetch_add(1, SeqCst));
        let object = object::<Plain<0>>();
        let other = {
            let object = object.clone();
            spawn(move || object.with(|v| assert_eq!(v.what(), 1)))
        };
        first();
        object.with(|v| assert_eq!(v.what(), 1));
        other.join().unwrap();
    });
}

#[test]
fn two_threads_of_a_forked_child() {
    child(|| ());
}

#[test]
fn the_fork_handler_against_another_thread_of_the_child() {
    child(after_fork_in_child);
}
