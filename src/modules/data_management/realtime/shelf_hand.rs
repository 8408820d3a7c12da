//! The buffer at hand: the one that came home last, kept out of its shelf's list. The owner's, but for what a dead owner
//! left.
#![allow(unsafe_code)] // The addresses at hand are never null.

use core::ptr::{self, NonNull};

use super::free_list::{Chain, index_from};
use super::pool_core::OnRelease;
use super::shelf::{Kind, NO_LINE, Shelf, Taken};
use super::slot_table::{NIL, Slot, SlotIndex, SlotTable};
use crate::sync::atomic::Ordering;

/// A hand that takes nothing: each buffer has to be looked at on its way home.
const SHUT: u32 = NIL + 1;
/// On the index in a hand: its buffer is out, as a `Scratch`.
const OUT: u32 = 1 << 31;
/// On the index in a hand that is empty: its buffer was taken from here to own, and may come back, or not.
const LENT: u32 = 1 << 30;

/// A hand with nothing in it: shut where samples are looked at on their way home, or where the list has to be counted first.
pub(super) fn empty_hand(on_release: OnRelease, reserve: u32) -> u32 {
    if on_release != OnRelease::Scrub && reserve == 0 {
        NIL
    } else {
        SHUT
    }
}

// Relaxed throughout, as in `shelf.rs`.
impl Shelf {
    /// Takes the buffer at hand for a holder of `samples`.
    #[inline(always)] // See `RealtimePool::scratch`.
    pub(super) fn take_from_hand(&self, kind: Kind, samples: u32) -> Option<Taken> {
        let index = index_from(self.hand.load(Ordering::Relaxed))?;
        let count = match kind {
            Kind::Scratch => {
                self.hand.store(index.raw() | OUT, Ordering::Relaxed);
                self.scratches_at_hand.add(1)
            }
            Kind::Owned => {
                // As in `pop`: the slot says it before the hand forgets it.
                self.slot_in_hand().lend(samples);
                self.hand.store(index.raw() | LENT, Ordering::Relaxed);
                self.acquires_at_hand.add(1)
            }
        };
        let samples = self.hand_samples.load(Ordering::Relaxed);
        Some(Taken {
            index,
            // SAFETY: stored before the index that was there, by `take_in_hand`.
            samples: unsafe { NonNull::new_unchecked(samples) },
            count,
        })
    }

    /// The slot of the buffer whose index the hand has.
    #[inline(always)]
    fn slot_in_hand(&self) -> &Slot {
        // SAFETY: stored before the index that is there, by `take_in_hand`: not null, a slot of this pool's table, which
        // moves none and lives as long as this shelf; its fields are atomic.
        unsafe { &*self.hand_slot.load(Ordering::Relaxed) }
    }

    /// Takes a buffer home that its holder released here into the hand, if that is empty and open: then nothing has to be
    /// done to its samples, and it was not asked back. Its slot is at rest.
    #[inline(always)]
    pub(super) fn take_in_hand(
        &self,
        slot: &Slot,
        index: SlotIndex,
        samples: NonNull<f32>,
    ) -> bool {
        let hand = self.hand.load(Ordering::Relaxed);
        let free = hand == NIL || hand & LENT != 0;
        if free {
            self.hand_slot
                .store(ptr::from_ref(slot).cast_mut(), Ordering::Relaxed);
            self.hand_samples.store(samples.as_ptr(), Ordering::Relaxed);
            self.hand.store(index.raw(), Ordering::Relaxed);
        }
        free
    }

    /// [`take_in_hand`](Self::take_in_hand) for the buffer that was taken from there last, whose slot is known and not yet
    /// at rest. Most are.
    #[inline(always)]
    pub(super) fn take_back_in_hand(&self, index: SlotIndex, samples: NonNull<f32>) -> bool {
        let expected = self.hand.load(Ordering::Relaxed) == index.raw() | LENT;
        if expected {
            self.slot_in_hand().take_back();
            // Between the two the memory of the slot can have been given back and carved elsewhere.
            self.hand_samples.store(samples.as_ptr(), Ordering::Relaxed);
            self.hand.store(index.raw(), Ordering::Relaxed);
        }
        expected
    }

    /// Takes the scratch home that was taken from the hand.
    #[inline(always)]
    pub(super) fn take_scratch_in_hand(&self, index: SlotIndex) -> bool {
        let expected = self.hand.load(Ordering::Relaxed) == index.raw() | OUT;
        if expected {
            self.hand.store(index.raw(), Ordering::Relaxed);
        }
        expected
    }

    /// Puts the buffer at hand on the list; shuts the hand if buffers that come home have to be looked at. One that is out
    /// as a `Scratch` may come back to it first.
    pub(super) fn put_down(&self, table: &SlotTable) {
        let at_hand = self.at_hand();
        if at_hand.is_none() && self.hand.load(Ordering::Relaxed) & OUT != 0 {
            return;
        }
        // On the list before it leaves the hand: at every moment one of them knows it.
        if let Some(index) = at_hand {
            self.push(table.slot(index), index);
        }
        self.hand.store(self.nothing_at_hand(), Ordering::Relaxed);
    }

    /// What the hand is when it is put down.
    fn nothing_at_hand(&self) -> u32 {
        if self.line() == NO_LINE {
            empty_hand(self.on_release, self.reserve)
        } else {
            SHUT
        }
    }

    /// Whether the hand is shut, and need not be any more.
    #[inline(always)]
    pub(super) fn hand_should_open(&self) -> bool {
        self.hand.load(Ordering::Relaxed) == SHUT && self.nothing_at_hand() == NIL
    }

    /// Forgets what a dead owner had at hand, or out as a `Scratch` that came from there; answers whether it was out. For
    /// the control half, which finds the slot on no list.
    pub(crate) fn forget_hand(&self) -> bool {
        let out = self.scratch_out().is_some();
        if out || self.at_hand().is_some() {
            self.returns.add(1);
        }
        self.hand.store(NIL, Ordering::Relaxed);
        out
    }

    /// The buffer at hand. For others than the owner a racing answer, like all figures.
    pub(super) fn at_hand(&self) -> Option<SlotIndex> {
        index_from(self.hand.load(Ordering::Relaxed))
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
        let hand = self.hand.load(Ordering::Relaxed);
        index_from(hand & !OUT).filter(|_| hand & OUT != 0)
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
        let core = Pinned::for_test();
        let shelf = Shelf::for_test(3, 0);
        shelf.push(table.slot(slots[0]), slots[0]);
        let samples = NonNull::dangling();
        assert!(shelf.take_in_hand(table.slot(slots[1]), slots[1], samples));
        assert!(!shelf.take_in_hand(table.slot(slots[2]), slots[2], samples));
        assert_eq!((shelf.local(), shelf.returned_here()), (2, 2));
        let scratch = shelf.take(core, Kind::Scratch, 1).unwrap();
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
    fn a_class_with_a_reserve_has_no_hand() {
        let (table, slots) = SlotTable::of_slots(1);
        let shelf = Shelf::for_test(1, 1);
        assert!(!shelf.take_in_hand(table.slot(slots[0]), slots[0], NonNull::dangling()));
        shelf.put_down(&table);
        assert!(!shelf.take_in_hand(table.slot(slots[0]), slots[0], NonNull::dangling()));
    }
}
