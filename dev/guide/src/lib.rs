//! The "before" halves of docs/GUIDE.md, as doc tests: `build.rs` extracts them.

include!(concat!(env!("OUT_DIR"), "/before.rs"));
