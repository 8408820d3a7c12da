//! The one-slot cache of a size class: it holds the buffer that was released last, outside of the local list. Only the
//! owner uses it, and the control half after an owner died.
#![allow(unsafe_code)] // The addresses in the cache are never null.

use core::ptr::{self, NonNull};

use super::free_list::Chain;
use super::pool_core::OnRelease;
use super::size_class::{AcquireKind, NO_THRESHOLD, SizeClass, TakenBuffer};
use super::slot_table::{OptionalIndex, Slot, SlotIndex, SlotState, SlotTable};
use crate::sync::atomic::Ordering;

/// The state of an empty cache. The index of the buffer and whether it is in the cache are separate words, so that
/// neither an acquire nor the release after it computes the one from the other.
/// See `docs/decisions/0010-one-slot-cache-per-size-class.md`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum CacheState {
    /// No buffer was cached since the cache was flushed.
    Empty,
    /// The cache accepts no buffer: each released buffer has to be checked.
    Disabled,
    /// The buffer cached last is acquired as a `Scratch`, which will return to the cache. No other buffer is accepted.
    Borrowed,
    /// The buffer cached last was acquired as an owned buffer, which may or may not return.
    Owned,
}

/// The first state of a cache: disabled where samples are scrubbed on release, or where the reserve makes every
/// acquire count the list.
pub(super) fn initial_cache_state(on_release: OnRelease, reserve: u32) -> CacheState {
    if on_release != OnRelease::Scrub && reserve == 0 {
        CacheState::Empty
    } else {
        CacheState::Disabled
    }
}

// Every access is relaxed, as in `size_class.rs`.
impl SizeClass {
    fn cache_is(&self, state: CacheState) -> bool {
        !self.cache_is_full() && self.cache_state.load(Ordering::Relaxed) == state as u32
    }

    fn cache_is_full(&self) -> bool {
        self.cached_capacity.load(Ordering::Relaxed) != 0
    }

    #[inline(always)]
    fn set_cache_state(&self, state: CacheState) {
        self.cache_state.store(state as u32, Ordering::Relaxed);
    }

    /// The buffer that was cached last, whether it is still in the cache or not.
    #[inline(always)]
    fn last_cached(&self) -> Option<SlotIndex> {
        self.cached.get().get()
    }

    #[inline(always)]
    pub(super) fn last_cached_is(&self, index: SlotIndex) -> bool {
        self.cached.get() == OptionalIndex::some(index)
    }

