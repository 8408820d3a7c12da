//! The bus's shared face: subscribing, declaring, making publishers, reading figures.
#![allow(unsafe_code)] // A typed handler reads a cell's bytes as its own type; the slot says that they are.

use core::any::TypeId;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::Serialize;

use super::cell::EventCell;
use super::clock::Clock;
use super::dispatch::{Handler, State, Subscriber, TypeEntry};
use super::error::BusError;
use super::event::{Event, EventRecord, EventsDropped, Priority};
use super::interest::{Interest, MAX_TYPES};
use super::lane::{LaneReader, LaneWriter, lane};
use super::publisher::{Core, Publisher};
use super::stats::BusStats;
use crate::sync::atomic::{AtomicU64, Ordering};

/// How large a bus is. Lanes are allocated per publisher, when it is made: 64 bytes a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusConfig {
    /// Cells in each publisher's Critical lane; lane sizes are rounded up to powers of two.
    pub critical_cells: usize,
    /// Cells in each publisher's High lane.
    pub high_cells: usize,
    /// Cells in each publisher's Normal lane.
    pub normal_cells: usize,
    /// Publishers at a time.
    pub max_publishers: usize,
}

impl Default for BusConfig {
    /// 1024, 256 and 256 cells (96 KiB per publisher), 32 publishers.
    fn default() -> Self {
        Self {
            critical_cells: 1024,
            high_cells: 256,
            normal_cells: 256,
            max_publishers: 32,
        }
    }
}

/// A declared event type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct EventType {
    /// [`Event::NAME`].
    pub name: &'static str,
    /// [`Event::PRIORITY`].
    pub priority: Priority,
    /// [`Event::ID`].
    pub id: u32,
}

/// The bus. Clones are the same bus.
///
/// # Real-time
/// Nothing here is for the audio thread: these calls lock and allocate. Its part is the [`Publisher`].
#[derive(Clone)]
pub struct TypedEventBus {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) core: Arc<Core>,
    /// Tables and counts; held for moments, never while a handler runs.
    pub(crate) state: Mutex<State>,
    /// Held by whoever dispatches, so that two pumps cannot put one lane's events out of order.
    pub(crate) turn: Mutex<()>,
    config: BusConfig,
}

/// Locks; a poisoned lock is taken over, since every change under these locks is complete or absent at any panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Default for TypedEventBus {
    fn default() -> Self {
        Self::new(BusConfig::default())
    }
}

