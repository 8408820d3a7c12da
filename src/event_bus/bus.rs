//! The bus as its users meet it: subscribing, declaring, making publishers, reading figures.

use core::any::type_name_of_val;
use std::sync::{Arc, Weak};

use serde::Serialize;

use super::config::BusConfig;
use super::error::BusError;
use super::event::{Event, EventRecord, Priority};
use super::inline_handlers::InlineHandlers;
use super::inner::Inner;
use super::publisher::Publisher;
use super::stats::BusStats;
use super::subscriber::{Handler, Subscriber};
use super::watchdog::{STUCK_AFTER, StuckHandler};
use crate::lock::lock;

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
/// No method of the bus is for the audio thread: they lock and allocate. The audio thread uses a [`Publisher`].
#[derive(Clone)]
pub struct TypedEventBus {
    pub(crate) inner: Arc<Inner>,
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
    /// A bus without publishers and subscribers. [`EventsDropped`](super::EventsDropped) is declared.
    #[must_use]
    pub fn new(config: BusConfig) -> Self {
        Self {
            inner: Arc::new(Inner::new(config)),
        }
    }

    /// Makes a publisher with lanes of its own, to be moved to the thread that will use it.
    ///
    /// # Real-time
    /// No: it allocates the lanes, which is all the memory that the publisher ever needs.
    ///
    /// # Errors
    /// [`BusError::TooManyPublishers`]; a dropped publisher counts until a pump has delivered its events.
    /// [`BusError::LaneTooLarge`] for a lane of more than [`MAX_LANE_CELLS`](super::MAX_LANE_CELLS), [`BusError::NoMemory`].
    pub fn publisher(&self) -> Result<Publisher, BusError> {
        let config = self.inner.config;
        self.inner.free_drained_publishers();
        let mut state = lock(&self.inner.state);
        if state.publishers() == config.max_publishers {
            return Err(BusError::TooManyPublishers {
                limit: config.max_publishers,
            });
        }
        let (writers, readers) = config.publisher_lanes()?;
        let shared = self.inner.shared.clone();
        let inline = Arc::new(InlineHandlers::new(shared.clone()));
        let id = state.add_source(readers, inline.clone());
        let bus = Arc::downgrade(&self.inner);
        Ok(Publisher::new(shared, bus, writers, inline, id))
    }

