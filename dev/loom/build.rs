//! The models are a backend of their own.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-cfg=os_thread_local_backend=\"model\"");
}
