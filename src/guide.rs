// The pages of `docs` as modules, so that docs.rs has them and their links. On the pages links lead to files or to docs.rs, for readers
// elsewhere; here the first definition of a link holds, and rustdoc checks it.

#![doc = "[`AccessError`]: crate::AccessError\n[`BorrowCell`]: crate::BorrowCell\n[`InitError`]: crate::InitError\n[`LocalKey`]: crate::LocalKey"]
#![doc = "[`PerThread`]: crate::PerThread\n[`ThreadLocal`]: crate::ThreadLocal\n[counters]: crate::guide::counters\n[custom]: crate::custom\n"]
#![doc = include_str!("../docs/GUIDE.md")]

#[doc = "[custom]: crate::custom\n"]
#[doc = include_str!("../docs/GUARANTEES.md")]
pub mod guarantees {}

#[doc = "[custom]: crate::custom\n[vendoring]: crate::guide::vendoring\n"]
#[doc = include_str!("../docs/NO_STD.md")]
pub mod no_std {}

#[doc = "[custom]: crate::custom\n[no_std]: crate::guide::no_std\n"]
#[doc = include_str!("../docs/VENDORING.md")]
pub mod vendoring {}

#[doc = "[custom]: crate::custom\n[is_signal_safe]: crate::is_signal_safe\n"]
#[doc = include_str!("../docs/PLATFORMS.md")]
pub mod platforms {}

#[doc = "[guarantees]: crate::guide::guarantees\n[platforms]: crate::guide::platforms\n"]
#[doc = include_str!("../docs/STABILITY.md")]
pub mod stability {}

// The page refers to its chart as a file, which docs.rs does not have. Here the chart stands above the page, and the image is hidden.
/// Times of every operation, compared with other crates, std and C++.
///
/// <style>img[src="data:image/svg+xml,"] { display: none }</style>
#[doc = include_str!("../docs/benchmarks.svg")]
///
#[doc = "[chart]: data:image/svg+xml,\n[counters]: crate::guide::counters\n"]
#[doc = include_str!("../docs/BENCHMARKS.md")]
pub mod benchmarks {}

// As above.
/// The cost of a counter per thread, compared with one shared counter.
///
/// <style>img[src="data:image/svg+xml,"] { display: none }</style>
#[doc = include_str!("../docs/counters.svg")]
///
#[doc = "[chart]: data:image/svg+xml,\n[guide]: crate::guide\n"]
#[doc = include_str!("../docs/COUNTERS.md")]
pub mod counters {}
