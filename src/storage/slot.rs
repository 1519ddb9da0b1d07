//! The interface to the public types: an object's word, its vtable and its drop, with safe methods.

use super::current::Borrowed;
use super::entries::{block_in, unread, Entries, Entry};
use super::first_use::{self, Made};
use super::object;
use super::packed::{SlotWord, INLINE, KEYED, KEYED_INLINE, LOWER, UNPACKED};
use super::root;
use super::value::{self, Block, Blocks, Chain, OwnedBlock, Owner, ValueVTable, Values};
use crate::sys::word;
use crate::AccessError;
use core::marker::PhantomData;
use core::mem;
use core::num::NonZeroU16;
use core::ptr::{self, NonNull};

/// The storage part of an object: its word, and its list of values if it owns them. `O` is the list or nothing.
#[repr(C)] // the word first: see `ThreadLocal`
pub(crate) struct Slot<T, O: Ownership> {
    word: SlotWord,
    owner: O,
    /// The values are not inside the object. Invariant in `T`, because values are stored through `&self`.
    _values: PhantomData<fn(T) -> T>,
}

/// An object whose values belong to their threads.
pub(crate) type ThreadSlot<T> = Slot<T, ThreadOwned>;

/// An object that owns its values.
pub(crate) type ObjectSlot<T> = Slot<T, Values>;

/// What an object keeps of its values: nothing, or a list of all of them.
pub(crate) trait Ownership {
    const OWNER: Owner;

    fn values(&self) -> Option<&Values>;

    /// Empties the list and returns its first block. The entries are not changed.
    fn take_values(&mut self) -> Option<NonNull<Block>>;
}

pub(crate) struct ThreadOwned;

impl Ownership for ThreadOwned {
    const OWNER: Owner = Owner::Thread;

    #[inline(always)]
    fn values(&self) -> Option<&Values> {
        None
    }

    #[inline(always)]
    fn take_values(&mut self) -> Option<NonNull<Block>> {
        None
    }
}

impl Ownership for Values {
    const OWNER: Owner = Owner::Object;

    #[inline(always)]
    fn values(&self) -> Option<&Values> {
        Some(self)
    }

    #[inline(always)]
    fn take_values(&mut self) -> Option<NonNull<Block>> {
        self.take()
    }
}

/// What the root slot leads to: a record or a sentinel, or nothing, if the slot is a key without a value.
type Content = Option<NonNull<Entries>>;

/// The fast path of every access: the calling thread's block of an object, and what the root slot leads to. The error is the latter
/// alone.
#[inline(always)]
fn lookup(slot: &SlotWord) -> Result<(NonNull<Block>, Content), Content> {
    let word = slot.load();
    let number = word & LOWER;
    // All paths share the comparison with the tags.
    let (content, entries) = if number < INLINE {
        // SAFETY: the lower half is below `KEYED`, so the word is packed: its upper half is a locator for `read`.
        let entries = unsafe { root::read(word).ok_or(None)? };
        // SAFETY: the root slot leads to a sentinel or to this thread's record, which is alive (invariant 9); `number < INLINE`.
        (unsafe { entries.as_ref().inline_entry(number).content() }, Some(entries))
    } else {
        cold_path();
        lookup_other(slot, word)
    };
    block_in(content).map(|block| (block, entries)).ok_or_else(|| {
        cold_path();
        entries
    })
}

/// `lookup` for words whose lower half is not below `INLINE`: the content of the entry, or null; and what the root slot leads to.
#[inline(always)]
fn lookup_other(slot: &SlotWord, word: usize) -> (*mut Block, Option<NonNull<Entries>>) {
    let number = word & LOWER;
    // SAFETY: the word is packed or keyed, so its upper half is a locator for `read` or the key. The root slot leads to a sentinel or to
    // this thread's record, which is alive (invariant 9).
    unsafe {
        if word::POSSIBLE && number & KEYED_INLINE != 0 {
            let entries = root::read_key(word);
            let content = entries.map_or(ptr::null_mut(), |entries| {
                // Loaded again: a number that is kept across the call costs every access a register that it must save.
                let number = slot.load() & (KEYED - 1);
                entries.as_ref().inline_entry(number).content()
            });
            (content, entries)
        } else if number < KEYED {
            cold_path();
            let entries = root::read(word);
            let entry = entries.and_then(|entries| entries.as_ref().table_entry(number - INLINE));
            (entry.map_or(ptr::null_mut(), Entry::content), entries)
        } else if word::POSSIBLE {
            (lookup_keyed(word), Some(unread()))
        } else {
            (ptr::null_mut(), Some(unread()))
        }
    }
}

