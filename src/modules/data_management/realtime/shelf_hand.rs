//! The buffer at hand: the one that came home last, kept out of its shelf's list. The owner's, but for what a dead owner
//! left.
#![allow(unsafe_code)] // The addresses at hand are never null.

use core::ptr::{self, NonNull};

use super::free_list::{Chain, index_from};
use super::pool_core::OnRelease;
use super::shelf::{Kind, NO_LINE, Shelf, Taken};
use super::slot_table::{Loan, NIL, Slot, SlotIndex, SlotTable};
use crate::sync::atomic::Ordering;

/// What a hand is that holds nothing. Which buffer it knows, and whether that is there, are words of their own, so that
/// neither a take nor the return after it has to work out the one from the other.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum HandState {
    /// It knows none.
    Empty,
    /// It knows none and takes none: each buffer has to be looked at on its way home.
    Shut,
    /// The buffer it knows is out, as a `Scratch`: nobody else's goes here.
    Out,
    /// The buffer it knows was taken from here to own, and may come back, or not.
    Lent,
}

/// A hand with nothing in it: shut where samples are looked at on their way home, or where the list has to be counted first.
pub(super) fn empty_hand(on_release: OnRelease, reserve: u32) -> HandState {
    if on_release != OnRelease::Scrub && reserve == 0 {
        HandState::Empty
    } else {
        HandState::Shut
    }
}

// Relaxed throughout, as in `shelf.rs`.
impl Shelf {
    fn hand_is(&self, state: HandState) -> bool {
        !self.holds() && self.hand_state.load(Ordering::Relaxed) == state as u32
    }

    fn holds(&self) -> bool {
        self.hand_capacity.load(Ordering::Relaxed) != 0
    }

    #[inline(always)]
    fn set_hand(&self, state: HandState) {
        self.hand_state.store(state as u32, Ordering::Relaxed);
    }

    /// The buffer that the hand knows.
    #[inline(always)]
    fn known(&self) -> Option<SlotIndex> {
        index_from(self.hand.load(Ordering::Relaxed))
    }

    #[inline(always)]
    pub(super) fn knows(&self, index: SlotIndex) -> bool {
        self.hand.load(Ordering::Relaxed) == index.raw()
    }

