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
pub use hot::HOT_SPREAD;

use crate::rounds::Scenario;

// The reasons given where another crate is faster.
const CALL: &str = "`thread_local` starts from the compiler's thread-local storage, without a libc call; `pthread_getspecific` alone takes \
    longer. `direct-read` avoids the call";
const FIRST: &str = "the thread's first use makes its record, and its first value with a destructor registers the thread in the C library's \
    exit list. The first value of an object in a stripe sets a bit of the object's mask by an atomic operation, so that the dropper finds it. 0.1.3 \
    records nothing and leaks; `thread_local` destroys nothing at thread exit";
const END: &str = "the thread claims its values with a destructor, 64 per lock acquisition, and destroys them one by one; `thread_local` \
    destroys nothing at thread exit";
const BOTH: &str = "first uses and thread exit, as above";
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
