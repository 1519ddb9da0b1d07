/// Declares statics of type [`ThreadLocal`](crate::ThreadLocal), in the syntax of `std::thread_local!`.
///
/// Several declarations, attributes, visibility and `const { .. }` initializers work as there. Without the macro a declaration is
/// hardly longer: `static FOO: ThreadLocal<u32> = ThreadLocal::new(|| 1);`.
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

    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = const $init:block; $($rest:tt)*) => {
        $crate::__thread_local_static!($(#[$attr])*, $vis, $name, $t, const $init);
        $crate::thread_local!($($rest)*);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = const $init:block) => {
        $crate::__thread_local_static!($(#[$attr])*, $vis, $name, $t, const $init);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = $init:expr; $($rest:tt)*) => {
        $crate::__thread_local_static!($(#[$attr])*, $vis, $name, $t, $init);
        $crate::thread_local!($($rest)*);
    };
    ($(#[$attr:meta])* $vis:vis static $name:ident: $t:ty = $init:expr) => {
        $crate::__thread_local_static!($(#[$attr])*, $vis, $name, $t, $init);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __thread_local_static {
    ($(#[$attr:meta])*, $vis:vis, $name:ident, $t:ty, const $init:block) => {
        $(#[$attr])*
        $vis static $name: $crate::ThreadLocal<$t> = {
            // Evaluated by the compiler, copied for each thread. Items are not hygienic: the caller's expression sees this
            // name, and may have one of its own.
            const __OS_THREAD_LOCAL_INIT: $t = $init;
            $crate::ThreadLocal::new(|| __OS_THREAD_LOCAL_INIT)
        };
    };
    ($(#[$attr:meta])*, $vis:vis, $name:ident, $t:ty, $init:expr) => {
        $(#[$attr])*
        $vis static $name: $crate::ThreadLocal<$t> = {
            $crate::ThreadLocal::new(|| -> $t { $init })
        };
    };
}
