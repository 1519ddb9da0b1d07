//! Child of `src/sys/key/pthread.rs`.

use crate::same_function;

#[cfg(not(feature = "without-pthread_key_t"))]
const _: () = {
    use crate::abi::{kind, same_kind};
    assert!(same_kind(kind::<libc::pthread_key_t>(), kind::<super::Key>()));
    assert!(core::mem::align_of::<libc::pthread_key_t>() == core::mem::align_of::<super::Key>());
};
#[cfg(not(feature = "without-pthread_key_create"))]
same_function!(super::pthread_key_create, libc::pthread_key_create, "C", (_, _));
#[cfg(not(feature = "without-pthread_key_delete"))]
same_function!(super::pthread_key_delete, libc::pthread_key_delete, "C", (_));
#[cfg(not(feature = "without-pthread_getspecific"))]
same_function!(super::pthread_getspecific, libc::pthread_getspecific, "C", (_));
#[cfg(not(feature = "without-pthread_setspecific"))]
same_function!(super::pthread_setspecific, libc::pthread_setspecific, "C", (_, _));
