//! The data behind the bus's lock: types and their subscribers, publishers' lanes, counts.

use core::any::TypeId;
use std::sync::Arc;

use super::cell::EventCell;
use super::config::Lanes;
use super::event::{Event, EventsDropped, Priority};
use super::inline_handlers::InlineHandlers;
use super::lane::{LaneReader, LaneWriter};
use super::shared::Shared;
use super::stats::{LaneStats, LaneTally};
use super::subscriber::{Delivery, PoppedEvent, Subscriber, Subscribers, to_json};
use super::type_table::SLOTS;

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
    pub(crate) fn of<E: Event>() -> Self {
        Self {
            type_id: TypeId::of::<E>(),
            id: E::ID,
            name: E::NAME,
            priority: E::PRIORITY,
            to_json: to_json::<E>,
            subscribers: Arc::new([]),
        }
    }
}

/// The dispatching side's ends of one publisher.
pub(crate) struct Source {
    id: u32,
    readers: [LaneReader; 3],
    /// Kept so that this side drops the handlers.
    inline: Arc<InlineHandlers>,
    /// Events popped so far, which is the `seq` of the next one.
    popped: [u64; 3],
    /// Dropped events that the tallies contain already.
    tallied: [u64; 3],
    /// Dropped events that were not announced yet.
    unannounced: [u64; 3],
    /// Events that a flush still has to deliver: the oldest ones of their lane.
    to_flush: [usize; 3],
}

impl Source {
    fn new(id: u32, readers: [LaneReader; 3], inline: Arc<InlineHandlers>) -> Self {
        Self {
            id,
            readers,
            inline,
            popped: [0; 3],
            tallied: [0; 3],
            unannounced: [0; 3],
            to_flush: [0; 3],
        }
    }

    /// Whether the publisher was dropped and nothing of it is left to deliver or announce.
    fn is_drained(&mut self) -> bool {
        // The order matters: once all lanes are abandoned nothing is pushed any more, so that an empty lane stays empty.
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

/// Set in the numbers of publishers of another instance, so that they differ from those of this one.
pub(crate) const FORWARDED_PUBLISHER: u32 = 1 << 31;
/// Publishers of this instance have the numbers from 1 to here.
const LAST_ID: u32 = FORWARDED_PUBLISHER - 1;
/// The number of the bus itself, which announces dropped events.
const ANNOUNCER_ID: u32 = 0;

/// The data behind the bus's lock. No user code runs while it is locked.
pub(crate) struct State {
    /// Indexed by the slot in the type table.
    pub(crate) types: [Option<TypeEntry>; SLOTS],
    /// How many subscribe to all types; forwarding counts as one.
    pub(crate) subscribers_of_all: u32,
    /// Whether events are forwarded to another instance.
    pub(crate) forwards: bool,
    json_subscribers: Subscribers,
    /// The first is the bus itself.
    sources: Vec<Source>,
    next_id: u32,
    shared: Arc<Shared>,
    /// The lane for `EventsDropped`.
    announcements: LaneWriter,
    /// Per lane: the source that is polled first, so that no publisher starves another.
    next_source: [usize; 3],
    tallies: [LaneTally; 3],
}

impl State {
    pub(crate) fn new(shared: Arc<Shared>, (writers, readers): Lanes) -> Self {
        let [_, announcements, _] = writers;
        let no_handlers = Arc::new(InlineHandlers::new(shared.clone()));
        Self {
            types: [const { None }; SLOTS],
            subscribers_of_all: 0,
            forwards: false,
            json_subscribers: Arc::new([]),
            sources: vec![Source::new(ANNOUNCER_ID, readers, no_handlers)],
            next_id: 1,
            shared,
            announcements,
            next_source: [0; 3],
            tallies: Priority::ALL.map(LaneTally::new),
        }
    }

    /// Adds the lanes of a new publisher; returns its number.
    pub(crate) fn add_source(
        &mut self,
        readers: [LaneReader; 3],
        inline: Arc<InlineHandlers>,
    ) -> u32 {
        let id = self.unused_id();
        self.sources.push(Source::new(id, readers, inline));
        id
    }

    /// A number that no publisher has, and none had among the last 2^31 - 1.
    fn unused_id(&mut self) -> u32 {
        loop {
            let id = self.next_id;
            // Wraps to 1: 0 is the bus itself, and the highest bit marks publishers of other instances.
            self.next_id = if id == LAST_ID { 1 } else { id + 1 };
            if self.sources.iter().all(|source| source.id != id) {
                return id;
            }
        }
    }

    /// Number of publishers, not counting the bus itself.
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
            None => Some(&mut self.json_subscribers),
        }
    }

    /// Adds a subscriber of one type, or of all types (`None`).
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

    /// The most events that all lanes together can hold.
    pub(crate) fn cells(&self) -> usize {
        let lanes = self.sources.iter().flat_map(|source| &source.readers);
        lanes.map(LaneReader::capacity).sum()
    }

