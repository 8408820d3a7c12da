//! Sample memory: contiguous regions, and the ordered list of what is free in them.
#![allow(unsafe_code)] // Owns raw zeroed memory aligned to a cache line.

use core::ptr::NonNull;
use std::alloc::{Layout, alloc_zeroed, dealloc};

use crate::modules::data_management::error::PoolError;
use crate::modules::data_management::realtime::cells::Counter;

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
    /// Called before the region is shared.
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
    pub(super) const fn address_key(self) -> u64 {
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

/// The requirements of a buffer to a free run, and how far the search for one has come.
///
/// While nothing returns to the arena, the runs before `next` do not fit: many buffers are carved in one pass over the
/// runs.
pub(super) struct Fit {
    /// Length, at multiples of `align`.
    pub(super) units: u32,
    pub(super) align: u32,
    /// The run is shorter than this.
    pub(super) shorter_than: u32,
    /// The buffer lies below this address.
    pub(super) below: u64,
    /// The first run that was not scanned yet.
    pub(super) next: usize,
}

impl Fit {
    pub(super) const fn new(units: u32, align: u32) -> Self {
        Self {
            units,
            align,
            shorter_than: u32::MAX,
            below: u64::MAX,
            next: 0,
        }
    }
}

/// Free memory, ordered by address. The lowest address is used first, so that live buffers lie close together; what
/// returns coalesces with its neighbours. Only for the control half.
///
/// Invariants: runs are ordered, not empty, and no two of one region touch; `total` and `short` are their sums.
#[derive(Default)]
pub(crate) struct FreeRuns {
    runs: Vec<Run>,
    /// Units of all runs.
    total: usize,
    /// Units of runs that are shorter than `short_below`: the largest class.
    short: usize,
    short_below: u32,
    /// Runs that were scanned.
    looks: Counter,
}

impl FreeRuns {
    /// Takes a run for a buffer at the lowest address that fits.
    pub(super) fn take(&mut self, fit: &mut Fit) -> Option<Run> {
        let first = fit.next;
        let found = self.runs[first..].iter().position(|run| {
            if run.address_key() >= fit.below {
                return true;
            }
            // Most runs of a fragmented arena are too short: that costs one comparison.
            run.units >= fit.units
                && run.units < fit.shorter_than
                && run.before(fit.align) + fit.units <= run.units
                && run.address_key() + u64::from(run.before(fit.align)) < fit.below
        });
        let at = found.map_or(self.runs.len(), |found| first + found);
        self.looks.add((at - first + 1) as u64);
        fit.next = at;
        let run = *self
            .runs
            .get(at)
            .filter(|run| run.address_key() < fit.below)?;
        Some(self.split(at, run.before(fit.align), fit.units))
    }

    /// Takes this very run, which lies within one free run.
    pub(super) fn take_at(&mut self, place: Run) -> Option<Run> {
        let after = self.runs.partition_point(|run| run.key() <= place.key());
        let at = after.checked_sub(1).filter(|&at| {
            let run = self.runs[at];
            run.region == place.region && place.end() <= run.end()
        })?;
        let before = place.unit - self.runs[at].unit;
        Some(self.split(at, before, place.units))
    }

    /// Takes `units` out of a run, from `before` units behind its start.
    fn split(&mut self, at: usize, before: u32, units: u32) -> Run {
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
        self.total -= units as usize;
        self.short -= self.short_of(run.units);
        self.short += self.short_of(before) + self.short_of(after.units);
        taken
    }

    /// What a run of `units` units adds to `short`.
    const fn short_of(&self, units: u32) -> usize {
        if units < self.short_below {
            units as usize
        } else {
            0
        }
    }

    /// Sets the units of the largest class.
    pub(super) fn set_largest_class(&mut self, units: u32) {
        self.short_below = units;
        self.short = self.sum_of_short();
    }

    fn sum_of_short(&self) -> usize {
        self.runs.iter().map(|run| self.short_of(run.units)).sum()
    }

    /// Units in runs that are too short for the largest class.
    pub(super) const fn short(&self) -> usize {
        self.short
    }

    /// Runs scanned so far.
    pub(super) fn looks(&self) -> u64 {
        self.looks.get()
    }

    /// Returns a run of a carved buffer, or adds that of a new region.
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
        let before = if joins_before {
            self.runs[at - 1].units
        } else {
            0
        };
        let after = if joins_after { self.runs[at].units } else { 0 };
        self.total += run.units as usize;
        self.short -= self.short_of(before) + self.short_of(after);
        self.short += self.short_of(before + run.units + after);
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

    /// How many of `count` buffers fit.
    pub(super) fn fits(&self, fit: &Fit, count: usize) -> usize {
        let (mut fitting, mut looks) = (0, 0);
        for run in &self.runs {
            looks += 1;
            if run.address_key() >= fit.below || fitting >= count {
                break;
            }
            if run.units >= fit.units && run.units < fit.shorter_than {
                fitting += (run.units.saturating_sub(run.before(fit.align)) / fit.units) as usize;
            }
        }
        self.looks.add(looks);
        fitting.min(count)
    }

    pub(super) fn largest(&self) -> u32 {
        self.looks.add(self.runs.len() as u64);
        self.runs.iter().map(|run| run.units).max().unwrap_or(0)
    }

    pub(super) const fn total(&self) -> usize {
        self.total
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Run> {
        self.runs.iter().copied()
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.runs.capacity() * size_of::<Run>()
    }

    /// Whether the invariants hold.
    pub(super) fn is_valid(&self) -> bool {
        let total: usize = self.runs.iter().map(|run| run.units as usize).sum();
        (total, self.sum_of_short()) == (self.total, self.short)
            && self.runs.iter().all(|run| run.units > 0)
            && self.runs.windows(2).all(|pair| {
                pair[0].key() < pair[1].key()
                    && !pair[0].touches(pair[1])
                    && (pair[0].region < pair[1].region || pair[0].end() < pair[1].unit)
            })
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "arena_tests.rs"]
mod tests;
