//! One size class of one half: its idle buffers wait on three lists.
//!
//! | list | who pushes | who takes |
//! |---|---|---|
//! | local | the owner | the owner, one at a time, with plain loads and stores |
//! | inbox | any thread, with one compare-and-swap for each buffer | the owner takes all with one swap |
//! | surplus | the owner | the control half takes all with one swap |
#![allow(unsafe_code)] // Hands slots of its own pool to the cache.

use core::ptr::NonNull;

use super::cells::Counter;
use super::free_list::{Chain, Inbox, SharedList};
use super::one_slot_cache::{AcquireKind, CacheState, OneSlotCache, TakenBuffer};
use super::pool_state::{MAX_HALVES, OnRelease, PoolState};
use super::shared_ptr::SharedPtr;
use super::slot_table::{Link, OptionalIndex, Slot, SlotIndex, SlotTable};
use crate::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The threshold that no address reaches: nothing is reclaimed.
pub(crate) const NO_THRESHOLD: u64 = u64::MAX;
/// No fast-path credit, however many buffers return before the next acquire.
const NO_CREDIT: i64 = i64::MIN / 2;

/// Stored in place of the window's peak by the control half, after it has read it: the owner starts a new window.
pub(super) const PEAK_RESTARTS: u32 = u32::MAX;

/// One size class of one half: its idle buffers, and the counts of all others.
///
/// Invariant while no thread is inside an operation: `carved = local + inbox.length() + surplus.length() + leased`.
/// `leased` is what handles own. `local` is the cached buffer and the local list. The local list has `transfers +
/// pushes − pops` buffers, the length of the chain at `first`.
///
/// The one-slot cache holds the buffer that was released last, outside of the local list and with the address of its
/// samples. Most acquires follow a release of the same class and are served by it without a look at the list or the
/// slot. The list is popped only while the cache is empty, or while all buffers outside of the list, the cached one
/// included, are no more than the peak: so every pop that could make a new peak counts exactly what is in use. Every
/// function that walks over the list flushes the cache first.
///
/// The length of the local list is a difference of counts that only rise. `credit` is the one word that both an
/// acquire and a release change.
///
/// The fields lie on three groups of cache lines: what seldom changes and every thread reads that releases a buffer;
/// what the owner writes; what other threads write.
/// See `docs/decisions/0008-three-free-lists-per-size-class.md`.
#[repr(C, align(64))]
pub(crate) struct SizeClass {
    /// The pool that the class belongs to, and that lives longer.
    pool: SharedPtr<PoolState>,
    /// Capacity of its buffers, in samples.
    pub(crate) samples: u32,
    /// Local buffers that only critical acquires may take.
    pub(super) reserve: u32,
    /// Identifies the half that owns the class, in one comparison: no other half of any pool has the same key.
    pub(super) owner: HalfKey,
    /// The half that the class belongs to, and the number of the class in the core's directory.
    pub(crate) half: u16,
    pub(crate) id: u16,
    /// What happens to the samples of a released buffer.
    pub(super) on_release: OnRelease,
    /// Buffers at or above this address are reclaimed: see [`Slot::address_key`]. The control half writes it, seldom.
    /// The owner reads it with each buffer that is released.
    ///
    /// [`Slot::address_key`]: super::slot_table::Slot::address_key
    pub(super) reclaim_threshold: AtomicU64,
    owner_part: CacheLine,
    /// The owner writes it, like every field down to `window_peak`.
    pub(super) cache: OneSlotCache,
    /// First slot of the local list, or none.
    pub(super) first: Link,
    /// Buffers popped off the local list by acquires.
    pub(super) pops: Counter,
    /// Buffers that the owner pushed to the local list when they were released.
    pub(crate) pushes: Counter,
    /// Fast-path credit (signed): acquires that may still pop without a check of the reserve and the peak. At most the
    /// length of the local list less the reserve, and at most the window's peak less what is in use. Between two
    /// refills the inbox only grows, so that this many acquires cannot make a new peak.
    credit: AtomicU64,
    /// Buffers that came to the local list from the inbox, less those that left it for the surplus or the arena;
    /// wraps.
    pub(super) transfers: AtomicU64,
    /// Buffers popped off the local list other than by `Scratch`.
    pub(super) list_acquires: Counter,
    /// Acquires served by this class for a request of the class below.
    pub(super) served_for_smaller: Counter,
    /// Acquires by `Scratch` that were published in an event, and returns that were.
    pub(super) scratches_published: Counter,
    pub(super) returns_published: Counter,
    /// Returned buffers that arrived through the inbox.
    pub(super) inbox_returns: Counter,
    /// Idle buffers that the owner scanned on request of the control half.
    pub(super) scanned: Counter,
    /// Requests of this class served by the next larger class.
    pub(crate) borrowed: Counter,
    /// Requests of this class that were refused.
    pub(crate) exhausted: Counter,
    /// Most buffers in use at once: since the class was made, and since the control half last restarted the window.
    pub(super) peak: AtomicU32,
    pub(super) window_peak: AtomicU32,

    pub(crate) shared: SharedSide,
}

