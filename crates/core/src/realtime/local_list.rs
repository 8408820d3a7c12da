//! The owner's side of a size class: takes idle buffers from the one-slot cache and the local list, and accepts released
//! ones.
#![allow(unsafe_code)] // Hands slots of its own pool to the cache.

use core::ptr::NonNull;

use super::free_list::Chain;
use super::one_slot_cache::{AcquireKind, CacheState, TakenBuffer};
use super::size_class::{NO_THRESHOLD, SizeClass, initial_cache_state};
use super::slot_table::{OptionalIndex, Slot, SlotIndex, SlotTable};

// Every access is relaxed: one thread's own words, which others read as racing figures. A new owner comes after
// `HALF_DETACH` and `HALF_IS_ATTACHED`, which order everything.
impl SizeClass {
    /// Pops the first buffer of the local list for a request of `samples`, unless only the reserve is left. The cache
    /// is empty.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take_from_list(&self, kind: AcquireKind, samples: u32) -> Option<TakenBuffer> {
        let popped = self.pop(&self.pool().table, samples)?;
        let count = match kind {
            AcquireKind::Scratch => 0,
            AcquireKind::Owned => self.list_acquires.add(1),
        };
        Some(self.taken(popped, count))
    }

    #[inline(always)]
    fn taken(&self, (index, slot): (SlotIndex, Slot<'_>), count: u64) -> TakenBuffer {
        TakenBuffer {
            index,
            samples: self.pool().samples_at(slot),
            count,
        }
    }

    /// Takes an idle buffer for a request of `samples`, unless only the reserve is left: the cached one, else the
    /// first of the local list.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take(&self, kind: AcquireKind, samples: u32) -> Option<TakenBuffer> {
        match self.cache.take(kind, samples as usize) {
            None => self.take_from_list(kind, samples),
            taken => taken,
        }
    }

    /// [`take`](Self::take) for a critical acquire, which may use the reserve. The cache is empty.
    pub(super) fn take_reserve(&self, samples: u32) -> Option<TakenBuffer> {
        let popped = self.pop_reserve(&self.pool().table, samples)?;
        Some(self.taken(popped, self.list_acquires.add(1)))
    }

    /// Pops a local slot for a request of `samples`, unless only the reserve is left. The cache is empty.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(crate) fn pop<'table>(
        &self,
        table: &'table SlotTable,
        samples: u32,
    ) -> Option<(SlotIndex, Slot<'table>)> {
        let (index, slot) = self.first_local(table)?;
        // Credit: how many pops may follow before the reserve and the peak have to be checked.
        let credit = self.credit() - 1;
        self.set_credit(credit);
        if credit < 0 && !self.check_credit_slowly() {
            return None;
        }
        // Stored before the slot leaves the list, so that at every moment either the list or the slot's own word says
        // where the buffer is. Otherwise a buffer is lost if the owner dies between the two stores.
        slot.set_requested(samples);
        self.unlink(slot);
        self.pops.add(1);
        Some((index, slot))
    }

    /// [`take`](Self::take) of two buffers of the local list, if [`pop_pair`](Self::pop_pair) has them.
    #[inline(always)]
    pub(super) fn take_pair(&self, samples: u32) -> Option<[TakenBuffer; 2]> {
        let [first, second] = self.pop_pair(&self.pool().table, samples)?;
        let count = self.list_acquires.add(2);
        Some([self.taken(first, count - 1), self.taken(second, count)])
    }

    /// [`pop`](Self::pop) of two buffers, if the credit covers both: then they cannot make a new peak and the reserve
    /// stays.
    #[inline(always)]
    pub(super) fn pop_pair<'table>(
        &self,
        table: &'table SlotTable,
        samples: u32,
    ) -> Option<[(SlotIndex, Slot<'table>); 2]> {
        let (first, slot) = self.first_local(table)?;
        let second = slot.state.next.get().get()?;
        let below = table.slot(second);
        let credit = self.credit() - 2;
        if credit < 0 {
            return None;
        }
        self.set_credit(credit);
        // As in `pop`.
        slot.set_requested(samples);
        below.set_requested(samples);
        self.unlink(below);
        self.pops.add(2);
        Some([(first, slot), (second, below)])
    }

    /// Pops a local slot, the reserve included.
    pub(super) fn pop_reserve<'table>(
        &self,
        table: &'table SlotTable,
        samples: u32,
    ) -> Option<(SlotIndex, Slot<'table>)> {
        let (index, slot) = self.first_local(table)?;
        self.update_peak(self.net_pushes() - 1);
        slot.set_requested(samples);
        self.unlink(slot);
        self.pops.add(1);
        Some((index, slot))
    }

    #[inline(always)]
    pub(super) fn first_local<'table>(
        &self,
        table: &'table SlotTable,
    ) -> Option<(SlotIndex, Slot<'table>)> {
        let index = self.first.get().get()?;
        Some((index, table.slot(index)))
    }

    #[inline(always)]
    pub(super) fn unlink(&self, front: Slot<'_>) {
        self.first.set(front.state.next.get());
    }

    /// Pushes a released slot to the local list.
    #[inline(always)]
    pub(super) fn push(&self, slot: Slot<'_>, index: SlotIndex) {
        self.link(slot, index);
        self.returned(1);
    }

    #[inline(always)]
    fn returned(&self, slots: u32) {
        self.pushes.add(u64::from(slots));
        self.set_credit(self.credit() + i64::from(slots));
    }

    #[inline(always)]
    pub(super) fn link(&self, slot: Slot<'_>, index: SlotIndex) {
        let first = self.first.get();
        // The last slot popped is mostly the first one pushed: its link is still right then, and the next pop need not
        // wait for a store to it.
        if slot.state.next.get() != first {
            slot.state.next.set(first);
        }
        self.first.set(OptionalIndex::some(index));
    }

    /// Accepts a buffer that the owner released: to the local list, or to the surplus if it is at or above the reclaim
    /// threshold.
    #[inline(always)]
    fn push_returned(&self, index: SlotIndex) {
        let table = &self.pool().table;
        let slot = table.slot(index);
        if self.reclaim_threshold() == NO_THRESHOLD
            || !self.shed_if_above_threshold(table, slot, index)
        {
            self.push(slot, index);
        }
    }

    /// [`push_returned`](Self::push_returned) of two buffers whose slot states are not yet cleared.
    ///
    /// # Safety
    /// As for `accept_released`.
    #[inline(always)]
    pub(super) unsafe fn push_pair_returned(&self, pair: [(SlotIndex, Slot<'_>); 2]) {
        let [(first, slot), (second, below)] = pair;
        slot.clear();
        below.clear();
        if self.reclaim_threshold() == NO_THRESHOLD {
            // In the order in which they were popped: mostly both links are still right.
            self.link(below, second);
            self.link(slot, first);
            self.returned(2);
        } else {
            self.push_returned(first);
            self.push_returned(second);
        }
    }

    #[cold]
    #[inline(never)]
    fn shed_if_above_threshold(&self, table: &SlotTable, slot: Slot<'_>, index: SlotIndex) -> bool {
        // Without a control half nobody would collect the surplus.
        if !self.pool().is_controlled() {
            return false;
        }
        let shed =
            self.is_to_be_shed(slot) && self.shared.surplus.push_single(table, index).is_ok();
        if shed {
            self.pushes.add(1);
            self.transfer(-1);
            self.count_shed(1);
        }
        shed
    }

    /// Returns a released buffer to the cache if it was the last one there: see [`OneSlotCache::put_back`].
    ///
    /// # Safety
    /// On the owner's thread, from the only handle for the buffer, which is not used again if this returns true.
    #[inline(always)]
    pub(super) unsafe fn put_back(&self, index: SlotIndex) -> bool {
        self.cache.put_back(index, self.samples)
    }

    /// Returns a `Scratch` to the cache if it was taken from there.
    ///
    /// # Safety
    /// As for `put_back`.
    #[inline(always)]
    pub(super) unsafe fn put_back_scratch(&self, index: SlotIndex) -> bool {
        self.cache.put_back_scratch(index, self.samples)
    }

    /// Accepts a buffer that the owner released and that does not simply return to the cache: into the cache if that is
    /// free, else to the local list or the surplus.
    ///
    /// # Safety
    /// On the owner's thread, from the only handle for the buffer, which is not used again.
    pub(super) unsafe fn accept_released(&self, index: SlotIndex, samples: NonNull<f32>) {
        let slot = self.pool().table.slot(index);
        slot.clear();
        // SAFETY: the slot is of this class's pool, which keeps the class.
        if !unsafe { self.cache.put(slot, index, samples, self.samples) } {
            self.push_returned(index);
        }
    }

    /// Pushes the cached buffer to the local list, and disables the cache while released buffers have to be checked.
    /// Does nothing while a `Scratch` from the cache is alive: that one returns to the cache first.
    pub(super) fn flush_cache(&self, table: &SlotTable) {
        if self.cache.is(CacheState::Borrowed) {
            return;
        }
        // Pushed before it leaves the cache: at every moment one of the two names it.
        if let Some(index) = self.cache.cached() {
            self.push(table.slot(index), index);
        }
        self.cache.clear(self.flushed_cache_state());
    }

    /// [`flush_cache`](Self::flush_cache) for moments at which no `Scratch` can be alive: one that is still missing
    /// was leaked and will not return. From then on its slot state says that it is acquired, like that of any other
    /// buffer in use.
    pub(super) fn flush_cache_and_leaked_scratch(&self, table: &SlotTable) {
        if let Some(leaked) = self.cache.borrowed_scratch() {
            // The slot says it before the cache does not any more, as in `OneSlotCache::take`.
            table.slot(leaked).set_requested(self.samples);
            self.cache.clear(self.flushed_cache_state());
        }
        self.flush_cache(table);
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
        self.cache.is(CacheState::Disabled) && self.flushed_cache_state() == CacheState::Vacant
    }

    /// Empties the cache after its owner died: see [`OneSlotCache::reclaim`].
    pub(crate) fn reclaim_cache(&self) -> Option<(SlotIndex, bool)> {
        self.cache.reclaim(self.flushed_cache_state())
    }

    /// The cached buffer as a chain, to be read while the owner does not change it.
    pub(crate) fn peek_cache(&self) -> Chain {
        self.cache.cached().map_or(Chain::EMPTY, |index| Chain {
            first: OptionalIndex::some(index),
            length: 1,
            newly_carved: 0,
        })
    }

    /// The buffer that is acquired as a `Scratch` and will return to the cache.
    pub(crate) fn borrowed_scratch(&self) -> Option<SlotIndex> {
        self.cache.borrowed_scratch()
    }

    /// Takes the whole local list. Called by its owner, or by the control half while the half is detached.
    pub(crate) fn take_local(&self) -> Chain {
        let chain = self.peek_local();
        self.first.set(OptionalIndex::NONE);
        self.transfer(-i64::from(chain.length));
        chain
    }

    /// The local list by its links alone, without its length, which cannot be trusted after the owner died.
    pub(crate) fn follow_local(&self) -> Chain {
        Chain {
            first: self.first.get(),
            length: u32::MAX,
            newly_carved: 0,
        }
    }

    /// The local list, to be read while its owner does not change it.
    pub(crate) fn peek_local(&self) -> Chain {
        Chain {
            first: self.first.get(),
            length: self.listed(),
            newly_carved: 0,
        }
    }

    /// Makes these the local list, whatever it was before. Called by the control half in place of an owner that died.
    pub(crate) fn rebuild_local(&self, table: &SlotTable, idle: &[SlotIndex]) {
        self.first.set(OptionalIndex::NONE);
        for &index in idle {
            self.link(table.slot(index), index);
        }
        let transfers = idle.len() as i64 - self.net_pushes();
        self.transfers.set(transfers as u64);
        self.transfer(0);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "local_list_tests.rs"]
mod tests;
