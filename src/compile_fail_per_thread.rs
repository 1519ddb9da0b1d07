//! Programs with `PerThread` that must not compile. See `compile_fail`.
//!
//! Another thread could inherit a value that is not `Send`:
//!
//! ```
//! let _ = os_thread_local::PerThread::new(|| std::sync::Arc::new(1));
//! ```
//! ```compile_fail,E0277
//! let _ = os_thread_local::PerThread::new(|| std::rc::Rc::new(1));
//! ```
//!
//! `new` rejects a closure that captures:
//!
//! ```
//! let start = 1;
//! let _ = os_thread_local::PerThread::from_fn(|| start);
//! ```
//! ```compile_fail,E0308
//! let start = 1;
//! let _ = os_thread_local::PerThread::new(|| start);
//! ```
//!
//! Without an initializer the methods that need one do not exist:
//!
//! ```
//! let values = os_thread_local::PerThread::without_init();
//! values.with_or(|| 1, |_| ());
//! ```
//! ```compile_fail,E0599
//! let values = os_thread_local::PerThread::<u32, _>::without_init();
//! values.with(|_| ());
//! ```
//!
//! Every thread calls the initializer, which must therefore be `Sync`:
//!
//! ```
//! fn sync(_: impl Sync) {}
//! let text = std::sync::Arc::new(String::new());
//! sync(os_thread_local::PerThread::<usize, _>::from_fn(move || text.len()));
//! ```
//! ```compile_fail,E0277
//! fn sync(_: impl Sync) {}
//! let text = std::rc::Rc::new(String::new());
//! sync(os_thread_local::PerThread::<usize, _>::from_fn(move || text.len()));
//! ```
//!
//! Other threads can visit only values that are `Sync`:
//!
//! ```
//! let values = os_thread_local::PerThread::new(|| std::sync::Mutex::new(1));
//! values.for_each(|_| ());
//! for _ in &values {}
//! let _ = values.iter();
//! ```
//! ```compile_fail,E0277
//! let values = os_thread_local::PerThread::new(|| std::cell::Cell::new(1));
//! values.for_each(|_| ());
//! ```
//! ```compile_fail,E0277
//! let values = os_thread_local::PerThread::new(|| std::cell::Cell::new(1));
//! let _ = values.iter();
//! ```
//! ```compile_fail,E0277
//! let values = os_thread_local::PerThread::new(|| std::cell::Cell::new(1));
//! for _ in &values {}
//! ```
//!
//! References cannot escape from the closure, because another thread could have inherited the value:
//!
//! ```
//! let values = os_thread_local::PerThread::new(|| String::new());
//! let _ = values.with(|v| v.clone());
//! let _ = values.with_existing(|v| v.clone());
//! ```
//! ```compile_fail
//! let values = os_thread_local::PerThread::new(|| String::new());
//! let _ = values.with(|v| v);
//! ```
//! ```compile_fail
//! let values = os_thread_local::PerThread::new(|| String::new());
//! let _ = values.with_existing(|v| v);
//! ```
//! ```compile_fail,E0521
//! let values = os_thread_local::PerThread::new(|| String::new());
//! let mut kept = None;
//! values.with(|v| kept = Some(v));
//! ```
//!
//! What the values borrow must outlive the object and the iterators, which destroy values:
//!
//! ```
//! # use os_thread_local::PerThread;
//! struct Report<'a>(&'a str);
//! impl Drop for Report<'_> { fn drop(&mut self) { println!("{}", self.0) } }
//! let text = String::new();
//! let mut object = PerThread::from_fn(|| Report(&text));
//! object.with(|_| ());
//! drop(object.drain());
//! let _rest = object.into_iter();
//! ```
//! ```compile_fail,E0597
//! # use os_thread_local::PerThread;
//! struct Report<'a>(&'a str);
//! impl Drop for Report<'_> { fn drop(&mut self) { println!("{}", self.0) } }
//! let _object;
//! let text = String::new();
//! let text = &text;
//! let inner = String::new();
//! _object = PerThread::<Report<'_>, _>::from_fn(move || Report(text));
//! _object.with_or(|| Report(&inner), |_| ());
//! ```
//! ```compile_fail,E0597
//! # use os_thread_local::PerThread;
//! struct Report<'a>(&'a str);
//! impl Drop for Report<'_> { fn drop(&mut self) { println!("{}", self.0) } }
//! let _rest;
//! let text = String::new();
//! let object = PerThread::from_fn(|| Report(&text));
//! object.with(|_| ());
//! _rest = object.into_iter();
//! ```
//! ```compile_fail,E0597
//! # use os_thread_local::PerThread;
//! struct Report<'a>(&'a str);
//! impl Drop for Report<'_> { fn drop(&mut self) { println!("{}", self.0) } }
//! fn make(_: &()) -> Report<'static> { Report("") }
//! let mut object = PerThread::from_fn(|| make(&()));
//! let _rest;
//! let text = String::new();
//! let mut shorter = PerThread::from_fn(|| Report(&text));
//! shorter.with(|_| ());
//! object.with(|_| ());
//! drop(object.drain());
//! _rest = shorter.drain();
//! ```
//!
//! A value of type `&'static T` cannot be replaced by a reference with a shorter lifetime:
//!
//! ```
//! # use os_thread_local::PerThread;
//! let text = String::new();
//! let mut object: PerThread<&str> = PerThread::new(|| "");
//! *object.get_mut() = &text;
//! ```
//! ```compile_fail,E0597
//! # use os_thread_local::PerThread;
//! let mut object: PerThread<&'static str> = PerThread::new(|| "");
//! {
//!     let text = String::new();
//!     *object.get_mut() = &text;
//! }
//! object.with(|_| ());
//! ```
//!
//! An object is invariant in `T`, because a shared object stores values:
//!
//! ```
//! # use os_thread_local::{PerThread, ThreadLocal};
//! fn any(_: &str) {}
//! let object = PerThread::new(|| any as fn(&'static str));
//! let same: &PerThread<fn(&'static str)> = &object;
//! let object = ThreadLocal::new(|| any as fn(&'static str));
//! let same: &ThreadLocal<fn(&'static str)> = &object;
//! ```
//! ```compile_fail,E0308
//! # use os_thread_local::PerThread;
//! fn any(_: &str) {}
//! let object = PerThread::new(|| any as for<'a> fn(&'a str));
//! let same: &PerThread<fn(&'static str)> = &object;
//! ```
//! ```compile_fail,E0308
//! # use os_thread_local::ThreadLocal;
//! fn any(_: &str) {}
//! let object = ThreadLocal::new(|| any as for<'a> fn(&'a str));
//! let same: &ThreadLocal<fn(&'static str)> = &object;
//! ```
//!
//! ```
//! # use os_thread_local::PerThread;
//! let text = String::new();
//! let object: PerThread<&str> = PerThread::new(|| "");
//! object.with_or(|| &text, |_| ());
//! ```
//! ```compile_fail,E0597
//! # use os_thread_local::PerThread;
//! let object: PerThread<&'static str> = PerThread::new(|| "");
//! {
//!     let text = String::new();
//!     object.with_or(|| &text, |_| ());
//! }
//! object.with(|_| ());
//! ```
//!
//! Exclusive access excludes every other access:
//!
//! ```
//! let mut object = os_thread_local::PerThread::new(|| 1);
//! object.with_mut(|first| *first = 2);
//! object.with(|_| ());
//! ```
//! ```compile_fail,E0499
//! let mut object = os_thread_local::PerThread::new(|| 1);
//! object.with_mut(|_| object.clear());
//! ```
//! ```compile_fail,E0502
//! let mut object = os_thread_local::PerThread::new(|| 1);
//! let first = object.get_mut();
//! object.with(|_| ());
//! *first = 2;
//! ```
//! ```compile_fail,E0502
//! let mut object = os_thread_local::PerThread::new(|| 1);
//! let mut values = object.iter_mut();
//! object.with(|_| ());
//! values.next();
//! ```
//! ```compile_fail,E0502
//! let mut object = os_thread_local::PerThread::new(|| 1);
//! let mut values = object.iter();
//! object.clear();
//! values.next();
//! ```
//! ```compile_fail,E0499
//! let mut object = os_thread_local::PerThread::new(|| 1);
//! let mut values = object.drain();
//! object.clear();
//! values.next();
//! ```
//! ```compile_fail,E0502
//! let mut object = os_thread_local::PerThread::new(|| 1);
//! let values = object.drain();
//! object.with(|_| ());
//! drop(values);
//! ```
//!
//! Objects cannot be copied, because dropping one copy would destroy the values of both:
//!
//! ```compile_fail,E0599
//! let object = os_thread_local::PerThread::new(|| 1);
//! let object = object.clone();
//! ```
//!
//! A value cannot borrow its own object, because its destructor could use the object while that is being dropped:
//!
//! ```
//! # use os_thread_local::PerThread;
//! # use std::cell::Cell;
//! struct Node<'a>(Cell<Option<&'a PerThread<u32>>>);
//! let other = PerThread::new(|| 1);
//! let object = PerThread::new(|| Node(Cell::new(None)));
//! object.with(|node| node.0.set(Some(&other)));
//! ```
//! ```compile_fail,E0597
//! # use os_thread_local::PerThread;
//! # use std::cell::Cell;
//! struct Node<'a>(Cell<Option<&'a PerThread<Node<'a>>>>);
//! let object = PerThread::new(|| Node(Cell::new(None)));
//! object.with(|node| node.0.set(Some(&object)));
//! ```
//!
//! `IterMut` is invariant in `T`, because it lends values exclusively:
//!
//! ```
//! # use os_thread_local::{per_thread::IterMut, PerThread};
//! let mut object: PerThread<&'static str> = PerThread::new(|| "");
//! let mut values: IterMut<'_, &'static str> = object.iter_mut();
//! let text: &str = "static";
//! values.for_each(|value| *value = text);
//! ```
//! ```compile_fail,E0597
//! # use os_thread_local::{per_thread::IterMut, PerThread};
//! fn fill<'a>(values: IterMut<'_, &'a str>, text: &'a str) { values.for_each(|value| *value = text) }
//! let mut object: PerThread<&'static str> = PerThread::new(|| "");
//! {
//!     let text = String::new();
//!     fill(object.iter_mut(), &text);
//! }
//! object.with(|_| ());
//! ```
//!
//! A guard does not outlive the object:
//!
//! ```
//! # use os_thread_local::{BorrowCell, PerThread};
//! let values = PerThread::new(|| BorrowCell::new(1));
//! let guard = values.borrow_mut();
//! drop(guard);
//! drop(values);
//! ```
//! ```compile_fail,E0505
//! # use os_thread_local::{BorrowCell, PerThread};
//! let values = PerThread::new(|| BorrowCell::new(1));
//! let guard = values.borrow_mut();
//! drop(values);
//! drop(guard);
//! ```
//! ```compile_fail,E0505
//! # use os_thread_local::PerThread;
//! let values = PerThread::new(|| 1);
//! let value = values.get_ref();
//! drop(values);
//! assert_eq!(*value, 1);
//! ```
//!
//! While a guard exists, values are neither visited nor taken out:
//!
//! ```compile_fail,E0502
//! # use os_thread_local::{BorrowCell, PerThread};
//! let mut values = PerThread::new(|| BorrowCell::new(1));
//! let guard = values.borrow_mut();
//! values.drain();
//! drop(guard);
//! ```
//! ```compile_fail,E0502
//! # use os_thread_local::{BorrowCell, PerThread};
//! let mut values = PerThread::new(|| BorrowCell::new(1));
//! let guard = values.borrow_mut();
//! values.iter_mut().for_each(|value| *value.get_mut() = 2);
//! drop(guard);
//! ```
//! ```compile_fail,E0277
//! # use os_thread_local::{BorrowCell, PerThread};
//! let values = PerThread::new(|| BorrowCell::new(1));
//! let _ = values.iter();
//! ```
//!
//! A reference leaves the closure only if the value is `Sync`, because a thread that inherits the value could use it, too:
//!
//! ```
//! let values = os_thread_local::PerThread::new(|| std::sync::Mutex::new(1));
//! let value = values.get_ref();
//! let value = values.get_ref_or(|| unreachable!());
//! ```
//! ```compile_fail,E0277
//! let values = os_thread_local::PerThread::new(|| std::cell::Cell::new(1));
//! let value = values.get_ref();
//! ```
//! ```compile_fail,E0277
//! let values = os_thread_local::PerThread::new(|| std::cell::Cell::new(1));
//! let value = values.get_ref_or(|| unreachable!());
//! ```
//! ```compile_fail,E0277
//! # use os_thread_local::{BorrowCell, PerThread};
//! let values = PerThread::new(|| BorrowCell::new(1));
//! let value = values.get_ref();
//! ```
//!
//! A guard of a value that is not `Sync` can be sent, not shared:
//!
//! ```
//! # use os_thread_local::{BorrowCell, PerThread};
//! fn send<T: Send>(_: T) {}
//! let values = PerThread::new(|| BorrowCell::new(std::cell::Cell::new(1)));
//! send(values.borrow_mut());
//! ```
//! ```compile_fail,E0277
//! # use os_thread_local::{BorrowCell, PerThread};
//! fn sync<T: Sync>(_: T) {}
//! let values = PerThread::new(|| BorrowCell::new(std::cell::Cell::new(1)));
//! sync(values.borrow_mut());
//! ```
//!
//! A guard is invariant in `T`, because it lends the value exclusively:
//!
//! ```
//! # use os_thread_local::{per_thread::RefMut, BorrowCell, PerThread};
//! fn fill<'a>(mut guard: RefMut<'_, &'a str>, text: &'a str) { *guard = text }
//! let object: PerThread<BorrowCell<&'static str>> = PerThread::new(|| BorrowCell::new(""));
//! fill(object.borrow_mut(), "static");
//! ```
//! ```compile_fail,E0597
//! # use os_thread_local::{per_thread::RefMut, BorrowCell, PerThread};
//! fn fill<'a>(mut guard: RefMut<'_, &'a str>, text: &'a str) { *guard = text }
//! let object: PerThread<BorrowCell<&'static str>> = PerThread::new(|| BorrowCell::new(""));
//! {
//!     let text = String::new();
//!     fill(object.borrow_mut(), &text);
//! }
//! object.borrow_mut();
//! ```
//!
//! A part of a value does not leave `RefMut::map` without its guard:
//!
//! ```compile_fail
//! # use os_thread_local::{per_thread::RefMut, BorrowCell, PerThread};
//! let object = PerThread::new(|| BorrowCell::new((1, 2)));
//! let mut kept = None;
//! let second = RefMut::map(object.borrow_mut(), |pair| { kept = Some(&mut pair.0); &mut pair.1 });
//! ```
