//! Child of `src/sys/key/fls.rs`.

use crate::same_function;
use windows_sys::Win32::Foundation as foundation;
use windows_sys::Win32::System::Threading as threading;

same_function!(super::FlsAlloc, threading::FlsAlloc, "system", (_));
same_function!(super::FlsGetValue, threading::FlsGetValue, "system", (_));
same_function!(super::FlsSetValue, threading::FlsSetValue, "system", (_, _));
same_function!(super::FlsFree, threading::FlsFree, "system", (_));
same_function!(super::GetLastError, foundation::GetLastError, "system", ());
same_function!(super::SetLastError, foundation::SetLastError, "system", (_));

const _: () = assert!(super::OUT_OF_INDEXES == threading::FLS_OUT_OF_INDEXES);
