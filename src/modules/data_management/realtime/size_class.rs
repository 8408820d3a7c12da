//! Where idle buffers wait: one size class per size class and half, with three lists on it.
//!
//! | list | who pushes | who takes |
//! |---|---|---|
//! | local | the owner | the owner, one at a time, plain loads and stores |
//! | inbox | anyone, one compare-and-swap each | the owner, everything at once |
//! | surplus | the owner | the control half, everything with one swap |

use core::ptr;
use core::ptr::NonNull;

use super::cells::Counter;
use super::free_list::{Chain, Inbox, SharedList, index_from};
use super::one_slot_cache::initial_cache_state;
use super::pool_core::{Core, MAX_HALVES, OnRelease, SharedPtr};
use super::slot_table::{NIL, Slot, SlotIndex, SlotState, SlotTable};
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The line that no buffer is beyond.
pub(crate) const NO_THRESHOLD: u64 = u64::MAX;
/// No room, however many come back before the next take.
const NO_CREDIT: i64 = i64::MIN / 2;

/// In place of the window's peak: the control half has looked at it, and the owner begins a new one.
pub(super) const PEAK_RESTARTS: u32 = u32::MAX;

/// Who takes a buffer: counted apart.
#[derive(Clone, Copy)]
pub(crate) enum AcquireKind {
    Scratch,
    Owned,
}

/// A buffer that was taken for a holder.
pub(crate) struct TakenBuffer {
    pub(super) index: SlotIndex,
    pub(super) samples: NonNull<f32>,
    /// How many acquires came to it in the same way, this one included. Not counted for a `Scratch` from the list.
    pub(super) count: u64,
}

/// One size class of one half: its idle buffers, and what happened to the others.
///
/// Invariants, at rest: `carved = local + inbox.length() + surplus.length() + leased`, where `leased` is what handles
/// hold; `local` is what is in the cache and `transfers + pushes − pops`, the length of the chain at `first`.
///
/// The cache keeps one buffer out of the list, the one that came back last, with where its samples are: most takes follow
/// a return of the same class, and need no more. The list is popped only when the cache is empty, so that what is off the
/// list is in use then, and the peak is exact; or where what is off the list, the cached buffer included, is no more than
/// the peak. Whatever looks through the list puts the cache first.
///
/// What is on the list is the difference of counts that only rise, one of takes and one of returns. The one number that both change is
/// `credit`.
///
/// Three kinds of fields, each on cache lines of their own: what hardly ever changes, and every thread reads that brings
/// a buffer home; what the owner writes; what other threads write.
#[repr(C, align(64))]
pub(crate) struct SizeClass {
    /// The pool it belongs to.
    pub(super) core: SharedPtr<Core>,
    /// Capacity of its buffers.
    pub(crate) samples: u32,
    /// Local buffers that only critical callers may take.
    pub(super) reserve: u32,
    /// What its half's owner knows its own size classes by, in one comparison: no other half of any pool has it.
    pub(super) owner: HalfKey,
    /// The half it belongs to, and its own number in the core's directory.
    pub(crate) half: u16,
    pub(crate) id: u16,
    /// What happens to samples when their buffer is released.
    pub(super) on_release: OnRelease,
    /// Buffers from this place on are asked back: see [`Slot::address_key`]. Written by the control half, seldom; read by
    /// the owner with each buffer that comes home.
    ///
    /// [`Slot::address_key`]: super::slot_table::Slot::address_key
    pub(super) reclaim_threshold: AtomicU64,
    owner_s: CacheLine,
    /// The buffer that the owner got back last, while the cache knows it, or NIL: a take from here does not look for its slot
    /// or at the list. Written by the owner, like every field down to `peak`.
    pub(super) cached: AtomicU32,
    /// Capacity of the cached buffer; 0 while there is none.
    pub(super) cached_capacity: AtomicU32,
    /// A `CacheState`, for while there is none.
    pub(super) cache_state: AtomicU32,
    /// First slot of the local list, or NIL.
    pub(super) first: AtomicU32,
    /// Where the samples of the cached buffer are, and its slot state: also of one that is out or lent.
    pub(super) cached_samples: AtomicPtr<f32>,
    pub(super) cached_slot_state: AtomicPtr<SlotState>,
    /// Taken from the cache: by `Scratch`, and by every other acquire.
    pub(super) cache_scratches: Counter,
    pub(super) cache_acquires: Counter,
    /// Taken off the local list for a holder.
    pub(super) pops: Counter,
    /// Put on the local list by the owner, from a holder.
    pub(crate) pushes: Counter,
    /// How many more takes than returns there may be before one has to look closer, a signed number: no more than are on the
    /// list beyond the reserve, and no more than make a new peak. The inbox only grows between two refills, so as many takes
    /// as the use was below the peak cannot make one.
    credit: AtomicU64,
    /// What came from the inbox less what went to the surplus or the arena; wraps.
    pub(super) transfers: AtomicU64,
    /// Taken off the list other than by `Scratch`.
    pub(super) list_acquires: Counter,
    /// Acquires served from this size class for a request of the class below.
    pub(super) served_for_smaller: Counter,
    /// Acquires by `Scratch` that an event has told.
    pub(super) scratches_published: Counter,
    pub(super) returns_published: Counter,
    /// Returned buffers that came through the inbox.
    pub(super) taken: Counter,
    /// Idle buffers looked at because the control half asked.
    pub(super) scanned: Counter,
    /// Requests of this class served by the next larger one.
    pub(crate) borrowed: Counter,
    /// Requests of this class refused.
    pub(crate) exhausted: Counter,
    /// Most buffers in use at once: ever, and since the control half last asked.
    pub(super) peak: AtomicU32,
    pub(super) window_peak: AtomicU32,