/// `lookup` for words that are keyed, with a number that is not inline, or not packed: the content of the entry, or null.
#[cold]
#[inline(never)]
fn lookup_keyed(word: usize) -> *mut Block {
    if word & UNPACKED != 0 {
        return ptr::null_mut();
    }
    // SAFETY: the word is keyed, so its upper half is the key. The root slot leads to a sentinel or to this thread's record, which is alive
    // (invariant 9).
    unsafe {
        root::read_key(word)
            .and_then(|entries| entries.as_ref().entry((word & (KEYED - 1)) as u32))
            .map_or(ptr::null_mut(), Entry::content)
    }
}

/// Marks a path as cold. Not where the root slot is read by a call: there the path through the table is a cycle longer with this hint.
#[inline(always)]
fn cold_path() {
    #[cold]
    #[inline(always)]
    fn cold() {}
    if word::POSSIBLE {
        cold();
    }
}

/// The calling thread's block of an object, for every form of the word.
#[inline]
fn existing(word: &SlotWord) -> Option<NonNull<Block>> {
    lookup(word).ok().map(|(block, _)| block).or_else(|| object::lookup_slow(word))
}

/// A reference to the value of a block.
///
/// # Safety
/// The block has a `T`, which is alive and not borrowed exclusively while the reference is used.
#[inline(always)]
unsafe fn value_of<'a, T>(block: NonNull<Block>) -> &'a T {
    // SAFETY: the value is alive and not borrowed exclusively (this function's contract).
    unsafe { &*value::value::<T>(block) }
}

impl<T, O: Ownership> Slot<T, O> {
    const VTABLE: &'static ValueVTable = &ValueVTable::new::<T>(O::OWNER);

    /// The calling thread's block; makes the value with `init` if there is none.
    #[inline(always)]
    fn block(&self, init: impl FnOnce() -> T) -> Result<NonNull<Block>, AccessError> {
        match lookup(&self.word) {
            Ok((block, _)) => Ok(block),
            // SAFETY: `found` is from `lookup`.
            Err(found) => unsafe { self.init_with(found, init) }.get(),
        }
    }

    /// The generic part of the cold path.
    ///
    /// # Safety
    /// `found` is from `lookup`.
    #[cold]
    #[inline(never)]
    unsafe fn init_with(&self, found: Option<NonNull<Entries>>, init: impl FnOnce() -> T) -> Made {
        // SAFETY: all values of this object have this vtable; `found` is what `begin` requires (this function's contract).
        match unsafe { first_use::begin(&self.word, Self::VTABLE, found) }.get() {
            Ok(begun) => {
                let value = init();
                // SAFETY: the vtable is for `T`, and the list is this object's.
                Made::new(Ok(unsafe { begun.finish(value, Self::VTABLE, self.owner.values()) }))
            }
            Err(made) => made,
        }
    }

    /// Calls `f` with the calling thread's value, which `init` makes if there is none.
    #[inline(always)]
    pub(crate) fn with<R>(
        &self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&T) -> R,
    ) -> Result<R, AccessError> {
        let block = self.block(init)?;
        // SAFETY: the value is alive, and only this thread's record leads to it. It is destroyed, moved or borrowed exclusively through
        // `&mut self`, and destroyed or left to another thread when this one exits; neither happens while `f` runs.
        let value = unsafe { value_of(block) };
        Ok(f(value))
    }

    /// `with` for an initializer that can fail.
    pub(crate) fn with_try_init<R, E>(
        &self,
        init: impl FnOnce() -> Result<T, E>,
        f: impl FnOnce(&T) -> R,
    ) -> Result<Result<R, E>, AccessError> {
        // SAFETY: the value is alive and shared while `f` runs, for the reasons in `with`.
        Ok(self.block_try_init(init)?.map(|block| f(unsafe { value_of(block) })))
    }

    /// `block` for an initializer that can fail.
    fn block_try_init<E>(
        &self,
        init: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<NonNull<Block>, E>, AccessError> {
        let found = match lookup(&self.word) {
            Ok((block, _)) => return Ok(Ok(block)),
            Err(found) => found,
        };
        // SAFETY: all values of this object have this vtable; `found` is from `lookup`.
        match unsafe { first_use::begin(&self.word, Self::VTABLE, found) }.get() {
            // SAFETY: the vtable is for `T`, and the list is this object's.
            Ok(begun) => Ok(init()
                .map(|value| unsafe { begun.finish(value, Self::VTABLE, self.owner.values()) })),
            Err(made) => made.get().map(Ok),
        }
    }

    /// Calls `f` with the calling thread's value, if there is one.
    #[inline]
    pub(crate) fn with_existing<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let block = existing(&self.word)?;
        // SAFETY: the value is alive and shared while `f` runs, for the reasons in `with`.
        let value = unsafe { value_of(block) };
        Some(f(value))
    }

    /// Does everything that a first use needs except creating the value.
    pub(crate) fn prepare(&self) -> Result<(), AccessError> {
        first_use::prepare(&self.word, Self::VTABLE)
    }
}

