//! The reclaim thresholds of the size classes: requests for them, and how many slots a control step may scan for them.

use super::threshold_search::{Purpose, SLOTS_PER_STEP, Threshold, ThresholdSearches};
use crate::limits::units;
use crate::realtime::size_class::{NO_THRESHOLD, SizeClass};
use crate::realtime::slot_table::{Slot, SlotIndex, SlotTable};
use alloc::vec::Vec;

/// The searches under way, and what is left of this control step's scan budget.
pub(super) struct Thresholds {
    searches: ThresholdSearches,
    scan_budget: u32,
    slots_per_step: u32,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            searches: ThresholdSearches::default(),
            scan_budget: SLOTS_PER_STEP,
            slots_per_step: SLOTS_PER_STEP,
        }
    }
}

impl Thresholds {
    /// A control step begins.
    pub(super) const fn begin_step(&mut self) {
        self.scan_budget = self.slots_per_step;
    }

    pub(super) const fn set_slots_per_step(&mut self, slots: u32) {
        self.slots_per_step = slots;
    }

    /// Requests the threshold that `buffers` of the size class lie above, instead of any other. The regions extend as in
    /// [`ThresholdSearches::begin`].
    pub(super) fn drain(&mut self, size_class: &SizeClass, buffers: u32, extent: (u8, u32)) {
        let purpose = match self.searches.purpose(size_class.id) {
            Some(Purpose::DrainFirst) => Purpose::DrainFirst,
            _ => Purpose::Drain,
        };
        self.drain_as(purpose, size_class, buffers, extent);
    }

    pub(super) fn drain_as(
        &mut self,
        purpose: Purpose,
        size_class: &SizeClass,
        buffers: u32,
        extent: (u8, u32),
    ) {
        self.cancel(size_class.id);
        if buffers == 0 || buffers < size_class.shared.draining.get() {
            size_class.set_reclaim_threshold(NO_THRESHOLD);
        }
        size_class.shared.draining.set(buffers);
        if buffers > 0 {
            self.search(size_class, purpose, buffers, extent);
        }
    }

    pub(super) fn search(
        &mut self,
        size_class: &SizeClass,
        purpose: Purpose,
        goal: u32,
        extent: (u8, u32),
    ) {
        let size = units(size_class.samples as usize) as u32;
        self.searches
            .begin(size_class.id, purpose, goal, size, extent);
    }

    pub(super) fn cancel(&mut self, size_class: u16) {
        self.searches.cancel(size_class);
    }

    /// Subtracts a buffer that returns to the arena from what lies above the threshold, and from the searches.
    pub(super) fn forget(&mut self, size_class: &SizeClass, index: SlotIndex, slot: Slot<'_>) {
        let above_threshold = slot.address_key() >= size_class.reclaim_threshold();
        if above_threshold {
            size_class
                .shared
                .draining
                .set(size_class.shared.draining.get().saturating_sub(1));
        }
        self.searches
            .forget(index, size_class.id, slot.address_key(), above_threshold);
    }

    /// Scans slots, as far as this control step may: see [`ThresholdSearches::advance`].
    pub(super) fn advance(&mut self, table: &SlotTable) -> Option<Vec<Threshold>> {
        self.searches.advance(table, &mut self.scan_budget)
    }

    /// The searches, to read.
    pub(super) const fn searches(&self) -> &ThresholdSearches {
        &self.searches
    }
}

/// Has the owner reclaim what lies above this threshold.
pub(super) fn set_threshold(size_class: &SizeClass, threshold: Threshold) {
    size_class.set_reclaim_threshold(threshold.address_key);
    size_class.shared.draining.set(threshold.above);
    size_class.request_scan();
}

/// Has owners scan what became idle since; ends a threshold that nothing lies above any more.
pub(super) fn request_scans<'pool>(size_classes: impl Iterator<Item = &'pool SizeClass>) {
    for size_class in size_classes {
        match (
            size_class.reclaim_threshold(),
            size_class.shared.draining.get(),
        ) {
            (NO_THRESHOLD, _) => {}
            (_, 0) => size_class.set_reclaim_threshold(NO_THRESHOLD),
            _ => size_class.request_scan(),
        }
    }
}
