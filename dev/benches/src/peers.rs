//! All that is measured, behind one trait: a number of thread-local objects that are used one after another.
//!
//! Every value is one word with a destructor that the optimizer cannot drop, unless a row says otherwise.

use std::cell::Cell;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// What the objects of a row hold: one word.
pub trait Payload: Send + 'static {
    fn new() -> Self;
    fn get(&self) -> u64;
}

/// The value of every row that does not say otherwise: it has a destructor.
pub struct Value(Cell<u64>);

impl Value {
    #[allow(clippy::new_without_default)] // `new` is passed around as a plain function
    #[inline]
    pub const fn new() -> Value {
        Value(Cell::new(1))
    }

    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.get()
    }
}

impl Payload for Value {
    #[inline]
    fn new() -> Self {
        Value::new()
    }

    #[inline(always)]
    fn get(&self) -> u64 {
        self.get()
    }
}

impl Drop for Value {
    #[inline]
    fn drop(&mut self) {
        black_box(self.0.get());
    }
}

/// A value without a destructor.
pub struct Plain(Cell<u64>);

impl Payload for Plain {
    #[inline]
    fn new() -> Self {
        Plain(Cell::new(1))
    }

    #[inline(always)]
    fn get(&self) -> u64 {
        self.0.get()
    }
}

pub const OURS: &str = "os-thread-local";
pub const ANCESTOR: &str = "os-thread-local 0.1.3";
pub const THREAD_LOCAL: &str = "thread_local 1.1";
pub const RAW: &str = "pthread key, raw";
pub const BOOST: &str = "boost::thread_specific_ptr";
pub const CPP: &str = "C++ thread_local, destructor";
pub const STD: &str = "std, destructor";
pub const STD_PLAIN: &str = "std, no destructor";
/// Of the counters only.
pub const ATOMIC: &str = "one AtomicU64 for all";
pub const NOTHING: &str = "the loop or thread alone";
/// Of the scenario with many other threads only: ours without them.
pub const ALONE: &str = "the same without other threads";

/// The peers that belong together, in the order of the tables and of the chart.
pub struct Group {
    pub title: &'static str,
    pub peers: &'static [&'static str],
}

/// `ALONE` is in none: its figure is that of another scenario.
pub const GROUPS: [Group; 4] = [
    Group { title: "this crate", peers: &[OURS] },
    Group { title: "other crates and libraries, objects", peers: &[ANCESTOR, THREAD_LOCAL, BOOST] },
    Group { title: "the C library's and the compiler's", peers: &[RAW, STD, STD_PLAIN, CPP] },
    Group { title: "for comparison", peers: &[ATOMIC, NOTHING] },
];

/// All columns, in order.
pub fn all() -> impl Iterator<Item = &'static str> {
    GROUPS.into_iter().flat_map(|group| group.peers.iter().copied())
}

/// A set of thread-local objects of one kind.
pub trait Objects: Send + Sync + Sized + 'static {
    const NAME: &'static str;
    /// How many of them a process can have, less some that others use.
    const MAX: Option<usize> = None;

    fn fits(count: usize) -> bool {
        Self::MAX.is_none_or(|max| count <= max)
    }

    fn create(count: usize) -> Self;
    /// Creates, uses and drops one object, which is on the stack and not in a set.
    fn life();
    /// Uses each object once, in order.
    fn use_all(&self);
    /// Uses the first object again and again, in one loop.
    fn use_first(&self, iterations: u64);
    /// Uses the first object once; a call that is never inlined.
    fn call_first(&self) -> u64;
}

/// What a peer written in Rust provides.
pub trait Object: Send + Sync + 'static {
    const NAME: &'static str;
    const MAX: Option<usize> = None;
    fn create() -> Self;
    fn read(&self) -> u64;
}

impl<O: Object> Objects for Vec<O> {
    const NAME: &'static str = O::NAME;
    const MAX: Option<usize> = O::MAX;

    fn create(count: usize) -> Self {
        (0..count).map(|_| O::create()).collect()
    }

    #[inline]
    fn life() {
        let object = O::create();
        black_box(black_box(&object).read());
    }

    #[inline(never)]
    fn use_all(&self) {
        for object in self {
            black_box(object.read());
        }
    }

    #[inline(never)]
    fn use_first(&self, iterations: u64) {
        let object = black_box(&self[0]);
        for _ in 0..iterations {
            black_box(object.read());
        }
    }

    #[inline(never)]
    fn call_first(&self) -> u64 {
        // SAFETY: no set in this package is empty. A bounds check would be measured.
        unsafe { self.get_unchecked(0) }.read()
    }
}

pub type Ours<V = Value> = Vec<os_thread_local::ThreadLocal<V>>;
pub type Ancestor<V = Value> = Vec<os_thread_local_0_1::ThreadLocal<V>>;
pub type ThreadLocalCrate<V = Value> = Vec<thread_local::ThreadLocal<V>>;
pub type Raw = Vec<RawKey>;
// `thread_local::ThreadLocal` is the peer of these: its values belong to the object, too.
pub type OursPerThread = Vec<os_thread_local::PerThread<Value>>;

