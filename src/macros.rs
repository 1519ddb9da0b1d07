/// Declares constants of type [`LocalKey`](crate::LocalKey), in the syntax of `std::thread_local!`.
///
/// Several declarations, attributes, visibility and `const { .. }` initializers work as there, and a declaration may stand wherever a
/// constant may: in a module, a function, an `impl` or a `trait` block. Without the macro a declaration is hardly longer:
/// `static FOO: ThreadLocal<u32> = ThreadLocal::new(|| 1);`.
///
/// ```
/// use os_thread_local::thread_local;
/// use std::cell::{Cell, RefCell};
///
/// thread_local! {
///     pub static FOO: RefCell<u32> = RefCell::new(1);
///
///     /// Counts.
///     static BAR: Cell<u8> = const { Cell::new(0) };
/// }
///
/// assert_eq!(FOO.take(), 1);
/// BAR.set(2);
/// ```
#[macro_export]
macro_rules! thread_local {
    () => {};

    ($(#[$($attr:tt)*])* $vis:vis static $name:ident: $t:ty = const $init:block $(; $($rest:tt)*)?) => {
        $(#[$($attr)*])*
        $vis const $name: $crate::LocalKey<$t> = $crate::__thread_local_key!($t, const $init);
        $($crate::thread_local!($($rest)*);)?
    };
    ($(#[$($attr:tt)*])* $vis:vis static $name:ident: $t:ty = $init:expr $(; $($rest:tt)*)?) => {
        $(#[$($attr)*])*
        $vis const $name: $crate::LocalKey<$t> = $crate::__thread_local_key!($t, $init);
        $($crate::thread_local!($($rest)*);)?
    };
}

/// An expression of type `LocalKey<$t>`. Items are not hygienic: the caller's expression sees their names, and may have names of its own.
#[doc(hidden)]
#[macro_export]
macro_rules! __thread_local_key {
    ($t:ty, const $init:block) => {{
        // Evaluated by the compiler, copied for each thread.
        const __OS_THREAD_LOCAL_INIT: $t = $init;
        $crate::LocalKey::__new(|| {
            static __OS_THREAD_LOCAL_OBJECT: $crate::ThreadLocal<$t> =
                $crate::ThreadLocal::new(|| __OS_THREAD_LOCAL_INIT);
            &__OS_THREAD_LOCAL_OBJECT
        })
    }};
    ($t:ty, $init:expr) => {{
        $crate::LocalKey::__new(|| {
            static __OS_THREAD_LOCAL_OBJECT: $crate::ThreadLocal<$t> =
                $crate::ThreadLocal::new(|| -> $t { $init });
            &__OS_THREAD_LOCAL_OBJECT
        })
    }};
}
