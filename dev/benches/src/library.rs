//! A library that is opened with `dlopen`, and what is measured in it: see `library/lib.rs`.

use std::ffi::{c_char, CStr, CString};

/// What the library tells of each of its rows. It declares the same type.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Row {
    name: *const c_char,
    pub static_loop: extern "C" fn(u64),
    pub static_call: extern "C" fn(u64),
    pub object_loop: Option<extern "C" fn(u64)>,
    pub object_call: Option<extern "C" fn(u64)>,
}

impl Row {
    pub fn name(&self) -> &'static str {
        // SAFETY: the library's names are static, end with a zero, and it is never closed.
        unsafe { CStr::from_ptr(self.name) }.to_str().expect("ASCII")
    }
}

/// The rows of the library, which is opened and never closed. None if the build script could not build it, and has said so.
pub fn rows() -> Vec<Row> {
    let Some(file) = option_env!("BENCHES_LIBRARY") else {
        return Vec::new();
    };
    let file = CString::new(file).expect("no zero in a path");
    // SAFETY: the library's initializers are Rust's own.
    let library = unsafe { libc::dlopen(file.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL) };
    assert!(!library.is_null(), "dlopen of {file:?} failed");
    // SAFETY: the handle is the library's.
    let symbol = unsafe { libc::dlsym(library, c"os_thread_local_benches_row".as_ptr()) };
    assert!(!symbol.is_null(), "{file:?} has no rows");
    // SAFETY: it is a function of this type.
    let row = unsafe {
        std::mem::transmute::<*mut libc::c_void, extern "C" fn(usize) -> *const Row>(symbol)
    };
    // SAFETY: a pointer that is not null is to a static of the library's.
    (0..).map_while(|index| unsafe { row(index).as_ref() }.copied()).collect()
}
