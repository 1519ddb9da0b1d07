//! What a thread does: its first use of an object, its end, and the end of an object.

use super::numbers::{self, Bucket, Whereabouts};
use super::packed::SlotWord;
use super::record::{self, Entries, Entry, ExitList, Record, State, NO_NUMBER};
use super::root::{self, Root};
use super::shared;
use super::value::{
    self, Block, BlockState, Chain, Memory, OwnedBlock, Owner, ValueVTable, Values,
};
use super::SMALL;
use crate::sys::{Hooks, Keys, System, Threads};
use crate::AccessError;
use core::cell::Cell;
use core::ffi::c_void;
use core::mem;
use core::ops::Deref;
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The calling thread's record. Not `Send`, and not kept: the record lives until its thread has exited.
#[derive(Clone, Copy)]
pub(crate) struct Current(NonNull<Record>);

impl Deref for Current {
    type Target = Record;

    fn deref(&self) -> &Record {
        // SAFETY: the thread that has this handle has not exited.
        unsafe { self.0.as_ref() }
    }
}

/// This thread's record, if it has one.
#[inline]
pub(crate) fn current() -> Option<Current> {
    record::record_at(root::get()?.load()?).map(Current)
}

/// This thread's record; makes it on the thread's first use.
#[inline]
pub(crate) fn current_or_new() -> Result<Current, AccessError> {
    let root = root::get_or_create(on_key_destructor)?;
    match root.load() {
        None => new_record(root, ExitList::NotRegistered),
        Some(entries) => match record::record_at(entries) {
            Some(record) => Ok(Current(record)),
            None if entries == record::under_construction() => Err(AccessError::Recursive),
            None => new_record(root, ExitList::TooLate),
        },
    }
}

/// Hook installation has begun. No thread waits for its end: installation takes the loader's lock, and a library's constructor that runs
/// under that lock may be what would wait here (deadlock).
static HOOKED: AtomicBool = AtomicBool::new(false);

static HOOKS: Hooks = Hooks {
    thread_exit: on_thread_exit,
    process_exit: on_process_exit,
    before_fork: shared::before_fork,
    after_fork_in_parent: shared::after_fork_in_parent,
    after_fork_in_child: shared::after_fork_in_child,
};

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
        unsafe { end(record) };
        return Err(AccessError::OutOfMemory);
    }
    mem::forget(mark);
    if !root.reads_right() {
        wrong_direct_read();
    }
    let current = Current(record);
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
    or_abort(
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
    if let Some(number) = word.number() {
        if let Some(entry) = current.entry(number) {
            return Ok((number, entry));
        }
    }
    assign_first(current, word)
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

struct Unset<'a>(&'a Cell<bool>);

impl Drop for Unset<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

