//! The first use of an object by a thread: assigns a slot number, and makes the value.

use super::arrival::{adopt_at_once, current_or_new};
use super::current::{current, reclaim_orphans, Unset};
use super::entries::{Entries, Entry, Kind, State};
use super::exit::HOOKS;
use super::numbers::{self, Bucket};
use super::packed::SlotWord;
use super::record::{Current, Destructors, NO_NUMBER};
use super::root;
use super::shared;
use super::value::{self, Block, Owner, ValueVTable, Values};
use crate::sys::{System, Threads};
use crate::AccessError;
use core::mem;
use core::ptr::{self, NonNull};

/// The slot number of an object and the thread's entry for it; assigns the number and grows the table if necessary. The entry moves
/// when the table grows.
#[inline]
fn entry_or_assign<'a>(
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

/// Assigns a cached slot number to an object. `None` if there is none, or if another thread was first.
#[inline]
fn assign_cached(current: Current, word: &SlotWord) -> Option<u32> {
    let number = current.numbers.lowest()?;
    // SAFETY: the number was handed out to this thread's cache.
    unsafe { numbers::mask(number) }.set_only(current.token());
    word.assign(number, root::get()?.locator()).ok()?;
    current.numbers.pop();
    Some(number)
}

/// Does everything that a first use needs except creating the value.
#[cold]
pub(crate) fn prepare(word: &SlotWord, vtable: &'static ValueVTable) -> Result<(), AccessError> {
    let current = current_or_arrive(vtable)?;
    let (number, entry) = entry_or_assign(&current, word)?;
    match entry.state() {
        State::Vacant if current.is_late() && vtable.is_destroyed_at_exit() => {
            Err(AccessError::Destroyed)
        }
        State::Vacant => {
            if vtable.is_destroyed_at_exit() && current.destructors.get() == Destructors::None {
                register_exit(current);
            }
            Ok(())
        }
        state => found_settled(current, number, state).map(drop),
    }
}

/// The calling thread's record, or a new one for a first value with this vtable.
#[inline]
fn current_or_arrive(vtable: &'static ValueVTable) -> Result<Current, AccessError> {
    match current() {
        Some(current) => Ok(current),
        None => arrive(vtable),
    }
}

#[cold]
#[inline(never)]
fn arrive(vtable: &'static ValueVTable) -> Result<Current, AccessError> {
    if vtable.is_destroyed_at_exit() && has_ended() {
        return Err(AccessError::Destroyed);
    }
    current_or_new()
}

/// Whether the calling thread's record has ended, and no late one was made.
fn has_ended() -> bool {
    // SAFETY: the slot leads to a sentinel or to this thread's record, which is alive (invariant 9).
    root::get().map_or(false, |root| unsafe { root.load().as_ref() }.kind().is_ended())
}

/// The cold path of `entry_or_assign`. It allocates: a global allocator whose own use of an object leads here again gets `Recursive`.
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
    if let Some(table) = current.entries().larger_table(number)? {
        // A statement of its own, so that the lock is released before the old table is freed (invariant 5).
        let old = shared::stripe(current.stripe()).own(*current).replace_table(table);
        drop(old);
        if current.entries().has_long_table() {
            current.has_memory.set(true);
        }
    }
    current.entry(number).map(|entry| (number, entry)).ok_or(AccessError::OutOfMemory)
}

/// The slot number of an object, assigned if it has none.
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
        // The cached numbers that are left are above the limit.
        cache.keep_few(true, |number| numbers.give_back(number));
        // A late record may be leaked, so it keeps no numbers.
        let wanted = if current.is_late() { 1 } else { cache.next_request() };
        if numbers.take(wanted, cache) {
            continue;
        }
        let next = numbers.next_bucket();
        drop(numbers);
        let bucket = Bucket::allocate(next).ok_or(AccessError::OutOfMemory)?;
        // A statement of its own, so that the lock is released before an unused bucket is freed (invariant 5).
        let unused = shared::numbers().install(bucket);
        drop(unused);
    }
}

/// A `Result<NonNull<Block>, AccessError>` in one register: the errors are small addresses that no block has.
///
/// A `Result` is returned through memory, which gives every function with an inlined `with` a larger frame.
pub(crate) struct Made(*mut Block);

