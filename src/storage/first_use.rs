//! The first use of an object by a thread: its record, a slot number, and the value.

use super::current::{reclaim_orphans, Current, Unset};
use super::exit::{self, on_key_destructor, HOOKS};
use super::numbers::{self, Bucket};
use super::packed::SlotWord;
use super::record::{self, Entries, Entry, ExitList, Record, State, NO_NUMBER};
use super::root::{self, Root};
use super::shared;
use super::value::{self, Block, ValueVTable, Values};
use crate::sys::{System, Threads};
use crate::AccessError;
use core::mem;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Hook installation has begun. No thread waits for its end: installation takes the loader's lock, and a library's constructor that runs
/// under that lock may be what would wait here (deadlock).
static HOOKED: AtomicBool = AtomicBool::new(false);

/// This thread's record; makes it on the thread's first use.
#[inline]
pub(crate) fn current_or_new() -> Result<Current, AccessError> {
    let root = root::get_or_create(on_key_destructor)?;
    match root.load() {
        None => new_record(root, ExitList::NotRegistered),
        Some(entries) => match record::record_at(entries) {
            // SAFETY: it stands in this thread's slot.
            Some(record) => Ok(unsafe { Current::new(record) }),
            None if entries == record::under_construction() => Err(AccessError::Recursive),
            None => new_record(root, ExitList::TooLate),
        },
    }
}

#[cold]
fn new_record(root: Root, exit_list: ExitList) -> Result<Current, AccessError> {
    if !HOOKED.load(Relaxed) {
        install_hooks(root)?;
    }
    // A statement of its own: the lock is released before anything else is done.
    let pooled = shared::pool().pop();
    let (record, mark) = match pooled {
        Some(record) => (record, None),
        None => {
            let mark = Mark::put(root)?;
            (allocate_record()?, Some(mark))
        }
    };
    // SAFETY: the record is this thread's from now on.
    if !unsafe { root.store(Some(record.cast())) } {
        // SAFETY: the record is in no root slot, and was not used by this thread.
        unsafe { exit::end(record) };
        return Err(AccessError::OutOfMemory);
    }
    mem::forget(mark);
    if !root.reads_right() {
        wrong_direct_read();
    }
    // SAFETY: it stands in this thread's slot now.
    let current = unsafe { Current::new(record) };
    current.exit_list.set(exit_list);
    Ok(current)
}

#[cold]
fn install_hooks(root: Root) -> Result<(), AccessError> {
    let _mark = Mark::put(root)?;
    if !HOOKED.swap(true, Relaxed) {
        shared::install_fork_handlers(|| System::install_hooks(&HOOKS));
    }
    Ok(())
}

/// The sentinel in the root slot: an allocator that uses an object meanwhile gets `Recursive` instead of calling itself without end.
struct Mark(Root);

impl Mark {
    fn put(root: Root) -> Result<Mark, AccessError> {
        // SAFETY: a sentinel.
        if unsafe { root.store(Some(record::under_construction())) } {
            Ok(Mark(root))
        } else {
            Err(AccessError::OutOfMemory)
        }
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        // SAFETY: null; this thread has no record.
        let stored = unsafe { self.0.store(None) };
        debug_assert!(stored, "a slot that has a value can be set");
    }
}

fn allocate_record() -> Result<NonNull<Record>, AccessError> {
    let record = Record::allocate().ok_or(AccessError::OutOfMemory)?;
    let stripe = shared::pool().choose_stripe();
    // SAFETY: the record is new, and lives until it leaves the stripe.
    unsafe {
        Record::set_stripe(record, stripe);
        shared::stripe(stripe).join(record);
    }
    Ok(record)
}

#[cold]
fn wrong_direct_read() -> ! {
    exit::or_abort(
        "os-thread-local: a direct read of the root slot did not give the value that was just set; aborting. Build without the \
         feature `direct-read`, and report the system",
        || panic!("direct read"),
    );
    unreachable!()
}

