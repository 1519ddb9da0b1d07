//! How an object reaches this thread's value, and makes it where there is none.

use crate::node::{self, Kind, Node, Owner};
use crate::record::{self, Record, State};
use crate::registry::REGISTRY;
use crate::root;
use crate::slot::SlotWord;
use crate::AccessError;
use core::mem;
use core::ptr::{self, NonNull};

/// This thread's value of an object, made by `init` if there is none.
///
/// # Safety
/// The word is one object's, whose values are all `T`s of that kind. The pointer is used on this thread, while the
/// object is borrowed: until the caller returns.
#[inline(always)]
pub(crate) unsafe fn value_or<T>(
    word: &SlotWord,
    kind: &'static Kind,
    init: impl FnOnce() -> T,
) -> Result<*mut T, AccessError> {
    // SAFETY: as the caller promises.
    unsafe {
        // The two ways meet as nodes: then the value's place is part of the load, not a computation before it.
        let node = match word.find() {
            Ok(node) => node,
            Err(record) => make_with(word, kind, record, init).get()?,
        };
        Ok(node::value::<T>(node))
    }
}

/// The generic part of the cold path.
///
/// # Safety
/// As for `value_or`.
#[cold]
#[inline(never)]
unsafe fn make_with<T>(
    word: &SlotWord,
    kind: &'static Kind,
    record: Option<NonNull<Record>>,
    init: impl FnOnce() -> T,
) -> Made {
    let mut init = Some(init);
    let mut write = |node| match init.take() {
        // SAFETY: `make` gives a node that was allocated for a `T` and has none yet.
        Some(init) => unsafe {
            node::value::<T>(node).write(init());
            true
        },
        None => false,
    };
    // SAFETY: as the caller promises.
    unsafe { make(word, kind, record, &mut write) }
}

/// The same as `value_or` with an initializer that can fail. Beside `make_with`, not in it: a large value is not to travel in a `Result`.
///
/// # Safety
/// As for `value_or`.
pub(crate) unsafe fn value_or_try<T, E: From<AccessError>>(
    word: &SlotWord,
    kind: &'static Kind,
    init: impl FnOnce() -> Result<T, E>,
) -> Result<*mut T, E> {
    // SAFETY: as for `value_or` and `make_with`.
    unsafe {
        let record = match word.find() {
            Ok(node) => return Ok(node::value::<T>(node)),
            Err(record) => record,
        };
        let mut init = Some(init);
        let mut failed = None;
        let mut write = |node| match init.take().map(|init| init()) {
            Some(Ok(value)) => {
                node::value::<T>(node).write(value);
                true
            }
            Some(Err(error)) => {
                failed = Some(error);
                false
            }
            None => false,
        };
        match make(word, kind, record, &mut write).get() {
            Ok(node) => Ok(node::value::<T>(node)),
            Err(error) => Err(failed.unwrap_or_else(|| error.into())),
        }
    }
}

/// This thread's value of an object, if it is there.
///
/// # Safety
/// As for `value_or`.
#[inline]
pub(crate) unsafe fn existing<T>(word: &SlotWord) -> Option<*mut T> {
    // SAFETY: as the caller promises.
    unsafe { find(word).map(|node| node::value::<T>(node)) }
}

/// This thread's node of an object, if it is there.
///
/// # Safety
/// As for `SlotWord::find`.
#[inline]
pub(crate) unsafe fn find(word: &SlotWord) -> Option<NonNull<Node>> {
    // SAFETY: as the caller promises.
    unsafe { word.find().ok().or_else(|| find_unpacked(word)) }
}

/// A node, or why there is none, in one register: every inlined `with` has a smaller frame for it.
struct Made(*mut Node);

/// In the order of their discriminants.
const ERRORS: [AccessError; 4] = [
    AccessError::Destroyed,
    AccessError::Recursive,
    AccessError::OutOfKeys,
    AccessError::OutOfMemory,
];
const _: () = assert!(ERRORS[0] as u8 == 0 && ERRORS[1] as u8 == 1);
const _: () = assert!(ERRORS[2] as u8 == 2 && ERRORS[3] as u8 == 3);

