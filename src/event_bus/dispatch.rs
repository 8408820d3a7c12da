//! The dispatching side: tables, counts, and the pump that hands events to subscribers.

use core::any::TypeId;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::{Arc, Mutex, TryLockError};

use super::bus::{TypedEventBus, lock};
use super::cell::EventCell;
use super::event::{Event, EventRecord, EventsDropped, Priority};
use super::interest::SLOTS;
use super::lane::LaneReader;
use super::publisher::{Published, Publisher};
use super::stats::{LaneStats, LaneTally};
use crate::sync::atomic::{AtomicBool, Ordering};

/// What one pump did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PumpReport {
    /// Events that reached a subscriber.
    pub delivered: usize,
    /// Events whose subscribers had left.
    pub unclaimed: usize,
    /// Handlers that panicked.
    pub panics: usize,
}

impl PumpReport {
    /// Events taken out of lanes.
    #[must_use]
    pub const fn taken(&self) -> usize {
        self.delivered + self.unclaimed
    }
}

pub(crate) enum Handler {
    Cell(Box<dyn FnMut(&EventCell) + Send>),
    Record(Box<dyn FnMut(&EventRecord) + Send>),
}

/// A handler that can be ended from anywhere, its own call included.
pub(crate) struct Subscriber {
    ended: AtomicBool,
    /// `None` once ended. Locked for the length of a call; only the dispatching side waits for it.
    handler: Mutex<Option<Handler>>,
}

impl Subscriber {
    pub(crate) fn new(handler: Handler) -> Arc<Self> {
        Arc::new(Self {
            ended: AtomicBool::new(false),
            handler: Mutex::new(Some(handler)),
        })
    }

    /// Ends the subscription and drops the handler, or leaves that to the call that is under way.
    pub(crate) fn end(&self) {
        // Release pairs with the Acquire in `call`: a call that begins after this sees it.
        self.ended.store(true, Ordering::Release);
        if let Ok(mut handler) = self.handler.try_lock() {
            drop(handler.take());
        }
    }

    /// Returns false when the handler panicked.
    fn call(&self, run: impl FnOnce(&mut Handler)) -> bool {
        let mut handler = lock(&self.handler);
        // Acquire pairs with the Release in `end`.
        let ended = || self.ended.load(Ordering::Acquire);
        let calm = match &mut *handler {
            Some(handler) if !ended() => catch_unwind(AssertUnwindSafe(|| run(handler))).is_ok(),
            _ => true,
        };
        if ended() {
            drop(handler.take());
        }
        calm
    }
}

type Subscribers = Arc<[Arc<Subscriber>]>;

/// A declared type.
pub(crate) struct TypeEntry {
    pub(crate) type_id: TypeId,
    pub(crate) id: u32,
    pub(crate) name: &'static str,
    pub(crate) priority: Priority,
    to_json: fn(&EventCell) -> serde_json::Value,
    subscribers: Subscribers,
}

impl TypeEntry {
    pub(crate) fn of<E: Event>(to_json: fn(&EventCell) -> serde_json::Value) -> Self {
        Self {
            type_id: TypeId::of::<E>(),
            id: E::ID,
            name: E::NAME,
            priority: E::PRIORITY,
            to_json,
            subscribers: Arc::new([]),
        }
    }
}

/// A publisher's lanes, seen from here.
struct Source {
    id: u32,
    readers: [LaneReader; 3],
    /// Events taken so far: the next one's `seq`.
    taken: [u64; 3],
    /// Drops already in the tallies.
    tallied: [u64; 3],
    /// Drops not yet announced.
    unannounced: [u64; 3],
}

impl Source {
    fn new(id: u32, readers: [LaneReader; 3]) -> Self {
        Self {
            id,
            readers,
            taken: [0; 3],
            tallied: [0; 3],
            unannounced: [0; 3],
        }
    }

    /// The publisher is gone and nothing of it is left.
    fn is_spent(&mut self) -> bool {
        // All lanes are seen abandoned before any is seen empty: nothing can come in between.
        self.readers.iter_mut().all(LaneReader::is_abandoned)
            && self.readers.iter().all(LaneReader::is_empty)
            && self
                .tallied
                .iter()
                .zip(&self.readers)
                .all(|(tallied, lane)| *tallied == lane.dropped())
            && self.unannounced == [0; 3]
    }
}

