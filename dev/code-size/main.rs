//! One thread-local type, or 101, each with a value that has something to drop and is used once.

use std::cell::RefCell;

/// Distinct types, whose code the compiler cannot merge.
struct Value<const N: usize>(RefCell<Vec<usize>>);

impl<const N: usize> Value<N> {
    fn new() -> Self {
        Value(RefCell::new(vec![N]))
    }

    fn touch(&self) {
        self.0.borrow_mut().push(N);
    }
}

impl<const N: usize> Drop for Value<N> {
    fn drop(&mut self) {
        std::hint::black_box(N);
    }
}

#[cfg(any(feature = "ours", feature = "ancestor"))]
mod kind {
    use super::Value;
    #[cfg(feature = "ours")]
    use os_thread_local::ThreadLocal;
    #[cfg(feature = "ancestor")]
    use os_thread_local_0_1::ThreadLocal;

    #[inline(never)]
    pub fn touch<const N: usize>() {
        let object: ThreadLocal<Value<N>> = ThreadLocal::new(Value::new);
        std::hint::black_box(&object).with(Value::touch);
    }
}

#[cfg(feature = "thread_local")]
mod kind {
    use super::Value;

    #[inline(never)]
    pub fn touch<const N: usize>() {
        let object: thread_local_crate::ThreadLocal<Value<N>> =
            thread_local_crate::ThreadLocal::new();
        std::hint::black_box(&object).get_or(Value::new).touch();
    }
}

#[cfg(any(feature = "ours", feature = "ancestor", feature = "thread_local"))]
macro_rules! touch {
    ($n:literal) => {
        kind::touch::<$n>()
    };
}

#[cfg(feature = "std")]
macro_rules! touch {
    ($n:literal) => {{
        #[inline(never)]
        fn touch() {
            thread_local!(static VALUE: Value<$n> = Value::new());
            VALUE.with(Value::touch)
        }
        touch()
    }};
}

/// The type alone: a build without features, as clippy's, is one, too.
#[cfg(not(any(
    feature = "ours",
    feature = "ancestor",
    feature = "thread_local",
    feature = "std"
)))]
macro_rules! touch {
    ($n:literal) => {
        Value::<$n>::new().touch()
    };
}

#[cfg(feature = "many")]
macro_rules! ten {
    ($($n:literal)*) => { $(touch!($n);)* };
}

fn main() {
    touch!(0);
    #[cfg(feature = "many")]
    {
        ten!(1 2 3 4 5 6 7 8 9 10);
        ten!(11 12 13 14 15 16 17 18 19 20);
        ten!(21 22 23 24 25 26 27 28 29 30);
        ten!(31 32 33 34 35 36 37 38 39 40);
        ten!(41 42 43 44 45 46 47 48 49 50);
        ten!(51 52 53 54 55 56 57 58 59 60);
        ten!(61 62 63 64 65 66 67 68 69 70);
        ten!(71 72 73 74 75 76 77 78 79 80);
        ten!(81 82 83 84 85 86 87 88 89 90);
        ten!(91 92 93 94 95 96 97 98 99 100);
    }
}