    /// Takes the buffer at hand for a holder of `samples`, whatever these are: nothing is at hand for none, or for more than
    /// it holds.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take_from_hand(&self, kind: Kind, samples: usize) -> Option<Taken> {
        // One comparison for all: none is more than any, less one.
        if samples.wrapping_sub(1) >= self.hand_capacity.load(Ordering::Relaxed) as usize {
            return None;
        }
        // SAFETY: a hand that holds a buffer knows its index and its samples, stored before the capacity: by `take_in_hand`,
        // and kept until the buffer is back, or the hand put down.
        let index = unsafe { SlotIndex::from_raw(self.hand.load(Ordering::Relaxed)) };
        // The state before the capacity: it counts from then on.
        let count = match kind {
            Kind::Scratch => {
                self.set_hand(HandState::Out);
                self.hand_capacity.store(0, Ordering::Relaxed);
                self.scratches_at_hand.add(1)
            }
            Kind::Owned => {
                // As in `pop`: the slot says it before the hand forgets it.
                self.loan_in_hand().lend(samples as u32);
                self.set_hand(HandState::Lent);
                self.hand_capacity.store(0, Ordering::Relaxed);
                self.acquires_at_hand.add(1)
            }
        };
        let samples = self.hand_samples.load(Ordering::Relaxed);
        Some(Taken {
            index,
            // SAFETY: as above.
            samples: unsafe { NonNull::new_unchecked(samples) },
            count,
        })
    }

    /// The loan of the buffer that the hand knows.
    #[inline(always)]
    fn loan_in_hand(&self) -> &Loan {
        // SAFETY: stored before the index that is there, by `take_in_hand`: not null, of this pool's table, which moves none
        // and lives as long as this shelf; its fields are atomic.
        unsafe { &*self.hand_loan.load(Ordering::Relaxed) }
    }

    /// Takes a buffer home that its holder released here into the hand, if that is empty and open: then nothing has to be
    /// done to its samples, and it was not asked back. Its slot is at rest.
    #[inline(always)]
    pub(super) fn take_in_hand(
        &self,
        slot: Slot<'_>,
        index: SlotIndex,
        samples: NonNull<f32>,
    ) -> bool {
        let free = self.hand_is(HandState::Empty) || self.hand_is(HandState::Lent);
        if free {
            self.hand_loan
                .store(ptr::from_ref(slot.loan).cast_mut(), Ordering::Relaxed);
            self.hand.store(index.raw(), Ordering::Relaxed);
            self.hand_samples.store(samples.as_ptr(), Ordering::Relaxed);
            self.hold();
        }
        free
    }

    /// The buffer that the hand knows is here again, with the same samples: they would lie elsewhere only after their memory
    /// was carved anew, and then the hand was put down.
    #[inline(always)]
    fn hold(&self) {
        // The last: from here on it is at hand.
        self.hand_capacity.store(self.samples, Ordering::Relaxed);
    }

    /// [`take_in_hand`](Self::take_in_hand) for the buffer that was taken from there last, whose slot is known and not yet
    /// at rest. Most are.
    #[inline(always)]
    pub(super) fn take_back_in_hand(&self, index: SlotIndex) -> bool {
        // The caller has it, so that it is not here; and a hand that is put down, or shut, knows none. What it knows is not on
        // the list either: whatever comes there but from a holder finds the hand put down, and holders return it here.
        let expected = self.knows(index);
        if expected {
            self.loan_in_hand().take_back();
            self.hold();
        }
        expected
    }

    /// Takes the scratch home that was taken from the hand.
    #[inline(always)]
    pub(super) fn take_scratch_in_hand(&self, index: SlotIndex) -> bool {
        // As above; so it is the one that went out from here, and its slot was left at rest.
        let expected = self.knows(index);
        if expected {
            debug_assert!(self.loan_in_hand().is_at_rest());
            self.hold();
        }
        expected
    }

    /// Puts the buffer at hand on the list; shuts the hand if buffers that come home have to be looked at. One that is out
    /// as a `Scratch` may come back to it first.
    pub(super) fn put_down(&self, table: &SlotTable) {
        if self.hand_is(HandState::Out) {
            return;
        }
        // On the list before it leaves the hand: at every moment one of them knows it.
        if let Some(index) = self.at_hand() {
            self.push(table.slot(index), index);
        }
        self.let_go(self.nothing_at_hand());
    }

    /// [`put_down`](Self::put_down) for moments at which no `Scratch` can be alive: one that is still out was leaked, and will
    /// not come back. From then on its slot says that it is lent, like that of any other buffer that is out.
    pub(super) fn flush_cache(&self, table: &SlotTable) {
        if let Some(leaked) = self.scratch_out() {
            // The slot before the cache forgets it, as in `take_from_hand`.
            table.slot(leaked).lend(self.samples);
            self.let_go(self.nothing_at_hand());
        }
        self.put_down(table);
    }

    /// Knows none from here on.
    fn let_go(&self, state: HandState) {
        self.set_hand(state);
        self.hand_capacity.store(0, Ordering::Relaxed);
        self.hand.store(NIL, Ordering::Relaxed);
    }

    /// What the hand is when it is put down.
    fn nothing_at_hand(&self) -> HandState {
        if self.line() == NO_LINE {
            empty_hand(self.on_release, self.reserve)
        } else {
            HandState::Shut
        }
    }

    /// Whether the hand is shut, and need not be any more.
    #[inline(always)]
    pub(super) fn hand_should_open(&self) -> bool {
        self.hand_is(HandState::Shut) && self.nothing_at_hand() == HandState::Empty
    }

    /// Forgets what a dead owner had at hand, or out as a `Scratch` that came from there: the buffer, and whether it was
    /// out. For the control half, which may find it on the list all the same.
    pub(crate) fn forget_hand(&self) -> Option<(SlotIndex, bool)> {
        let out = self.hand_is(HandState::Out);
        let known = self.known().filter(|_| out || self.holds());
        self.let_go(self.nothing_at_hand());
        known.map(|index| (index, out))
    }

    /// The buffer at hand. For others than the owner a racing answer, like all figures.
    pub(super) fn at_hand(&self) -> Option<SlotIndex> {
        self.known().filter(|_| self.holds())
    }

    /// [`at_hand`](Self::at_hand) as a list, to be looked at while the owner rests.
    pub(crate) fn peek_hand(&self) -> Chain {
        self.at_hand().map_or(Chain::EMPTY, |index| Chain {
            first: index.raw(),
            length: 1,
            fresh: 0,
        })
    }

    /// The buffer that is out as a `Scratch` and expected back at hand.
    pub(crate) fn scratch_out(&self) -> Option<SlotIndex> {
        self.known().filter(|_| self.hand_is(HandState::Out))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::modules::data_management::realtime::pool_core::Pinned;

    #[test]
    fn the_hand_keeps_the_buffer_that_came_home_last() {
        let (table, slots) = SlotTable::of_slots(3);
        let shelf = Shelf::for_test(3, 0);
        shelf.push(table.slot(slots[0]), slots[0]);
        let samples = NonNull::dangling();
        assert!(shelf.take_in_hand(table.slot(slots[1]), slots[1], samples));
        assert!(!shelf.take_in_hand(table.slot(slots[2]), slots[2], samples));
        assert_eq!((shelf.local(), shelf.returned_here()), (2, 2));
        let scratch = shelf.take(Kind::Scratch, 1).unwrap();
        assert_eq!((scratch.index, shelf.local()), (slots[1], 1));
        // Out, and expected back: nobody else's buffer goes there, and putting down changes nothing.
        assert!(!shelf.take_in_hand(table.slot(slots[2]), slots[2], samples));
        shelf.put_down(&table);
        assert!(!shelf.take_scratch_in_hand(slots[2]));
        assert_eq!(shelf.scratch_out(), Some(slots[1]));
        assert!(shelf.take_scratch_in_hand(slots[1]));
        assert_eq!(
            (shelf.local(), shelf.returned_here(), shelf.hits()),
            (2, 3, 1)
        );
        assert_eq!(shelf.untold(), (1, 3));
        // Put down, it is the first on the list.
        shelf.put_down(&table);
        assert_eq!((shelf.local(), shelf.returned_here()), (2, 3));
        assert_eq!(shelf.pop(&table, 1).unwrap().0, slots[1]);
    }

    #[test]
    fn what_came_to_the_list_is_not_known_to_the_hand() {
        let (table, slots) = SlotTable::of_slots(1);
        let (slot, samples) = (table.slot(slots[0]), NonNull::dangling());
        let shelf = Shelf::for_test(1, 0);
        assert!(shelf.take_in_hand(slot, slots[0], samples));
        assert!(shelf.take_from_hand(Kind::Owned, 100).is_some());
        shelf.shared.inbox.push(slot.loan, slots[0]).unwrap();
        assert_eq!(shelf.refill(&table), 1);
        assert!(shelf.pop(&table, 100).is_some());
        // It is lent, and comes home as what the list gave.
        assert!(!shelf.take_scratch_in_hand(slots[0]));
        assert!(!shelf.take_back_in_hand(slots[0]));
    }

    #[test]
    fn nothing_is_at_hand_for_no_samples_or_too_many() {
        let (table, slots) = SlotTable::of_slots(1);
        let shelf = Shelf::for_test(1, 0);
        assert!(shelf.take_from_hand(Kind::Scratch, 1).is_none());
        assert!(shelf.take_in_hand(table.slot(slots[0]), slots[0], NonNull::dangling()));
        for samples in [0, shelf.samples as usize + 1, usize::MAX] {
            assert!(
                shelf.take_from_hand(Kind::Scratch, samples).is_none(),
                "{samples}"
            );
        }
        assert!(shelf.take_from_hand(Kind::Scratch, 256).is_some());
    }

    #[test]
    fn a_shut_hand_takes_nothing() {
        let (table, slots) = SlotTable::of_slots(1);
        let samples = NonNull::dangling();
        let core = Pinned::for_test();
        let scrubbed = Shelf::new(core, OnRelease::Scrub, (0, 0), 256, 0);
        assert!(!scrubbed.take_in_hand(table.slot(slots[0]), slots[0], samples));
        let asked_back = Shelf::new(core, OnRelease::Leave, (0, 0), 256, 0);
        asked_back.set_line(0);
        asked_back.put_down(&table);
        assert!(!asked_back.take_in_hand(table.slot(slots[0]), slots[0], samples));
        asked_back.set_line(NO_LINE);
        asked_back.put_down(&table);
        assert!(asked_back.take_in_hand(table.slot(slots[0]), slots[0], samples));
    }

    #[test]
    fn a_hand_that_is_shut_stays_shut_when_its_owner_dies() {
        let (table, slots) = SlotTable::of_slots(1);
        let take = |shelf: &Shelf| {
            assert_eq!(shelf.forget_hand(), None);
            shelf.take_in_hand(table.slot(slots[0]), slots[0], NonNull::dangling())
        };
        let scrubbed = Shelf::new(Pinned::for_test(), OnRelease::Scrub, (0, 0), 256, 0);
        assert!(!take(&scrubbed) && !take(&Shelf::for_test(1, 1)));
        assert!(take(&Shelf::for_test(1, 0)));
    }

    #[test]
    fn a_class_with_a_reserve_has_no_hand() {
        let (table, slots) = SlotTable::of_slots(1);
        let shelf = Shelf::for_test(1, 1);
        assert!(!shelf.take_in_hand(table.slot(slots[0]), slots[0], NonNull::dangling()));
        shelf.put_down(&table);
        assert!(!shelf.take_in_hand(table.slot(slots[0]), slots[0], NonNull::dangling()));
    }
}
