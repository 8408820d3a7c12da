//! One small record per buffer, at an address that never changes, found by a 24-bit index.
#![allow(unsafe_code)] // Unchecked indexing on the audio thread's fast path; every index is made here.

use core::ptr;

use crate::modules::data_management::error::{PoolError, Table};
use crate::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, Ordering};

/// Slots per chunk. Chunks are added, never moved or removed while the table lives.
const CHUNK: usize = if cfg!(loom) { 4 } else { 64 };
const CHUNK_BITS: u32 = CHUNK.trailing_zeros();

/// Indices are 24 bits wide, so that a list head packs one beside its lengths.
pub(super) const INDEX_BITS: u32 = 24;
/// "No slot": ends a list.
pub(super) const NIL: u32 = (1 << INDEX_BITS) - 1;

/// The slot's holder was recorded in the leak ring.
const SAMPLED: u32 = 1 << 31;
/// The buffer was frozen: several may hold it.
const FROZEN: u32 = 1 << 30;
/// The last holder was about to push the buffer to its inbox.
const IN_TRANSIT: u32 = 1 << 29;
/// The largest buffer in samples: what is left of a word beside the marks.
pub(crate) const MAX_SAMPLES: usize = (1 << 29) - 1;

/// The size class of a slot without memory.
const UNCARVED: u16 = u16::MAX;

/// The number of a slot of the table it came from.
///
/// Invariant: below the table's count. Only this file, and list heads that were packed from one, make them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotIndex(u32);

impl SlotIndex {
    /// # Safety
    /// `raw` came from [`raw`](Self::raw) of an index of the same table.
    pub(super) const unsafe fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    pub(crate) const fn raw(self) -> u32 {
        self.0
    }
}

/// What of a slot changes with each slot state, and is written by the owner and by whoever brings the buffer home: eight to a
/// cache line, so that few lines go back and forth between them.
///
/// `next` belongs to the list the slot is on, or to the slot's holder. `requested` is the requested length with its marks, of
/// no samples while idle: written by whoever holds the slot, before it leaves a list and before it is put on one.
pub(crate) struct SlotState {
    pub(super) next: AtomicU32,
    requested: AtomicU32,
}

/// What of a slot stays while its buffer is carved, and the count of those that share it.
///
/// `unit`, `region` and `size_class` are written by the control half while the slot is on no list, and published with the
/// list push that follows. `refs` counts `BufferRef`s.
pub(crate) struct SlotExtent {
    /// Offset in its region, in units of 64 bytes.
    unit: AtomicU32,
    pub(super) refs: AtomicU32,
    size_class: AtomicU16,
    region: AtomicU8,
}

/// What the pool knows about one buffer, in two parts that are stored apart: 20 bytes.
#[derive(Clone, Copy)]
pub(crate) struct Slot<'table> {
    pub(crate) state: &'table SlotState,
    pub(super) extent: &'table SlotExtent,
}

// A slot state has no padding: see `SharedList::push`.
#[cfg(not(loom))]
const _: () = assert!(size_of::<SlotState>() == 8 && size_of::<SlotExtent>() == 12);

impl SlotState {
    fn new() -> Self {
        Self {
            next: AtomicU32::new(NIL),
            requested: AtomicU32::new(0),
        }
    }