/// The object's slot number; it gets one if it has none.
fn assign(current: Current, word: &SlotWord) -> Result<u32, AccessError> {
    if let Some(number) = word.number() {
        return Ok(number);
    }
    let locator = root::get_or_create(on_key_destructor)?.locator();
    let cache = &current.numbers;
    loop {
        if let Some(number) = cache.lowest() {
            // SAFETY: a number that was handed out to this thread.
            unsafe { numbers::mask(number) }.set_only(current.token());
            return match word.assign(number, locator) {
                Ok(()) => {
                    cache.pop();
                    Ok(number)
                }
                // Another thread was first.
                Err(other) => Ok(other),
            };
        }
        let mut numbers = shared::numbers();
        // What is left is too high.
        cache.empty(|number| numbers.give_back(number));
        let group = !SMALL && cache.asked.replace(true);
        if numbers.take(group, cache) {
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

/// The number of an object that is gone: the thread keeps it for its next object, or gives it back.
///
/// Invariant 1: every record's entry for it is null.
fn release(number: u32, current: Option<Current>) {
    match current {
        Some(current) => {
            if current.numbers.is_full() {
                let mut numbers = shared::numbers();
                current.numbers.shrink(|number| numbers.give_back(number));
                numbers.set_limit();
            }
            current.numbers.insert(number);
        }
        None => {
            let mut numbers = shared::numbers();
            numbers.give_back(number);
            numbers.set_limit();
        }
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
        Some(record) => Current(record),
        None => current_or_new()?,
    };
    let vacant =
        |number| current.entry(number).map_or(true, |entry| entry.state() == State::Vacant);
    if current.has_orphans() && word.number().map_or(true, vacant) {
        reclaim_orphans(current);
    }
    let (number, entry) = entry_or_assign(&current, word)?;
    // Only now, because both may run user code: destructors, the global allocator.
    match entry.state() {
        State::Vacant => {}
        State::Initializing => return Err(AccessError::Recursive),
        State::Destroyed => return current.find_claimed(number).ok_or(AccessError::Destroyed),
        State::Value(block) => return Ok(block),
    }
    if let Some(block) = current.find_claimed(number) {
        // A value of an object that is gone: the number is another object's now.
        // SAFETY: a block in the thread's list is alive.
        unsafe { block.as_ref().number.set(NO_NUMBER) };
    }
    // SAFETY: the object has the number.
    unsafe { numbers::mask(number) }.add(current.token());
    entry.set(State::Initializing);
    // The allocator may be a user of this crate: then the table may grow, and the entry is somewhere else.
    let block = match value::allocate(vtable, number, &current.arena) {
        Some(block) => block,
        None => {
            current.set(number, State::Vacant);
            return Err(AccessError::OutOfMemory);
        }
    };
    let memory = Memory { block, arena: Some(&current.arena) };
    let guard = InitGuard { _memory: memory, current, number };
    if !write(block) {
        return Err(AccessError::OutOfMemory);
    }
    mem::forget(guard);
    // SAFETY: the block has its value, and is in no list yet.
    unsafe { publish(current, block, vtable, values) };
    current.set(number, State::Value(block));
    Ok(block)
}

/// A block whose value is being made. Its entry says INITIALIZING; dropped unfinished (the initializer panicked or failed), it
/// empties the entry and leaves nothing behind.
struct InitGuard<'a> {
    _memory: Memory<'a>,
    current: Current,
    number: u32,
}

impl Drop for InitGuard<'_> {
    fn drop(&mut self) {
        self.current.set(self.number, State::Vacant);
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
        // SAFETY: an object-owned block, which is in no list.
        unsafe { values.push(block) };
        return;
    }
    current.has_thread_owned.set(true);
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

/// This thread's value of an object in every form of the word, if it is there.
#[cold]
pub(crate) fn lookup_slow(word: &SlotWord) -> Option<NonNull<Block>> {
    let number = word.number()?;
    let current = current()?;
    match current.entry(number)?.state() {
        State::Value(block) => Some(block),
        State::Destroyed => current.find_claimed(number),
        State::Vacant | State::Initializing => None,
    }
}

impl Current {
    /// Takes this thread's value out of its entry and out of the thread's list.
    ///
    /// # Safety
    /// The number is that of an object which the caller owns exclusively.
    #[inline]
    unsafe fn take(self, number: u32) -> Option<NonNull<Block>> {
        let entry = self.entry(number)?;
        let block = match entry.state() {
            State::Value(block) => block,
            State::Destroyed => self.find_claimed(number)?,
            State::Vacant | State::Initializing => return None,
        };
        entry.set(State::Vacant);
        // SAFETY: a block with a destructor that is in an entry, or claimed, is in its thread's list.
        unsafe {
            let vtable = block.as_ref().vtable;
            if vtable.owner == Owner::Thread && vtable.needs_drop() {
                self.unlink(block);
            }
        }
        Some(block)
    }

    /// What `take` gave, of an object that does not own its values.
    ///
    /// # Safety
    /// The block is in no entry and in no list. The result is not used after this thread's record has ended.
    unsafe fn owned<'a>(self, block: NonNull<Block>) -> OwnedBlock<'a> {
        // SAFETY: the record lives until the thread exits; its arena is the block's.
        unsafe { OwnedBlock::new(block, Some(&self.0.as_ref().arena)) }
    }
}

/// Takes this thread's value of an object out.
///
/// # Safety
/// The word is an object's that the caller owns exclusively, and that does not own its values.
pub(crate) unsafe fn remove<'a>(word: &SlotWord) -> Option<OwnedBlock<'a>> {
    let (number, current) = (word.number()?, current()?);
    // SAFETY: the caller owns the object exclusively.
    unsafe { current.take(number).map(|block| current.owned(block)) }
}

/// Takes this thread's value of an object that owns it out of its entry. It is still in the object's list.
///
/// # Safety
/// The word is an object's that the caller owns exclusively.
pub(crate) unsafe fn remove_from_entry(word: &SlotWord) -> Option<NonNull<Block>> {
    let (number, current) = (word.number()?, current()?);
    // SAFETY: the caller owns the object exclusively.
    unsafe { current.take(number) }
}

/// Empties all entries of an object, but this thread's. Values that only their own thread may destroy or free are left to it;
/// the chain has those that are nothing but memory.
///
/// # Safety
/// The word is an object's that the caller owns exclusively, and this thread's entry is empty.
unsafe fn detach_others(number: u32, current: Option<Current>) -> Chain {
    let mut chain = Chain::EMPTY;
    let mut visit = |stripe: usize, token: Option<usize>| {
        let guard = shared::stripe(stripe);
        for record in guard.records() {
            if token.map_or(false, |token| token != record.token()) {
                continue;
            }
            let block = match record.take(number) {
                Some(block) => block,
                None => continue,
            };
            // SAFETY: a block in an entry is alive, and it was taken out under this hold of the lock. Invariant 3.
            unsafe {
                let header = block.as_ref();
                match header.vtable.owner {
                    // The object's own list leads to it.
                    Owner::Object => {}
                    Owner::Thread if header.vtable.needs_drop() || header.in_arena => {
                        record.push_orphan(block)
                    }
                    Owner::Thread => chain.push(block),
                }
            }
        }
    };
    // SAFETY: the object has the number.
    match unsafe { numbers::mask(number) }.whereabouts() {
        Whereabouts::Nowhere => {}
        Whereabouts::Record(token) if current.map_or(false, |own| own.token() == token) => {}
        Whereabouts::Record(token) => visit(record::stripe_of(token), Some(token)),
        Whereabouts::Stripes(stripes) => stripes.for_each(|stripe| visit(stripe, None)),
    }
    chain
}

/// Empties all entries of an object whose values belong to it. They are in the object's list only, then.
///
/// # Safety
/// The word is an object's that the caller owns exclusively.
pub(crate) unsafe fn detach_all(word: &SlotWord) {
    if let Some(number) = word.number() {
        let current = current();
        // SAFETY: the caller owns the object exclusively.
        unsafe {
            current.and_then(|current| current.take(number));
            let memory = detach_others(number, current);
            drop(memory);
        }
    }
}

/// The end of an object: its values are destroyed, or left to their threads or to the object's list; and its number is free.
///
/// # Safety
/// The word is an object's that the caller owns exclusively, and that is not used again.
#[inline]
pub(crate) unsafe fn drop_object(word: &SlotWord) {
    if let Some(number) = word.number() {
        // SAFETY: the caller keeps to this function's conditions, which are the same.
        unsafe { drop_used_object(number) }
    }
}

/// # Safety
/// The number is that of an object which the caller owns exclusively, and which is not used again.
unsafe fn drop_used_object(number: u32) {
    let current = current();
    let mut own = None;
    // SAFETY: the caller owns the object exclusively. What stands in this thread's entry is this thread's to destroy, unless the
    // object's list has it.
    unsafe {
        if let Some(current) = current {
            own = current
                .take(number)
                .filter(|block| block.as_ref().vtable.owner == Owner::Thread)
                .map(|block| current.owned(block));
            // A tag, of a value that the exiting thread has destroyed.
            if let Some(entry) = current.entry(number) {
                entry.set(State::Vacant);
            }
        }
        let only_here = current.map_or(false, |own| numbers::mask(number).is_only(own.token()));
        if only_here {
            release(number, current);
            // Only now, because user code may run.
            drop(own);
        } else {
            let memory = detach_others(number, current);
            release(number, current);
            drop(own);
            drop(memory);
        }
    }
}

/// Destroys what dropped objects left on this thread.
#[cold]
fn reclaim_orphans(current: Current) {
    // A destructor that comes here again leaves the rest to the loop below it: otherwise long lists would nest as deep.
    if current.reclaiming.replace(true) {
        return;
    }
    let _done = Unset(&current.reclaiming);
    while let Some(orphan) = next_orphan(&current) {
        drop(orphan);
    }
}

fn next_orphan(record: &Record) -> Option<OwnedBlock<'_>> {
    if !record.has_orphans() {
        return None;
    }
    let block = match record.pop_orphan() {
        Some(block) => block,
        None => {
            shared::stripe(record.stripe()).own(record).empty_inbox();
            record.pop_orphan()?
        }
    };
    // SAFETY: an orphan is in no entry and in no list, and its record's thread is the one that may destroy it.
    Some(unsafe { OwnedBlock::new(block, Some(&record.arena)) })
}

/// Destroys the values that dropped objects left on this thread.
pub(crate) fn reclaim() {
    if let Some(current) = current() {
        reclaim_orphans(current);
    }
}

/// Destroys every value of a thread that has a destructor, newest first, including any that destructors create; then the orphans. `true`
/// if there was one.
fn destroy_values(record: &Record) -> bool {
    or_abort(PANICKED, || {
        let mut found = false;
        loop {
            let value = match record.newest() {
                Some((block, true)) => {
                    // SAFETY: the block is in the thread's list, and claimed: no other thread has it or will have it.
                    unsafe {
                        record.unlink(block);
                        OwnedBlock::new(block, Some(&record.arena))
                    }
                }
                Some((_, false)) => {
                    shared::stripe(record.stripe()).own(record).claim_newest();
                    continue;
                }
                None => match next_orphan(record) {
                    Some(orphan) => orphan,
                    None => return found,
                },
            };
            found = true;
            drop(value);
        }
    })
}

const PANICKED: &str =
    "os-thread-local: the Drop of a thread-local value panicked while its thread was exiting; aborting";

/// There is no frame to unwind to at a thread's end: std aborts there too.
#[cfg(feature = "std")]
fn or_abort<R>(message: &str, run: impl FnOnce() -> R) -> R {
    use std::panic::{catch_unwind, AssertUnwindSafe};

    // Caught, because an unwinder that finds no frame which catches does not begin, and reports that instead of the message.
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| {
        std::eprintln!("{}", message);
        std::process::abort();
    })
}

