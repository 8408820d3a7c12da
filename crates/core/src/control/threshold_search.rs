//! Finds the address from which on buffers of a class are reclaimed, in a scan of a counted number of slots at a time.
//!
//! A search counts the class's buffers in 256 stretches of the arena, goes into the stretch that contains the
//! threshold, and counts again there: two passes over the slot table for 8 MB, three for 1 GB. All searches share a
//! pass. A pass continues where the last control step left it; buffers that return to the arena meanwhile are
//! subtracted.

use crate::realtime::slot_table::{SlotIndex, SlotTable};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Slots that one control step scans for thresholds. A pool of more takes the interpreter hours.
/// See `docs/decisions/0024-control-steps-scan-a-bounded-number-of-slots.md`.
pub const SLOTS_PER_STEP: u32 = if cfg!(miri) { 32 } else { 4096 };

const STRETCHES_LOG2: u32 = 8;
const STRETCHES: usize = 1 << STRETCHES_LOG2;

/// The use of a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What lies above it is reclaimed.
    Drain,
    /// The same, and no search to fill gaps replaces it: the last one did, and found no gap to fill.
    DrainFirst,
    /// Up to so many gaps below it are filled, and as many buffers above it are reclaimed instead.
    Fill(u32),
}

/// A threshold that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Threshold {
    pub(super) size_class: u16,
    pub(super) purpose: Purpose,
    /// As [`Slot::address_key`](crate::realtime::slot_table::Slot::address_key).
    pub(super) address_key: u64,
    /// Buffers at or above it.
    pub(super) above: u32,
}

/// The search for one size class's threshold.
///
/// Addresses are packed: `region << region_bits | unit`, so that few bits tell them apart.
struct Search {
    size_class: u16,
    purpose: Purpose,
    /// Buffers that are to lie above the threshold, or all if there are fewer.
    goal: u32,
    region_bits: u32,
    /// The stretches lie between these, and are `1 << shift` units long; one of `1 << shortest` has no two buffers.
    low: u64,
    high: u64,
    shift: u32,
    longest: u32,
    shortest: u32,
    /// Buffers above the last stretch.
    above: u32,
    counts: Box<[u32; STRETCHES]>,
    /// A search that begins in the middle of a pass waits for the next.
    in_pass: bool,
}

impl Search {
    fn pack(&self, address_key: u64) -> u64 {
        (address_key >> 32) << self.region_bits | address_key & u64::from(u32::MAX)
    }

    /// The stretch that contains an address; none below them, `STRETCHES` above the last.
    fn stretch(&self, address_key: u64) -> Option<usize> {
        let packed = self.pack(address_key);
        let above = packed.checked_sub(self.low)?;
        Some(if packed < self.high {
            (above >> self.shift) as usize
        } else {
            STRETCHES
        })
    }

    fn begin_pass(&mut self) {
        self.counts.fill(0);
        self.in_pass = true;
    }

    /// Goes into the stretch with the threshold; returns the threshold, once it is known.
    fn end_pass(&mut self) -> Option<Threshold> {
        let mut above = self.above;
        for stretch in (0..STRETCHES).rev() {
            let with_stretch = above + self.counts[stretch];
            if with_stretch <= self.goal {
                above = with_stretch;
                continue;
            }
            if above >= self.goal || self.shift == self.shortest {
                let end = self.low + ((stretch as u64 + 1) << self.shift);
                return Some(self.found(end, above));
            }
            self.low += (stretch as u64) << self.shift;
            self.high = self.low + (1 << self.shift);
            self.shift = self.shift.saturating_sub(STRETCHES_LOG2).max(self.shortest);
            self.above = above;
            return None;
        }
        if self.low == 0 || above == self.goal {
            return Some(self.found(self.low, above));
        }
        // Some returned to the arena meanwhile: the threshold lies further down.
        (self.low, self.high, self.shift, self.above) = (0, u64::MAX, self.longest, 0);
        None
    }

    fn found(&self, packed: u64, above: u32) -> Threshold {
        let unit = packed & ((1 << self.region_bits) - 1);
        Threshold {
            size_class: self.size_class,
            purpose: self.purpose,
            address_key: (packed >> self.region_bits) << 32 | unit,
            above,
        }
    }
}

