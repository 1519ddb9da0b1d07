//! Runs the test's own program again, as a process that may exit, abort or crash.

#![allow(dead_code)] // each test file uses a part of it

use std::ffi::OsStr;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

const CASE: &str = "OS_THREAD_LOCAL_CASE";

/// Whether this system can start processes. If not, prints that, and the program tests what it can without.
pub fn can_start() -> bool {
    let can = !cfg!(target_os = "emscripten");
    if !can {
        println!("this system has no child processes: their cases are not run");
    }
    can
}

/// In a child: which case it is to run.
pub fn case() -> Option<String> {
    env::var(CASE).ok()
}

/// The command that runs a case of this program, in the same emulator as this process.
pub fn child(case: &str) -> Command {
    // Where a loader or an emulator runs this process, that is what `current_exe` would give.
    child_of(&env::args_os().next().unwrap(), case)
}

/// The same for a program whose `main` is not Rust's. With musl it must pass its own name.
pub fn child_of(exe: &OsStr, case: &str) -> Command {
    let runner = runner()
        // A child that exits early leaks its values: Valgrind must not report them.
        .map(|runner| runner.replace("--leak-check=full", "--leak-check=no"))
        // In Wine a program starts another one directly, as on Windows.
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

/// Whether tests use smaller numbers, and repeat less often what depends on chance: in an emulator, in Wine and in Valgrind, where
/// everything takes many times as long, and if `OS_THREAD_LOCAL_BRIEF` is set.
pub fn is_brief() -> bool {
    env::var_os("OS_THREAD_LOCAL_BRIEF").is_some()
        || runner().map_or(false, |runner| !runner.contains("ld-linux"))
}

/// `count`, or a fifth of it if `is_brief`.
pub fn fewer(count: usize) -> usize {
    if is_brief() {
        count / 5
    } else {
        count
    }
}

/// Whether this is QEMU's user mode. In about one of a thousand forks, the child deadlocks on a lock of QEMU itself, which another thread of
/// the parent held at the fork. Its alarm, which ends every other child that hangs, does not fire then. Such a case is run again.
pub fn is_qemu() -> bool {
    runner().map_or(false, |runner| runner.contains("qemu-"))
}

/// Whether this is Valgrind.
pub fn is_valgrind() -> bool {
    runner().map_or(false, |runner| runner.contains("valgrind"))
}

/// The runner that cargo uses for this target.
fn runner() -> Option<String> {
    env::vars()
        .find(|(name, _)| name.starts_with("CARGO_TARGET_") && name.ends_with("_RUNNER"))
        .map(|(_, runner)| runner)
}

/// Runs a case and waits for its end.
pub fn run(case: &str) -> Output {
    child(case).output().unwrap()
}

/// The same, but a child that has not ended after `limit` is killed: `None`. For children that print little.
pub fn run_for(case: &str, limit: Duration) -> Option<Output> {
    let mut child = child(case).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begin.elapsed() > limit {
            kill(child);
            return None;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Some(child.wait_with_output().unwrap())
}

/// Ends a child that hangs, with the emulator that runs it and with what it has forked.
pub fn kill(mut child: Child) {
    #[cfg(unix)]
    {
        extern "C" {
            fn kill(pid: i32, signal: i32) -> i32;
        }
        const SIGKILL: i32 = 9;
        // Where `timeout` starts the emulator, the child is `timeout`, which has a process group of its own: all of it is killed. Elsewhere
        // no group has this number.
        // SAFETY: no preconditions.
        unsafe { kill(-(child.id() as i32), SIGKILL) };
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Whether this is Wine, whose ntdll exports its version.
#[cfg(windows)]
pub fn is_wine() -> bool {
    use std::ffi::c_void;

    extern "system" {
        fn GetModuleHandleA(name: *const u8) -> *mut c_void;
        fn GetProcAddress(module: *mut c_void, name: *const u8) -> *mut c_void;
    }
    // SAFETY: both names end with a zero; ntdll is in every process and is never unloaded.
    unsafe {
        let ntdll = GetModuleHandleA(b"ntdll.dll\0".as_ptr());
        !GetProcAddress(ntdll, b"wine_get_version\0".as_ptr()).is_null()
    }
}

#[cfg(not(windows))]
pub fn is_wine() -> bool {
    false
}

/// The child's output, with line ends of one character.
pub fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).replace('\r', "")
}

pub fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).replace('\r', "")
}

/// The number in the environment variable, or `default`.
pub fn times(variable: &str, default: usize) -> usize {
    env::var(variable).map_or(default, |n| n.parse().unwrap())
}