    pub(crate) shared: SharedSide,
}

/// An address within the core, by the half's number: halves of one core differ, and cores do not overlap.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct HalfKey(usize);

impl HalfKey {
    pub(super) fn new(core: SharedPtr<Core>, half: u16) -> Self {
        const { assert!(size_of::<Core>() >= MAX_HALVES) };
        Self(core.address() + usize::from(half))
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
    /// Buffers that exist on this size class. Written by the control half, before it pushes and after it took.
    pub(super) carved: AtomicU32,
    /// Idle buffers above this many are shed to the surplus. Written by the control half.
    pub(super) limit: AtomicU32,
    /// Buffers beyond the line when they were last counted. The control half's own.
    pub(super) draining: AtomicU32,
    /// How many idle buffers the owner should look at in all, to shed those beyond the line. Written by the control half.
    pub(super) scan_request: AtomicU64,
    /// Idle buffers below this many are replenished. The control half's own.
    pub(super) target: AtomicU32,
}

impl SizeClass {
    pub(crate) fn new(
        core: SharedPtr<Core>,
        on_release: OnRelease,
        (half, id): (u16, u16),
        samples: u32,
        reserve: u32,
    ) -> Self {
        Self {
            core,
            samples,
            reserve,
            owner: HalfKey::new(core, half),
            half,
            id,
            on_release,
            reclaim_threshold: AtomicU64::new(NO_THRESHOLD),
            owner_s: CacheLine,
            cached: AtomicU32::new(NIL),
            cached_capacity: AtomicU32::new(0),
            cache_state: AtomicU32::new(initial_cache_state(on_release, reserve) as u32),
            first: AtomicU32::new(NIL),
            cached_samples: AtomicPtr::new(ptr::null_mut()),
            cached_slot_state: AtomicPtr::new(ptr::null_mut()),
            cache_scratches: Counter::default(),
            cache_acquires: Counter::default(),
            pops: Counter::default(),
            pushes: Counter::default(),
            credit: AtomicU64::new(NO_CREDIT as u64),
            transfers: AtomicU64::new(0),
            list_acquires: Counter::default(),
            served_for_smaller: Counter::default(),
            scratches_published: Counter::default(),
            returns_published: Counter::default(),
            taken: Counter::default(),
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

    /// Whether its buffers hold so many samples; no buffer serves a request for none.
    #[inline(always)]
    pub(super) const fn serves(&self, samples: usize) -> bool {
        samples.wrapping_sub(1) < self.samples as usize
    }

    // The owner's side. Relaxed throughout: one thread's own words, read by others as a racing answer; a new owner
    // comes after the half's state was released and acquired.

    /// Takes the first idle buffer of the list for a holder of `samples`, unless only the reserve is left. The cache is
    /// empty.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take_from_list(&self, kind: AcquireKind, samples: u32) -> Option<TakenBuffer> {
        let (index, slot) = self.pop(&self.core.table, samples)?;
        Some(TakenBuffer {
            index,
            samples: self.core.samples_at(slot),
            count: match kind {
                AcquireKind::Scratch => 0,
                AcquireKind::Owned => self.list_acquires.add(1),
            },
        })
    }

    /// Takes an idle buffer for a holder of `samples`, unless only the reserve is left: the one in the cache, else the first on
    /// the list.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take(&self, kind: AcquireKind, samples: u32) -> Option<TakenBuffer> {
        match self.take_cached(kind, samples as usize) {
            None => self.take_from_list(kind, samples),
            taken => taken,
        }
    }