/// Identifies a half by an address inside its pool: the halves of one pool differ, and pools do not overlap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct HalfKey(usize);

impl HalfKey {
    pub(super) fn new(pool: &PoolState, half: u16) -> Self {
        const { assert!(size_of::<PoolState>() >= MAX_HALVES) };
        Self(core::ptr::from_ref(pool).addr() + usize::from(half))
    }
}

/// Makes the next field begin a cache line.
#[repr(align(64))]
struct CacheLine;

/// The part of a size class that other threads write.
#[repr(align(64))]
pub(crate) struct SharedSide {
    pub(crate) inbox: Inbox,
    pub(crate) surplus: SharedList,
    /// Buffers of the class that exist. The control half adds to it before it pushes them, and subtracts after it took
    /// them.
    pub(super) carved: AtomicU32,
    /// The owner sheds idle buffers above this many to the surplus. The control half writes it.
    pub(super) limit: AtomicU32,
    /// Buffers at or above the reclaim threshold when they were last counted. Only the control half uses it.
    pub(super) draining: AtomicU32,
    /// The total of idle buffers that the owner is to have scanned, to shed those above the threshold. The control
    /// half writes it.
    pub(super) scan_request: AtomicU64,
    /// The control half replenishes idle buffers below this many. Only the control half uses it.
    pub(super) target: AtomicU32,
}

impl SizeClass {
    /// # Safety
    /// The pool lives as long as the size class.
    pub(super) unsafe fn new(
        pool: SharedPtr<PoolState>,
        on_release: OnRelease,
        (half, id): (u16, u16),
        samples: u32,
        reserve: u32,
    ) -> Self {
        Self {
            pool,
            samples,
            reserve,
            // SAFETY: it lives now, by the function's contract.
            owner: HalfKey::new(unsafe { pool.get() }, half),
            half,
            id,
            on_release,
            reclaim_threshold: AtomicU64::new(NO_THRESHOLD),
            owner_part: CacheLine,
            cache: OneSlotCache::new(initial_cache_state(on_release, reserve)),
            first: Link::new(),
            pops: Counter::default(),
            pushes: Counter::default(),
            credit: AtomicU64::new(NO_CREDIT as u64),
            transfers: AtomicU64::new(0),
            list_acquires: Counter::default(),
            served_for_smaller: Counter::default(),
            scratches_published: Counter::default(),
            returns_published: Counter::default(),
            inbox_returns: Counter::default(),
            scanned: Counter::default(),
            borrowed: Counter::default(),
            exhausted: Counter::default(),
            peak: AtomicU32::new(0),
            window_peak: AtomicU32::new(0),
            shared: SharedSide {
                inbox: Inbox::new(),
                surplus: SharedList::new(),
                carved: AtomicU32::new(0),
                limit: AtomicU32::new(u32::MAX),
                draining: AtomicU32::new(0),
                scan_request: AtomicU64::new(0),
                target: AtomicU32::new(0),
            },
        }
    }

    #[inline(always)]
    pub(super) fn pool(&self) -> &PoolState {
        // SAFETY: it lives as long as this size class, by the contract of `new`.
        unsafe { self.pool.get() }
    }

    #[inline(always)]
    pub(super) const fn pool_ptr(&self) -> SharedPtr<PoolState> {
        self.pool
    }

    /// Whether a buffer of the class holds a request of `samples`. No class serves a request for no samples.
    #[inline(always)]
    pub(crate) const fn serves(&self, samples: usize) -> bool {
        samples.wrapping_sub(1) < self.samples as usize
    }

    // The owner's side. Every access is relaxed: one thread's own words, which others read as racing figures. A new
    // owner comes after `HALF_DETACH` and `HALF_IS_ATTACHED`, which order everything.

