//! A thread-local `static`: each thread starts with the initial value.

use std::cell::RefCell;
use std::thread;

use os_thread_local::ThreadLocal;

static FOO: ThreadLocal<RefCell<u32>> = ThreadLocal::new(|| RefCell::new(1));

fn main() {
    FOO.with(|value| {
        assert_eq!(*value.borrow(), 1);
        *value.borrow_mut() = 2;
    });

    let other = thread::spawn(|| {
        FOO.with(|value| {
            assert_eq!(*value.borrow(), 1);
            *value.borrow_mut() = 3;
            println!("the other thread read 1 and wrote {}", value.borrow());
        });
    });
    other.join().unwrap();

    FOO.with(|value| {
        assert_eq!(*value.borrow(), 2);
        println!("the main thread still reads {}", value.borrow());
    });
}
