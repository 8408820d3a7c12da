//! Where idle buffers wait: one shelf per size class and half, with three lists on it.
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
use super::pool_core::{Core, MAX_HALVES, OnRelease, Pinned};
use super::shelf_hand::empty_hand;
use super::slot_table::{Loan, NIL, Slot, SlotIndex, SlotTable};
use crate::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// The line that no buffer is beyond.
pub(crate) const NO_LINE: u64 = u64::MAX;
/// No room, however many come back before the next take.
const NO_ROOM: i64 = i64::MIN / 2;

/// In place of the window's peak: the control half has looked at it, and the owner begins a new one.
pub(super) const FORGOTTEN: u32 = u32::MAX;

/// Who takes a buffer: counted apart.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Scratch,
    Owned,
}

/// A buffer that was taken for a holder.
pub(crate) struct Taken {
    pub(super) index: SlotIndex,
    pub(super) samples: NonNull<f32>,
    /// How many acquires came to it in the same way, this one included. Not counted for a `Scratch` from the list.
    pub(super) count: u64,
}

/// One size class of one half: its idle buffers, and what happened to the others.
///
/// Invariants, at rest: `carved = local + inbox.length() + surplus.length() + leased`, where `leased` is what handles
/// hold; `local` is what is at hand and `stocked + returns − served`, the length of the chain at `first`.
///
/// The hand keeps one buffer out of the list, the one that came back last, with where its samples are: most takes follow
/// a return of the same class, and need no more. The list is popped only when the hand is empty, so that what is off the
/// list is in use then, and the peak is exact; or where what is off the list, the buffer at hand included, is no more than
/// the peak. Whatever looks through the list puts the hand down first.
///
/// What is on the list is the difference of counts that only rise, one of takes and one of returns. The one number that both change is
/// `room`.
///
/// Three kinds of fields, each on cache lines of their own: what hardly ever changes, and every thread reads that brings
/// a buffer home; what the owner writes; what other threads write.
#[repr(C, align(64))]
pub(crate) struct Shelf {
    /// The pool it belongs to.
    pub(super) core: Pinned<Core>,
    /// Capacity of its buffers.
    pub(crate) samples: u32,
    /// Local buffers that only critical callers may take.
    pub(super) reserve: u32,
    /// What its half's owner knows its own shelves by, in one comparison: no other half of any pool has it.
    pub(super) owner: HalfKey,
    /// The half it belongs to, and its own number in the core's directory.
    pub(crate) half: u16,
    pub(crate) id: u16,
    /// What happens to samples when their buffer is released.
    pub(super) on_release: OnRelease,
    /// Buffers from this place on are asked back: see [`Slot::place_key`]. Written by the control half, seldom; read by
    /// the owner with each buffer that comes home.
    ///
    /// [`Slot::place_key`]: super::slot_table::Slot::place_key
    pub(super) line: AtomicU64,
    owner_s: CacheLine,
    /// The buffer that the owner got back last, while the hand knows it, or NIL: a take from here does not look for its slot
    /// or at the list. Written by the owner, like every field down to `peak`.
    pub(super) hand: AtomicU32,
    /// Capacity of the buffer at hand; 0 while there is none.
    pub(super) hand_capacity: AtomicU32,
    /// A `HandState`, for while there is none.
    pub(super) hand_state: AtomicU32,
    /// First slot of the local list, or NIL.
    pub(super) first: AtomicU32,
    /// Where the samples of the buffer at hand are, and its loan: also of one that is out or lent.
    pub(super) hand_samples: AtomicPtr<f32>,
    pub(super) hand_loan: AtomicPtr<Loan>,
    /// Taken from the hand: by `Scratch`, and by every other acquire.
    pub(super) scratches_at_hand: Counter,
    pub(super) acquires_at_hand: Counter,
    /// Taken off the local list for a holder.
    pub(super) served: Counter,
    /// Put on the local list by the owner, from a holder.
    pub(crate) returns: Counter,
    /// How many more takes than returns there may be before one has to look closer, a signed number: no more than are on the
    /// list beyond the reserve, and no more than make a new peak. The inbox only grows between two refills, so as many takes
    /// as the use was below the peak cannot make one.
    room: AtomicU64,
    /// What came from the inbox less what went to the surplus or the arena; wraps.
    pub(super) stocked: AtomicU64,
    /// Taken off the list other than by `Scratch`.
    pub(super) acquires_listed: Counter,
    /// Acquires served from this shelf for a request of the class below.
    pub(super) lent_down: Counter,
    /// Acquires by `Scratch` that an event has told.
    pub(super) scratches_told: Counter,
    pub(super) returns_told: Counter,
    /// Returned buffers that came through the inbox.
    pub(super) taken: Counter,
    /// Idle buffers looked at because the control half asked.
    pub(super) looked_at: Counter,
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
    pub(super) fn new(core: Pinned<Core>, half: u16) -> Self {
        const { assert!(size_of::<Core>() >= MAX_HALVES) };
        Self(core.address() + usize::from(half))
    }
}

