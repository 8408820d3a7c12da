//! The one-slot cache of a size class: it holds the buffer that was released last, outside of the local list, with the
//! address of its samples. Only the owner uses it, and the control half after an owner died.
//! See `docs/decisions/0010-one-slot-cache-per-size-class.md`.
#![allow(unsafe_code)] // The addresses in the cache are never null.

use core::ptr::{self, NonNull};

use super::cells::{Counter, Word};
use super::slot_table::{Link, OptionalIndex, Slot, SlotIndex, SlotState};
use crate::sync::atomic::{AtomicPtr, Ordering};

/// The two kinds of acquire, which are counted apart.
#[derive(Clone, Copy)]
pub(crate) enum AcquireKind {
    Scratch,
    Owned,
}

/// A buffer that was taken for an acquire.
pub(crate) struct TakenBuffer {
    pub(super) index: SlotIndex,
    pub(super) samples: NonNull<f32>,
    /// The count of acquires after this one, of the cache or of the list. 0 for a `Scratch` from the local list,
    /// which is not counted.
    pub(super) count: u64,
}

/// Why the cache is empty, and whether it accepts a buffer; meaningless while it holds one. The index of the buffer and
/// whether it is in the cache are separate words, so that neither an acquire nor the release after it computes the one
/// from the other.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum CacheState {
    /// No buffer was cached since the cache was flushed.
    Vacant,
    /// The cache accepts no buffer: each released buffer has to be checked.
    Disabled,
    /// The buffer cached last is acquired as a `Scratch`, which will return to the cache. No other buffer is accepted.
    Borrowed,
    /// The buffer cached last was acquired as an owned buffer, which may or may not return.
    Owned,
}

/// See the module. Every access is relaxed, as in `local_list.rs`.
#[repr(C)]
pub(super) struct OneSlotCache {
    /// Index of the buffer that was cached last, or none. It stays while that buffer is acquired, so that its release
    /// is recognised.
    last: Link,
    /// Capacity of the cached buffer; 0 while the cache is empty.
    capacity: Word,
    /// A `CacheState`, which counts while the cache is empty.
    state: Word,
    /// Address of the samples, and slot state, of the buffer that was cached last. Valid while `last` is not none.
    samples: AtomicPtr<f32>,
    slot_state: AtomicPtr<SlotState>,
    /// Acquires served from the cache: by `Scratch`, and all others.
    pub(super) scratches: Counter,
    pub(super) acquires: Counter,
}

impl OneSlotCache {
    pub(super) fn new(state: CacheState) -> Self {
        Self {
            last: Link::new(),
            capacity: Word::new(0),
            state: Word::new(state as u32),
            samples: AtomicPtr::new(ptr::null_mut()),
            slot_state: AtomicPtr::new(ptr::null_mut()),
            scratches: Counter::default(),
            acquires: Counter::default(),
        }
    }

    /// Whether the cache is empty and in this state.
    #[inline(always)]
    pub(super) fn is(&self, state: CacheState) -> bool {
        !self.is_full() && self.state.get() == state as u32
    }

    fn is_full(&self) -> bool {
        self.capacity.get() != 0
    }

    #[inline(always)]
    fn set_state(&self, state: CacheState) {
        self.state.set(state as u32);
    }

    /// The buffer that was cached last, whether it is still in the cache or not.
    fn last(&self) -> Option<SlotIndex> {
        self.last.get().get()
    }

    #[inline(always)]
    pub(super) fn last_is(&self, index: SlotIndex) -> bool {
        self.last.get() == OptionalIndex::some(index)
    }

