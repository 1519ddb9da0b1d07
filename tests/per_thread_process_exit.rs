//! Ending the process from the middle of a `PerThread` closure: no running thread inherits the value, and it is
//! not destroyed while the closure uses it.
//!
//! No test harness, because the main thread must exit. A failure aborts, because the exit code is already determined.

#[cfg(not(feature = "alloc"))]
fn main() {}

#[cfg(feature = "alloc")]
fn main() {
    with_alloc::main()
}

#[cfg(feature = "alloc")]
mod with_alloc {
    use os_thread_local::{PerThread, ThreadLocal};
    use std::cell::{Cell, RefCell};
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::sync::mpsc::{channel, Receiver, Sender};
    use std::thread;

    struct Value(RefCell<u32>);

    impl Drop for Value {
        fn drop(&mut self) {
            std::process::abort();
        }
    }

    static OBJECT: PerThread<Value> = PerThread::new(|| Value(RefCell::new(1)));
    /// Where the main thread's value is.
    static USED: AtomicUsize = AtomicUsize::new(0);

    /// Asks the other thread to use the object, while the main thread is somewhere in `exit`.
    struct Ask(Cell<Option<(Sender<()>, Receiver<usize>)>>);

    impl Drop for Ask {
        fn drop(&mut self) {
            let (ask, answer) = match self.0.take() {
                Some(channels) => channels,
                None => return,
            };
            // Where the others were killed already (Windows) there is no answer.
            if cfg!(windows) {
                return;
            }
            ask.send(()).unwrap_or_else(|_| std::process::abort());
            match answer.recv() {
                Ok(at) if at != USED.load(SeqCst) => {}
                _ => std::process::abort(),
            }
        }
    }

    std::thread_local!(static IN_STD: Ask = const { Ask(Cell::new(None)) });
    static IN_OURS: ThreadLocal<Ask> = ThreadLocal::new(|| Ask(Cell::new(None)));

    fn another_thread() -> (Sender<()>, Receiver<usize>) {
        let (ask, asked) = channel();
        let (answer, answered) = channel();
        thread::spawn(move || {
            while asked.recv().is_ok() {
                // A value in use would be borrowed.
                let at = OBJECT.with(|v| {
                    *v.0.borrow_mut() += 1;
                    v as *const Value as usize
                });
                let _ = answer.send(at);
            }
        });
        (ask, answered)
    }

    pub fn main() {
        // One ends before this crate's hook, the other is ended by it.
        IN_STD.with(|ask| ask.0.set(Some(another_thread())));
        IN_OURS.with(|ask| ask.0.set(Some(another_thread())));
        OBJECT.with(|v| {
            USED.store(v as *const Value as usize, SeqCst);
            let _in_use = v.0.borrow_mut();
            std::process::exit(0);
        });
    }
}
