//! Stack and thread-locals of a thread that joins the shared memory. See
//! `docs/decisions/0033-host-allocates-thread-stacks.md`.
//!
//! The host allocates them, and frees them when the thread has ended. A thread that allocated its own, as wasm-bindgen has
//! it, could be ended inside the allocator, whose lock would then be held for ever; and nobody would know where they are.

use core::cell::UnsafeCell;

/// Bytes of a thread's stack; the numbers of this file are those of `instance.ts`.
const STACK_BYTES: usize = 256 << 10;
/// Bytes set aside for a thread's thread-locals: at least as many as the module has, which a test of the module sees to.
const LOCAL_BYTES: usize = 4 << 10;

#[repr(C, align(64))]
struct Line(UnsafeCell<[u8; 64]>);

/// One thread's: the stack grows down from where the thread-locals begin.
pub(super) struct ThreadMemory(Box<[Line]>);

impl ThreadMemory {
    pub(super) fn new() -> Self {
        let lines = (STACK_BYTES + LOCAL_BYTES) / size_of::<Line>();
        Self((0..lines).map(|_| Line(UnsafeCell::new([0; 64]))).collect())
    }

    /// Where the stack ends and the thread-locals begin.
    pub(super) fn address(&self) -> usize {
        self.0.as_ptr().addr() + STACK_BYTES
    }
}

#[cfg(target_feature = "atomics")]
mod begin {
    #![allow(unsafe_code)] // The linker's own function.

    unsafe extern "C" {
        /// Copies the initial values of the thread-locals there, and names that address as this instance's.
        fn __wasm_init_tls(memory: *mut u8);
    }

    /// The first call of an instance that joins the memory: its thread-locals are here. The stack pointer has been set.
    ///
    /// # Safety
    /// The address is that of a [`ThreadMemory`](super::ThreadMemory) that no other instance has begun on.
    #[unsafe(no_mangle)]
    unsafe extern "C" fn thread_begin(locals: *mut u8) {
        // SAFETY: `LOCAL_BYTES` from there on are this thread's, says the caller; the module has no more than that.
        unsafe { __wasm_init_tls(locals) };
    }
}
