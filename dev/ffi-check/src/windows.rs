//! Child of `src/sys/thread/windows.rs`.

use crate::abi;
use crate::same_function;
use windows_sys::Win32::System::LibraryLoader as loader;
use windows_sys::Win32::System::Threading as threading;

same_function!(super::SwitchToThread, threading::SwitchToThread, "system", ());
same_function!(super::GetModuleHandleW, loader::GetModuleHandleW, "system", (_));
same_function!(super::GetModuleHandleExW, loader::GetModuleHandleExW, "system", (_, _, _));

const _: () = {
    // The same but for the result: theirs is a function pointer, which we only call as what it is.
    let ours = abi::of(super::GetProcAddress as unsafe extern "system" fn(_, _) -> _);
    let theirs = abi::of(loader::GetProcAddress as unsafe extern "system" fn(_, _) -> _);
    assert!(ours.arguments.len() == 2 && theirs.arguments.len() == 2);
    assert!(abi::same_kind(ours.arguments[0], theirs.arguments[0]));
    assert!(abi::same_kind(ours.arguments[1], theirs.arguments[1]));
    assert!(
        matches!(ours.result, abi::Kind::Pointer)
            && matches!(theirs.result, abi::Kind::Function(_))
    );

    assert!(super::PIN == loader::GET_MODULE_HANDLE_EX_FLAG_PIN);
    assert!(super::FROM_ADDRESS == loader::GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS);
};
