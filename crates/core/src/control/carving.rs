//! Carves buffers from the arena, and returns them to it.

use super::arena::{Fit, Run};
use super::placement::{Placed, Wanted, fill_run, fill_runs, total_units};
use super::pool_control::PoolControl;
use crate::error::{PoolError, Table};
use crate::limits::{UNIT_BYTES, UNIT_SAMPLES, natural_alignment, units};
use crate::memory::Region;
use crate::realtime::free_list::{Chain, MAX_NEWLY_CARVED};
use crate::realtime::pool_core::{MAX_REGIONS, SharedPtr};
use crate::realtime::size_class::SizeClass;
use crate::realtime::slot_table::SlotIndex;
use alloc::vec;
use alloc::vec::Vec;

/// The inbox of a class is full of buffers that its owner has not taken yet.
const INBOX_FULL: PoolError = PoolError::TableFull {
    table: Table::Inbox,
    capacity: MAX_NEWLY_CARVED as usize,
};

/// The error for more buffers at once than an inbox can count.
pub(super) const fn too_many(requested: usize) -> PoolError {
    PoolError::TooManyAtOnce {
        requested,
        most: MAX_NEWLY_CARVED as usize,
    }
}

/// A region added later has at least one part in this many of what is reserved, so that regions stay few.
const GROWTH_SHARE: usize = 2;

impl PoolControl {
    /// Carves `count` buffers for a size class and pushes them to its inbox; all or none.
    pub(crate) fn carve(
        &mut self,
        size_class: SharedPtr<SizeClass>,
        count: u32,
    ) -> Result<(), PoolError> {
        self.check_tables(&[(size_class, count)])?;
        let align = self.make_room(size_class.samples, count)?;
        let draining = size_class.draining();
        if count > 0 {
            // New buffers may lie above the reclaim threshold.
            self.drain(&size_class, 0);
        }
        let mut fit = Fit::new(units(size_class.samples as usize) as u32, align);
        for done in 0..count {
            if let Err(error) = self.carve_one(&size_class, &mut fit) {
                self.uncarve_newly_carved(&size_class, done);
                self.drain(&size_class, draining);
                return Err(error);
            }
        }
        Ok(())
    }

    /// [`carve`](Self::carve) for several size classes, placed together so that no memory is lost between their
    /// buffers; all or none.
    pub(super) fn carve_mix(
        &mut self,
        mix: &[(SharedPtr<SizeClass>, u32)],
    ) -> Result<(), PoolError> {
        self.check_tables(mix)?;
        let placed = self.place(mix)?;
        let mut done = vec![0; mix.len()];
        for Placed { class, run } in placed {
            let (size_class, _) = mix[class];
            if done[class] == 0 {
                self.drain(&size_class, 0);
            }
            let carved = match self.free.take_at(run) {
                Some(run) => self.carve_run(&size_class, run),
                None => Err(self.limit_reached(size_class.samples as usize, 0)),
            };
            if let Err(error) = carved {
                for ((size_class, _), done) in mix.iter().zip(done) {
                    self.uncarve_newly_carved(size_class, done);
                }
                return Err(error);
            }
            done[class] += 1;
        }
        Ok(())
    }

    /// Checks whether inboxes and the slot table have room for so many more buffers.
    fn check_tables(&self, mix: &[(SharedPtr<SizeClass>, u32)]) -> Result<(), PoolError> {
        for (size_class, count) in mix {
            if u64::from(*count) > MAX_NEWLY_CARVED {
                return Err(too_many(*count as usize));
            }
            if u64::from(*count) + u64::from(size_class.shared.inbox.newly_carved())
                > MAX_NEWLY_CARVED
            {
                return Err(INBOX_FULL);
            }
        }
        let count: u64 = mix.iter().map(|&(_, count)| u64::from(count)).sum();
        let table = &self.pool.table;
        if count > u64::from(self.spare.length) + table.unused() as u64 {
            return Err(PoolError::TableFull {
                table: Table::Slots,
                capacity: table.capacity(),
            });
        }
        Ok(())
    }

    /// Carves one buffer.
    pub(super) fn carve_one(
        &mut self,
        size_class: &SizeClass,
        fit: &mut Fit,
    ) -> Result<(), PoolError> {
        let run = self.free.take(fit);
        let run = run.ok_or_else(|| self.limit_reached(size_class.samples as usize, 0))?;
        self.carve_run(size_class, run)
    }

    /// Carves a buffer from a run that was just taken.
    fn carve_run(&mut self, size_class: &SizeClass, run: Run) -> Result<(), PoolError> {
        let table = &self.pool.table;
        let index = self.spare.pop(table).map_or_else(|| table.add(), Ok);
        let index = index.inspect_err(|_| self.free.give(run))?;
        table.slot(index).carve(run.region, run.unit, size_class.id);
        size_class.add_carved(1);
        if !size_class.shared.inbox.push_newly_carved(table, index) {
            size_class.sub_carved(1);
            self.uncarve(index, run.units);
            return Err(INBOX_FULL);
        }
        Ok(())
    }

    /// Undoes a carve: takes up to `count` buffers out of the inbox, as far as the owner has not taken them yet.
    pub(crate) fn uncarve_newly_carved(&mut self, size_class: &SizeClass, count: u32) {
        let size = units(size_class.samples as usize) as u32;
        let mut left = count;
        for list in size_class.shared.inbox.lists() {
            let mut chain = list.take_unless_taking();
            let returned = chain.length - chain.newly_carved;
            let newly_carved = left.min(chain.newly_carved);
            left -= newly_carved;
            for _ in 0..newly_carved {
                if let Some(index) = chain.pop(&self.pool.table) {
                    size_class.sub_carved(1);
                    self.uncarve(index, size);
                }
            }
            self.put_back(size_class, chain, returned);
        }
    }

