//! The pool of records: those of ended threads, for new threads. `shared` has its lock.

use super::record::Record;
use super::STRIPES;
use core::cell::Cell;
use core::ptr::NonNull;
use core::sync::atomic::{compiler_fence, Ordering::*};

/// The records of ended threads, for new threads.
///
/// A new thread mostly uses the objects that ended threads used, and finds a table of the right length. Pooling saves allocating one:
/// requests of 1 KiB or more make glibc merge its small free blocks.
pub(crate) struct Pool {
    /// The records with object-owned values, which the next threads inherit. Their number is not limited here.
    with_values: Option<NonNull<Record>>,
    /// The records without values.
    empty: Option<NonNull<Record>>,
    empty_count: usize,
    /// The record of `with_values` at which the next call of `trim` continues.
    trimmed: Option<NonNull<Record>>,
    /// How many records each stripe has.
    population: [u32; STRIPES],
}

// SAFETY: the thread that holds the lock owns the pooled records; what other threads do to them needs their stripes' locks.
unsafe impl Send for Pool {}

/// How many records without values the pool keeps.
const MOST_EMPTY: usize = 4;

impl Pool {
    pub(crate) const EMPTY: Pool = Pool {
        with_values: None,
        empty: None,
        empty_count: 0,
        trimmed: None,
        population: [0; STRIPES],
    };

    /// Removes a record for a new thread, preferably one with values.
    pub(crate) fn pop(&mut self) -> Option<NonNull<Record>> {
        // SAFETY: pooled records are alive (invariant 9).
        unsafe {
            if let Some(record) = self.with_values {
                if self.trimmed == Some(record) {
                    self.trimmed = None;
                }
                self.with_values = record.as_ref().next_in_pool().get();
                return Some(record);
            }
            let record = self.empty?;
            self.empty = record.as_ref().next_in_pool().get();
            self.empty_count = self.empty_count.saturating_sub(1);
            Some(record)
        }
    }

    /// Adds a record. `false` if the pool is full: then the caller still owns the record, which has no values.
    ///
    /// # Safety
    /// `Current::reset` has prepared the record, and the caller does not use it after `true`.
    pub(crate) unsafe fn push(&mut self, record: NonNull<Record>) -> bool {
        // SAFETY: the record is alive, and the caller owns it (this function's contract).
        if unsafe { record.as_ref() }.has_object_owned() {
            // SAFETY: the conditions are those of this function.
            unsafe { Self::link(&mut self.with_values, record) };
            return true;
        }
        let room = self.empty_count < MOST_EMPTY;
        if room {
            // SAFETY: the conditions are those of this function.
            unsafe { Self::link(&mut self.empty, record) };
            self.empty_count += 1;
        }
        room
    }

    /// `push` for a record without values, if there is no record to trim.
    ///
    /// # Safety
    /// The conditions of `push` hold, and the record has no object-owned values.
    #[inline]
    pub(crate) unsafe fn push_empty(&mut self, record: NonNull<Record>) -> bool {
        let simple = self.empty_count < MOST_EMPTY && self.with_values.is_none();
        if simple {
            // SAFETY: the conditions are those of this function.
            unsafe { Self::link(&mut self.empty, record) };
            self.empty_count += 1;
        }
        simple
    }

    /// Adds a record to a list.
    ///
    /// # Safety
    /// The conditions of `push` hold.
    #[inline]
    unsafe fn link(list: &mut Option<NonNull<Record>>, record: NonNull<Record>) {
        // SAFETY: the record has not been freed, so it is alive, and the caller owns it (this function's contract).
        unsafe { record.as_ref().next_in_pool().set(*list) };
        compiler_fence(Release); // invariant 7
        *list = Some(record);
    }

    /// Checks records that had values when they were pooled, the next two at each call, and removes one whose objects are gone. So the
    /// pool shrinks after a peak, by one record at the end of each later thread. Two, because the first is the record that was just pooled,
    /// if threads come one after another.
    pub(crate) fn trim(&mut self) -> Option<NonNull<Record>> {
        for _ in 0..2 {
            // SAFETY: pooled records are alive (invariant 9), and `trimmed` is one of them: `pop` clears it with its record.
            unsafe {
                let link = match &self.trimmed {
                    Some(record) => record.as_ref().next_in_pool(),
                    None => Cell::from_mut(&mut self.with_values),
                };
                let record = match link.get() {
                    Some(record) => record,
                    None => {
                        self.trimmed = None;
                        return None;
                    }
                };
                if !record.as_ref().has_object_owned() {
                    link.set(record.as_ref().next_in_pool().get());
                    return Some(record);
                }
                self.trimmed = Some(record);
            }
        }
        None
    }

    /// Chooses the stripe with the fewest records for a new one, and counts it there.
    pub(crate) fn choose_stripe(&mut self) -> usize {
        let (stripe, population) = self
            .population
            .iter_mut()
            .enumerate()
            .min_by_key(|(_, population)| **population)
            .unwrap_or_else(|| unreachable!("there is a stripe"));
        *population += 1;
        stripe
    }

    /// Counts a record that has left its stripe.
    pub(crate) fn count_left(&mut self, stripe: usize) {
        self.population[stripe] = self.population[stripe].saturating_sub(1);
    }
}
