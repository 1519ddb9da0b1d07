//! Compiles the library that the benchmarks open; and the C++ peers when a C++ compiler and Boost are there. Says what is not there.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-env-changed=CXX");
    build_library();

    if !compile("cpp/tls.cpp", "peer_tls_cpp") {
        println!("cargo:warning=no C++ compiler: the row for C++ thread_local is skipped");
        return;
    }
    println!("cargo:rustc-cfg=peer_cpp");

    if boost_links() && compile("cpp/boost.cpp", "peer_boost_cpp") {
        println!("cargo:rustc-cfg=peer_boost");
        println!("cargo:rustc-link-lib=boost_thread");
    } else {
        println!("cargo:warning=no Boost.Thread (libboost-thread-dev): its rows are skipped");
    }
}

/// Builds the package in `library`, with the flags of this one, and names the file in `BENCHES_LIBRARY`.
fn build_library() {
    for part in ["library", "../../src", "../../build.rs", "../../Cargo.toml"] {
        println!("cargo:rerun-if-changed={part}");
    }
    let variable = |name| std::env::var(name).expect("set by cargo");
    if variable("HOST") != variable("TARGET") {
        println!("cargo:warning=not built for another system: the rows of the library are skipped");
        return;
    }
    let folder = PathBuf::from(variable("OUT_DIR")).join("library");
    let status = Command::new(variable("CARGO"))
        .args([
            "build",
            "--release",
            "--quiet",
            "--manifest-path",
            "library/Cargo.toml",
            "--target-dir",
        ])
        .arg(&folder)
        // Clippy's, when it checks this package; the library is to be built. And a target of the environment's moves the file.
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET")
        .status();
    assert!(status.is_ok_and(|status| status.success()), "the library did not compile");
    let [prefix, suffix] = [std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX];
    let file = folder.join(format!("release/{prefix}os_thread_local_benches_library{suffix}"));
    println!("cargo:rustc-env=BENCHES_LIBRARY={}", file.display());
}

fn build() -> cc::Build {
    let mut build = cc::Build::new();
    // `-fPIE`, not `-fPIC`: what an executable's own thread-locals are compiled with.
    build.cpp(true).opt_level(3).pic(false).flag_if_supported("-fPIE").cargo_warnings(false);
    build
}

fn compile(source: &str, name: &str) -> bool {
    build().file(source).try_compile(name).is_ok()
}

/// Whether a program that uses Boost.Thread compiles and links.
fn boost_links() -> bool {
    let Ok(compiler) = build().try_get_compiler() else {
        return false;
    };
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("set by cargo"));
    let probe = out.join("boost_probe.cpp");
    std::fs::write(
        &probe,
        "#include <boost/thread/tss.hpp>\nint main() { boost::thread_specific_ptr<int> p; return p.get() != 0; }\n",
    )
    .expect("OUT_DIR is writable");
    link(compiler.to_command(), &probe, &out.join("boost_probe"))
}

fn link(mut command: Command, source: &Path, output: &Path) -> bool {
    command
        .arg(source)
        .arg("-o")
        .arg(output)
        .arg("-lboost_thread")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
