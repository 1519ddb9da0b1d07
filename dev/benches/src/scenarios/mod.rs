//! What is measured.

/// Evaluates `$body` with `$Set` standing for each of some kinds of objects in turn.
macro_rules! each {
    ($Set:ident in [$($Kind:ty),* $(,)?] => $body:expr) => {{
        $({
            type $Set = $Kind;
            $body
        })*
    }};
}

/// The same for every kind whose values have a destructor.
macro_rules! each_kind {
    ($Set:ident => $body:expr) => {{
        each!($Set in [Ours, Direct, Raw, Ancestor, ThreadLocalCrate] => $body);
        #[cfg(peer_boost)]
        each!($Set in [Boost] => $body);
    }};
}

mod cold;
mod counters;
mod crowd;
mod hot;
mod parallel;
mod per_thread;

pub use crowd::Gate;

use crate::rounds::Scenario;

// Why others are faster, where they are.
const CALL: &str = "`pthread_getspecific` alone takes longer than the crate's access, which begins at the compiler's \
    thread-local storage; `direct-read` leaves the call out";
const FIRST: &str = "the thread's first use makes its record, and the first value with a destructor registers the thread in the C library's \
    exit list; each value is entered in a mask, through which the object's dropper finds it, with an atomic operation the first time. 0.1.3 enters \
    nothing and leaks, `thread_local` destroys nothing at a thread's end";
const END: &str = "values with a destructor are claimed, 64 for each lock acquisition, and destroyed one by one; `thread_local` destroys \
    nothing here";
const BOTH: &str = "first uses and the end of the thread, as above";
const CREATE: &str = "the object's number is assigned by an atomic operation";
const CONTENDED: &str =
    "a thread that is preempted while it holds the lock of its stripe stops the droppers that visit it for as long";
const OWNED: &str = "a value is entered in its object's list by an atomic operation, and the thread's record is pooled at its end";

/// All scenarios, in the order of the tables.
pub fn all() -> Vec<Scenario> {
    // The C library is faster before the first thread than ever after.
    std::thread::spawn(|| ()).join().expect("no panic");
    [
        hot::scenarios(),
        cold::scenarios(),
        parallel::scenarios(),
        per_thread::scenarios(),
        counters::scenarios(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn objects(count: usize) -> String {
    if count == 1 {
        "1 object".into()
    } else {
        format!("{} objects", grouped(count))
    }
}

fn many(threads: usize) -> String {
    if threads == 1 {
        "1 thread".into()
    } else {
        format!("{} threads", grouped(threads))
    }
}

/// 100000 as "100,000".
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
