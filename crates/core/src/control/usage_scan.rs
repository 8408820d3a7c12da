//! Sums the requested lengths of buffers in use by size class, in a scan of a counted number of slots at a time.

use crate::realtime::pool_state::MAX_SIZE_CLASSES;
use crate::realtime::slot_table::{SlotIndex, SlotTable};
use alloc::vec::Vec;

/// The buffers of one size class that are in use.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Usage {
    buffers: u64,
    requested_samples: u64,
}

/// Usage by the number of the size class: of the last complete scan, and of the scan under way.
#[derive(Default)]
pub(super) struct UsageScan {
    complete: Vec<Usage>,
    under_way: Vec<Usage>,
    /// Whether the last scan took more than one step.
    is_old: bool,
    cursor: u32,
    /// Slots scanned so far.
    scanned: u64,
}

impl UsageScan {
    /// Scans every slot.
    pub(super) fn scan_now(table: &SlotTable) -> [u64; MAX_SIZE_CLASSES] {
        let mut requested = [0; MAX_SIZE_CLASSES];
        for index in table.indices() {
            if let Some((size_class, samples)) = usage(table, index) {
                requested[size_class % MAX_SIZE_CLASSES] += samples;
            }
        }
        requested
    }

    /// Scans the next `most` slots; the scan is complete after the last slot.
    /// See `docs/decisions/0024-control-steps-scan-a-bounded-number-of-slots.md`.
    pub(super) fn advance(&mut self, table: &SlotTable, most: u32) {
        let begins = self.cursor == 0;
        let slots = table.indices_from(self.cursor);
        for index in slots.take(most as usize) {
            if let Some((size_class, samples)) = usage(table, index) {
                if size_class >= self.under_way.len() {
                    self.under_way.resize(size_class + 1, Usage::default());
                }
                self.under_way[size_class].buffers += 1;
                self.under_way[size_class].requested_samples += samples;
            }
            self.cursor += 1;
            self.scanned += 1;
        }
        if table.indices_from(self.cursor).next().is_none() {
            core::mem::swap(&mut self.complete, &mut self.under_way);
            self.under_way.clear();
            self.cursor = 0;
            self.is_old = !begins;
        }
    }

    /// Requested samples of a size class's `leased` buffers. After a scan of several steps: their number times the
    /// mean of those it found.
    pub(super) fn requested(&self, size_class: u16, leased: u32) -> u64 {
        let usage = self.complete.get(usize::from(size_class));
        let usage = usage.copied().unwrap_or_default();
        match usage.buffers {
            1.. if self.is_old => usage.requested_samples * u64::from(leased) / usage.buffers,
            _ => usage.requested_samples,
        }
    }

    pub(super) const fn scanned(&self) -> u64 {
        self.scanned
    }

    pub(super) const fn heap_bytes(&self) -> usize {
        (self.complete.capacity() + self.under_way.capacity()) * size_of::<Usage>()
    }
}

/// The size class of a buffer in use, and its requested length in samples.
#[inline]
fn usage(table: &SlotTable, index: SlotIndex) -> Option<(usize, u64)> {
    // Most buffers are idle: for those, one word is read.
    let slot = table.slot(index);
    let samples = slot.requested_samples();
    (samples > 0 && slot.is_carved()).then(|| (usize::from(slot.size_class()), u64::from(samples)))
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "usage_scan_tests.rs"]
mod tests;