impl<T, O: Ownership> Drop for Slot<T, O> {
    fn drop(&mut self) {
        // SAFETY: `drop` owns the object exclusively, and it is not used afterwards. After `drop_object` the values that the object owns
        // are in no entry, and only in this list.
        unsafe {
            object::drop_object(&self.word);
            let values = self.owner.take_values();
            // Without the condition, dropping any object calls the destructor of a `Chain`: 12 instructions.
            if values.is_some() {
                drop(Chain::new(values));
            }
        }
    }
}

impl<T: 'static> ThreadSlot<T> {
    /// `T: 'static`, because the values may outlive the object.
    pub(crate) const fn new() -> Self {
        Slot { word: SlotWord::new(), owner: ThreadOwned, _values: PhantomData }
    }

    /// Calls `f` with an exclusive reference to the calling thread's value, which `init` makes if there is none. If the process exits
    /// meanwhile, the value is leaked.
    #[inline]
    pub(crate) fn with_mut<R>(
        &mut self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&mut T) -> R,
    ) -> Result<R, AccessError> {
        let block = self.block(init)?;
        // SAFETY: the block is this thread's.
        Ok(unsafe { self.lend(block, f) })
    }

    /// `with_mut`, if there is a value.
    #[inline]
    pub(crate) fn with_mut_existing<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        let block = existing(&self.word)?;
        // SAFETY: the block is this thread's.
        Some(unsafe { self.lend(block, f) })
    }

    /// # Safety
    /// The block is the calling thread's value of this object.
    #[inline(always)]
    unsafe fn lend<R>(&mut self, block: NonNull<Block>, f: impl FnOnce(&mut T) -> R) -> R {
        let _borrowed = if mem::needs_drop::<T>() {
            // SAFETY: the block is this thread's, and the object is borrowed exclusively until the guard is dropped.
            Some(unsafe { Borrowed::new(block) })
        } else {
            None
        };
        // SAFETY: the value is alive, and is reached only through this object, which is borrowed exclusively.
        let value = unsafe { &mut *value::value::<T>(block) };
        f(value)
    }

    /// Takes the calling thread's value out.
    pub(crate) fn remove(&mut self) -> Option<T> {
        // SAFETY: the object is borrowed exclusively, its values are `T`s, and they belong to their threads.
        unsafe { object::remove(&self.word).map(|block| block.into_value::<T>()) }
    }
}

impl<T> ObjectSlot<T> {
    pub(crate) const fn new() -> Self {
        Slot { word: SlotWord::new(), owner: Values::new(), _values: PhantomData }
    }

    /// An exclusive reference to the calling thread's value, which `init` makes if there is none.
    pub(crate) fn get_mut(&mut self, init: impl FnOnce() -> T) -> Result<&mut T, AccessError> {
        let block = self.block(init)?;
        // SAFETY: the object owns the value and is borrowed exclusively while the reference lives. The end of the thread does not change
        // the value.
        Ok(unsafe { &mut *value::value::<T>(block) })
    }

    /// Takes the calling thread's value out.
    pub(crate) fn remove(&mut self) -> Option<T> {
        // SAFETY: the object is borrowed exclusively. The block is in no entry any more, and in no list once it is unlinked. It has a `T`
        // and is not from an arena, because the object owns it.
        unsafe {
            let block = object::remove_from_entry(&self.word)?;
            self.owner.unlink(block);
            Some(OwnedBlock::new(block, None).into_value::<T>())
        }
    }

    /// A pointer to the calling thread's value, which `init` makes if there is none; and the thread's life, which tells it from the threads
    /// from which it has inherited the value, and from those that inherit it. The pointer is valid while the object is borrowed.
    #[inline(always)]
    pub(crate) fn pointer_and_life(
        &self,
        init: impl FnOnce() -> T,
    ) -> Result<(NonNull<T>, NonZeroU16), AccessError> {
        let (block, life) = match lookup(&self.word) {
            Ok((block, content)) => {
                // SAFETY: the root slot leads to a sentinel or to this thread's record, which is alive (invariant 9).
                (block, content.and_then(|entries| unsafe { entries.as_ref() }.life()))
            }
            // SAFETY: `found` is from `lookup`.
            Err(found) => (unsafe { self.init_with(found, init) }.get()?, None),
        };
        Ok((Self::pointer_to(block), life.unwrap_or_else(Self::life)))
    }

