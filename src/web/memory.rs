//! One memory for all threads must never grow: growth would make every kept view stale, and takes a lock.

use core::arch::wasm32::memory_size;

/// What boot sets aside for the allocator, within the maximum that the module was linked with.
const BUDGET_BYTES: usize = 32 << 20;

/// Pages before and after.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct MemoryFigures {
    /// Pages of 64 KiB when boot ended.
    pages_at_boot: usize,
    /// Pages since: 0 in shared mode, or views are stale.
    pages_grown: usize,
}

/// Grows the memory once, before any other thread and any view exists: the allocator keeps what it was given.
pub(super) fn reserve() {
    // Through the black box, or the compiler leaves out an allocation that nobody uses.
    drop(core::hint::black_box(Vec::<u8>::with_capacity(
        BUDGET_BYTES,
    )));
}

/// Watches the page count.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    pages_at_boot: usize,
}

impl MemoryWatch {
    /// Watches from here on.
    pub(super) fn start() -> Self {
        Self {
            pages_at_boot: memory_size::<0>(),
        }
    }

    pub(super) fn figures(&self) -> MemoryFigures {
        MemoryFigures {
            pages_at_boot: self.pages_at_boot,
            pages_grown: memory_size::<0>() - self.pages_at_boot,
        }
    }
}
