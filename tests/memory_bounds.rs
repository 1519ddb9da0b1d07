//! The crate's allocations, compared with the documented limits.

// Without the harness, so that no other thread allocates.

mod children;
mod common;

use children::fewer;
use common::counting::Counting;
use common::wait_until;
use os_thread_local::{reclaim, PerThread, ThreadLocal};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Mutex;
use std::thread;

// ---------------------------------------------------------------------------------------------- the limits, in bytes

/// A new thread's first use, including the value of a word.
const FIRST_USE: isize = 832;

/// A value of a word, the average of 1,000 in one thread: 48 bytes, a part of the arena's last chunk, and the entry in the thread's table.
const VALUE: isize = 80;

/// A prepared object without values, with the entry in the table of the thread that prepared it.
const OBJECT: isize = 48;

/// The memory that an idle thread keeps for a value of a word without a destructor after another thread has dropped the object; with the
/// entry in the thread's table.
const IDLE_KEEPS: isize = 80;

/// The same for a value of 512 bytes: its memory is freed at once, and the table remains.
const IDLE_KEEPS_OF_LARGE: isize = 32;

/// The same for any value after the thread has called `reclaim`.
const KEPT_AFTER_RECLAIM: isize = 80;

/// The limit below which a difference may be the C library's or std's.
const NOTHING: isize = 256;

// ---------------------------------------------------------------------------------------------- the counting

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();

fn live() -> isize {
    ALLOCATOR.live()
}

static FAILED: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Records a failure if `bytes`, which `count` items took, are more than `limit` for each.
fn check(what: &str, bytes: isize, count: usize, limit: isize) {
    let per = if count == 1 { String::new() } else { format!(", {} each", bytes / count as isize) };
    println!("memory_bounds: {}: {} bytes{} (at most {})", what, bytes, per, limit);
    if bytes > limit * count as isize {
        FAILED.lock().unwrap().push(what.to_string());
    }
}

/// The largest number of bytes that one of some new threads allocates in `f` and keeps.
fn most_in_new_threads(f: impl Fn() + Sync) -> isize {
    // More than the threads of other measurements, whose records are in the pool.
    const THREADS: usize = 12;
    let kept = || {
        let before = live();
        f();
        (live() - before).max(0) as usize
    };
    common::most_in_new_threads(THREADS, kept) as isize
}

/// A thread that runs orders and does nothing else. Orders are sent without a channel, which would allocate.
struct Idle<'a> {
    orders: &'a Orders,
}

#[derive(Default)]
struct Orders {
    given: AtomicUsize,
    done: AtomicUsize,
}

impl Idle<'_> {
    fn run(&self) {
        let given = self.orders.given.fetch_add(1, SeqCst) + 1;
        wait_until(|| self.orders.done.load(SeqCst) == given);
    }
}