    /// Takes the cached buffer for a request of `samples`. Returns none for no samples, or for more than the buffer
    /// holds.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take(&self, kind: AcquireKind, samples: usize) -> Option<TakenBuffer> {
        // One comparison for all cases: 0 wraps to the largest number, and the capacity of an empty cache is 0.
        if samples.wrapping_sub(1) >= self.capacity.get() as usize {
            return None;
        }
        // The capacity is not 0, so that `put` or `fill` stored it after index and samples; both stay until the buffer is
        // cached again or the cache is cleared.
        let index = self.last.get().known();
        // The state before the capacity: an empty cache is read by its state.
        let count = match kind {
            AcquireKind::Scratch => {
                self.set_state(CacheState::Borrowed);
                self.capacity.set(0);
                self.scratches.add(1)
            }
            AcquireKind::Owned => {
                // As in `SizeClass::pop`: the slot says it before the cache does not any more.
                self.last_slot_state().set_requested(samples as u32);
                self.set_state(CacheState::Owned);
                self.capacity.set(0);
                self.acquires.add(1)
            }
        };
        let address = self.samples.load(Ordering::Relaxed);
        Some(TakenBuffer {
            index,
            // SAFETY: not null since the first `put`, which came before the capacity above.
            samples: unsafe { NonNull::new_unchecked(address) },
            count,
        })
    }

    /// The slot state of the buffer that was cached last.
    #[inline(always)]
    fn last_slot_state(&self) -> &SlotState {
        // SAFETY: `last` is not none, and `put` stored this pointer before it: not null, of a slot that lives as long
        // as this cache is used, by the contract of `put`. All fields of a slot state are atomic.
        unsafe { &*self.slot_state.load(Ordering::Relaxed) }
    }

    /// Caches a released buffer if the cache is empty and enabled. An enabled cache means that its samples need no
    /// scrubbing and nothing is reclaimed. Its slot state is clear.
    ///
    /// # Safety
    /// The slot lives as long as this cache is used.
    #[inline(always)]
    pub(super) unsafe fn put(
        &self,
        slot: Slot<'_>,
        index: SlotIndex,
        samples: NonNull<f32>,
        capacity: u32,
    ) -> bool {
        let free = self.is(CacheState::Vacant) || self.is(CacheState::Owned);
        if free {
            self.slot_state
                .store(ptr::from_ref(slot.state).cast_mut(), Ordering::Relaxed);
            self.last.set(OptionalIndex::some(index));
            self.samples.store(samples.as_ptr(), Ordering::Relaxed);
            self.fill(capacity);
        }
        free
    }

    /// The buffer that was cached last is in the cache again. The address of its samples is still right: it changes
    /// only when memory is carved anew, and the cache is flushed before that.
    #[inline(always)]
    fn fill(&self, capacity: u32) {
        // The last store: from here on the buffer is in the cache.
        self.capacity.set(capacity);
    }

    /// [`put`](Self::put) for the buffer that was cached last, whose slot state is known and not yet clear. Most
    /// releases are of this kind.
    #[inline(always)]
    pub(super) fn put_back(&self, index: SlotIndex, capacity: u32) -> bool {
        // The caller owns this buffer, so that the cache cannot hold it. If `last == index`, it was taken from the
        // cache and nothing replaced it since. Nor is it on the local list: every path that adds to the list other
        // than a release flushes the cache first, and a release comes here.
        let expected = self.last_is(index);
        if expected {
            self.last_slot_state().clear();
            self.fill(capacity);
        }
        expected
    }

    /// Returns a `Scratch` to the cache that it was taken from.
    #[inline(always)]
    pub(super) fn put_back_scratch(&self, index: SlotIndex, capacity: u32) -> bool {
        // As above; its slot state was left clear.
        let expected = self.last_is(index);
        if expected {
            debug_assert!(self.last_slot_state().is_idle());
            self.fill(capacity);
        }
        expected
    }

    /// Empties the cache without a trace of the last buffer.
    pub(super) fn clear(&self, state: CacheState) {
        self.set_state(state);
        self.capacity.set(0);
        self.last.set(OptionalIndex::NONE);
    }

    /// Empties the cache after its owner died. Returns the buffer that was cached, or acquired as a `Scratch` from
    /// there, and whether it was acquired. It may be on the local list as well: the owner may have died inside a
    /// flush.
    pub(super) fn reclaim(&self, state: CacheState) -> Option<(SlotIndex, bool)> {
        let out = self.is(CacheState::Borrowed);
        let last = self.last().filter(|_| out || self.is_full());
        self.clear(state);
        last.map(|index| (index, out))
    }

    /// The cached buffer. A racing figure for other threads than the owner's.
    pub(super) fn cached(&self) -> Option<SlotIndex> {
        self.last().filter(|_| self.is_full())
    }

    /// The buffer that is acquired as a `Scratch` and will return to the cache.
    pub(super) fn borrowed_scratch(&self) -> Option<SlotIndex> {
        self.last().filter(|_| self.is(CacheState::Borrowed))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "one_slot_cache_tests.rs"]
mod tests;