/// The searches under way, and how far their pass over the slot table has come.
#[derive(Default)]
pub(super) struct ThresholdSearches {
    active: Vec<Search>,
    cursor: u32,
    /// Slots scanned so far.
    scanned: u64,
}

impl ThresholdSearches {
    /// Begins the search for the threshold of a size class with buffers of `size` units, instead of any other for that
    /// class. The regions have at most `region_units` units each.
    pub(super) fn begin(
        &mut self,
        size_class: u16,
        purpose: Purpose,
        goal: u32,
        size: u32,
        (regions, region_units): (u8, u32),
    ) {
        self.cancel(size_class);
        let region_bits = u32::BITS - region_units.leading_zeros();
        let bits = region_bits + (u8::BITS - regions.leading_zeros());
        let shortest = size.max(1).ilog2();
        let longest = bits.saturating_sub(STRETCHES_LOG2).max(shortest);
        self.active.push(Search {
            size_class,
            purpose,
            goal,
            region_bits,
            low: 0,
            high: u64::MAX,
            shift: longest,
            longest,
            shortest,
            above: 0,
            counts: Box::new([0; STRETCHES]),
            in_pass: false,
        });
    }

    pub(super) fn cancel(&mut self, size_class: u16) {
        self.active.retain(|search| search.size_class != size_class);
        self.rest();
    }

    /// Without a search nothing is kept, and the next pass begins at the first slot.
    fn rest(&mut self) {
        if self.active.is_empty() {
            self.active = Vec::new();
            self.cursor = 0;
        }
    }

    /// The purpose of the search for a size class's threshold, if there is one.
    pub(super) fn purpose(&self, size_class: u16) -> Option<Purpose> {
        let mut active = self.active.iter();
        active
            .find(|search| search.size_class == size_class)
            .map(|search| search.purpose)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.active.is_empty()
    }

    /// Subtracts a buffer that returns to the arena and may have been counted; `above_threshold` if it is one of those
    /// that the goal counts.
    pub(super) fn forget(
        &mut self,
        index: SlotIndex,
        size_class: u16,
        address_key: u64,
        above_threshold: bool,
    ) {
        let cursor = self.cursor;
        for search in self
            .active
            .iter_mut()
            .filter(|search| search.size_class == size_class)
        {
            search.goal -= u32::from(above_threshold).min(search.goal);
            match search.stretch(address_key) {
                Some(STRETCHES) => search.above -= 1,
                Some(stretch) if search.in_pass && index.raw() < cursor => {
                    search.counts[stretch] -= 1
                }
                _ => {}
            }
        }
    }

    /// Scans slots until a pass ends or the `budget` is used up. Returns the thresholds found if a pass ended.
    pub(super) fn advance(
        &mut self,
        table: &SlotTable,
        budget: &mut u32,
    ) -> Option<Vec<Threshold>> {
        if self.active.is_empty() || *budget == 0 {
            return None;
        }
        if self.cursor == 0 {
            self.active.iter_mut().for_each(Search::begin_pass);
        }
        let slots = table.indices_from(self.cursor);
        for index in slots.take(*budget as usize) {
            self.cursor += 1;
            self.scanned += 1;
            *budget -= 1;
            let slot = table.slot(index);
            let from_slot =
                |search: &&mut Search| search.size_class == slot.size_class() && search.in_pass;
            if let Some(search) = self.active.iter_mut().find(from_slot)
                && let Some(stretch) = search.stretch(slot.address_key())
                && let Some(count) = search.counts.get_mut(stretch)
            {
                *count += 1;
            }
        }
        if table.indices_from(self.cursor).next().is_some() {
            return None;
        }
        self.cursor = 0;
        let mut found = Vec::new();
        self.active.retain_mut(|search| {
            let threshold = if search.in_pass {
                search.end_pass()
            } else {
                None
            };
            found.extend(threshold);
            threshold.is_none()
        });
        self.rest();
        Some(found)
    }

    pub(super) const fn scanned(&self) -> u64 {
        self.scanned
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.active.capacity() * size_of::<Search>()
            + self.active.len() * STRETCHES * size_of::<u32>()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "threshold_search_tests.rs"]
mod tests;
