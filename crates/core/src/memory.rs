//! Sample memory: contiguous regions.
#![allow(unsafe_code)] // Owns raw zeroed memory aligned to a cache line.

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::ptr::NonNull;

use crate::error::PoolError;
use crate::limits::UNIT_BYTES;

const PAGE_BYTES: usize = 4096;

/// What a region's memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemorySource {
    /// The global allocator.
    #[default]
    Heap,
    /// Anonymous pages mapped from the system, apart from every allocator.
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    Mapped,
    /// Mapped pages that the system may not swap out.
    #[cfg(all(feature = "page-lock", unix))]
    Locked,
}

/// One block of sample memory: zeroed, aligned to a unit, at one address for life.
pub(crate) struct Region {
    base: NonNull<f32>,
    backing: Backing,
}

enum Backing {
    Heap(Layout),
    /// Kept for its drop; `base` points into it.
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    Mapped {
        _pages: memmap2::MmapMut,
    },
    /// Memory of somebody else, read only.
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    Foreign {
        _memory: alloc::boxed::Box<dyn Send + Sync>,
    },
}

// SAFETY: a region is plain memory without a tie to the thread that made it; who may touch which part of it is settled
// by the slots (see `buffer.rs`), the region itself is only freed by its one owner.
unsafe impl Send for Region {}
// SAFETY: as above; `&Region` gives out nothing but the address.
unsafe impl Sync for Region {}

impl Region {
    /// # Errors
    /// `OutOfMemory` with the bytes that were refused.
    pub(crate) fn new(units: usize, source: MemorySource) -> Result<Self, PoolError> {
        let bytes = units.saturating_mul(UNIT_BYTES);
        let refused = PoolError::OutOfMemory { bytes };
        match source {
            MemorySource::Heap => {
                let layout = Layout::from_size_align(bytes.max(UNIT_BYTES), UNIT_BYTES)
                    .map_err(|_| refused)?;
                // SAFETY: the size is not zero. All zeros is a valid `f32`, so the samples are initialised.
                let base = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(refused)?;
                Ok(Self {
                    base: base.cast(),
                    backing: Backing::Heap(layout),
                })
            }
            #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
            MemorySource::Mapped => Self::map(bytes, false).ok_or(refused),
            #[cfg(all(feature = "page-lock", unix))]
            MemorySource::Locked => Self::map(bytes, true).ok_or(refused),
        }
    }

    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    fn map(bytes: usize, lock: bool) -> Option<Self> {
        let mut pages = memmap2::MmapMut::map_anon(bytes.max(UNIT_BYTES)).ok()?;
        #[cfg(all(feature = "page-lock", unix))]
        if lock {
            pages.lock().ok()?;
        }
        #[cfg(not(all(feature = "page-lock", unix)))]
        let _ = lock;
        Some(Self {
            base: NonNull::new(pages.as_mut_ptr())?.cast(),
            backing: Backing::Mapped { _pages: pages },
        })
    }

    /// The samples at `base`, which `memory` keeps there. Nothing ever writes through a region made here.
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    pub(crate) fn of(base: NonNull<f32>, memory: alloc::boxed::Box<dyn Send + Sync>) -> Self {
        Self {
            base,
            backing: Backing::Foreign { _memory: memory },
        }
    }

    pub(crate) const fn base(&self) -> NonNull<f32> {
        self.base
    }

    /// Touches every page, so that the first use of a buffer is no page fault.
    ///
    /// Called before the region is shared.
    pub(crate) fn prefault(&mut self, units: usize) {
        for page in (0..units * UNIT_BYTES).step_by(PAGE_BYTES) {
            // SAFETY: below the region's length; the region is not shared yet (`&mut`); a volatile zero over a zero,
            // so that the compiler keeps the touch.
            unsafe { self.base.as_ptr().byte_add(page).write_volatile(0.0) };
        }
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        match self.backing {
            // SAFETY: allocated with this very layout in `new`, freed once, by the one owner.
            Backing::Heap(layout) => unsafe { dealloc(self.base.as_ptr().cast(), layout) },
            #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
            Backing::Mapped { .. } | Backing::Foreign { .. } => {}
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "memory_tests.rs"]
mod tests;
