//! What the host lends to other threads, by numbers that are checked at every use. See
//! `docs/decisions/0032-values-for-other-threads-have-checked-numbers.md`.
//!
//! A number is `[generation: 24][slot: 6]`: 30 bits, so that JavaScript keeps it without allocating, and never 0. A slot's
//! word is `[generation: 24][state: 2]`:
//!
//! ```text
//! FREE ── lend ──▶ OPEN ◀── enter, end of it ──▶ INSIDE
//!   ▲               │ leave                         │ its thread died
//!   ├── take_back ──┤                               │
//!   │               ▼                               │
//!   ├── take_back ─ LEFT                            │
//!   └── take_broken ────────────────────────────────┘
//! ```
//!
//! A thread that calls with a number of an earlier generation, or a made-up one, is refused; so is one whose value was taken
//! back meanwhile. That is why [`Slots::take_back`] needs nobody's word that the thread has stopped: either the thread is
//! inside, and the value is not given back, or it never gets in again. Only what a thread left in the middle, which looks
//! like one that is still at work, needs that word: [`Slots::take_broken`].
#![allow(unsafe_code)] // One thread at a time gets a lent value by its number.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr;

use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};
use crate::sync::orderings::{
    SLOT_CLAIM, SLOT_ENTER, SLOT_EXIT, SLOT_HAS_LEFT, SLOT_LEAVE, SLOT_OPEN, SLOT_TAKE,
};

const SLOT_BITS: u32 = 6;
/// Values of one kind that can be lent at once: more than there can be halves or holders.
pub(crate) const MOST_LENT: usize = 1 << SLOT_BITS;
const STATE_BITS: u32 = 2;
const GENERATIONS: u32 = 1 << 24;

const FREE: u32 = 0;
const OPEN: u32 = 1;
const INSIDE: u32 = 2;
const LEFT: u32 = 3;

struct Slot<T> {
    word: AtomicU32,
    /// Written while the slot is being lent, when nobody else can reach it.
    value: AtomicPtr<T>,
}

/// A table of lent values of one kind. Slots are never freed, so that any number can be looked up at any time.
pub(crate) struct Slots<T> {
    slots: [Slot<T>; MOST_LENT],
    /// The values are the table's to hand out.
    owns: PhantomData<fn() -> T>,
}

impl<T: Send> Slots<T> {
    #[cfg(not(loom))]
    pub(crate) const fn new() -> Self {
        Self {
            slots: [const {
                Slot {
                    word: AtomicU32::new(FREE),
                    value: AtomicPtr::new(ptr::null_mut()),
                }
            }; MOST_LENT],
            owns: PhantomData,
        }
    }

    #[cfg(loom)]
    pub(crate) fn new() -> Self {
        Self {
            slots: core::array::from_fn(|_| Slot {
                word: AtomicU32::new(FREE),
                value: AtomicPtr::new(ptr::null_mut()),
            }),
            owns: PhantomData,
        }
    }

    /// Lends a value; returns its number, or the value when all slots are in use.
    pub(crate) fn lend(&self, value: Box<T>) -> Result<u32, Box<T>> {
        for (index, slot) in self.slots.iter().enumerate() {
            // Relaxed: the exchange below looks again.
            let word = slot.word.load(Ordering::Relaxed);
            let generation = next(word >> STATE_BITS);
            let taken = word_of(generation, INSIDE);
            let free = word & STATE_MASK == FREE
                && slot
                    .word
                    .compare_exchange(word, taken, SLOT_CLAIM, Ordering::Relaxed)
                    .is_ok();
            if !free {
                continue;
            }
            // Relaxed: published by the store that follows.
            slot.value.store(Box::into_raw(value), Ordering::Relaxed);
            slot.word.store(word_of(generation, OPEN), SLOT_OPEN);
            return Ok(generation << SLOT_BITS | index as u32);
        }
        Err(value)
    }

