//! `with_existing` in a signal handler that runs after every instruction of first uses, of tables that grow, of drops, and of a thread's
//! end: it finds a whole value of the right object and thread, or none.
//!
//! The processor's trap flag raises SIGTRAP after each instruction. `tests/signals.rs` has signals that arrive by chance, on more systems.
//!
//! While its thread runs, a value that was made is found at every instruction. From the beginning of the thread's end on it may be
//! missing, but a value whose destructor has begun, or that is another thread's, is never found.

#![cfg(feature = "alloc")]
#![cfg(all(target_os = "linux", target_arch = "x86_64", target_pointer_width = "64", not(miri)))]
#![allow(clippy::drop_non_drop)] // where a value ends

mod children;

use std::arch::asm;
use std::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use std::sync::Mutex;
use std::{ptr, thread};

use os_thread_local::key::StaticDestructorKey;
use os_thread_local::{reclaim, PerThread, ThreadLocal};

// ---------------------------------------------------------------------------------------------- the values

const MAGIC: usize = 0x5A5A_1234_0000_0000;

/// What values are made with: the number of the set of objects that is being used.
static SERIAL: AtomicUsize = AtomicUsize::new(0);

/// The same word several times, so that a value that is not whole shows.
struct Plain<const N: usize>([usize; N]);

impl<const N: usize> Plain<N> {
    fn new() -> Self {
        Plain([MAGIC | SERIAL.load(SeqCst); N])
    }

    /// The serial number, if the value is whole.
    fn serial(&self) -> Option<usize> {
        let word = self.0[0];
        if self.0 == [word; N] && word & !0xFFFF_FFFF == MAGIC {
            Some(word ^ MAGIC)
        } else {
            None
        }
    }
}

/// With a destructor, which begins by overwriting the value.
struct Drops<const N: usize>(Plain<N>);

impl<const N: usize> Drops<N> {
    fn new() -> Self {
        Drops(Plain::new())
    }
}

impl<const N: usize> Drop for Drops<N> {
    fn drop(&mut self) {
        // SAFETY: the words are alive. The compiler must not leave the stores out.
        unsafe { ptr::write_volatile(&mut self.0 .0, [0; N]) };
    }
}

/// An object of each kind: values in their thread's arena and outside of it, with a destructor and without one, and values that the
/// object owns.
struct Set {
    drops: ThreadLocal<Drops<5>>,
    large_drops: ThreadLocal<Drops<16>>,
    plain: ThreadLocal<Plain<5>>,
    large_plain: ThreadLocal<Plain<16>>,
    owned: PerThread<Plain<5>>,
    owned_drops: PerThread<Drops<5>>,
    /// What the calling thread's values were made with.
    serial: AtomicUsize,
}

const KINDS: usize = 6;
const NAMES: [&str; KINDS] =
    ["drops", "large_drops", "plain", "large_plain", "owned", "owned_drops"];

impl Set {
    const fn new() -> Set {
        Set {
            drops: ThreadLocal::new(Drops::new),
            large_drops: ThreadLocal::new(Drops::new),
            plain: ThreadLocal::new(Plain::new),
            large_plain: ThreadLocal::new(Plain::new),
            owned: PerThread::new(Plain::new),
            owned_drops: PerThread::new(Drops::new),
            serial: AtomicUsize::new(0),
        }
    }

    fn prepare(&self) {
        self.drops.prepare().unwrap();
        self.large_drops.prepare().unwrap();
        self.plain.prepare().unwrap();
        self.large_plain.prepare().unwrap();
        self.owned.prepare().unwrap();
        self.owned_drops.prepare().unwrap();
    }

    /// Begins to use the set: the handler looks at it.
    fn select(&'static self) {
        let serial = SERIAL.load(SeqCst) + 1;
        SERIAL.store(serial, SeqCst);
        self.serial.store(serial, SeqCst);
        CURRENT.store(self as *const Set as *mut Set, SeqCst);
    }

