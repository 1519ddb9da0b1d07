//! An object's place in the storage: the boundary that the public types stand on.

use super::current::Borrowed;
use super::first_use::{self, Made};
use super::object;
use super::packed::{SlotWord, HALF, INDIRECT, LOWER, UNPACKED};
use super::record::{block_in, Entries, Entry, INLINE};
use super::root;
use super::value::{self, Block, Blocks, Chain, OwnedBlock, Owner, ValueVTable, Values};
use crate::sys::direct;
use crate::AccessError;
use core::marker::PhantomData;
use core::mem;
use core::ptr::{self, NonNull};

/// An object of the program: the word through which it finds its values, and what it knows of them. `O` says who owns the values.
pub(crate) struct Slot<T, O: Ownership> {
    word: SlotWord,
    owner: O,
    /// The values are not in here. Invariant in `T`: values are stored through `&self`.
    _values: PhantomData<fn(T) -> T>,
}

/// An object whose values belong to their threads.
pub(crate) type ThreadSlot<T> = Slot<T, ThreadOwned>;

/// An object whose values belong to it.
pub(crate) type ObjectSlot<T> = Slot<T, Values>;

/// What an object knows of its values: nothing, or all of them in a list.
pub(crate) trait Ownership {
    const OWNER: Owner;

    fn values(&self) -> Option<&Values>;

