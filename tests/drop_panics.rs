//! A destructor that panics at thread exit aborts the process with a message that names the crate.

mod children;

use os_thread_local::ThreadLocal;
use std::thread;

struct Panics;

impl Drop for Panics {
    fn drop(&mut self) {
        panic!("the destructor's own words");
    }
}

static STATIC: ThreadLocal<Panics> = ThreadLocal::new(|| Panics);

// Without the harness: it would catch what a child says.
fn main() {
    match children::case().as_deref() {
        Some("thread") => {
            let _ = thread::spawn(|| STATIC.with(|_| ())).join();
            println!("the process goes on");
        }
        Some("main") => STATIC.with(|_| ()),
        Some("left") => {
            let object = ThreadLocal::new(|| Panics);
            thread::spawn(move || {
                object.with(|_| ());
                thread::spawn(move || drop(object)).join().unwrap();
            })
            .join()
            .unwrap();
            println!("the process goes on");
        }
        _ => {
            if !children::can_start() {
                return;
            }
            for case in ["thread", "main", "left"] {
                let output = children::run(case);
                let complained = children::complained(&output);
                assert!(!output.status.success(), "{}: {:?}", case, output);
                assert!(complained.contains("the destructor's own words"), "{}", complained);
                // At process exit on i686-pc-windows-gnu the unwinding tables are gone: the unwinder aborts before the crate can.
                let no_tables = cfg!(all(windows, target_env = "gnu", target_arch = "x86"));
                let not_named = (no_tables && case == "main")
                    // Before Rust 1.81 no frame stops the panic: the unwinder does not start, and std says so.
                    || cfg!(os_thread_local_old_std)
                    // Without std a panic cannot be told from a forced unwind.
                    || cfg!(all(not(feature = "std"), unix));
                let named = !not_named;
                assert_eq!(complained.contains("os-thread-local: "), named, "{}", complained);
                assert_eq!(children::printed(&output), "", "{}", case);
                // Aborted, and not crashed: no signal but SIGABRT.
                #[cfg(unix)]
                {
                    use std::os::unix::process::ExitStatusExt;
                    assert_eq!(output.status.signal(), Some(6), "{}: {:?}", case, output);
                }
            }
            println!("drop_panics: ok");
        }
    }
}
