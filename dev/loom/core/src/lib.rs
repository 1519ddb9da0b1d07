//! `core` and `alloc` for the crate's files under loom: everything is the real one but atomics, `Cell`, locks and the heap.
//!
//! loom's own types cannot stand in a `static`, and do not survive an execution. These can: each is the real type, and in an execution
//! its address leads to a companion of loom's, which is made at the first access. The first thread makes all companions at the
//! beginning, so that none is younger than the thread that uses it.
//!
//! In an execution the heap keeps freed memory until the end: an address means one thing, and a use of freed memory is found.

pub use ::core::*;

use loom::cell::UnsafeCell as UnsafeAccess;
use loom::sync::atomic::AtomicUsize as Loomed;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize as StdUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard};

/// 1 in an execution.
static EXECUTION: StdUsize = StdUsize::new(0);
static WATCH: Mutex<Option<Watch>> = Mutex::new(None);

/// More than the models need.
const ATOMICS: usize = 800;
const CELLS: usize = 700;
const LOCKS: usize = 6;

/// What is known of an execution. The boxes do not move: threads use them while the maps grow.
#[allow(clippy::vec_box)]
struct Watch {
    spare_atomics: Vec<Box<Loomed>>,
    spare_cells: Vec<Box<UnsafeAccess<()>>>,
    spare_locks: Vec<Box<loom::sync::Mutex<()>>>,
    atomics: BTreeMap<usize, Word>,
    cells: BTreeMap<usize, Box<UnsafeAccess<()>>>,
    locks: BTreeMap<usize, Box<loom::sync::Mutex<()>>>,
    heap: BTreeMap<usize, HeapBlock>,
    /// Of forks, which conflict with each access of the threads that stay behind.
    forks: Box<Loomed>,
}

// SAFETY: loom runs its threads one at a time.
unsafe impl Send for Watch {}

/// The companion begins with 0, so it holds the difference from the first value.
struct Word {
    companion: Box<Loomed>,
    /// By thread: see `touch`.
    readers: BTreeMap<usize, Box<Loomed>>,
    first: usize,
    last: usize,
    /// Puts the first value back.
    restore: unsafe fn(usize, usize),
}

struct HeapBlock {
    layout: ::core::alloc::Layout,
    freed: bool,
}

fn watch() -> MutexGuard<'static, Option<Watch>> {
    WATCH.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// The beginning of an execution.
pub fn begin() {
    let new = Watch {
        spare_atomics: (0..ATOMICS).map(|_| Box::new(Loomed::new(0))).collect(),
        spare_cells: (0..CELLS).map(|_| Box::new(UnsafeAccess::new(()))).collect(),
        spare_locks: (0..LOCKS).map(|_| Box::new(loom::sync::Mutex::new(()))).collect(),
        atomics: BTreeMap::new(),
        cells: BTreeMap::new(),
        locks: BTreeMap::new(),
        heap: BTreeMap::new(),
        forks: Box::new(Loomed::new(0)),
    };
    *watch() = Some(new);
    THREADS.store(0, SeqCst);
    FORKED.store(0, SeqCst);
    EXECUTION.store(1, SeqCst);
}

/// The end of an execution: nothing may be left on the heap; what is static is again as it was.
pub fn finish() {
    EXECUTION.store(0, SeqCst);
    let mut watch = watch();
    let watch = watch.as_mut().expect("`begin` comes first");
    let left = watch.heap.values().filter(|block| !block.freed).count();
    assert_eq!(left, 0, "memory is leaked: {} blocks", left);
    for (&address, word) in &watch.atomics {
        if block_at(&watch.heap, address).is_none() {
            // SAFETY: not on the heap, so it is a static of the type for which the function was made.
            unsafe { (word.restore)(address, word.first) };
        }
    }
    watch.atomics.clear();
    for (address, block) in std::mem::take(&mut watch.heap) {
        // SAFETY: the block was allocated with that layout, and kept until now.
        unsafe { std::alloc::dealloc(address as *mut u8, block.layout) };
    }
}

/// In an execution.
pub fn in_model() -> bool {
    EXECUTION.load(SeqCst) != 0
}

fn block_at(heap: &BTreeMap<usize, HeapBlock>, address: usize) -> Option<&HeapBlock> {
    let (start, block) = heap.range(..=address).next_back()?;
    if address < start + block.layout.size() {
        Some(block)
    } else {
        None
    }
}

