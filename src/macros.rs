/// Declares constants of type [`LocalKey`](crate::LocalKey), with the syntax of `std::thread_local!`.
///
/// The macro accepts several declarations, attributes, visibilities and `const { .. }` initializers. A declaration can be
/// anywhere where a constant can be: in a module, a function, an `impl` block or a `trait`.
///
/// The macro makes ports from std a change of one path. In new code a `static` is as short and has the same speed:
/// `static FOO: ThreadLocal<u32> = ThreadLocal::new(|| 1);`.
///
/// In a generic function or `impl` block there is one value per thread for all parameters, and its type cannot name them.
///
/// # Examples
///
/// ```
/// use os_thread_local::thread_local;
/// use std::cell::{Cell, RefCell};
///
/// thread_local! {
///     pub static NAMES: RefCell<Vec<String>> = RefCell::new(Vec::new());
///
///     /// The number of nested calls.
///     static DEPTH: Cell<u32> = const { Cell::new(0) };
/// }
///
/// NAMES.with_borrow_mut(|names| names.push("one".to_string()));
/// DEPTH.set(DEPTH.get() + 1);
/// assert_eq!(NAMES.with_borrow(|names| names.len()), 1);
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

/// Expands to an expression of type `LocalKey<$t>`.
///
/// The names of the items are long because items are not hygienic: the caller's expression sees them.
#[doc(hidden)]
#[macro_export]
macro_rules! __thread_local_key {
    ($t:ty, const $init:block) => {{
        // Evaluated at compile time and copied for each thread.
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
