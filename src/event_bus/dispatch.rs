//! The pump: pops events from the lanes and calls their subscribers.

use super::bus::TypedEventBus;
use super::state::State;
use super::subscriber::{Delivery, PoppedEvent};
use crate::lock::lock;

/// The counts of one pump.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PumpReport {
    /// Events that were delivered to at least one subscriber.
    pub delivered: usize,
    /// Those of them whose latency exceeded their priority's deadline.
    pub late: usize,
    /// Events whose last subscription had ended.
    pub unclaimed: usize,
    /// Panics that were caught: in handlers, in `Serialize`, and in drops of handlers and of panics' payloads.
    pub panics: usize,
}

impl PumpReport {
    /// Events popped from the lanes.
    #[must_use]
    pub const fn taken(&self) -> usize {
        self.delivered + self.unclaimed
    }
}

impl TypedEventBus {
    /// Pops up to `max_events` events, Critical lanes first (polled again after every event), and calls their subscribers.
    /// Does nothing while another thread pumps, or if a handler calls it.
    ///
    /// It always returns, also if handlers publish events or publishers are faster than the handlers: it pops at most as
    /// many events as all lanes can hold, whatever `max_events` is.
    ///
    /// # Real-time
    /// No: it locks, and runs user code. It belongs to a control thread or worker.
    pub fn pump(&self, max_events: usize) -> PumpReport {
        self.pump_while(max_events, || true)
    }

    /// [`pump`](Self::pump) until `goes_on`, which is called before each event, returns false.
    pub(crate) fn pump_while(&self, max_events: usize, goes_on: impl Fn() -> bool) -> PumpReport {
        let Some(_dispatching) = self.inner.try_dispatch() else {
            return PumpReport::default();
        };
        self.inner.shared.clock.now_ns();
        self.free_drained_publishers_watched();
        let limit = max_events.min(lock(&self.inner.state).cells());
        self.deliver(limit, State::pop, goes_on)
    }

