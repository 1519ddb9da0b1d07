//! The firmware's functions that the program uses: memory, a line on the console, a timer, critical sections; and QEMU's exit status.

use alloc::string::String;
use core::alloc::{GlobalAlloc, Layout};
use core::ffi::c_void;
use core::fmt;
use core::panic::PanicInfo;
use core::ptr;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use r_efi::efi;

static SYSTEM: AtomicPtr<efi::SystemTable> = AtomicPtr::new(ptr::null_mut());

fn system() -> &'static efi::SystemTable {
    // SAFETY: `efi_main` stored it before anything else; it lives until `ExitBootServices`, which this program does not call.
    unsafe { &*SYSTEM.load(Relaxed) }
}

fn boot_services() -> &'static efi::BootServices {
    // SAFETY: `efi_main` stored the system table before anything else, and its boot services live until `ExitBootServices`.
    unsafe { &*system().boot_services }
}

#[no_mangle]
extern "efiapi" fn efi_main(_: efi::Handle, system: *mut efi::SystemTable) -> efi::Status {
    SYSTEM.store(system, Relaxed);
    super::main();
    exit(0x10)
}

/// Ends QEMU with the status `2 * code + 1`, by its device isa-debug-exit.
fn exit(code: u8) -> ! {
    // SAFETY: the port is that of isa-debug-exit, or unused.
    unsafe { core::arch::asm!("out dx, al", in("dx") 0xf4_u16, in("al") code) };
    loop {
        core::hint::spin_loop();
    }
}

pub fn print_line(text: fmt::Arguments) {
    let mut line = String::new();
    let _ = fmt::Write::write_fmt(&mut line, text);
    line.push_str("\r\n\0");
    let mut line: alloc::vec::Vec<u16> = line.encode_utf16().collect();
    let console = system().con_out;
    // SAFETY: the console is the firmware's, the text ends with a zero.
    unsafe { ((*console).output_string)(console, line.as_mut_ptr()) };
}

/// An event that the firmware signals periodically until it is dropped.
pub struct Timer(efi::Event);

impl Timer {
    pub fn every_millisecond(run: efi::EventNotify) -> Timer {
        let mut event = ptr::null_mut();
        let kind = efi::EVT_TIMER | efi::EVT_NOTIFY_SIGNAL;
        let status = (boot_services().create_event)(
            kind,
            efi::TPL_CALLBACK,
            Some(run),
            ptr::null_mut(),
            &mut event,
        );
        assert_eq!(status, efi::Status::SUCCESS);
        // In units of 100 ns.
        let status = (boot_services().set_timer)(event, efi::TIMER_PERIODIC, 10_000);
        assert_eq!(status, efi::Status::SUCCESS);
        Timer(event)
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        (boot_services().close_event)(self.0);
    }
}

struct Interrupts;
critical_section::set_impl!(Interrupts);

// SAFETY: at this level nothing is interrupted; UEFI applications run on one processor.
unsafe impl critical_section::Impl for Interrupts {
    unsafe fn acquire() -> usize {
        (boot_services().raise_tpl)(efi::TPL_HIGH_LEVEL)
    }

    unsafe fn release(level: usize) {
        (boot_services().restore_tpl)(level)
    }
}

struct Pool;

#[global_allocator]
static POOL: Pool = Pool;

/// What `AllocatePool` aligns to.
const POOL_ALIGN: usize = 8;

// SAFETY: the firmware's pool fulfils the conditions up to its alignment. For larger ones, `alloc` puts the block's address in front of the
// result.
unsafe impl GlobalAlloc for Pool {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let gap = if layout.align() <= POOL_ALIGN { 0 } else { 2 * layout.align() };
        let mut block: *mut c_void = ptr::null_mut();
        let status =
            (boot_services().allocate_pool)(efi::LOADER_DATA, layout.size() + gap, &mut block);
        if status != efi::Status::SUCCESS {
            return ptr::null_mut();
        }
        if gap == 0 {
            return block.cast();
        }
        // SAFETY: within the block: `align` is more than a word, and two of it were added.
        unsafe {
            let after = block.cast::<u8>().add(layout.align());
            let aligned = after.add(after.align_offset(layout.align()));
            aligned.cast::<*mut c_void>().sub(1).write(block);
            aligned
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        let block = if layout.align() <= POOL_ALIGN {
            pointer.cast()
        } else {
            // SAFETY: `alloc` wrote it there.
            unsafe { pointer.cast::<*mut c_void>().sub(1).read() }
        };
        (boot_services().free_pool)(block);
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    print_line(format_args!("{info}"));
    exit(0x20)
}