    /// Takes the cached buffer for a request of `samples`. Returns none for no samples, or for more than the buffer
    /// holds.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take_cached(&self, kind: AcquireKind, samples: usize) -> Option<TakenBuffer> {
        // One comparison for all cases: 0 wraps to the largest number, and the capacity of an empty cache is 0.
        if samples.wrapping_sub(1) >= self.cached_capacity.load(Ordering::Relaxed) as usize {
            return None;
        }
        // SAFETY: the capacity is not 0, so that `cache_released` or `mark_cached` stored it after index and samples;
        // both stay until the buffer is cached again or the cache is flushed.
        let index = unsafe { self.cached.get().get_unchecked() };
        // The state before the capacity: an empty cache is read by its state.
        let count = match kind {
            AcquireKind::Scratch => {
                self.set_cache_state(CacheState::Borrowed);
                self.cached_capacity.store(0, Ordering::Relaxed);
                self.cache_scratches.add(1)
            }
            AcquireKind::Owned => {
                // As in `pop`: the slot says it before the cache does not any more.
                self.slot_state_of_cached().set_requested(samples as u32);
                self.set_cache_state(CacheState::Owned);
                self.cached_capacity.store(0, Ordering::Relaxed);
                self.cache_acquires.add(1)
            }
        };
        let samples = self.cached_samples.load(Ordering::Relaxed);
        Some(TakenBuffer {
            index,
            // SAFETY: as above.
            samples: unsafe { NonNull::new_unchecked(samples) },
            count,
        })
    }

    /// The slot state of the buffer that was cached last.
    #[inline(always)]
    fn slot_state_of_cached(&self) -> &SlotState {
        // SAFETY: `cached` is not none, and `cache_released` stored this pointer before it: not null, into the slot
        // table of this pool, which moves no slot and lives as long as this size class. All fields of a slot state are
        // atomic.
        unsafe { &*self.cached_slot_state.load(Ordering::Relaxed) }
    }

    /// Caches a released buffer if the cache is empty and enabled. An enabled cache means that its samples need no
    /// scrubbing and nothing is reclaimed. Its slot state is clear.
    #[inline(always)]
    pub(super) fn cache_released(
        &self,
        slot: Slot<'_>,
        index: SlotIndex,
        samples: NonNull<f32>,
    ) -> bool {
        let free = self.cache_is(CacheState::Empty) || self.cache_is(CacheState::Owned);
        if free {
            self.cached_slot_state
                .store(ptr::from_ref(slot.state).cast_mut(), Ordering::Relaxed);
            self.cached.set(OptionalIndex::some(index));
            self.cached_samples
                .store(samples.as_ptr(), Ordering::Relaxed);
            self.mark_cached();
        }
        free
    }

    /// The buffer that was cached last is in the cache again. The address of its samples is still right: it changes
    /// only when memory is carved anew, and the cache is flushed before that.
    #[inline(always)]
    fn mark_cached(&self) {
        // The last store: from here on the buffer is in the cache.
        self.cached_capacity.store(self.samples, Ordering::Relaxed);
    }

    /// [`cache_released`](Self::cache_released) for the buffer that was cached last, whose slot state is known and not
    /// yet clear. Most releases are of this kind.
    #[inline(always)]
    pub(super) fn return_to_cache(&self, index: SlotIndex) -> bool {
        // The caller owns this buffer, so that the cache cannot hold it. If `cached == index`, it was taken from the
        // cache and nothing replaced it since. Nor is it on the local list: every path that adds to the list other
        // than a release flushes the cache first, and a release comes here.
        let expected = self.last_cached_is(index);
        if expected {
            self.slot_state_of_cached().clear();
            self.mark_cached();
        }
        expected
    }

    /// Returns a `Scratch` to the cache that it was taken from.
    #[inline(always)]
    pub(super) fn return_scratch_to_cache(&self, index: SlotIndex) -> bool {
        // As above; its slot state was left clear.
        let expected = self.last_cached_is(index);
        if expected {
            debug_assert!(self.slot_state_of_cached().is_idle());
            self.mark_cached();
        }
        expected
    }

    /// Pushes the cached buffer to the local list, and disables the cache while released buffers have to be checked. A
    /// `Scratch` that was taken from the cache returns to it first, so that nothing happens before.
    pub(super) fn flush_cache(&self, table: &SlotTable) {
        if self.cache_is(CacheState::Borrowed) {
            return;
        }
        // Pushed before it leaves the cache: at every moment one of the two names it.
        if let Some(index) = self.cached_index() {
            self.push(table.slot(index), index);
        }
        self.clear_cache(self.flushed_cache_state());
    }

    /// [`flush_cache`](Self::flush_cache) for moments at which no `Scratch` can be alive: one that is still missing
    /// was leaked and will not return. From then on its slot state says that it is acquired, like that of any other
    /// buffer in use.
    pub(super) fn flush_cache_and_leaked_scratch(&self, table: &SlotTable) {
        if let Some(leaked) = self.borrowed_scratch() {
            // The slot says it before the cache does not any more, as in `take_cached`.
            table.slot(leaked).set_requested(self.samples);
            self.clear_cache(self.flushed_cache_state());
        }
        self.flush_cache(table);
    }

    /// Empties the cache without a trace of the last buffer.
    fn clear_cache(&self, state: CacheState) {
        self.set_cache_state(state);
        self.cached_capacity.store(0, Ordering::Relaxed);
        self.cached.set(OptionalIndex::NONE);
    }

    /// The state of the cache after a flush.
    fn flushed_cache_state(&self) -> CacheState {
        if self.reclaim_threshold() == NO_THRESHOLD {
            initial_cache_state(self.on_release, self.reserve)
        } else {
            CacheState::Disabled
        }
    }

    /// Whether the cache is disabled without a reason.
    #[inline(always)]
    pub(super) fn cache_should_be_enabled(&self) -> bool {
        self.cache_is(CacheState::Disabled) && self.flushed_cache_state() == CacheState::Empty
    }

    /// Empties the cache after its owner died. Returns the buffer that was cached, or acquired as a `Scratch` from
    /// there, and whether it was acquired. It may be on the local list as well: the owner may have died inside a
    /// flush.
    pub(crate) fn reclaim_cache(&self) -> Option<(SlotIndex, bool)> {
        let out = self.cache_is(CacheState::Borrowed);
        let last_cached = self.last_cached().filter(|_| out || self.cache_is_full());
        self.clear_cache(self.flushed_cache_state());
        last_cached.map(|index| (index, out))
    }

    /// The cached buffer. A racing figure for other threads than the owner's.
    pub(super) fn cached_index(&self) -> Option<SlotIndex> {
        self.last_cached().filter(|_| self.cache_is_full())
    }

    /// [`cached_index`](Self::cached_index) as a chain, to be read while the owner does not change it.
    pub(crate) fn peek_cache(&self) -> Chain {
        self.cached_index().map_or(Chain::EMPTY, |index| Chain {
            first: OptionalIndex::some(index),
            length: 1,
            newly_carved: 0,
        })
    }

    /// The buffer that is acquired as a `Scratch` and will return to the cache.
    pub(crate) fn borrowed_scratch(&self) -> Option<SlotIndex> {
        self.last_cached()
            .filter(|_| self.cache_is(CacheState::Borrowed))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "one_slot_cache_tests.rs"]
mod tests;