/// The number of an object and its entry: makes both if need be. The entry stays where it is until the table grows.
#[inline]
pub(crate) fn entry_or_assign<'a>(
    current: &'a Current,
    word: &SlotWord,
) -> Result<(u32, &'a Entry), AccessError> {
    let number = word.number().or_else(|| assign_cached(*current, word));
    if let Some(number) = number {
        if let Some(entry) = current.entry(number) {
            return Ok((number, entry));
        }
    }
    assign_first(current, word)
}

/// Gives the object a number that the thread has at hand. `None` if it has none, or if another thread was first.
#[inline]
fn assign_cached(current: Current, word: &SlotWord) -> Option<u32> {
    let number = current.numbers.lowest()?;
    // SAFETY: a number that was handed out to this thread.
    unsafe { numbers::mask(number) }.set_only(current.token());
    word.assign(number, root::get()?.locator()).ok()?;
    current.numbers.pop();
    Some(number)
}

/// Does everything that a first use needs except creating the value.
pub(crate) fn prepare(word: &SlotWord) -> Result<(), AccessError> {
    let current = current_or_new()?;
    entry_or_assign(&current, word).map(drop)
}

/// A global allocator that uses an object which needs the same comes here again, and gets `Recursive`.
#[cold]
fn assign_first<'a>(
    current: &'a Current,
    word: &SlotWord,
) -> Result<(u32, &'a Entry), AccessError> {
    if current.growing.replace(true) {
        return Err(AccessError::Recursive);
    }
    let _done = Unset(&current.growing);
    let number = assign(*current, word)?;
    if let Some(table) = current.larger_table(number)? {
        // A statement of its own: the old table is freed after the lock is released.
        let old = shared::stripe(current.stripe()).own(current).replace_table(table);
        drop(old);
    }
    current.entry(number).map(|entry| (number, entry)).ok_or(AccessError::OutOfMemory)
}

/// The object's slot number; it gets one if it has none.
fn assign(current: Current, word: &SlotWord) -> Result<u32, AccessError> {
    if let Some(number) = word.number() {
        return Ok(number);
    }
    let cache = &current.numbers;
    loop {
        if let Some(number) = assign_cached(current, word).or_else(|| word.number()) {
            return Ok(number);
        }
        let mut numbers = shared::numbers();
        // What is left is too high.
        cache.keep_few(true, |number| numbers.give_back(number));
        if numbers.take(cache.next_request(), cache) {
            continue;
        }
        let next = numbers.next_bucket();
        drop(numbers);
        let bucket = Bucket::allocate(next).ok_or(AccessError::OutOfMemory)?;
        // A statement of its own: what is not used is freed after the lock is released.
        let unused = shared::numbers().install(bucket);
        drop(unused);
    }
}

/// A block, or why there is none, in one register: every inlined `with` has a smaller frame for it.
pub(crate) struct Made(*mut Block);

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
    fn new(result: Result<NonNull<Block>, AccessError>) -> Made {
        Made(match result {
            Ok(block) => block.as_ptr(),
            Err(error) => ptr::null_mut::<u8>().wrapping_add(error as usize).cast(),
        })
    }

    #[inline(always)]
    pub(crate) fn get(self) -> Result<NonNull<Block>, AccessError> {
        match ERRORS.get(self.0 as usize) {
            Some(&error) => Err(error),
            // SAFETY: not an error, so it was a block.
            None => Ok(unsafe { NonNull::new_unchecked(self.0) }),
        }
    }
}

/// The cold path of an access: everything that does not depend on the value's type. `write` puts a value into the block,
/// or says that there is none; then the error means nothing. `values` is the object's list, if the object owns its values.
///
/// # Safety
/// The word and the list are one object's, whose values are all of this type. `found` is what the fast path found in the root slot.
pub(crate) unsafe fn get_or_init(
    word: &SlotWord,
    vtable: &'static ValueVTable,
    values: Option<&Values>,
    found: Option<NonNull<Entries>>,
    write: &mut dyn FnMut(NonNull<Block>) -> bool,
) -> Made {
    Made::new(try_get_or_init(word, vtable, values, found, write))
}

