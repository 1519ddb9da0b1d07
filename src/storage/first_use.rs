//! The first use of an object by a thread: makes the thread's record, assigns a slot number, and makes the value.

use super::current::{reclaim_orphans, Current, Unset};
use super::exit::{self, on_key_destructor, HOOKS};
use super::numbers::{self, Bucket};
use super::packed::SlotWord;
use super::record::{self, Entries, Entry, ExitList, Record, State, NO_NUMBER};
use super::root::{self, Root};
use super::shared;
use super::value::{self, Block, Owner, ValueVTable, Values};
use crate::sys::{System, Threads};
use crate::AccessError;
use core::mem;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Set when hook installation starts. No thread waits for its end: installation takes the loader's lock, and a library constructor
/// that runs under that lock may be the one that would wait (deadlock).
static HOOKED: AtomicBool = AtomicBool::new(false);

/// The calling thread's record; if it has none, one of the pool if that is to be asked, or a new one.
fn current_or_new(ask_pool: bool) -> Result<Current, AccessError> {
    let root = root::get_or_create(on_key_destructor)?;
    let content = root.load();
    match content.and_then(record::record_at) {
        // SAFETY: the record stands in this thread's root slot.
        Some(record) => Ok(unsafe { Current::new(record) }),
        None => new_record(root, content, ask_pool),
    }
}

/// `current_or_new` for a thread whose root slot has `content`: null or a sentinel.
fn new_record(
    root: Root,
    content: Option<NonNull<Entries>>,
    ask_pool: bool,
) -> Result<Current, AccessError> {
    let exit_list = match content {
        None => ExitList::NotRegistered,
        content if content == Some(record::under_construction()) => {
            return Err(AccessError::Recursive)
        }
        Some(_) => ExitList::TooLate,
    };
    if !HOOKED.load(Relaxed) {
        install_hooks(root)?;
    }
    let adopted = if ask_pool { adopt_record(root)? } else { None };
    let current = match adopted {
        Some(current) => current,
        None => allocate_record(root)?,
    };
    current.exit_list.set(exit_list);
    Ok(current)
}

/// Gives the calling thread a record of the pool, if there is one.
#[inline(always)]
fn adopt_record(root: Root) -> Result<Option<Current>, AccessError> {
    // A statement of its own, so that the lock is released before the slot is set (invariant 5).
    let pooled = shared::pool().pop();
    pooled.map(|record| store_record(root, record)).transpose()
}

/// `new_record` if the pool has none.
#[cold]
#[inline(never)]
fn allocate_record(root: Root) -> Result<Current, AccessError> {
    let sentinel = SentinelGuard::put(root)?;
    let record = Record::allocate().ok_or(AccessError::OutOfMemory)?;
    let stripe = shared::pool().choose_stripe();
    // SAFETY: the record is new: it has no other users and is in no stripe. `exit` frees it after it has left the stripe.
    unsafe {
        Record::set_stripe(record, stripe);
        shared::stripe(stripe).join(record);
    }
    let current = store_record(root, record)?;
    mem::forget(sentinel);
    Ok(current)
}

/// Stores the calling thread's new record in its root slot.
#[inline]
fn store_record(root: Root, record: NonNull<Record>) -> Result<Current, AccessError> {
    // SAFETY: the record is new or was pooled: it is this thread's from now on.
    if !unsafe { root.store(Some(record.cast())) } {
        return Err(end_unused(record));
    }
    if !root.reads_right() {
        wrong_direct_read();
    }
    // SAFETY: the record stands in this thread's root slot.
    Ok(unsafe { Current::new(record) })
}

#[cold]
#[inline(never)]
fn end_unused(record: NonNull<Record>) -> AccessError {
    // SAFETY: the record is in no root slot, and has no values with a destructor: this thread has not used it.
    unsafe { exit::end(record) };
    AccessError::OutOfMemory
}

#[cold]
#[inline(never)]
fn install_hooks(root: Root) -> Result<(), AccessError> {
    let _sentinel = SentinelGuard::put(root)?;
    if !HOOKED.swap(true, Relaxed) {
        shared::install_fork_handlers(|| System::install_hooks(&HOOKS));
    }
    Ok(())
}

/// Puts a sentinel into the root slot, and null when it is dropped. Meanwhile an allocator that uses an object gets `Recursive`; it
/// would recurse without end.
struct SentinelGuard(Root);

impl SentinelGuard {
    fn put(root: Root) -> Result<SentinelGuard, AccessError> {
        // SAFETY: the value is a sentinel.
        if unsafe { root.store(Some(record::under_construction())) } {
            Ok(SentinelGuard(root))
        } else {
            Err(AccessError::OutOfMemory)
        }
    }
}

