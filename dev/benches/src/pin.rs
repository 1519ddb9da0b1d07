//! Pinning to one processor.
//!
//! A thread that is started and joined on another processor than its starter's is mostly a measurement of the system's wake-up between
//! processors: it makes an empty thread several times as long, and differences of two threads negative. New threads inherit the pinning.

/// Restricts the calling thread, and those that it starts, to `processor()` until it is dropped. Does nothing where the system has no such
/// call.
pub struct Pinned {
    #[cfg(target_os = "linux")]
    before: libc::cpu_set_t,
}

#[cfg(target_os = "linux")]
mod linux {
    use super::Pinned;
    use std::mem::size_of;

    const SIZE: usize = size_of::<libc::cpu_set_t>();

    fn empty() -> libc::cpu_set_t {
        // SAFETY: all zeroes are a valid value of the type: the empty set.
        unsafe { std::mem::zeroed() }
    }

    fn allowed() -> libc::cpu_set_t {
        let mut set = empty();
        // SAFETY: the pointer is to a set of the given size. 0 is the calling thread.
        let status = unsafe { libc::sched_getaffinity(0, SIZE, &mut set) };
        assert_eq!(status, 0, "sched_getaffinity");
        set
    }

    fn restrict(set: &libc::cpu_set_t) {
        // SAFETY: the pointer is to a set of the given size. 0 is the calling thread.
        let status = unsafe { libc::sched_setaffinity(0, SIZE, set) };
        assert_eq!(status, 0, "sched_setaffinity");
    }

    /// The last of the processors that the process may use: the first often has the system's interrupts.
    pub fn processor() -> Option<usize> {
        let set = allowed();
        // SAFETY: the number is below the set's size.
        (0..8 * SIZE).rev().find(|number| unsafe { libc::CPU_ISSET(*number, &set) })
    }

    impl Pinned {
        #[allow(clippy::new_without_default)] // it does something
        pub fn new() -> Pinned {
            let before = allowed();
            let mut one = empty();
            // SAFETY: the number is one of the set's.
            unsafe { libc::CPU_SET(processor().expect("this thread runs"), &mut one) };
            restrict(&one);
            Pinned { before }
        }
    }

    impl Drop for Pinned {
        fn drop(&mut self) {
            restrict(&self.before);
        }
    }
}

#[cfg(target_os = "linux")]
pub use linux::processor;

#[cfg(not(target_os = "linux"))]
mod other {
    use super::Pinned;

    pub fn processor() -> Option<usize> {
        None
    }

    impl Pinned {
        #[allow(clippy::new_without_default)] // it does something elsewhere
        pub fn new() -> Pinned {
            Pinned {}
        }
    }
}

#[cfg(not(target_os = "linux"))]
pub use other::processor;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::thread::{available_parallelism, spawn};

    #[test]
    fn threads_inherit_it_until_it_is_dropped() {
        let processors = || available_parallelism().expect("the system says").get();
        let before = processors();
        let pinned = Pinned::new();
        let expected = processor();
        assert_eq!(processors(), 1);
        spawn(move || {
            assert_eq!(processors(), 1);
            assert_eq!(processor(), expected);
        })
        .join()
        .expect("no panic");
        drop(pinned);
        assert_eq!(processors(), before);
    }
}
