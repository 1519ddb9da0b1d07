//! A pool of buffers without a lock: each thread has a buffer, which a later thread inherits.
//!
//! Run it with `cargo run --example buffers`.

use std::cell::RefCell;
use std::fmt::Write;
use std::thread;

use os_thread_local::PerThread;

const AT_ONCE: usize = 3;
const ROUNDS: usize = 20;

/// Renders pages. Each page needs a large buffer for a short time.
struct Renderer {
    buffers: PerThread<RefCell<String>>,
}

impl Renderer {
    fn new() -> Self {
        Renderer { buffers: PerThread::new(|| RefCell::new(String::with_capacity(64 * 1024))) }
    }

    /// Renders a page and returns its length.
    fn render(&self, page: usize) -> usize {
        self.buffers.with_borrow_mut(|buffer| {
            // The buffer is as its last user left it, this thread or one that has ended. Its memory is already allocated.
            buffer.clear();
            for line in 0..page {
                writeln!(buffer, "page {page}, line {line}").unwrap();
            }
            buffer.len()
        })
    }
}

fn main() {
    let renderer = Renderer::new();
    let mut bytes = 0;

    // A thread for each page, a few at a time.
    for round in 0..ROUNDS {
        bytes += thread::scope(|s| {
            let renderer = &renderer;
            let pages: Vec<_> =
                (0..AT_ONCE).map(|n| s.spawn(move || renderer.render(10 * round + n))).collect();
            pages.into_iter().map(|page| page.join().unwrap()).sum::<usize>()
        });
    }
    println!("{} pages, a thread each: {bytes} bytes", ROUNDS * AT_ONCE);

    assert!(renderer.buffers.len() <= AT_ONCE);
    println!("{AT_ONCE} buffers were enough");

    // All buffers are freed here, by this thread, at once.
    drop(renderer);
}