    /// Pushes a chain to an inbox again, `returned` of them as returned ones.
    pub(super) fn put_back(&self, size_class: &SizeClass, mut chain: Chain, mut returned: u32) {
        while let Some(index) = chain.pop(&self.pool.table) {
            let table = &self.pool.table;
            let newly_carved =
                returned == 0 && size_class.shared.inbox.push_newly_carved(table, index);
            if !newly_carved {
                returned = returned.saturating_sub(1);
                // Never closed: this pool reference exists. A newly carved buffer that the inbox cannot count any more
                // passes for a returned one.
                let _ = size_class.shared.inbox.push(table.slot(index).state, index);
            }
        }
    }

    pub(super) fn uncarve(&mut self, index: SlotIndex, units: u32) {
        let slot = self.pool.table.slot(index);
        let (region, unit) = (slot.region(), slot.unit());
        let size_class = self.pool.core().size_class_of(index);
        let above_threshold = slot.address_key() >= size_class.reclaim_threshold();
        if above_threshold {
            size_class.set_draining(size_class.draining().saturating_sub(1));
        }
        self.thresholds
            .forget(index, size_class.id, slot.address_key(), above_threshold);
        slot.uncarve();
        self.free.give(Run {
            region,
            unit,
            units,
        });
        self.spare.push(&self.pool.table, index);
    }

    /// Makes room for `count` buffers of one class, in free memory or by one new region. Returns the alignment to
    /// carve them at: the natural one, or 1 where there is no room for that.
    fn make_room(&mut self, samples: u32, count: u32) -> Result<u32, PoolError> {
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
        match self.add_region(needed.saturating_add(ahead)) {
            Err(PoolError::OutOfMemory { .. }) if ahead > 0 => self.add_region(needed)?,
            region => region?,
        };
        Ok(align)
    }

    /// Places the buffers of a mix: side by side in one free run, or in a region of their own. Where the limit leaves
    /// no room for that, in several runs, and the rest in a region.
    fn place(&mut self, mix: &[(SharedPtr<SizeClass>, u32)]) -> Result<Vec<Placed>, PoolError> {
        let class = |&(size_class, count): &(SharedPtr<SizeClass>, u32)| Wanted {
            units: units(size_class.samples as usize) as u32,
            count,
        };
        let wanted: Vec<Wanted> = mix.iter().map(class).collect();
        let total = total_units(&wanted);
        if total == 0 {
            return Ok(Vec::new());
        }
        let runs: Vec<Run> = self.free.iter().collect();
        if let Some(run) = runs.iter().find(|run| run.units as usize >= total) {
            return Ok(fill_run(*run, &wanted));
        }
        let samples = |wanted: &[Wanted]| {
            let classes = mix.iter().zip(wanted);
            let samples = classes.map(|((size_class, _), class)| {
                (size_class.samples as usize).saturating_mul(class.count as usize)
            });
            samples.fold(0, usize::saturating_add)
        };
        let requested = samples(&wanted);
        if requested <= self.room_samples() && self.may_add_region() {
            match self.add_region(total) {
                Err(PoolError::OutOfMemory { .. }) => {}
                region => return Ok(fill_run(region?, &wanted)),
            }
        }
        let (mut placed, left) = fill_runs(&runs, &wanted);
        if samples(&left) > self.room_samples() {
            return Err(self.limit_reached(requested, requested - samples(&left)));
        }
        if samples(&left) > 0 {
            let region = self.add_region(total_units(&left))?;
            placed.extend(fill_run(region, &left));
        }
        Ok(placed)
    }

    /// Sets how many samples recycled vectors hold now.
    #[doc(hidden)]
    pub const fn set_recycled_vector_samples(&mut self, samples: usize) {
        self.recycled_vector_samples = samples;
    }

    /// Samples the pool may still take, in the arena or as recycled vectors.
    #[must_use]
    pub fn room_samples(&self) -> usize {
        let reserved = self.reserved_units.saturating_mul(UNIT_SAMPLES);
        let taken = reserved.saturating_sub(self.padding_samples());
        let taken = taken.saturating_add(self.recycled_vector_samples);
        self.limit_samples.saturating_sub(taken)
    }

    /// The limit of arena and recycled vectors together.
    #[doc(hidden)]
    #[must_use]
    pub const fn limit_samples(&self) -> usize {
        self.limit_samples
    }

    /// The error when `requested` samples do not fit and free memory has room for `free` of them.
    fn limit_reached(&self, requested: usize, free: usize) -> PoolError {
        PoolError::LimitReached {
            requested,
            available: free.saturating_add(self.room_samples()),
            limit: self.limit_samples,
        }
    }

    fn may_add_region(&self) -> bool {
        usize::from(self.regions) < MAX_REGIONS
    }

    /// Adds a region; returns the run of its memory.
    pub(super) fn add_region(&mut self, units: usize) -> Result<Run, PoolError> {
        if !self.may_add_region() {
            return Err(PoolError::TableFull {
                table: Table::Regions,
                capacity: MAX_REGIONS,
            });
        }
        let run_units = u32::try_from(units).map_err(|_| PoolError::OutOfMemory {
            bytes: units.saturating_mul(UNIT_BYTES),
        })?;
        let mut region = Region::new(units, self.source)?;
        if self.prefault {
            region.prefault(units);
        }
        let id = self.pool.add_region(region)?;
        self.regions = id + 1;
        self.reserved_units += units;
        self.largest_region_units = self.largest_region_units.max(run_units);
        let run = Run {
            region: id,
            unit: 0,
            units: run_units,
        };
        self.free.give(run);
        Ok(run)
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "carving_tests.rs"]
mod tests;
