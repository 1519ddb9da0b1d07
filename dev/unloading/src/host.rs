//! The program: `host cycles N LIBRARY...` or `host constructor LIBRARY USED`.

use std::env;
use std::ffi::{c_char, c_void, CString};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

#[cfg(unix)]
mod loader {
    use super::*;

    extern "C" {
        fn dlopen(name: *const c_char, mode: i32) -> *mut c_void;
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
        fn dlclose(library: *mut c_void) -> i32;
    }

    pub fn load(path: &str) -> *mut c_void {
        let path = CString::new(path).unwrap();
        // SAFETY: `path` is a library of this package, whose constructors may run at any time.
        unsafe { dlopen(path.as_ptr(), 2) }
    }

    /// Loaded already.
    pub fn is_loaded(path: &str) -> bool {
        let path = CString::new(path).unwrap();
        // SAFETY: RTLD_NOLOAD runs nothing.
        let library = unsafe { dlopen(path.as_ptr(), 1 | 4) };
        if !library.is_null() {
            unload(library);
        }
        !library.is_null()
    }

    pub fn find(library: *mut c_void, name: &str) -> *mut c_void {
        let name = CString::new(name).unwrap();
        // SAFETY: a library that is loaded.
        unsafe { dlsym(library, name.as_ptr()) }
    }

    pub fn unload(library: *mut c_void) {
        // SAFETY: `dlopen` returned the handle, which is closed once.
        assert_eq!(unsafe { dlclose(library) }, 0);
    }
}

#[cfg(windows)]
mod loader {
    use super::*;

    #[link(name = "kernel32")]
    extern "system" {
        fn LoadLibraryA(name: *const c_char) -> *mut c_void;
        fn GetModuleHandleA(name: *const c_char) -> *mut c_void;
        fn GetProcAddress(library: *mut c_void, name: *const c_char) -> *mut c_void;
        fn FreeLibrary(library: *mut c_void) -> i32;
    }

    pub fn load(path: &str) -> *mut c_void {
        let path = CString::new(path).unwrap();
        // SAFETY: `path` is a library of this package, whose constructors may run at any time.
        unsafe { LoadLibraryA(path.as_ptr()) }
    }

    pub fn is_loaded(path: &str) -> bool {
        let path = CString::new(path).unwrap();
        // SAFETY: a string.
        !unsafe { GetModuleHandleA(path.as_ptr()) }.is_null()
    }

    pub fn find(library: *mut c_void, name: &str) -> *mut c_void {
        let name = CString::new(name).unwrap();
        // SAFETY: a library that is loaded.
        unsafe { GetProcAddress(library, name.as_ptr()) }
    }

    pub fn unload(library: *mut c_void) {
        // SAFETY: `dlopen` returned the handle, which is closed once.
        assert_ne!(unsafe { FreeLibrary(library) }, 0);
    }
}

#[derive(Clone, Copy)]
struct Plugin {
    run: extern "C" fn(),
    built: extern "C" fn() -> usize,
    dropped: extern "C" fn() -> usize,
}

fn open(path: &str) -> (*mut c_void, Plugin) {
    let library = loader::load(path);
    assert!(!library.is_null(), "cannot load {}", path);
    let find = |name| {
        let symbol = loader::find(library, name);
        assert!(!symbol.is_null(), "{} is missing", name);
        symbol
    };
    // SAFETY: these are their types.
    let plugin = unsafe {
        Plugin {
            run: std::mem::transmute::<*mut c_void, extern "C" fn()>(find("plugin_use")),
            built: std::mem::transmute::<*mut c_void, extern "C" fn() -> usize>(find(
                "plugin_built",
            )),
            dropped: std::mem::transmute::<*mut c_void, extern "C" fn() -> usize>(find(
                "plugin_dropped",
            )),
        }
    };
    (library, plugin)
}

/// Loads the library, uses it in several threads, unloads it, and lets the threads exit.
fn cycle(path: &str) {
    let (library, plugin) = open(path);
    let before = (plugin.built)() - (plugin.dropped)();
    let (used, unloaded) = (Arc::new(Barrier::new(4)), Arc::new(Barrier::new(4)));
    let threads: Vec<_> = (0..3)
        .map(|_| {
            let (used, unloaded) = (used.clone(), unloaded.clone());
            thread::spawn(move || {
                (plugin.run)();
                (plugin.run)();
                used.wait();
                unloaded.wait();
            })
        })
        .collect();
    used.wait();
    loader::unload(library);
    unloaded.wait();
    threads.into_iter().for_each(|t| t.join().unwrap());
    // The library stays loaded, because the crate was used: its counts of values can be read.
    assert!(loader::is_loaded(path));
    assert_eq!((plugin.built)() - (plugin.dropped)(), before);
}

fn resident_pages() -> Option<usize> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    statm.split(' ').nth(1)?.parse().ok()
}

fn cycles(times: usize, paths: &[String]) {
    // A library whose objects were not used is unloaded.
    loader::unload(open(&paths[0]).0);
    assert!(!loader::is_loaded(&paths[0]), "nothing holds a library that was not used");
    let mut early = None;
    for n in 0..times {
        cycle(&paths[n % paths.len()]);
        if n == times / 4 {
            early = resident_pages();
        }
    }
    if let (Some(early), Some(late)) = (early, resident_pages()) {
        println!("{} pages resident after {} cycles, {} after {}", early, times / 4, late, times);
        assert!(late < early + 512, "memory grows");
    }
    // The thread that has values when the process ends.
    let (library, plugin) = open(&paths[0]);
    (plugin.run)();
    loader::unload(library);
    println!("{} cycles of {} libraries", times, paths.len());
}

/// A library's constructor uses an object of another library, while a thread uses one of the latter for the first time. The constructor runs
/// with the loader's lock held, which the first use also acquires, to pin its library. The two must not deadlock.
fn constructor(path: &str, used: &str) {
    static STEP: AtomicUsize = AtomicUsize::new(0);
    static USE: AtomicUsize = AtomicUsize::new(0);

    fn use_object() {
        // SAFETY: the address is that of such a function, in a library that is loaded.
        unsafe { std::mem::transmute::<usize, extern "C" fn()>(USE.load(SeqCst))() };
    }

    extern "C" fn callback() {
        STEP.store(1, SeqCst);
        // Gives the other thread time to block. If it is too short, the test may miss a deadlock, but does not fail.
        thread::sleep(Duration::from_millis(300));
        use_object();
        STEP.store(2, SeqCst);
    }

    let (used, plugin) = open(used);
    USE.store(plugin.run as usize, SeqCst);
    let first = thread::spawn(|| {
        while STEP.load(SeqCst) == 0 {
            thread::yield_now();
        }
        use_object();
    });
    env::set_var("UNLOADING_CALLBACK", (callback as extern "C" fn() as usize).to_string());
    let (library, _) = open(path);
    assert_eq!(STEP.load(SeqCst), 2);
    first.join().unwrap();
    loader::unload(library);
    loader::unload(used);
    println!("a constructor and a first use at once");
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments[0].as_str() {
        "cycles" => cycles(arguments[1].parse().unwrap(), &arguments[2..]),
        "constructor" => constructor(&arguments[1], &arguments[2]),
        other => panic!("{}?", other),
    }
}
