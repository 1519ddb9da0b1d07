//! Compiles the C++ peers when a C++ compiler and Boost are there, and says so when they are not.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

fn main() {
    println!("cargo:rerun-if-changed=cpp");
    println!("cargo:rerun-if-env-changed=CXX");

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
