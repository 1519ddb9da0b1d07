//! The root slot: the one key of the operating system through which a thread finds its record, and the thread word that holds a copy of
//! the key's value where the target has one (`sys::word`).
//!
//! The key is created on first use. It is never deleted, because threads may read it until the process is gone.
//!
//! Where the word is in use, every reader reads the word, and the key is only what makes the system call the destructor:
//!
//! | | word | key |
//! | --- | --- | --- |
//! | no record | a sentinel | null |
//! | a record | the record | the record |
//! | inside the key's destructor | the record | null, or the record again while values are destroyed |
//! | the record has ended | a sentinel | null: no further round of destructors |
//!
//! Where it is not, the sentinels stand in the key's slot, and null means that there is no record.

use super::entries::{sentinel, Entries, Kind};
use super::packed::{Locator, HALF, LOWER};
use super::record::Record;
use crate::sys::{word, Destructor, Key, Keys, System};
use crate::AccessError;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering::*};

/// The root slot: the key plus one; where a word is possible, in the lower half, and the word's distance from the thread pointer in the
/// upper half, 0 if it was refused. Never 0.
///
/// No distance is 0: on x86-64 the words stand below the thread pointer, on AArch64 behind the 16 bytes to which it points.
#[derive(Clone, Copy)]
pub(crate) struct Root(usize);

/// The published root, or 0.
///
/// Ordering: a thread that sees the root must find the key created. It is stored with release and loaded with acquire.
static ROOT: AtomicUsize = AtomicUsize::new(0);

/// The root, if a thread has published it.
#[inline(always)]
pub(crate) fn get() -> Option<Root> {
    match ROOT.load(Acquire) {
        0 => None,
        root => Some(Root(root)),
    }
}

/// The root; the first call creates it. Threads may race: the first to publish its key wins, the others delete theirs. So no thread
/// waits, and a forked child finds the root or none.
///
/// # Errors
/// `OutOfKeys` if all keys of the process are in use. A later call tries again.
#[inline]
pub(crate) fn get_or_create(destructor: Destructor) -> Result<Root, AccessError> {
    match get() {
        Some(root) => Ok(root),
        None => create(destructor),
    }
}

#[cold]
fn create(destructor: Destructor) -> Result<Root, AccessError> {
    let word = word::find();
    let key = match System::create_root(destructor) {
        Some(key) => key,
        // Another thread may have got the last key, and published it.
        None => return get().ok_or(AccessError::OutOfKeys),
    };
    // SAFETY: the key is live.
    let is_new = unsafe { System::get(key) }.is_null();
    match Root::pack(key, word) {
        // A key that is not null is another's too: see the non-guarantees of `dlmopen(3)`.
        Some(root) if is_new => match ROOT.compare_exchange(0, root.0, AcqRel, Acquire) {
            Ok(_) => Ok(root),
            Err(published) => {
                // SAFETY: this thread has created the key and neither published it nor set a value.
                unsafe { System::discard_root(key) };
                Ok(Root(published))
            }
        },
        _ => {
            // SAFETY: this thread has created the key and neither published it nor set a value.
            unsafe { System::discard_root(key) };
            Err(AccessError::OutOfKeys)
        }
    }
}

impl Root {
    /// `None` for a key without a successor, which no system hands out.
    fn pack(key: Key, distance: Option<isize>) -> Option<Root> {
        let key = System::to_bits(key).checked_add(1)?;
        if word::POSSIBLE {
            let distance = distance.unwrap_or(0) as usize & LOWER;
            if key > LOWER {
                return None;
            }
            return Some(Root(distance << HALF | key));
        }
        Some(Root(key))
    }

    fn key(self) -> Key {
        let key = if word::POSSIBLE { self.0 & LOWER } else { self.0 };
        System::from_bits(key - 1)
    }

    /// The word's distance from the thread pointer, if the word is in use.
    #[inline]
    fn distance(self) -> Option<isize> {
        match upper(self.0) {
            _ if !word::POSSIBLE => None,
            0 => None,
            distance => Some(distance),
        }
    }

