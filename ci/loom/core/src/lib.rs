//! `core` for the crate's files under loom: everything is the real one but atomics and `Cell`.
//!
//! loom's own types cannot be made in a `static`, and do not survive an execution. These can: outside of a model they are plain,
//! and in one each gets a companion of loom's when it is first touched in that execution. The companions are made by the first thread at the
//! beginning, so that none is younger than who uses it. All zeroes are a valid value, as with the real ones, because tables are
//! allocated zeroed.

pub use ::core::*;

use loom::cell::UnsafeCell as UnsafeAccess;
use loom::sync::atomic::AtomicUsize as Loomed;
use std::sync::atomic::{AtomicPtr as StdPtr, AtomicUsize as StdUsize, Ordering::SeqCst};
use std::sync::Mutex;

/// The number of the execution, from 1; 0 between models.
static EXECUTION: StdUsize = StdUsize::new(0);
static COUNT: StdUsize = StdUsize::new(0);
static COMPANIONS: Mutex<Companions> =
    Mutex::new(Companions { atomics: vec![], accesses: vec![], used: (0, 0), lock: None });

/// What the models need, and some.
const COMPANIONS_OF_EACH: usize = 160;

// Boxed: they are used where they are while others are added.
#[allow(clippy::vec_box)]
struct Companions {
    atomics: Vec<Box<Loomed>>,
    accesses: Vec<Box<UnsafeAccess<()>>>,
    used: (usize, usize),
    lock: Option<Box<loom::sync::Mutex<()>>>,
}

// SAFETY: loom runs its threads one at a time.
unsafe impl Send for Companions {}

/// The beginning of an execution. Nobody uses the companions of the one before.
pub fn begin() {
    let mut companions = COMPANIONS.lock().unwrap();
    companions.atomics = (0..COMPANIONS_OF_EACH).map(|_| Box::new(Loomed::new(0))).collect();
    companions.accesses =
        (0..COMPANIONS_OF_EACH).map(|_| Box::new(UnsafeAccess::new(()))).collect();
    companions.used = (0, 0);
    companions.lock = Some(Box::new(loom::sync::Mutex::new(())));
    EXECUTION.store(COUNT.fetch_add(1, SeqCst) + 1, SeqCst);
}

/// After the last one.
pub fn end() {
    EXECUTION.store(0, SeqCst);
}

/// Takes the one lock of the execution; there is none between models.
pub fn lock() -> Option<loom::sync::MutexGuard<'static, ()>> {
    if !in_model() {
        return None;
    }
    let lock: *const loom::sync::Mutex<()> = &**COMPANIONS.lock().unwrap().lock.as_ref().unwrap();
    // SAFETY: `COMPANIONS` keeps it until the execution is over.
    Some(unsafe { &*lock }.lock().unwrap())
}

/// In an execution.
pub fn in_model() -> bool {
    EXECUTION.load(SeqCst) != 0
}

struct Watched<C> {
    execution: StdUsize,
    companion: StdPtr<C>,
}

impl<C> Watched<C> {
    const fn new() -> Self {
        Watched { execution: StdUsize::new(0), companion: StdPtr::new(::core::ptr::null_mut()) }
    }

    /// This execution's companion, and whether it is new; `None` outside of a model.
    fn get(&self, take: impl FnOnce(&mut Companions) -> *const C) -> Option<(&C, bool)> {
        let execution = EXECUTION.load(SeqCst);
        if execution == 0 {
            return None;
        }
        let new = self.execution.load(SeqCst) != execution;
        if new {
            let companion = take(&mut COMPANIONS.lock().unwrap());
            self.companion.store(companion as *mut C, SeqCst);
            self.execution.store(execution, SeqCst);
        }
        // SAFETY: `COMPANIONS` keeps it until the execution is over.
        Some((unsafe { &*self.companion.load(SeqCst) }, new))
    }
}

/// A word. The companion begins with 0, so it holds the difference from the first value.
struct Word {
    plain: StdUsize,
    first: StdUsize,
    watched: Watched<Loomed>,
}

impl Word {
    const fn new(value: usize) -> Self {
        Word { plain: StdUsize::new(value), first: StdUsize::new(0), watched: Watched::new() }
    }

    fn loomed(&self) -> Option<(&Loomed, usize)> {
        let (loomed, new) = self.watched.get(|companions| {
            companions.used.0 += 1;
            &*companions.atomics[companions.used.0 - 1]
        })?;
        if new {
            self.first.store(self.plain.load(SeqCst), SeqCst);
        }
        Some((loomed, self.first.load(SeqCst)))
    }

    fn load(&self, order: ::core::sync::atomic::Ordering) -> usize {
        match self.loomed() {
            Some((loomed, first)) => loomed.load(order) ^ first,
            None => self.plain.load(order),
        }
    }

    /// The plain one follows, for the next execution.
    fn store(&self, value: usize, order: ::core::sync::atomic::Ordering) {
        if let Some((loomed, first)) = self.loomed() {
            loomed.store(value ^ first, order);
        }
        self.plain.store(value, SeqCst);
    }