    /// Pops the first buffer of the local list for a request of `samples`, unless only the reserve is left. The cache
    /// is empty.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take_from_list(&self, kind: AcquireKind, samples: u32) -> Option<TakenBuffer> {
        let (index, slot) = self.pop(&self.pool().table, samples)?;
        Some(TakenBuffer {
            index,
            samples: self.pool().samples_at(slot),
            count: match kind {
                AcquireKind::Scratch => 0,
                AcquireKind::Owned => self.list_acquires.add(1),
            },
        })
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
        let (index, slot) = self.pop_reserve(&self.pool().table, samples)?;
        Some(TakenBuffer {
            index,
            samples: self.pool().samples_at(slot),
            count: self.list_acquires.add(1),
        })
    }

    /// Pops a local slot for a request of `samples`, unless only the reserve is left. The cache is empty.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(crate) fn pop<'table>(
        &self,
        table: &'table SlotTable,
        samples: u32,
    ) -> Option<(SlotIndex, Slot<'table>)> {
        let (index, slot) = self.front(table)?;
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
        let taken = |(index, slot), count| TakenBuffer {
            index,
            samples: self.pool().samples_at(slot),
            count,
        };
        Some([taken(first, count - 1), taken(second, count)])
    }

    /// [`pop`](Self::pop) of two buffers, if the credit covers both: then they cannot make a new peak and the reserve
    /// stays.
    #[inline(always)]
    pub(super) fn pop_pair<'table>(
        &self,
        table: &'table SlotTable,
        samples: u32,
    ) -> Option<[(SlotIndex, Slot<'table>); 2]> {
        let (first, slot) = self.front(table)?;
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
        let (index, slot) = self.front(table)?;
        self.update_peak(self.net_pushes() - 1);
        slot.set_requested(samples);
        self.unlink(slot);
        self.pops.add(1);
        Some((index, slot))
    }

    #[inline(always)]
    pub(super) fn front<'table>(
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

    /// Buffers pushed less buffers popped: the length of the local list without the transfers.
    #[inline(always)]
    fn net_pushes(&self) -> i64 {
        self.pushes.get().wrapping_sub(self.pops.get()) as i64
    }

    #[inline(always)]
    fn credit(&self) -> i64 {
        self.credit.load(Ordering::Relaxed) as i64
    }

    #[inline(always)]
    fn set_credit(&self, credit: i64) {
        self.credit.store(credit as u64, Ordering::Relaxed);
    }

    /// Whether a slot may be popped although the credit is used up. Updates the peak and the credit if so.
    #[cold]
    #[inline(never)]
    fn check_credit_slowly(&self) -> bool {
        if self.listed() <= self.reserve {
            self.set_credit(NO_CREDIT);
            return false;
        }
        self.update_peak(self.net_pushes() - 1);
        true
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
        let shed = slot.address_key() >= self.reclaim_threshold()
            && self.shared.surplus.push_single(table, index).is_ok();
        if shed {
            self.pushes.add(1);
            self.transfer(-1);
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

    /// Pushes the cached buffer to the local list, and disables the cache while released buffers have to be checked. A
    /// `Scratch` that was taken from the cache returns to it first, so that nothing happens before.
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
        self.cache.is(CacheState::Disabled) && self.flushed_cache_state() == CacheState::Empty
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
        self.transfers.store(transfers as u64, Ordering::Relaxed);
        self.transfer(0);
    }

    /// Adds to the transfers: `more` slots came to the local list, or left it, without an acquire or a release.
    pub(super) fn transfer(&self, more: i64) {
        let transfers = self.transfers.load(Ordering::Relaxed);
        self.transfers
            .store(transfers.wrapping_add_signed(more), Ordering::Relaxed);
        self.set_credit(NO_CREDIT);
    }

    /// Starts a new window of the peak if the control half restarted it: what is in use now counts, and so does the
    /// next acquire. The cache is empty.
    pub(super) fn begin_window(&self) {
        if self.window_peak_restarts() {
            self.update_peak(self.net_pushes());
        }
    }

    pub(super) fn window_peak_restarts(&self) -> bool {
        self.window_peak.load(Ordering::Relaxed) == PEAK_RESTARTS
    }

    /// Updates the peaks for the number of buffers in use, and grants new credit.
    fn update_peak(&self, net_pushes: i64) {
        let transfers = self.transfers.load(Ordering::Relaxed) as i64;
        let idle = (transfers + net_pushes) as u32
            + self.shared.inbox.length()
            + self.shared.surplus.length();
        let in_use = self.carved().saturating_sub(idle);
        if in_use > self.peak.load(Ordering::Relaxed) {
            self.peak.store(in_use, Ordering::Relaxed);
        }
        let window_peak = self.noted_window_peak();
        if in_use > window_peak || self.window_peak_restarts() {
            self.window_peak.store(in_use, Ordering::Relaxed);
        }
        let below_peak = i64::from(window_peak.saturating_sub(in_use));
        let beyond_reserve = transfers + net_pushes - i64::from(self.reserve);
        self.set_credit(below_peak.min(beyond_reserve));
    }

    pub(crate) fn idle_of_owner(&self) -> u32 {
        self.local() + self.shared.inbox.length()
    }
}

/// The first state of a cache: disabled where samples are scrubbed on release, or where the reserve makes every
/// acquire count the list.
fn initial_cache_state(on_release: OnRelease, reserve: u32) -> CacheState {
    if on_release != OnRelease::Scrub && reserve == 0 {
        CacheState::Empty
    } else {
        CacheState::Disabled
    }
}

#[cfg(all(test, not(loom)))]
impl SizeClass {
    /// A size class outside of any pool, which accounts for the given number of buffers.
    pub(super) fn for_test(carved: u32, reserve: u32) -> Self {
        let size_class = Self::of_test(OnRelease::Leave, 256, reserve);
        size_class.add_carved(carved);
        size_class
    }

    pub(super) fn of_test(on_release: OnRelease, samples: u32, reserve: u32) -> Self {
        let pool = SharedPtr::from(PoolState::for_test());
        // SAFETY: the state is never freed.
        unsafe { Self::new(pool, on_release, (0, 0), samples, reserve) }
    }

    /// Puts a buffer into the cache, as its release does.
    pub(super) fn cache_accepts(&self, table: &SlotTable, index: SlotIndex) -> bool {
        let (slot, samples) = (table.slot(index), NonNull::dangling());
        // SAFETY: a test uses its size class only as long as its table.
        unsafe { self.cache.put(slot, index, samples, self.samples) }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "size_class_tests.rs"]
mod tests;
