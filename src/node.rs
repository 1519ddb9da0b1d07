//! A node: one value, and the links that find it.

use crate::record::Record;
use alloc::alloc::{alloc, dealloc};
use core::alloc::Layout;
use core::cell::Cell;
use core::mem::{self, MaybeUninit};
use core::ptr::{self, NonNull};

/// Whose a value is: the one word in which `ThreadLocal` and `PerThread` differ.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// Destroyed when its thread exits, and by no other thread.
    Thread,
    /// Kept for a later thread when its thread exits; destroyed with the object.
    Object,
}

/// What the shared code needs to know of a value's type.
pub(crate) struct Kind {
    layout: Layout,
    drop: Option<unsafe fn(NonNull<Node>)>,
    pub(crate) owner: Owner,
}

impl Kind {
    pub(crate) const fn new<T>(owner: Owner) -> Kind {
        Kind {
            layout: Layout::new::<Full<T>>(),
            drop: if mem::needs_drop::<T>() { Some(drop_value::<T>) } else { None },
            owner,
        }
    }

    pub(crate) fn needs_drop(&self) -> bool {
        self.drop.is_some()
    }
}

unsafe fn drop_value<T>(node: NonNull<Node>) {
    // SAFETY: `Kind::new::<T>` put this function beside nodes with a `T`; who calls it owns the value.
    unsafe { ptr::drop_in_place(value::<T>(node)) }
}

/// The header of a value: one heap allocation per thread and object. Everything in it is used under the registry's
/// lock, or by the one who owns a node that is in no list.
///
/// Invariant 1: a node is in its slot's list and in its record's list (whose entry then points to it), or in neither.
/// Spare nodes, which wait for a thread, have no record and are in their slot's two lists.
#[repr(C)]
pub(crate) struct Node {
    /// The slot's list, one node per thread, newest first; or the next in a `Chain` or in `Record::pending`.
    pub(crate) slot_next: Cell<Option<NonNull<Node>>>,
    /// The first in the list has none that is kept up: who takes it out need not touch the second.
    pub(crate) slot_prev: Cell<Option<NonNull<Node>>>,
    pub(crate) record: Cell<Option<NonNull<Record>>>,
    pub(crate) kind: &'static Kind,
    pub(crate) place: Cell<Place>,
    pub(crate) number: u32,
}

/// Where a node stands beside its slot's list.
#[derive(Clone, Copy)]
pub(crate) union Place {
    /// With a record: the neighbours in the record's list, by slot number.
    pub(crate) in_record: Neighbours,
    /// Without: the next spare node of the slot.
    pub(crate) next_spare: Option<NonNull<Node>>,
}

#[derive(Clone, Copy)]
pub(crate) struct Neighbours {
    /// The newest has none that is kept up.
    pub(crate) newer: u32,
    pub(crate) older: u32,
}

#[repr(C)]
struct Full<T> {
    node: Node,
    value: MaybeUninit<T>,
}

/// Where the value of a node is.
///
/// # Safety
/// The node was allocated for a `T`, and the pointer is the allocation's.
#[inline(always)]
pub(crate) unsafe fn value<T>(node: NonNull<Node>) -> *mut T {
    // SAFETY: as the caller promises; no reference is made.
    unsafe { ptr::addr_of_mut!((*node.cast::<Full<T>>().as_ptr()).value).cast() }
}

pub(crate) fn allocate_node(kind: &'static Kind, number: u32) -> Option<NonNull<Node>> {
    // SAFETY: the layout is not zero-sized: there is a header.
    let node = NonNull::new(unsafe { alloc(kind.layout) })?.cast::<Node>();
    let header = Node {
        slot_next: Cell::new(None),
        slot_prev: Cell::new(None),
        record: Cell::new(None),
        kind,
        place: Cell::new(Place { next_spare: None }),
        number,
    };
    // SAFETY: fresh memory that begins with a `Node`.
    unsafe { node.as_ptr().write(header) };
    Some(node)
}

/// Frees a node without its value.
///
/// # Safety
/// The node is in no list, and nobody else has it.
pub(crate) unsafe fn free_node(node: NonNull<Node>) {
    // SAFETY: as the caller promises; allocated with that layout.
    unsafe {
        let layout = node.as_ref().kind.layout;
        dealloc(node.as_ptr().cast(), layout);
    }
}

/// Moves the value out and frees the node.
///
/// # Safety
/// The node was allocated for a `T`, is in no list, and is the caller's.
pub(crate) unsafe fn into_value<T>(node: NonNull<Node>) -> T {
    // SAFETY: as the caller promises; the value is not used in its old place any more.
    unsafe {
        let moved = value::<T>(node).read();
        free_node(node);
        moved
    }
}

/// Nodes in no list, to be destroyed by whoever drops the chain: user code runs then, so never under the lock.
///
/// Invariant 4: by then each entry says DESTROYED, or is vacant because the object is being dropped.
/// Invariant 5: who takes a node out of the lists puts it into a chain, and a chain destroys each exactly once, also
/// when a destructor panics.
pub(crate) struct Chain {
    first: Option<NonNull<Node>>,
    last: Option<NonNull<Node>>,
}

impl Chain {
    pub(crate) const fn new() -> Self {
        Chain { first: None, last: None }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// Counts them one by one.
    pub(crate) fn len(&self) -> usize {
        let mut len = 0;
        let mut rest = self.first;
        while let Some(node) = rest {
            len += 1;
            // SAFETY: the chain owns its nodes.
            rest = unsafe { node.as_ref().slot_next.get() };
        }
        len
    }

    /// # Safety
    /// The node is in no list; the caller may destroy its value on this thread, and gives it away.
    pub(crate) unsafe fn push(&mut self, node: NonNull<Node>) {
        // SAFETY: the node is the caller's, and now ours; the last one is ours.
        unsafe {
            node.as_ref().slot_next.set(None);
            match self.last {
                Some(last) => last.as_ref().slot_next.set(Some(node)),
                None => self.first = Some(node),
            }
        }
        self.last = Some(node);
    }

    /// Takes the first node out; it is the caller's then.
    pub(crate) fn pop(&mut self) -> Option<NonNull<Node>> {
        let node = self.first?;
        // SAFETY: the chain owns its nodes.
        self.first = unsafe { node.as_ref().slot_next.get() };
        if self.first.is_none() {
            self.last = None;
        }
        Some(node)
    }
}

impl Chain {
    pub(crate) fn destroy(&mut self) {
        while let Some(node) = self.pop() {
            let _memory = Memory(node);
            // SAFETY: the chain owns the node, whose value may be destroyed here (`push`).
            unsafe {
                if let Some(drop_value) = node.as_ref().kind.drop {
                    let rest = OnUnwind(self);
                    drop_value(node);
                    mem::forget(rest);
                }
            }
        }
    }
}

impl Drop for Chain {
    fn drop(&mut self) {
        self.destroy();
    }
}

/// Frees a node that is taken out of a chain, once its value is gone.
struct Memory(NonNull<Node>);

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the node was the chain's, and in no list.
        unsafe { free_node(self.0) }
    }
}

/// Destroys the rest of a chain when a destructor panics.
struct OnUnwind<'a>(&'a mut Chain);

impl Drop for OnUnwind<'_> {
    fn drop(&mut self) {
        drop(mem::replace(self.0, Chain::new()));
    }
}