    /// Whether the thread word is in use.
    #[inline]
    pub(crate) fn has_word(self) -> bool {
        self.distance().is_some()
    }

    pub(crate) fn locator(self) -> Locator {
        match self.distance() {
            // `read` sign-extends the half.
            Some(distance) => Locator::Read(distance as usize & LOWER),
            None if word::POSSIBLE => Locator::ReadKey(System::to_bits(self.key())),
            None => Locator::Read(System::to_bits(self.key())),
        }
    }

    /// What the calling thread's slot leads to: a record or a sentinel.
    #[inline]
    pub(crate) fn load(self) -> NonNull<Entries> {
        match self.distance() {
            // SAFETY: `find` returned the distance. The word is never null: it starts with the address of a sentinel.
            Some(distance) => unsafe { NonNull::new_unchecked(word::read(distance).cast()) },
            // SAFETY: the key is live: a root's key is never deleted.
            None => match NonNull::new(unsafe { System::get(self.key()) }.cast()) {
                Some(entries) => entries,
                None => sentinel(Kind::NoRecord),
            },
        }
    }

    /// Whether the calling thread's slot leads to these entries, with which the system has called the key's destructor. Without the word
    /// there is no telling.
    #[inline]
    pub(crate) fn leads_to(self, entries: NonNull<Entries>) -> bool {
        !self.has_word() || self.load() == entries
    }

    /// Lets the calling thread's slot lead to its new record. `false` if the system has no memory for the value; then nothing is changed.
    ///
    /// # Safety
    /// The record is the calling thread's.
    #[inline]
    pub(crate) unsafe fn store_record(self, record: NonNull<Record>) -> bool {
        let distance = match self.distance() {
            Some(distance) => distance,
            // SAFETY: the record is the calling thread's (this function's contract).
            None => return unsafe { self.store_key(record) },
        };
        debug_assert_eq!(word::find(), Some(distance), "the distance is the same in each thread");
        // SAFETY: `find` returned the distance. The values are what the word held, a sentinel, and the record, which is alive until it ends,
        // and then a sentinel replaces it.
        unsafe {
            let before = word::read(distance);
            // Not the record yet: an allocation inside of `store_key` must make no value in a record that may be given back.
            word::write(distance, sentinel(Kind::UnderConstruction).as_ptr().cast());
            let stored = self.store_key(record);
            word::write(distance, if stored { record.as_ptr().cast() } else { before });
            stored
        }
    }

    /// Sets the key, and not the word, to the calling thread's record. `false` if the system has no memory for the value.
    ///
    /// Without the word, it looks whether the record is there: a signal handler may have cleared it (`Keys::GET_MAY_CLEAR`). That happens once,
    /// because all that belongs to the value has been stored then.
    ///
    /// # Safety
    /// The record is the calling thread's.
    #[inline]
    pub(crate) unsafe fn store_key(self, record: NonNull<Record>) -> bool {
        let value = record.as_ptr().cast();
        // SAFETY: the key is live, and its destructor accepts records.
        unsafe {
            let stored = System::set(self.key(), value);
            let check = System::GET_MAY_CLEAR && !self.has_word();
            if stored && check && System::get(self.key()) != value {
                return System::set(self.key(), value);
            }
            stored
        }
    }

    /// Puts a sentinel into the calling thread's slot, where no record is (any more, in the key). `false` if the system has no memory for
    /// the value, which cannot happen if the slot has one.
    #[inline]
    pub(crate) fn store_sentinel(self, kind: Kind) -> bool {
        debug_assert!(!matches!(kind, Kind::Record | Kind::SlowRecord));
        let value = sentinel(kind).as_ptr().cast();
        match self.distance() {
            Some(distance) => {
                // SAFETY: `find` returned the distance, and sentinels are statics.
                unsafe { word::write(distance, value) };
                true
            }
            None => {
                let value = if kind == Kind::NoRecord { ptr::null_mut() } else { value };
                self.set_key(value)
            }
        }
    }

