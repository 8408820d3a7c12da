//! Sample memory: contiguous regions, and the ordered list of what is free in them.
#![allow(unsafe_code)] // Owns raw zeroed memory aligned to a cache line.

use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc};

use crate::modules::data_management::error::PoolError;

/// Everything in the arena starts and ends on a multiple of this: a cache line, and the widest SIMD register.
pub(crate) const UNIT_BYTES: usize = 64;
/// Samples in one unit.
pub(super) const UNIT_SAMPLES: usize = UNIT_BYTES / size_of::<f32>();
const PAGE_BYTES: usize = 4096;
/// The largest region: what a run's units can count, and what Rust allows.
pub(crate) const MOST_BYTES: usize = {
    let counted = (u32::MAX as usize).saturating_mul(UNIT_BYTES);
    let allowed = isize::MAX as usize;
    if counted < allowed { counted } else { allowed }
};

/// Units that hold `samples`.
pub(super) const fn units(samples: usize) -> usize {
    samples.div_ceil(UNIT_SAMPLES)
}

/// Where a buffer of so many units should begin: at multiples of the largest power of two that divides its size. Buffers
/// of sizes that are powers of two then never straddle, and a larger one fits wherever its smaller ones have gone.
pub(super) const fn natural_alignment(units: u32) -> u32 {
    1 << units.trailing_zeros()
}

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
    /// A file's bytes, read only.
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    File {
        _pages: memmap2::Mmap,
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
    pub(super) fn new(units: usize, source: MemorySource) -> Result<Self, PoolError> {
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

    /// The samples of a mapped file. Nothing ever writes through a region made here.
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    pub(super) fn from_file(pages: memmap2::Mmap) -> Option<Self> {
        let base = NonNull::new(pages.as_ptr().cast_mut())?.cast();
        Some(Self {
            base,
            backing: Backing::File { _pages: pages },
        })
    }

    pub(crate) const fn base(&self) -> NonNull<f32> {
        self.base
    }

    /// Touches every page, so that the first use of a buffer is no page fault.
    ///
    /// Takes the region before anybody else knows it.
    pub(super) fn prefault(&mut self, units: usize) {
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
            Backing::Mapped { .. } | Backing::File { .. } => {}
        }
    }
}

/// A stretch of free units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    pub(super) region: u8,
    pub(super) unit: u32,
    pub(super) units: u32,
}

impl Run {
    const fn end(self) -> u32 {
        self.unit + self.units
    }

    const fn key(self) -> (u8, u32) {
        (self.region, self.unit)
    }

    /// Orders runs and slots by address.
    pub(super) const fn place_key(self) -> u64 {
        (self.region as u64) << 32 | self.unit as u64
    }

    const fn touches(self, next: Self) -> bool {
        self.region == next.region && self.end() == next.unit
    }

    /// Units before its first multiple of `align`, a power of two.
    fn before(&self, align: u32) -> u32 {
        self.unit.wrapping_neg() & (align - 1)
    }
}

/// What is free, ordered by address. The lowest address is given first, so that live buffers crowd together; what comes
/// back coalesces with its neighbours. Control half only.
///
/// Invariant: runs are ordered, not empty, and no two of one region touch.
#[derive(Default)]
pub(crate) struct FreeRuns {
    runs: Vec<Run>,
}

impl FreeRuns {
    /// Carves `units` at the lowest place that is a multiple of `align`, from a run of fewer than `limit` units.
    pub(super) fn take(&mut self, units: u32, align: u32, limit: u32) -> Option<Run> {
        let (at, before) = self.runs.iter().enumerate().find_map(|(at, run)| {
            // Most runs of a fragmented arena are too short: that costs one comparison.
            if run.units < units || run.units >= limit {
                return None;
            }
            let before = run.before(align);
            (before + units <= run.units).then_some((at, before))
        })?;
        let run = self.runs[at];
        let taken = Run {
            unit: run.unit + before,
            units,
            ..run
        };
        let after = Run {
            unit: taken.end(),
            units: run.units - before - units,
            ..run
        };
        match (before > 0, after.units > 0) {
            (false, false) => drop(self.runs.remove(at)),
            (false, true) => self.runs[at] = after,
            (true, false) => self.runs[at].units = before,
            (true, true) => {
                self.runs[at].units = before;
                self.runs.insert(at + 1, after);
            }
        }
        Some(taken)
    }