/// Calls `f` with a thread that runs `order` with the order's number, once per order.
fn with_idle_thread(order: impl Fn(usize) + Sync, f: impl FnOnce(&Idle<'_>)) {
    const END: usize = usize::MAX;
    let orders = Orders::default();
    thread::scope(|s| {
        let thread = s.spawn(|| {
            for n in 1.. {
                wait_until(|| orders.given.load(SeqCst) >= n);
                if orders.given.load(SeqCst) == END {
                    break;
                }
                order(n);
                orders.done.store(n, SeqCst);
            }
        });
        f(&Idle { orders: &orders });
        orders.given.store(END, SeqCst);
        thread.join().unwrap();
    });
}

// ---------------------------------------------------------------------------------------------- the values

type Word = usize;

fn word() -> Word {
    1
}

/// A word with a destructor.
struct Drops(Word);

impl Drop for Drops {
    fn drop(&mut self) {
        assert_eq!(self.0, 1);
        self.0 = 0;
    }
}

fn drops() -> Drops {
    Drops(1)
}

type Large = [u8; 512];

fn large() -> Large {
    [1; 512]
}

fn objects<T>(n: usize, init: fn() -> T) -> Vec<ThreadLocal<T>> {
    (0..n).map(|_| ThreadLocal::new(init)).collect()
}

fn use_all<T>(objects: &[ThreadLocal<T>]) {
    objects.iter().for_each(|o| o.with(|_| ()));
}

// ---------------------------------------------------------------------------------------------- the measurements

fn main() {
    first_uses();
    objects_and_their_values();
    dropped_objects_leave_nothing();
    idle("of a word", word, IDLE_KEEPS);
    idle("of 512 bytes", large, IDLE_KEEPS_OF_LARGE);
    idle_until_reclaim();
    let failed = FAILED.lock().unwrap();
    assert!(failed.is_empty(), "more than the limit: {:?}", *failed);
}

fn first_uses() {
    static WORD: ThreadLocal<Word> = ThreadLocal::new(word);
    static DROPS: ThreadLocal<Drops> = ThreadLocal::new(drops);
    static PER_THREAD: PerThread<Word> = PerThread::new(word);
    // This thread makes the process's first use, which allocates more.
    WORD.with(|_| ());
    DROPS.with(|_| ());
    PER_THREAD.with(|_| ());
    let bytes = most_in_new_threads(|| WORD.with(|_| ()));
    check("first use of a thread, a word", bytes, 1, FIRST_USE);
    let bytes = most_in_new_threads(|| DROPS.with(|_| ()));
    check("first use of a thread, a word with a destructor", bytes, 1, FIRST_USE);
    let bytes = most_in_new_threads(|| PER_THREAD.with(|_| ()));
    check("first use of a thread, a word of a PerThread", bytes, 1, FIRST_USE);
}

fn objects_and_their_values() {
    const OBJECTS: usize = 1_000;
    const MANY: usize = 10_000;
    let of_words = objects(OBJECTS, word);
    let with_destructor = objects(OBJECTS, drops);
    let per_thread: Vec<_> = (0..OBJECTS).map(|_| PerThread::new(word)).collect();
    of_words.iter().for_each(|o| o.prepare().unwrap());
    let bytes = most_in_new_threads(|| use_all(&of_words));
    check("1,000 words and the thread", bytes - FIRST_USE, OBJECTS, VALUE);
    drop(of_words);
    with_destructor.iter().for_each(|o| o.prepare().unwrap());
    let bytes = most_in_new_threads(|| use_all(&with_destructor));
    check("1,000 words with a destructor and the thread", bytes - FIRST_USE, OBJECTS, VALUE);
    drop(with_destructor);
    per_thread.iter().for_each(|o| o.prepare().unwrap());
    let bytes = most_in_new_threads(|| per_thread.iter().for_each(|o| o.with(|_| ())));
    check("1,000 words of PerThread and the thread", bytes - FIRST_USE, OBJECTS, VALUE);
    drop(per_thread);

    // Only numbers: no value.
    let many = objects(MANY, word);
    let before = live();
    many.iter().for_each(|o| o.prepare().unwrap());
    check("10,000 objects", live() - before, MANY, OBJECT);
}

/// Used and dropped repeatedly, an object leaves nothing.
fn dropped_objects_leave_nothing() {
    let rounds: [(&str, usize, fn()); 5] = [
        ("one", fewer(1_000), || ThreadLocal::new(word).with(|_| ())),
        ("one with a destructor", fewer(1_000), || ThreadLocal::new(drops).with(|_| ())),
        ("one of 512 bytes", fewer(1_000), || ThreadLocal::new(large).with(|_| ())),
        ("one PerThread", fewer(1_000), || PerThread::new(word).with(|_| ())),
        ("100 of each kind", fewer(100), || {
            use_all(&objects(100, word));
            use_all(&objects(100, drops));
            use_all(&objects(100, large));
            let per_thread: Vec<_> = (0..100).map(|_| PerThread::new(drops)).collect();
            per_thread.iter().for_each(|o| o.with(|_| ()));
        }),
    ];
    for (what, times, round) in rounds {
        (0..10).for_each(|_| round());
        let before = live();
        (0..times).for_each(|_| round());
        let left = live() - before;
        check(&format!("objects used and dropped, {} times: {}", times, what), left, 1, 0);
    }

    // Dropped by this thread, after another one has used them.
    let used: Mutex<Vec<ThreadLocal<Drops>>> = Mutex::new(Vec::new());
    let used_too: Mutex<Vec<ThreadLocal<Word>>> = Mutex::new(Vec::new());
    let order = |_| {
        use_all(&used.lock().unwrap());
        use_all(&used_too.lock().unwrap());
    };
    with_idle_thread(order, |idle| {
        let round = || {
            *used.lock().unwrap() = objects(100, drops);
            *used_too.lock().unwrap() = objects(100, word);
            idle.run();
            drop(std::mem::take(&mut *used.lock().unwrap()));
            drop(std::mem::take(&mut *used_too.lock().unwrap()));
        };
        (0..10).for_each(|_| round());
        let before = live();
        (0..fewer(100)).for_each(|_| round());
        let what = "objects dropped by another thread than the one that uses them";
        check(what, live() - before, 1, NOTHING);
    });
}

/// A thread has used objects whose values have no destructor, another thread drops them, and the first thread stays idle.
fn idle<T: 'static>(what: &str, init: fn() -> T, limit: isize) {
    const OBJECTS: usize = 1_000;
    let used = Mutex::new(Vec::new());
    with_idle_thread(
        |_| use_all(&used.lock().unwrap()),
        |idle| {
            let round = || {
                *used.lock().unwrap() = objects(OBJECTS, init);
                idle.run();
                drop(std::mem::take(&mut *used.lock().unwrap()));
            };
            // Numbers, and this thread's own memory.
            drop(used_by_this_thread(OBJECTS, init));
            let before = live();
            round();
            let kept = live() - before;
            check(&format!("an idle thread keeps of 1,000 values {}", what), kept, OBJECTS, limit);
            // The memory does not accumulate.
            for _ in 0..fewer(20) {
                round();
            }
            let more = live() - before - kept;
            check(&format!("and more when it repeats, of values {}", what), more, 1, NOTHING);
        },
    );
}

fn used_by_this_thread<T>(n: usize, init: fn() -> T) -> Vec<ThreadLocal<T>> {
    let objects = objects(n, init);
    use_all(&objects);
    objects
}

/// Orphans wait for their thread, which destroys them in `reclaim`.
fn idle_until_reclaim() {
    const OBJECTS: usize = 1_000;
    let used = Mutex::new(Vec::new());
    let order = |n: usize| {
        if n % 2 == 1 {
            use_all(&used.lock().unwrap());
        } else {
            reclaim();
        }
    };
    with_idle_thread(order, |idle| {
        let round = || {
            *used.lock().unwrap() = objects(OBJECTS, || [drops(), drops()]);
            idle.run();
            drop(std::mem::take(&mut *used.lock().unwrap()));
            idle.run();
        };
        drop(used_by_this_thread(OBJECTS, drops));
        let before = live();
        round();
        let kept = live() - before;
        let what = "kept of 1,000 values with a destructor after reclaim";
        check(what, kept, OBJECTS, KEPT_AFTER_RECLAIM);
        (0..fewer(20)).for_each(|_| round());
        let what = "and more when it repeats, of values with a destructor";
        check(what, live() - before - kept, 1, NOTHING);
    });
}