    /// The value of this number, for as long as the guard lives; none if it is not lent, or somebody has it at this moment.
    ///
    /// # Real-time
    /// Wait-free: one exchange here, one store at the end.
    #[inline]
    pub(crate) fn enter(&self, number: u32) -> Option<Inside<'_, T>> {
        let (slot, generation) = self.find(number)?;
        let (open, inside) = (word_of(generation, OPEN), word_of(generation, INSIDE));
        slot.word
            .compare_exchange(open, inside, SLOT_ENTER, Ordering::Relaxed)
            .ok()?;
        Some(Inside {
            word: &slot.word,
            open,
            // Relaxed: ordered by the exchange.
            value: slot.value.load(Ordering::Relaxed),
            lent: PhantomData,
        })
    }

    /// The thread says that it will not enter again. Nothing happens for a number that is not lent, or while somebody is
    /// inside.
    pub(crate) fn leave(&self, number: u32) {
        if let Some((slot, generation)) = self.find(number) {
            let _ = slot.word.compare_exchange(
                word_of(generation, OPEN),
                word_of(generation, LEFT),
                SLOT_LEAVE,
                Ordering::Relaxed,
            );
        }
    }

    /// Whether the value is lent and its thread has said that it will not enter again.
    pub(crate) fn has_left(&self, number: u32) -> bool {
        self.find(number).is_some_and(|(slot, generation)| {
            slot.word.load(SLOT_HAS_LEFT) == word_of(generation, LEFT)
        })
    }

    /// Ends the loan, unless somebody is inside: the number is stale from now on, and the value is whole.
    pub(crate) fn take_back(&self, number: u32) -> Option<Box<T>> {
        let (slot, generation) = self.find(number)?;
        // Not `INSIDE`: a thread there may still run.
        let states: &[u32] = if cfg!(wavepool_mutant = "slot_taken_while_inside") {
            &[OPEN, LEFT, INSIDE]
        } else {
            &[OPEN, LEFT]
        };
        let value = states
            .iter()
            .find_map(|&state| Self::take(slot, generation, state))?;
        // SAFETY: `take` saw it lent and nobody inside, and nobody gets in any more.
        Some(unsafe { Box::from_raw(value) })
    }

    /// Ends the loan of a value whose thread ended while it was inside: the value is in the middle of a change. None if
    /// nobody is inside.
    ///
    /// # Safety
    /// The thread that is inside does not run any more.
    pub(crate) unsafe fn take_broken(&self, number: u32) -> Option<Box<T>> {
        let (slot, generation) = self.find(number)?;
        let value = Self::take(slot, generation, INSIDE)?;
        // SAFETY: the one that was inside is gone, says the caller, and nobody gets in any more.
        Some(unsafe { Box::from_raw(value) })
    }

    fn take(slot: &Slot<T>, generation: u32, state: u32) -> Option<*mut T> {
        // Relaxed: read before the slot is free for the next `lend`, which writes it. Ordered by the exchange.
        let value = slot.value.load(Ordering::Relaxed);
        slot.word
            .compare_exchange(
                word_of(generation, state),
                word_of(generation, FREE),
                SLOT_TAKE,
                Ordering::Relaxed,
            )
            .is_ok()
            .then_some(value)
    }

    fn find(&self, number: u32) -> Option<(&Slot<T>, u32)> {
        let generation = number >> SLOT_BITS;
        let slot = &self.slots[number as usize % MOST_LENT];
        (generation > 0 && generation < GENERATIONS).then_some((slot, generation))
    }
}

const STATE_MASK: u32 = (1 << STATE_BITS) - 1;

const fn word_of(generation: u32, state: u32) -> u32 {
    generation << STATE_BITS | state
}

/// Never 0; a number meets its own generation again after 2^24 loans of one slot.
const fn next(generation: u32) -> u32 {
    generation % (GENERATIONS - 1) + 1
}

/// Exclusive use of a lent value.
pub(crate) struct Inside<'slots, T> {
    word: &'slots AtomicU32,
    open: u32,
    value: *mut T,
    lent: PhantomData<&'slots mut T>,
}

impl<T> Deref for Inside<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: from `Box::into_raw`; not freed while the slot is `INSIDE`, which it is until this guard is dropped; the
        // one guard there is gives out references to it.
        unsafe { &*self.value }
    }
}

impl<T> DerefMut for Inside<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, borrowed exclusively.
        unsafe { &mut *self.value }
    }
}

