//! The library: objects of its own, and counts of their values.

use os_thread_local::{PerThread, ThreadLocal};
use std::cell::RefCell;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::Arc;

static BUILT: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicUsize = AtomicUsize::new(0);

struct Value(Vec<u8>);

impl Value {
    fn new() -> Value {
        BUILT.fetch_add(1, SeqCst);
        Value(vec![7; 100])
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        assert_eq!(self.0, [7; 100]);
        DROPPED.fetch_add(1, SeqCst);
    }
}

static STATIC: ThreadLocal<Value> = ThreadLocal::new(Value::new);
static OBJECTS: ThreadLocal<RefCell<Vec<Arc<ThreadLocal<Value>>>>> =
    ThreadLocal::new(|| RefCell::new(vec![]));
static VALUES: PerThread<u64> = PerThread::new(|| 1);

/// Leaves values in the calling thread.
#[no_mangle]
pub extern "C" fn plugin_use() {
    STATIC.with(|v| assert_eq!(v.0.len(), 100));
    VALUES.with(|v| assert_eq!(*v, 1));
    let object = Arc::new(ThreadLocal::new(Value::new));
    object.with(|v| assert_eq!(v.0.len(), 100));
    OBJECTS.with(|objects| objects.borrow_mut().push(object));
}

#[no_mangle]
pub extern "C" fn plugin_built() -> usize {
    BUILT.load(SeqCst)
}

#[no_mangle]
pub extern "C" fn plugin_dropped() -> usize {
    DROPPED.load(SeqCst)
}

/// The loader calls it with its lock held. Calls the program's function, if the program has left its address.
#[cfg(target_os = "linux")]
#[used]
#[link_section = ".init_array"]
static CONSTRUCTOR: extern "C" fn() = {
    extern "C" fn constructor() {
        if let Ok(address) = std::env::var("UNLOADING_CALLBACK") {
            let address: usize = address.parse().unwrap();
            // SAFETY: the program left the address of a function of this type.
            let callback: extern "C" fn() = unsafe { std::mem::transmute(address as *const ()) };
            callback();
        }
    }
    constructor
};