    /// Makes the calling thread's values.
    fn use_all(&self) {
        // Errors: destructors use objects whose values are gone.
        let _ = self.drops.try_with(|_| ());
        let _ = self.large_drops.try_with(|_| ());
        let _ = self.plain.try_with(|_| ());
        let _ = self.large_plain.try_with(|_| ());
        let _ = self.owned.try_with(|_| ());
        let _ = self.owned_drops.try_with(|_| ());
    }

    /// What the handler finds.
    fn look(&self, must_exist: bool) {
        let serial = self.serial.load(SeqCst);
        let right = |found: Option<usize>| found == Some(serial);
        let found = [
            self.drops.with_existing(|v| right(v.0.serial())),
            self.large_drops.with_existing(|v| right(v.0.serial())),
            self.plain.with_existing(|v| right(v.serial())),
            self.large_plain.with_existing(|v| right(v.serial())),
            // Perhaps inherited.
            self.owned.with_existing(|v| v.serial().is_some()),
            self.owned_drops.with_existing(|v| v.0.serial().is_some()),
        ];
        let ending = ENDING.load(SeqCst);
        for (kind, found) in found.iter().enumerate() {
            match found {
                Some(true) => SEEN[ending as usize][kind].fetch_add(1, SeqCst),
                Some(false) => WRONG[kind].fetch_or(1 << PHASE.load(SeqCst), SeqCst),
                None if must_exist => MISSING[kind].fetch_or(1 << PHASE.load(SeqCst), SeqCst),
                None => 0,
            };
        }
    }
}

// ---------------------------------------------------------------------------------------------- the handler

/// With slot numbers among the entries of a record, and of its table.
static INLINE: Set = Set::new();
static IN_TABLE: Set = Set::new();
/// The set whose objects the thread uses.
static CURRENT: AtomicPtr<Set> = AtomicPtr::new(ptr::null_mut());
/// The thread has values of `INLINE` and `IN_TABLE`.
static MUST_EXIST: AtomicBool = AtomicBool::new(false);
/// The thread has begun to end.
static ENDING: AtomicBool = AtomicBool::new(false);

/// What the thread does.
static PHASE: AtomicUsize = AtomicUsize::new(0);
const FIRST_USES: usize = 0;
const REMOVALS: usize = 1;
const DROPS: usize = 2;
const RECLAIM: usize = 3;
const THE_END: usize = 4;
const IN_A_DESTRUCTOR: usize = 5;
const LATE_ROUNDS: usize = 6;
const PHASES: [&str; 7] = [
    "first uses",
    "removals",
    "drops",
    "reclaim",
    "the thread's end",
    "a destructor that uses objects",
    "late rounds",
];

#[allow(clippy::declare_interior_mutable_const)] // the initial value of the arrays
const ZERO: AtomicUsize = AtomicUsize::new(0);
static STEPS: [AtomicUsize; PHASES.len()] = [ZERO; PHASES.len()];
/// How often the handler found a value, before the thread's end and in it.
static SEEN: [[AtomicUsize; KINDS]; 2] = [[ZERO; KINDS], [ZERO; KINDS]];
/// In which phases it found one that is not right, and in which it did not find one that exists: a bit each.
static WRONG: [AtomicUsize; KINDS] = [ZERO; KINDS];
static MISSING: [AtomicUsize; KINDS] = [ZERO; KINDS];

extern "C" fn handler(_: i32) {
    STEPS[PHASE.load(SeqCst)].fetch_add(1, SeqCst);
    let must_exist = MUST_EXIST.load(SeqCst);
    INLINE.look(must_exist);
    IN_TABLE.look(must_exist);
    // SAFETY: null or a set that is never freed.
    if let Some(set) = unsafe { CURRENT.load(SeqCst).as_ref() } {
        set.look(false);
    }
}

#[inline(never)]
fn steps_on() {
    // SAFETY: sets the trap flag, for which there is a handler. The compiler expects that the assembly uses the stack.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") }
}