    /// Gives back what was carved, or adds a new region.
    pub(super) fn give(&mut self, run: Run) {
        if run.units == 0 {
            return;
        }
        let at = self.runs.partition_point(|other| other.key() < run.key());
        debug_assert!(
            at == 0 || self.runs[at - 1].region < run.region || self.runs[at - 1].end() <= run.unit
        );
        let joins_before = at > 0 && self.runs[at - 1].touches(run);
        let joins_after = self.runs.get(at).is_some_and(|next| run.touches(*next));
        match (joins_before, joins_after) {
            (true, true) => {
                self.runs[at - 1].units += run.units + self.runs[at].units;
                self.runs.remove(at);
            }
            (true, false) => self.runs[at - 1].units += run.units,
            (false, true) => {
                self.runs[at].unit = run.unit;
                self.runs[at].units += run.units;
            }
            (false, false) => self.runs.insert(at, run),
        }
    }

    /// How many of `count` buffers of `units` fit.
    pub(super) fn fits(&self, units: u32, align: u32, count: usize) -> usize {
        let mut fitting = 0;
        for run in self.runs.iter().filter(|run| run.units >= units) {
            fitting += (run.units.saturating_sub(run.before(align)) / units) as usize;
            if fitting >= count {
                return count;
            }
        }
        fitting
    }

    pub(super) fn largest(&self) -> u32 {
        self.runs.iter().map(|run| run.units).max().unwrap_or(0)
    }

    pub(super) fn total(&self) -> usize {
        self.runs.iter().map(|run| run.units as usize).sum()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Run> {
        self.runs.iter().copied()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    /// Whether the invariant holds.
    pub(super) fn is_valid(&self) -> bool {
        self.runs.iter().all(|run| run.units > 0)
            && self.runs.windows(2).all(|pair| {
                pair[0].key() < pair[1].key()
                    && !pair[0].touches(pair[1])
                    && (pair[0].region < pair[1].region || pair[0].end() < pair[1].unit)
            })
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    fn run(region: u8, unit: u32, units: u32) -> Run {
        Run {
            region,
            unit,
            units,
        }
    }

    #[test]
    fn a_region_is_zeroed_and_aligned_from_every_source() {
        let sources = [
            MemorySource::Heap,
            #[cfg(feature = "mapped")]
            MemorySource::Mapped,
        ];
        for source in sources {
            let mut region = Region::new(130, source).unwrap();
            region.prefault(130);
            assert_eq!(region.base().as_ptr().align_offset(UNIT_BYTES), 0);
            // SAFETY: 130 units were allocated above, zeroed, and nobody else knows them.
            let samples =
                unsafe { core::slice::from_raw_parts(region.base().as_ptr(), 130 * UNIT_SAMPLES) };
            assert!(samples.iter().all(|&sample| sample == 0.0));
        }
        let error = Region::new(usize::MAX / 2, MemorySource::Heap).err();
        assert!(matches!(error, Some(PoolError::OutOfMemory { .. })));
    }

    #[test]
    fn the_lowest_address_goes_first_and_neighbours_coalesce() {
        let mut free = FreeRuns::default();
        free.give(run(1, 0, 10));
        free.give(run(0, 0, 10));
        assert_eq!((free.total(), free.largest()), (20, 10));
        let parts: Vec<_> = (0..3).map(|_| free.take(4, 1, u32::MAX).unwrap()).collect();
        assert_eq!(parts, [run(0, 0, 4), run(0, 4, 4), run(1, 0, 4)]);
        assert_eq!(free.take(7, 1, u32::MAX), None);
        assert_eq!(free.take(2, 1, u32::MAX), Some(run(0, 8, 2)));
        free.give(run(0, 0, 4));
        free.give(run(0, 8, 2));
        assert_eq!(free.iter().count(), 3);
        free.give(run(0, 4, 4));
        assert!(free.is_valid());
        assert_eq!(
            free.iter().collect::<Vec<_>>(),
            [run(0, 0, 10), run(1, 4, 6)]
        );
        assert_eq!((free.fits(5, 1, 9), free.fits(3, 1, 9)), (3, 5));
        assert_eq!(free.fits(3, 1, 4), 4);
    }

    #[test]
    fn validity_notices_runs_that_touch() {
        let free = FreeRuns {
            runs: vec![run(0, 0, 2), run(0, 2, 2)],
        };
        assert!(!free.is_valid());
    }
}