    fn compare_exchange(
        &self,
        current: usize,
        value: usize,
        success: ::core::sync::atomic::Ordering,
        failure: ::core::sync::atomic::Ordering,
    ) -> Result<usize, usize> {
        let result = match self.loomed() {
            Some((loomed, first)) => loomed
                .compare_exchange(current ^ first, value ^ first, success, failure)
                .map(|old| old ^ first)
                .map_err(|old| old ^ first),
            None => match self.plain.load(SeqCst) {
                old if old == current => Ok(old),
                old => Err(old),
            },
        };
        if result.is_ok() {
            self.plain.store(value, SeqCst);
        }
        result
    }

    fn swap(&self, value: usize, order: ::core::sync::atomic::Ordering) -> usize {
        let old = match self.loomed() {
            Some((loomed, first)) => loomed.swap(value ^ first, order) ^ first,
            None => self.plain.load(SeqCst),
        };
        self.plain.store(value, SeqCst);
        old
    }
}

pub mod sync {
    pub use ::core::sync::*;

    pub mod atomic {
        use super::super::Word;
        pub use ::core::sync::atomic::*;

        macro_rules! atomic {
            ($name:ident $(<$generic:ident>)?, $value:ty, $from:expr, $to:expr) => {
                #[repr(transparent)]
                pub struct $name$(<$generic>)?(Word, $(::core::marker::PhantomData<*mut $generic>)?);

                // SAFETY: as the real ones.
                unsafe impl$(<$generic>)? Sync for $name$(<$generic>)? {}
                // SAFETY: as above.
                unsafe impl$(<$generic>)? Send for $name$(<$generic>)? {}

                impl$(<$generic>)? $name$(<$generic>)? {
                    pub fn load(&self, order: Ordering) -> $value {
                        $to(self.0.load(order))
                    }

                    pub fn store(&self, value: $value, order: Ordering) {
                        self.0.store($from(value), order);
                    }

                    pub fn swap(&self, value: $value, order: Ordering) -> $value {
                        $to(self.0.swap($from(value), order))
                    }

                    pub fn compare_exchange(
                        &self,
                        current: $value,
                        value: $value,
                        success: Ordering,
                        failure: Ordering,
                    ) -> Result<$value, $value> {
                        let (current, value) = ($from(current), $from(value));
                        match self.0.compare_exchange(current, value, success, failure) {
                            Ok(old) => Ok($to(old)),
                            Err(old) => Err($to(old)),
                        }
                    }

                    pub fn into_inner(self) -> $value {
                        $to(self.0.load(Ordering::SeqCst))
                    }
                }
            };
        }

        atomic!(AtomicPtr<T>, *mut T, |pointer: *mut T| pointer as usize, |word| word as *mut T);
        atomic!(AtomicUsize, usize, |value| value, |word| word);
        atomic!(AtomicBool, bool, |value: bool| value as usize, |word| word != 0);

        impl<T> AtomicPtr<T> {
            /// Null, as the crate's are.
            pub const fn new(_null: *mut T) -> Self {
                AtomicPtr(Word::new(0), ::core::marker::PhantomData)
            }
        }

        impl AtomicUsize {
            pub const fn new(value: usize) -> Self {
                AtomicUsize(Word::new(value))
            }
        }

        impl AtomicBool {
            pub const fn new(value: bool) -> Self {
                AtomicBool(Word::new(value as usize))
            }
        }
    }
}

pub mod cell {
    use super::{UnsafeAccess, Watched};
    pub use ::core::cell::*;

    /// loom complains when two threads use it, one of them to write, and nothing says which comes first.
    pub struct Cell<T> {
        plain: ::core::cell::Cell<T>,
        watched: Watched<UnsafeAccess<()>>,
    }

    impl<T> Cell<T> {
        pub const fn new(value: T) -> Self {
            Cell { plain: ::core::cell::Cell::new(value), watched: Watched::new() }
        }

        fn access(&self) -> Option<&UnsafeAccess<()>> {
            let access = self.watched.get(|companions| {
                companions.used.1 += 1;
                &*companions.accesses[companions.used.1 - 1]
            });
            access.map(|(access, _)| access)
        }

        fn reads(&self) {
            if let Some(access) = self.access() {
                access.with(|_| ());
            }
        }

        fn writes(&self) {
            if let Some(access) = self.access() {
                access.with_mut(|_| ());
            }
        }

        pub fn get(&self) -> T
        where
            T: Copy,
        {
            self.reads();
            self.plain.get()
        }

        pub fn set(&self, value: T) {
            self.writes();
            self.plain.set(value);
        }

        pub fn replace(&self, value: T) -> T {
            self.writes();
            self.plain.replace(value)
        }

        pub fn take(&self) -> T
        where
            T: Default,
        {
            self.writes();
            self.plain.take()
        }
    }
}