    /// Takes all values out of the list. They are still in their entries.
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

/// This thread's block of an object, if it is there and the word is packed: the fast path of every access. Otherwise what the root
/// slot leads to, if the path came so far: it may be a sentinel.
#[inline(always)]
fn lookup(word: &SlotWord) -> Result<NonNull<Block>, Option<NonNull<Entries>>> {
    let word = word.load();
    let number = word & LOWER;
    // Both paths meet in the comparison with the tags.
    let (content, entries) = if number < INLINE {
        // SAFETY: the lower half is below `INDIRECT`, so the upper half is a locator for `read`.
        let entries = unsafe { root::read(word >> HALF).ok_or(None)? };
        // SAFETY: what stands in the root slot is alive, and `number` is below `INLINE`.
        (unsafe { entries.as_ref().inline_entry(number).content() }, Some(entries))
    } else {
        cold_path();
        lookup_in_table(word)
    };
    block_in(content).ok_or_else(|| {
        cold_path();
        entries
    })
}

/// The content of the entry, for numbers beyond the inline entries, or null; and what the root slot leads to.
#[inline(always)]
fn lookup_in_table(word: usize) -> (*mut Block, Option<NonNull<Entries>>) {
    let number = word & LOWER;
    if number >= INDIRECT {
        return if direct::POSSIBLE {
            (lookup_indirect(word), None)
        } else {
            (ptr::null_mut(), None)
        };
    }
    // SAFETY: as in `lookup`; what stands in the root slot is alive, and it is this thread's.
    unsafe {
        let entries = root::read(word >> HALF);
        let content = entries
            .and_then(|entries| entries.as_ref().table_entry(number - INLINE))
            .map_or(ptr::null_mut(), Entry::content);
        (content, entries)
    }
}

/// The same where the root slot is not read directly although it might have been: the one path that such a process takes.
#[inline(never)]
fn lookup_indirect(word: usize) -> *mut Block {
    if word & UNPACKED != 0 {
        return ptr::null_mut();
    }
    // SAFETY: the word is "indirect": its upper half is the key. What stands in the root slot is alive, and it is this thread's.
    unsafe {
        root::read_indirect(word >> HALF)
            .and_then(|entries| entries.as_ref().entry((word & (INDIRECT - 1)) as u32))
            .map_or(ptr::null_mut(), Entry::content)
    }
}

/// Where the root slot is read directly, tells the compiler which path to lay out in a line. Around a call the compiler finds
/// a better layout by itself: the path through the table is a cycle shorter then.
#[inline(always)]
fn cold_path() {
    #[cold]
    #[inline(always)]
    fn cold() {}
    if direct::POSSIBLE {
        cold();
    }
}

/// This thread's block of an object, if it is there, in every form of the word.
#[inline]
fn existing(word: &SlotWord) -> Option<NonNull<Block>> {
    lookup(word).ok().or_else(|| object::lookup_slow(word))
}

/// The generic part of the cold path.
///
/// # Safety
/// As for `first_use::get_or_init`; the values are `T`s.
#[cold]
#[inline(never)]
unsafe fn init_with<T>(
    word: &SlotWord,
    vtable: &'static ValueVTable,
    values: Option<&Values>,
    found: Option<NonNull<Entries>>,
    init: impl FnOnce() -> T,
) -> Made {
    let mut init = Some(init);
    let mut write = |block| match init.take() {
        Some(init) => {
            let value = init();
            // SAFETY: the block was allocated for a `T` and has none yet.
            unsafe { value::value::<T>(block).write(value) };
            true
        }
        None => false,
    };
    // SAFETY: the caller keeps to this function's conditions, which are the same.
    unsafe { first_use::get_or_init(word, vtable, values, found, &mut write) }
}

/// The same with an initializer that can fail. A large value is not to travel in a `Result` through `init_with`.
///
/// # Safety
/// As for `first_use::get_or_init`; the values are `T`s.
unsafe fn get_or_try_init<T, E>(
    word: &SlotWord,
    vtable: &'static ValueVTable,
    values: Option<&Values>,
    init: impl FnOnce() -> Result<T, E>,
) -> Result<Result<NonNull<Block>, E>, AccessError> {
    let found = match lookup(word) {
        Ok(block) => return Ok(Ok(block)),
        Err(found) => found,
    };
    let mut init = Some(init);
    let mut failed = None;
    let mut write = |block| match init.take().map(|init| init()) {
        Some(Ok(value)) => {
            // SAFETY: the block was allocated for a `T` and has none yet.
            unsafe { value::value::<T>(block).write(value) };
            true
        }
        Some(Err(error)) => {
            failed = Some(error);
            false
        }
        None => false,
    };
    // SAFETY: the caller keeps to this function's conditions, which are the same.
    match unsafe { first_use::get_or_init(word, vtable, values, found, &mut write) }.get() {
        Ok(block) => Ok(Ok(block)),
        Err(error) => failed.map_or(Err(error), |failed| Ok(Err(failed))),
    }
}

/// The value of a block.
///
/// # Safety
/// The block has a `T`, which lives as long as the reference is used, and is not borrowed exclusively.
#[inline(always)]
unsafe fn value_of<'a, T>(block: NonNull<Block>) -> &'a T {
    // SAFETY: this function's own condition.
    unsafe { &*value::value::<T>(block) }
}

impl<T, O: Ownership> Slot<T, O> {
    const VTABLE: &'static ValueVTable = &ValueVTable::new::<T>(O::OWNER);

    /// This thread's block, made by `init` if there is none.
    #[inline(always)]
    fn block(&self, init: impl FnOnce() -> T) -> Result<NonNull<Block>, AccessError> {
        match lookup(&self.word) {
            Ok(block) => Ok(block),
            Err(found) => {
                let values = self.owner.values();
                // SAFETY: the word and the list are this object's, all whose values are of this type.
                unsafe { init_with(&self.word, Self::VTABLE, values, found, init) }.get()
            }
        }
    }

    /// Calls `f` with this thread's value, made by `init` if there is none.
    #[inline(always)]
    pub(crate) fn with<R>(
        &self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&T) -> R,
    ) -> Result<R, AccessError> {
        let block = self.block(init)?;
        // SAFETY: a live value, which this thread alone has. It is destroyed, moved or borrowed exclusively through `&mut self` only, and
        // destroyed or left to another thread when this one exits: neither happens while `f` runs.
        let value = unsafe { value_of(block) };
        Ok(f(value))
    }

