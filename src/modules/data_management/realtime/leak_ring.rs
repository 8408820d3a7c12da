//! A sample of the call sites of acquires, in a table of fixed size, without a string on the hot path.
#![allow(unsafe_code)] // Keeps `&'static Location` in an atomic.

use core::panic::Location;
use core::ptr;

use super::cells::{Counter, FrameCell};
use super::free_list::index_from;
use super::orderings::{
    RECORD_BEGIN_READ, RECORD_END_WRITE, RECORD_READ_FENCE, RECORD_WRITE_FENCE,
};
use super::slot_table::{NIL, SlotIndex, SlotTable};
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering, fence};

/// Call sites that a half remembers.
const RECORDS: usize = if cfg!(loom) { 1 } else { 32 };

/// Records whose buffers one sampled acquire looks at. Their slots were last written by other threads, and each read
/// waits for that.
const RECORDS_SCANNED: u32 = 4;

/// One sampled acquire, under a sequence lock with one writer: odd while it is being written.
struct Record {
    sequence: AtomicU32,
    slot: AtomicU32,
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
            slot: AtomicU32::new(NIL),
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
        entry.slot.store(index.raw(), Ordering::Relaxed);
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
        let slot = |entry: &Record| entry.slot.load(Ordering::Relaxed);
        if let Some(own) = self.entries.iter().find(|entry| slot(entry) == index.raw()) {
            return Some(own);
        }
        for _ in 0..RECORDS_SCANNED {
            let cursor = self.cursor.load(Ordering::Relaxed);
            self.cursor.store(cursor.wrapping_add(1), Ordering::Relaxed);
            let entry = &self.entries[cursor as usize % RECORDS];
            let held = index_from(slot(entry)).is_some_and(|index| table.slot(index).is_sampled());
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
            let slot = entry.slot.load(Ordering::Relaxed);
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
mod tests {
    use super::*;

    #[test]
    fn leak_records_of_buffers_in_use_stay_and_others_are_replaced() {
        let table = SlotTable::new(RECORDS + 1);
        let slots: Vec<_> = (0..=RECORDS).map(|_| table.add().unwrap()).collect();
        let ring = LeakRing::new();
        let record = |place: usize, frame: u64| {
            table.slot(slots[place]).set_requested(1);
            ring.record(&table, slots[place], Some(frame), Location::caller());
        };
        let frame_of = |place: usize| {
            let mut sampled = ring.iter();
            let found = sampled.find(|entry| entry.slot == slots[place].raw());
            found.map(|entry| entry.frame)
        };
        assert_eq!(ring.iter().count(), 0);
        // However often other buffers come and go, the first one's site stays.
        (0..1000).for_each(|frame| record((frame as usize).min(RECORDS - 1), frame));
        assert_eq!(
            (frame_of(0), frame_of(RECORDS - 1)),
            (Some(Some(0)), Some(Some(999)))
        );
        record(RECORDS, 1000);
        assert_eq!((frame_of(RECORDS), ring.unrecorded.get()), (None, 1));
        assert!(!table.slot(slots[RECORDS]).is_sampled());
        table.slot(slots[3]).clear();
        // A few at a time, every entry is looked at.
        let attempts = RECORDS as u64 / u64::from(RECORDS_SCANNED);
        (0..attempts).for_each(|_| record(RECORDS, 1001));
        assert_eq!((frame_of(RECORDS), frame_of(3)), (Some(Some(1001)), None));
        assert!(ring.unrecorded.get() <= attempts);
    }

    #[test]
    fn leak_record_sequence_wraps() {
        let table = SlotTable::new(1);
        let slot = table.add().unwrap();
        let ring = LeakRing::new();
        for start in [u32::MAX - 1, u32::MAX] {
            ring.entries[0].sequence.store(start, Ordering::Relaxed);
            ring.record(&table, slot, None, Location::caller());
            let sampled: Vec<_> = ring.iter().collect();
            assert_eq!((sampled.len(), sampled[0].frame), (1, None));
            assert!(sampled[0].site.file().ends_with("leak_ring.rs"));
        }
    }
}
