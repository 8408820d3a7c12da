//! The declared event types, and how many subscribers each has: the table that `publish` reads before it writes anything.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.

use core::any::TypeId;
use std::sync::OnceLock;

use super::event::Event;
use crate::sync::atomic::{AtomicU8, AtomicU32, Ordering};

/// Slots in a bus's table. A cell names its slot in one byte.
pub(crate) const SLOTS: usize = 256;
/// Half of the slots, so that probes stay short.
pub(crate) const MAX_TYPES: usize = SLOTS / 2;

struct Slot {
    /// Set once, when the type is declared. The key is the type itself and not its hash: two types never share a slot.
    key: OnceLock<TypeId>,
    /// Number of subscribers of the type. Written under the bus's lock.
    subscribers: AtomicU32,
    /// The slot at which the probe for the type begins. Written with the key, under the bus's lock.
    bucket: AtomicU8,
}

/// A hash table with open addressing: hashed by `Event::ID`, compared by `TypeId`. Types are added and never removed.
pub(crate) struct TypeTable {
    /// Subscribers of all types whose probe begins at the slot: of one type mostly, and mostly 0. A publisher whose events
    /// have no subscriber reads this one word and nothing else.
    bucket_subscribers: [AtomicU32; SLOTS],
    slots: [Slot; SLOTS],
}

impl TypeTable {
    pub(crate) fn new() -> Self {
        let slot = |_| Slot {
            key: OnceLock::new(),
            subscribers: AtomicU32::new(0),
            bucket: AtomicU8::new(0),
        };
        Self {
            bucket_subscribers: core::array::from_fn(|_| AtomicU32::new(0)),
            slots: core::array::from_fn(slot),
        }
    }

    /// The slot of `E` if the type has subscribers. Wait-free: at most one probe per declared type.
    #[inline(always)]
    pub(crate) fn subscribed_slot<E: Event>(&self) -> Option<u8> {
        if self.bucket_subscribers::<E>() == 0 {
            return None;
        }
        let mut index = bucket(E::ID);
        loop {
            let slot = &self.slots[index];
            let key = slot.key.get()?;
            if *key == TypeId::of::<E>() {
                // Relaxed: the number may be stale by the time it is used; the dispatching side looks the subscribers up
                // behind a lock of its own.
                return (slot.subscribers.load(Ordering::Relaxed) > 0).then_some(index as u8);
            }
            index = (index + 1) % SLOTS;
        }
    }

    /// Zero if `E` has no subscribers; otherwise [`subscribed_slot`](Self::subscribed_slot) has to probe, since types that
    /// hash to the same bucket share this number.
    #[inline(always)]
    pub(crate) fn bucket_subscribers<E: Event>(&self) -> u32 {
        // Relaxed: as in `subscribed_slot`.
        self.bucket_subscribers[bucket(E::ID)].load(Ordering::Relaxed)
    }

    /// The slot of `E`, found or newly filled. The caller keeps the number of types below [`MAX_TYPES`].
    pub(crate) fn slot_or_insert<E: Event>(&self) -> u8 {
        let mut index = bucket(E::ID);
        loop {
            let slot = &self.slots[index];
            if *slot.key.get_or_init(TypeId::of::<E>) == TypeId::of::<E>() {
                // Relaxed: written and read under the bus's lock.
                slot.bucket.store(bucket(E::ID) as u8, Ordering::Relaxed);
                return index as u8;
            }
            index = (index + 1) % SLOTS;
        }
    }

    pub(crate) fn add_subscribers(&self, slot: u8, subscribers: u32) {
        // Relaxed: as in `subscribed_slot`.
        for count in self.counts(slot) {
            count.fetch_add(subscribers, Ordering::Relaxed);
        }
    }

    pub(crate) fn remove_subscriber(&self, slot: u8) {
        // Relaxed: as in `subscribed_slot`.
        for count in self.counts(slot) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The two counts that a subscriber of the slot's type is part of.
    fn counts(&self, slot: u8) -> [&AtomicU32; 2] {
        let slot = &self.slots[usize::from(slot)];
        let bucket = slot.bucket.load(Ordering::Relaxed);
        [
            &slot.subscribers,
            &self.bucket_subscribers[usize::from(bucket)],
        ]
    }
}

const fn bucket(id: u32) -> usize {
    id as usize % SLOTS
}
