//! Every kind of thread finds the same record whichever way it is read.

use super::super::exit::on_key_destructor;
use super::super::packed::Locator;
use super::super::record::Entries;
use super::super::root;
use crate::sys::{direct, Keys, System};
use crate::ThreadLocal;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

static VALUE: ThreadLocal<Cell<u32>> = ThreadLocal::new(|| Cell::new(1));

/// The record as the fast path finds it, and as the operating system has it.
fn both_ways() -> (Option<NonNull<Entries>>, Option<NonNull<Entries>>) {
    let root = root::get_or_create(on_key_destructor).unwrap();
    // SAFETY: each locator is for the function that it is given to.
    unsafe {
        let fast = match root.locator() {
            Locator::Read(locator) => root::read(locator),
            Locator::ReadIndirect(locator) => root::read_indirect(locator),
        };
        (fast, root::read_indirect(System::to_bits(root.key)))
    }
}

/// In a thread that has not used anything yet.
fn same_before_and_after_first_use() -> bool {
    let (fast, by_call) = both_ways();
    let before = fast.is_none() && by_call.is_none();
    VALUE.set(2);
    let (fast, by_call) = both_ways();
    before && fast.is_some() && fast == by_call && VALUE.get() == 2
}

#[test]
fn std_threads_read_the_same_both_ways() {
    for _ in 0..4 {
        assert!(thread::spawn(same_before_and_after_first_use).join().unwrap());
    }
    thread::scope(|scope| {
        let threads: std::vec::Vec<_> =
            (0..4).map(|_| scope.spawn(same_before_and_after_first_use)).collect();
        assert!(threads.into_iter().all(|thread| thread.join().unwrap()));
    });
}

/// With the feature, on the systems that are known, the direct read is expected to be in use, not refused.
#[test]
fn in_use_where_it_is_known_to_work() {
    root::get_or_create(on_key_destructor).unwrap();
    if direct::POSSIBLE {
        assert!(root::is_direct_read());
    } else {
        assert!(!root::is_direct_read());
    }
}

/// 0 when this thread has not been checked, then 1 for success.
static MAIN_THREAD: AtomicU32 = AtomicU32::new(0);

/// Runs before `main`, on its thread: the test harness runs tests on others.
#[cfg(all(target_os = "linux", not(miri)))]
#[used]
#[link_section = ".init_array"]
static BEFORE_MAIN: extern "C" fn() = {
    extern "C" fn check() {
        MAIN_THREAD.store(1 + u32::from(!same_before_and_after_first_use()), SeqCst);
    }
    check
};

#[cfg(all(target_os = "linux", not(miri)))]
#[test]
fn the_main_thread_reads_the_same_both_ways() {
    assert_eq!(MAIN_THREAD.load(SeqCst), 1);
}

#[cfg(all(unix, not(miri)))]
mod posix {
    use super::*;

    extern "C" {
        fn pthread_create(
            thread: *mut usize,
            attributes: *const c_void,
            start: extern "C" fn(*mut c_void) -> *mut c_void,
            argument: *mut c_void,
        ) -> i32;
        fn pthread_join(thread: usize, result: *mut *mut c_void) -> i32;
        fn fork() -> i32;
        fn waitpid(child: i32, status: *mut i32, options: i32) -> i32;
        fn _exit(status: i32) -> !;
    }

    extern "C" fn check(_: *mut c_void) -> *mut c_void {
        let same = same_before_and_after_first_use();
        ptr::null_mut::<u8>().wrapping_add(usize::from(same)).cast()
    }

    /// `pthread_t` is a word, and the result a word that is 1.
    fn in_a_pthread() -> bool {
        let (mut thread, mut result) = (0, ptr::null_mut());
        // SAFETY: both are valid for a write; the thread is joined once.
        unsafe {
            pthread_create(&mut thread, ptr::null(), check, ptr::null_mut()) == 0
                && pthread_join(thread, &mut result) == 0
                && result as usize == 1
        }
    }

    #[test]
    fn a_pthread_reads_the_same_both_ways() {
        assert!(in_a_pthread());
    }

    #[test]
    #[cfg_attr(
        target_env = "musl",
        ignore = "a thread that such a child starts waits inside of musl, for ever"
    )]
    #[cfg_attr(target_os = "emscripten", ignore = "there is no fork")]
    fn a_forked_child_reads_the_same_both_ways() {
        // Some emulators cannot start a thread in a child.
        let threads = std::env::var_os("OS_THREAD_LOCAL_FORK_THREADS").map_or(true, |n| n != "0");
        // The thread that forks has used the crate in one case, and has not in the other.
        for used in [false, true] {
            let status = thread::spawn(move || {
                if used {
                    VALUE.set(3);
                }
                // SAFETY: the child uses memory and threads, which glibc and the others allow it, and leaves by `_exit`.
                unsafe {
                    let child = fork();
                    if child == 0 {
                        let (fast, by_call) = both_ways();
                        let same = fast == by_call && fast.is_some() == used;
                        let same = same && VALUE.get() == if used { 3 } else { 1 };
                        let (fast, by_call) = both_ways();
                        let same = same && fast.is_some() && fast == by_call;
                        let same = same && (!threads || in_a_pthread());
                        _exit(if same { 0 } else { 1 });
                    }
                    let mut status = -1;
                    assert_eq!(waitpid(child, &mut status, 0), child);
                    status
                }
            })
            .join()
            .unwrap();
            assert_eq!(status, 0);
        }
    }
}
