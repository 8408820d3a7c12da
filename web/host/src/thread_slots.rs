//! Values that the host shares with other threads by numbers that are checked at every use (`docs/decisions/0032-values-for-other-threads-have-checked-numbers.md`).
//!
//! A number is `[generation: 24][slot: 6]`: 30 bits, so that JavaScript keeps it without allocating, and never 0. A
//! slot's word is `[generation: 24][state: 2]`:
//!
//! ```text
//! FREE ── insert ──▶ OPEN ◀── enter, drop of the guard ──▶ INSIDE
//!  ▲                  │ close                                │ its thread died
//!  ├── remove ────────┤                                      │
//!  │                  ▼                                      │
//!  ├── remove ───── CLOSED                                   │
//!  └── remove_broken ────────────────────────────────────────┘
//! ```
//!
//! A number of an earlier generation, a forged one, and one whose value was removed are all refused. That is why
//! [`Slots::remove`] does not depend on the thread having stopped: either the thread is inside, and the value stays,
//! or it never enters again. A thread that died inside looks like one that is still at work, and only the host can
//! tell: [`Slots::remove_broken`].
#![allow(unsafe_code)] // One thread at a time uses a value by its number.

use core::marker::PhantomData;
use core::ops::{Deref, DerefMut};
use core::ptr;

use crate::orderings::{
    SLOT_CLAIM, SLOT_CLOSE, SLOT_ENTER, SLOT_EXIT, SLOT_IS_CLOSED, SLOT_OPEN, SLOT_TAKE,
};
use crate::sync::atomic::{AtomicPtr, AtomicU32, Ordering};

const SLOT_BITS: u32 = 6;
/// Values of one kind at once: more than there can be halves or participants.
pub(crate) const CAPACITY: usize = 1 << SLOT_BITS;
const STATE_BITS: u32 = 2;
const GENERATIONS: u32 = 1 << 24;

const FREE: u32 = 0;
const OPEN: u32 = 1;
const INSIDE: u32 = 2;
const CLOSED: u32 = 3;

struct Slot<T> {
    word: AtomicU32,
    /// Stored while the slot is being filled, when no other thread can reach it.
    value: AtomicPtr<T>,
}

/// A table of values of one kind. Slots are never freed, so that any number can be looked up at any time.
pub(crate) struct Slots<T> {
    slots: [Slot<T>; CAPACITY],
    /// The table owns the values.
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
            }; CAPACITY],
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

    /// Inserts a value; returns its number, or the value when all slots are in use.
    pub(crate) fn insert(&self, value: Box<T>) -> Result<u32, Box<T>> {
        for (index, slot) in self.slots.iter().enumerate() {
            // Relaxed: the exchange below reads again.
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

    /// The value of this number, for as long as the guard lives. None if there is no such value, or another thread is
    /// inside.
    ///
    /// # Real-time
    /// Wait-free: one exchange here, one store at the end.
    #[inline]
    pub(crate) fn enter(&self, number: u32) -> Option<SlotGuard<'_, T>> {
        let (slot, generation) = self.find(number)?;
        let (open, inside) = (word_of(generation, OPEN), word_of(generation, INSIDE));
        slot.word
            .compare_exchange(open, inside, SLOT_ENTER, Ordering::Relaxed)
            .ok()?;
        Some(SlotGuard {
            word: &slot.word,
            open,
            // Relaxed: ordered by the exchange.
            value: slot.value.load(Ordering::Relaxed),
            borrowed: PhantomData,
        })
    }

    /// Called by the thread when it will not enter again. Does nothing for a number without a value, or while a thread
    /// is inside.
    pub(crate) fn close(&self, number: u32) {
        if let Some((slot, generation)) = self.find(number) {
            let _ = slot.word.compare_exchange(
                word_of(generation, OPEN),
                word_of(generation, CLOSED),
                SLOT_CLOSE,
                Ordering::Relaxed,
            );
        }
    }

    /// Whether there is a value and its thread has closed the slot.
    pub(crate) fn is_closed(&self, number: u32) -> bool {
        self.find(number).is_some_and(|(slot, generation)| {
            slot.word.load(SLOT_IS_CLOSED) == word_of(generation, CLOSED)
        })
    }

    /// Removes the value, unless a thread is inside: the number is stale from now on.
    pub(crate) fn remove(&self, number: u32) -> Option<Box<T>> {
        let (slot, generation) = self.find(number)?;
        // Not `INSIDE`: a thread there may still run.
        let states: &[u32] = if cfg!(wavepool_mutant = "slot_taken_while_inside") {
            &[OPEN, CLOSED, INSIDE]
        } else {
            &[OPEN, CLOSED]
        };
        let value = states
            .iter()
            .find_map(|&state| Self::take(slot, generation, state))?;
        // SAFETY: `take` saw that no thread is inside, and none enters any more.
        Some(unsafe { Box::from_raw(value) })
    }

    /// Removes a value whose thread died inside: it may be half changed. None if no thread is inside.
    ///
    /// # Safety
    /// The thread that is inside does not run any more.
    pub(crate) unsafe fn remove_broken(&self, number: u32) -> Option<Box<T>> {
        let (slot, generation) = self.find(number)?;
        let value = Self::take(slot, generation, INSIDE)?;
        // SAFETY: the thread inside is dead by the function's contract, and none enters any more.
        Some(unsafe { Box::from_raw(value) })
    }

    fn take(slot: &Slot<T>, generation: u32, state: u32) -> Option<*mut T> {
        // Relaxed: read before the slot is free for the next `insert`, which stores it. Ordered by the exchange.
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
        let slot = &self.slots[number as usize % CAPACITY];
        (generation > 0 && generation < GENERATIONS).then_some((slot, generation))
    }
}