    /// The same with an initializer that can fail.
    pub(crate) fn with_try_init<R, E>(
        &self,
        init: impl FnOnce() -> Result<T, E>,
        f: impl FnOnce(&T) -> R,
    ) -> Result<Result<R, E>, AccessError> {
        let values = self.owner.values();
        // SAFETY: the word and the list are this object's, all whose values are of this type.
        let block = unsafe { get_or_try_init(&self.word, Self::VTABLE, values, init) }?;
        // SAFETY: as in `with`.
        Ok(block.map(|block| f(unsafe { value_of(block) })))
    }

    /// Calls `f` with this thread's value, if it is there.
    #[inline]
    pub(crate) fn with_existing<R>(&self, f: impl FnOnce(&T) -> R) -> Option<R> {
        let block = existing(&self.word)?;
        // SAFETY: as in `with`.
        let value = unsafe { value_of(block) };
        Some(f(value))
    }

    /// Does everything that a first use needs except creating the value.
    pub(crate) fn prepare(&self) -> Result<(), AccessError> {
        first_use::prepare(&self.word)
    }
}

impl<T, O: Ownership> Drop for Slot<T, O> {
    fn drop(&mut self) {
        // SAFETY: the object is owned exclusively and ends here. Then the values that belong to it are in no entry any more, and in this
        // list only.
        unsafe {
            object::drop_object(&self.word);
            let values = self.owner.take_values();
            // Without the condition the end of every object calls a destructor: 12 instructions.
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

    /// Calls `f` with this thread's value, exclusively. If the process exits meanwhile, the value is not destroyed.
    #[inline]
    pub(crate) fn with_mut<R>(
        &mut self,
        init: impl FnOnce() -> T,
        f: impl FnOnce(&mut T) -> R,
    ) -> Result<R, AccessError> {
        let block = self.block(init)?;
        let _borrowed = if mem::needs_drop::<T>() {
            // SAFETY: the object is borrowed exclusively while `f` runs.
            Some(unsafe { Borrowed::new(block) })
        } else {
            None
        };
        // SAFETY: a live value of this thread, which is reached only through this object, borrowed exclusively.
        let value = unsafe { &mut *value::value::<T>(block) };
        Ok(f(value))
    }

    /// Takes this thread's value out.
    pub(crate) fn remove(&mut self) -> Option<T> {
        // SAFETY: the object is borrowed exclusively, and its values are `T`s.
        unsafe { object::remove(&self.word).map(|block| block.into_value::<T>()) }
    }
}

impl<T> ObjectSlot<T> {
    pub(crate) const fn new() -> Self {
        Slot { word: SlotWord::new(), owner: Values::new(), _values: PhantomData }
    }

    /// This thread's value, exclusively, made by `init` if there is none.
    pub(crate) fn get_mut(&mut self, init: impl FnOnce() -> T) -> Result<&mut T, AccessError> {
        let block = self.block(init)?;
        // SAFETY: the value is the object's, which is borrowed exclusively for as long as the reference lives, whatever becomes of
        // the thread.
        Ok(unsafe { &mut *value::value::<T>(block) })
    }

    /// Takes this thread's value out.
    pub(crate) fn remove(&mut self) -> Option<T> {
        // SAFETY: the object is borrowed exclusively. The block is in no entry any more, and in no list once it is unlinked; it is the
        // object's, and has a `T`.
        unsafe {
            let block = object::remove_from_entry(&self.word)?;
            self.owner.unlink(block);
            Some(OwnedBlock::new(block, None).into_value::<T>())
        }
    }

    /// Takes all values out.
    pub(crate) fn take_all(&mut self) -> Taken<T> {
        // SAFETY: the object is borrowed exclusively: its values are in no entry any more, and the list is given up.
        let chain = unsafe {
            object::detach_all(&self.word);
            Chain::new(self.owner.take())
        };
        Taken { chain, _values: PhantomData }
    }

    /// The values there are now.
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
        // SAFETY: the blocks were allocated for `T`s.
        self.blocks.next().map(|block| unsafe { value::value::<T>(block) })
    }
}

/// Values that were taken out of an object. Dropped, it destroys the rest.
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
        // SAFETY: the blocks were allocated for `T`s.
        self.chain.pop().map(|block| unsafe { block.into_value::<T>() })
    }
}
