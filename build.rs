//! Picks the backend in `src/sys` for the target, in one place, and names the native libraries that a program without
//! std has to link. Runs in a few milliseconds: it reads environment variables and prints lines.
//!
//! The program may select the backend `custom`: `--cfg os_thread_local_backend="custom"` in RUSTFLAGS or in `build.rustflags`,
//! which Cargo shows to build scripts as CARGO_CFG_OS_THREAD_LOCAL_BACKEND. It is no Cargo feature, because features are
//! additive: any dependency could change the backend of the whole program.

use std::{env, process};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");

    let target = Target::from_cargo();
    let backend = match (env::var("CARGO_CFG_OS_THREAD_LOCAL_BACKEND"), backend(&target)) {
        (Err(_), backend) => backend,
        (Ok(choice), _) if choice == "custom" => "custom",
        (Ok(choice), backend) if choice == backend => backend,
        // Both would be set.
        (Ok(choice), backend) => {
            eprintln!(
                "error: os-thread-local: `--cfg os_thread_local_backend=\"{}\"` was given, but the backend of this target is \
                 \"{}\"; the only other one that a program can select is \"custom\"",
                choice, backend
            );
            process::exit(1);
        }
    };
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

    /// The WebAssembly targets whose system has no threads, by name.
    fn is_wasm_without_pthreads(&self) -> bool {
        let threads =
            self.os == "wasi" && env::var("TARGET").map_or(false, |t| t.ends_with("-threads"));
        self.arch.starts_with("wasm") && (self.os == "unknown" || self.os == "wasi") && !threads
    }
}

/// Whether the program is built for WebAssembly threads: several workers may run it on one memory. The cfg
/// `target_feature = "atomics"` tells, but stable compilers leave it out; there the flag is visible.
fn has_wasm_atomics() -> bool {
    let cfg = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    cfg.split(',').any(|feature| feature == "atomics") || flags_enable_atomics()
}

/// `-C target-feature=+atomics` in one of its spellings (rustc takes `_` for `-`), the last one deciding; or the processor that has every
/// feature.
fn flags_enable_atomics() -> bool {
    let flags = env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    let mut enabled = false;
    let mut previous = "";
    for flag in flags.split('\x1f') {
        let option = match previous {
            "-C" | "--codegen" => Some(flag),
            _ => flag.strip_prefix("-C").or_else(|| flag.strip_prefix("--codegen=")),
        };
        previous = flag;
        match option.and_then(|option| option.split_once('=')) {
            Some(("target-feature" | "target_feature", features)) => {
                for feature in features.split(',') {
                    match feature {
                        "+atomics" => enabled = true,
                        "-atomics" => enabled = false,
                        _ => {}
                    }
                }
            }
            Some(("target-cpu" | "target_cpu", "bleeding-edge")) => enabled = true,
            _ => {}
        }
    }
    enabled
}

/// The order is the check: the first line that applies decides.
fn backend(target: &Target) -> &'static str {
    if target.os == "none" {
        "custom"
    } else if target.is_family("windows") && target.os == "windows" {
        "fls"
    } else if target.is_wasm_without_pthreads() {
        if has_wasm_atomics() {
            "unsupported"
        } else {
            "single"
        }
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
