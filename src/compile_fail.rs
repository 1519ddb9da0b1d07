//! Programs that must not compile.
//!
//! `cargo test --doc` compiles them. With `RUSTC_BOOTSTRAP=1` it also compares the codes of the errors. The module exists only in this
//! test.
//!
//! A program that compiles precedes each group. It differs from the programs that fail only in the point of the heading, which shows that
//! they fail for this reason.
//!
//! # Threads cannot share an object whose initializer is not `Sync`
//!
//! ```
//! # use os_thread_local::ThreadLocal;
//! let start = std::sync::atomic::AtomicU32::new(1);
//! let object = ThreadLocal::from_fn(move || start.load(std::sync::atomic::Ordering::Relaxed));
//! std::thread::scope(|s| { s.spawn(|| object.with(|_| ())); });
//! ```
//! ```compile_fail,E0277
//! # use os_thread_local::ThreadLocal;
//! let start = std::cell::Cell::new(1);
//! let object = ThreadLocal::from_fn(move || start.get());
//! std::thread::scope(|s| { s.spawn(|| object.with(|_| ())); });
//! ```
//!
//! # An object whose initializer is not `Send` cannot be sent to another thread
//!
//! ```
//! # use os_thread_local::ThreadLocal;
//! let start = std::sync::Arc::new(1);
//! let object = ThreadLocal::from_fn(move || *start);
//! std::thread::spawn(move || object.with(|_| ())).join().unwrap();
//! ```
//! ```compile_fail,E0277
//! # use os_thread_local::ThreadLocal;
//! let start = std::rc::Rc::new(1);
//! let object = ThreadLocal::from_fn(move || *start);
//! std::thread::spawn(move || object.with(|_| ())).join().unwrap();
//! ```
//!
//! # References cannot escape from `with`, `try_with` or `with_existing`
//!
//! ```
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! let mut kept = None;
//! object.with(|v| kept = Some(*v));
//! ```
//! ```compile_fail,E0521
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! let mut kept = None;
//! object.with(|v| kept = Some(v));
//! ```
//! ```compile_fail,E0521
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! let mut kept = None;
//! let _ = object.try_with(|v| kept = Some(v));
//! ```
//! ```compile_fail,E0521
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! let mut kept = None;
//! let _ = object.with_existing(|v| kept = Some(v));
//! ```
//! Nor can the closure return them (this error has no code):
//! ```compile_fail
//! # use os_thread_local::ThreadLocal;
//! static FOO: ThreadLocal<u32> = ThreadLocal::new(|| 1);
//! let kept: &u32 = FOO.with(|v| v);
//! ```
//!
//! # References cannot escape from `with_mut`, from a borrow of a `RefCell`, or to another thread
//!
//! ```
//! # use os_thread_local::ThreadLocal;
//! let mut object = ThreadLocal::new(|| 1);
//! let mut kept = None;
//! object.with_mut(|v| kept = Some(*v));
//! ```
//! ```compile_fail,E0521
//! # use os_thread_local::ThreadLocal;
//! let mut object = ThreadLocal::new(|| 1);
//! let mut kept = None;
//! object.with_mut(|v| kept = Some(v));
//! ```
//! ```compile_fail,E0521
//! # use os_thread_local::ThreadLocal;
//! # use std::cell::RefCell;
//! let object = ThreadLocal::new(|| RefCell::new(1));
//! let mut kept = None;
//! object.with_borrow(|v| kept = Some(v));
//! ```
//! ```compile_fail,E0521
//! # use os_thread_local::ThreadLocal;
//! # use std::cell::RefCell;
//! let object = ThreadLocal::new(|| RefCell::new(1));
//! let mut kept = None;
//! object.with_borrow_mut(|v| kept = Some(v));
//! ```
//! ```compile_fail,E0521
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! object.with(|v| std::thread::spawn(move || println!("{}", v)));
//! ```
//!
//! # A value cannot borrow, because it could be destroyed after the end of the borrow
//!
//! ```
//! # use os_thread_local::ThreadLocal;
//! let text = String::from("text");
//! let object = ThreadLocal::from_fn(|| text.clone());
//! object.with(|_| ());
//! ```
//! ```compile_fail,E0597
//! # use os_thread_local::ThreadLocal;
//! let text = String::from("text");
//! let object = ThreadLocal::from_fn(|| text.as_str());
//! object.with(|_| ());
//! ```
//! ```compile_fail,E0597
//! # use os_thread_local::ThreadLocal;
//! # use std::cell::Cell;
//! let text = String::from("text");
//! let object = ThreadLocal::new(|| Cell::new(""));
//! object.set(&text);
//! ```
//!
//! # An initializer cannot outlive what it borrows
//!
//! ```compile_fail,E0505
//! # use os_thread_local::ThreadLocal;
//! let text = String::from("text");
//! let object = ThreadLocal::from_fn(|| text.clone());
//! drop(text);
//! object.with(|_| ());
//! ```
//!
//! # `new` rejects a closure that captures
//!
//! ```
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! # object.with(|_| ());
//! ```
//! ```compile_fail,E0308
//! # use os_thread_local::ThreadLocal;
//! let start = 1;
//! let object = ThreadLocal::new(|| start);
//! # object.with(|_| ());
//! ```
//!
//! # A field without a type for the initializer takes no closure that captures, and a `static` cannot name one
//!
//! ```
//! # use os_thread_local::ThreadLocal;
//! struct Field<F> { object: ThreadLocal<u32, F> }
//! let start = 1;
//! let field = Field { object: ThreadLocal::from_fn(|| start) };
//! # field.object.with(|_| ());
//! static FOO: ThreadLocal<u32> = ThreadLocal::new(|| 1);
//! ```
//! ```compile_fail,E0308
//! # use os_thread_local::ThreadLocal;
//! struct Field { object: ThreadLocal<u32> }
//! let start = 1;
//! let field = Field { object: ThreadLocal::from_fn(|| start) };
//! # field.object.with(|_| ());
//! ```
//! ```compile_fail,E0121
//! # use os_thread_local::ThreadLocal;
//! static FOO: ThreadLocal<u32, _> = ThreadLocal::from_fn(|| 1);
//! ```
//!
//! # The methods of other crates that return references do not exist, nor those that visit the values of other threads
//!
//! (The pages of both types have a section with the answer to each of these errors.)
//!
//! ```
//! # use os_thread_local::PerThread;
//! let object = PerThread::new(|| 1);
//! object.with_or(|| 1, |_| ());
//! object.iter();
//! for _ in object {}
//! ```
//! ```compile_fail,E0599
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! object.get_or(|| 1);
//! ```
//! ```compile_fail,E0599
//! # use os_thread_local::PerThread;
//! let object = PerThread::new(|| 1);
//! object.get_or(|| 1);
//! ```
//! ```compile_fail,E0599
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! object.iter();
//! ```
//! ```compile_fail,E0277
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! for _ in object {}
//! ```
//! ```compile_fail,E0599
//! # use os_thread_local::PerThread;
//! # use std::cell::RefCell;
//! let object = PerThread::new(|| RefCell::new(1));
//! object.borrow_mut();
//! ```
//!
//! # Without an initializer the methods that need one do not exist
//!
//! ```
//! # use os_thread_local::{NoInit, ThreadLocal};
//! let object: ThreadLocal<u32, NoInit> = ThreadLocal::without_init();
//! object.with_or(|| 1, |_| ());
//! ```
//! ```compile_fail,E0599
//! # use os_thread_local::{NoInit, ThreadLocal};
//! let object: ThreadLocal<u32, NoInit> = ThreadLocal::without_init();
//! object.with(|_| ());
//! ```
//! ```compile_fail,E0599
//! # use os_thread_local::{NoInit, ThreadLocal};
//! # use std::cell::Cell;
//! let object: ThreadLocal<Cell<u32>, NoInit> = ThreadLocal::without_init();
//! object.get();
//! ```
//! ```compile_fail,E0599
//! # use os_thread_local::{BorrowCell, NoInit, PerThread};
//! let object: PerThread<BorrowCell<u32>, NoInit> = PerThread::without_init();
//! object.borrow_mut();
//! ```
//!
//! # An object whose type does not say whether it has an initializer has no default
//!
//! ```
//! # use os_thread_local::{NoInit, ThreadLocal};
//! let object: ThreadLocal<u32> = ThreadLocal::default();
//! object.with_or(|| 1, |_| ());
//! let object = ThreadLocal::<u32>::default();
//! object.with(|_| ());
//! let object = ThreadLocal::<u32, NoInit>::default();
//! object.with_or(|| 1, |_| ());
//! ```
//! ```compile_fail,E0283
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::default();
//! object.with_or(|| 1, |_| ());
//! ```
//!
//! # A `Ref` cannot escape from the closure
//!
//! (The first error has no code.)
//!
//! ```
//! # use os_thread_local::ThreadLocal;
//! # use std::cell::{Ref, RefCell};
//! static FOO: ThreadLocal<RefCell<u32>> = ThreadLocal::new(|| RefCell::new(1));
//! fn foo() -> u32 { FOO.with(|v| *v.borrow()) }
//! ```
//! ```compile_fail
//! # use os_thread_local::ThreadLocal;
//! # use std::cell::{Ref, RefCell};
//! static FOO: ThreadLocal<RefCell<u32>> = ThreadLocal::new(|| RefCell::new(1));
//! fn foo() -> Ref<'static, u32> { FOO.with(|v| v.borrow()) }
//! ```
//! ```compile_fail,E0521
//! # use os_thread_local::thread_local;
//! # use std::cell::{Ref, RefCell};
//! thread_local!(static FOO: RefCell<u32> = RefCell::new(1));
//! let mut kept = None;
//! FOO.with(|v| kept = Some(v.borrow()));
//! ```
//!
//! # Removing a value needs exclusive access to the object
//!
//! ```
//! # use os_thread_local::ThreadLocal;
//! let mut object = ThreadLocal::new(|| 1);
//! object.with(|_| ());
//! object.remove();
//! ```
//! ```compile_fail,E0596
//! # use os_thread_local::ThreadLocal;
//! static FOO: ThreadLocal<u32> = ThreadLocal::new(|| 1);
//! FOO.remove();
//! ```
//! ```compile_fail,E0502
//! # use os_thread_local::ThreadLocal;
//! let mut object = ThreadLocal::new(|| 1);
//! object.with(|_| object.remove());
//! ```
//! ```compile_fail,E0596
//! # use os_thread_local::ThreadLocal;
//! static FOO: ThreadLocal<u32> = ThreadLocal::new(|| 1);
//! FOO.with_mut(|v| *v = 2);
//! ```
//! ```compile_fail,E0505
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! object.with(|_| drop(object));
//! ```
//!
//! # Other types do not have the methods for `Cell` and `RefCell`
//!
//! ```compile_fail,E0599
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! object.set(2);
//! ```
//!
//! # A match on `AccessError` needs a wildcard arm
//!
//! ```compile_fail,E0004
//! # use os_thread_local::{AccessError, ThreadLocal};
//! let object = ThreadLocal::new(|| 1);
//! match object.try_with(|v| *v) {
//!     Ok(_) => (),
//!     Err(AccessError::Destroyed | AccessError::Recursive) => (),
//!     Err(AccessError::OutOfKeys | AccessError::OutOfMemory | AccessError::Borrowed) => (),
//! }
//! ```
//!
//! # Safe code cannot pass a pointer to a destructor
//!
//! The module `key` exports a static to a program without `unsafe`.
//! ```no_run
//! #![forbid(unsafe_code)]
//! mod key { pub static KEY: os_thread_local::key::StaticKey = os_thread_local::key::StaticKey::new(); }
//! std::thread::spawn(|| key::KEY.set(8 as *mut std::ffi::c_void)).join().unwrap().unwrap();
//! let key = os_thread_local::key::Key::new().unwrap();
//! key.set(8 as *mut std::ffi::c_void).unwrap();
//! ```
//! ```compile_fail,E0133
//! #![forbid(unsafe_code)]
//! mod key {
//!     unsafe extern "system" fn destructor(_: *mut std::ffi::c_void) {}
//!     use os_thread_local::key::StaticDestructorKey;
//!     pub static KEY: StaticDestructorKey = StaticDestructorKey::new(destructor);
//! }
//! std::thread::spawn(|| key::KEY.set(8 as *mut std::ffi::c_void)).join().unwrap().unwrap();
//! ```
//! ```compile_fail,E0133
//! #![forbid(unsafe_code)]
//! unsafe extern "system" fn destructor(_: *mut std::ffi::c_void) {}
//! let key = os_thread_local::key::DestructorKey::new(destructor).unwrap();
//! key.set(8 as *mut std::ffi::c_void).unwrap();
//! ```
//! A key with a destructor does not convert to one without:
//! ```compile_fail,E0308
//! # use os_thread_local::key::{DestructorKey, Key};
//! unsafe extern "system" fn destructor(_: *mut std::ffi::c_void) {}
//! let key: Key = DestructorKey::new(destructor).unwrap();
//! ```
//! ```compile_fail,E0614
//! # use os_thread_local::key::{StaticDestructorKey, StaticKey};
//! unsafe extern "system" fn destructor(_: *mut std::ffi::c_void) {}
//! let key = StaticDestructorKey::new(destructor);
//! let key: &StaticKey = &*key;
//! ```
//!
//! # A `LocalKey` lends its value only to the closure, and never exclusively
//!
//! ```
//! # use os_thread_local::thread_local;
//! thread_local!(static FOO: u32 = 1);
//! let mut kept = None;
//! FOO.with(|v| kept = Some(*v));
//! let _ = FOO.with_existing(|v| kept = Some(*v));
//! ```
//! ```compile_fail,E0521
//! # use os_thread_local::thread_local;
//! thread_local!(static FOO: u32 = 1);
//! let mut kept = None;
//! FOO.with(|v| kept = Some(v));
//! ```
//! ```compile_fail,E0521
//! # use os_thread_local::thread_local;
//! thread_local!(static FOO: u32 = 1);
//! let mut kept = None;
//! let _ = FOO.with_existing(|v| kept = Some(v));
//! ```
//! ```compile_fail,E0596
//! # use os_thread_local::thread_local;
//! thread_local!(static FOO: u32 = 1);
//! FOO.with_mut(|v| *v = 2);
//! ```
//! ```compile_fail,E0596
//! # use os_thread_local::thread_local;
//! thread_local!(static FOO: u32 = 1);
//! FOO.remove();
//! ```
//!
//! # A key in a generic block cannot use the parameters, because one object serves all of them
//!
//! ```
//! # use os_thread_local::thread_local;
//! # use std::cell::Cell;
//! struct Generic<T>(T);
//! impl<T> Generic<T> { thread_local!(static FOO: Cell<u32> = Cell::new(1)); }
//! Generic::<u8>::FOO.set(2);
//! ```
//! ```compile_fail,E0401
//! # use os_thread_local::thread_local;
//! # use std::cell::Cell;
//! struct Generic<T>(T);
//! impl<T: 'static> Generic<T> { thread_local!(static FOO: Cell<Option<T>> = Cell::new(None)); }
//! Generic::<u8>::FOO.set(None);
//! ```
//! ```compile_fail,E0401
//! # use os_thread_local::thread_local;
//! # use std::cell::Cell;
//! fn generic<T: 'static>() { thread_local!(static FOO: Cell<Option<T>> = Cell::new(None)); }
//! ```
//!
//! # Objects and keys cannot be copied, because dropping one copy would destroy the values of both
//!
//! ```
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! let object = std::rc::Rc::new(object).clone();
//! ```
//! ```compile_fail,E0599
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! let object = object.clone();
//! ```
//! ```compile_fail,E0382
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! let (one, two) = (object, object);
//! ```
//! ```compile_fail,E0599
//! let key = os_thread_local::key::Key::new().unwrap();
//! let key = key.clone();
//! ```
//! ```compile_fail,E0382
//! let key = os_thread_local::key::Key::new().unwrap();
//! let (one, two) = (key, key);
//! ```
//! ```compile_fail,E0599
//! unsafe extern "system" fn destructor(_: *mut std::ffi::c_void) {}
//! let key = os_thread_local::key::DestructorKey::new(destructor).unwrap();
//! let key = key.clone();
//! ```
