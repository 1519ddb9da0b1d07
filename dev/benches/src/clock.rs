//! Clocks that std does not have.

/// The processor time of the whole process, ended threads included, in nanoseconds.
pub fn process_time() -> f64 {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// The processor time of this process and of the processes that it has started and waited for, in nanoseconds.
pub fn process_time_with_children() -> f64 {
    // SAFETY: all zeroes are a valid value of the type, and the pointer is to it.
    let children = unsafe {
        let mut usage = std::mem::zeroed::<libc::rusage>();
        assert_eq!(libc::getrusage(libc::RUSAGE_CHILDREN, &mut usage), 0);
        usage
    };
    let nanoseconds = |time: libc::timeval| time.tv_sec as f64 * 1e9 + time.tv_usec as f64 * 1e3;
    process_time() + nanoseconds(children.ru_utime) + nanoseconds(children.ru_stime)
}

/// The processor time of the calling thread, in nanoseconds. Waiting for a contended cache line is in it, other
/// programs are not.
pub fn thread_time() -> f64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// How long the calling thread has been ready to run without running, in nanoseconds. 0 where the system does not say.
pub fn run_queue_delay() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split_whitespace().nth(1).and_then(|field| field.parse().ok()).unwrap_or(0)
}

fn read(clock: libc::clockid_t) -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a `timespec`.
    let status = unsafe { libc::clock_gettime(clock, &mut time) };
    assert_eq!(status, 0);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