/// Makes the next field begin a cache line.
#[repr(align(64))]
struct CacheLine;

/// The part of a shelf that other threads write.
#[repr(align(64))]
pub(crate) struct SharedSide {
    pub(crate) inbox: Inbox,
    pub(crate) surplus: SharedList,
    /// Buffers that exist on this shelf. Written by the control half, before it pushes and after it took.
    pub(super) carved: AtomicU32,
    /// Idle buffers above this many are shed to the surplus. Written by the control half.
    pub(super) limit: AtomicU32,
    /// Buffers beyond the line when they were last counted. The control half's own.
    pub(super) draining: AtomicU32,
    /// How many idle buffers the owner should look at in all, to shed those beyond the line. Written by the control half.
    pub(super) looks: AtomicU64,
    /// Idle buffers below this many are replenished. The control half's own.
    pub(super) target: AtomicU32,
}

impl Shelf {
    pub(crate) fn new(
        core: Pinned<Core>,
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
            line: AtomicU64::new(NO_LINE),
            owner_s: CacheLine,
            hand: AtomicU32::new(NIL),
            hand_capacity: AtomicU32::new(0),
            hand_state: AtomicU32::new(empty_hand(on_release, reserve) as u32),
            first: AtomicU32::new(NIL),
            hand_samples: AtomicPtr::new(ptr::null_mut()),
            hand_loan: AtomicPtr::new(ptr::null_mut()),
            scratches_at_hand: Counter::default(),
            acquires_at_hand: Counter::default(),
            served: Counter::default(),
            returns: Counter::default(),
            room: AtomicU64::new(NO_ROOM as u64),
            stocked: AtomicU64::new(0),
            acquires_listed: Counter::default(),
            lent_down: Counter::default(),
            scratches_told: Counter::default(),
            returns_told: Counter::default(),
            taken: Counter::default(),
            looked_at: Counter::default(),
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
                looks: AtomicU64::new(0),
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

    /// Takes the first idle buffer of the list for a holder of `samples`, unless only the reserve is left. The hand is
    /// empty.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take_from_list(&self, kind: Kind, samples: u32) -> Option<Taken> {
        let (index, slot) = self.pop(&self.core.table, samples)?;
        Some(Taken {
            index,
            samples: self.core.samples_at(slot),
            count: match kind {
                Kind::Scratch => 0,
                Kind::Owned => self.acquires_listed.add(1),
            },
        })
    }