#[inline(never)]
fn steps_off() {
    // SAFETY: clears the trap flag. The compiler expects that the assembly uses the stack.
    unsafe { asm!("pushfq", "and qword ptr [rsp], -0x101", "popfq") }
}

fn begin(phase: usize) {
    PHASE.store(phase, SeqCst);
}

// ---------------------------------------------------------------------------------------------- the thread

/// Uses objects when it is destroyed: such as have values, such as had some, and new ones.
struct UsesObjects(Option<&'static Set>);

/// The number of values that were destroyed. A thread whose record is leaked destroys none.
static USERS: AtomicUsize = ZERO;

impl Drop for UsesObjects {
    fn drop(&mut self) {
        USERS.fetch_add(1, SeqCst);
        let before = (PHASE.load(SeqCst), CURRENT.load(SeqCst));
        begin(IN_A_DESTRUCTOR);
        let _ = INLINE.drops.try_with(|_| ());
        let _ = IN_TABLE.plain.try_with(|_| ());
        if let Some(set) = self.0 {
            set.select();
            set.use_all();
        }
        PHASE.store(before.0, SeqCst);
        CURRENT.store(before.1, SeqCst);
    }
}

/// Called after the crate's destructor in every round.
static LAST: StaticDestructorKey = StaticDestructorKey::new(last);
/// Used by it.
static LATE: [Set; ROUNDS - 1] = [Set::new(), Set::new(), Set::new()];
/// PTHREAD_DESTRUCTOR_ITERATIONS.
const ROUNDS: usize = 4;

fn set_last(round: usize) {
    let word = ptr::null_mut::<u8>().wrapping_add(round).cast();
    // SAFETY: the destructor takes any word.
    unsafe { LAST.set(word) }.unwrap();
}

unsafe extern "system" fn last(round: *mut c_void) {
    let round = round as usize;
    if round == ROUNDS {
        // After this round the system blocks signals, and a trap ends the process.
        return steps_off();
    }
    begin(LATE_ROUNDS);
    let set = &LATE[round - 1];
    set.select();
    if round != 2 {
        let _ = set.plain.try_with(|_| ());
    }
    if round == 1 {
        let _ = set.owned_drops.try_with(|_| ());
        // Where it can be made, it is destroyed in a later round.
        let _ = set.drops.try_with(|_| ());
    }
    set_last(round + 1);
}

/// The handler may look at it until the process ends.
fn leaked<T>(value: T) -> &'static T {
    /// What LeakSanitizer then finds in use.
    static ALL: Mutex<Vec<usize>> = Mutex::new(Vec::new());
    let value: &T = Box::leak(Box::new(value));
    ALL.lock().unwrap().push(value as *const T as usize);
    value
}