/// Everything the bus's lock guards. No user code runs under it.
pub(crate) struct State {
    /// By interest slot.
    pub(crate) types: [Option<TypeEntry>; SLOTS],
    /// Subscribers of everything, carrying included.
    pub(crate) everything: u32,
    records: Subscribers,
    /// The first is the announcer's.
    sources: Vec<Source>,
    next_id: u32,
    /// Publishes `EventsDropped`.
    announcer: Publisher,
    /// Per lane: the source to look at first, so that none starves another.
    turn: [usize; 3],
    tallies: [LaneTally; 3],
    pub(crate) panics: u64,
}

/// One event on its way out.
pub(crate) struct Taken {
    pub(crate) cell: EventCell,
    pub(crate) publisher: u32,
    pub(crate) seq: u64,
}

/// What to do with it.
struct Delivery {
    subscribers: Subscribers,
    records: Subscribers,
    name: &'static str,
    priority: Priority,
    to_json: fn(&EventCell) -> serde_json::Value,
}

impl Delivery {
    fn is_claimed(&self) -> bool {
        !self.subscribers.is_empty() || !self.records.is_empty()
    }

    /// Calls the handlers; returns how many panicked.
    fn run(&self, taken: &Taken) -> usize {
        let mut panics = 0;
        for subscriber in &*self.subscribers {
            let calm = subscriber.call(|handler| {
                if let Handler::Cell(handler) = handler {
                    handler(&taken.cell);
                }
            });
            panics += usize::from(!calm);
        }
        if self.records.is_empty() {
            return panics;
        }
        // The event's own `Serialize` may panic too.
        let Ok(data) = catch_unwind(AssertUnwindSafe(|| (self.to_json)(&taken.cell))) else {
            return panics + 1;
        };
        let record = EventRecord {
            version: EventRecord::VERSION,
            name: self.name,
            priority: self.priority,
            seq: taken.seq,
            publisher: taken.publisher,
            data,
        };
        for subscriber in &*self.records {
            let calm = subscriber.call(|handler| {
                if let Handler::Record(handler) = handler {
                    handler(&record);
                }
            });
            panics += usize::from(!calm);
        }
        panics
    }
}

impl State {
    pub(crate) fn new(announcer: Publisher, readers: [LaneReader; 3]) -> Self {
        Self {
            types: [const { None }; SLOTS],
            everything: 0,
            records: Arc::new([]),
            sources: vec![Source::new(announcer.id(), readers)],
            next_id: 1,
            announcer,
            turn: [0; 3],
            tallies: Priority::ALL.map(LaneTally::new),
            panics: 0,
        }
    }

