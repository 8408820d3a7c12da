//! One small record per buffer, at an address that never changes, found by a 24-bit index.
#![allow(unsafe_code)] // Chunks behind atomic pointers.

use alloc::boxed::Box;
use core::ptr;

use crate::error::{PoolError, Table};
use crate::sync::atomic::{AtomicPtr, AtomicU8, AtomicU16, AtomicU32, Ordering};

/// Slots per chunk. Chunks are added, never moved or removed while the table lives.
const CHUNK: usize = if cfg!(loom) { 4 } else { 64 };
const CHUNK_BITS: u32 = CHUNK.trailing_zeros();

/// Indices are 24 bits wide, so that a list head packs one beside its counts.
pub(super) const INDEX_BITS: u32 = 24;
/// "No slot": ends a list.
const NIL: u32 = (1 << INDEX_BITS) - 1;

/// The acquire of this buffer was recorded with its call site.
const SAMPLED: u32 = 1 << 31;
/// The buffer was frozen: several handles may refer to it.
const FROZEN: u32 = 1 << 30;
/// The last handle is about to push the buffer to its inbox.
const IN_TRANSIT: u32 = 1 << 29;
/// The largest buffer in samples: the bits of a word beside the marks.
pub const MAX_SAMPLES: usize = (1 << 29) - 1;

/// The size class of a slot without memory.
const UNCARVED: u16 = u16::MAX;

/// The number of a slot. A table checks each that it is given: see [`SlotTable::slot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotIndex(u32);

impl SlotIndex {
    pub(crate) const fn raw(self) -> u32 {
        self.0
    }
}

/// The index of a slot, or none ([`NIL`]), in the one word that lists and links have for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OptionalIndex(u32);

impl OptionalIndex {
    pub(super) const NONE: Self = Self(NIL);

    #[inline(always)]
    pub(super) const fn some(index: SlotIndex) -> Self {
        Self(index.0)
    }

    #[inline(always)]
    pub(super) const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    #[inline(always)]
    pub(super) const fn raw(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(crate) fn get(self) -> Option<SlotIndex> {
        (self.0 < NIL).then_some(SlotIndex(self.0))
    }

    /// The index of what is known not to be [`NONE`](Self::NONE), whose number no table has.
    #[inline(always)]
    pub(super) const fn known(self) -> SlotIndex {
        SlotIndex(self.0)
    }
}

/// A word that holds the index of a slot, or none. Every access is relaxed: the lists order what the link leads to.
pub(crate) struct Link(AtomicU32);

impl Link {
    pub(super) fn new() -> Self {
        Self(AtomicU32::new(NIL))
    }

    #[inline(always)]
    pub(super) fn get(&self) -> OptionalIndex {
        OptionalIndex(self.0.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(super) fn set(&self, index: OptionalIndex) {
        self.0.store(index.0, Ordering::Relaxed);
    }
}

/// The part of a slot that changes with each acquire, written by the owner and by whoever releases the buffer: eight
/// to a cache line, so that few lines move between their processors.
///
/// `next` belongs to the list that the slot is on, or to the handle. `requested` is the requested length with its
/// marks, and 0 while the buffer is idle. Whoever owns the slot writes it before the slot leaves a list and before it
/// is pushed to one.
/// See `docs/decisions/0013-slot-state-in-one-word.md`.
pub(crate) struct SlotState {
    pub(super) next: Link,
    requested: AtomicU32,
}

/// The part of a slot that stays while its buffer is carved, and its reference count.
///
/// The control half writes `unit`, `region` and `size_class` while the slot is on no list; the push that follows
/// publishes them. `refs` counts the handles of a frozen buffer.
pub(crate) struct SlotExtent {
    /// Offset in its region, in units of 64 bytes.
    unit: AtomicU32,
    pub(super) refs: AtomicU32,
    size_class: AtomicU16,
    region: AtomicU8,
}

/// The record of one buffer, in two parts that are stored apart: 20 bytes.
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
            next: Link::new(),
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

    /// Whether the buffer is idle: nothing was stored since the slot state was cleared.
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
    /// Every access is relaxed: the owner of a slot reads its words, and the transfer (a push and a take, or a handle
    /// moved by the user) orders them. The control half reads them as racing figures.
    ///
    /// # Safety
    /// From this place in the region on, the memory of one buffer of the size class belongs to no other carved slot. The
    /// slot is on no list and is pushed to one of that size class.
    pub(crate) unsafe fn carve(&self, region: u8, unit: u32, size_class: u16) {
        self.extent.unit.store(unit, Ordering::Relaxed);
        self.extent.size_class.store(size_class, Ordering::Relaxed);
        self.extent.region.store(region, Ordering::Relaxed);
        self.clear();
    }

    /// The memory of the slot went back to the arena.
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

    /// Marks the buffer as on its way to the inbox. The caller knows whether it was frozen: a load of the word would
    /// wait for its cache line, and the store once more to own it.
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

    /// Requested length in samples; 0 while idle.
    pub(crate) fn requested_samples(&self) -> u32 {
        self.state.requested.load(Ordering::Relaxed) & MAX_SAMPLES as u32
    }

    /// Whether the buffer is or was frozen, so that other threads than its half's owner may have a handle.
    pub(crate) fn is_frozen(&self) -> bool {
        self.state.requested.load(Ordering::Relaxed) & FROZEN != 0
    }

    /// Whether nothing was stored since the slot state was cleared.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.is_idle()
    }

