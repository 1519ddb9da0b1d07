//! The operating system's functions that a program without std needs.

use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::fmt;
use core::panic::PanicInfo;

pub use os::Thread;

type ThreadMain = extern "C" fn(*mut c_void) -> *mut c_void;

#[cfg(unix)]
mod os {
    use super::ThreadMain;
    use core::ffi::c_void;
    use core::ptr::{null, null_mut};

    // One word on every platform with threads: an integer on some, a pointer on others.
    type PthreadT = usize;

    #[cfg_attr(not(target_vendor = "apple"), link(name = "c"))]
    #[cfg_attr(target_vendor = "apple", link(name = "System"))]
    extern "C" {
        pub fn malloc(size: usize) -> *mut c_void;
        pub fn free(p: *mut c_void);
        pub fn abort() -> !;
        fn write(fd: i32, bytes: *const u8, len: usize) -> isize;
        fn pthread_create(
            thread: *mut PthreadT,
            attributes: *const c_void,
            main: ThreadMain,
            arg: *mut c_void,
        ) -> i32;
        fn pthread_join(thread: PthreadT, result: *mut *mut c_void) -> i32;
    }

    pub fn print(text: &[u8]) {
        // SAFETY: the pointer and the length are those of `text`. Errors are ignored.
        unsafe { write(1, text.as_ptr(), text.len()) };
    }

    pub struct Thread(PthreadT);

    impl Thread {
        pub fn spawn(main: ThreadMain, arg: *mut c_void) -> Thread {
            let mut thread = 0;
            // SAFETY: `thread` is valid for a write; default attributes.
            let error = unsafe { pthread_create(&mut thread, null(), main, arg) };
            assert_eq!(error, 0);
            Thread(thread)
        }

        /// Returns when the thread has ended and its destructors have run.
        pub fn join(self) {
            // SAFETY: `spawn` created the thread, and `self` is joined once.
            assert_eq!(unsafe { pthread_join(self.0, null_mut()) }, 0);
        }
    }
}

#[cfg(windows)]
mod os {
    use super::ThreadMain;
    use core::ffi::c_void;
    use core::ptr::{null, null_mut};

    #[link(name = "msvcrt")]
    extern "C" {
        pub fn malloc(size: usize) -> *mut c_void;
        pub fn free(p: *mut c_void);
        pub fn abort() -> !;
        fn _write(fd: i32, bytes: *const u8, len: u32) -> i32;
    }

    #[link(name = "kernel32")]
    extern "system" {
        fn CreateThread(
            attributes: *const c_void,
            stack: usize,
            main: extern "system" fn(*mut c_void) -> u32,
            arg: *mut c_void,
            flags: u32,
            id: *mut u32,
        ) -> *mut c_void;
        fn WaitForSingleObject(handle: *mut c_void, milliseconds: u32) -> u32;
        fn CloseHandle(handle: *mut c_void) -> i32;
    }

    pub fn print(text: &[u8]) {
        // SAFETY: the pointer and the length are those of `text`. Errors are ignored.
        unsafe { _write(1, text.as_ptr(), text.len() as u32) };
    }

    pub struct Thread(*mut c_void);

    struct Start(ThreadMain, *mut c_void);

    extern "system" fn start(arg: *mut c_void) -> u32 {
        // SAFETY: `arg` is the box that `spawn` leaked for this thread.
        let start = unsafe { alloc::boxed::Box::from_raw(arg.cast::<Start>()) };
        (start.0)(start.1);
        0
    }

    impl Thread {
        pub fn spawn(main: ThreadMain, arg: *mut c_void) -> Thread {
            let arg = alloc::boxed::Box::into_raw(alloc::boxed::Box::new(Start(main, arg)));
            // SAFETY: default attributes and stack; `start` frees `arg`.
            let handle = unsafe { CreateThread(null(), 0, start, arg.cast(), 0, null_mut()) };
            assert!(!handle.is_null());
            Thread(handle)
        }

        /// Returns when the thread has ended and its destructors have run.
        pub fn join(self) {
            // SAFETY: `spawn` created the handle, and `self` is joined and closed once.
            unsafe {
                assert_eq!(WaitForSingleObject(self.0, u32::MAX), 0);
                CloseHandle(self.0);
            }
        }
    }
}

/// The buffer of a line, which is written at once, so that the lines of threads do not mix.
struct Line {
    text: [u8; 128],
    len: usize,
}

impl fmt::Write for Line {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        // Truncates a long line; one byte remains for the end of the line.
        let room = self.text.len() - 1 - self.len;
        let s = &s.as_bytes()[..room.min(s.len())];
        self.text[self.len..][..s.len()].copy_from_slice(s);
        self.len += s.len();
        Ok(())
    }
}

/// A line on standard output.
pub fn print_line(text: fmt::Arguments) {
    let mut line = Line { text: [0; 128], len: 0 };
    let _ = fmt::Write::write_fmt(&mut line, text);
    line.text[line.len] = b'\n';
    os::print(&line.text[..=line.len]);
}

struct Malloc;

/// What `malloc` aligns to, everywhere.
const MALLOC_ALIGN: usize = 2 * core::mem::size_of::<usize>();

// SAFETY: `malloc` fulfils the conditions up to its alignment. For larger ones, `alloc` puts the block's address in front of the result.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() <= MALLOC_ALIGN {
            // SAFETY: any size will do.
            return unsafe { os::malloc(layout.size()) }.cast();
        }
        // SAFETY: any size will do. Two alignments more than requested have room for an aligned block with a word before it.
        let block: *mut u8 = unsafe { os::malloc(layout.size() + 2 * layout.align()) }.cast();
        if block.is_null() {
            return block;
        }
        // SAFETY: within the block: `align` is more than a word, and we asked for two.
        unsafe {
            let after = block.add(layout.align());
            let aligned = after.add(after.align_offset(layout.align()));
            aligned.cast::<*mut u8>().sub(1).write(block);
            aligned
        }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        let block = if layout.align() <= MALLOC_ALIGN {
            p
        } else {
            // SAFETY: `alloc` wrote it there.
            unsafe { p.cast::<*mut u8>().sub(1).read() }
        };
        // SAFETY: the block is `malloc`'s.
        unsafe { os::free(block.cast()) };
    }
}

#[global_allocator]
static ALLOCATOR: Malloc = Malloc;

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    print_line(format_args!("{info}"));
    // SAFETY: has no precondition.
    unsafe { os::abort() }
}

/// The precompiled `alloc` was built for unwinding and refers to this function; nothing here unwinds.
#[no_mangle]
extern "C" fn rust_eh_personality() {}
