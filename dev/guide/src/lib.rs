//! The "before" halves of docs/GUIDE.md, as doc tests: `build.rs` takes them out of it.

include!(concat!(env!("OUT_DIR"), "/before.rs"));
