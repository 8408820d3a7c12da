//! Carves buffers from the arena, and returns them to it.
#![allow(unsafe_code)] // Says which memory belongs to a buffer.

use super::arena::Arena;
use super::free_runs::{Fit, Run};
use super::reports::Reports;
use super::stretches::Stretches;
use crate::error::{PoolError, Table};
use crate::limits::{natural_alignment, units};
use crate::realtime::free_list::{Chain, MAX_NEWLY_CARVED};
use crate::realtime::pool_core::ControlRef;
use crate::realtime::size_class::SizeClass;
use crate::realtime::slot_table::SlotIndex;
use alloc::vec::Vec;
use core::cmp::Reverse;

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

/// Units and samples of all these buffers.
fn cost(mix: &[(&SizeClass, u32)]) -> (usize, usize) {
    let sum = |of_buffer: fn(usize) -> usize| {
        mix.iter()
            .map(|(class, count)| of_buffer(class.samples as usize).saturating_mul(*count as usize))
            .fold(0, usize::saturating_add)
    };
    (sum(units), sum(|samples| samples))
}

/// Makes buffers of free memory and slots, and takes them apart again.
pub(super) struct Carver {
    pub(super) arena: Arena,
    /// Slots without memory.
    pub(super) spare: Chain,
    /// Collected buffers of one size class that were not returned to the arena yet, and its number.
    pub(super) collected: (Chain, u16),
    pub(super) stretches: Stretches,
}

impl Carver {
    pub(super) fn new(arena: Arena) -> Self {
        Self {
            arena,
            spare: Chain::EMPTY,
            collected: (Chain::EMPTY, 0),
            stretches: Stretches::default(),
        }
    }

    /// Carves `count` buffers for a size class and pushes them to its inbox; all or none.
    pub(super) fn carve(
        &mut self,
        pool: &ControlRef,
        size_class: &SizeClass,
        count: u32,
    ) -> Result<(), PoolError> {
        self.check_tables(pool, &[(size_class, count)])?;
        let align = self.arena.make_room(pool, size_class.samples, count)?;
        let draining = size_class.draining();
        if count > 0 {
            // A class that grows gives none back.
            self.drain(size_class, 0);
        }
        let mut fit = Fit::new(units(size_class.samples as usize) as u32, align);
        for done in 0..count {
            if let Err(error) = self.carve_one(pool, size_class, &mut fit) {
                self.uncarve_newly_carved(pool, size_class, done);
                self.drain(size_class, draining);
                return Err(error);
            }
        }
        Ok(())
    }

    /// [`carve`](Self::carve) of `count` buffers, or of as many as there is room for. Returns how many.
    fn carve_up_to(&mut self, pool: &ControlRef, size_class: &SizeClass, count: u32) -> u32 {
        if self.carve(pool, size_class, count).is_ok() {
            return count;
        }
        let mut carved = 0;
        while carved < count && self.carve(pool, size_class, 1).is_ok() {
            carved += 1;
        }
        carved
    }

    /// Carves up to `budget` buffers for classes that have fewer idle ones than their target. Returns how many.
    pub(super) fn replenish(&mut self, pool: &ControlRef, budget: &mut u32) -> u32 {
        let mut replenished = 0;
        for size_class in pool.size_classes() {
            let short = size_class
                .shared
                .target
                .get()
                .saturating_sub(size_class.idle())
                .min(*budget);
            if short > 0 && pool.is_attached(size_class.half) {
                let carved = self.carve_up_to(pool, size_class, short);
                *budget -= carved;
                replenished += carved;
            }
        }
        replenished
    }

    /// [`carve`](Self::carve) for several size classes, so that no memory is lost between their buffers: those with the
    /// largest natural alignment come first. In a new region every buffer is naturally aligned then, because the sizes
    /// before it are multiples of its alignment. All or none.
    /// See `docs/decisions/0017-buffers-of-a-mix-are-placed-together.md`.
    pub(super) fn carve_mix(
        &mut self,
        pool: &ControlRef,
        mut mix: Vec<(&SizeClass, u32)>,
    ) -> Result<(), PoolError> {
        self.check_tables(pool, &mix)?;
        mix.sort_unstable_by_key(|(size_class, _)| {
            let size = units(size_class.samples as usize) as u32;
            Reverse((natural_alignment(size), size))
        });
        let mut left = mix.clone();
        let carved = self.carve_left(pool, &mut left);
        if carved.is_err() {
            for (&(size_class, count), (_, left)) in mix.iter().zip(left) {
                self.uncarve_newly_carved(pool, size_class, count - left);
            }
        }
        carved
    }