    pub(crate) fn is_sampled(&self) -> bool {
        self.state.requested.load(Ordering::Relaxed) & SAMPLED != 0
    }
}

/// Slots that were added together, each part in an array of its own. The states begin a cache line.
#[repr(align(64))]
struct Chunk {
    states: [SlotState; CHUNK],
    extents: [SlotExtent; CHUNK],
}

/// All slots of a pool, in chunks of 64 so that growing moves none of them.
pub(crate) struct SlotTable {
    /// The control half fills it from the front; null beyond.
    chunks: Box<[AtomicPtr<Chunk>]>,
    /// Slots that exist. Only the control half writes it.
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

    /// Adds a slot. Only for the control half: allocates a chunk every 64th time.
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
            // Relaxed: another thread learns an index of this chunk only through a push (release) that follows.
            self.chunks[count as usize / CHUNK].store(Box::into_raw(chunk), Ordering::Relaxed);
        }
        self.count.store(count + 1, Ordering::Relaxed);
        Ok(SlotIndex(count))
    }

    /// Slots the table can have.
    pub(crate) fn capacity(&self) -> usize {
        self.chunks.len() * CHUNK
    }

    /// Slots that can still be added.
    pub(crate) fn unused(&self) -> usize {
        self.capacity() - self.count.load(Ordering::Relaxed) as usize
    }

    /// Every slot so far.
    pub(crate) fn indices(&self) -> impl Iterator<Item = SlotIndex> + Clone + use<> {
        self.indices_from(0)
    }

    /// Every slot so far from this number on.
    pub(crate) fn indices_from(
        &self,
        first: u32,
    ) -> impl Iterator<Item = SlotIndex> + Clone + use<> {
        (first..self.count.load(Ordering::Relaxed)).map(SlotIndex)
    }

    /// # Panics
    /// With the index of no slot of this table, which no list of its pool has.
    #[inline(always)]
    pub(crate) fn slot(&self, index: SlotIndex) -> Slot<'_> {
        let (chunk, slot) = (index.0 >> CHUNK_BITS, index.0 as usize % CHUNK);
        let chunk = self.chunks.get(chunk as usize);
        // Relaxed: whoever got the index of a slot got it by a synchronising transfer, which also published the chunk.
        let chunk = chunk.map_or(ptr::null_mut(), |chunk| chunk.load(Ordering::Relaxed));
        // SAFETY: null, or made by `add`, initialised before it was stored, and freed with the table. Only shared
        // references to it exist; all fields are atomic.
        match unsafe { chunk.as_ref() } {
            Some(chunk) => Slot {
                state: &chunk.states[slot],
                extent: &chunk.extents[slot],
            },
            None => no_such_slot(index),
        }
    }

    /// Bytes on the heap.
    pub(super) fn heap_bytes(&self) -> usize {
        let chunks = (self.count.load(Ordering::Relaxed) as usize).div_ceil(CHUNK);
        size_of_val(&*self.chunks) + chunks * size_of::<Chunk>()
    }
}

#[cfg(all(test, not(loom)))]
impl Slot<'_> {
    /// [`carve`](Self::carve) in a table of a test, which nobody acquires buffers from.
    pub(crate) fn carve_for_test(&self, region: u8, unit: u32, size_class: u16) {
        // SAFETY: no memory belongs to the slot, and none is used.
        unsafe { self.carve(region, unit, size_class) }
    }
}

#[cold]
#[inline(never)]
fn no_such_slot(index: SlotIndex) -> ! {
    panic!("slot {} of another pool", index.0)
}

#[cfg(all(test, not(loom)))]
impl SlotTable {
    /// A table with `count` slots, and their indices.
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
                // SAFETY: made by `Box::into_raw` in `add`, freed once: the table is being dropped, so that nobody
                // else refers to it.
                drop(unsafe { Box::from_raw(chunk) });
            }
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "slot_table_tests.rs"]
mod tests;