/// The errors in the order of their discriminants.
const ERRORS: [AccessError; 4] = [
    AccessError::Destroyed,
    AccessError::Recursive,
    AccessError::OutOfKeys,
    AccessError::OutOfMemory,
];
const _: () = assert!(ERRORS[0] as u8 == 0 && ERRORS[1] as u8 == 1);
const _: () = assert!(ERRORS[2] as u8 == 2 && ERRORS[3] as u8 == 3);

impl Made {
    pub(crate) fn new(result: Result<NonNull<Block>, AccessError>) -> Made {
        Made(match result {
            Ok(block) => block.as_ptr(),
            Err(error) => ptr::null_mut::<u8>().wrapping_add(error as usize).cast(),
        })
    }

    #[inline(always)]
    pub(crate) fn get(self) -> Result<NonNull<Block>, AccessError> {
        match ERRORS.get(self.0 as usize) {
            Some(&error) => Err(error),
            // SAFETY: not the address of an error, so `new` got a block, which is not null.
            None => Ok(unsafe { NonNull::new_unchecked(self.0) }),
        }
    }
}

/// What `begin` returns, in two registers: a value to make, or what the access returns without making one.
pub(crate) struct Begun {
    made: Made,
    /// Set if there is a value to make.
    current: Option<Current>,
}

impl Begun {
    fn ended(result: Result<NonNull<Block>, AccessError>) -> Begun {
        Begun { made: Made::new(result), current: None }
    }

    #[inline(always)]
    pub(crate) fn get(self) -> Result<Initializing, Made> {
        match self.current {
            // SAFETY: `start` and `start_slow` set `current` together with a block.
            Some(current) => unsafe {
                Ok(Initializing { block: NonNull::new_unchecked(self.made.0), current })
            },
            None => Err(self.made),
        }
    }
}

/// The part of a first use before the initializer, as far as it does not depend on the value's type.
///
/// Fast path: spills no register and tail-calls `start`.
///
/// # Safety
/// The word is that of an object all of whose values have this vtable. `found` is from the fast path: the content of the calling
/// thread's root slot, or a sentinel.
pub(crate) unsafe fn begin(
    word: &SlotWord,
    vtable: &'static ValueVTable,
    found: Option<NonNull<Entries>>,
) -> Begun {
    /// Keeps taken branches out of the fast path.
    #[cold]
    #[inline(always)]
    fn cold_path() {}

    if let Some(entries) = found {
        // SAFETY: the entries are a sentinel's, or the record's to which this thread's root slot leads (invariant 9).
        let is_fast = unsafe { entries.as_ref().is_fast_record() };
        if let (Some(number), true) = (word.packed_number(), is_fast) {
            // SAFETY: the record stands in this thread's root slot (this function's contract).
            let current = unsafe { Current::new(entries.cast()) };
            match current.entry(number) {
                Some(entry) if entry.is_vacant() && current.is_inbox_empty() => {
                    // SAFETY: the number is the object's, and the entry is this thread's for it.
                    return unsafe { start(current, number, entry, vtable) };
                }
                _ => {}
            }
        }
    }
    cold_path();
    // SAFETY: the entries are a sentinel's, or the record's to which this thread's root slot leads (invariant 9).
    match found.map(|entries| unsafe { entries.as_ref() }.kind()) {
        // SAFETY: the conditions are those of this function: for the word, the vtable and the slot, which leads to no record.
        None | Some(Kind::NoRecord) => unsafe { begin_in_new_thread(word, vtable) },
        // SAFETY: the conditions are those of this function.
        Some(_) => unsafe { begin_slow(word, vtable) },
    }
}

/// `begin` for a thread whose root slot leads to no record. Re-enters the fast path after adopting a record: it reads few cache lines.
///
/// # Safety
/// The conditions of `begin` hold.
#[inline(never)]
unsafe fn begin_in_new_thread(word: &SlotWord, vtable: &'static ValueVTable) -> Begun {
    match adopt_at_once() {
        // SAFETY: the conditions are those of this function. The record stands in the root slot.
        Ok(Some(current)) => unsafe { begin(word, vtable, Some(NonNull::from(current.entries()))) },
        // SAFETY: the conditions are those of this function.
        Ok(None) => unsafe { begin_slow(word, vtable) },
        Err(error) => Begun::ended(Err(error)),
    }
}