    /// Carves what is left of a mix: in free memory if one run holds it all or the limit leaves no room for a region
    /// of that length, else with such a region. What then fits nowhere gets a region of its own.
    fn carve_left(
        &mut self,
        pool: &ControlRef,
        left: &mut [(&SizeClass, u32)],
    ) -> Result<(), PoolError> {
        let (all, requested) = cost(left);
        if all > self.arena.free.largest() as usize && requested <= self.arena.room_samples() {
            // Where that is refused, less memory may do.
            let _ = self.arena.add_region(pool, all);
        }
        self.carve_what_fits(pool, left);
        let (missing, samples) = cost(left);
        if missing == 0 {
            return Ok(());
        }
        if samples > self.arena.room_samples() {
            return Err(self.arena.limit_reached(requested, requested - samples));
        }
        self.arena.add_region(pool, missing)?;
        self.carve_what_fits(pool, left);
        Ok(())
    }

    /// Carves as many buffers of a mix as fit in free memory, side by side, and subtracts them.
    fn carve_what_fits(&mut self, pool: &ControlRef, left: &mut [(&SizeClass, u32)]) {
        for (size_class, count) in left {
            let mut fit = Fit::new(units(size_class.samples as usize) as u32, 1);
            size_class.end_drain();
            while *count > 0 && self.carve_one(pool, size_class, &mut fit).is_ok() {
                *count -= 1;
            }
        }
    }

    /// Checks whether inboxes and the slot table have room for so many more buffers.
    fn check_tables(&self, pool: &ControlRef, mix: &[(&SizeClass, u32)]) -> Result<(), PoolError> {
        for &(size_class, count) in mix {
            if u64::from(count) > MAX_NEWLY_CARVED {
                return Err(too_many(count as usize));
            }
            if u64::from(count) + u64::from(size_class.shared.inbox.newly_carved())
                > MAX_NEWLY_CARVED
            {
                return Err(INBOX_FULL);
            }
        }
        let count: u64 = mix.iter().map(|&(_, count)| u64::from(count)).sum();
        if count > u64::from(self.spare.length) + pool.table.unused() as u64 {
            return Err(PoolError::TableFull {
                table: Table::Slots,
                capacity: pool.table.capacity(),
            });
        }
        Ok(())
    }

    /// Carves one buffer.
    pub(super) fn carve_one(
        &mut self,
        pool: &ControlRef,
        size_class: &SizeClass,
        fit: &mut Fit,
    ) -> Result<(), PoolError> {
        let run = self.arena.take(size_class.samples, fit);
        let none = || self.arena.limit_reached(size_class.samples as usize, 0);
        let run = run.ok_or_else(none)?;
        self.carve_run(pool, size_class, run)
    }

    /// Carves a buffer from a run that was just taken.
    fn carve_run(
        &mut self,
        pool: &ControlRef,
        size_class: &SizeClass,
        run: Run,
    ) -> Result<(), PoolError> {
        let table = &pool.table;
        let index = self.spare.pop(table).map_or_else(|| table.add(), Ok);
        let index = index.inspect_err(|_| self.arena.give(size_class.samples, run))?;
        // SAFETY: the run was free until now, in full, and is given back when the slot is uncarved. The slot was spare.
        unsafe { table.slot(index).carve(run.region, run.unit, size_class.id) };
        self.stretches.cover(self.arena.reserved_units);
        self.stretches.add(size_class.id, run.address_key());
        size_class.add_carved(1);
        if !size_class.shared.inbox.push_newly_carved(table, index) {
            size_class.sub_carved(1);
            self.uncarve(pool, size_class, index);
            return Err(INBOX_FULL);
        }
        Ok(())
    }

    /// Undoes a carve: takes up to `count` buffers out of the inbox, as far as the owner has not taken them yet.
    pub(super) fn uncarve_newly_carved(
        &mut self,
        pool: &ControlRef,
        size_class: &SizeClass,
        count: u32,
    ) {
        let mut left = count;
        for list in size_class.shared.inbox.lists() {
            let mut chain = list.take_unless_taking();
            let returned = chain.length - chain.newly_carved;
            let newly_carved = left.min(chain.newly_carved);
            left -= newly_carved;
            for _ in 0..newly_carved {
                if let Some(index) = chain.pop(&pool.table) {
                    size_class.sub_carved(1);
                    self.uncarve(pool, size_class, index);
                }
            }
            put_back(pool, size_class, chain, returned);
        }
    }