    /// Marks the pending events as those that [`flush`](Self::flush) delivers.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn begin_flush(&self) {
        lock(&self.inner.state).begin_flush();
    }

    /// Delivers the marked events, and none that were published later, until `goes_on` returns false.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn flush(&self, goes_on: impl Fn() -> bool) {
        if let Some(_dispatching) = self.inner.try_dispatch() {
            self.deliver(usize::MAX, State::pop_to_flush, goes_on);
            self.free_drained_publishers_watched();
        }
    }

    fn deliver(
        &self,
        limit: usize,
        pop: impl Fn(&mut State) -> Option<PoppedEvent>,
        goes_on: impl Fn() -> bool,
    ) -> PumpReport {
        let mut report = PumpReport::default();
        while report.taken() < limit && goes_on() {
            let next = {
                let mut state = lock(&self.inner.state);
                pop(&mut state).and_then(|event| {
                    // The clock is read after the cell was popped, so that the latency is not too short.
                    let latency_ns = event.cell.age_ns(self.inner.shared.clock.now_ns());
                    state
                        .begin_delivery(event.cell.slot(), latency_ns)
                        .map(|delivery| (event, delivery))
                })
            };
            let Some((event, delivery)) = next else { break };
            self.call_subscribers(&event, &delivery, &mut report);
        }
        report
    }

    /// [`Inner::free_drained_publishers`](super::inner::Inner) for the call that dispatches. Only that call is watched.
    fn free_drained_publishers_watched(&self) {
        let _call = self.inner.watch.enter(None, "drop of inline handlers");
        self.inner.free_drained_publishers();
    }

    /// Delivers an event of another instance. The caller has the right to dispatch.
    pub(crate) fn deliver_forwarded(
        &self,
        event: &PoppedEvent,
        age_ns: u64,
        report: &mut PumpReport,
    ) {
        let delivery = lock(&self.inner.state).begin_delivery(event.cell.slot(), age_ns);
        if let Some(delivery) = delivery {
            self.call_subscribers(event, &delivery, report);
        }
    }

    fn call_subscribers(&self, event: &PoppedEvent, delivery: &Delivery, report: &mut PumpReport) {
        if delivery.has_subscribers() {
            report.delivered += 1;
            report.late += usize::from(delivery.is_late);
        } else {
            report.unclaimed += 1;
        }
        report.panics += delivery.run(event, &self.inner.shared, &self.inner.watch);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event_bus::test_events::{Beat, Meter, Note};
    use crate::event_bus::{BusConfig, Event, EventsDropped, Priority, Published, Subscription};

    /// The delivered events, as `(type, number)`.
    type Log = Arc<Mutex<Vec<(&'static str, u64)>>>;

    fn log<E: Event>(bus: &TypedEventBus, log: &Log, number: fn(&E) -> u64) -> Subscription {
        let log = log.clone();
        bus.subscribe(move |event: &E| lock(&log).push((E::NAME, number(event))))
            .unwrap()
    }

    #[test]
    fn lanes_are_drained_critical_first_and_each_in_order() {
        let bus = TypedEventBus::default();
        let seen = Log::default();
        let _guards = (
            log::<Meter>(&bus, &seen, |e| e.0),
            log::<Note>(&bus, &seen, |e| e.0),
            log::<Beat>(&bus, &seen, |e| e.0),
        );
        let publisher = bus.publisher().unwrap();
        for n in 0..2 {
            publisher.publish(Meter(n));
            publisher.publish(Note(n));
            publisher.publish(Beat(n));
        }
        assert_eq!(bus.pump(4).taken(), 4, "bounded");
        assert_eq!(bus.pump(100).taken(), 2);
        let want = [
            ("Beat", 0),
            ("Beat", 1),
            ("Note", 0),
            ("Note", 1),
            ("Meter", 0),
            ("Meter", 1),
        ];
        assert_eq!(*lock(&seen), want);
    }

    #[test]
    fn critical_event_overtakes_pending_events_of_lower_lanes() {
        let bus = TypedEventBus::default();
        let seen = Log::default();
        let _beats = log::<Beat>(&bus, &seen, |e| e.0);
        let urgent = Mutex::new(bus.publisher().unwrap());
        let inner = seen.clone();
        let _meters = bus.subscribe(move |e: &Meter| {
            lock(&inner).push(("Meter", e.0));
            if e.0 == 1 {
                lock(&urgent).publish(Beat(0));
            }
        });
        let flood = bus.publisher().unwrap();
        for n in 0..4 {
            flood.publish(Meter(n));
        }
        bus.pump(100);
        let want = [
            ("Meter", 0),
            ("Meter", 1),
            ("Beat", 0),
            ("Meter", 2),
            ("Meter", 3),
        ];
        assert_eq!(*lock(&seen), want);
    }

    #[test]
    fn publishers_alternate_within_a_lane() {
        let bus = TypedEventBus::default();
        let seen = Log::default();
        let _guard = log::<Beat>(&bus, &seen, |e| e.0);
        let (one, two) = (bus.publisher().unwrap(), bus.publisher().unwrap());
        for n in 0..3 {
            one.publish(Beat(n));
            two.publish(Beat(10 + n));
        }
        bus.pump(4);
        assert_eq!(*lock(&seen), [0, 10, 1, 11].map(|n| ("Beat", n)));
    }

    #[test]
    fn full_lane_counts_and_announces_dropped_events() {
        let config = BusConfig {
            critical_cells: 2,
            ..BusConfig::default()
        };
        let bus = TypedEventBus::new(config);
        let seen = Log::default();
        let _beats = log::<Beat>(&bus, &seen, |e| e.0);
        let announcements = Arc::new(Mutex::new(Vec::new()));
        let list = announcements.clone();
        let _drops = bus
            .subscribe(move |event: &EventsDropped| lock(&list).push(*event))
            .unwrap();
        let publisher = bus.publisher().unwrap();
        let results: Vec<_> = (0..5).map(|n| publisher.publish(Beat(n))).collect();
        use Published::{Dropped, Queued};
        assert_eq!(results, [Queued, Queued, Dropped, Dropped, Dropped]);
        assert_eq!(
            bus.stats().critical.dropped,
            3,
            "counted before the first pump"
        );
        bus.pump(10);
        publisher.publish(Beat(5));
        publisher.publish(Beat(6));
        publisher.publish(Beat(7));
        bus.pump(10);
        bus.pump(10);
        let announced = |dropped, total| EventsDropped {
            publisher: publisher.id(),
            lane: Priority::Critical,
            dropped,
            total,
        };
        assert_eq!(*lock(&announcements), [announced(3, 3), announced(1, 4)]);
        let stats = bus.stats();
        assert_eq!(
            (
                stats.critical.published,
                stats.critical.delivered,
                stats.critical.dropped
            ),
            (8, 4, 4)
        );
        assert_eq!((stats.high.published, stats.high.delivered), (2, 2));
    }

    #[test]
    fn dropped_events_of_a_dropped_publisher_are_announced() {
        let bus = TypedEventBus::new(BusConfig {
            normal_cells: 1,
            ..BusConfig::default()
        });
        let _meters = bus.subscribe(|_: &Meter| ()).unwrap();
        let drops = bus.queue::<EventsDropped>(4).unwrap();
        let publisher = bus.publisher().unwrap();
        for n in 0..3 {
            publisher.publish(Meter(n));
        }
        drop(publisher);
        bus.pump(10);
        assert_eq!(drops.try_next().map(|e| e.dropped), Some(2));
        bus.pump(10);
        let stats = bus.stats();
        assert_eq!(
            (
                stats.publishers,
                stats.normal.published,
                stats.normal.dropped
            ),
            (0, 3, 2)
        );
    }

    #[test]
    fn subscriber_panic_is_counted_and_the_other_subscribers_are_called() {
        let bus = TypedEventBus::default();
        let seen = Log::default();
        let _bad = bus.subscribe(|_: &Beat| panic!("on purpose")).unwrap();
        let _good = log::<Beat>(&bus, &seen, |e| e.0);
        let publisher = bus.publisher().unwrap();
        publisher.publish(Beat(1));
        publisher.publish(Beat(2));
        // The second event may be late: a panic is written out while it waits.
        let report = bus.pump(10);
        let counts = (report.delivered, report.unclaimed, report.panics);
        assert_eq!(counts, (2, 0, 2));
        assert_eq!(*lock(&seen), [("Beat", 1), ("Beat", 2)]);
        assert_eq!(bus.stats().subscriber_panics, 2);
    }

    #[derive(Clone, Copy)]
    struct Unserializable;
    impl serde::Serialize for Unserializable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no JSON form"))
        }
    }
    impl Event for Unserializable {
        const NAME: &'static str = "Unserializable";
        const PRIORITY: Priority = Priority::Normal;
    }

    #[test]
    fn serialize_error_becomes_the_json_of_the_event() {
        let bus = TypedEventBus::default();
        bus.declare::<Unserializable>().unwrap();
        let (send, records) = std::sync::mpsc::channel();
        let _guard = bus.subscribe_json(move |record| send.send(record.data.clone()).unwrap());
        bus.publisher().unwrap().publish(Unserializable);
        bus.pump(1);
        assert_eq!(
            records.try_recv().unwrap(),
            serde_json::json!({ "error": "no JSON form" })
        );
    }

    #[test]
    fn late_event_is_reported_by_the_pump_that_delivers_it() {
        let bus = TypedEventBus::default();
        let _guard = bus.subscribe(|_: &Beat| ()).unwrap();
        bus.publisher().unwrap().publish(Beat(1));
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert_eq!(bus.pump(10).late, 1);
        assert_eq!(bus.stats().critical.late, 1);
        assert_eq!(bus.pump(10).late, 0);
    }

    #[test]
    fn events_whose_last_subscription_ended_are_unclaimed() {
        let bus = TypedEventBus::default();
        let guard = bus.subscribe(|_: &Note| ()).unwrap();
        bus.publisher().unwrap().publish(Note(1));
        drop(guard);
        assert_eq!(
            bus.pump(10),
            PumpReport {
                delivered: 0,
                late: 0,
                unclaimed: 1,
                panics: 0
            }
        );
        let high = bus.stats().high;
        assert_eq!(
            (high.published, high.delivered, high.unclaimed, high.latency),
            (1, 0, 1, None)
        );
    }

    #[test]
    fn handlers_may_use_the_bus() {
        let bus = TypedEventBus::default();
        let seen = Log::default();
        let (inner, log_to) = (bus.clone(), seen.clone());
        let mut later = Vec::new();
        let _guard = bus.subscribe(move |_: &Beat| {
            assert_eq!(inner.pump(10), PumpReport::default(), "one pump at a time");
            later.push(log::<Note>(&inner, &log_to, |e| e.0));
            inner.publisher().unwrap().publish(Note(9));
            assert_eq!(inner.stats().critical.delivered, 1);
        });
        let publisher = bus.publisher().unwrap();
        publisher.publish(Beat(0));
        assert_eq!(bus.pump(10).delivered, 2);
        assert_eq!(*lock(&seen), [("Note", 9)]);
    }
}
