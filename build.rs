//! Selects the backend in `src/sys` for the target, and the native libraries that a program without std must link. It only reads
//! environment variables and prints lines.
//!
//! A program can select the backend `custom` by `--cfg os_thread_local_backend="custom"` in RUSTFLAGS or in `build.rustflags`, which
//! Cargo passes to build scripts as CARGO_CFG_OS_THREAD_LOCAL_BACKEND. This is not a Cargo feature, because features are additive: any
//! dependency could change the backend of the whole program. Every other cfg whose name begins with `os_thread_local_` must be known: a
//! misspelled one would be ignored, and the program would get another backend than it asked for.

use std::{env, process};

/// The cfgs that a program can give, besides `os_thread_local_backend`. None has a value. Cargo.toml says what they mean.
const KNOWN_CFGS: [&str; 8] = [
    "os_thread_local_count",
    "os_thread_local_keys_only",
    "os_thread_local_no_exit_list",
    "os_thread_local_no_loader",
    "os_thread_local_no_word",
    "os_thread_local_old_std",
    "os_thread_local_tlsdesc",
    "os_thread_local_trust_new_keys",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    reject_unknown_cfgs();

    let target = Target::from_cargo();
    let backend = match (env::var("CARGO_CFG_OS_THREAD_LOCAL_BACKEND"), backend(&target)) {
        (Err(_), backend) => backend,
        (Ok(choice), _) if choice == "custom" => "custom",
        (Ok(choice), backend) if choice == backend => backend,
        // The cfg would have two values.
        (Ok(choice), backend) => {
            fail(&format!(
                "`--cfg os_thread_local_backend=\"{}\"` was given, but the backend of this target is \
                 \"{}\"; the only other one that a program can select is \"custom\"",
                choice, backend
            ));
        }
    };
    println!("cargo:rustc-cfg=os_thread_local_backend=\"{}\"", backend);
    if backend == "pthread" && has_thread_word(&target) {
        println!("cargo:rustc-cfg=os_thread_local_word");
    }

    // std links all of these libraries. Without it, no other crate needs to.
    if env::var_os("CARGO_FEATURE_STD").is_none() && backend == "pthread" {
        for library in native_libraries(&target) {
            println!("cargo:rustc-link-lib={}", library);
        }
    }
}

fn fail(message: &str) -> ! {
    eprintln!("error: os-thread-local: {}", message);
    process::exit(1);
}

/// Cargo passes a cfg to build scripts as a variable with its name in upper case, which is empty if the cfg has no value.
fn reject_unknown_cfgs() {
    for (variable, value) in env::vars_os() {
        let name = match variable.to_str().and_then(|name| name.strip_prefix("CARGO_CFG_")) {
            Some(name) => name.to_lowercase(),
            None => continue,
        };
        if !name.starts_with("os_thread_local_") || name == "os_thread_local_backend" {
            continue;
        }
        if !KNOWN_CFGS.contains(&name.as_str()) {
            fail(&format!(
                "`--cfg {}` is unknown; the known ones are os_thread_local_backend=\"custom\", {}",
                name,
                KNOWN_CFGS.join(", ")
            ));
        }
        if !value.is_empty() {
            fail(&format!("`--cfg {}` has no value, but {:?} was given", name, value));
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

/// Whether the program is built for WebAssembly threads, where several workers may share one memory. The cfg `target_feature = "atomics"`
/// says so, but stable compilers do not set it; the flag is visible there.
fn has_wasm_atomics() -> bool {
    let cfg = env::var("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
    cfg.split(',').any(|feature| feature == "atomics") || flags_enable_atomics()
}

/// Whether the flags have `-C target-feature=+atomics` in any spelling (rustc accepts `_` for `-`; the last one decides), or the target CPU
/// that has every feature.
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

/// The backend for a target. The order matters: the first condition that is true decides.
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

/// Whether the crate keeps a thread-local word of its own: see `src/sys/word.rs`. Linkers do not relax general dynamic on other processors,
/// such as ARM and RISC-V.
fn has_thread_word(target: &Target) -> bool {
    let is_set = |name: &str| env::var_os(format!("CARGO_CFG_{}", name)).is_some();
    target.os == "linux"
        && (target.env == "gnu" || target.env == "musl")
        && (target.arch == "x86_64" || target.arch == "aarch64")
        && env::var("CARGO_CFG_TARGET_POINTER_WIDTH").map_or(false, |width| width == "64")
        && !is_set("OS_THREAD_LOCAL_NO_WORD")
        && !is_set("OS_THREAD_LOCAL_KEYS_ONLY")
        && !is_set("MIRI")
}

/// The libraries with the functions that `src/sys` declares, such as `pthread_key_create` and `dlsym`.
fn native_libraries(target: &Target) -> &'static [&'static str] {
    match target.os.as_str() {
        // Since glibc 2.34 all is in one library, and the other names are empty ones. musl has always had one.
        "linux" if target.env == "gnu" => &["pthread", "dl", "c"],
        "linux" => &["c"],
        "android" => &["dl", "c"],
        _ if target.vendor == "apple" => &["System"],
        "freebsd" | "dragonfly" | "netbsd" | "openbsd" => &["pthread", "c"],
        "hurd" => &["pthread", "dl", "c"],
        _ => &["c"],
    }
}
