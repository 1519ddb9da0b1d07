//! Accesses inside a library: the same static and the same object as in the program, of this crate, of `thread_local`, as a bare key, and
//! of std. Nothing here is called before the thread that measures has opened the library.

use os_thread_local::key::StaticKey;
use std::cell::Cell;
use std::ffi::{c_char, CStr};
use std::hint::black_box;

/// What the program gets of each row. It declares the same type.
#[repr(C)]
pub struct Row {
    name: *const c_char,
    static_loop: extern "C" fn(u64),
    static_call: extern "C" fn(u64),
    /// None for std, which has no objects.
    object_loop: Option<extern "C" fn(u64)>,
    object_call: Option<extern "C" fn(u64)>,
}

// SAFETY: nothing is written to it, and the name is static.
unsafe impl Sync for Row {}

/// One word, with a destructor that the optimizer cannot drop.
struct Value(Cell<u64>);

impl Value {
    const fn new() -> Value {
        Value(Cell::new(1))
    }

    #[inline(always)]
    fn get(&self) -> u64 {
        self.0.get()
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        black_box(self.0.get());
    }
}

/// So many reads in one loop, and so many calls of a function that reads once and is not inlined.
macro_rules! accesses {
    ($read:expr) => {{
        extern "C" fn in_loop(iterations: u64) {
            for _ in 0..iterations {
                black_box($read);
            }
        }
        #[inline(never)]
        fn once() -> u64 {
            $read
        }
        extern "C" fn in_calls(iterations: u64) {
            // Not for the optimizer to see through.
            let once = black_box(once as fn() -> u64);
            for _ in 0..iterations {
                black_box(once());
            }
        }
        (in_loop as extern "C" fn(u64), in_calls as extern "C" fn(u64))
    }};
}

/// The same for an object that the compiler does not know.
macro_rules! accesses_to {
    ($Object:ty, $create:expr, |$object:ident| $read:expr) => {{
        /// The objects are made on first use, and never dropped.
        fn object() -> &'static $Object {
            static OBJECT: std::sync::OnceLock<$Object> = std::sync::OnceLock::new();
            black_box(OBJECT.get_or_init(|| $create))
        }
        extern "C" fn in_loop(iterations: u64) {
            let $object = object();
            for _ in 0..iterations {
                black_box($read);
            }
        }
        #[inline(never)]
        fn once($object: &$Object) -> u64 {
            $read
        }
        extern "C" fn in_calls(iterations: u64) {
            let object = object();
            let once = black_box(once as fn(&$Object) -> u64);
            for _ in 0..iterations {
                black_box(once(black_box(object)));
            }
        }
        (in_loop as extern "C" fn(u64), in_calls as extern "C" fn(u64))
    }};
}

const fn row(
    name: &'static CStr,
    fixed: (extern "C" fn(u64), extern "C" fn(u64)),
    object: Option<(extern "C" fn(u64), extern "C" fn(u64))>,
) -> Row {
    let (object_loop, object_call) = match object {
        Some((object_loop, object_call)) => (Some(object_loop), Some(object_call)),
        None => (None, None),
    };
    Row {
        name: name.as_ptr(),
        static_loop: fixed.0,
        static_call: fixed.1,
        object_loop,
        object_call,
    }
}

static OURS: os_thread_local::ThreadLocal<Value> = os_thread_local::ThreadLocal::new(Value::new);
static THREAD_LOCAL: thread_local::ThreadLocal<Value> = thread_local::ThreadLocal::new();
static KEY: StaticKey = StaticKey::new();

thread_local! {
    #[allow(clippy::missing_const_for_thread_local)] // the lazy kind is what is measured
    static STD: Value = Value(Cell::new(black_box(1)));
}

/// Reads a key as the crate does where it reads one, and the value behind it. The value is made on first use, and never freed.
#[inline(always)]
fn read(key: &StaticKey) -> u64 {
    let mut value = key.get().cast::<Value>().cast_const();
    if value.is_null() {
        value = make(key);
    }
    // SAFETY: `make` has set the pointer, to a value that is never freed.
    unsafe { (*value).get() }
}

#[cold]
#[inline(never)]
fn make(key: &StaticKey) -> *const Value {
    let value = Box::into_raw(Box::new(Value::new()));
    key.set(value.cast()).expect("there are keys");
    value
}

type Ours = os_thread_local::ThreadLocal<Value>;
type ThreadLocal = thread_local::ThreadLocal<Value>;

static ROWS: [Row; 4] = [
    row(
        c"os-thread-local",
        accesses!(OURS.with(Value::get)),
        Some(accesses_to!(Ours, Ours::new(Value::new), |object| object.with(Value::get))),
    ),
    row(
        c"thread_local 1.1",
        accesses!(THREAD_LOCAL.get_or(Value::new).get()),
        Some(accesses_to!(ThreadLocal, ThreadLocal::new(), |object| object
            .get_or(Value::new)
            .get())),
    ),
    row(
        c"pthread key, raw",
        accesses!(read(&KEY)),
        Some(accesses_to!(StaticKey, StaticKey::new(), |key| read(key))),
    ),
    row(c"std, destructor", accesses!(STD.with(Value::get)), None),
];

/// The row with this index, or null behind the last one.
#[no_mangle]
pub extern "C" fn os_thread_local_benches_row(index: usize) -> *const Row {
    ROWS.get(index).map_or(std::ptr::null(), std::ptr::from_ref)
}
