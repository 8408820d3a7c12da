//! The bus's shared face: subscribing, declaring, making publishers, reading figures.
#![allow(clippy::disallowed_types)] // Locks outside of the real-time path: subscriptions and dispatch.
#![allow(unsafe_code)] // A typed handler reads a cell's bytes as its own type; the slot says that they are.

use core::any::{TypeId, type_name_of_val};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::Serialize;

use super::cell::EventCell;
use super::clock::Clock;
use super::error::BusError;
use super::event::{Event, EventRecord, EventsDropped, Priority};
use super::interest::{Interest, MAX_TYPES};
use super::lane::{self, LaneReader, LaneWriter, lane};
use super::publisher::{Core, Publisher};
use super::state::{State, TypeEntry};
use super::stats::BusStats;
use super::subscriber::{Handler, Subscriber};
use super::watchdog::HandlerWatch;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The most cells of one lane: 64 MiB.
pub const MAX_LANE_CELLS: usize = 1 << 20;
/// Announcements of drops that wait for a handler.
const MAX_ANNOUNCEMENTS: usize = 1024;

/// How large a bus is. Lanes are allocated per publisher, when it is made: 64 bytes a cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusConfig {
    /// Cells in each publisher's Critical lane, at most [`MAX_LANE_CELLS`]; lane sizes are rounded up to powers of two,
    /// 0 to 1.
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
    /// Tables and counts; held for moments, never while user code runs or is dropped.
    pub(crate) state: Mutex<State>,
    /// Held by whoever dispatches, so that two pumps cannot put one lane's events out of order. It is tried and never
    /// waited for, since handlers run while it is held.
    pub(crate) turn: Mutex<()>,
    pub(crate) watch: HandlerWatch,
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
            panics: AtomicU64::new(0),
        });
        // One announcement waits per publisher and lane; of very many publishers some wait for the next pump.
        let announcements = config.max_publishers.saturating_mul(Priority::ALL.len());
        let (writers, readers) = split([1, announcements.min(MAX_ANNOUNCEMENTS), 1].map(lane));
        let announcer = Publisher::new(core.clone(), Weak::new(), writers, 0);
        let mut state = State::new(announcer, readers);
        let dropped = TypeEntry::of::<EventsDropped>(to_json::<EventsDropped>);
        let slot = core.interest.slot_or_insert::<EventsDropped>();
        state.types[usize::from(slot)] = Some(dropped);
        let inner = Inner {
            core,
            state: Mutex::new(state),
            turn: Mutex::new(()),
            watch: HandlerWatch::default(),
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
    /// [`BusError::TooManyPublishers`]: a dropped publisher counts until a pump has delivered what it left.
    /// [`BusError::LaneTooLarge`] for a lane of more than [`MAX_LANE_CELLS`], [`BusError::NoMemory`].
    pub fn publisher(&self) -> Result<Publisher, BusError> {
        let BusConfig {
            critical_cells,
            high_cells,
            normal_cells,
            max_publishers,
        } = self.inner.config;
        self.free_spent_publishers();
        let mut state = lock(&self.inner.state);
        if state.publishers() == max_publishers {
            return Err(BusError::TooManyPublishers {
                limit: max_publishers,
            });
        }
        let [critical, high, normal] = [critical_cells, high_cells, normal_cells];
        let lanes = split([
            try_lane("critical_cells", critical)?,
            try_lane("high_cells", high)?,
            try_lane("normal_cells", normal)?,
        ]);
        let bus = Arc::downgrade(&self.inner);
        Ok(state.add_publisher(self.inner.core.clone(), bus, lanes))
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
        let name = type_name_of_val(&handler);
        let handler = Handler::Cell(Box::new(move |cell: &EventCell| {
            // SAFETY: this handler is called with cells of `E`'s slot only. A cell gets that slot from `publish::<E>`
            // (the table compares `TypeId`s) or from carried cells, whose caller vouches for them.
            handler(unsafe { cell.event::<E>() });
        }));
        // Before the lock, and with a drop that cannot panic, in case the type is refused.
        let subscriber = Subscriber::new(self.inner.core.clone(), name, handler);
        let mut state = lock(&self.inner.state);
        let slot = self.declare_in::<E>(&mut state)?;
        state.add_subscriber(Some(slot), subscriber.clone());
        self.inner.core.interest.add(slot, 1);
        Ok(Subscription {
            bus: Arc::downgrade(&self.inner),
            slot: Some(slot),
            subscriber,
        })
    }

    /// Calls `handler` with the JSON form of every event of every declared type, present and future.
    pub fn subscribe_json(
        &self,
        handler: impl FnMut(&EventRecord) + Send + 'static,
    ) -> Subscription {
        let name = type_name_of_val(&handler);
        let handler = Handler::Record(Box::new(handler));
        let subscriber = Subscriber::new(self.inner.core.clone(), name, handler);
        let mut state = lock(&self.inner.state);
        state.add_subscriber(None, subscriber.clone());
        self.want_everything(&mut state);
        Subscription {
            bus: Arc::downgrade(&self.inner),
            slot: None,
            subscriber,
        }
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
            subscriber_panics: self.inner.core.panics.load(Ordering::Relaxed),
            publishers: state.publishers(),
            bytes_reserved: state.bytes(),
        }
    }

    /// Sets the time, in nanoseconds of any epoch: the host's clock, since wasm has none. Call it before each
    /// [`pump`](Self::pump). Time then stands still until the next call, so that a latency leaves out at most the
    /// length of one pump. Only differences count, also where the number comes round after
    /// [`u64::MAX`]; a time before the last one is ignored. Events that were published before the first call are counted from it on.
    #[cfg(target_arch = "wasm32")]
    pub fn set_now_ns(&self, now: u64) {
        self.inner.core.clock.set_host_ns(now);
    }
}

