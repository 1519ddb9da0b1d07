//! Puts `memory.x` where the linker script of cortex-m-rt includes it from.

use std::{env, fs, path::Path};

fn main() {
    let out = env::var("OUT_DIR").unwrap();
    fs::copy("memory.x", Path::new(&out).join("memory.x")).unwrap();
    println!("cargo:rustc-link-search={}", out);
    println!("cargo:rerun-if-changed=memory.x");
}
