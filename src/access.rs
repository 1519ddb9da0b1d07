//! How an object reaches this thread's value, and makes it where there is none.

use crate::node::{self, Kind, Node, Owner};
use crate::record::{Record, State};
use crate::registry::REGISTRY;
use crate::root;
use crate::slot::SlotWord;
use crate::AccessError;
use core::mem;
use core::ptr::NonNull;

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
            Some(node) => node,
            None => make(word, kind, init)?,
        };
        Ok(node::value::<T>(node))
    }
}

/// The generic part of the cold path: it runs the initializer and moves the value in.
#[cold]
#[inline(never)]
unsafe fn make<T>(
    word: &SlotWord,
    kind: &'static Kind,
    init: impl FnOnce() -> T,
) -> Result<NonNull<Node>, AccessError> {
    // SAFETY: as the caller of `value_or` promises; a new node was allocated for a `T` and has none yet.
    unsafe {
        let node = match claim(word, kind)? {
            Claim::Ready(node) => node,
            Claim::New(building) => {
                let value = init();
                node::value::<T>(building.node).write(value);
                building.finish()
            }
        };
        Ok(node)
    }
}

/// The same with an initializer that can fail. Beside `make`, not below it: a large value is not to travel in a `Result`.
///
/// # Safety
/// As for `value_or`.
pub(crate) unsafe fn value_or_try<T, E: From<AccessError>>(
    word: &SlotWord,
    kind: &'static Kind,
    init: impl FnOnce() -> Result<T, E>,
) -> Result<*mut T, E> {
    // SAFETY: as for `value_or` and `make`.
    unsafe {
        let node = match word.find() {
            Some(node) => node,
            None => match claim(word, kind)? {
                Claim::Ready(node) => node,
                Claim::New(building) => {
                    let value = init()?;
                    node::value::<T>(building.node).write(value);
                    building.finish()
                }
            },
        };
        Ok(node::value::<T>(node))
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
    unsafe { word.find().or_else(|| find_unpacked(word)) }
}

/// What a thread finds where it has no value yet.
enum Claim {
    /// There is a value after all.
    Ready(NonNull<Node>),
    /// A node to fill.
    New(Building),
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

/// The cold path of an access: everything that does not depend on the value's type.
///
/// # Safety
/// The word is the object's, and the object's values are all of this kind.
#[cold]
unsafe fn claim(word: &SlotWord, kind: &'static Kind) -> Result<Claim, AccessError> {
    let pointer = root::current_or_new()?;
    // SAFETY: a record lives until its thread has exited, and this is this thread's.
    let record = unsafe { pointer.as_ref() };
    let settled = |state| match state {
        State::Vacant => None,
        State::Initializing => Some(Err(AccessError::Recursive)),
        State::Destroyed => Some(Err(AccessError::Destroyed)),
        State::Node(node) => Some(Ok(Claim::Ready(node))),
    };
    if let Some(result) = word.number().and_then(|number| settled(record.state(number))) {
        return result;
    }

    record.reclaim();
    let number = record.admit(word)?;
    // User code may have run: destructors, the global allocator.
    if let Some(result) = settled(record.state(number)) {
        return result;
    }
    if kind.owner == Owner::Object {
        // SAFETY: the record is this thread's and its entry is vacant.
        if let Some(node) = unsafe { REGISTRY.lock().adopt(number, pointer) } {
            return Ok(Claim::Ready(node));
        }
    }
    record.set(number, State::Initializing);
    match node::allocate_node(kind, number) {
        Some(node) => Ok(Claim::New(Building { node, record: pointer })),
        None => {
            record.set(number, State::Vacant);
            Err(AccessError::OutOfMemory)
        }
    }
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
