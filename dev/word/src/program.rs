//! A program whose exit status is the result of `face_check`.

#![cfg_attr(not(feature = "std"), no_std, no_main)]

#[cfg(feature = "std")]
fn main() {
    std::process::exit(face::face_check());
}

#[cfg(not(feature = "std"))]
#[no_mangle]
extern "C" fn main(_: i32, _: *const *const u8) -> i32 {
    face::face_check()
}
