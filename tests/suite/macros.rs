//! `thread_local!` accepts everything that std's macro accepts.

#![cfg(feature = "alloc")]

use std::cell::{Cell, RefCell};

use crate::common::in_thread;
use os_thread_local::{thread_local, LocalKey, ThreadLocal};

thread_local! {
    /// A documented one.
    pub static DOCUMENTED: RefCell<u32> = RefCell::new(1);

    static CONST: Cell<u8> = const { Cell::new(2) };

    #[allow(dead_code)] // that the attribute arrives is what is tested
    pub(crate) static UNUSED: u32 = 3;

    #[cfg(any())]
    static LEFT_OUT: NoSuchType = no_such_function();

    #[cfg(all())]
    #[doc(hidden)]
    static LAST_WITHOUT_SEMICOLON: String = "four".to_string()
}

mod inner {
    os_thread_local::thread_local! {
        pub(super) static FROM_OUTSIDE: u32 = 5;
        pub(in crate::macros::inner) static FROM_INSIDE: u32 = const { 6 };
    }

    pub fn inside() -> u32 {
        FROM_INSIDE.with(|v| *v)
    }
}

#[test]
fn several_declarations() {
    assert_eq!(DOCUMENTED.with_borrow(|v| *v), 1);
    assert_eq!(CONST.get(), 2);
    assert_eq!(LAST_WITHOUT_SEMICOLON.with(String::clone), "four");
    CONST.set(20);
    in_thread(|| assert_eq!(CONST.get(), 2));
    assert_eq!(CONST.get(), 20);
}

#[test]
fn visibility() {
    assert_eq!(inner::FROM_OUTSIDE.with(|v| *v), 5);
    assert_eq!(inner::inside(), 6);
}

#[test]
fn no_declaration_and_one_declaration() {
    thread_local!();
    thread_local!(static ONE: i32 = 7);
    thread_local!(static TWO: i32 = const { 8 });
    thread_local! { static THREE: i32 = 9; }
    thread_local!(
        pub static FOUR: i32 = const { 10 };
    );
    assert_eq!([ONE.with(|v| *v), TWO.with(|v| *v), THREE.with(|v| *v)], [7, 8, 9]);
    assert_eq!(FOUR.with(|v| *v), 10);
}

#[test]
fn what_it_declares_is_a_constant_that_leads_to_one_object() {
    thread_local!(static FOO: Cell<u32> = Cell::new(1));
    fn bump(foo: &'static LocalKey<Cell<u32>>) -> u32 {
        foo.set(foo.get() + 1);
        foo.get()
    }
    const CONSTANT: LocalKey<Cell<u32>> = FOO;
    static STATIC: LocalKey<Cell<u32>> = FOO;
    static REFERENCE: &LocalKey<Cell<u32>> = &FOO;
    assert_eq!(bump(&FOO), 2);
    assert_eq!(bump(&CONSTANT), 3);
    assert_eq!(bump(&STATIC), 4);
    assert_eq!(bump(REFERENCE), 5);
    assert_eq!(std::mem::size_of_val(&STATIC), std::mem::size_of::<usize>());
}

/// What takes a `ThreadLocal` takes what the macro declares, and its methods beyond std's are there.
#[test]
fn the_object_behind_it() {
    thread_local!(static FOO: Cell<u32> = Cell::new(1));
    fn bump(foo: &'static ThreadLocal<Cell<u32>>) -> u32 {
        foo.set(foo.get() + 1);
        foo.get()
    }
    assert_eq!(FOO.prepare(), Ok(()));
    assert_eq!(FOO.with_existing(Cell::get), None);
    assert_eq!(bump(&FOO), 2);
    assert_eq!(FOO.try_update(|n| n + 1), Ok(()));
    assert_eq!(FOO.with_or(|| Cell::new(9), Cell::get), 3);
    assert!(std::ptr::eq::<ThreadLocal<_>>(&*FOO, &*FOO));
    assert_eq!(format!("{:?}", FOO), "LocalKey { .. }");
}

