//! The pump: takes events out of lanes and hands them to subscribers.

use std::sync::{MutexGuard, TryLockError};

use super::bus::{TypedEventBus, lock};
use super::state::State;
use super::subscriber::{Delivery, Taken};

/// What one pump did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PumpReport {
    /// Events that reached a subscriber.
    pub delivered: usize,
    /// Events whose subscribers had left.
    pub unclaimed: usize,
    /// Panics that were caught: of handlers, of `Serialize`, and of the drops of what these left.
    pub panics: usize,
}

impl PumpReport {
    /// Events taken out of lanes.
    #[must_use]
    pub const fn taken(&self) -> usize {
        self.delivered + self.unclaimed
    }
}

impl TypedEventBus {
    /// Takes up to `max_events` out of the lanes, Critical first (looked at again after every event), and calls their
    /// subscribers. Does nothing when another thread is pumping, or when a handler calls it.
    ///
    /// It returns, also when handlers publish or publishers are faster than they: at most as many events are taken as all
    /// lanes can hold, whatever `max_events` is.
    ///
    /// # Real-time
    /// No: it locks, and runs other people's code. It belongs to a control thread or worker.
    pub fn pump(&self, max_events: usize) -> PumpReport {
        self.pump_while(max_events, || true)
    }

    /// [`pump`](Self::pump), as long as `goes_on` says so, which is asked before each event.
    pub(crate) fn pump_while(&self, max_events: usize, goes_on: impl Fn() -> bool) -> PumpReport {
        let Some(_turn) = self.try_turn() else {
            return PumpReport::default();
        };
        self.inner.core.clock.now_ns();
        self.free_spent_publishers_watched();
        let limit = max_events.min(lock(&self.inner.state).cells());
        self.deliver(limit, State::take, goes_on)
    }

