//! Emptying the caches before a cold row.
//!
//! Defined as: one word in each cache line of 3 MiB of data is read and written, then a function in each of the 4,096 cache lines of 256 KiB
//! of code is called. This replaces the contents of the first-level caches, of a second-level cache of up to 2 MiB, of the instruction TLB
//! and of most of the branch predictor. The last-level cache, which several processors share, keeps what the measured part needs.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes.
pub const DATA: usize = 3 << 20;
/// Bytes.
pub const CODE: usize = 256 << 10;
const LINE: usize = 64;

#[repr(align(64))]
struct Line(AtomicU64);

static LINES: [Line; DATA / LINE] = [const { Line(AtomicU64::new(0)) }; DATA / LINE];

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod code {
    use super::{CODE, LINE};

    // A function that returns at once, at the beginning of each cache line.
    std::arch::global_asm!(
        ".pushsection .text.evicting_code, \"ax\"",
        ".balign 64",
        "evicting_code:",
        ".rept {count}",
        "ret",
        ".balign 64",
        ".endr",
        ".popsection",
        count = const CODE / LINE,
    );

    extern "C" {
        fn evicting_code();
    }

    pub const AVAILABLE: bool = true;

    pub fn sweep() {
        let first = evicting_code as *const () as usize;
        for line in 0..CODE / LINE {
            let function = (first + line * LINE) as *const ();
            // SAFETY: a function that does nothing begins at each of these lines.
            unsafe { std::mem::transmute::<*const (), extern "C" fn()>(function)() };
        }
    }
}

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod code {
    pub const AVAILABLE: bool = false;

    pub fn sweep() {}
}

/// Whether the code is there: cold rows are not measured without it.
pub const AVAILABLE: bool = code::AVAILABLE;

pub fn sweep() {
    for line in &LINES {
        line.0.store(line.0.load(Relaxed) + 1, Relaxed);
    }
    code::sweep();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_written() {
        sweep();
        sweep();
        assert!(LINES.iter().all(|line| line.0.load(Relaxed) == 2));
    }
}
