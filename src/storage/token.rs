//! Tokens: the address and the stripe of a record in one word, as masks hold it.

use super::STRIPES;

/// The least alignment of a record: it leaves the low bits of the address free for the stripe.
pub(crate) const TOKEN_ALIGN: usize = 2 * (STRIPES + 1);

/// A record's token: its address, with its stripe in the low bits that are 0 in the address. Never 0, and the lowest bit is
/// clear.
pub(crate) fn token(record: usize, stripe: usize) -> usize {
    record | stripe << 1
}

/// The stripe of the record with this token.
#[inline]
pub(crate) fn stripe_of(token: usize) -> usize {
    (token & (TOKEN_ALIGN - 1)) >> 1
}
