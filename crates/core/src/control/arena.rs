//! The memory of a pool: its regions, what of them is free, and how much more the pool may take.

use super::free_runs::{Fit, FreeRuns, Run};
use crate::error::{PoolError, Table};
use crate::limits::{UNIT_BYTES, UNIT_SAMPLES, natural_alignment, units};
use crate::memory::{MemorySource, Region};
use crate::realtime::pool_core::ControlRef;
use crate::realtime::pool_state::MAX_REGIONS;

/// A region added later has at least one part in this many of what is reserved, so that regions stay few.
const GROWTH_SHARE: usize = 2;

/// How regions are made, and the limit of the pool.
#[derive(Clone, Copy)]
pub(super) struct ArenaOptions {
    /// Limit of all buffers, free memory and recycled vectors in samples, without the padding of buffers.
    pub(super) limit_samples: usize,
    pub(super) source: MemorySource,
    pub(super) prefault: bool,
}

/// See the module. `held_samples` is the capacity of all carved buffers, `padding_samples` what they take beyond it: to
/// the end of their last unit.
pub(super) struct Arena {
    pub(super) free: FreeRuns,
    options: ArenaOptions,
    pub(super) reserved_units: usize,
    regions: u8,
    held_samples: usize,
    padding_samples: usize,
    /// Samples of recycled vectors, which count towards the limit.
    pub(super) recycled_vector_samples: usize,
}

impl Arena {
    pub(super) fn new(options: ArenaOptions, largest_class: usize) -> Self {
        let mut free = FreeRuns::default();
        free.set_largest_class(units(largest_class) as u32);
        Self {
            free,
            options,
            reserved_units: 0,
            regions: 0,
            held_samples: 0,
            padding_samples: 0,
            recycled_vector_samples: 0,
        }
    }

    /// Takes the memory of one buffer.
    pub(super) fn take(&mut self, samples: u32, fit: &mut Fit) -> Option<Run> {
        let run = self.free.take(fit)?;
        self.held_samples += samples as usize;
        self.padding_samples += padding(samples);
        Some(run)
    }

    /// Accepts the memory of a buffer back.
    pub(super) fn give(&mut self, samples: u32, run: Run) {
        self.free.give(run);
        self.held_samples -= samples as usize;
        self.padding_samples -= padding(samples);
    }

    /// Capacity of all carved buffers.
    pub(super) const fn held_samples(&self) -> usize {
        self.held_samples
    }

    pub(super) const fn padding_samples(&self) -> usize {
        self.padding_samples
    }

    pub(super) const fn limit_samples(&self) -> usize {
        self.options.limit_samples
    }

    /// Samples the pool may still take, in the arena or as recycled vectors.
    pub(super) fn room_samples(&self) -> usize {
        let reserved = self.reserved_units.saturating_mul(UNIT_SAMPLES);
        let taken = reserved.saturating_sub(self.padding_samples);
        let taken = taken.saturating_add(self.recycled_vector_samples);
        self.limit_samples().saturating_sub(taken)
    }

    /// The error when `requested` samples do not fit and free memory has room for `free` of them.
    pub(super) fn limit_reached(&self, requested: usize, free: usize) -> PoolError {
        PoolError::LimitReached {
            requested,
            available: free.saturating_add(self.room_samples()),
            limit: self.limit_samples(),
        }
    }

    /// Makes room for `count` buffers of one class, in free memory or by one new region. Returns the alignment to
    /// carve them at: the natural one, or 1 where there is no room for that.
    pub(super) fn make_room(
        &mut self,
        pool: &ControlRef,
        samples: u32,
        count: u32,
    ) -> Result<u32, PoolError> {
        let (samples, size) = (samples as usize, units(samples as usize) as u32);
        let (count, align) = (count as usize, natural_alignment(size));
        let missing = count - self.free.fits(&Fit::new(size, align), count);
        if missing == 0 {
            return Ok(align);
        }
        let room = self.room_samples();
        let missing_anywhere = count - self.free.fits(&Fit::new(size, 1), count);
        let may_add = missing.saturating_mul(samples) <= room && self.may_add_region();
        if missing_anywhere == 0 && !may_add {
            return Ok(1);
        }
        let (missing, align) = if may_add {
            (missing, align)
        } else {
            (missing_anywhere, 1)
        };
        let cost = missing.saturating_mul(samples);
        if cost > room {
            let available = (count - missing).saturating_mul(samples);
            return Err(self.limit_reached(count.saturating_mul(samples), available));
        }
        let needed = missing.saturating_mul(size as usize);
        // So large that the limit is reached before the regions run out; twice what there was where the limit is far.
        let share = room / UNIT_SAMPLES / (MAX_REGIONS - usize::from(self.regions)).max(1);
        let ahead = share.clamp(self.reserved_units / GROWTH_SHARE, self.reserved_units);
        let ahead = ahead
            .saturating_sub(needed)
            .min((room - cost) / UNIT_SAMPLES);
        match self.add_region(pool, needed.saturating_add(ahead)) {
            Err(PoolError::OutOfMemory { .. }) if ahead > 0 => self.add_region(pool, needed)?,
            added => added?,
        }
        Ok(align)
    }

    fn may_add_region(&self) -> bool {
        usize::from(self.regions) < MAX_REGIONS
    }

    /// Adds a region of free memory.
    pub(super) fn add_region(&mut self, pool: &ControlRef, units: usize) -> Result<(), PoolError> {
        if !self.may_add_region() {
            return Err(PoolError::TableFull {
                table: Table::Regions,
                capacity: MAX_REGIONS,
            });
        }
        let run_units = u32::try_from(units).map_err(|_| PoolError::OutOfMemory {
            bytes: units.saturating_mul(UNIT_BYTES),
        })?;
        let mut region = Region::new(units, self.options.source)?;
        if self.options.prefault {
            region.prefault(units);
        }
        let id = pool.add_region(region)?;
        self.regions = id + 1;
        self.reserved_units += units;
        self.free.give(Run {
            region: id,
            unit: 0,
            units: run_units,
        });
        Ok(())
    }

    /// The share of the arena that is free in coalesced runs shorter than the largest class, in percent.
    pub(super) fn fragmentation_percentage(&self) -> f32 {
        self.free.short() as f32 / self.reserved_units.max(1) as f32 * 100.0
    }
}

/// Samples that a buffer takes of the arena beyond its capacity.
const fn padding(samples: u32) -> usize {
    units(samples as usize) * UNIT_SAMPLES - samples as usize
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "arena_tests.rs"]
mod tests;