    #[inline(always)]
    pub(super) fn set_requested(&self, samples: u32) {
        self.requested.store(samples, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn clear(&self) {
        self.requested.store(0, Ordering::Relaxed);
    }

    /// Whether nobody has touched it since its owner took the buffer back.
    pub(super) fn is_idle(&self) -> bool {
        self.requested.load(Ordering::Relaxed) == 0
    }
}

impl SlotExtent {
    fn new() -> Self {
        Self {
            unit: AtomicU32::new(0),
            refs: AtomicU32::new(0),
            size_class: AtomicU16::new(UNCARVED),
            region: AtomicU8::new(0),
        }
    }
}

impl Slot<'_> {
    /// Relaxed throughout: a slot's words are read by who holds the slot, and the hand-over (list push and take, or a
    /// handle moved by the user) orders them. The control half's walks read them as a racing answer.
    pub(crate) fn carve(&self, region: u8, unit: u32, size_class: u16) {
        self.extent.unit.store(unit, Ordering::Relaxed);
        self.extent.size_class.store(size_class, Ordering::Relaxed);
        self.extent.region.store(region, Ordering::Relaxed);
        self.clear();
    }

    /// Its memory went back to the arena.
    pub(crate) fn uncarve(&self) {
        self.extent.size_class.store(UNCARVED, Ordering::Relaxed);
    }

    pub(crate) fn is_carved(&self) -> bool {
        self.extent.size_class.load(Ordering::Relaxed) != UNCARVED
    }

    #[inline(always)]
    pub(crate) fn unit(&self) -> u32 {
        self.extent.unit.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(crate) fn region(&self) -> u8 {
        self.extent.region.load(Ordering::Relaxed)
    }

    /// Orders slots by address: region, then unit.
    #[inline]
    pub(crate) fn address_key(&self) -> u64 {
        u64::from(self.region()) << 32 | u64::from(self.unit())
    }

    #[inline(always)]
    pub(crate) fn size_class(&self) -> u16 {
        self.extent.size_class.load(Ordering::Relaxed)
    }

    #[inline(always)]
    pub(super) fn set_requested(&self, samples: u32) {
        self.state.set_requested(samples);
    }

    pub(super) fn mark_sampled(&self) {
        self.mark(SAMPLED);
    }

    pub(super) fn mark_frozen(&self) {
        self.mark(FROZEN);
    }

    fn mark(&self, mark: u32) {
        let requested = self.state.requested.load(Ordering::Relaxed);
        self.state
            .requested
            .store(requested | mark, Ordering::Relaxed);
    }

    /// The last holder is about to push it to its inbox. Who that is says whether it was frozen: a load would wait for the
    /// cache line to come, and the store once more to own it.
    #[inline(always)]
    pub(super) fn mark_in_transit(&self, frozen: bool) {
        let frozen = if frozen { FROZEN } else { 0 };
        self.state
            .requested
            .store(IN_TRANSIT | frozen, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(crate) fn clear(&self) {
        self.state.clear();
    }

    /// Samples its holder asked for; 0 while idle.
    pub(crate) fn requested_samples(&self) -> u32 {
        self.state.requested.load(Ordering::Relaxed) & MAX_SAMPLES as u32
    }

    /// Whether the buffer may be in other hands than its half's owner's: frozen, or on its way home after that.
    pub(crate) fn is_frozen(&self) -> bool {
        self.state.requested.load(Ordering::Relaxed) & FROZEN != 0
    }

    /// Whether nobody has touched the slot since its owner put it on a list.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.is_idle()
    }

    pub(crate) fn is_sampled(&self) -> bool {
        self.state.requested.load(Ordering::Relaxed) & SAMPLED != 0
    }
}

/// Slots that were added together, part by part. Slot states begin a cache line.
#[repr(align(64))]
struct Chunk {
    states: [SlotState; CHUNK],
    extents: [SlotExtent; CHUNK],
}

/// All slots of a pool, in chunks of 64 so that growing moves none of them.
pub(crate) struct SlotTable {
    /// Filled from the front by the control half; null beyond.
    chunks: Box<[AtomicPtr<Chunk>]>,
    /// Slots that exist: written by the control half alone.
    count: AtomicU32,
}

impl SlotTable {
    /// A table that can grow to `most` slots.
    pub(super) fn new(most: usize) -> Self {
        let chunks = most.clamp(1, NIL as usize - CHUNK).div_ceil(CHUNK);
        Self {
            chunks: (0..chunks)
                .map(|_| AtomicPtr::new(ptr::null_mut()))
                .collect(),
            count: AtomicU32::new(0),
        }
    }

    /// A slot that was never used. Control half only: allocates a chunk every 64th time.
    pub(crate) fn add(&self) -> Result<SlotIndex, PoolError> {
        let count = self.count.load(Ordering::Relaxed);
        let capacity = self.capacity();
        if count as usize >= capacity {
            return Err(PoolError::TableFull {
                table: Table::Slots,
                capacity,
            });
        }
        if (count as usize).is_multiple_of(CHUNK) {
            let chunk = Box::new(Chunk {
                states: core::array::from_fn(|_| SlotState::new()),
                extents: core::array::from_fn(|_| SlotExtent::new()),
            });
            // Relaxed: another thread learns an index of this chunk only through a list push (release) that follows.
            self.chunks[count as usize / CHUNK].store(Box::into_raw(chunk), Ordering::Relaxed);
        }
        self.count.store(count + 1, Ordering::Relaxed);
        Ok(SlotIndex(count))
    }

    /// Slots there can be.
    pub(crate) fn capacity(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    /// Slots that can still be added.
    pub(crate) fn unused(&self) -> usize {
        self.capacity() - self.count.load(Ordering::Relaxed) as usize
    }

    /// Every slot so far.
    pub(crate) fn indices(&self) -> impl Iterator<Item = SlotIndex> + use<> {
        self.indices_from(0)
    }

    /// Every slot so far from this number on.
    pub(crate) fn indices_from(&self, first: u32) -> impl Iterator<Item = SlotIndex> + use<> {
        (first..self.count.load(Ordering::Relaxed)).map(SlotIndex)
    }

    #[inline(always)]
    pub(crate) fn slot(&self, index: SlotIndex) -> Slot<'_> {
        let (chunk, slot) = (index.0 >> CHUNK_BITS, index.0 as usize % CHUNK);
        // SAFETY: bounds: an index is below `count` of its table, whose chunks up to that count exist and hold 64
        // slots each. Initialised before the index was given out. Shared access only; all fields are atomic. Chunks
        // live as long as the table. Thread: the index reached this one by a synchronising hand-over, which also
        // published the chunk's pointer, so the relaxed load cannot see an older null.
        unsafe {
            let chunk = self
                .chunks
                .get_unchecked(chunk as usize)
                .load(Ordering::Relaxed);
            core::hint::assert_unchecked(!chunk.is_null());
            Slot {
                state: (*chunk).states.get_unchecked(slot),
                extent: (*chunk).extents.get_unchecked(slot),
            }
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let chunks = (self.count.load(Ordering::Relaxed) as usize).div_ceil(CHUNK);
        size_of_val(&*self.chunks) + chunks * size_of::<Chunk>()
    }
}

#[cfg(all(test, not(loom)))]
impl SlotTable {
    /// A table with so many slots, and their indices.
    pub(crate) fn of_slots(count: u32) -> (Self, Vec<SlotIndex>) {
        let table = Self::new(count as usize);
        let indices = (0..count)
            .map(|_| table.add().expect("room for the slot"))
            .collect();
        (table, indices)
    }
}

impl Drop for SlotTable {
    fn drop(&mut self) {
        for chunk in &self.chunks {
            let chunk = chunk.load(Ordering::Relaxed);
            if !chunk.is_null() {
                // SAFETY: made by `Box::into_raw` in `add`, freed once: the table is being dropped, so nobody else refers
                // to it.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn slots_keep_their_address_while_the_table_grows_to_its_limit() {
        let table = SlotTable::new(130);
        let first = table.add().unwrap();
        let address = |slot: Slot<'_>| {
            (
                ptr::from_ref(slot.state).addr(),
                ptr::from_ref(slot.extent).addr(),
            )
        };
        let before = address(table.slot(first));
        let capacity = 3 * CHUNK;
        for _ in 1..capacity {
            table.add().unwrap();
        }
        assert_eq!(
            table.add(),
            Err(PoolError::TableFull {
                table: Table::Slots,
                capacity
            })
        );
        assert_eq!(address(table.slot(first)), before);
        assert_eq!(table.indices().count(), capacity);
        assert_eq!(table.heap_bytes(), 3 * size_of::<usize>() + capacity * 20);
    }

    #[test]
    fn marks_do_not_touch_the_length() {
        let table = SlotTable::new(1);
        let slot = table.slot(table.add().unwrap());
        slot.set_requested(100);
        slot.mark_sampled();
        let marks = || {
            (
                slot.requested_samples(),
                slot.is_sampled(),
                slot.is_frozen(),
            )
        };
        assert_eq!(marks(), (100, true, false));
        slot.set_requested(MAX_SAMPLES as u32);
        assert_eq!(marks(), (MAX_SAMPLES as u32, false, false));
        slot.mark_frozen();
        slot.mark_in_transit(true);
        assert_eq!((marks(), slot.is_idle()), ((0, false, true), false));
        slot.clear();
        assert_eq!((marks(), slot.is_idle()), ((0, false, false), true));
        slot.carve(3, 77, 900);
        assert_eq!(
            (slot.region(), slot.unit(), slot.size_class()),
            (3, 77, 900)
        );
    }
}