    /// The events that wait now become due: [`deliver_due`](Self::deliver_due) delivers them.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn make_due(&self) {
        lock(&self.inner.state).make_due();
    }

    /// Delivers what is due and nothing that was published later, as long as `goes_on` says so.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn deliver_due(&self, goes_on: impl Fn() -> bool) {
        if let Some(_turn) = self.try_turn() {
            self.deliver(usize::MAX, State::take_due, goes_on);
            self.free_spent_publishers_watched();
        }
    }

    /// The right to dispatch, unless another call has it: a handler's, or another thread's.
    pub(crate) fn try_turn(&self) -> Option<MutexGuard<'_, ()>> {
        match self.inner.turn.try_lock() {
            Ok(turn) => Some(turn),
            Err(TryLockError::Poisoned(turn)) => Some(turn.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    fn deliver(
        &self,
        limit: usize,
        take: impl Fn(&mut State) -> Option<Taken>,
        goes_on: impl Fn() -> bool,
    ) -> PumpReport {
        let mut report = PumpReport::default();
        while report.taken() < limit && goes_on() {
            let next = {
                let mut state = lock(&self.inner.state);
                take(&mut state).and_then(|taken| {
                    // Read after the cell was seen, so that the latency is not too short.
                    let latency = taken.cell.age_ns(self.inner.core.clock.now_ns());
                    state
                        .deliver(taken.cell.slot(), latency)
                        .map(|delivery| (taken, delivery))
                })
            };
            let Some((taken, delivery)) = next else { break };
            self.hand_out(&taken, &delivery, &mut report);
        }
        report
    }

    /// Announces drops, and frees what dropped publishers left. Their inline handlers are dropped without a lock.
    pub(crate) fn free_spent_publishers(&self) {
        let publishers = {
            let mut state = lock(&self.inner.state);
            state.announce_drops();
            state.publishers()
        };
        // As many as there are now: what their handlers' drops leave waits for the next time.
        for _ in 0..publishers {
            let spent = lock(&self.inner.state).take_spent();
            let Some(spent) = spent else { break };
            drop(spent);
        }
    }

    /// The same for whoever has the turn: only their calls are watched.
    fn free_spent_publishers_watched(&self) {
        let _call = self.inner.watch.enter(None, "drop of inline handlers");
        self.free_spent_publishers();
    }

    /// Delivers an event that came from another instance. The caller has the turn.
    pub(crate) fn deliver_carried(&self, taken: &Taken, age_ns: u64, report: &mut PumpReport) {
        let delivery = lock(&self.inner.state).deliver(taken.cell.slot(), age_ns);
        if let Some(delivery) = delivery {
            self.hand_out(taken, &delivery, report);
        }
    }

    fn hand_out(&self, taken: &Taken, delivery: &Delivery, report: &mut PumpReport) {
        if delivery.is_claimed() {
            report.delivered += 1;
        } else {
            report.unclaimed += 1;
        }
        report.panics += delivery.run(taken, &self.inner.core, &self.inner.watch);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::event_bus::test_events::{Beat, Meter, Note};
    use crate::event_bus::{BusConfig, Event, EventsDropped, Priority, Published, Subscription};

    /// What arrived, as `(type, number)`.
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
    fn a_critical_event_overtakes_a_flood_that_is_being_drained() {
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
    fn publishers_take_turns_within_a_lane() {
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
    fn a_full_lane_drops_counted_and_announced() {
        let config = BusConfig {
            critical_cells: 2,
            ..BusConfig::default()
        };
        let bus = TypedEventBus::new(config);
        let seen = Log::default();
        let _beats = log::<Beat>(&bus, &seen, |e| e.0);
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = told.clone();
        let _drops = bus
            .subscribe(move |event: &EventsDropped| lock(&tell).push(*event))
            .unwrap();
        let publisher = bus.publisher().unwrap();
        let fates: Vec<_> = (0..5).map(|n| publisher.publish(Beat(n))).collect();
        use Published::{Dropped, Queued};
        assert_eq!(fates, [Queued, Queued, Dropped, Dropped, Dropped]);
        assert_eq!(
            bus.stats().critical.dropped,
            3,
            "counted before anybody pumps"
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
        assert_eq!(*lock(&told), [announced(3, 3), announced(1, 4)]);
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
    fn drops_of_a_publisher_that_is_gone_are_announced_too() {
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
    fn a_panicking_subscriber_is_counted_and_the_others_go_on() {
        let bus = TypedEventBus::default();
        let seen = Log::default();
        let _bad = bus.subscribe(|_: &Beat| panic!("on purpose")).unwrap();
        let _good = log::<Beat>(&bus, &seen, |e| e.0);
        let publisher = bus.publisher().unwrap();
        publisher.publish(Beat(1));
        publisher.publish(Beat(2));
        assert_eq!(
            bus.pump(10),
            PumpReport {
                delivered: 2,
                unclaimed: 0,
                panics: 2
            }
        );
        assert_eq!(*lock(&seen), [("Beat", 1), ("Beat", 2)]);
        assert_eq!(bus.stats().subscriber_panics, 2);
    }

    #[derive(Clone, Copy)]
    struct Unspeakable;
    impl serde::Serialize for Unspeakable {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no words"))
        }
    }
    impl Event for Unspeakable {
        const NAME: &'static str = "Unspeakable";
        const PRIORITY: Priority = Priority::Normal;
    }

    #[test]
    fn an_event_without_a_json_form_says_so() {
        let bus = TypedEventBus::default();
        bus.declare::<Unspeakable>().unwrap();
        let (send, records) = std::sync::mpsc::channel();
        let _guard = bus.subscribe_json(move |record| send.send(record.data.clone()).unwrap());
        bus.publisher().unwrap().publish(Unspeakable);
        bus.pump(1);
        assert_eq!(
            records.try_recv().unwrap(),
            serde_json::json!({ "error": "no words" })
        );
    }

    #[test]
    fn what_nobody_waits_for_any_more_is_unclaimed() {
        let bus = TypedEventBus::default();
        let guard = bus.subscribe(|_: &Note| ()).unwrap();
        bus.publisher().unwrap().publish(Note(1));
        drop(guard);
        assert_eq!(
            bus.pump(10),
            PumpReport {
                delivered: 0,
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
            assert_eq!(inner.pump(10), PumpReport::default(), "not twice at a time");
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