/// A thread, `brief` without removals, drops and `reclaim`.
fn run(brief: bool) {
    let sets: [&'static Set; 2] = [(); 2].map(|_| leaked(Set::new()));
    let in_destructor = leaked(Set::new());
    let first: &ThreadLocal<_, _> = leaked(ThreadLocal::from_fn(|| UsesObjects(None)));
    let last = leaked(ThreadLocal::from_fn(move || UsesObjects(Some(in_destructor))));
    begin(FIRST_USES);
    set_last(1);
    steps_on();
    // Destroyed last.
    last.with(|_| ());
    for set in [&INLINE, &IN_TABLE] {
        set.select();
        set.use_all();
    }
    MUST_EXIST.store(true, SeqCst);
    if !brief {
        // Numbers are assigned, and the table grows.
        for set in sets {
            set.select();
            set.use_all();
        }
        steps_off();
        removals_and_drops();
        steps_on();
    }
    // Destroyed first.
    first.with(|_| ());
    begin(THE_END);
    MUST_EXIST.store(false, SeqCst);
    ENDING.store(true, SeqCst);
    // The last round of key destructors ends the steps.
}

fn removals_and_drops() {
    let (reused, left) = (leaked(Set::new()), Set::new());
    let mut values = [Set::new(), Set::new()];
    for set in &values {
        // The handler does not look at them: they are borrowed exclusively below.
        set.drops.with(|_| ());
        set.large_drops.with(|_| ());
        set.plain.with(|_| ());
        set.owned_drops.with(|_| ());
    }
    steps_on();
    begin(REMOVALS);
    drop(values[0].drops.remove());
    drop(values[0].large_drops.remove());
    drop(values[0].plain.remove());
    drop(values[0].owned_drops.remove());
    values[0].drops.with_mut(|_| ());
    begin(DROPS);
    drop(values);
    // These get the numbers of the dropped objects.
    begin(FIRST_USES);
    reused.select();
    let _ = reused.drops.try_with(|_| ());
    let _ = reused.plain.try_with(|_| ());
    let _ = reused.owned.try_with(|_| ());
    steps_off();

    left.drops.with(|_| ());
    left.large_drops.with(|_| ());
    left.large_plain.with(|_| ());
    thread::spawn(move || drop(left)).join().unwrap();
    steps_on();
    begin(RECLAIM);
    reclaim();
    begin(FIRST_USES);
    steps_off();
}

#[test]
fn a_handler_finds_whole_values_after_every_instruction() {
    const SIGTRAP: i32 = 5;
    extern "C" {
        fn signal(number: i32, handler: extern "C" fn(i32)) -> usize;
    }
    // Without the thread word the crate calls `pthread_getspecific(3p)`. glibc's writes: it clears a slot whose value and sequence number do
    // not match, as between the two stores of an interrupted `pthread_setspecific`, and the thread's record is leaked.
    if cfg!(os_thread_local_no_word) {
        return;
    }
    // Valgrind does not raise the trap.
    if children::is_valgrind() {
        return;
    }
    // SAFETY: the handler calls what this test is about, and touches atomics.
    unsafe { signal(SIGTRAP, handler) };

    INLINE.prepare();
    // 32 numbers lead to the entries inside a record; a table goes to a power of two.
    let objects = |count: usize| -> Vec<ThreadLocal<u8>> {
        let objects: Vec<_> = (0..count).map(|_| ThreadLocal::new(|| 1)).collect();
        objects.iter().for_each(|object| object.prepare().unwrap());
        objects
    };
    // These numbers will be free: most of those of the first set.
    let few = objects(4);
    let others = objects(34);
    IN_TABLE.prepare();
    let more = objects(10);
    drop(few);
    set_last(0);

    // With a new record, and with one of the pool.
    let threads: &[bool] = if children::is_brief() { &[false] } else { &[false, true] };
    for &brief in threads {
        for set in [&INLINE, &IN_TABLE] {
            // Another thread's values are not right.
            set.serial.store(0, SeqCst);
        }
        ENDING.store(false, SeqCst);
        thread::spawn(move || run(brief)).join().unwrap();
        CURRENT.store(ptr::null_mut(), SeqCst);
        println!(
            "single_step: steps {:?}, found {:?}, wrong {:?}, missing {:?}",
            STEPS, SEEN, WRONG, MISSING
        );
    }
    drop((others, more));

    let phases = |bits: &[AtomicUsize; KINDS]| -> Vec<(&str, Vec<&str>)> {
        let phases = |bits: usize| -> Vec<&str> {
            (0..PHASES.len()).filter(|n| bits & 1 << n != 0).map(|n| PHASES[n]).collect()
        };
        let all = NAMES.iter().zip(bits).map(|(name, bits)| (*name, phases(bits.load(SeqCst))));
        all.filter(|(_, phases)| !phases.is_empty()).collect()
    };
    assert_eq!(USERS.load(SeqCst), 2 * threads.len(), "two of each thread");
    assert_eq!(phases(&WRONG), [], "values that are not whole, or of another thread");
    assert_eq!(phases(&MISSING), [], "values that were not found");
    assert!(STEPS.iter().all(|steps| steps.load(SeqCst) > 50), "{:?}", STEPS);
    for seen in SEEN.iter().flatten() {
        assert!(seen.load(SeqCst) > 50, "{:?}", SEEN);
    }
}