#[cfg(not(feature = "std"))]
fn or_abort<R>(message: &str, run: impl FnOnce() -> R) -> R {
    struct AbortOnUnwind<'a>(&'a str);

    impl Drop for AbortOnUnwind<'_> {
        fn drop(&mut self) {
            // A panic while another one unwinds: the panic handler prints it, then the process aborts.
            panic!("{}", self.0);
        }
    }

    let abort = AbortOnUnwind(message);
    let result = run();
    core::mem::forget(abort);
    result
}

/// The end of a thread's record. Only now its object-owned values are for other threads: until here the thread may have used its
/// own, also when it is the one that ends the process while others run, from the middle of a closure that has the value.
///
/// # Safety
/// The record is this thread's, in no root slot any more, and has no values with a destructor.
unsafe fn end(pointer: NonNull<Record>) {
    // SAFETY: the record is alive until it is freed below.
    let record = unsafe { pointer.as_ref() };
    let stripe = record.stripe();
    let mut holding = record.has_blocks_elsewhere.get();
    if record.has_thread_owned.get() {
        holding = empty_record(record);
    }
    if record.has_long_table() && !holding {
        let old = shared::stripe(stripe).own(record).replace_table(record::Table::NONE);
        drop(old);
    }
    if record.numbers.has_many() {
        let mut numbers = shared::numbers();
        record.numbers.shrink(|number| numbers.give_back(number));
        numbers.set_limit();
    }
    // SAFETY: as new but for what is the object's, and given up.
    unsafe {
        record.reset(holding);
        if shared::pool().push(pointer, holding) {
            return;
        }
    }
    if !record.numbers.is_empty() {
        let mut numbers = shared::numbers();
        record.numbers.empty(|number| numbers.give_back(number));
        numbers.set_limit();
    }
    shared::stripe(stripe).leave(pointer);
    shared::pool().count_left(stripe);
    // SAFETY: the record has left its stripe, so no other thread finds it.
    unsafe { Record::free(pointer) };
}

