//! The accesses whose instructions are counted, each in a function of its own.

use os_thread_local::ThreadLocal;
use std::cell::Cell;
use std::hint::black_box;

pub struct Value(Cell<u64>);

impl Drop for Value {
    fn drop(&mut self) {
        black_box(self.0.get());
    }
}

pub type Object = ThreadLocal<Value>;

static STATIC: Object = new();
static CELL: ThreadLocal<Cell<u64>> = ThreadLocal::new(|| Cell::new(1));

os_thread_local::thread_local!(static KEY: Value = Value(Cell::new(1)));

pub const fn new() -> Object {
    ThreadLocal::new(|| Value(Cell::new(1)))
}

/// The statics, used once by this thread.
pub fn statics() -> Vec<Object> {
    KEY.with(|_| ());
    CELL.with(|_| ());
    used(1)
}

/// So many objects, used once by this thread.
pub fn used(count: usize) -> Vec<Object> {
    STATIC.with(|_| ());
    let objects: Vec<_> = (0..count).map(|_| new()).collect();
    through_all(&objects);
    objects
}

/// For a thread that has created and dropped enough objects to cache slot numbers.
pub fn seasoned() -> Vec<Object> {
    let objects = used(1);
    (0..64).for_each(|_| create_use_drop());
    objects
}

/// So many objects with a slot number, which this thread has not used.
pub fn prepared(count: usize) -> Vec<Object> {
    STATIC.with(|_| ());
    let objects: Vec<_> = (0..count).map(|_| new()).collect();
    objects.iter().for_each(|object| object.prepare().expect("there are keys"));
    objects
}

#[inline(never)]
pub fn of_a_static() -> u64 {
    STATIC.with(|value| value.0.get())
}

#[inline(never)]
pub fn of_a_local_key() -> u64 {
    KEY.with(|value| value.0.get())
}

#[inline(never)]
pub fn existing_of_a_static() -> Option<u64> {
    STATIC.with_existing(|value| value.0.get())
}

#[inline(never)]
pub fn set_a_static(value: u64) {
    CELL.set(value)
}

#[inline(never)]
pub fn through_an_object(object: &Object) -> u64 {
    object.with(|value| value.0.get())
}

#[inline(never)]
pub fn through_all(objects: &[Object]) {
    for object in objects {
        black_box(through_an_object(object));
    }
}

#[inline(never)]
pub fn create_use_drop() {
    let object = black_box(new());
    black_box(through_an_object(&object));
}