fn to_json<E: Event>(cell: &EventCell) -> serde_json::Value {
    // SAFETY: kept in the entry of `E`'s slot and called with cells of that slot only; see `subscribe`.
    let event = unsafe { cell.event::<E>() };
    serde_json::to_value(event)
        .unwrap_or_else(|error| serde_json::json!({ "error": error.to_string() }))
}

fn try_lane(field: &'static str, cells: usize) -> Result<(LaneWriter, LaneReader), BusError> {
    if cells > MAX_LANE_CELLS {
        return Err(BusError::LaneTooLarge {
            field,
            cells,
            limit: MAX_LANE_CELLS,
        });
    }
    lane::try_lane(cells).map_err(|_| BusError::NoMemory { field, cells })
}

fn split(lanes: [(LaneWriter, LaneReader); 3]) -> ([LaneWriter; 3], [LaneReader; 3]) {
    let [(w0, r0), (w1, r1), (w2, r2)] = lanes;
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
        // After the lock: the handler's captures may use the bus when they are dropped. A panic of theirs is counted.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::test_events::{Beat, Meter, Note};
    use crate::event_bus::{BusError, Published};

    #[test]
    fn nothing_is_written_until_somebody_subscribes_nor_after() {
        let bus = TypedEventBus::default();
        let publisher = bus.publisher().unwrap();
        assert_eq!(
            publisher.publish(Beat(0)),
            Published::Idle,
            "never declared"
        );
        bus.declare::<Beat>().unwrap();
        assert_eq!(publisher.publish(Beat(1)), Published::Idle, "declared");
        let other = bus.subscribe(|_: &Note| ()).unwrap();
        assert_eq!(
            publisher.publish(Beat(2)),
            Published::Idle,
            "another type is wanted"
        );
        let first = bus.subscribe(|_: &Beat| ()).unwrap();
        let second = bus.subscribe(|_: &Beat| ()).unwrap();
        drop(first);
        assert_eq!(publisher.publish(Beat(3)), Published::Queued);
        drop((second, other));
        assert_eq!(
            publisher.publish(Beat(4)),
            Published::Idle,
            "the last one left"
        );
        let critical = bus.stats().critical;
        assert_eq!((critical.published, critical.pending), (1, 1));
    }

    #[test]
    fn json_subscribers_want_every_declared_type_past_and_future() {
        let bus = TypedEventBus::default();
        let publisher = bus.publisher().unwrap();
        bus.declare::<Beat>().unwrap();
        let (send, records) = std::sync::mpsc::channel();
        let guard = bus.subscribe_json(move |record| send.send(record.clone()).unwrap());
        bus.declare::<Meter>().unwrap();
        publisher.publish(Meter(5));
        publisher.publish(Beat(6));
        publisher.publish(Beat(7));
        assert_eq!(publisher.publish(Note(8)), Published::Idle, "not declared");
        bus.pump(9);
        let seen: Vec<String> = records
            .try_iter()
            .map(|r| serde_json::to_string(&r).unwrap())
            .collect();
        let form = |name, priority, seq, data| {
            format!(
                r#"{{"version":1,"name":"{name}","priority":"{priority}","seq":{seq},"publisher":1,"data":{data}}}"#
            )
        };
        assert_eq!(
            seen,
            [
                form("Beat", "critical", 0, 6),
                form("Beat", "critical", 1, 7),
                form("Meter", "normal", 0, 5)
            ]
        );
        drop(guard);
        assert_eq!(publisher.publish(Beat(9)), Published::Idle);
        let names: Vec<_> = bus.types().iter().map(|t| t.name).collect();
        assert_eq!(names, ["Beat", "EventsDropped", "Meter"]);
    }

    #[test]
    fn publishers_are_limited_and_a_spent_one_makes_room() {
        let bus = TypedEventBus::new(BusConfig {
            max_publishers: 2,
            ..BusConfig::default()
        });
        let _guard = bus.subscribe(|_: &Beat| ()).unwrap();
        let (first, _second) = (bus.publisher().unwrap(), bus.publisher().unwrap());
        let refused = bus.publisher().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the bus has 2 publishers, which is its limit (BusConfig::max_publishers)"
        );
        first.publish(Beat(1));
        drop(first);
        assert_eq!(
            bus.publisher().unwrap_err(),
            refused,
            "its event is still to be delivered"
        );
        assert_eq!(bus.pump(9).delivered, 1);
        assert_eq!(
            bus.publisher().unwrap().id(),
            3,
            "numbers are not used again"
        );
    }

    #[cfg(target_arch = "wasm32")]
    #[wasm_bindgen_test::wasm_bindgen_test]
    fn set_now_ns_measures_differences_in_any_epoch() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]);
        // Unix time, and a count that comes round between two calls.
        for epoch in edges.chain([1_764_500_000_000_000_000, u64::MAX - 100_000]) {
            let bus = TypedEventBus::default();
            let _guard = bus.subscribe(|_: &Beat| ()).unwrap();
            let publisher = bus.publisher().unwrap();
            // Before the host has told the time at all.
            publisher.publish(Beat(0));
            let mut now = epoch;
            for (age, late) in [(0, 0), (499_999, 0), (500_001, 1), (1 << 55, 2), (2, 2)] {
                bus.set_now_ns(now);
                publisher.publish(Beat(age));
                now = now.wrapping_add(age);
                bus.set_now_ns(now);
                bus.pump(9);
                assert_eq!(bus.stats().critical.late, late, "epoch {epoch}, age {age}");
            }
        }
    }

    #[derive(Clone, Copy, Serialize)]
    struct Impostor(f64);
    impl Event for Impostor {
        const NAME: &'static str = "Beat";
        const PRIORITY: Priority = Priority::Normal;
    }

    #[test]
    fn two_types_of_one_name_are_refused_and_never_mixed() {
        let bus = TypedEventBus::default();
        let _guard = bus.subscribe(|_: &Beat| ()).unwrap();
        let refused = bus.subscribe(|_: &Impostor| ()).unwrap_err();
        let text = format!(
            "event type `Beat` cannot be declared: `Beat` has the same number {:#010x}; rename one",
            fnv1a_of_beat()
        );
        assert_eq!(refused.to_string(), text);
        assert_eq!(
            bus.publisher().unwrap().publish(Impostor(0.5)),
            Published::Idle
        );
    }

    const fn fnv1a_of_beat() -> u32 {
        crate::event_bus::fnv1a("Beat")
    }

    #[derive(Clone, Copy, Serialize)]
    struct Crowd<const N: u32>;
    impl<const N: u32> Event for Crowd<N> {
        const NAME: &'static str = "Crowd";
        const PRIORITY: Priority = Priority::Normal;
        // All of them want the same slot.
        const ID: u32 = (N + 1) * 256;
    }

    #[test]
    fn types_are_limited_and_crowded_slots_stay_exact() {
        let bus = TypedEventBus::default();
        let publisher = bus.publisher().unwrap();
        let mut results = Vec::new();
        macro_rules! declare {
            ($($tens:literal)*; $units:tt) => { $(declare!(@ $tens $units);)* };
            (@ $tens:literal [$($unit:literal)*]) => { $(results.push(bus.declare::<Crowd<{ $tens * 10 + $unit }>>());)* };
        }
        declare!(0 1 2 3 4 5 6 7 8 9 10 11 12; [0 1 2 3 4 5 6 7 8 9]);
        // `EventsDropped` has one place.
        assert!(results[..127].iter().all(Result::is_ok));
        assert_eq!(results[127], Err(BusError::TooManyTypes { limit: 128 }));
        assert_eq!(bus.declare::<Crowd<3>>(), Ok(()), "known already");
        let _guard = bus.subscribe(|_: &Crowd<126>| ()).unwrap();
        assert_eq!(publisher.publish(Crowd::<125>), Published::Idle);
        assert_eq!(publisher.publish(Crowd::<126>), Published::Queued);
        assert_eq!(publisher.publish(Crowd::<127>), Published::Idle);
    }
}