/// Empties the entries that end with the thread. `true` if others stay.
fn empty_record(record: &Record) -> bool {
    let (mut memory, mut holding, mut from) = (Chain::EMPTY, false, Some(0));
    while let Some(number) = from {
        let guard = shared::stripe(record.stripe());
        let (next, stayed) = guard.own(record).empty_entries(number, |block| {
            // SAFETY: a block from the global allocator without a destructor, which was just taken out of its entry.
            unsafe { memory.push(block) }
        });
        holding |= stayed;
        from = next;
    }
    // What droppers took out before: they held the lock until it was in the inbox.
    while let Some(orphan) = next_orphan(record) {
        drop(orphan);
    }
    drop(memory);
    holding
}

/// The first hook: the root key's destructor. Everywhere, and the one that ends the record.
///
/// Where the system calls it in rounds (POSIX), the record is put back, and ends in the first round that finds nothing to destroy: until
/// then the destructors of other libraries that use our objects find it, with its tags. A record that was made after the thread-exit
/// list has run may be in the last round, so it ends at its first visit. No other is held until the last round, where sanitizers have
/// taken their own state down.
unsafe extern "system" fn on_key_destructor(value: *mut c_void) {
    let (root, entries) = match (root::get(), NonNull::new(value.cast::<Entries>())) {
        (Some(root), Some(entries)) => (root, entries),
        _ => return,
    };
    let pointer = match record::record_at(entries) {
        Some(record) => record,
        None => {
            if entries == record::ended() && !System::has_exit_list() {
                // SAFETY: a sentinel.
                unsafe { root.store(Some(entries)) };
            }
            return;
        }
    };
    if System::other_threads_were_killed() {
        // SAFETY: this is the only thread that is left.
        unsafe { shared::release_abandoned_locks() };
    }
    // On Windows another fiber's record can stand there: `DeleteFiber` calls back on the fiber that deletes. That one stays.
    let ours = root.load().map_or(true, |entries| entries == pointer.cast());
    if ours {
        // SAFETY: the record of this thread. If it fails, destructors that use our objects get a new record.
        unsafe { root.store(Some(pointer.cast())) };
    }
    // SAFETY: the system gives the record that was set, on the context that ends.
    let record = unsafe { pointer.as_ref() };
    let round = record.rounds.get() + 1;
    record.rounds.set(round);
    let found = destroy_values(record);
    if System::DESTRUCTOR_REPEATS && stays(record.exit_list.get(), round, found) {
        return;
    }
    // If it could not be put back, a destructor may have made a new record, which ends in its own time.
    let ours = ours && root.load().map_or(true, |entries| entries == pointer.cast());
    if ours {
        // The allocator may use our objects while the record ends. For it there is none, and none is made.
        // SAFETY: a sentinel.
        unsafe { root.store(Some(record::under_construction())) };
    }
    let exit_list = record.exit_list.get();
    // SAFETY: it has no values with a destructor any more, and the root slot does not hold it.
    unsafe { end(pointer) };
    if ours {
        // The sentinel says that a record which is made now is late. It means one more call, which must not be in the last round
        // where there are sanitizers. Without an exit list it is the only sign, and stays until the end.
        let late = System::DESTRUCTOR_REPEATS
            && (!System::has_exit_list() || (exit_list == ExitList::HasRun && round == 2));
        // SAFETY: a sentinel, or null.
        unsafe { root.store(if late { Some(record::ended()) } else { None }) };
    }
}