    /// Puts a sentinel into the calling thread's slot in place of a record.
    pub(crate) fn replace_record(self, kind: Kind) {
        if self.has_word() {
            self.set_key(ptr::null_mut());
        }
        let stored = self.store_sentinel(kind);
        debug_assert!(stored, "a slot that has a value can be set");
    }

    /// Lets the calling thread's slot lead to this sentinel from now on, in the key's destructor: the key is null already.
    #[inline]
    pub(crate) fn end_record(self, remains: Kind) {
        if self.has_word() || remains != Kind::NoRecord {
            self.store_sentinel(remains);
        }
    }

    fn set_key(self, value: *mut c_void) -> bool {
        // SAFETY: the key is live, and its destructor accepts null and sentinels.
        unsafe { System::set(self.key(), value) }
    }

    /// Whether setting the key may call the global allocator of a program that replaces the C library's.
    pub(crate) fn set_may_allocate(self) -> bool {
        !self.has_word() && System::set_may_allocate(self.key())
    }
}

/// Returns whether [`with_existing`](crate::ThreadLocal::with_existing) is async-signal-safe in this program.
///
/// It is where the crate has a thread-local word of its own: in programs for Linux with glibc or musl, on x86-64 and AArch64, and not in
/// libraries (`dlopen(3)`, plugins, modules for other languages). Then a signal handler may call `with_existing` at any time, whatever
/// the code does that it interrupts: it reads memory only, and returns `None` in the middle of a first use.
///
/// This covers finding the value. What the closure may do with a value that the interrupted code is changing, such as a `RefCell`'s, is
/// up to the program. Elsewhere `with_existing` calls the operating system (`pthread_getspecific(3p)`, which POSIX does not list as
/// async-signal-safe).
///
/// The function itself is async-signal-safe, and makes no first use.
///
/// # Examples
///
/// ```
/// use os_thread_local::ThreadLocal;
/// use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
///
/// static SAMPLES: ThreadLocal<AtomicU64> = ThreadLocal::new(AtomicU64::default);
///
/// fn profiler_signal_handler() {
///     SAMPLES.with_existing(|samples| samples.fetch_add(1, Relaxed));
/// }
///
/// if os_thread_local::is_signal_safe() {
///     SAMPLES.with(|_| ());
///     profiler_signal_handler();
///     assert_eq!(SAMPLES.with(|samples| samples.load(Relaxed)), 1);
/// }
/// ```
#[must_use]
pub fn is_signal_safe() -> bool {
    match get() {
        Some(root) => root.has_word(),
        None => word::find().is_some(),
    }
}

/// The upper half of a word as a signed number.
#[inline(always)]
fn upper(word: usize) -> isize {
    word as isize >> HALF
}

/// What the calling thread's slot leads to, as the fast path reads it: null, if the slot is a key without a value. `word` is an object's.
///
/// # Safety
/// The word has the `Locator::Read` of the published root in its upper half.
#[inline(always)]
pub(crate) unsafe fn read(packed: usize) -> Option<NonNull<Entries>> {
    if word::POSSIBLE {
        // SAFETY: the locator is the distance that `find` returned, where the thread's word is. It is never null: it starts with the
        // address of a sentinel.
        Some(unsafe { NonNull::new_unchecked(word::read(upper(packed)).cast()) })
    } else {
        // SAFETY: without a word the locator is the root key.
        unsafe { read_key(packed) }
    }
}

/// `read` for a word that has the root's key in its upper half.
///
/// # Safety
/// The word has the key of the published root in its upper half.
#[inline(always)]
pub(crate) unsafe fn read_key(packed: usize) -> Option<NonNull<Entries>> {
    // SAFETY: the locator is the root key (this function's contract), which is never deleted.
    NonNull::new(unsafe { System::get(System::from_bits(packed >> HALF)) }.cast())
}