    /// Adds new dropped events to the tallies, and publishes an `EventsDropped` for each lane that has some.
    pub(crate) fn announce_drops(&mut self) {
        let (announcer, sources) = self.sources.split_at_mut(1);
        let mut free = announcer[0].readers[Priority::High.lane()].free_cells();
        for source in &mut *sources {
            for priority in Priority::ALL {
                let lane = priority.lane();
                let total = source.readers[lane].dropped();
                let new = total - source.tallied[lane];
                self.tallies[lane].dropped += new;
                source.tallied[lane] = total;
                source.unannounced[lane] += new;
                if source.unannounced[lane] == 0 || free == 0 {
                    continue;
                }
                let event = EventsDropped {
                    publisher: source.id,
                    lane: priority,
                    dropped: source.unannounced[lane],
                    total,
                };
                if let Some(slot) = self.shared.types.subscribed_slot::<EventsDropped>() {
                    let timestamp_ns = self.shared.clock.timestamp_ns();
                    free -= usize::from(self.announcements.push(slot, timestamp_ns, event));
                }
                source.unannounced[lane] = 0;
            }
        }
    }

    /// Removes one dropped publisher of which nothing is left to deliver. The caller drops it after unlocking, because its
    /// inline handlers are user code.
    pub(crate) fn remove_drained(&mut self) -> Option<Source> {
        let mut sources = self.sources.iter_mut();
        let index = sources.position(|source| source.id != ANNOUNCER_ID && source.is_drained())?;
        Some(self.sources.remove(index))
    }

    /// Marks the pending events as those that [`pop_to_flush`](Self::pop_to_flush) returns.
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn begin_flush(&mut self) {
        self.announce_drops();
        for source in &mut self.sources {
            for (to_flush, lane) in source.to_flush.iter_mut().zip(&source.readers) {
                *to_flush = lane.len();
            }
        }
    }

    /// Pops the oldest event of the highest lane that has one; publishers alternate within a lane.
    pub(crate) fn pop(&mut self) -> Option<PoppedEvent> {
        self.pop_where(|_, _| true)
    }

    /// [`pop`](Self::pop), but only events that were pending at [`begin_flush`](Self::begin_flush).
    #[cfg(not(target_arch = "wasm32"))]
    pub(crate) fn pop_to_flush(&mut self) -> Option<PoppedEvent> {
        self.pop_where(|source, lane| source.to_flush[lane] > 0)
    }

    fn pop_where(&mut self, accepts: impl Fn(&Source, usize) -> bool) -> Option<PoppedEvent> {
        let sources = self.sources.len();
        for priority in Priority::ALL {
            let lane = priority.lane();
            for step in 0..sources {
                let index = (self.next_source[lane] + step) % sources;
                let source = &mut self.sources[index];
                if !accepts(source, lane) {
                    continue;
                }
                if let Some(cell) = source.readers[lane].pop() {
                    source.to_flush[lane] = source.to_flush[lane].saturating_sub(1);
                    self.next_source[lane] = index + 1;
                    let seq = source.popped[lane];
                    source.popped[lane] += 1;
                    return Some(PoppedEvent {
                        cell,
                        publisher: source.id,
                        seq,
                    });
                }
            }
        }
        None
    }

    /// Counts an event, and returns the subscribers that get it.
    pub(crate) fn begin_delivery(&mut self, slot: u8, latency_ns: u64) -> Option<Delivery> {
        let entry = self.types[usize::from(slot)].as_ref()?;
        let mut delivery = Delivery {
            is_late: false,
            subscribers: entry.subscribers.clone(),
            json_subscribers: self.json_subscribers.clone(),
            name: entry.name,
            priority: entry.priority,
            to_json: entry.to_json,
        };
        delivery.is_late = self.count(entry.priority, delivery.has_subscribers(), latency_ns);
        Some(delivery)
    }

    /// Counts an event; returns whether it was delivered late.
    pub(crate) fn count(
        &mut self,
        priority: Priority,
        has_subscribers: bool,
        latency_ns: u64,
    ) -> bool {
        let tally = &mut self.tallies[priority.lane()];
        if !has_subscribers {
            tally.unclaimed += 1;
            return false;
        }
        tally.deliver(latency_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::config::BusConfig;

    #[test]
    fn publisher_numbers_wrap_and_skip_those_in_use() {
        let shared = Arc::new(Shared::new());
        let lanes = || BusConfig::default().announcement_lanes();
        let mut state = State::new(shared.clone(), lanes());
        let next = |state: &mut State| {
            let inline = Arc::new(InlineHandlers::new(shared.clone()));
            state.add_source(lanes().1, inline)
        };
        let first = next(&mut state);
        state.next_id = LAST_ID;
        let ids = [(); 3].map(|()| next(&mut state));
        assert_eq!((first, ids), (1, [LAST_ID, 2, 3]));
    }
}