/// What is watched must stay where it is: in a static, or on the heap below.
fn check_place(heap: &BTreeMap<usize, HeapBlock>, address: usize) {
    match block_at(heap, address) {
        Some(block) => assert!(!block.freed, "freed memory is used"),
        None => {
            let here = &EXECUTION as *const StdUsize as usize;
            assert!(
                here.max(address) - here.min(address) < 1 << 24,
                "not in a static, nor in `Boxed`"
            );
        }
    }
}

/// 1 if the process was forked.
static FORKED: StdUsize = StdUsize::new(0);

loom::thread_local! {
    static STAYS_BEHIND: ::core::cell::Cell<bool> = ::core::cell::Cell::new(false);
}

/// The panic payload of a thread that the child does not have.
struct LeftBehind;

/// Runs `f` in a thread of the parent process: a fork stops it before its next access to something watched, and otherwise it stops
/// before it acquires a lock.
///
/// The frames are unwound, so `f` may have nothing in them whose destructor touches what threads share.
pub fn stay_behind(f: impl FnOnce()) {
    STAYS_BEHIND.with(|stays| stays.set(true));
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)) {
        Err(payload) if !payload.is::<LeftBehind>() => std::panic::resume_unwind(payload),
        _ => STAYS_BEHIND.with(|stays| stays.set(false)),
    }
}

/// Tells loom that the order of forks and of what the threads do that stay behind makes a difference.
pub fn touch_forks() {
    if in_model() {
        let forks: *const Loomed = &*watch().as_ref().expect("`begin` comes first").forks;
        // SAFETY: `WATCH` keeps it until the next execution begins.
        unsafe { &*forks }.fetch_add(0, ::core::sync::atomic::Ordering::Relaxed);
    }
}

/// The process is forked, by a thread that must join those that stay behind before it goes on as the child's: one of them may be inside
/// its last access.
pub fn forked() {
    touch_forks();
    FORKED.store(1, SeqCst);
}

/// Stops the calling thread if it stays behind and the process was forked, or if it is to stop anyway.
pub fn stop_if_left_behind(anyway: bool) {
    if !in_model() || !STAYS_BEHIND.with(|stays| stays.get()) {
        return;
    }
    touch_forks();
    if anyway || FORKED.load(SeqCst) == 1 {
        STAYS_BEHIND.with(|stays| stays.set(false));
        std::panic::resume_unwind(Box::new(LeftBehind));
    }
}

fn fail<T>(message: &str) -> T {
    std::panic!("{}", message)
}

/// The companion of a word, and the first value; `None` outside of an execution.
fn loomed(
    address: usize,
    plain: usize,
    restore: unsafe fn(usize, usize),
) -> Option<(*const Loomed, usize)> {
    if !in_model() {
        return None;
    }
    let mut watch = watch();
    let Watch { spare_atomics, atomics, heap, .. } = watch.as_mut()?;
    check_place(heap, address);
    let word = atomics.entry(address).or_insert_with(|| Word {
        companion: spare_atomics.pop().unwrap_or_else(|| fail("more ATOMICS are needed")),
        readers: BTreeMap::new(),
        first: plain,
        last: plain,
        restore,
    });
    if word.last != plain {
        // A new header in memory of an arena. loom complains if another thread's access is not ordered before this.
        assert!(block_at(heap, address).is_some(), "a word has changed without being touched");
        let companion = plain ^ word.first;
        word.companion.with_mut(|value| *value = companion);
        word.last = plain;
    }
    Some((&*word.companion, word.first))
}

loom::thread_local! {
    /// The thread's place in `Word::readers`.
    static READER: usize = THREADS.fetch_add(1, SeqCst);
}
static THREADS: StdUsize = StdUsize::new(0);

/// Before an access to a word. loom remembers the last access to an object, and tries the other order when one that conflicts with it
/// follows. A load between the two hides the earlier one: thread 1 loads, thread 2 loads and stores, and loom does not try the load of
/// thread 1 after the store. So each thread that loads a word has an object of its own for it, which the others touch before they store. What
/// is loaded under a lock has the lock for that.
fn touch(address: usize, store: bool) {
    if !store && HELD.with(|held| held.get()) {
        return;
    }
    let own = READER.with(|&reader| reader);
    let objects: Vec<*const Loomed> = {
        let mut watch = watch();
        let Watch { spare_atomics, atomics, .. } = watch.as_mut().expect("`begin` comes first");
        let word = atomics.get_mut(&address).expect("`loomed` comes first");
        if store {
            let others = word.readers.iter().filter(|(&reader, _)| reader != own);
            others.map(|(_, object)| &**object as *const Loomed).collect()
        } else {
            let spare = || spare_atomics.pop().unwrap_or_else(|| fail("more ATOMICS are needed"));
            vec![&**word.readers.entry(own).or_insert_with(spare)]
        }
    };
    for object in objects {
        // A read-modify-write has one value to read. SAFETY: `WATCH` keeps it until the next execution begins.
        unsafe { &*object }.fetch_add(0, ::core::sync::atomic::Ordering::Relaxed);
    }
}