    /// `pointer_and_life` for an initializer that can fail.
    pub(crate) fn pointer_and_life_try_init<E>(
        &self,
        init: impl FnOnce() -> Result<T, E>,
    ) -> Result<Result<(NonNull<T>, NonZeroU16), E>, AccessError> {
        Ok(self.block_try_init(init)?.map(|block| (Self::pointer_to(block), Self::life())))
    }

    fn life() -> NonZeroU16 {
        // A thread that has a value has a record.
        object::life().unwrap_or_else(|| unreachable!())
    }

    #[inline(always)]
    fn pointer_to(block: NonNull<Block>) -> NonNull<T> {
        // SAFETY: the callers' block was allocated for a `T`, in which a value is not at address 0.
        unsafe { NonNull::new_unchecked(value::value::<T>(block)) }
    }

    /// A reference to the calling thread's value, which `init` makes if there is none.
    #[inline(always)]
    pub(crate) fn get_ref(&self, init: impl FnOnce() -> T) -> Result<&T, AccessError>
    where
        T: Sync,
    {
        // SAFETY: the object owns the value, which is neither destroyed nor moved nor borrowed exclusively while the object is borrowed. The
        // end of the thread does not change the value. Other threads may then use it, too: it is `Sync`.
        self.block(init).map(|block| unsafe { value_of(block) })
    }

    /// Makes the calling thread's next access create a new value. The present one stays in the list, and no thread inherits it.
    pub(crate) fn detach_own(&self) {
        // SAFETY: an `ObjectSlot` owns its values.
        unsafe { object::detach_own(&self.word) }
    }

    /// Calls `f` with an exclusive reference to the calling thread's value, which `init` makes if there is none.
    #[inline]
    pub(crate) fn with_mut<R>(
        &mut self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&mut T) -> R,
    ) -> Result<R, AccessError> {
        self.get_mut(init).map(f)
    }

    /// `with_mut`, if there is a value.
    #[inline]
    pub(crate) fn with_mut_existing<R>(&mut self, f: impl FnOnce(&mut T) -> R) -> Option<R> {
        self.get_mut_existing().map(f)
    }

    /// An exclusive reference to the calling thread's value, if there is one.
    pub(crate) fn get_mut_existing(&mut self) -> Option<&mut T> {
        let block = existing(&self.word)?;
        // SAFETY: the object owns the value and is borrowed exclusively while the reference lives. The end of the thread does not change
        // the value.
        Some(unsafe { &mut *value::value::<T>(block) })
    }

    /// Takes all values out.
    pub(crate) fn take_all(&mut self) -> Taken<T> {
        // SAFETY: the object is borrowed exclusively. After `detach_all` its values are in no entry, and `take` passes the list on.
        let chain = unsafe {
            object::detach_all(&self.word);
            Chain::new(self.owner.take())
        };
        Taken { chain, _values: PhantomData }
    }

    /// Iterates over the values at the time of the call.
    pub(crate) fn iter(&self) -> Pointers<'_, T> {
        Pointers { blocks: self.owner.iter(), _values: PhantomData }
    }
}

/// Pointers to the values of an object, newest first. They are valid while the object is borrowed.
pub(crate) struct Pointers<'a, T> {
    blocks: Blocks<'a>,
    _values: PhantomData<*const T>,
}

impl<T> Clone for Pointers<'_, T> {
    fn clone(&self) -> Self {
        Pointers { blocks: self.blocks.clone(), _values: PhantomData }
    }
}

impl<T> Iterator for Pointers<'_, T> {
    type Item = *mut T;

    fn next(&mut self) -> Option<*mut T> {
        // SAFETY: the blocks of the object were allocated for `T`s.
        self.blocks.next().map(|block| unsafe { value::value::<T>(block) })
    }
}

/// Iterates over values that were taken out of an object. Dropping it destroys the rest.
pub(crate) struct Taken<T> {
    chain: Chain,
    _values: PhantomData<T>,
}

impl<T> Taken<T> {
    /// Counts the values one by one.
    pub(crate) fn len(&self) -> usize {
        self.chain.len()
    }
}

impl<T> Iterator for Taken<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        // SAFETY: the blocks of the object were allocated for `T`s.
        self.chain.pop().map(|block| unsafe { block.into_value::<T>() })
    }
}
