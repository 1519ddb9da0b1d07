//! A fork while a thread of the parent installs the hooks: it may be anywhere in it. Alone in its program, as `root.rs`.

mod common;

use common::*;
use loom::thread;
use os_thread_local_loom::storage::{self, acquire_a_lock, after_fork_in_child, fork_as_parent};
use os_thread_local_loom::sys;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// The crate counts no fork: it does not ask for the process's id.
fn assert_no_fork() {
    let asked = sys::ASKED.load(SeqCst);
    acquire_a_lock();
    assert_eq!(asked, sys::ASKED.load(SeqCst), "no fork is in progress");
}

/// The child installs its own hooks. If the parent's thread had registered its handlers, they run twice in later forks: in the parent and
/// in the child the count of forks is right, and the child's locks are free.
#[test]
fn a_fork_while_hooks_are_installed() {
    /// In how many executions the handlers were registered so often.
    static TIMES: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];
    Model { first_use: true, one_variant: true, preemptions: 3, ..Model::new("") }.run(|| {
        storage::create_root();
        let object = object::<Plain<0>>();
        let installing = {
            let object = object.clone();
            thread::spawn(move || loom_core::stay_behind(|| object.with(|_| ())))
        };
        let handlers = storage::fork();
        installing.join().unwrap();
        after_fork_in_child(handlers);
        object.with(|v| assert_eq!(v.what(), 1));
        let registered = sys::count_handlers();
        TIMES[registered].fetch_add(1, SeqCst);
        assert_no_fork();
        let other = {
            let object = object.clone();
            spawn(move || object.with(|v| assert_eq!(v.what(), 1)))
        };
        fork_as_parent(|| ());
        other.join().unwrap();
        assert_eq!(registered, sys::count_handlers(), "hooks are installed once more");
        assert_no_fork();
        let handlers = storage::fork();
        after_fork_in_child(handlers);
        assert_no_fork();
        let last = second_object::<Plain<0>>();
        last.with(|v| assert_eq!(v.what(), 2));
    });
    let times = [0, 1, 2].map(|times| TIMES[times].load(SeqCst));
    assert!(times[0] == 0 && times[1] > 0 && times[2] > 0, "{times:?}");
}
