//! Picks the backend in `src/sys` for the target, in one place, and names the native libraries that a program without
//! std has to link. Runs in a few milliseconds: it reads environment variables and prints lines.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");

    let target = Target::from_cargo();
    let backend = backend(&target);
    println!("cargo:rustc-cfg=os_thread_local_backend=\"{}\"", backend);

    // std links what it needs, and more than we need. Without it nobody names a library.
    if env::var_os("CARGO_FEATURE_STD").is_none() && backend == "pthread" {
        for library in native_libraries(&target) {
            println!("cargo:rustc-link-lib={}", library);
        }
    }
}

struct Target {
    os: String,
    family: String,
    arch: String,
    vendor: String,
    env: String,
}

impl Target {
    fn from_cargo() -> Self {
        let var = |name: &str| env::var(name).unwrap_or_default();
        Target {
            os: var("CARGO_CFG_TARGET_OS"),
            family: var("CARGO_CFG_TARGET_FAMILY"),
            arch: var("CARGO_CFG_TARGET_ARCH"),
            vendor: var("CARGO_CFG_TARGET_VENDOR"),
            env: var("CARGO_CFG_TARGET_ENV"),
        }
    }

    fn is_family(&self, family: &str) -> bool {
        self.family.split(',').any(|f| f == family)
    }

    /// The WebAssembly targets without threads, by name: `target_feature = "atomics"` is not in the cfg of stable
    /// compilers, so its absence says nothing.
    fn is_single_threaded(&self) -> bool {
        let threads =
            self.os == "wasi" && env::var("TARGET").map_or(false, |t| t.ends_with("-threads"));
        self.arch.starts_with("wasm") && (self.os == "unknown" || self.os == "wasi") && !threads
    }
}

/// The order is the check: the first line that applies decides.
fn backend(target: &Target) -> &'static str {
    if env::var_os("CARGO_FEATURE_CUSTOM").is_some() || target.os == "none" {
        "custom"
    } else if target.is_family("windows") && target.os == "windows" {
        "fls"
    } else if target.is_single_threaded() {
        "single"
    } else if target.is_family("unix") || target.os == "wasi" {
        "pthread"
    } else {
        "unsupported"
    }
}

/// What holds `pthread_key_create`, `dlsym` and `malloc`-free start-up on each system.
fn native_libraries(target: &Target) -> &'static [&'static str] {
    match target.os.as_str() {
        // One library since glibc 2.34, with empty ones left for the older names; musl always.
        "linux" if target.env == "gnu" => &["pthread", "dl", "c"],
        "linux" => &["c"],
        "android" => &["dl", "c"],
        _ if target.vendor == "apple" => &["System"],
        "freebsd" | "dragonfly" | "netbsd" | "openbsd" => &["pthread", "c"],
        "hurd" => &["pthread", "dl", "c"],
        _ => &["c"],
    }
}
