//! Where buffers were acquired: a sample of the call sites, in a ring of fixed size, without a string on the hot path.
#![deny(clippy::disallowed_types)] // No lock: real-time.
#![allow(unsafe_code)] // Keeps `&'static Location` in an atomic.

use core::panic::Location;
use core::ptr;

use super::slot_table::SlotIndex;
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering, fence};

/// Sites a half remembers.
const ENTRIES: usize = if cfg!(loom) { 1 } else { 32 };

/// One sampled acquire, under a sequence lock with one writer: odd while it is being written.
struct Entry {
    sequence: AtomicU32,
    slot: AtomicU32,
    frame: AtomicU64,
    site: AtomicPtr<Location<'static>>,
}

/// One sampled acquire, as read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sampled {
    /// How many were recorded before this one.
    pub(super) order: u64,
    pub(super) slot: u32,
    pub(super) frame: u64,
    pub(super) site: &'static Location<'static>,
}

/// The last acquires that were sampled. Written by the half's owner, read by the control half.
pub(super) struct LeakRing {
    entries: [Entry; ENTRIES],
    recorded: AtomicU64,
}

impl LeakRing {
    pub(super) fn new() -> Self {
        let entry = |_| Entry {
            sequence: AtomicU32::new(0),
            slot: AtomicU32::new(0),
            frame: AtomicU64::new(0),
            site: AtomicPtr::new(ptr::null_mut()),
        };
        Self {
            entries: core::array::from_fn(entry),
            recorded: AtomicU64::new(0),
        }
    }

    /// Wait-free: six stores.
    pub(super) fn record(&self, slot: SlotIndex, frame: u64, site: &'static Location<'static>) {
        let recorded = self.recorded.load(Ordering::Relaxed);
        let entry = &self.entries[recorded as usize % ENTRIES];
        let sequence = entry.sequence.load(Ordering::Relaxed);
        entry
            .sequence
            .store(sequence.wrapping_add(1), Ordering::Relaxed);
        // Release fence: pairs with the acquire fence in `iter`; a reader that saw one of the words below sees the odd
        // sequence too.
        fence(Ordering::Release);
        entry.slot.store(slot.raw(), Ordering::Relaxed);
        entry.frame.store(frame, Ordering::Relaxed);
        entry
            .site
            .store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
        // Release: pairs with the first acquire load in `iter`.
        entry
            .sequence
            .store(sequence.wrapping_add(2), Ordering::Release);
        self.recorded.store(recorded + 1, Ordering::Relaxed);
    }

    /// What is in the ring; an entry that is being written at this moment is left out.
    pub(super) fn iter(&self) -> impl Iterator<Item = Sampled> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(place, entry)| {
                // Acquire: pairs with the last release in `record`.
                let before = entry.sequence.load(Ordering::Acquire);
                let slot = entry.slot.load(Ordering::Relaxed);
                let frame = entry.frame.load(Ordering::Relaxed);
                let site = entry.site.load(Ordering::Relaxed);
                // Acquire fence: pairs with the release fence in `record`.
                fence(Ordering::Acquire);
                let after = entry.sequence.load(Ordering::Relaxed);
                if before != after || before % 2 == 1 || site.is_null() {
                    return None;
                }
                Some(Sampled {
                    order: u64::from(before / 2 - 1) * ENTRIES as u64 + place as u64,
                    slot,
                    frame,
                    // SAFETY: not null, so stored by `record` from a `&'static Location`.
                    site: unsafe { &*site },
                })
            })
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::modules::data_management::slot_table::SlotTable;

    #[test]
    fn the_ring_keeps_the_last_sites_in_order() {
        let table = SlotTable::new(1);
        let slot = table.add().unwrap();
        let ring = LeakRing::new();
        assert_eq!(ring.iter().count(), 0);
        for frame in 0..ENTRIES as u64 + 3 {
            ring.record(slot, frame, Location::caller());
        }
        let mut sampled: Vec<_> = ring.iter().collect();
        sampled.sort_by_key(|entry| entry.order);
        assert_eq!(sampled.len(), ENTRIES);
        assert_eq!((sampled[0].frame, sampled[0].order), (3, 3));
        assert!(
            sampled
                .iter()
                .all(|entry| entry.site.file().ends_with("leak_ring.rs"))
        );
    }
}
