//! The control half's hold on the arena: buffers are carved from it, and given back.

use super::arena::{Region, Run, UNIT_SAMPLES, natural_alignment, units};
use super::error::{PoolError, Table};
use super::free_list::{Chain, NO_LINE, Shelf};
use super::pool_control::PoolControl;
use super::pool_core::{MAX_REGIONS, Pinned};
use super::slot_table::SlotIndex;

/// A region grown later has at least one part in this many of what is reserved, so that regions stay few.
const GROWTH_SHARE: usize = 2;

impl PoolControl {
    /// Carves `count` buffers for a shelf and pushes them to its inbox; all or none.
    pub(super) fn carve(&mut self, shelf: Pinned<Shelf>, count: u32) -> Result<(), PoolError> {
        let size = units(shelf.samples as usize) as u32;
        let align = self.make_room(size, count)?;
        if count > 0 {
            // What is carved now may lie beyond it.
            shelf.set_line(NO_LINE);
        }
        for done in 0..count {
            if let Err(error) = self.carve_one(&shelf, size, align, u32::MAX) {
                self.undo(&shelf, size, done);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Carves a buffer of `size` units at a multiple of `align`, from a run that has fewer than `limit`.
    pub(super) fn carve_one(
        &mut self,
        shelf: &Shelf,
        size: u32,
        align: u32,
        limit: u32,
    ) -> Result<(), PoolError> {
        let table = &self.anchor.table;
        let index = match self.spare.pop(table) {
            Some(index) => index,
            None => table.add()?,
        };
        let Some(run) = self.free.take(size, align, limit) else {
            self.spare.push(table, index);
            return Err(self.limit_reached(size as usize));
        };
        table.slot(index).carve(run.region, run.unit, shelf.id);
        shelf.add_carved(1);
        if !shelf.shared.inbox.push_fresh(table, index) {
            shelf.sub_carved(1);
            self.uncarve(index, size);
            return Err(PoolError::TableFull {
                table: Table::Slots,
                capacity: usize::from(u16::MAX),
            });
        }
        Ok(())
    }

    /// Takes up to `count` buffers out of the inbox again, as many as the owner has not taken yet.
    fn undo(&mut self, shelf: &Shelf, size: u32, count: u32) {
        let mut chain = shelf.shared.inbox.take();
        let returned = chain.length - chain.fresh;
        for _ in 0..count.min(chain.fresh) {
            if let Some(index) = chain.pop(&self.anchor.table) {
                shelf.sub_carved(1);
                self.uncarve(index, size);
            }
        }
        self.put_back(shelf, chain, returned);
    }

    /// Pushes a chain to an inbox again, `returned` of them as returned ones.
    pub(super) fn put_back(&self, shelf: &Shelf, mut chain: Chain, mut returned: u32) {
        while let Some(index) = chain.pop(&self.anchor.table) {
            let table = &self.anchor.table;
            if returned > 0 {
                returned -= 1;
                // Not closed: this anchor lives.
                let _ = shelf.shared.inbox.push(table.slot(index), index);
            } else {
                shelf.shared.inbox.push_fresh(table, index);
            }
        }
    }

    pub(super) fn uncarve(&mut self, index: SlotIndex, units: u32) {
        let slot = self.anchor.table.slot(index);
        let (region, unit) = (slot.region(), slot.unit());
        slot.uncarve();
        self.free.give(Run {
            region,
            unit,
            units,
        });
        self.spare.push(&self.anchor.table, index);
    }

    /// Sees to it that `count` buffers of `size` units fit, and says at multiples of what: of their natural alignment, from
    /// what is free or by one new region; where there is no room for that, anywhere.
    fn make_room(&mut self, size: u32, count: u32) -> Result<u32, PoolError> {
        let align = natural_alignment(size);
        let missing = (count as usize).saturating_sub(self.free.fits(size, align));
        if missing == 0 {
            return Ok(align);
        }
        let needed = missing.saturating_mul(size as usize);
        let room = self.room_units();
        let fits_anywhere = self.free.fits(size, 1) >= count as usize;
        if fits_anywhere && (needed > room || usize::from(self.regions) == MAX_REGIONS) {
            return Ok(1);
        }
        if needed > room {
            return Err(self.limit_reached(needed));
        }
        // So large that the limit is reached before the regions run out.
        let share = room / (MAX_REGIONS - usize::from(self.regions)).max(1);
        self.add_region(
            needed
                .max(self.reserved_units / GROWTH_SHARE)
                .max(share)
                .min(room),
        )?;
        Ok(align)
    }

    /// What recycled vectors hold now.
    pub(super) const fn set_shelved(&mut self, samples: usize) {
        self.shelved_samples = samples;
    }

    /// Samples the pool may still take, in the arena or on shelves of vectors.
    #[must_use]
    pub fn room_samples(&self) -> usize {
        self.room_units() * UNIT_SAMPLES
    }

    fn room_units(&self) -> usize {
        let taken = self.reserved_units + units(self.shelved_samples);
        self.limit_units.saturating_sub(taken)
    }

    fn limit_reached(&self, needed_units: usize) -> PoolError {
        PoolError::LimitReached {
            requested: needed_units * UNIT_SAMPLES,
            available: self.room_samples(),
            limit: self.limit_units * UNIT_SAMPLES,
        }
    }

    pub(super) fn add_region(&mut self, units: usize) -> Result<(), PoolError> {
        if usize::from(self.regions) == MAX_REGIONS {
            return Err(PoolError::TableFull {
                table: Table::Regions,
                capacity: MAX_REGIONS,
            });
        }
        let mut region = Region::new(units, self.source)?;
        if self.prefault {
            region.prefault(units);
        }
        let id = self.anchor.add_region(region)?;
        self.regions = id + 1;
        self.reserved_units += units;
        self.free.give(Run {
            region: id,
            unit: 0,
            units: units as u32,
        });
        Ok(())
    }
}
