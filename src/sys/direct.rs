//! The direct read (feature `direct-read`): the value of a POSIX key without a call.
//!
//! A C library keeps the values of a thread's first few keys at a fixed distance from its thread pointer. No standard guarantees it,
//! so the crate assumes nothing:
//!
//! - The key is created by `pthread_key_create` and written by `pthread_setspecific`, like any other key. Only the read is different,
//!   so it does not conflict with the keys of other libraries.
//! - A runtime probe finds the value's distance: it sets several values and looks for the words that hold each of them in turn. If
//!   there is not exactly one such word, the direct read is refused.
//! - glibc deletes a key without clearing its values, and a new key may get its number. `pthread_getspecific` tells their values apart
//!   by a count beside the value, which changes when the number is allocated and freed. A read that ignores the count is correct if
//!   the number had no earlier key, that is, if the count is 1. Otherwise another key is tried, or the direct read is refused.
//!
//! The distance holds for every thread and for a forked child: it is a constant in the C library.

use super::{Key, Keys, System};
use core::ffi::c_void;
use core::mem;
use core::ops::Range;
use core::ptr;

/// Whether the value of a key may be found at some distance from the thread pointer.
pub(crate) const POSSIBLE: bool = !matches!(LAYOUT, TlsLayout::Unknown);

/// How a C library keeps the values of keys.
#[allow(dead_code)] // a target has one
enum TlsLayout {
    /// In the thread's control block (`struct pthread`), in the array `specific_1stblock` of `{ count, value }` for the first 32 keys.
    /// The probe searches the window: in glibc 2.17 to 2.41 the array is inside it, and all of it is memory of the control block.
    Glibc {
        window: Range<isize>,
    },
    /// In an array of words that the thread pointer points to. A deleted key's values are cleared in every thread.
    Apple,
    Unknown,
}

/// Why a direct read is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The layout of this system is not known.
    UnknownSystem,
    /// A probe value could not be set.
    NoMemory,
    /// Not exactly one word held the probe values.
    NotFound,
    /// The key's number belonged to an earlier key, whose values some threads may still have. Another key may be usable.
    UsedBefore,
}

/// The distance of a key's value from the thread pointer. The key must be live, and its value in this thread null; it is null
/// afterwards.
pub(crate) fn find(key: Key) -> Result<isize, Refusal> {
    struct Here(Key);
    impl Block for Here {
        fn word(&self, offset: isize) -> *mut c_void {
            // SAFETY: `find_in` reads only inside the window of the layout, which is the thread's own memory.
            unsafe { read(offset) }
        }
        fn set(&self, value: *mut c_void) -> bool {
            // SAFETY: the key is live. Its destructor is not called with a probe value: the value is null again before the thread ends.
            unsafe { System::set(self.0, value) }
        }
    }
    find_in(&Here(key), &LAYOUT, System::to_bits(key))
}

/// The word at a distance from the thread pointer.
///
/// # Safety
/// `find` returned the offset for a key that has not been deleted.
#[inline(always)]
pub(crate) unsafe fn read(offset: isize) -> *mut c_void {
    // SAFETY: `find` returned the offset (this function's contract): it leads to the key's value in the thread's own memory.
    unsafe { load(offset) }
}

/// A thread's control block and the value of a key in it. The tests implement it, too.
trait Block {
    fn word(&self, offset: isize) -> *mut c_void;
    fn set(&self, value: *mut c_void) -> bool;
}

const WORD: isize = mem::size_of::<usize>() as isize;
/// The longest window, in words.
const LONGEST: usize = 256;

fn find_in(block: &impl Block, layout: &TlsLayout, key: usize) -> Result<isize, Refusal> {
    match layout {
        TlsLayout::Glibc { window } => {
            let offset = one_that_follows(block, window.clone())?;
            // `pthread_setspecific` writes the count with the value.
            if !block.set(probe_value(VALUES[0])) {
                return Err(Refusal::NoMemory);
            }
            let count = block.word(offset - WORD) as usize;
            clear(block)?;
            if count == 1 {
                Ok(offset)
            } else {
                Err(Refusal::UsedBefore)
            }
        }
        TlsLayout::Apple => {
            let offset = isize::try_from(key)
                .ok()
                .and_then(|key| key.checked_mul(WORD))
                .ok_or(Refusal::NotFound)?;
            one_that_follows(block, offset..offset + WORD)
        }
        TlsLayout::Unknown => Err(Refusal::UnknownSystem),
    }
}

/// The probe values: no other word of a control block takes on these values one after another. They are never dereferenced.
const VALUES: [usize; 5] = [usize::MAX / 3, usize::MAX / 5, usize::MAX / 17, 1, usize::MAX / 257];

fn probe_value(value: usize) -> *mut c_void {
    ptr::null_mut::<u8>().wrapping_add(value).cast()
}

fn clear(block: &impl Block) -> Result<(), Refusal> {
    if block.set(ptr::null_mut()) {
        Ok(())
    } else {
        Err(Refusal::NoMemory)
    }
}

