//! The tests that need no process of their own, in one program: each platform compiles and links it once.

// The files beside this folder are programs of their own: they install an allocator, end or fork the process, exhaust the keys, count what
// the whole process does, or depend on which thread comes first.

#[path = "../children/mod.rs"]
mod children;
#[path = "../common/mod.rs"]
mod common;

mod borrow_cell;
mod cells;
mod drop_in_local_key;
mod errors;
mod exit_hooks;
mod fibers;
mod macros;
mod many_objects;
mod methods;
mod moved_objects;
mod object_drop;
mod per_object;
mod per_thread_adoption;
mod per_thread_cells;
mod per_thread_lifetimes;
mod per_thread_panics;
mod per_thread_values;
mod recursion_and_panics;
mod send_sync_and_layout;
mod stampede;
mod statics;
mod thread_exit;
mod user_code;
