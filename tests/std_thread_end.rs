//! At thread exit a value without a destructor stays usable, as with std: one program, compiled with std's `thread_local!` and with
//! this crate's, prints the same lines.

// Without the harness: the main thread's end is one of the cases, and a panic in a destructor aborts the process.

mod children;

use std::thread;

/// The program. Only the path of the macro differs.
macro_rules! program {
    ($name:ident, $library:ident) => {
        #[allow(clippy::missing_const_for_thread_local)] // both forms of the macro
        mod $name {
            use std::cell::Cell;
            use $library::thread_local;

            thread_local! {
                static BEFORE: Cell<u32> = const { Cell::new(1) };
                static LAZY_BEFORE: Cell<u32> = Cell::new(2);
                static FIRST: First = const { First };
                static AFTER: Cell<u32> = const { Cell::new(3) };
                static LAZY_AFTER: Cell<u32> = Cell::new(4);
                static SECOND: Second = Second;
                static LAST: Cell<u32> = const { Cell::new(5) };
                // These are made by destructors.
                static NESTED: Nested = const { Nested };
                static LATE: Cell<u32> = Cell::new(6);
            }

            fn add(n: u32) {
                for counter in [&BEFORE, &LAZY_BEFORE, &AFTER, &LAZY_AFTER, &LAST] {
                    counter.with(|v| v.set(v.get() + n));
                }
            }

            fn print(who: &str) {
                let [before, lazy_before, after, lazy_after, last] =
                    [&BEFORE, &LAZY_BEFORE, &AFTER, &LAZY_AFTER, &LAST].map(|v| v.with(Cell::get));
                println!("{who}: {before} {lazy_before} | {after} {lazy_after} | {last}");
            }

            fn print_gone(who: &str) {
                let gone = [
                    FIRST.try_with(|_| ()).is_err(),
                    SECOND.try_with(|_| ()).is_err(),
                    NESTED.try_with(|_| ()).is_err(),
                ];
                println!("{who}: first, second, nested gone: {gone:?}");
            }

            /// Made between the counters.
            struct First;

            impl Drop for First {
                fn drop(&mut self) {
                    print("first");
                    add(1000);
                    LATE.with(|v| v.set(v.get() + 1000));
                    NESTED.with(|_| ());
                    print("first");
                }
            }

            /// Made when all but the last counter were.
            struct Second;

            impl Drop for Second {
                fn drop(&mut self) {
                    print("second");
                    add(100);
                }
            }

            /// Made by a destructor, and destroyed when nothing else is left.
            struct Nested;

            impl Drop for Nested {
                fn drop(&mut self) {
                    print("nested");
                    add(10_000);
                    LATE.with(|v| println!("nested: late {}", v.get()));
                    print_gone("nested");
                    print("nested");
                }
            }

            pub fn run() {
                BEFORE.with(|v| v.set(v.get() + 10));
                LAZY_BEFORE.with(|v| v.set(v.get() + 10));
                FIRST.with(|_| ());
                AFTER.with(|v| v.set(v.get() + 10));
                LAZY_AFTER.with(|v| v.set(v.get() + 10));
                SECOND.with(|_| ());
                LAST.with(|v| v.set(v.get() + 10));
                print("run");
            }
        }
    };
}

program!(with_std, std);
program!(with_ours, os_thread_local);

const EXPECTED: &str = "\
run: 11 12 | 13 14 | 15
second: 11 12 | 13 14 | 15
first: 111 112 | 113 114 | 115
first: 1111 1112 | 1113 1114 | 1115
nested: 1111 1112 | 1113 1114 | 1115
nested: late 1006
nested: first, second, nested gone: [true, true, true]
nested: 11111 11112 | 11113 11114 | 11115
";

/// Where std keeps a value in the thread's own memory, destroys the newest first, and destroys those of the main thread, too.
const STD_IS_THE_MODEL: bool =
    cfg!(any(all(target_os = "linux", target_env = "gnu"), target_vendor = "apple"));

fn main() {
    match children::case().as_deref() {
        Some("std, main thread") => return with_std::run(),
        Some("ours, main thread") => return with_ours::run(),
        Some("std, other thread") => return thread::spawn(with_std::run).join().unwrap(),
        Some("ours, other thread") => return thread::spawn(with_ours::run).join().unwrap(),
        _ => {}
    }
    if !children::can_start() {
        return;
    }
    for which in ["main", "other"] {
        for library in ["std", "ours"] {
            if library == "std" && !STD_IS_THE_MODEL {
                continue;
            }
            let case = format!("{library}, {which} thread");
            let output = children::run(&case);
            assert_eq!(children::printed(&output), EXPECTED, "{case}: {output:?}");
            assert!(output.status.success(), "{case}: {output:?}");
        }
    }
    println!("std_thread_end: the same lines");
}
