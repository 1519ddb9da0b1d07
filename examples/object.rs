//! A thread-local field: each thread has its own value for each object. Scoped threads borrow the object.

use std::cell::RefCell;
use std::thread;

use os_thread_local::ThreadLocal;

struct Foo {
    data: u32,
    tls: ThreadLocal<RefCell<u32>>,
}

fn main() {
    let object = Foo { data: 7, tls: ThreadLocal::new(|| RefCell::new(1)) };

    object.tls.with(|value| {
        assert_eq!(*value.borrow(), 1);
        *value.borrow_mut() = 2;
    });

    thread::scope(|s| {
        let object = &object;
        let other = s.spawn(move || {
            object.tls.with(|value| {
                assert_eq!(*value.borrow(), 1);
                *value.borrow_mut() = 3;
                println!("the other thread shares data {}, wrote {}", object.data, value.borrow());
            });
        });
        other.join().unwrap();

        object.tls.with(|value| {
            assert_eq!(*value.borrow(), 2);
            println!("the main thread shares data {}, still reads {}", object.data, value.borrow());
        });
    });
}