impl Made {
    fn new(result: Result<NonNull<Node>, AccessError>) -> Made {
        Made(match result {
            Ok(node) => node.as_ptr(),
            Err(error) => ptr::null_mut::<u8>().wrapping_add(error as usize).cast(),
        })
    }

    #[inline(always)]
    fn get(self) -> Result<NonNull<Node>, AccessError> {
        match ERRORS.get(self.0 as usize) {
            Some(&error) => Err(error),
            // SAFETY: not an error, so it was a node.
            None => Ok(unsafe { NonNull::new_unchecked(self.0) }),
        }
    }
}

/// A node whose value is being made. Its entry says INITIALIZING; dropped unfinished (the initializer panicked or failed), it leaves
/// the entry vacant and nothing behind.
struct Building {
    node: NonNull<Node>,
    record: NonNull<Record>,
}

impl Building {
    /// The value is written: puts the node into its lists and its entry.
    fn finish(self) -> NonNull<Node> {
        let (node, record) = (self.node, self.record);
        mem::forget(self);
        // SAFETY: the record is this thread's; the node is ours and in no list; its entry, marked INITIALIZING, is in
        // no list either.
        unsafe { REGISTRY.lock().link(node, record) };
        node
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // SAFETY: the record is this thread's; the node is in no list and has no value.
        unsafe {
            self.record.as_ref().set(self.node.as_ref().number, State::Vacant);
            node::free_node(self.node);
        }
    }
}

/// The cold path of an access: everything that does not depend on the value's type. `write` puts a value into the node,
/// or says that there is none; then the error means nothing.
///
/// # Safety
/// The word is the object's, and the object's values are all of this kind.
unsafe fn make(
    word: &SlotWord,
    kind: &'static Kind,
    record: Option<NonNull<Record>>,
    write: &mut dyn FnMut(NonNull<Node>) -> bool,
) -> Made {
    // SAFETY: as the caller promises.
    Made::new(unsafe { try_make(word, kind, record, write) })
}

/// # Safety
/// As for `make`.
#[inline]
unsafe fn try_make(
    word: &SlotWord,
    kind: &'static Kind,
    record: Option<NonNull<Record>>,
    write: &mut dyn FnMut(NonNull<Node>) -> bool,
) -> Result<NonNull<Node>, AccessError> {
    let pointer = match record {
        Some(record) if !record::is_mark(record) => record,
        _ => root::current_or_new()?,
    };
    // SAFETY: a record lives until its thread has exited, and this is this thread's.
    let record = unsafe { pointer.as_ref() };
    let vacant = |number| record.state(number) == State::Vacant;
    if record.has_pending() && word.number().map_or(true, vacant) {
        record.reclaim();
    }
    let (number, entry) = record.admit(word)?;
    // Only now, because both may run user code: destructors, the global allocator.
    match entry.state() {
        State::Vacant => {}
        State::Initializing => return Err(AccessError::Recursive),
        State::Destroyed => return Err(AccessError::Destroyed),
        State::Node(node) => return Ok(node),
    }
    if kind.owner == Owner::Object {
        // SAFETY: the record is this thread's and its entry is vacant.
        if let Some(node) = unsafe { REGISTRY.lock().adopt(number, pointer) } {
            return Ok(node);
        }
    }
    entry.set(State::Initializing);
    // The allocator may be a user of this crate: then the table may grow, and the entry is somewhere else.
    match node::allocate_node(kind, number) {
        Some(node) => {
            let building = Building { node, record: pointer };
            if write(node) {
                return Ok(building.finish());
            }
        }
        None => record.set(number, State::Vacant),
    }
    Err(AccessError::OutOfMemory)
}

/// This thread's node of an object, if it is there, in every form of the word.
///
/// # Safety
/// As for `SlotWord::find`.
#[cold]
unsafe fn find_unpacked(word: &SlotWord) -> Option<NonNull<Node>> {
    let number = word.number()?;
    // SAFETY: this thread's record.
    unsafe { root::current()?.as_ref().entry(number)?.node() }
}