    /// Declares an event type: it appears in [`types`](Self::types), and JSON subscribers get its events. Subscribing to a
    /// type declares it, too.
    ///
    /// # Errors
    /// [`BusError::NameTaken`], [`BusError::TooManyTypes`].
    pub fn declare<E: Event>(&self) -> Result<(), BusError> {
        self.inner
            .declare::<E>(&mut lock(&self.inner.state))
            .map(|_| ())
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

    /// Calls `handler` with every event of type `E` that is published from now on, on the dispatching thread, until the
    /// guard is dropped. A call that is under way on another thread at that moment still finishes; no further call begins.
    ///
    /// Handlers may use the bus freely: subscribe, drop guards (their own too), make publishers, publish.
    ///
    /// # Errors
    /// As [`declare`](Self::declare).
    pub fn subscribe<E: Event>(
        &self,
        handler: impl FnMut(&E) + Send + 'static,
    ) -> Result<Subscription, BusError> {
        let name = type_name_of_val(&handler);
        // Made before the bus is locked, and its drop catches panics: the type may be refused below.
        let subscriber = Subscriber::new(self.inner.shared.clone(), name, Handler::typed(handler));
        let mut state = lock(&self.inner.state);
        let slot = self.inner.declare::<E>(&mut state)?;
        state.add_subscriber(Some(slot), subscriber.clone());
        self.inner.shared.types.add_subscribers(slot, 1);
        Ok(Subscription {
            bus: Arc::downgrade(&self.inner),
            slot: Some(slot),
            subscriber,
        })
    }

    /// Calls `handler` with the JSON form of every event of every declared type, also of types that are declared later.
    pub fn subscribe_json(
        &self,
        handler: impl FnMut(&EventRecord) + Send + 'static,
    ) -> Subscription {
        let name = type_name_of_val(&handler);
        let handler = Handler::Json(Box::new(handler));
        let subscriber = Subscriber::new(self.inner.shared.clone(), name, handler);
        let mut state = lock(&self.inner.state);
        state.add_subscriber(None, subscriber.clone());
        self.inner.add_subscriber_of_all(&mut state);
        Subscription {
            bus: Arc::downgrade(&self.inner),
            slot: None,
            subscriber,
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
            subscriber_panics: self.inner.shared.panics(),
            publishers: state.publishers(),
            bytes_reserved: state.bytes(),
        }
    }

    /// The handler that the dispatching side called [`STUCK_AFTER`] ago or earlier and that has not returned, whichever
    /// thread pumps. `None`: no handler is stuck at this moment. On WebAssembly always `None`: it has no clock, and the page
    /// watches its workers.
    ///
    /// Inline handlers are not watched: they run on their publisher's thread, which must neither lock nor read a clock.
    ///
    /// # Real-time
    /// No: it locks. It never waits for a handler; any thread but the audio thread may call it.
    #[must_use]
    pub fn stuck_handler(&self) -> Option<StuckHandler> {
        self.inner.watch.running_for(STUCK_AFTER)
    }

    /// Sets the time, in nanoseconds of any epoch: the host's clock, since WebAssembly has none. The host calls it before
    /// each [`pump`](Self::pump). The bus's time stands still until the next call, so that a latency can be too short by at
    /// most the length of one pump. Only differences count, also if the number wraps after [`u64::MAX`]; a time before the
    /// last one is ignored. The latency of events that were published before the first call is counted from that call on.
    #[cfg(target_arch = "wasm32")]
    pub fn set_now_ns(&self, now: u64) {
        self.inner.shared.clock.set_host_ns(now);
    }
}

/// Ends its subscription when it is dropped.
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
                Some(slot) => inner.shared.types.remove_subscriber(slot),
                None => inner.remove_subscriber_of_all(&mut state),
            }
        }
        // After unlocking: the handler's captures may use the bus when they are dropped. A panic of theirs is counted.
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
    fn publish_without_subscribers_writes_nothing() {
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
            "another type has a subscriber"
        );
        let first = bus.subscribe(|_: &Beat| ()).unwrap();
        let second = bus.subscribe(|_: &Beat| ()).unwrap();
        drop(first);
        assert_eq!(publisher.publish(Beat(3)), Published::Queued);
        drop((second, other));
        assert_eq!(
            publisher.publish(Beat(4)),
            Published::Idle,
            "the last subscription ended"
        );
        let critical = bus.stats().critical;
        assert_eq!((critical.published, critical.pending), (1, 1));
    }

    #[test]
    fn json_subscribers_get_every_declared_type_past_and_future() {
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
    fn publisher_limit_counts_dropped_publishers_until_they_are_drained() {
        let bus = TypedEventBus::new(BusConfig {
            max_publishers: 2,
            ..BusConfig::default()
        });
        let _guard = bus.subscribe(|_: &Beat| ()).unwrap();
        let (first, _second) = (bus.publisher().unwrap(), bus.publisher().unwrap());
        let refused = bus.publisher().unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the bus has 2 publishers, which is its limit (BusConfig::max_publishers): drop one and pump what it published, or raise the limit"
        );
        first.publish(Beat(1));
        drop(first);
        assert_eq!(
            bus.publisher().unwrap_err(),
            refused,
            "its event is still to be delivered"
        );
        assert_eq!(bus.pump(9).delivered, 1);
        assert_eq!(bus.publisher().unwrap().id(), 3, "numbers are not reused");
    }

    #[cfg(target_arch = "wasm32")]
    #[wasm_bindgen_test::wasm_bindgen_test]
    fn set_now_ns_measures_differences_in_any_epoch() {
        let edges = (0..64).flat_map(|bit| [(1_u64 << bit) - 1, 1 << bit]);
        // Unix time, and a counter that wraps between two calls.
        for epoch in edges.chain([1_764_500_000_000_000_000, u64::MAX - 100_000]) {
            let bus = TypedEventBus::default();
            let _guard = bus.subscribe(|_: &Beat| ()).unwrap();
            let publisher = bus.publisher().unwrap();
            // Before the host has set the time at all.
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
    fn event_types_of_one_name_are_refused_and_never_mixed() {
        let bus = TypedEventBus::default();
        let _guard = bus.subscribe(|_: &Beat| ()).unwrap();
        let refused = bus.subscribe(|_: &Impostor| ()).unwrap_err();
        let text = format!(
            "event type `Beat` cannot be declared: `Beat` has the same number {:#010x}; rename one",
            Beat::ID
        );
        assert_eq!(refused.to_string(), text);
        assert_eq!(
            bus.publisher().unwrap().publish(Impostor(0.5)),
            Published::Idle
        );
    }

    #[derive(Clone, Copy, Serialize)]
    struct Colliding<const N: u32>;
    impl<const N: u32> Event for Colliding<N> {
        const NAME: &'static str = "Colliding";
        const PRIORITY: Priority = Priority::Normal;
        // All of them hash to the same slot.
        const ID: u32 = (N + 1) * 256;
    }

    #[test]
    fn event_types_are_limited_and_hash_collisions_stay_exact() {
        let bus = TypedEventBus::default();
        let publisher = bus.publisher().unwrap();
        let mut results = Vec::new();
        macro_rules! declare {
            ($($tens:literal)*; $units:tt) => { $(declare!(@ $tens $units);)* };
            (@ $tens:literal [$($unit:literal)*]) => { $(results.push(bus.declare::<Colliding<{ $tens * 10 + $unit }>>());)* };
        }
        declare!(0 1 2 3 4 5 6 7 8 9 10 11 12; [0 1 2 3 4 5 6 7 8 9]);
        // `EventsDropped` has one slot.
        assert!(results[..127].iter().all(Result::is_ok));
        assert_eq!(results[127], Err(BusError::TooManyTypes { limit: 128 }));
        assert_eq!(bus.declare::<Colliding<3>>(), Ok(()), "declared before");
        let _guard = bus.subscribe(|_: &Colliding<126>| ()).unwrap();
        assert_eq!(publisher.publish(Colliding::<125>), Published::Idle);
        assert_eq!(publisher.publish(Colliding::<126>), Published::Queued);
        assert_eq!(publisher.publish(Colliding::<127>), Published::Idle);
    }
}