impl core::fmt::Debug for TypedEventBus {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("TypedEventBus")
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

impl TypedEventBus {
    /// A bus without publishers and subscribers. [`EventsDropped`] is declared.
    #[must_use]
    pub fn new(config: BusConfig) -> Self {
        let core = Arc::new(Core {
            interest: Interest::new(),
            clock: Clock::new(),
            inline_panics: AtomicU64::new(0),
        });
        // One announcement waits per publisher and lane.
        let high = config.max_publishers * Priority::ALL.len();
        let (writers, readers) = lanes([1, high, 1]);
        let announcer = Publisher::new(core.clone(), writers, 0);
        let mut state = State::new(announcer, readers);
        let dropped = TypeEntry::of::<EventsDropped>(to_json::<EventsDropped>);
        let slot = core.interest.slot_or_insert::<EventsDropped>();
        state.types[usize::from(slot)] = Some(dropped);
        let inner = Inner {
            core,
            state: Mutex::new(state),
            turn: Mutex::new(()),
            config,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Makes a publisher with lanes of its own, to be moved to the thread that will use it.
    ///
    /// # Real-time
    /// Allocates the lanes, all that the publisher will ever need.
    ///
    /// # Errors
    /// [`BusError::TooManyPublishers`]. A dropped publisher counts until a pump has delivered what it left.
    pub fn publisher(&self) -> Result<Publisher, BusError> {
        let BusConfig {
            critical_cells,
            high_cells,
            normal_cells,
            max_publishers,
        } = self.inner.config;
        let mut state = lock(&self.inner.state);
        state.tidy();
        if state.publishers() == max_publishers {
            return Err(BusError::TooManyPublishers {
                limit: max_publishers,
            });
        }
        let (writers, readers) = lanes([critical_cells, high_cells, normal_cells]);
        let id = state.add_source(readers);
        Ok(Publisher::new(self.inner.core.clone(), writers, id))
    }

    /// Makes a type known: it gets its JSON form and appears in [`types`](Self::types). Subscribing does it too.
    ///
    /// # Errors
    /// [`BusError::NameTaken`], [`BusError::TooManyTypes`].
    pub fn declare<E: Event>(&self) -> Result<(), BusError> {
        self.declare_in::<E>(&mut lock(&self.inner.state))
            .map(|_| ())
    }

    fn declare_in<E: Event>(&self, state: &mut State) -> Result<u8, BusError> {
        const { assert!(E::ID != 0, "event number 0 is reserved") };
        let mut types = state.types.iter().flatten();
        if let Some(other) = types.find(|t| t.id == E::ID && t.type_id != TypeId::of::<E>()) {
            return Err(BusError::NameTaken {
                name: E::NAME,
                taken_by: other.name,
                id: E::ID,
            });
        }
        let known = state
            .types
            .iter()
            .flatten()
            .filter(|t| t.type_id != TypeId::of::<E>())
            .count();
        if known >= MAX_TYPES {
            return Err(BusError::TooManyTypes { limit: MAX_TYPES });
        }
        let slot = self.inner.core.interest.slot_or_insert::<E>();
        let entry = &mut state.types[usize::from(slot)];
        if entry.is_none() {
            *entry = Some(TypeEntry::of::<E>(to_json::<E>));
            self.inner.core.interest.add(slot, state.everything);
        }
        Ok(slot)
    }

    /// The declared types, by name.
    #[must_use]
    pub fn types(&self) -> Vec<EventType> {
        let state = lock(&self.inner.state);
        let entries = state.types.iter().flatten();
        let mut types: Vec<_> = entries
            .map(|t| EventType {
                name: t.name,
                priority: t.priority,
                id: t.id,
            })
            .collect();
        types.sort_unstable_by_key(|t| t.name);
        types
    }

    /// Calls `handler` with every event of type `E` that is published from now on, on the dispatching thread, until
    /// the guard is dropped. A call that is already under way on another thread then still ends; none begins.
    ///
    /// Handlers may use the bus freely: subscribe, drop guards (their own too), make publishers, publish.
    ///
    /// # Errors
    /// As [`declare`](Self::declare).
    pub fn subscribe<E: Event>(
        &self,
        mut handler: impl FnMut(&E) + Send + 'static,
    ) -> Result<Subscription, BusError> {
        let handler = Handler::Cell(Box::new(move |cell: &EventCell| {
            // SAFETY: this handler is called with cells of `E`'s slot only. A cell gets that slot from `publish::<E>`
            // (the table compares `TypeId`s) or from carried cells, whose caller vouches for them.
            handler(unsafe { cell.event::<E>() });
        }));
        let mut state = lock(&self.inner.state);
        let slot = self.declare_in::<E>(&mut state)?;
        let subscriber = Subscriber::new(handler);
        state.add_subscriber(Some(slot), subscriber.clone());
        self.inner.core.interest.add(slot, 1);
        Ok(Subscription {
            bus: Arc::downgrade(&self.inner),
            slot: Some(slot),
            subscriber,
        })
    }

    /// Calls `handler` with the JSON form of every event of every declared type, present and future.
    ///
    /// # Errors
    /// None at present.
    pub fn subscribe_json(
        &self,
        handler: impl FnMut(&EventRecord) + Send + 'static,
    ) -> Result<Subscription, BusError> {
        let subscriber = Subscriber::new(Handler::Record(Box::new(handler)));
        let mut state = lock(&self.inner.state);
        state.add_subscriber(None, subscriber.clone());
        self.want_everything(&mut state);
        Ok(Subscription {
            bus: Arc::downgrade(&self.inner),
            slot: None,
            subscriber,
        })
    }

    pub(crate) fn want_everything(&self, state: &mut State) {
        state.everything += 1;
        for slot in state.declared_slots() {
            self.inner.core.interest.add(slot, 1);
        }
    }

    /// The figures so far.
    #[must_use]
    pub fn stats(&self) -> BusStats {
        let state = lock(&self.inner.state);
        let [critical, high, normal] = Priority::ALL.map(|priority| state.lane_stats(priority));
        BusStats {
            critical,
            high,
            normal,
            // Relaxed: a count.
            subscriber_panics: state.panics + self.inner.core.inline_panics.load(Ordering::Relaxed),
            publishers: state.publishers(),
            bytes_reserved: state.bytes(),
        }
    }

    /// Sets the time, in nanoseconds of any epoch: the host's clock, since wasm has none. Call it before each
    /// [`pump`](Self::pump). Time then stands still until the next call, so that a latency leaves out at most the
    /// length of one pump.
    #[cfg(target_arch = "wasm32")]
    pub fn set_now_ns(&self, now: u64) {
        self.inner.core.clock.set_ns(now);
    }
}

fn to_json<E: Event>(cell: &EventCell) -> serde_json::Value {
    // SAFETY: kept in the entry of `E`'s slot and called with cells of that slot only; see `subscribe`.
    let event = unsafe { cell.event::<E>() };
    serde_json::to_value(event)
        .unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }))
}

fn lanes(cells: [usize; 3]) -> ([LaneWriter; 3], [LaneReader; 3]) {
    let [(w0, r0), (w1, r1), (w2, r2)] = cells.map(lane);
    ([w0, w1, w2], [r0, r1, r2])
}

/// Ends its subscription when dropped.
#[must_use = "dropping it ends the subscription"]
pub struct Subscription {
    bus: Weak<Inner>,
    /// `None`: every declared type, as JSON.
    slot: Option<u8>,
    subscriber: Arc<Subscriber>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(inner) = self.bus.upgrade() {
            let mut state = lock(&inner.state);
            state.remove_subscriber(self.slot, &self.subscriber);
            match self.slot {
                Some(slot) => inner.core.interest.remove_one(slot),
                None => {
                    state.everything -= 1;
                    for slot in state.declared_slots() {
                        inner.core.interest.remove_one(slot);
                    }
                }
            }
        }
        // After the lock: the handler's captures may use the bus when they are dropped.
        self.subscriber.end();
    }
}

impl core::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Subscription")
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
