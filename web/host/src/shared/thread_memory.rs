//! Stack and thread-locals of a thread that runs on the shared memory. See
//! `docs/decisions/0033-host-allocates-thread-stacks.md`.
//!
//! The host allocates them, and frees them when the thread has ended. If the thread allocated them itself, as wasm-bindgen's
//! threads do, it could be terminated inside the allocator, whose lock would then be held for ever; and the host could not free
//! them, because it would not have their address.

use core::cell::UnsafeCell;

/// Bytes of a thread's stack; `instance.ts` has the same numbers as this file.
const STACK_BYTES: usize = 256 << 10;
/// Bytes reserved for thread-locals. A test of the module checks that its thread-locals fit.
const LOCAL_BYTES: usize = 4 << 10;

#[repr(C, align(64))]
struct Line(UnsafeCell<[u8; 64]>);

/// The stack and thread-locals of one thread. The stack grows down from the address at which the thread-locals begin.
pub(crate) struct ThreadMemory(Box<[Line]>);

impl ThreadMemory {
    pub(crate) fn new() -> Self {
        let lines = (STACK_BYTES + LOCAL_BYTES) / size_of::<Line>();
        Self((0..lines).map(|_| Line(UnsafeCell::new([0; 64]))).collect())
    }

    /// The address at which the stack ends and the thread-locals begin.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr().addr() + STACK_BYTES
    }
}

#[cfg(target_feature = "atomics")]
mod begin {
    #![allow(unsafe_code)] // Calls a function that the linker makes.

    unsafe extern "C" {
        /// Copies the initial values of the thread-locals to `memory`, and makes it the thread-locals of this instance.
        fn __wasm_init_tls(memory: *mut u8);
    }

    /// The first call of an instance on the shared memory: initialises its thread-locals. The stack pointer was set before.
    ///
    /// # Safety
    /// The address is that of a [`ThreadMemory`](super::ThreadMemory) that no other instance uses.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn thread_begin(locals: *mut u8) {
        // SAFETY: the caller guarantees that the `LOCAL_BYTES` at this address belong to this thread; the module's thread-locals
        // are not larger.
        unsafe { __wasm_init_tls(locals) };
    }
}