/// `begin` for all cases: reads the root slot again.
///
/// # Safety
/// The conditions of `begin` hold for the word and the vtable.
#[cold]
#[inline(never)]
unsafe fn begin_slow(word: &SlotWord, vtable: &'static ValueVTable) -> Begun {
    match current_or_arrive(vtable) {
        // SAFETY: the conditions are those of this function.
        Ok(current) => unsafe { begin_with_record(current, word, vtable) },
        Err(error) => Begun::ended(Err(error)),
    }
}

/// `begin` for a thread with a record: destroys orphans, assigns the number, grows the table.
///
/// # Safety
/// The conditions of `begin` hold.
#[inline(never)]
unsafe fn begin_with_record(
    current: Current,
    word: &SlotWord,
    vtable: &'static ValueVTable,
) -> Begun {
    if !current.entries().is_fast_record() || !current.is_inbox_empty() {
        reclaim_first(current, word);
    }
    let (number, entry) = match entry_or_assign(&current, word) {
        Ok(found) => found,
        Err(error) => return Begun::ended(Err(error)),
    };
    // Not earlier: destructors and the global allocator have run in the meantime, and may have used the object.
    if !entry.is_vacant() {
        return Begun::ended(found_settled(current, number, entry.state()));
    }
    if current.is_late() && vtable.is_destroyed_at_exit() {
        return Begun::ended(Err(AccessError::Destroyed));
    }
    if let Some(block) = current.find_claimed(number) {
        // The value belongs to a dropped object that had the same slot number.
        // SAFETY: blocks in the thread's list are alive (invariant 8).
        unsafe { block.as_ref().set_number(NO_NUMBER) };
    }
    // SAFETY: the number is the object's, and the entry is this thread's for it.
    unsafe { start(current, number, entry, vtable) }
}

/// Destroys the thread's orphans, unless the object has a value.
#[cold]
#[inline(never)]
fn reclaim_first(current: Current, word: &SlotWord) {
    let vacant = |number| current.entry(number).map_or(true, Entry::is_vacant);
    if current.has_orphans() && word.number().map_or(true, vacant) {
        reclaim_orphans(current);
    }
    current.end_slow();
}

/// Makes a vacant entry INITIALIZING, and allocates the block.
///
/// # Safety
/// The number was handed out, and `entry` is the entry of `current` for it. The block will have a value of the vtable's type.
#[inline(never)] // both callers end with it
unsafe fn start(
    current: Current,
    number: u32,
    entry: &Entry,
    vtable: &'static ValueVTable,
) -> Begun {
    // SAFETY: the number was handed out (this function's contract).
    if !unsafe { numbers::mask(number) }.has(current.token()) {
        // SAFETY: the conditions are those of this function.
        return unsafe { start_shared(current, number, entry, vtable) };
    }
    match value::allocate_now(vtable, number, &current.arena) {
        Some(block) => {
            current.begin_entry(Owner::Thread, number); // values in the arena are their threads'
            entry.set(State::Initializing);
            Begun { made: Made(block.as_ptr()), current: Some(current) }
        }
        None => start_slow(current, number, vtable),
    }
}

/// `start`, if the mask lacks the record: only once for each stripe and number, until another object gets the number.
///
/// # Safety
/// The conditions of `start` hold.
#[cold]
#[inline(never)]
unsafe fn start_shared(
    current: Current,
    number: u32,
    entry: &Entry,
    vtable: &'static ValueVTable,
) -> Begun {
    // SAFETY: the conditions are those of this function: the number was handed out, and the rest.
    unsafe {
        numbers::mask(number).add(current.token());
        start(current, number, entry, vtable)
    }
}

/// `start` from the allocation on, if the arena has no memory for the block at once. The global allocator may use the crate, and the
/// table may grow.
#[cold]
#[inline(never)]
fn start_slow(current: Current, number: u32, vtable: &'static ValueVTable) -> Begun {
    current.begin_entry(vtable.owner, number);
    current.set(number, State::Initializing);
    match value::allocate(vtable, number, &current.arena) {
        Some(block) => {
            // SAFETY: the block is new.
            if unsafe { !block.as_ref().in_arena } {
                current.has_blocks_elsewhere.set(true);
            }
            if current.arena.has_surplus() {
                current.has_memory.set(true);
            }
            Begun { made: Made(block.as_ptr()), current: Some(current) }
        }
        None => {
            current.set(number, State::Vacant);
            current.end_initializing(vtable.owner);
            Begun::ended(Err(AccessError::OutOfMemory))
        }
    }
}

