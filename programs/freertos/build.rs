//! Compiles the FreeRTOS kernel with clang, for a Cortex-M3.

use std::{env, fs, path::Path, process::Command};

fn main() {
    let out = env::var("OUT_DIR").unwrap();
    let kernel = env::var("DEP_FREERTOS_KERNEL").unwrap();
    let port = format!("{kernel}/portable/GCC/ARM_CM3");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_string());
    for file in ["tasks.c", "list.c", "portable/GCC/ARM_CM3/port.c", "portable/MemMang/heap_4.c"] {
        let object = Path::new(&out).join(file.replace('/', "-")).with_extension("o");
        let status = Command::new(&clang)
            .args(["--target=thumbv7m-none-eabi", "-mcpu=cortex-m3", "-Os", "-ffreestanding"])
            .args(["-ffunction-sections", "-Ic", "-c", "-I", &port, "-I"])
            .arg(format!("{kernel}/include"))
            .arg("-o")
            .arg(&object)
            .arg(format!("{kernel}/{file}"))
            .status()
            .unwrap();
        assert!(status.success(), "{file}");
        println!("cargo:rustc-link-arg={}", object.display());
    }
    fs::copy("memory.x", Path::new(&out).join("memory.x")).unwrap();
    println!("cargo:rustc-link-search={out}");
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rerun-if-changed=memory.x");
    println!("cargo:rerun-if-changed=c");
    println!("cargo:rerun-if-env-changed=CLANG");
}