/// Whether a record waits for one more round of destructors.
fn stays(exit_list: ExitList, round: u32, found: bool) -> bool {
    /// The last but one: POSIX asks for four rounds (PTHREAD_DESTRUCTOR_ITERATIONS), and every system has as many.
    const LAST_TO_STAY: u32 = 2;
    match exit_list {
        // The record was there before the first round: this is it, or the second.
        ExitList::HasRun => round == 1 || (found && round <= LAST_TO_STAY),
        // The thread's exit list has run before the record was made.
        ExitList::Registered if System::has_exit_list() => false,
        ExitList::TooLate => false,
        // Without an exit list the round is not known.
        ExitList::Registered => found && round <= LAST_TO_STAY,
        ExitList::NotRegistered => false,
    }
}

/// The second hook: the thread-exit list. It destroys values while C++'s and std's thread-locals live; the record stays
/// for the key's destructor, with the tags that say what is destroyed.
unsafe extern "C" fn on_thread_exit(_: *mut c_void) {
    if let Some(current) = current() {
        current.exit_list.set(ExitList::HasRun);
        // The record may be in the middle of this already (`exit` in a destructor): the value that is being destroyed is in no list
        // any more.
        destroy_values(&current);
    }
}

extern "C" fn on_process_exit() {
    // SAFETY: any time, any thread, any argument.
    unsafe { on_thread_exit(ptr::null_mut()) }
}

/// Says of a value that its thread is inside `with_mut`, until it is dropped.
pub(crate) struct Borrowed(NonNull<Block>, BlockState);

impl Borrowed {
    /// # Safety
    /// The block is this thread's value of an object that is borrowed exclusively for as long as the guard lives.
    pub(crate) unsafe fn new(block: NonNull<Block>) -> Self {
        // SAFETY: the block is alive while its object is borrowed exclusively on its thread.
        let state = unsafe { block.as_ref().state.replace(BlockState::Borrowed) };
        Borrowed(block, state)
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // SAFETY: as in `new`.
        unsafe { self.0.as_ref().state.set(self.1) };
    }
}

#[cfg(all(test, feature = "std"))]
mod direct_read_tests;