/// The offset of the one word in the window that holds each probe value in turn, and null after each.
fn one_that_follows(block: &impl Block, window: Range<isize>) -> Result<isize, Refusal> {
    let words = ((window.end - window.start) / WORD) as usize;
    debug_assert!(words <= LONGEST);
    let offset = |index: usize| window.start + index as isize * WORD;

    let mut follows = [true; LONGEST];
    for value in VALUES {
        for value in [probe_value(value), ptr::null_mut()] {
            if !block.set(value) {
                // Setting a value failed, so there is no way to handle a failure here.
                let _ = clear(block);
                return Err(Refusal::NoMemory);
            }
            for (index, follows) in follows.iter_mut().enumerate().take(words) {
                *follows &= block.word(offset(index)) == value;
            }
        }
    }
    let mut found = (0..words).filter(|&index| follows[index]);
    match (found.next(), found.next()) {
        (Some(index), None) => Ok(offset(index)),
        _ => Err(Refusal::NotFound),
    }
}

// The default for systems without a `system!` below: an item takes precedence over a glob import.
#[allow(unused_imports)]
use self::unknown::*;

#[allow(dead_code)]
mod unknown {
    pub(super) const LAYOUT: super::TlsLayout = super::TlsLayout::Unknown;

    pub(super) unsafe fn load(_: isize) -> *mut super::c_void {
        unreachable!("`find` never returned an offset")
    }
}

/// Defines a system: its layout, and the instructions that load a word at an offset from the thread pointer.
///
/// The assembly is `pure` and `readonly`: the compiler may merge two loads with nothing between them, but does not move a load across a
/// call, which may set the value or, in a program that switches stacks, return on another thread.
#[allow(unused_macros)] // on systems that are unknown
macro_rules! system {
    ($layout:expr, |$value:ident, $offset:ident| $($assembly:tt)*) => {
        const LAYOUT: TlsLayout = $layout;

        /// # Safety
        /// The offset leads to a word in the thread's own memory.
        #[inline(always)]
        unsafe fn load($offset: isize) -> *mut c_void {
            let $value;
            // SAFETY: the offset leads to a word in the thread's own memory (this function's contract).
            unsafe {
                core::arch::asm!($($assembly)*, options(pure, readonly, nostack, preserves_flags));
            }
            $value
        }
    };
}

// The control block starts at the thread pointer. In glibc 2.17 to 2.41 it is larger than 2,000 bytes.
#[cfg(all(
    feature = "direct-read",
    os_thread_local_backend = "pthread",
    not(miri),
    target_os = "linux",
    target_env = "gnu",
    target_arch = "x86_64",
    target_pointer_width = "64"
))]
system!(TlsLayout::Glibc { window: 0..1536 }, |value, offset|
    "mov {value}, fs:[{offset}]", value = lateout(reg) value, offset = in(reg) offset);

// As on x86_64, with words of half the size.
#[cfg(all(
    feature = "direct-read",
    os_thread_local_backend = "pthread",
    not(miri),
    target_os = "linux",
    target_env = "gnu",
    target_arch = "x86"
))]
system!(TlsLayout::Glibc { window: 0..768 }, |value, offset|
    "mov {value}, gs:[{offset}]", value = lateout(reg) value, offset = in(reg) offset);

// The control block ends at the thread pointer. In glibc 2.17 to 2.41 it is at least 1,776 bytes long.
#[cfg(all(
    feature = "direct-read",
    os_thread_local_backend = "pthread",
    not(miri),
    target_os = "linux",
    target_env = "gnu",
    target_arch = "aarch64",
    target_pointer_width = "64"
))]
system!(TlsLayout::Glibc { window: -1760..-768 }, |value, offset|
    "mrs {thread}, tpidr_el0",
    "ldr {value}, [{thread}, {offset}]",
    thread = out(reg) _, value = lateout(reg) value, offset = in(reg) offset);

// The control block ends 32 bytes below the thread pointer. In glibc 2.17 to 2.41 it is at least 1,776 bytes long.
#[cfg(all(
    feature = "direct-read",
    os_thread_local_backend = "pthread",
    not(miri),
    target_os = "linux",
    target_env = "gnu",
    target_arch = "riscv64"
))]
system!(TlsLayout::Glibc { window: -1760..-768 }, |value, offset|
    "add {address}, tp, {offset}",
    "ld {value}, 0({address})",
    address = out(reg) _, value = lateout(reg) value, offset = in(reg) offset);

#[cfg(all(
    feature = "direct-read",
    os_thread_local_backend = "pthread",
    not(miri),
    target_vendor = "apple",
    target_arch = "x86_64"
))]
system!(TlsLayout::Apple, |value, offset|
    "mov {value}, gs:[{offset}]", value = lateout(reg) value, offset = in(reg) offset);