    /// Takes an idle buffer for a holder of `samples`, unless only the reserve is left: the one at hand, else the first on
    /// the list.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take(&self, kind: Kind, samples: u32) -> Option<Taken> {
        match self.take_from_hand(kind, samples as usize) {
            None => self.take_from_list(kind, samples),
            taken => taken,
        }
    }

    /// [`take`](Self::take) for a critical caller, the reserve included. The hand is empty.
    pub(super) fn take_reserve(&self, samples: u32) -> Option<Taken> {
        let (index, slot) = self.pop_reserve(&self.core.table, samples)?;
        Some(Taken {
            index,
            samples: self.core.samples_at(slot),
            count: self.acquires_listed.add(1),
        })
    }

    /// Takes a local slot off the list for a holder of `samples`, unless only the reserve is left. The hand is empty.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(crate) fn pop<'table>(
        &self,
        table: &'table SlotTable,
        samples: u32,
    ) -> Option<(SlotIndex, Slot<'table>)> {
        let (index, slot) = self.front(table)?;
        let room = self.room() - 1;
        self.set_room(room);
        if room < 0 && !self.look_closer() {
            return None;
        }
        // Before it leaves the list, so that at every moment either the list or its own word says what it is.
        slot.lend(samples);
        self.unlink(slot);
        self.served.add(1);
        Some((index, slot))
    }

    /// [`pop`](Self::pop) of two at once, if that cannot make a new peak, whatever is at hand, and leaves the reserve.
    #[inline(always)]
    pub(super) fn pop_pair<'table>(
        &self,
        table: &'table SlotTable,
        samples: u32,
    ) -> Option<[(SlotIndex, Slot<'table>); 2]> {
        let (first, slot) = self.front(table)?;
        let second = index_from(slot.loan.next.load(Ordering::Relaxed))?;
        let below = table.slot(second);
        let room = self.room() - 2;
        if room < 0 {
            return None;
        }
        self.set_room(room);
        // As in `pop`.
        slot.lend(samples);
        below.lend(samples);
        self.unlink(below);
        self.served.add(2);
        Some([(first, slot), (second, below)])
    }

    /// Takes a local slot, the reserve included.
    pub(super) fn pop_reserve<'table>(
        &self,
        table: &'table SlotTable,
        samples: u32,
    ) -> Option<(SlotIndex, Slot<'table>)> {
        let (index, slot) = self.front(table)?;
        self.note_peak(self.balance() - 1);
        slot.lend(samples);
        self.unlink(slot);
        self.served.add(1);
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
            .store(front.loan.next.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    /// What is on the local list less what was stocked.
    #[inline(always)]
    fn balance(&self) -> i64 {
        self.returns.get().wrapping_sub(self.served.get()) as i64
    }

    #[inline(always)]
    fn room(&self) -> i64 {
        self.room.load(Ordering::Relaxed) as i64
    }

    #[inline(always)]
    fn set_room(&self, room: i64) {
        self.room.store(room as u64, Ordering::Relaxed);
    }

    /// Whether a slot may be taken although there was no room for it; then the peak is noted.
    #[cold]
    #[inline(never)]
    fn look_closer(&self) -> bool {
        if self.listed() <= self.reserve {
            self.set_room(NO_ROOM);
            return false;
        }
        self.note_peak(self.balance() - 1);
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
        self.returns.add(u64::from(slots));
        self.set_room(self.room() + i64::from(slots));
    }

    #[inline(always)]
    pub(super) fn link(&self, slot: Slot<'_>, index: SlotIndex) {
        let first = self.first.load(Ordering::Relaxed);
        // Last out, first in: then the link is still there, and the next take need not wait for a store to it.
        if slot.loan.next.load(Ordering::Relaxed) != first {
            slot.loan.next.store(first, Ordering::Relaxed);
        }
        self.first.store(index.raw(), Ordering::Relaxed);
    }

    /// Takes a buffer home that its holder released here: to the local list, or to the surplus if it was asked back.
    #[inline(always)]
    pub(super) fn take_home(&self, index: SlotIndex) {
        let table = &self.core.table;
        let slot = table.slot(index);
        if self.line() == NO_LINE || !self.shed_if_beyond(table, slot, index) {
            self.push(slot, index);
        }
    }

    /// [`take_home`](Self::take_home) of two at once, whose slots do not say yet that they are back.
    #[inline(always)]
    pub(super) fn take_pair_home(&self, pair: [(SlotIndex, Slot<'_>); 2]) {
        let [(first, slot), (second, below)] = pair;
        slot.take_back();
        below.take_back();
        if self.line() == NO_LINE {
            // As they lay: mostly both links are still there.
            self.link(below, second);
            self.link(slot, first);
            self.returned(2);
        } else {
            self.take_home(first);
            self.take_home(second);
        }
    }

    #[cold]
    #[inline(never)]
    fn shed_if_beyond(&self, table: &SlotTable, slot: Slot<'_>, index: SlotIndex) -> bool {
        // Nobody would collect it.
        if !self.core.is_controlled() {
            return false;
        }
        let shed = slot.place_key() >= self.line()
            && self.shared.surplus.push_single(table, index).is_ok();
        if shed {
            self.returns.add(1);
            self.stock(-1);
        }
        shed
    }

    /// Everything on the local list, which is empty then. For its owner, or for the control half when there is none.
    pub(crate) fn take_local(&self) -> Chain {
        let chain = self.peek_local();
        self.first.store(NIL, Ordering::Relaxed);
        self.stock(-i64::from(chain.length));
        chain
    }

    /// What links lead to from the local list, whatever was counted.
    pub(crate) fn follow_local(&self) -> Chain {
        Chain {
            first: self.first.load(Ordering::Relaxed),
            length: u32::MAX,
            fresh: 0,
        }
    }

    /// What is on the local list, to be looked at while its owner rests.
    pub(crate) fn peek_local(&self) -> Chain {
        Chain {
            first: self.first.load(Ordering::Relaxed),
            length: self.listed(),
            fresh: 0,
        }
    }

    /// Makes these the local list, whatever it was. For the control half, in place of a dead owner.
    pub(crate) fn restock(&self, table: &SlotTable, idle: &[SlotIndex]) {
        self.first.store(NIL, Ordering::Relaxed);
        for &index in idle {
            self.link(table.slot(index), index);
        }
        let stocked = idle.len() as i64 - self.balance();
        self.stocked.store(stocked as u64, Ordering::Relaxed);
        self.stock(0);
    }

    /// Slots came to the local list, or left it, otherwise than from and to holders.
    pub(super) fn stock(&self, more: i64) {
        let stocked = self.stocked.load(Ordering::Relaxed);
        self.stocked
            .store(stocked.wrapping_add_signed(more), Ordering::Relaxed);
        self.set_room(NO_ROOM);
    }

    /// Opens a new look at the peak if the last was looked at: what is in use now counts, and so does the next acquire.
    /// The hand is empty.
    pub(super) fn begin_window(&self) {
        if self.is_window_forgotten() {
            self.note_peak(self.balance());
        }
    }

    pub(super) fn is_window_forgotten(&self) -> bool {
        self.window_peak.load(Ordering::Relaxed) == FORGOTTEN
    }

    /// Notes how many are in use with this balance, and how much room there is from then on.
    fn note_peak(&self, balance: i64) {
        let stocked = self.stocked.load(Ordering::Relaxed) as i64;
        let idle =
            (stocked + balance) as u32 + self.shared.inbox.length() + self.shared.surplus.length();
        let in_use = self.carved().saturating_sub(idle);
        if in_use > self.peak.load(Ordering::Relaxed) {
            self.peak.store(in_use, Ordering::Relaxed);
        }
        let window_peak = self.noted_window_peak();
        if in_use > window_peak || self.is_window_forgotten() {
            self.window_peak.store(in_use, Ordering::Relaxed);
        }
        let below_peak = i64::from(window_peak.saturating_sub(in_use));
        let beyond_reserve = stocked + balance - i64::from(self.reserve);
        self.set_room(below_peak.min(beyond_reserve));
    }

    pub(crate) fn idle_of_owner(&self) -> u32 {
        self.local() + self.shared.inbox.length()
    }
}

#[cfg(all(test, not(loom)))]
impl Shelf {
    /// A shelf of no pool, with the given number of buffers to be accounted for.
    pub(super) fn for_test(carved: u32, reserve: u32) -> Self {
        let core = Pinned::for_test();
        let shelf = Self::new(core, OnRelease::Leave, (0, 0), 256, reserve);
        shelf.add_carved(carved);
        shelf
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn the_reserve_is_for_critical_callers_and_survives_a_refill() {
        let (table, slots) = SlotTable::of_slots(4);
        let shelf = Shelf::for_test(4, 2);
        for &slot in &slots[..3] {
            shelf.push(table.slot(slot), slot);
        }
        assert!(shelf.pop(&table, 1).is_some());
        assert!(shelf.pop(&table, 1).is_none());
        shelf
            .shared
            .inbox
            .push(table.slot(slots[3]).loan, slots[3])
            .unwrap();
        assert_eq!(shelf.refill(&table), 1);
        assert_eq!(shelf.local(), 3);
        assert!(shelf.pop(&table, 1).is_some());
        assert!(shelf.pop_reserve(&table, 1).is_some());
        assert!(shelf.pop_reserve(&table, 1).is_some());
        assert!(shelf.pop_reserve(&table, 1).is_none());
        assert_eq!((shelf.leased(), shelf.peak()), (4, 4));
    }

    #[test]
    fn a_pair_is_taken_where_no_new_peak_can_come_of_it() {
        let (table, slots) = SlotTable::of_slots(4);
        let shelf = Shelf::for_test(4, 0);
        for &slot in &slots {
            shelf.push(table.slot(slot), slot);
        }
        // The first two make the peak, one by one.
        assert!(shelf.pop_pair(&table, 1).is_none());
        let [last, first] = [0, 1].map(|_| shelf.pop(&table, 1).unwrap());
        shelf.take_pair_home([first, last]);
        assert_eq!((shelf.local(), shelf.peak()), (4, 2));
        let pair = shelf.pop_pair(&table, 7).unwrap();
        let numbers = pair.map(|(index, slot)| (index.raw(), slot.lent_samples()));
        assert_eq!(numbers, [(2, 7), (3, 7)]);
        assert_eq!((shelf.local(), shelf.hits()), (2, 4));
        // A third and a fourth would be more than ever.
        assert!(shelf.pop_pair(&table, 1).is_none());
        assert_eq!(shelf.peak(), 2);
    }

    #[test]
    fn the_peak_is_the_most_in_use_at_once() {
        let (table, slots) = SlotTable::of_slots(5);
        let shelf = Shelf::for_test(5, 0);
        for &slot in &slots {
            shelf.push(table.slot(slot), slot);
        }
        let held: Vec<_> = (0..3).map(|_| shelf.pop(&table, 1).unwrap().0).collect();
        for slot in held {
            shelf.push(table.slot(slot), slot);
        }
        let (slot, _) = shelf.pop(&table, 1).unwrap();
        assert_eq!((shelf.peak(), shelf.window_peak()), (3, 3));
        shelf.forget_window_peak();
        shelf.push(table.slot(slot), slot);
        shelf.begin_window();
        let (slot, _) = shelf.pop(&table, 1).unwrap();
        assert_eq!((shelf.peak(), shelf.window_peak()), (3, 1));
        shelf.push(table.slot(slot), slot);
    }
}
