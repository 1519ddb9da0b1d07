
// Appended to `src/storage/shared.rs` for the patches beside this file.

pub(crate) fn unlocked(index: usize) -> Guard<'static, Stripe> {
    ALL_STRIPES[index].unlocked()
}

pub(crate) fn unlocked_pool() -> Guard<'static, Pool> {
    POOL.unlocked()
}

pub(crate) fn unlocked_numbers() -> Guard<'static, Numbers> {
    NUMBERS.unlocked()
}