/// The result of an access whose entry is not vacant.
#[cold]
fn found_settled(
    current: Current,
    number: u32,
    state: State,
) -> Result<NonNull<Block>, AccessError> {
    match state {
        State::Value(block) => Ok(block),
        State::Destroyed => current.find_claimed(number).ok_or(AccessError::Destroyed),
        State::Vacant | State::Initializing => Err(AccessError::Recursive),
    }
}

/// A block whose value is being made; its entry is INITIALIZING. It is dropped if the initializer panics or fails: then it makes the
/// entry vacant and frees the block.
pub(crate) struct Initializing {
    block: NonNull<Block>,
    current: Current,
}

impl Initializing {
    /// Writes the value, adds it to the list through which it will be destroyed, and stores it in the entry.
    ///
    /// # Safety
    /// The vtable is the block's, and is for `T`. `values` is the object's list, if it owns its values.
    #[inline(always)]
    pub(crate) unsafe fn finish<T>(
        self,
        value: T,
        vtable: &'static ValueVTable,
        values: Option<&Values>,
    ) -> NonNull<Block> {
        let (current, block) = (self.current, self.block);
        mem::forget(self);
        // SAFETY: `start` has allocated the block for a `T` (this function's contract), which it does not have yet.
        unsafe { value::value::<T>(block).write(value) };
        // SAFETY: the block is new, has its value, and is what the vtable says (this function's contract).
        unsafe {
            match values {
                Some(values) => store_object_owned(current, block, values),
                None if vtable.needs_drop() => store_with_destructor(current, block),
                None => store(current, block),
            }
        }
        block
    }
}

impl Drop for Initializing {
    #[inline(always)] // and `abandon` by value: otherwise `self` is written to the stack in every first use
    fn drop(&mut self) {
        // SAFETY: the entry is INITIALIZING, and the block has no value.
        unsafe { abandon(self.current, self.block) }
    }
}

/// # Safety
/// The block has no value, and its entry is INITIALIZING.
#[cold]
#[inline(never)]
unsafe fn abandon(current: Current, block: NonNull<Block>) {
    // SAFETY: the block is alive, in no entry and in no list, and has no value (this function's contract). It is from this record's
    // arena, if from an arena.
    unsafe {
        current.set(block.as_ref().number(), State::Vacant);
        current.end_initializing(block.as_ref().vtable.owner);
        value::free(block, Some(&current.arena));
    }
}

/// Stores a new value in its entry.
///
/// # Safety
/// The block has its value and is in no list. It is thread-owned and has no destructor, or is in the thread's list.
unsafe fn store(current: Current, block: NonNull<Block>) {
    // SAFETY: the block has a value, so it is alive (this function's contract).
    let number = unsafe { block.as_ref().number() };
    current.set(number, State::Value(block));
}

/// `store` for a thread-owned value with a destructor.
///
/// # Safety
/// The block is new and has its value, which is thread-owned and has a destructor.
unsafe fn store_with_destructor(current: Current, block: NonNull<Block>) {
    // SAFETY: the block is new and has a destructor (this function's contract); it is unlinked before it is freed.
    unsafe {
        current.link_newest(block);
        store(current, block);
    }
    if current.destructors.get() == Destructors::None {
        register_exit(current);
    }
}

#[cold]
#[inline(never)]
fn register_exit(current: Current) {
    current.destructors.set(Destructors::Registered);
    System::at_thread_exit(&HOOKS);
}

/// `store` for an object-owned value.
///
/// # Safety
/// The block has its value, which is object-owned, and is in no list; `values` is the list of the object.
unsafe fn store_object_owned(current: Current, block: NonNull<Block>, values: &Values) {
    current.count_object_owned();
    // SAFETY: the block is object-owned, has its value, and is in no list (this function's contract).
    unsafe {
        values.push(block);
        store(current, block);
    }
    current.end_initializing(Owner::Object);
}