    /// [`take`](Self::take) for a critical caller, the reserve included. The cache is empty.
    pub(super) fn take_reserve(&self, samples: u32) -> Option<TakenBuffer> {
        let (index, slot) = self.pop_reserve(&self.core.table, samples)?;
        Some(TakenBuffer {
            index,
            samples: self.core.samples_at(slot),
            count: self.list_acquires.add(1),
        })
    }

    /// Takes a local slot off the list for a holder of `samples`, unless only the reserve is left. The cache is empty.
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
        // Before it leaves the list, so that at every moment either the list or its own word says what it is.
        slot.set_requested(samples);
        self.unlink(slot);
        self.pops.add(1);
        Some((index, slot))
    }

    /// [`pop`](Self::pop) of two at once, if that cannot make a new peak, whatever is in the cache, and leaves the reserve.
    #[inline(always)]
    pub(super) fn pop_pair<'table>(
        &self,
        table: &'table SlotTable,
        samples: u32,
    ) -> Option<[(SlotIndex, Slot<'table>); 2]> {
        let (first, slot) = self.front(table)?;
        let second = index_from(slot.state.next.load(Ordering::Relaxed))?;
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

    /// Takes a local slot, the reserve included.
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
        let index = index_from(self.first.load(Ordering::Relaxed))?;
        Some((index, table.slot(index)))
    }

    #[inline(always)]
    pub(super) fn unlink(&self, front: Slot<'_>) {
        self.first
            .store(front.state.next.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// What is on the local list less what was stocked.
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

    /// Whether a slot may be taken although there was no room for it; then the peak is noted.
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

    /// Puts a holder's slot on the local list.
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
        let first = self.first.load(Ordering::Relaxed);
        // Last out, first in: then the link is still there, and the next take need not wait for a store to it.
        if slot.state.next.load(Ordering::Relaxed) != first {
            slot.state.next.store(first, Ordering::Relaxed);
        }
        self.first.store(index.raw(), Ordering::Relaxed);
    }

    /// Takes a buffer home that its holder released here: to the local list, or to the surplus if it was asked back.
    #[inline(always)]
    pub(super) fn push_returned(&self, index: SlotIndex) {
        let table = &self.core.table;
        let slot = table.slot(index);
        if self.reclaim_threshold() == NO_THRESHOLD
            || !self.shed_if_above_threshold(table, slot, index)
        {
            self.push(slot, index);
        }
    }

    /// [`push_returned`](Self::push_returned) of two at once, whose slots do not say yet that they are back.
    #[inline(always)]
    pub(super) fn push_pair_returned(&self, pair: [(SlotIndex, Slot<'_>); 2]) {
        let [(first, slot), (second, below)] = pair;
        slot.clear();
        below.clear();
        if self.reclaim_threshold() == NO_THRESHOLD {
            // As they lay: mostly both links are still there.
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
        // Nobody would collect it.
        if !self.core.is_controlled() {
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

    /// Everything on the local list, which is empty then. For its owner, or for the control half when there is none.
    pub(crate) fn take_local(&self) -> Chain {
        let chain = self.peek_local();
        self.first.store(NIL, Ordering::Relaxed);
        self.transfer(-i64::from(chain.length));
        chain
    }

    /// What links lead to from the local list, whatever was counted.
    pub(crate) fn follow_local(&self) -> Chain {
        Chain {
            first: self.first.load(Ordering::Relaxed),
            length: u32::MAX,
            newly_carved: 0,
        }
    }

    /// What is on the local list, to be looked at while its owner rests.
    pub(crate) fn peek_local(&self) -> Chain {
        Chain {
            first: self.first.load(Ordering::Relaxed),
            length: self.listed(),
            newly_carved: 0,
        }
    }

    /// Makes these the local list, whatever it was. For the control half, in place of a dead owner.
    pub(crate) fn rebuild_local(&self, table: &SlotTable, idle: &[SlotIndex]) {
        self.first.store(NIL, Ordering::Relaxed);
        for &index in idle {
            self.link(table.slot(index), index);
        }
        let transfers = idle.len() as i64 - self.net_pushes();
        self.transfers.store(transfers as u64, Ordering::Relaxed);
        self.transfer(0);
    }

    /// Slots came to the local list, or left it, otherwise than from and to holders.
    pub(super) fn transfer(&self, more: i64) {
        let transfers = self.transfers.load(Ordering::Relaxed);
        self.transfers
            .store(transfers.wrapping_add_signed(more), Ordering::Relaxed);
        self.set_credit(NO_CREDIT);
    }

    /// Opens a new look at the peak if the last was looked at: what is in use now counts, and so does the next acquire.
    /// The cache is empty.
    pub(super) fn begin_window(&self) {
        if self.window_peak_restarts() {
            self.update_peak(self.net_pushes());
        }
    }

    pub(super) fn window_peak_restarts(&self) -> bool {
        self.window_peak.load(Ordering::Relaxed) == PEAK_RESTARTS
    }

    /// Notes how many are in use with this balance, and how much room there is from then on.
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

#[cfg(all(test, not(loom)))]
impl SizeClass {
    /// A size class of no pool, with the given number of buffers to be accounted for.
    pub(super) fn for_test(carved: u32, reserve: u32) -> Self {
        let core = SharedPtr::for_test();
        let size_class = Self::new(core, OnRelease::Leave, (0, 0), 256, reserve);
        size_class.add_carved(carved);
        size_class
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_for_critical_callers_and_survives_a_refill() {
        let (table, slots) = SlotTable::of_slots(4);
        let size_class = SizeClass::for_test(4, 2);
        for &slot in &slots[..3] {
            size_class.push(table.slot(slot), slot);
        }
        assert!(size_class.pop(&table, 1).is_some());
        assert!(size_class.pop(&table, 1).is_none());
        size_class
            .shared
            .inbox
            .push(table.slot(slots[3]).state, slots[3])
            .unwrap();
        assert_eq!(size_class.refill(&table), 1);
        assert_eq!(size_class.local(), 3);
        assert!(size_class.pop(&table, 1).is_some());
        assert!(size_class.pop_reserve(&table, 1).is_some());
        assert!(size_class.pop_reserve(&table, 1).is_some());
        assert!(size_class.pop_reserve(&table, 1).is_none());
        assert_eq!((size_class.leased(), size_class.peak()), (4, 4));
    }

    #[test]
    fn a_pair_is_taken_where_no_new_peak_can_come_of_it() {
        let (table, slots) = SlotTable::of_slots(4);
        let size_class = SizeClass::for_test(4, 0);
        for &slot in &slots {
            size_class.push(table.slot(slot), slot);
        }
        // The first two make the peak, one by one.
        assert!(size_class.pop_pair(&table, 1).is_none());
        let [last, first] = [0, 1].map(|_| size_class.pop(&table, 1).unwrap());
        size_class.push_pair_returned([first, last]);
        assert_eq!((size_class.local(), size_class.peak()), (4, 2));
        let pair = size_class.pop_pair(&table, 7).unwrap();
        let numbers = pair.map(|(index, slot)| (index.raw(), slot.requested_samples()));
        assert_eq!(numbers, [(2, 7), (3, 7)]);
        assert_eq!((size_class.local(), size_class.hits()), (2, 4));
        // A third and a fourth would be more than ever.
        assert!(size_class.pop_pair(&table, 1).is_none());
        assert_eq!(size_class.peak(), 2);
    }

    #[test]
    fn the_peak_is_the_most_in_use_at_once() {
        let (table, slots) = SlotTable::of_slots(5);
        let size_class = SizeClass::for_test(5, 0);
        for &slot in &slots {
            size_class.push(table.slot(slot), slot);
        }
        let held: Vec<_> = (0..3)
            .map(|_| size_class.pop(&table, 1).unwrap().0)
            .collect();
        for slot in held {
            size_class.push(table.slot(slot), slot);
        }
        let (slot, _) = size_class.pop(&table, 1).unwrap();
        assert_eq!((size_class.peak(), size_class.window_peak()), (3, 3));
        size_class.restart_window_peak();
        size_class.push(table.slot(slot), slot);
        size_class.begin_window();
        let (slot, _) = size_class.pop(&table, 1).unwrap();
        assert_eq!((size_class.peak(), size_class.window_peak()), (3, 1));
        size_class.push(table.slot(slot), slot);
    }
}