/// After an access: other threads may have run before it, and freed the memory.
fn accessed(address: usize, plain: usize) {
    if let Some(Watch { atomics, heap, .. }) = watch().as_mut() {
        check_place(heap, address);
        if let Some(word) = atomics.get_mut(&address) {
            word.last = plain;
        }
    }
}

/// The companion of a cell; `None` outside of an execution.
fn access(address: usize) -> Option<*const UnsafeAccess<()>> {
    if !in_model() {
        return None;
    }
    let held = HELD.with(|held| held.get());
    let mut watch = watch();
    let Watch { spare_cells, cells, heap, .. } = watch.as_mut()?;
    // On a stack it may be, too, if every access is under a lock: then what was at the address before does no harm.
    if !held || block_at(heap, address).is_some() {
        check_place(heap, address);
    }
    let cell = cells
        .entry(address)
        .or_insert_with(|| spare_cells.pop().unwrap_or_else(|| fail("more CELLS are needed")));
    Some(&**cell)
}

loom::thread_local! {
    static HELD: ::core::cell::Cell<bool> = ::core::cell::Cell::new(false);
}

/// A lock of the crate's is held: loom's, in an execution.
pub struct Held(Option<loom::sync::MutexGuard<'static, ()>>);

/// Takes the lock at this address. No thread may hold two (invariant 5).
pub fn lock(address: usize) -> Held {
    if !in_model() {
        return Held(None);
    }
    stop_if_left_behind(true);
    let lock: *const loom::sync::Mutex<()> = {
        let mut watch = watch();
        let Watch { spare_locks, locks, .. } = watch.as_mut().expect("`begin` comes first");
        let spare = || spare_locks.pop().unwrap_or_else(|| fail("more LOCKS are needed"));
        &**locks.entry(address).or_insert_with(spare)
    };
    assert!(!HELD.with(|held| held.replace(true)), "a thread takes a second lock");
    // SAFETY: `WATCH` keeps it until the next execution begins.
    Held(Some(unsafe { &*lock }.lock().unwrap()))
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.0.is_some() {
            HELD.with(|held| held.set(false));
        }
    }
}

pub mod alloc {
    //! The crate's heap.

    use super::{in_model, watch, HeapBlock, Watch, HELD};
    pub use ::core::alloc::*;

    /// # Safety
    /// The conditions of `from`.
    unsafe fn allocate(layout: Layout, from: unsafe fn(Layout) -> *mut u8) -> *mut u8 {
        // SAFETY: the caller fulfils the conditions of `from`.
        let memory = unsafe { from(layout) };
        if in_model() {
            assert!(!HELD.with(|held| held.get()), "an allocation under a lock");
            if let Some(watch) = watch().as_mut() {
                watch.heap.insert(memory as usize, HeapBlock { layout, freed: false });
            }
        }
        memory
    }

    /// # Safety
    /// The conditions of `alloc::alloc::alloc`.
    pub unsafe fn alloc(layout: Layout) -> *mut u8 {
        // SAFETY: the caller guarantees that the layout's size is not zero, which is the condition of std's function.
        unsafe { allocate(layout, std::alloc::alloc) }
    }

    /// # Safety
    /// The conditions of `alloc::alloc::alloc_zeroed`.
    pub unsafe fn alloc_zeroed(layout: Layout) -> *mut u8 {
        // SAFETY: the caller guarantees that the layout's size is not zero, which is the condition of std's function.
        unsafe { allocate(layout, std::alloc::alloc_zeroed) }
    }