// Older systems keep the CPU number in the low bits.
#[cfg(all(
    feature = "direct-read",
    os_thread_local_backend = "pthread",
    not(miri),
    target_vendor = "apple",
    target_arch = "aarch64",
    target_pointer_width = "64"
))]
system!(TlsLayout::Apple, |value, offset|
    "mrs {thread}, tpidrro_el0",
    "and {thread}, {thread}, #0xfffffffffffffff8",
    "ldr {value}, [{thread}, {offset}]",
    thread = out(reg) _, value = lateout(reg) value, offset = in(reg) offset);

#[cfg(all(test, feature = "std"))]
mod tests {
    use super::*;
    use core::cell::Cell;
    use std::vec::Vec;

    const WORDS: usize = 64;
    const WINDOW: TlsLayout = TlsLayout::Glibc { window: -16 * WORD..(WORDS as isize - 16) * WORD };

    /// A fake control block.
    struct Fake {
        words: Vec<Cell<*mut c_void>>,
        /// The indices of the words that take on a value when it is set.
        follow: Vec<usize>,
        /// Whether those words keep their value when null is set.
        stuck: bool,
        count: usize,
        /// How many values can be set.
        memory: Cell<u32>,
    }

    impl Fake {
        fn new(follow: &[usize]) -> Fake {
            Fake {
                words: (0..WORDS).map(|index| Cell::new(probe_value(index * 8))).collect(),
                follow: follow.to_vec(),
                stuck: false,
                count: 1,
                memory: Cell::new(u32::MAX),
            }
        }
    }

    impl Block for Fake {
        fn word(&self, offset: isize) -> *mut c_void {
            self.words[(offset / WORD + 16) as usize].get()
        }

        fn set(&self, value: *mut c_void) -> bool {
            match self.memory.get().checked_sub(1) {
                Some(left) => self.memory.set(left),
                None => return false,
            }
            for &index in &self.follow {
                self.words[index - 1].set(probe_value(self.count));
                if !(self.stuck && value.is_null()) {
                    self.words[index].set(value);
                }
            }
            true
        }
    }

    #[test]
    fn the_one_word_that_follows_is_found() {
        let block = Fake::new(&[20]);
        assert_eq!(find_in(&block, &WINDOW, 0), Ok(4 * WORD));
        assert!(block.words[20].get().is_null(), "the value is null afterwards");
        assert_eq!(find_in(&Fake::new(&[10]), &WINDOW, 0), Ok(-6 * WORD));
    }

    #[test]
    fn refused_when_no_word_or_more_than_one_follows() {
        assert_eq!(find_in(&Fake::new(&[]), &WINDOW, 0), Err(Refusal::NotFound));
        assert_eq!(find_in(&Fake::new(&[20, 30]), &WINDOW, 0), Err(Refusal::NotFound));
    }

    #[test]
    fn refused_when_the_word_does_not_become_null() {
        let block = Fake { stuck: true, ..Fake::new(&[20]) };
        assert_eq!(find_in(&block, &WINDOW, 0), Err(Refusal::NotFound));
    }

    #[test]
    fn refused_when_the_number_was_used_before() {
        for count in [0, 2, 3] {
            let block = Fake { count, ..Fake::new(&[20]) };
            assert_eq!(find_in(&block, &WINDOW, 0), Err(Refusal::UsedBefore));
            assert!(block.words[20].get().is_null(), "the value is null afterwards");
        }
    }

    #[test]
    fn refused_when_a_value_cannot_be_set() {
        for memory in 0..12 {
            let block = Fake { memory: Cell::new(memory), ..Fake::new(&[20]) };
            assert_eq!(find_in(&block, &WINDOW, 0), Err(Refusal::NoMemory), "{}", memory);
        }
    }

    #[test]
    fn refused_on_an_unknown_system() {
        assert_eq!(find_in(&Fake::new(&[20]), &TlsLayout::Unknown, 0), Err(Refusal::UnknownSystem));
    }

    #[test]
    fn in_an_array_it_is_the_word_of_the_key_or_none() {
        let fake = Fake::new(&[20]);
        assert_eq!(find_in(&fake, &TlsLayout::Apple, 4), Ok(4 * WORD));
        assert_eq!(find_in(&fake, &TlsLayout::Apple, 5), Err(Refusal::NotFound));
        assert_eq!(find_in(&fake, &TlsLayout::Apple, usize::MAX), Err(Refusal::NotFound));
    }

    /// With a real key: if an offset is found, a direct read returns what the call returns.
    #[test]
    fn a_found_offset_reads_what_the_call_reads() {
        let key = System::create(None).unwrap();
        let found = find(key);
        assert!(POSSIBLE || found == Err(Refusal::UnknownSystem));
        if let Ok(offset) = found {
            let same = || {
                for value in VALUES {
                    // SAFETY: the key is live until the end of the test.
                    unsafe {
                        assert!(System::set(key, probe_value(value)));
                        assert_eq!(read(offset), System::get(key));
                    }
                }
            };
            same();
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    // SAFETY: the key is live until the end of the test.
                    assert!(unsafe { read(offset) }.is_null());
                    same();
                });
            });
        }
        // SAFETY: the key is live and is not used afterwards.
        unsafe { System::delete(key) };
    }
}
