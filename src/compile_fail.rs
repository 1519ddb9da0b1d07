//! What must not compile. Each example is one: `cargo test --doc` tries them, and with `RUSTC_BOOTSTRAP=1` it compares
//! the error's code too. This module is in no build, only in that test.
//!
//! Each bad example stands below one that differs in the point alone, and compiles: so it is known to fail for that reason.
//!
//! # An initializer that is not `Sync` is not shared
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
//! # An initializer that is not `Send` is not sent
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
//! # No reference escapes from `with`, `try_with` or `with_existing`
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
//! As what the closure returns, too (the compiler gives this error no code):
//! ```compile_fail
//! # use os_thread_local::ThreadLocal;
//! static FOO: ThreadLocal<u32> = ThreadLocal::new(|| 1);
//! let kept: &u32 = FOO.with(|v| v);
//! ```
//!
//! # Nor from `with_mut`, from a borrow of a `RefCell`, or into another thread
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
//! # A value does not borrow, or it could be destroyed after what it borrows is gone
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
//! # An initializer that borrows does not outlive what it borrows
//!
//! ```compile_fail,E0505
//! # use os_thread_local::ThreadLocal;
//! let text = String::from("text");
//! let object = ThreadLocal::from_fn(|| text.clone());
//! drop(text);
//! object.with(|_| ());
//! ```
//!
//! # `new` takes a closure that captures nothing
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
//! # Without an initializer only a call that has one makes a value
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
//!
//! # A `Ref` does not leave the closure
//!
//! (The compiler gives this error no code.)
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
//! # What takes a value away needs the object exclusively
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
//! # The methods of `Cell` and `RefCell` are for these
//!
//! ```compile_fail,E0599
//! # use os_thread_local::ThreadLocal;
//! let object = ThreadLocal::new(|| 1);
//! object.set(2);
//! ```
//!
//! # More errors may come
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
//! # Safe code hands no pointer to a destructor
//!
//! `key` exports the static; the program beside it has no `unsafe`.
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
//! Neither is a key without a destructor, and none turns into one:
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
//! # A key of the macro gives its value to nobody for longer, and never exclusively
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
//! # A key in a generic block has one type: its object would be one for all parameters
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
//! # An object, or a key, is not copied: the first to be dropped would end the values of both
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