    /// # Safety
    /// The conditions of `alloc::alloc::dealloc`.
    pub unsafe fn dealloc(memory: *mut u8, layout: Layout) {
        if !in_model() {
            // Leaked, so that a stale word cannot have the address of a later allocation.
            return;
        }
        assert!(!HELD.with(|held| held.get()), "a deallocation under a lock");
        let mut watch = watch();
        let Watch { atomics, cells, heap, .. } = watch.as_mut().expect("`begin` comes first");
        let start = memory as usize;
        let block = heap.get_mut(&start).expect("freed memory is not the heap's");
        assert!(!block.freed, "memory is freed twice");
        assert_eq!(block.layout, layout);
        block.freed = true;
        // loom complains if another thread's access is not ordered before this.
        let range = start..start + layout.size();
        atomics.range_mut(range.clone()).for_each(|(_, word)| word.companion.with_mut(|_| ()));
        cells.range(range).for_each(|(_, cell)| cell.with_mut(|_| ()));
        // SAFETY: the block is as large, and no thread uses it.
        unsafe { memory.write_bytes(0xDD, layout.size()) };
    }
}

/// An object of a model: on the heap above, where it does not move.
pub struct Boxed<T>(*mut T);

// SAFETY: a `Boxed` owns its object, as a `Box` does.
unsafe impl<T: Send> Send for Boxed<T> {}
// SAFETY: a `Boxed` owns its object, as a `Box` does.
unsafe impl<T: Sync> Sync for Boxed<T> {}

impl<T> Boxed<T> {
    pub fn new(object: T) -> Self {
        // SAFETY: objects are not zero-sized.
        let memory = unsafe { alloc::alloc(::core::alloc::Layout::new::<T>()) }.cast::<T>();
        // SAFETY: fresh memory for a `T`.
        unsafe { memory.write(object) };
        Boxed(memory)
    }
}

impl<T> Drop for Boxed<T> {
    fn drop(&mut self) {
        // SAFETY: `new` made it.
        unsafe {
            self.0.drop_in_place();
            alloc::dealloc(self.0.cast(), ::core::alloc::Layout::new::<T>());
        }
    }
}

impl<T> ::core::ops::Deref for Boxed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `new` made it.
        unsafe { &*self.0 }
    }
}

impl<T> ::core::ops::DerefMut for Boxed<T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: `new` made it.
        unsafe { &mut *self.0 }
    }
}

pub mod sync {
    pub use ::core::sync::*;

    pub mod atomic {
        use super::super::{accessed, in_model, loomed, stop_if_left_behind, touch, watch, Loomed};
        pub use ::core::sync::atomic::*;

        macro_rules! atomic {
            ($name:ident $(<$generic:ident>)?, $value:ty, $from:expr, $to:expr) => {
                #[repr(transparent)]
                pub struct $name$(<$generic>)?(::core::sync::atomic::$name$(<$generic>)?);

                impl$(<$generic>)? $name$(<$generic>)? {
                    pub const fn new(value: $value) -> Self {
                        $name(::core::sync::atomic::$name::new(value))
                    }

                    fn plain(&self) -> $value {
                        self.0.load(Ordering::SeqCst)
                    }

                    unsafe fn restore(address: usize, value: usize) {
                        // SAFETY: the address is that of such an atomic.
                        let atomic = unsafe { &*(address as *const Self) };
                        // One that was only read may be in read-only memory.
                        if $from(atomic.plain()) != value {
                            atomic.0.store($to(value), Ordering::SeqCst);
                        }
                    }

                    fn loomed(&self, store: bool) -> Option<(&Loomed, usize)> {
                        stop_if_left_behind(false);
                        let address = self as *const Self as usize;
                        let (companion, first) = loomed(address, $from(self.plain()), Self::restore)?;
                        touch(address, store);
                        // SAFETY: `WATCH` keeps it until the next execution begins.
                        Some((unsafe { &*companion }, first))
                    }

                    fn follow(&self, value: $value) {
                        self.0.store(value, Ordering::SeqCst);
                        if in_model() {
                            accessed(self as *const Self as usize, $from(value));
                        }
                    }

                    #[track_caller]
                    pub fn load(&self, order: Ordering) -> $value {
                        match self.loomed(false) {
                            Some((loomed, first)) => {
                                let value = loomed.load(order) ^ first;
                                accessed(self as *const Self as usize, $from(self.plain()));
                                $to(value)
                            }
                            None => self.plain(),
                        }
                    }

                    pub fn store(&self, value: $value, order: Ordering) {
                        if let Some((loomed, first)) = self.loomed(true) {
                            loomed.store($from(value) ^ first, order);
                        }
                        self.follow(value);
                    }

                    pub fn swap(&self, value: $value, order: Ordering) -> $value {
                        let old = match self.loomed(true) {
                            Some((loomed, first)) => $to(loomed.swap($from(value) ^ first, order) ^ first),
                            None => self.plain(),
                        };
                        self.follow(value);
                        old
                    }

                    pub fn compare_exchange(
                        &self,
                        current: $value,
                        value: $value,
                        success: Ordering,
                        failure: Ordering,
                    ) -> Result<$value, $value> {
                        let result = match self.loomed(true) {
                            Some((loomed, first)) => loomed
                                .compare_exchange($from(current) ^ first, $from(value) ^ first, success, failure)
                                .map(|old| $to(old ^ first))
                                .map_err(|old| $to(old ^ first)),
                            None if self.plain() == current => Ok(current),
                            None => Err(self.plain()),
                        };
                        if result.is_ok() {
                            self.follow(value);
                        }
                        result
                    }

                    pub fn compare_exchange_weak(
                        &self,
                        current: $value,
                        value: $value,
                        success: Ordering,
                        failure: Ordering,
                    ) -> Result<$value, $value> {
                        self.compare_exchange(current, value, success, failure)
                    }

                    /// loom complains if another thread's access is not ordered before this one.
                    pub fn get_mut(&mut self) -> &mut $value {
                        if self.loomed(true).is_some() {
                            let address = self as *const Self as usize;
                            let word = watch().as_mut().and_then(|watch| watch.atomics.remove(&address));
                            if let Some(mut word) = word {
                                word.companion.with_mut(|_| ());
                            }
                        }
                        self.0.get_mut()
                    }

                    pub fn into_inner(self) -> $value {
                        self.0.into_inner()
                    }
                }
            };
        }