#[inline]
fn try_get_or_init(
    word: &SlotWord,
    vtable: &'static ValueVTable,
    values: Option<&Values>,
    found: Option<NonNull<Entries>>,
    write: &mut dyn FnMut(NonNull<Block>) -> bool,
) -> Result<NonNull<Block>, AccessError> {
    let current = match found.and_then(record::record_at) {
        // SAFETY: the fast path found it in this thread's slot.
        Some(record) => unsafe { Current::new(record) },
        None => current_or_new()?,
    };
    let vacant = |number| current.entry(number).map_or(true, Entry::is_vacant);
    if current.has_orphans() && word.number().map_or(true, vacant) {
        reclaim_orphans(current);
    }
    let (number, entry) = entry_or_assign(&current, word)?;
    // Only now, because both may run user code: destructors, the global allocator.
    if !entry.is_vacant() {
        return found_settled(&current, number, entry.state());
    }
    if let Some(block) = current.find_claimed(number) {
        // A value of an object that is gone: the number is another object's now.
        // SAFETY: a block in the thread's list is alive.
        unsafe { block.as_ref().number.set(NO_NUMBER) };
    }
    // SAFETY: the object has the number.
    unsafe { numbers::mask(number) }.add(current.token());
    // Before the tag: a fiber may be deleted inside the initializer, and its record must not be pooled with the tag.
    current.begin_entry(vtable.owner);
    entry.set(State::Initializing);
    // The allocator may be a user of this crate: then the table may grow, and the entry is somewhere else.
    let block = match value::allocate(vtable, number, &current.arena) {
        Some(block) => block,
        None => {
            current.set(number, State::Vacant);
            current.end_initializing(vtable.owner);
            return Err(AccessError::OutOfMemory);
        }
    };
    let guard = InitGuard { block, current: &current };
    if !write(block) {
        return Err(AccessError::OutOfMemory);
    }
    mem::forget(guard);
    // SAFETY: the block has its value, and is in no list yet.
    unsafe { publish(current, block, vtable, values) };
    current.set(number, State::Value(block));
    current.end_initializing(vtable.owner);
    Ok(block)
}

/// What an access gets from an entry that is not vacant.
#[cold]
fn found_settled(
    current: &Current,
    number: u32,
    state: State,
) -> Result<NonNull<Block>, AccessError> {
    match state {
        State::Value(block) => Ok(block),
        State::Destroyed => current.find_claimed(number).ok_or(AccessError::Destroyed),
        State::Vacant | State::Initializing => Err(AccessError::Recursive),
    }
}

/// A block whose value is being made. Its entry says INITIALIZING; dropped unfinished (the initializer panicked or failed), it
/// empties the entry and leaves nothing behind.
struct InitGuard<'a> {
    block: NonNull<Block>,
    current: &'a Current,
}

impl Drop for InitGuard<'_> {
    fn drop(&mut self) {
        // SAFETY: the block is alive; it is in no list, its entry leads to nothing, and it has no value.
        unsafe {
            self.current.set(self.block.as_ref().number.get(), State::Vacant);
            self.current.end_initializing(self.block.as_ref().vtable.owner);
            value::free(self.block, Some(&self.current.arena));
        }
    }
}

/// Puts a new value into the lists that see to its end.
///
/// # Safety
/// The block has its value, is in no list, and is about to be in its entry.
unsafe fn publish(
    current: Current,
    block: NonNull<Block>,
    vtable: &'static ValueVTable,
    values: Option<&Values>,
) {
    if let Some(values) = values {
        current.has_blocks_elsewhere.set(true);
        current.object_owned.set(current.object_owned.get().wrapping_add(1));
        // SAFETY: an object-owned block, which is in no list.
        unsafe { values.push(block) };
        return;
    }
    // SAFETY: the block is alive.
    if unsafe { !block.as_ref().in_arena } {
        current.has_blocks_elsewhere.set(true);
    }
    if vtable.needs_drop() {
        if current.exit_list.get() == ExitList::NotRegistered {
            current.exit_list.set(ExitList::Registered);
            System::at_thread_exit(&HOOKS);
        }
        // SAFETY: a block with a destructor, in no list, which leaves the list before it is freed.
        unsafe { current.link_newest(block) };
    }
}

#[cfg(all(test, feature = "std"))]
mod direct_read_tests;