/// glibc has 1,024 keys; a few are taken.
const KEYS: usize = 1_000;

macro_rules! object {
    ($name:expr, $($krate:ident)::+ <$V:ident> $(, $max:expr)?) => {
        impl<$V: Payload> Object for $($krate)::+<$V> {
            const NAME: &'static str = $name;
            $(const MAX: Option<usize> = Some($max);)?
            #[inline]
            fn create() -> Self {
                Self::new($V::new)
            }
            #[inline(always)]
            fn read(&self) -> u64 {
                self.with($V::get)
            }
        }
    };
}

object!(OURS, os_thread_local::ThreadLocal<V>);
object!(OURS, os_thread_local::PerThread<V>);
object!(ANCESTOR, os_thread_local_0_1::ThreadLocal<V>, KEYS);

impl<V: Payload> Object for thread_local::ThreadLocal<V> {
    const NAME: &'static str = THREAD_LOCAL;
    #[inline]
    fn create() -> Self {
        Self::new()
    }
    #[inline(always)]
    fn read(&self) -> u64 {
        self.get_or(V::new).get()
    }
}

/// The least that can be done with `pthread_getspecific`: a box per thread, made on first use.
pub struct RawKey(libc::pthread_key_t);

impl RawKey {
    #[inline]
    pub fn new() -> RawKey {
        unsafe extern "C" fn destroy(value: *mut libc::c_void) {
            // SAFETY: every value of the key is a leaked box of `Value`.
            drop(unsafe { Box::from_raw(value.cast::<Value>()) });
        }
        let mut key = 0;
        // SAFETY: `key` is written, `destroy` fits what is stored.
        let result = unsafe { libc::pthread_key_create(&mut key, Some(destroy)) };
        assert_eq!(result, 0);
        RawKey(key)
    }

    #[cold]
    #[inline(never)]
    fn make(&self) -> *const Value {
        let value = Box::into_raw(Box::new(Value::new()));
        // SAFETY: the key lives as long as `self`.
        let result = unsafe { libc::pthread_setspecific(self.0, value.cast()) };
        assert_eq!(result, 0);
        value
    }

    /// # Safety
    /// This thread's value must have been made.
    #[inline(always)]
    pub unsafe fn read_unchecked(&self) -> u64 {
        // SAFETY: the caller's promise.
        unsafe { read_unchecked(self.0) }
    }
}

/// `pthread_getspecific` and one dereference, without so much as a null check.
///
/// # Safety
/// The key is one of `RawKey`, and this thread's value has been made.
#[inline(always)]
unsafe fn read_unchecked(key: libc::pthread_key_t) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { (*libc::pthread_getspecific(key).cast::<Value>()).get() }
}

impl Default for RawKey {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for RawKey {
    fn drop(&mut self) {
        // SAFETY: the key is ours and not used after this. Like 0.1.3, this leaks the values of other threads.
        unsafe {
            let value = libc::pthread_getspecific(self.0).cast::<Value>();
            if !value.is_null() {
                drop(Box::from_raw(value));
            }
            libc::pthread_key_delete(self.0);
        }
    }
}

impl Object for RawKey {
    const NAME: &'static str = RAW;
    const MAX: Option<usize> = Some(KEYS);
    #[inline]
    fn create() -> Self {
        Self::new()
    }
    #[inline(always)]
    fn read(&self) -> u64 {
        // SAFETY: the key lives as long as `self`, its values are boxes of `Value`.
        unsafe {
            let mut value = libc::pthread_getspecific(self.0).cast::<Value>().cast_const();
            if value.is_null() {
                value = self.make();
            }
            (*value).get()
        }
    }
}

/// A static of each kind: `loop_` reads it again and again where the compiler may keep what it can prove constant
/// (an address of compiler-made TLS, say); `call` reads it once, and nothing survives the call.
#[derive(Clone, Copy)]
pub struct Fixed {
    pub name: &'static str,
    pub loop_: fn(u64),
    /// The value is returned: one that is stored on the stack and never used may be waited for all the same.
    pub call: fn() -> u64,
    /// So many such calls.
    pub calls: fn(u64),
}

macro_rules! fixed {
    ($name:expr, $read:expr) => {{
        #[inline(never)]
        fn loop_(iterations: u64) {
            for _ in 0..iterations {
                black_box($read);
            }
        }
        #[inline(never)]
        fn call() -> u64 {
            $read
        }
        fn calls(iterations: u64) {
            // Not for the optimizer to see through.
            let call = black_box(call as fn() -> u64);
            for _ in 0..iterations {
                black_box(call());
            }
        }
        Fixed { name: $name, loop_, call, calls }
    }};
}

/// One static of every kind. Each has been used once by the calling thread.
pub fn statics() -> Vec<Fixed> {
    use std::sync::LazyLock;

    static OURS_: os_thread_local::ThreadLocal<Value> =
        os_thread_local::ThreadLocal::new(Value::new);
    static ANCESTOR_: LazyLock<os_thread_local_0_1::ThreadLocal<Value>> =
        LazyLock::new(|| os_thread_local_0_1::ThreadLocal::new(Value::new));
    static THREAD_LOCAL_: thread_local::ThreadLocal<Value> = thread_local::ThreadLocal::new();
    static RAW_: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        #[allow(clippy::missing_const_for_thread_local)] // the lazy kind is what is measured
        static STD_: Value = Value(Cell::new(black_box(1)));
        static STD_PLAIN_: Cell<u64> = const { Cell::new(1) };
    }

