//! Forks of a process that has used the crate.
//!
//! The child: its parent's threads held all locks. Another library's fork handler, which runs before the crate's, starts a thread there:
//! each thread may be the first to acquire a lock.
//!
//! The parent: its threads run during the fork, and none of their locks is released.

mod common;

use common::*;
use os_thread_local_loom::storage::{acquire_a_lock, after_fork_in_child, fork, fork_as_parent};
use os_thread_local_loom::sys;
use std::sync::atomic::Ordering::SeqCst;

fn child(first: impl Fn(usize) + Copy + Send + Sync + 'static) {
    Model { preemptions: 2, one_variant: true, ..Model::new("") }.run(move || {
        let handlers = fork();
        assert_eq!(handlers, 1);
        let object = object::<Plain<0>>();
        let other = {
            let object = object.clone();
            spawn(move || object.with(|v| assert_eq!(v.what(), 1)))
        };
        first(handlers);
        object.with(|v| assert_eq!(v.what(), 1));
        other.join().unwrap();
    });
}

#[test]
fn two_threads_of_a_forked_child() {
    child(|_| ());
}

#[test]
fn the_fork_handler_against_another_thread_of_the_child() {
    child(after_fork_in_child);
}

/// The process was made without fork handlers (`_Fork`, `clone`), or its `vfork` child has used the crate: the crate has the id of another
/// process. It forks while its threads acquire and hold locks; one of them in another library's fork handler.
#[test]
fn a_fork_of_a_process_that_was_made_without_handlers() {
    Model { preemptions: 2, one_variant: true, ..Model::new("") }.run(|| {
        sys::PROCESS.fetch_add(1, SeqCst);
        let object = object::<Plain<0>>();
        let other = {
            let object = object.clone();
            spawn(move || object.with(|v| assert_eq!(v.what(), 1)))
        };
        fork_as_parent(|| object.with(|v| assert_eq!(v.what(), 1)));
        other.join().unwrap();
        let asked = sys::ASKED.load(SeqCst);
        acquire_a_lock();
        assert_eq!(asked, sys::ASKED.load(SeqCst), "no fork is in progress any more");
    });
}