const STATE_MASK: u32 = (1 << STATE_BITS) - 1;

const fn word_of(generation: u32, state: u32) -> u32 {
    generation << STATE_BITS | state
}

/// Never 0; a number meets its own generation again after 2^24 uses of one slot.
const fn next(generation: u32) -> u32 {
    generation % (GENERATIONS - 1) + 1
}

/// Exclusive use of a value.
pub(crate) struct SlotGuard<'slots, T> {
    word: &'slots AtomicU32,
    open: u32,
    value: *mut T,
    borrowed: PhantomData<&'slots mut T>,
}

impl<T> Deref for SlotGuard<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: from `Box::into_raw`; not freed while the slot is `INSIDE`, which it is until this guard is dropped.
        // There is one guard.
        unsafe { &*self.value }
    }
}

impl<T> DerefMut for SlotGuard<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above, borrowed exclusively.
        unsafe { &mut *self.value }
    }
}

impl<T> Drop for SlotGuard<'_, T> {
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
        let first = slots.insert(Box::new(1)).unwrap();
        let second = slots.insert(Box::new(2)).unwrap();
        assert!(first < 1 << 30 && second < 1 << 30 && first != second);
        *slots.enter(second).unwrap() += 1;
        assert_eq!(slots.remove(second).as_deref(), Some(&3));
        let third = slots.insert(Box::new(4)).unwrap();
        assert_eq!(third % CAPACITY as u32, second % CAPACITY as u32);
        assert!(slots.enter(second).is_none() && slots.remove(second).is_none());
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
            [first, third].map(|number| slots.remove(number).map(|value| *value)),
            [Some(1), Some(4)]
        );
    }

    #[test]
    fn slot_value_is_not_taken_while_a_thread_is_inside() {
        let slots = Slots::new();
        let number = slots.insert(Box::new(1)).unwrap();
        let inside = slots.enter(number).unwrap();
        assert!(slots.enter(number).is_none(), "one at a time");
        slots.close(number);
        assert!(!slots.is_closed(number) && slots.remove(number).is_none());
        // It died there.
        core::mem::forget(inside);
        assert!(slots.remove(number).is_none());
        // SAFETY: forgotten above.
        assert_eq!(unsafe { slots.remove_broken(number) }.as_deref(), Some(&1));
        // SAFETY: nobody is inside.
        assert!(unsafe { slots.remove_broken(number) }.is_none());
    }

    #[test]
    fn slot_is_closed_after_its_thread_left() {
        let slots = Slots::new();
        let number = slots.insert(Box::new(1)).unwrap();
        assert!(!slots.is_closed(number));
        slots.close(number);
        assert!(slots.is_closed(number) && slots.enter(number).is_none());
        // SAFETY: nobody is inside.
        assert!(unsafe { slots.remove_broken(number) }.is_none());
        assert_eq!(slots.remove(number).as_deref(), Some(&1));
        assert!(!slots.is_closed(number));
    }

    #[test]
    fn slot_table_full_returns_the_value_and_generations_wrap() {
        let slots = Slots::new();
        let numbers: Vec<_> = (0..CAPACITY)
            .map(|n| slots.insert(Box::new(n)).unwrap())
            .collect();
        assert_eq!(slots.insert(Box::new(99)).unwrap_err(), Box::new(99));
        for (n, number) in numbers.into_iter().enumerate() {
            assert_eq!(slots.remove(number).as_deref(), Some(&n));
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
            let insert = || slots.insert(Box::new(Watched(UnsafeCell::new(0))));
            let number = insert().unwrap_or_else(|_| unreachable!());
            let thread = thread::spawn({
                let slots = slots.clone();
                move || {
                    work(&slots, number);
                    work(&slots, number);
                    slots.close(number);
                }
            });
            let first = slots.remove(number);
            let taken = first.is_some();
            drop(first);
            // The slot's next value is nobody's but the next thread's.
            let next = taken.then(|| insert().unwrap_or_else(|_| unreachable!()));
            thread.join().unwrap();
            match next {
                Some(next) => assert!(slots.remove(next).is_some()),
                None => {
                    assert!(slots.is_closed(number));
                    assert!(slots.remove(number).is_some());
                }
            }
        });
    }
}