impl Drop for SentinelGuard {
    fn drop(&mut self) {
        // SAFETY: the value is null; this thread has no record.
        let stored = unsafe { self.0.store(None) };
        debug_assert!(stored, "a slot that has a value can be set");
    }
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
pub(crate) fn prepare(word: &SlotWord) -> Result<(), AccessError> {
    let current = current_or_new(true)?;
    entry_or_assign(&current, word).map(drop)
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
    if let Some(table) = current.larger_table(number)? {
        // A statement of its own, so that the lock is released before the old table is freed (invariant 5).
        let old = shared::stripe(current.stripe()).own(current).replace_table(table);
        drop(old);
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
        if numbers.take(cache.next_request(), cache) {
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
/// The usual case saves no register and calls no function but `start`, with which it ends: a first use took 259 instructions when one
/// function had all cases and called the initializer as a trait object, and takes 163 now.
///
/// # Safety
/// The word is that of an object all of whose values have this vtable. `found` is from the fast path: the content of the calling
/// thread's root slot, or a sentinel.
pub(crate) unsafe fn begin(
    word: &SlotWord,
    vtable: &'static ValueVTable,
    found: Option<NonNull<Entries>>,
) -> Begun {
    /// Without it, the usual case took more jumps, and a thread's first uses of 1,000 objects 1.03 times as long.
    #[cold]
    #[inline(always)]
    fn cold_path() {}

    if let Some(entries) = found {
        // SAFETY: the entries are a sentinel's, or the record's to which this thread's root slot leads (invariant 9).
        if let (Some(number), false) = (word.packed_number(), unsafe { entries.as_ref().is_slow() })
        {
            // SAFETY: the record stands in this thread's root slot (this function's contract). It is no sentinel: they are all slow.
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
    match found {
        // SAFETY: the conditions are those of this function. The root slot is null.
        None => unsafe { begin_in_new_thread(word, vtable) },
        // SAFETY: the conditions are those of this function.
        Some(_) => unsafe { begin_unusual(word, vtable) },
    }
}

/// `begin` for a thread whose root slot is null. It ends in the usual case, so that a new thread's first use reads little code: with a
/// path through every case it took 275 instructions on 30 cache lines instead of 201 on 21.
///
/// # Safety
/// The conditions of `begin` hold. The calling thread's root slot is null.
#[inline(never)]
unsafe fn begin_in_new_thread(word: &SlotWord, vtable: &'static ValueVTable) -> Begun {
    // `HOOKED` is set if a record is pooled: a thread has used it before.
    match root::get().map_or(Ok(None), adopt_record) {
        // SAFETY: the conditions are those of this function. The record stands in the root slot.
        Ok(Some(current)) => unsafe { begin(word, vtable, Some(current.entries())) },
        // SAFETY: the conditions are those of this function.
        Ok(None) => unsafe { begin_with_new_record(word, vtable, false) },
        Err(error) => Begun::ended(Err(error)),
    }
}

/// `begin` for all cases but a null root slot: the slot is read again.
///
/// # Safety
/// The conditions of `begin` hold.
#[inline(never)]
unsafe fn begin_unusual(word: &SlotWord, vtable: &'static ValueVTable) -> Begun {
    let entries = match root::get().and_then(|root| root.load()) {
        Some(entries) => entries,
        // SAFETY: the conditions are those of this function. The root slot is null, or there is none yet.
        None => return unsafe { begin_in_new_thread(word, vtable) },
    };
    match record::record_at(entries) {
        // SAFETY: the record stands in the root slot, and the other conditions are those of this function.
        Some(record) => unsafe { begin_with_record(Current::new(record), word, vtable) },
        // SAFETY: the conditions are those of this function.
        None => unsafe { begin_with_new_record(word, vtable, true) },
    }
}

/// `begin` for a thread without a record. `ask_pool` unless the pool had none a moment ago: then it is not locked again.
///
/// # Safety
/// The conditions of `begin` hold.
#[cold]
#[inline(never)]
unsafe fn begin_with_new_record(
    word: &SlotWord,
    vtable: &'static ValueVTable,
    ask_pool: bool,
) -> Begun {
    match current_or_new(ask_pool) {
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
    if current.entries.is_slow() || !current.is_inbox_empty() {
        reclaim_first(current, word);
    }
    let (number, entry) = match entry_or_assign(&current, word) {
        Ok(found) => found,
        Err(error) => return Begun::ended(Err(error)),
    };
    // Not earlier: destructors and the global allocator have run in the meantime, and may have used the object.
    if !entry.is_vacant() {
        return Begun::ended(found_settled(&current, number, entry.state()));
    }
    if let Some(block) = current.find_claimed(number) {
        // The value belongs to a dropped object that had the same slot number.
        // SAFETY: blocks in the thread's list are alive (invariant 8).
        unsafe { block.as_ref().number.set(NO_NUMBER) };
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
    unsafe { numbers::mask(number) }.add(current.token(), current.several());
    match value::allocate_now(vtable, number, &current.arena) {
        Some(block) => {
            current.begin_entry(Owner::Thread); // values in the arena are their threads'
            entry.set(State::Initializing);
            Begun { made: Made(block.as_ptr()), current: Some(current) }
        }
        None => start_slow(current, number, vtable),
    }
}

/// `start` from the allocation on, if the arena has no memory for the block at once. The global allocator may use the crate, and the
/// table may grow.
#[cold]
#[inline(never)]
fn start_slow(current: Current, number: u32, vtable: &'static ValueVTable) -> Begun {
    current.begin_entry(vtable.owner);
    current.set(number, State::Initializing);
    match value::allocate(vtable, number, &current.arena) {
        Some(block) => {
            // SAFETY: the block is new.
            if unsafe { !block.as_ref().in_arena } {
                current.has_blocks_elsewhere.set(true);
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
        current.set(block.as_ref().number.get(), State::Vacant);
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
    let number = unsafe { block.as_ref().number.get() };
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
    if current.exit_list.get() == ExitList::NotRegistered {
        register_exit(current);
    }
}

#[cold]
#[inline(never)]
fn register_exit(current: Current) {
    current.exit_list.set(ExitList::Registered);
    System::at_thread_exit(&HOOKS);
}

/// `store` for an object-owned value.
///
/// # Safety
/// The block has its value, which is object-owned, and is in no list; `values` is the list of the object.
unsafe fn store_object_owned(current: Current, block: NonNull<Block>, values: &Values) {
    current.object_owned.set(current.object_owned.get().wrapping_add(1));
    // SAFETY: the block is object-owned, has its value, and is in no list (this function's contract).
    unsafe {
        values.push(block);
        store(current, block);
    }
    current.end_initializing(Owner::Object);
}

#[cfg(all(test, feature = "std"))]
mod direct_read_tests;
