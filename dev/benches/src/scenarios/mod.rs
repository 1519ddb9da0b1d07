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
        each!($Set in [Ours, Raw, Ancestor, ThreadLocalCrate] => $body);
        #[cfg(peer_boost)]
        each!($Set in [Boost] => $body);
    }};
}

mod cold;
mod counters;
mod crowd;
mod hot;
mod library;
mod parallel;
mod per_thread;

pub use cold::COLD;
pub use crowd::Gate;
pub use hot::HOT_SPREAD;

use crate::rounds::Scenario;

// The reasons given where another crate is faster.
const CALL: &str = "os-thread-local reads the object's word, the thread's slot, the entry and the value, one after another; where it has no \
    thread-local word of its own, the slot is read by `pthread_getspecific`";
const LIBRARY: &str = "in a library the slot is read by `pthread_getspecific`; `thread_local` starts from the compiler's thread-local storage";
const FIRST: &str = "the thread's first use makes its record, and its first value with a destructor registers the thread in the C library's \
    exit list. 0.1.3 records nothing and leaks; `thread_local` destroys nothing at thread exit";
const END: &str = "the thread's record is ended, and its values with a destructor are destroyed; 0.1.3 keeps no record, and `thread_local` \
    destroys nothing at thread exit";
const BOTH: &str = "first uses and thread exit, as above; with `thread_local` the thread inherits the values of the last one";
const CREATE: &str = "an atomic operation assigns the object's slot number";
const CONTENDED: &str =
    "a thread that is preempted while it holds a stripe's lock blocks the droppers that visit the stripe";
const OWNED: &str = "an atomic operation adds the value to its object's list, and the thread's record is pooled at thread exit";

/// All scenarios, in the order of the tables.
pub fn all() -> Vec<Scenario> {
    // The C library is faster before the first thread than ever after.
    std::thread::spawn(|| ()).join().expect("no panic");
    [
        hot::scenarios(),
        library::scenarios(),
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
