//! Makes doc tests of the guide's "before" halves, which the crate's own documentation ignores, and of nothing else: the others are the
//! crate's doc tests.

use std::fmt::Write;

fn main() {
    let guide = "../../docs/GUIDE.md";
    println!("cargo:rerun-if-changed={guide}");
    let guide = std::fs::read_to_string(guide).expect("the guide can be read");

    let (mut tests, mut section, mut inside) = (String::new(), "", false);
    let mut seen = [0; 2];
    for line in guide.lines() {
        if let Some(title) = line.strip_prefix("## ") {
            section = title;
        }
        if line == "```rust,ignore" {
            inside = true;
            let _ = writeln!(tests, "/// {section}\n/// ```");
            seen[usize::from(section.contains("0.1"))] += 1;
        } else if inside {
            // Both versions are dependencies here; this section is about the old one.
            let line = if section.contains("0.1") {
                line.replace("os_thread_local::", "os_thread_local_0_1::")
            } else {
                line.to_string()
            };
            let _ = writeln!(tests, "/// {line}");
            inside = line != "```";
        }
    }
    assert!(seen.iter().all(|&n| n >= 3), "the guide looks different: {seen:?} examples found");
    tests.push_str("pub mod before {}\n");
    let out = std::path::PathBuf::from(std::env::var_os("OUT_DIR").expect("set by cargo"));
    std::fs::write(out.join("before.rs"), tests).expect("OUT_DIR can be written");
}
