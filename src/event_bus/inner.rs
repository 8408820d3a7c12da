//! What all clones of a bus share.
#![allow(clippy::disallowed_types)] // Locks outside of the real-time path: subscriptions and dispatch.

use core::any::TypeId;
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};

use super::config::BusConfig;
use super::error::BusError;
use super::event::{Event, EventsDropped};
use super::shared::Shared;
use super::state::{State, TypeEntry};
use super::type_table::MAX_TYPES;
use super::watchdog::HandlerWatch;
use crate::lock::lock;

pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    /// Locked for moments, and never while user code runs or is dropped.
    pub(crate) state: Mutex<State>,
    /// Locked by the call that dispatches, so that two pumps cannot reorder the events of one lane. Handlers run while it is
    /// locked; it is therefore tried and never waited for.
    dispatching: Mutex<()>,
    pub(crate) watch: HandlerWatch,
    pub(crate) config: BusConfig,
}

impl Inner {
    pub(crate) fn new(config: BusConfig) -> Self {
        let shared = Arc::new(Shared::new());
        let mut state = State::new(shared.clone(), config.announcement_lanes());
        let slot = shared.types.slot_or_insert::<EventsDropped>();
        state.types[usize::from(slot)] = Some(TypeEntry::of::<EventsDropped>());
        Self {
            shared,
            state: Mutex::new(state),
            dispatching: Mutex::new(()),
            watch: HandlerWatch::default(),
            config,
        }
    }

    /// Declares a type, under the lock of `state`; returns its slot.
    pub(crate) fn declare<E: Event>(&self, state: &mut State) -> Result<u8, BusError> {
        const { assert!(E::ID != 0, "event number 0 is reserved") };
        let mut types = state.types.iter().flatten();
        if let Some(other) = types.find(|t| t.id == E::ID && t.type_id != TypeId::of::<E>()) {
            return Err(BusError::NameTaken {
                name: E::NAME,
                taken_by: other.name,
                id: E::ID,
            });
        }
        let others = state
            .types
            .iter()
            .flatten()
            .filter(|t| t.type_id != TypeId::of::<E>())
            .count();
        if others >= MAX_TYPES {
            return Err(BusError::TooManyTypes { limit: MAX_TYPES });
        }
        let slot = self.shared.types.slot_or_insert::<E>();
        let entry = &mut state.types[usize::from(slot)];
        if entry.is_none() {
            *entry = Some(TypeEntry::of::<E>());
            let subscribers = state.subscribers_of_all;
            self.shared.types.add_subscribers(slot, subscribers);
        }
        Ok(slot)
    }

    /// Counts one more subscriber of all types, under the lock of `state`.
    pub(crate) fn add_subscriber_of_all(&self, state: &mut State) {
        state.subscribers_of_all += 1;
        for slot in state.declared_slots() {
            self.shared.types.add_subscribers(slot, 1);
        }
    }

    /// Counts one subscriber of all types less, under the lock of `state`.
    pub(crate) fn remove_subscriber_of_all(&self, state: &mut State) {
        state.subscribers_of_all -= 1;
        for slot in state.declared_slots() {
            self.shared.types.remove_subscriber(slot);
        }
    }

    /// The right to dispatch, unless another call has it: on another thread, or one that is calling a handler on this one.
    pub(crate) fn try_dispatch(&self) -> Option<MutexGuard<'_, ()>> {
        match self.dispatching.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Announces dropped events, and frees publishers that were dropped and are drained. Their inline handlers are dropped
    /// without a lock.
    pub(crate) fn free_drained_publishers(&self) {
        let publishers = {
            let mut state = lock(&self.state);
            state.announce_drops();
            state.publishers()
        };
        // Bounded by the publishers of now: those that the drop of a handler leaves behind are freed by the next call.
        for _ in 0..publishers {
            let drained = lock(&self.state).remove_drained();
            let Some(drained) = drained else { break };
            drop(drained);
        }
    }
}
