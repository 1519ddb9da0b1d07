//! A very small kernel for a Cortex-M3, and what it takes to give its tasks the whole of os-thread-local: see
//! [`local`]. The programs that run on it are in `src/bin`.

#![no_std]

pub mod kernel;
pub mod local;

use core::panic::PanicInfo;
use cortex_m_rt::{exception, ExceptionFrame};
use cortex_m_semihosting::{debug, hprintln};

/// Ends the emulation; the status becomes QEMU's exit status.
pub fn exit(success: bool) -> ! {
    debug::exit(if success { debug::EXIT_SUCCESS } else { debug::EXIT_FAILURE });
    loop {
        cortex_m::asm::wfi();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    cortex_m::interrupt::disable();
    hprintln!("{}", info);
    exit(false)
}

#[exception]
unsafe fn HardFault(frame: &ExceptionFrame) -> ! {
    hprintln!("hard fault in task {}: {:#?}", kernel::current(), frame);
    exit(false)
}
