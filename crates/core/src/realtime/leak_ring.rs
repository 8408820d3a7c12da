//! A sample of the call sites of acquires, in a table of fixed size, without a string on the hot path.
#![allow(unsafe_code)] // Keeps `&'static Location` in an atomic.

use core::panic::Location;
use core::ptr;

use super::cells::{Counter, FrameCell};
use super::orderings::{
    RECORD_BEGIN_READ, RECORD_END_WRITE, RECORD_READ_FENCE, RECORD_WRITE_FENCE,
};
use super::slot_table::{Link, OptionalIndex, SlotIndex, SlotTable};
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering, fence};

/// Call sites that a half remembers.
const RECORDS: usize = if cfg!(loom) { 1 } else { 32 };

/// Records whose buffers one sampled acquire looks at. Their slots were last written by other threads, and each read
/// waits for that.
const RECORDS_SCANNED: u32 = 4;

/// One sampled acquire, under a sequence lock with one writer: odd while it is being written.
struct Record {
    sequence: AtomicU32,
    slot: Link,
    frame: FrameCell,
    site: AtomicPtr<Location<'static>>,
}

/// One sampled acquire, as read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampled {
    pub(crate) slot: u32,
    pub(crate) frame: Option<u64>,
    pub(crate) site: &'static Location<'static>,
}

/// Sampled acquires, at most one record for each slot. The half's owner writes them, the control half reads them.
///
/// A record is valid while its slot carries the mark. Such a record is never overwritten: a leak report is about the
/// buffers that were in use longest.
pub(crate) struct LeakRing {
    entries: [Record; RECORDS],
    /// The record at which the next look begins, in turn, so that a record whose buffer was released is found in the
    /// end. Only the owner uses it.
    cursor: AtomicU32,
    /// Sampled acquires that found all the records they looked at in use.
    pub(crate) unrecorded: Counter,
}

impl LeakRing {
    pub(super) fn new() -> Self {
        let entry = |_| Record {
            sequence: AtomicU32::new(0),
            slot: Link::new(),
            frame: FrameCell::new(),
            site: AtomicPtr::new(ptr::null_mut()),
        };
        Self {
            entries: core::array::from_fn(entry),
            cursor: AtomicU32::new(0),
            unrecorded: Counter::default(),
        }
    }

    /// Records an acquire of a slot, and marks the slot, if there is room. Wait-free: at most one look at each record,
    /// and at a few buffers.
    #[cold]
    pub(super) fn record(
        &self,
        table: &SlotTable,
        index: SlotIndex,
        frame: Option<u64>,
        site: &'static Location<'static>,
    ) {
        let Some(entry) = self.record_for(table, index) else {
            self.unrecorded.add(1);
            return;
        };
        // Odd already if an owner died in the middle.
        let writing = entry.sequence.load(Ordering::Relaxed) | 1;
        entry.sequence.store(writing, Ordering::Relaxed);
        if !cfg!(wavepool_mutant = "record_without_write_fence") {
            fence(RECORD_WRITE_FENCE);
        }
        entry.slot.set(OptionalIndex::some(index));
        entry.frame.set(frame);
        entry
            .site
            .store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
        entry
            .sequence
            .store(writing.wrapping_add(1), RECORD_END_WRITE);
        table.slot(index).mark_sampled();
    }

    /// The slot's own record, or else one of a few that is empty or whose buffer was released since.
    fn record_for(&self, table: &SlotTable, index: SlotIndex) -> Option<&Record> {
        let slot = |entry: &Record| entry.slot.get();
        let own = OptionalIndex::some(index);
        if let Some(own) = self.entries.iter().find(|entry| slot(entry) == own) {
            return Some(own);
        }
        for _ in 0..RECORDS_SCANNED {
            let cursor = self.cursor.load(Ordering::Relaxed);
            self.cursor.store(cursor.wrapping_add(1), Ordering::Relaxed);
            let entry = &self.entries[cursor as usize % RECORDS];
            let held = slot(entry)
                .get()
                .is_some_and(|index| table.slot(index).is_sampled());
            if !held {
                return Some(entry);
            }
        }
        None
    }

    /// Forgets the frames of a stream that is over. Called by the control half while the half is detached.
    pub(super) fn forget_frames(&self) {
        self.entries.iter().for_each(|entry| entry.frame.set(None));
    }

    /// The records; one that is being written at this moment is left out.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Sampled> {
        self.entries.iter().filter_map(|entry| {
            let before = entry.sequence.load(RECORD_BEGIN_READ);
            let slot = entry.slot.get().raw();
            let frame = entry.frame.get();
            let site = entry.site.load(Ordering::Relaxed);
            if !cfg!(wavepool_mutant = "record_without_read_fence") {
                fence(RECORD_READ_FENCE);
            }
            let after = entry.sequence.load(Ordering::Relaxed);
            if before != after || before % 2 == 1 || site.is_null() {
                return None;
            }
            // SAFETY: not null, so stored by `record` from a `&'static Location`.
            let site = unsafe { &*site };
            Some(Sampled { slot, frame, site })
        })
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "leak_ring_tests.rs"]
mod tests;
