//! The size of the memory. A memory that all threads share must never grow: growth makes JavaScript's cached views stale, and
//! takes a lock.

use crate::shared::platform::memory_pages;

/// Bytes that boot reserves for the allocator, within the maximum that the module was linked with.
const BUDGET_BYTES: usize = 32 << 20;

/// The number of pages at boot, and the growth since then.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(crate) struct MemoryFigures {
    /// Pages of 64 KiB when boot ended.
    pages_at_boot: usize,
    /// Pages added since then: 0 in shared mode, otherwise cached views are stale.
    pages_grown: usize,
}

/// Grows the memory once, before other threads and views exist. The allocator keeps the freed memory.
pub(crate) fn reserve() {
    // `black_box` keeps the compiler from removing an unused allocation.
    drop(core::hint::black_box(Vec::<u8>::with_capacity(
        BUDGET_BYTES,
    )));
}

/// Measures the growth of the memory.
#[derive(Debug)]
pub(crate) struct MemoryWatch {
    pages_at_boot: usize,
}

impl MemoryWatch {
    /// Measures the growth from now on.
    pub(crate) fn start() -> Self {
        Self {
            pages_at_boot: memory_pages(),
        }
    }

    pub(crate) fn figures(&self) -> MemoryFigures {
        MemoryFigures {
            pages_at_boot: self.pages_at_boot,
            pages_grown: memory_pages() - self.pages_at_boot,
        }
    }
}