    /// Returns the memory of a buffer to the arena. No size class counts the buffer any more.
    fn uncarve(&mut self, pool: &ControlRef, size_class: &SizeClass, index: SlotIndex) {
        let slot = pool.table.slot(index);
        self.stretches.remove(size_class.id, slot.address_key());
        let run = Run {
            region: slot.region(),
            unit: slot.unit(),
            units: units(size_class.samples as usize) as u32,
        };
        slot.uncarve();
        self.arena.give(size_class.samples, run);
        self.spare.push(&pool.table, index);
    }

    /// Requests `buffers` of the size class, those at the highest addresses, instead of any earlier request.
    pub(super) fn drain(&self, size_class: &SizeClass, buffers: u32) {
        if buffers == 0 {
            size_class.end_drain();
        } else {
            let lowest = self.starts_from_top(size_class).nth(buffers as usize - 1);
            size_class.request_drain(buffers, lowest.unwrap_or(0));
            size_class.request_scan();
        }
    }

    /// For each buffer that the size class has, from the highest address down: where its stretch starts.
    pub(super) fn starts_from_top(&self, size_class: &SizeClass) -> impl Iterator<Item = u64> {
        // The stretches still count those that were collected.
        let (chain, id) = &self.collected;
        let collected = if *id == size_class.id {
            chain.length
        } else {
            0
        };
        let buffers = self.stretches.starts_from_top(size_class.id);
        buffers.skip(collected as usize)
    }

    /// Returns up to `budget` buffers to the arena: what owners shed, and what is idle in halves without an owner.
    /// Returns how many.
    pub(super) fn collect(
        &mut self,
        pool: &ControlRef,
        reports: &mut Reports,
        budget: &mut u32,
    ) -> u32 {
        let mut collected = 0;
        loop {
            while *budget > 0 && self.return_one_to_arena(pool) {
                *budget -= 1;
                collected += 1;
            }
            if *budget == 0 || !self.take_next_list(pool, reports) {
                return collected;
            }
        }
    }

    /// Returns one collected buffer to the arena.
    fn return_one_to_arena(&mut self, pool: &ControlRef) -> bool {
        let (chain, id) = &mut self.collected;
        // A size class stays while collected buffers name it.
        let Some(size_class) = pool.size_class(*id) else {
            return false;
        };
        let Some(index) = chain.pop(&pool.table) else {
            return false;
        };
        self.uncarve(pool, size_class, index);
        true
    }

    /// Takes a list that can be collected: a surplus, or any list of a half without an owner.
    fn take_next_list(&mut self, pool: &ControlRef, reports: &mut Reports) -> bool {
        for size_class in pool.size_classes() {
            let mut chain = size_class.shared.surplus.take();
            if chain.length == 0 && !pool.is_attached(size_class.half) {
                chain = take_idle(pool, reports, size_class);
            }
            if chain.length > 0 {
                size_class.count_collected(chain.length);
                self.collected = (chain, size_class.id);
                return true;
            }
        }
        false
    }

    /// Returns the idle buffers of a size class to the arena. Its half has no owner.
    pub(super) fn return_idle_to_arena(
        &mut self,
        pool: &ControlRef,
        reports: &mut Reports,
        size_class: &SizeClass,
    ) {
        let mut chain = size_class.shared.surplus.take();
        loop {
            size_class.count_collected(chain.length);
            while let Some(index) = chain.pop(&pool.table) {
                self.uncarve(pool, size_class, index);
            }
            chain = take_idle(pool, reports, size_class);
            if chain.length == 0 {
                return;
            }
        }
    }
}

/// Takes the next list of idle buffers of a size class whose half has no owner.
fn take_idle(pool: &ControlRef, reports: &mut Reports, size_class: &SizeClass) -> Chain {
    let mut chain = size_class.take_local();
    for list in size_class.shared.inbox.lists() {
        if chain.length == 0 {
            chain = list.take();
            let returned = size_class.count_returned(&chain);
            reports.recycled(pool, size_class, returned);
        }
    }
    size_class.count_shed(chain.length);
    chain
}

/// Pushes a chain to an inbox again, `returned` of them as returned ones.
pub(super) fn put_back(
    pool: &ControlRef,
    size_class: &SizeClass,
    mut chain: Chain,
    mut returned: u32,
) {
    let (table, inbox) = (&pool.table, &size_class.shared.inbox);
    while let Some(index) = chain.pop(table) {
        if returned > 0 || !inbox.push_newly_carved(table, index) {
            returned = returned.saturating_sub(1);
            // Never closed: this pool reference exists. A newly carved buffer that the inbox cannot count any more
            // passes for a returned one.
            let _ = inbox.push(table.slot(index).state, index);
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "carving_tests.rs"]
mod tests;