    pub(crate) fn add_source(&mut self, readers: [LaneReader; 3]) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        self.sources.push(Source::new(id, readers));
        id
    }

    /// Publishers, the announcer apart.
    pub(crate) fn publishers(&self) -> usize {
        self.sources.len() - 1
    }

    pub(crate) fn declared_slots(&self) -> impl Iterator<Item = u8> {
        let slots = self
            .types
            .iter()
            .enumerate()
            .filter(|(_, entry)| entry.is_some());
        slots.map(|(slot, _)| slot as u8)
    }

    pub(crate) fn declared(&self, slot: u8) -> Option<(u32, Priority)> {
        self.types[usize::from(slot)]
            .as_ref()
            .map(|entry| (entry.id, entry.priority))
    }

    pub(crate) fn slot_of(&self, id: u32) -> Option<u8> {
        self.declared_slots()
            .find(|&slot| self.declared(slot).is_some_and(|(known, _)| known == id))
    }

    fn subscribers_mut(&mut self, slot: Option<u8>) -> Option<&mut Subscribers> {
        match slot {
            Some(slot) => self.types[usize::from(slot)]
                .as_mut()
                .map(|entry| &mut entry.subscribers),
            None => Some(&mut self.records),
        }
    }

    pub(crate) fn add_subscriber(&mut self, slot: Option<u8>, subscriber: Arc<Subscriber>) {
        if let Some(list) = self.subscribers_mut(slot) {
            *list = list.iter().cloned().chain([subscriber]).collect();
        }
    }

    pub(crate) fn remove_subscriber(&mut self, slot: Option<u8>, subscriber: &Arc<Subscriber>) {
        if let Some(list) = self.subscribers_mut(slot) {
            *list = list
                .iter()
                .filter(|kept| !Arc::ptr_eq(kept, subscriber))
                .cloned()
                .collect();
        }
    }

    pub(crate) fn lane_stats(&self, priority: Priority) -> LaneStats {
        let lane = priority.lane();
        let dropped = self
            .sources
            .iter()
            .map(|s| s.readers[lane].dropped() - s.tallied[lane])
            .sum();
        let pending = self
            .sources
            .iter()
            .map(|s| s.readers[lane].len() as u64)
            .sum();
        self.tallies[lane].stats(dropped, pending)
    }

    pub(crate) fn bytes(&self) -> usize {
        let lanes: usize = self
            .sources
            .iter()
            .flat_map(|s| &s.readers)
            .map(LaneReader::bytes)
            .sum();
        lanes + self.tallies.iter().map(LaneTally::bytes).sum::<usize>()
    }

    /// Brings the drop counts up to date, announces new ones, and frees what dropped publishers left.
    pub(crate) fn tidy(&mut self) {
        let (announcements, sources) = self.sources.split_at_mut(1);
        let mut room = announcements[0].readers[Priority::High.lane()].room();
        for source in &mut *sources {
            for priority in Priority::ALL {
                let lane = priority.lane();
                let total = source.readers[lane].dropped();
                let new = total - source.tallied[lane];
                self.tallies[lane].dropped += new;
                source.tallied[lane] = total;
                source.unannounced[lane] += new;
                if source.unannounced[lane] == 0 || room == 0 {
                    continue;
                }
                let dropped = source.unannounced[lane];
                let event = EventsDropped {
                    publisher: source.id,
                    lane: priority,
                    dropped,
                    total,
                };
                room -= usize::from(self.announcer.publish(event) == Published::Queued);
                source.unannounced[lane] = 0;
            }
        }
        self.sources
            .retain_mut(|source| source.id == self.announcer.id() || !source.is_spent());
    }

    /// The oldest event of the highest lane that has one, publishers taking turns.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        let sources = self.sources.len();
        for priority in Priority::ALL {
            let lane = priority.lane();
            for step in 0..sources {
                let index = (self.turn[lane] + step) % sources;
                let source = &mut self.sources[index];
                if let Some(cell) = source.readers[lane].take() {
                    self.turn[lane] = index + 1;
                    let seq = source.taken[lane];
                    source.taken[lane] += 1;
                    return Some(Taken {
                        cell,
                        publisher: source.id,
                        seq,
                    });
                }
            }
        }
        None
    }

    /// Who gets an event, and the count of it.
    fn deliver(&mut self, slot: u8, latency_ns: u64) -> Option<Delivery> {
        let entry = self.types[usize::from(slot)].as_ref()?;
        let delivery = Delivery {
            subscribers: entry.subscribers.clone(),
            records: self.records.clone(),
            name: entry.name,
            priority: entry.priority,
            to_json: entry.to_json,
        };
        self.count(entry.priority, delivery.is_claimed(), latency_ns);
        Some(delivery)
    }

    pub(crate) fn count(&mut self, priority: Priority, claimed: bool, latency_ns: u64) {
        let tally = &mut self.tallies[priority.lane()];
        if claimed {
            tally.deliver(latency_ns);
        } else {
            tally.unclaimed += 1;
        }
    }
}

impl TypedEventBus {
    /// Takes up to `max_events` out of the lanes, Critical first (looked at again after every event), and calls their
    /// subscribers. Does nothing when another thread is pumping, or when a handler calls it.
    ///
    /// # Real-time
    /// No: it locks, and runs other people's code. It belongs to a control thread or worker.
    pub fn pump(&self, max_events: usize) -> PumpReport {
        let _turn = match self.inner.turn.try_lock() {
            Ok(turn) => turn,
            Err(TryLockError::Poisoned(turn)) => turn.into_inner(),
            Err(TryLockError::WouldBlock) => return PumpReport::default(),
        };
        let mut report = PumpReport::default();
        self.inner.core.clock.now_ns();
        lock(&self.inner.state).tidy();
        while report.taken() < max_events {
            let next = {
                let mut state = lock(&self.inner.state);
                state.take().and_then(|taken| {
                    // Read after the cell was seen, so that the latency is not too short.
                    let now = self.inner.core.clock.now_ns();
                    let latency = now.saturating_sub(taken.cell.stamp_ns());
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

    /// Delivers an event that came from another instance.
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
        let panics = delivery.run(taken);
        if panics > 0 {
            report.panics += panics;
            lock(&self.inner.state).panics += panics as u64;
        }
    }
}
