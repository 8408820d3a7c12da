//! What the control half counts itself.

use super::past_counts::PastCounts;
use super::usage_scan::UsageScan;
use alloc::vec::Vec;

/// See the module.
#[derive(Default)]
pub(super) struct ControlCounts {
    pub(super) past: PastCounts,
    /// Requested samples by size class, from a scan of all slots.
    pub(super) usage_scan: UsageScan,
    pub(super) leases_reclaimed: u64,
    pub(super) buffers_leaked: u64,
    /// Buffers that were published as leaked and are still in use.
    pub(super) published_leaks: Vec<u32>,
}

impl ControlCounts {
    pub(super) const fn heap_bytes(&self) -> usize {
        self.past.heap_bytes()
            + self.usage_scan.heap_bytes()
            + self.published_leaks.capacity() * size_of::<u32>()
    }
}
