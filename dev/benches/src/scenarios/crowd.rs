//! Threads that are alive while something else is measured.

use crate::peers::Objects;
use std::sync::mpsc::channel;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

/// Keeps threads alive until it is opened.
#[derive(Default)]
pub struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    pub fn wait(&self) {
        let mut open = self.open.lock().expect("no panic");
        while !*open {
            open = self.changed.wait(open).expect("no panic");
        }
    }

    pub fn open(&self) {
        *self.open.lock().expect("no panic") = true;
        self.changed.notify_all();
    }
}

/// Threads that have used one object that they share and one of their own, and sleep until the drop of this.
pub struct Crowd {
    gate: Arc<Gate>,
    threads: Vec<JoinHandle<()>>,
}

impl Crowd {
    pub fn new<Set: Objects>(count: usize) -> Crowd {
        let (gate, shared) = (Arc::new(Gate::default()), Arc::new(Set::create(1)));
        let (send, ready) = channel();
        let threads = (0..count)
            .map(|_| {
                let (gate, shared, send) = (gate.clone(), shared.clone(), send.clone());
                thread::Builder::new()
                    .stack_size(64 * 1024)
                    .spawn(move || {
                        shared.use_all();
                        let own = Set::create(1);
                        own.use_all();
                        send.send(()).expect("the receiver waits");
                        gate.wait();
                    })
                    .expect("the system allows so many threads")
            })
            .collect();
        (0..count).for_each(|_| ready.recv().expect("the threads run"));
        Crowd { gate, threads }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        self.gate.open();
        for thread in self.threads.drain(..) {
            thread.join().expect("no panic");
        }
    }
}
