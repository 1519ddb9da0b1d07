//! Runs the test's own program again, as a process that may exit, abort or crash.

#![allow(dead_code)] // each test file uses a part of it

use std::env;
use std::process::{Command, Output};

const CASE: &str = "OS_THREAD_LOCAL_CASE";

/// In a child: which case it is to run.
pub fn case() -> Option<String> {
    env::var(CASE).ok()
}

/// The command that runs a case of this program, in the same emulator as this process.
pub fn child(case: &str) -> Command {
    // Where a loader or an emulator runs this process, that is what `current_exe` would give.
    let exe = env::args_os().next().unwrap();
    let runner = env::vars()
        .find(|(name, _)| name.starts_with("CARGO_TARGET_") && name.ends_with("_RUNNER"))
        // A child that exits in the middle leaves what it has: Valgrind is not to look for that.
        .map(|(_, runner)| runner.replace("--leak-check=full", "--leak-check=no"))
        // In Wine a program starts another one as on Windows.
        .filter(|_| !cfg!(windows));
    let mut words = runner.iter().flat_map(|runner| runner.split_whitespace());
    let mut command = match words.next() {
        Some(program) => {
            let mut command = Command::new(program);
            command.args(words).arg(exe);
            command
        }
        None => Command::new(exe),
    };
    // Backtraces take minutes in some emulators and under some checkers.
    command.env(CASE, case).env("RUST_BACKTRACE", "0");
    command
}

/// Runs a case and waits for its end.
pub fn run(case: &str) -> Output {
    child(case).output().unwrap()
}

/// What it printed, with the line ends of this system made plain.
pub fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
}

pub fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).replace('\r', "")
}

/// How often to do it: what the variable says, or `default`.
pub fn times(variable: &str, default: usize) -> usize {
    env::var(variable).map_or(default, |n| n.parse().unwrap())
}