#[test]
fn initializers_of_every_form() {
    fn call(v: u32) -> u32 {
        v + 1
    }
    const LIMIT: u32 = 30;
    thread_local! {
        static CALL: u32 = call(10);
        static BLOCK: u32 = { let a = 20; a + 1 };
        static CONST_BLOCK: Cell<u32> = const {
            let value = LIMIT;
            Cell::new(value + 1)
        };
        static MATCHED: Option<&'static str> = match LIMIT { 30 => Some("thirty"), _ => None };
        static CLOSURE: fn(u32) -> u32 = |v| v * 2;
        static GENERIC: std::collections::HashMap<u8, Vec<u8>> = std::collections::HashMap::new();
    }
    assert_eq!(CALL.with(|v| *v), 11);
    assert_eq!(BLOCK.with(|v| *v), 21);
    assert_eq!(CONST_BLOCK.get(), 31);
    assert_eq!(MATCHED.with(|v| *v), Some("thirty"));
    assert_eq!(CLOSURE.with(|f| f(4)), 8);
    assert!(GENERIC.with(|m| m.is_empty()));
}

#[test]
fn an_initializer_can_name_its_own_static() {
    struct Itself(&'static LocalKey<Itself>);
    thread_local!(static LAZY: Itself = Itself(&LAZY));
    thread_local!(static AGAIN: Itself = Itself(&AGAIN));
    for itself in [&LAZY, &AGAIN] {
        assert!(itself.with(|v| std::ptr::eq::<ThreadLocal<_>>(&**v.0, &**itself)));
    }
}

/// The macro names everything it uses by its full path, whatever is in scope where it is called.
#[test]
fn hygiene() {
    #![allow(dead_code, non_camel_case_types)] // the names are there to be in the way
    mod os_thread_local {}
    mod std {}
    mod core {}
    mod alloc {}
    type ThreadLocal = ();
    type LocalKey = ();
    type Option = ();
    type u32 = ();
    fn new() {}
    fn init() {}
    const INIT: () = ();
    thread_local! {
        static A: ThreadLocal = const { INIT };
        static B: Option = ();
        static C: u32 = init();
        static D: () = const { INIT };
    }
    A.with(|v| *v);
    B.with(|v| *v);
    C.with(|v| *v);
    D.with(|v| *v);
}

/// Many declarations, and long documentation: no recursion limit is reached.
#[test]
fn many_declarations_in_one_call() {
    thread_local! {
        /// Line 1
        /// Line 2
        /// Line 3
        /// Line 4
        /// Line 5
        /// Line 6
        /// Line 7
        /// Line 8
        /// Line 9
        /// Line 10
        static V00: u8 = 0; static V01: u8 = 1; static V02: u8 = 2; static V03: u8 = 3;
        static V04: u8 = 4; static V05: u8 = 5; static V06: u8 = 6; static V07: u8 = 7;
        static V08: u8 = const { 8 }; static V09: u8 = 9; static V10: u8 = 10; static V11: u8 = 11;
        static V12: u8 = 12; static V13: u8 = 13; static V14: u8 = 14; static V15: u8 = 15;
        static V16: u8 = 16; static V17: u8 = 17; static V18: u8 = 18; static V19: u8 = 19;
        static V20: u8 = 20; static V21: u8 = 21; static V22: u8 = 22; static V23: u8 = 23;
        static V24: u8 = 24; static V25: u8 = 25; static V26: u8 = 26; static V27: u8 = 27;
        static V28: u8 = 28; static V29: u8 = 29; static V30: u8 = 30; static V31: u8 = 31;
    }
    let all: [&'static LocalKey<u8>; 32] = [
        &V00, &V01, &V02, &V03, &V04, &V05, &V06, &V07, &V08, &V09, &V10, &V11, &V12, &V13, &V14,
        &V15, &V16, &V17, &V18, &V19, &V20, &V21, &V22, &V23, &V24, &V25, &V26, &V27, &V28, &V29,
        &V30, &V31,
    ];
    for (i, v) in all.iter().enumerate() {
        assert_eq!(v.with(|v| usize::from(*v)), i);
    }
}
