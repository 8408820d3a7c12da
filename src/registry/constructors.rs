//! Runs the constructors of a WebAssembly module, which register its modules.
#![allow(unsafe_code)] // Calls a function that the linker makes.

use crate::sync::atomic::{AtomicBool, Ordering};

unsafe extern "C" {
    fn __wasm_call_ctors();
}

static DONE: AtomicBool = AtomicBool::new(false);

/// Runs the constructors that `inventory` placed in the wasm module, once per memory, however often and from however many
/// instances it is called. [`ModuleRegistry::builder`](super::ModuleRegistry::builder) calls it.
///
/// A reference to `__wasm_call_ctors` also keeps the linker from wrapping every export in a call of it, which would cost
/// each call from JavaScript about 14 ns.
pub fn run_constructors() {
    // Relaxed: of several threads that boot over one memory exactly one sees `false`, by the atomicity of the swap. The list
    // of registrations synchronizes itself.
    if !DONE.swap(true, Ordering::Relaxed) {
        // SAFETY: wasm-ld makes this function for every linked module; it takes and returns nothing. It is called once per
        // memory, because `DONE` is in that memory; the constructors only push registrations to `inventory`'s list.
        unsafe { __wasm_call_ctors() };
    }
}
