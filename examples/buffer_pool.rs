//! A library that returns a guard of a buffer: each thread reuses its buffer, without a lock, and a nested use is correct.
//!
//! Run it with `cargo run --example buffer_pool`.

use std::thread;

/// The library. Its users see no thread-local.
mod csv {
    use std::ops::Deref;

    use os_thread_local::per_thread::RefMut;
    use os_thread_local::{BorrowCell, PerThread};

    /// Writes records as lines of text.
    #[derive(Default)]
    pub struct Writer {
        buffers: PerThread<BorrowCell<String>>,
    }

    /// A line. Dropping it makes its buffer available again. It can be stored, and sent to another thread.
    pub struct Line<'a>(Buffer<'a>);

    enum Buffer<'a> {
        Pooled(RefMut<'a, String>),
        Own(String),
    }

    impl Writer {
        pub fn line(&self, fields: &[&str]) -> Line<'_> {
            let mut buffer = match self.buffers.try_borrow_mut() {
                Ok(buffer) => Buffer::Pooled(buffer),
                // An earlier line of this thread still exists, perhaps in a job that waits in a work-stealing scheduler; or there is
                // no memory for a pooled buffer.
                Err(_) => Buffer::Own(String::new()),
            };
            let text = match &mut buffer {
                Buffer::Pooled(text) => &mut **text,
                Buffer::Own(text) => text,
            };
            // The buffer is as its last user left it: clear it before use.
            text.clear();
            for (n, field) in fields.iter().enumerate() {
                if n > 0 {
                    text.push(',');
                }
                text.push_str(field);
            }
            Line(buffer)
        }

        /// The number of buffers: at most one for each thread that is alive at one time.
        pub fn buffers(&self) -> usize {
            self.buffers.len()
        }

        /// Frees the buffers. No line exists: the borrow of the writer is exclusive.
        pub fn clear(&mut self) {
            self.buffers.clear();
        }
    }

    impl Line<'_> {
        pub fn is_pooled(&self) -> bool {
            matches!(self.0, Buffer::Pooled(_))
        }
    }

    impl Deref for Line<'_> {
        type Target = str;

        fn deref(&self) -> &str {
            match &self.0 {
                Buffer::Pooled(text) => text,
                Buffer::Own(text) => text,
            }
        }
    }
}

fn print(line: &csv::Line<'_>) {
    println!("{}, pooled: {}", &**line, line.is_pooled());
}

fn main() {
    let mut writer = csv::Writer::default();

    // One line after another: the same buffer.
    for city in ["Oslo", "Lima"] {
        print(&writer.line(&[city, "capital"]));
    }

    // Two lines at once: the second one has a buffer of its own, and both are written.
    let first = writer.line(&["Bern", "capital"]);
    let second = writer.line(&["Basel", "city"]);
    print(&first);
    print(&second);

    // Another thread has its own buffer, and may get this thread's line.
    thread::scope(|s| {
        let writer = &writer;
        s.spawn(move || {
            print(&writer.line(&["Quito", "capital"]));
            drop(first);
        });
    });
    drop(second);
    print(&writer.line(&["Rome", "capital"]));

    println!("buffers: {}", writer.buffers());
    writer.clear();
    println!("buffers after clear: {}", writer.buffers());
}
