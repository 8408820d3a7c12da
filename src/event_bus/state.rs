//! What the bus's lock guards: types and their subscribers, publishers' lanes, counts.

use core::any::TypeId;
use std::sync::{Arc, Weak};

use super::bus::Inner;
use super::carry::FROM_AFAR;
use super::cell::EventCell;
use super::event::{Event, EventsDropped, Priority};
use super::interest::SLOTS;
use super::lane::{LaneReader, LaneWriter};
use super::publisher::{Core, InlineHandlers, Published, Publisher};
use super::stats::{LaneStats, LaneTally};
use super::subscriber::{Delivery, Subscriber, Subscribers, Taken};

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
pub(crate) struct Source {
    id: u32,
    readers: [LaneReader; 3],
    inline: Arc<InlineHandlers>,
    /// Events taken so far: the next one's `seq`.
    taken: [u64; 3],
    /// Drops already in the tallies.
    tallied: [u64; 3],
    /// Drops not yet announced.
    unannounced: [u64; 3],
    /// Events that a final delivery still has to deliver: they come before all others of their lane.
    due: [usize; 3],
}

impl Source {
    fn new(id: u32, readers: [LaneReader; 3], inline: Arc<InlineHandlers>) -> Self {
        Self {
            id,
            readers,
            inline,
            taken: [0; 3],
            tallied: [0; 3],
            unannounced: [0; 3],
            due: [0; 3],
        }
    }

    /// The publisher is gone and nothing of it is left.
    fn is_spent(&mut self) -> bool {
        // All lanes are seen abandoned before any is seen empty: nothing can come in between.
        self.readers.iter_mut().all(LaneReader::is_abandoned)
            && Arc::get_mut(&mut self.inline).is_some()
            && self.readers.iter().all(LaneReader::is_empty)
            && self
                .tallied
                .iter()
                .zip(&self.readers)
                .all(|(tallied, lane)| *tallied == lane.dropped())
            && self.unannounced == [0; 3]
    }
}

/// Publishers of this instance are numbered from 1 to here.
const LAST_ID: u32 = FROM_AFAR - 1;

/// Everything the bus's lock guards. No user code runs under it.
pub(crate) struct State {
    /// By interest slot.
    pub(crate) types: [Option<TypeEntry>; SLOTS],
    /// Subscribers of everything, carrying included.
    pub(crate) everything: u32,
    /// Whether carrying is among them.
    pub(crate) carries: bool,
    records: Subscribers,
    /// The first is the announcer's.
    sources: Vec<Source>,
    next_id: u32,
    /// Publishes `EventsDropped`.
    announcer: Publisher,
    /// Per lane: the source to look at first, so that none starves another.
    turn: [usize; 3],
    tallies: [LaneTally; 3],
}

impl State {
    pub(crate) fn new(announcer: Publisher, readers: [LaneReader; 3]) -> Self {
        Self {
            types: [const { None }; SLOTS],
            everything: 0,
            carries: false,
            records: Arc::new([]),
            sources: vec![Source::new(
                announcer.id(),
                readers,
                announcer.inline_handlers(),
            )],
            next_id: 1,
            announcer,
            turn: [0; 3],
            tallies: Priority::ALL.map(LaneTally::new),
        }
    }

    /// Makes a publisher whose lanes end here.
    pub(crate) fn add_publisher(
        &mut self,
        core: Arc<Core>,
        bus: Weak<Inner>,
        (writers, readers): ([LaneWriter; 3], [LaneReader; 3]),
    ) -> Publisher {
        let publisher = Publisher::new(core, bus, writers, self.fresh_id());
        self.sources.push(Source::new(
            publisher.id(),
            readers,
            publisher.inline_handlers(),
        ));
        publisher
    }

    /// A number that no publisher has, and that none had among the last two thousand million.
    fn fresh_id(&mut self) -> u32 {
        loop {
            let id = self.next_id;
            // From 1 on again, since 0 is the announcer, and the highest bit marks publishers of other instances.
            self.next_id = if id == LAST_ID { 1 } else { id + 1 };
            if self.sources.iter().all(|source| source.id != id) {
                return id;
            }
        }
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

    /// Events that the lanes can hold.
    pub(crate) fn cells(&self) -> usize {
        let lanes = self.sources.iter().flat_map(|source| &source.readers);
        lanes.map(LaneReader::capacity).sum()
    }

    /// Brings the drop counts up to date, and announces new ones.
    pub(crate) fn announce_drops(&mut self) {
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
    }

    /// Takes out a dropped publisher of which nothing is left to deliver. The caller drops it after unlocking: its inline
    /// handlers are code of the user's.
    pub(crate) fn take_spent(&mut self) -> Option<Source> {
        let announcer = self.announcer.id();
        let mut sources = self.sources.iter_mut();
        let index = sources.position(|source| source.id != announcer && source.is_spent())?;
        Some(self.sources.remove(index))
    }

    /// Makes the events that wait now due: see [`take_due`](Self::take_due).
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn make_due(&mut self) {
        self.announce_drops();
        for source in &mut self.sources {
            for (due, lane) in source.due.iter_mut().zip(&source.readers) {
                *due = lane.len();
            }
        }
    }

    /// The oldest event of the highest lane that has one, publishers taking turns.
    pub(crate) fn take(&mut self) -> Option<Taken> {
        self.take_where(|_, _| true)
    }

    /// [`take`](Self::take), but only what waited when [`make_due`](Self::make_due) was called.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn take_due(&mut self) -> Option<Taken> {
        self.take_where(|source, lane| source.due[lane] > 0)
    }

    fn take_where(&mut self, wanted: impl Fn(&Source, usize) -> bool) -> Option<Taken> {
        let sources = self.sources.len();
        for priority in Priority::ALL {
            let lane = priority.lane();
            for step in 0..sources {
                let index = (self.turn[lane] + step) % sources;
                let source = &mut self.sources[index];
                if !wanted(source, lane) {
                    continue;
                }
                if let Some(cell) = source.readers[lane].take() {
                    source.due[lane] = source.due[lane].saturating_sub(1);
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
    pub(crate) fn deliver(&mut self, slot: u8, latency_ns: u64) -> Option<Delivery> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::TypedEventBus;
    use crate::event_bus::bus::lock;

    #[test]
    fn publisher_numbers_come_round_and_leave_out_those_in_use() {
        let bus = TypedEventBus::default();
        let first = bus.publisher().unwrap();
        lock(&bus.inner.state).next_id = LAST_ID;
        let ids = [(); 3].map(|()| bus.publisher().unwrap().id());
        assert_eq!((first.id(), ids), (1, [LAST_ID, 2, 3]));
    }
}
