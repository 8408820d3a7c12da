//! Who is wanted: the one table that `publish` looks at before it writes anything.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.

use core::any::TypeId;
use std::sync::OnceLock;

use super::event::Event;
use crate::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Slots in a bus's table. A cell names its slot in one byte.
pub(crate) const SLOTS: usize = 256;
/// Half of the slots, so that a probe stays short.
pub(crate) const MAX_TYPES: usize = SLOTS / 2;

struct Entry {
    /// Set once, when the type is declared. The type itself, not its hash: two types never share a slot.
    key: OnceLock<TypeId>,
    /// How many subscribers the type has. Written under the bus's lock.
    wanted: AtomicU32,
    /// The slot at which the search for the type begins. Written with the key, under the bus's lock.
    home: AtomicU8,
}

/// Open addressing on `Event::ID`, exact by `TypeId`. Types are added and never removed.
pub(crate) struct Interest {
    /// Subscribers of all types whose search begins at the slot: mostly one type, and mostly none. The whole look of a
    /// publisher that nobody listens to.
    wanted_from: [AtomicU32; SLOTS],
    entries: [Entry; SLOTS],
}

impl Interest {
    pub(crate) fn new() -> Self {
        let entry = |_| Entry {
            key: OnceLock::new(),
            wanted: AtomicU32::new(0),
            home: AtomicU8::new(0),
        };
        Self {
            wanted_from: core::array::from_fn(|_| AtomicU32::new(0)),
            entries: core::array::from_fn(entry),
        }
    }

    /// The slot of `E` if anybody wants it. Wait-free: at most one probe per declared type.
    #[inline(always)]
    pub(crate) fn wanted<E: Event>(&self) -> Option<u8> {
        if self.wanted_nearby::<E>() == 0 {
            return None;
        }
        let mut slot = home(E::ID);
        loop {
            let entry = &self.entries[slot];
            let key = entry.key.get()?;
            if *key == TypeId::of::<E>() {
                // Relaxed: an answer about now; the table on the dispatching side is behind a lock of its own.
                return (entry.wanted.load(Ordering::Relaxed) > 0).then_some(slot as u8);
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    /// Not zero if `wanted` has anything to look for: the one word it looks at first.
    #[inline(always)]
    pub(crate) fn wanted_nearby<E: Event>(&self) -> u32 {
        // Relaxed: as in `wanted`, an answer about now.
        self.wanted_from[home(E::ID)].load(Ordering::Relaxed)
    }

    /// The slot of `E`, found or newly taken. The caller keeps the number of types below [`MAX_TYPES`].
    pub(crate) fn slot_or_insert<E: Event>(&self) -> u8 {
        let mut slot = home(E::ID);
        loop {
            let entry = &self.entries[slot];
            if *entry.key.get_or_init(TypeId::of::<E>) == TypeId::of::<E>() {
                // Relaxed: read under the bus's lock, like it.
                entry.home.store(home(E::ID) as u8, Ordering::Relaxed);
                return slot as u8;
            }
            slot = (slot + 1) % SLOTS;
        }
    }

    pub(crate) fn add(&self, slot: u8, subscribers: u32) {
        // Relaxed: see `wanted`.
        for count in self.counts(slot) {
            count.fetch_add(subscribers, Ordering::Relaxed);
        }
    }

    pub(crate) fn remove_one(&self, slot: u8) {
        // Relaxed: see `wanted`.
        for count in self.counts(slot) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn counts(&self, slot: u8) -> [&AtomicU32; 2] {
        let entry = &self.entries[usize::from(slot)];
        let home = entry.home.load(Ordering::Relaxed);
        [&entry.wanted, &self.wanted_from[usize::from(home)]]
    }
}

const fn home(id: u32) -> usize {
    id as usize % SLOTS
}