    static RAW_MADE: LazyLock<RawKey> = LazyLock::new(RawKey::new);
    RAW_MADE.read();
    RAW_.store(RAW_MADE.0, Relaxed);

    #[allow(unused_mut)] // where there is no C++
    let mut all = vec![
        fixed!(OURS, OURS_.with(Value::get)),
        fixed!(RAW, {
            // SAFETY: this thread's value was made above.
            unsafe { read_unchecked(RAW_.load(Relaxed)) }
        }),
        fixed!(ANCESTOR, ANCESTOR_.with(Value::get)),
        fixed!(THREAD_LOCAL, THREAD_LOCAL_.get_or(Value::new).get()),
        fixed!(STD, STD_.with(Value::get)),
        fixed!(STD_PLAIN, STD_PLAIN_.with(Cell::get)),
        fixed!(NOTHING, 1_u64),
    ];
    #[cfg(peer_cpp)]
    all.push(Fixed {
        name: CPP,
        // SAFETY: the functions ask for nothing.
        loop_: |iterations| unsafe { cpp::cpp_static_loop(iterations) },
        call: cpp::static_call,
        calls: |iterations| (0..iterations).for_each(|_| _ = black_box(cpp::static_call())),
    });
    #[cfg(peer_boost)]
    all.push(Fixed {
        name: BOOST,
        // SAFETY: the functions ask for nothing.
        loop_: |iterations| unsafe { cpp::boost_static_loop(iterations) },
        call: cpp::boost_call,
        calls: |iterations| (0..iterations).for_each(|_| _ = black_box(cpp::boost_call())),
    });
    for row in &all {
        black_box((row.call)());
    }
    all
}

#[cfg(peer_cpp)]
mod cpp {
    extern "C" {
        pub fn cpp_static_loop(iterations: u64);
        fn cpp_static_access() -> u64;
    }

    // The access is a call in C++ already.
    #[inline(always)]
    pub fn static_call() -> u64 {
        // SAFETY: the function asks for nothing.
        unsafe { cpp_static_access() }
    }

    #[cfg(peer_boost)]
    pub use boost::*;

    #[cfg(peer_boost)]
    mod boost {
        use std::ffi::c_void;

        extern "C" {
            pub fn boost_static_loop(iterations: u64);
            fn boost_static_access() -> u64;
            pub fn boost_life();
            pub fn boost_objects_new(count: u64) -> *mut c_void;
            pub fn boost_objects_drop(objects: *mut c_void);
            pub fn boost_objects_use(objects: *mut c_void);
            pub fn boost_object_loop(objects: *mut c_void, iterations: u64);
            pub fn boost_object_access(objects: *mut c_void) -> u64;
        }

        #[inline(always)]
        pub fn boost_call() -> u64 {
            // SAFETY: the function asks for nothing.
            unsafe { boost_static_access() }
        }
    }
}

/// Objects of `boost::thread_specific_ptr`.
#[cfg(peer_boost)]
pub struct Boost(*mut std::ffi::c_void);

// SAFETY: thread_specific_ptr is made to be shared.
#[cfg(peer_boost)]
unsafe impl Send for Boost {}
// SAFETY: as above.
#[cfg(peer_boost)]
unsafe impl Sync for Boost {}

#[cfg(peer_boost)]
impl Drop for Boost {
    fn drop(&mut self) {
        // SAFETY: made by `create`, dropped once.
        unsafe { cpp::boost_objects_drop(self.0) }
    }
}

#[cfg(peer_boost)]
impl Objects for Boost {
    const NAME: &'static str = BOOST;

    fn create(count: usize) -> Self {
        // SAFETY: the function asks for nothing.
        Boost(unsafe { cpp::boost_objects_new(count as u64) })
    }
    fn life() {
        // SAFETY: the function asks for nothing.
        unsafe { cpp::boost_life() }
    }
    fn use_all(&self) {
        // SAFETY: made by `create`.
        unsafe { cpp::boost_objects_use(self.0) }
    }
    fn use_first(&self, iterations: u64) {
        // SAFETY: made by `create`.
        unsafe { cpp::boost_object_loop(self.0, iterations) }
    }
    #[inline(always)]
    fn call_first(&self) -> u64 {
        // SAFETY: made by `create`.
        unsafe { cpp::boost_object_access(self.0) }
    }
}