impl<T> Drop for Inside<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.word.store(self.open, SLOT_EXIT);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn stale_and_forged_slot_numbers_are_refused() {
        let slots = Slots::new();
        let first = slots.lend(Box::new(1)).unwrap();
        let second = slots.lend(Box::new(2)).unwrap();
        assert!(first < 1 << 30 && second < 1 << 30 && first != second);
        *slots.enter(second).unwrap() += 1;
        assert_eq!(slots.take_back(second).as_deref(), Some(&3));
        let third = slots.lend(Box::new(4)).unwrap();
        assert_eq!(third % MOST_LENT as u32, second % MOST_LENT as u32);
        assert!(slots.enter(second).is_none() && slots.take_back(second).is_none());
        let mut state = 0x9e37_79b9_u32;
        for forged in (0..100_000).map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state
        }) {
            let live = [first, third].contains(&forged);
            assert_eq!(slots.enter(forged).is_some(), live, "{forged:#x}");
        }
        for limit in [0, 1, 63, 64, u32::MAX, 1 << 30, first | 1 << 31] {
            let live = [first, third].contains(&limit);
            assert_eq!(slots.enter(limit).is_some(), live, "{limit:#x}");
        }
        assert_eq!(
            [first, third].map(|number| slots.take_back(number).map(|value| *value)),
            [Some(1), Some(4)]
        );
    }

    #[test]
    fn slot_value_is_not_taken_while_a_thread_is_inside() {
        let slots = Slots::new();
        let number = slots.lend(Box::new(1)).unwrap();
        let inside = slots.enter(number).unwrap();
        assert!(slots.enter(number).is_none(), "one at a time");
        slots.leave(number);
        assert!(!slots.has_left(number) && slots.take_back(number).is_none());
        // It died there.
        core::mem::forget(inside);
        assert!(slots.take_back(number).is_none());
        // SAFETY: forgotten above.
        assert_eq!(unsafe { slots.take_broken(number) }.as_deref(), Some(&1));
        // SAFETY: nobody is inside.
        assert!(unsafe { slots.take_broken(number) }.is_none());
    }

    #[test]
    fn slot_is_closed_after_its_thread_left() {
        let slots = Slots::new();
        let number = slots.lend(Box::new(1)).unwrap();
        assert!(!slots.has_left(number));
        slots.leave(number);
        assert!(slots.has_left(number) && slots.enter(number).is_none());
        // SAFETY: nobody is inside.
        assert!(unsafe { slots.take_broken(number) }.is_none());
        assert_eq!(slots.take_back(number).as_deref(), Some(&1));
        assert!(!slots.has_left(number));
    }

    #[test]
    fn slot_table_full_returns_the_value_and_generations_wrap() {
        let slots = Slots::new();
        let numbers: Vec<_> = (0..MOST_LENT)
            .map(|n| slots.lend(Box::new(n)).unwrap())
            .collect();
        assert_eq!(slots.lend(Box::new(99)).unwrap_err(), Box::new(99));
        for (n, number) in numbers.into_iter().enumerate() {
            assert_eq!(slots.take_back(number).as_deref(), Some(&n));
        }
        assert_eq!(
            (next(GENERATIONS - 2), next(GENERATIONS - 1)),
            (GENERATIONS - 1, 1)
        );
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::thread;

    use super::*;

    /// Loom notices two looks at it that are not ordered, and the end while somebody looks.
    struct Watched(UnsafeCell<u32>);

    // SAFETY: loom checks who looks when.
    unsafe impl Send for Watched {}

    impl Drop for Watched {
        fn drop(&mut self) {
            self.0.with_mut(|_| ());
        }
    }

    fn work(slots: &Slots<Watched>, number: u32) {
        if let Some(inside) = slots.enter(number) {
            // SAFETY: exclusive, or the model fails.
            inside.0.with_mut(|value| unsafe { *value += 1 });
        }
    }

    #[test]
    fn loom_slot_value_is_taken_between_two_stays_or_not_at_all() {
        loom::model(|| {
            let slots = Arc::new(Slots::new());
            let lend = || slots.lend(Box::new(Watched(UnsafeCell::new(0))));
            let number = lend().unwrap_or_else(|_| unreachable!());
            let thread = thread::spawn({
                let slots = slots.clone();
                move || {
                    work(&slots, number);
                    work(&slots, number);
                    slots.leave(number);
                }
            });
            let first = slots.take_back(number);
            let taken = first.is_some();
            drop(first);
            // The slot's next value is nobody's but the next thread's.
            let next = taken.then(|| lend().unwrap_or_else(|_| unreachable!()));
            thread.join().unwrap();
            match next {
                Some(next) => assert!(slots.take_back(next).is_some()),
                None => {
                    assert!(slots.has_left(number));
                    assert!(slots.take_back(number).is_some());
                }
            }
        });
    }
}