        atomic!(AtomicPtr<T>, *mut T, |pointer: *mut T| pointer as usize, |word: usize| word
            as *mut T);
        atomic!(AtomicUsize, usize, |value: usize| value, |word: usize| word);
        atomic!(AtomicIsize, isize, |value: isize| value as usize, |word: usize| word as isize);
        atomic!(AtomicU16, u16, |value: u16| value as usize, |word: usize| word as u16);
        atomic!(AtomicU32, u32, |value: u32| value as usize, |word: usize| word as u32);
        atomic!(AtomicBool, bool, |value: bool| value as usize, |word: usize| word != 0);

        impl AtomicUsize {
            pub fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut f: impl FnMut(usize) -> Option<usize>,
            ) -> Result<usize, usize> {
                let mut current = self.load(fetch);
                while let Some(new) = f(current) {
                    match self.compare_exchange(current, new, set, fetch) {
                        Ok(before) => return Ok(before),
                        Err(now) => current = now,
                    }
                }
                Err(current)
            }

            pub fn fetch_add(&self, value: usize, order: Ordering) -> usize {
                loop {
                    let old = self.load(Ordering::Relaxed);
                    let new = old.wrapping_add(value);
                    if self.compare_exchange(old, new, order, Ordering::Relaxed).is_ok() {
                        return old;
                    }
                }
            }

            pub fn fetch_sub(&self, value: usize, order: Ordering) -> usize {
                self.fetch_add(value.wrapping_neg(), order)
            }
        }
    }
}

pub mod cell {
    use super::access;
    pub use ::core::cell::*;

    /// loom complains when two threads use it, one of them to write, and nothing says which comes first.
    #[repr(transparent)]
    pub struct Cell<T>(::core::cell::Cell<T>);

    impl<T> Cell<T> {
        pub const fn new(value: T) -> Self {
            Cell(::core::cell::Cell::new(value))
        }

        pub fn from_mut(value: &mut T) -> &Cell<T> {
            // SAFETY: transparent, twice; the reference is exclusive.
            unsafe { &*(value as *mut T as *const Cell<T>) }
        }

        #[track_caller]
        fn reads(&self) {
            if let Some(access) = access(self as *const Self as usize) {
                // SAFETY: `WATCH` keeps it until the next execution begins.
                unsafe { &*access }.with(|_| ());
            }
        }

        #[track_caller]
        fn writes(&self) {
            if let Some(access) = access(self as *const Self as usize) {
                // SAFETY: `WATCH` keeps it until the next execution begins.
                unsafe { &*access }.with_mut(|_| ());
            }
        }

        #[track_caller]
        pub fn get(&self) -> T
        where
            T: Copy,
        {
            self.reads();
            self.0.get()
        }

        #[track_caller]
        pub fn set(&self, value: T) {
            self.writes();
            self.0.set(value);
        }

        #[track_caller]
        pub fn replace(&self, value: T) -> T {
            self.writes();
            self.0.replace(value)
        }

        #[track_caller]
        pub fn take(&self) -> T
        where
            T: Default,
        {
            self.writes();
            self.0.take()
        }
    }
}
