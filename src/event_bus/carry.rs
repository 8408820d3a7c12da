//! Events between two instances of one build that share no memory: transfer mode.
#![allow(unsafe_code)] // Events leave and enter as bytes; the caller vouches that they are unchanged.

use core::mem::MaybeUninit;

use super::bus::{TypedEventBus, lock};
use super::cell::{EventCell, Payload};
use super::dispatch::PumpReport;
use super::error::BusError;
use super::subscriber::Taken;

/// Marks publishers of another instance, so that their numbers do not meet ours.
pub(crate) const FROM_AFAR: u32 = 1 << 31;

/// An event outside of any bus. Slots and clocks differ between instances; numbers and ages do not.
#[derive(Clone, Copy)]
#[repr(C)]
struct CarriedCell {
    /// `Event::ID`.
    id: u32,
    publisher: u32,
    seq: u64,
    /// How long it waited in its lane.
    age_ns: u64,
    payload: Payload,
}

/// Bytes of one carried event.
pub const CARRIED_CELL_BYTES: usize = size_of::<CarriedCell>();

impl TypedEventBus {
    /// From now on every declared type, present and future, counts as wanted, because [`drain_cells`] will carry it.
    ///
    /// [`drain_cells`]: Self::drain_cells
    pub fn carry_all(&self) {
        let mut state = lock(&self.inner.state);
        if !state.carries {
            state.carries = true;
            self.want_everything(&mut state);
        }
    }

    /// Takes events out of the lanes, Critical first, and writes them to `out` as whole cells; returns the bytes
    /// written. What does not fit stays in its lane. They count as delivered; local subscribers do not get them.
    ///
    /// `MaybeUninit`, because the padding inside an event has no value.
    ///
    /// # Real-time
    /// For the worklet of an unshared instance: no allocation, and the locks it takes are free there (one thread).
    /// At most `out.len() / CARRIED_CELL_BYTES` events.
    pub fn drain_cells(&self, out: &mut [MaybeUninit<u8>]) -> usize {
        self.free_spent_publishers();
        let mut state = lock(&self.inner.state);
        let mut cells = out.chunks_exact_mut(CARRIED_CELL_BYTES);
        let mut written = 0;
        while cells.len() > 0 {
            let Some(Taken {
                cell,
                publisher,
                seq,
            }) = state.take()
            else {
                break;
            };
            let age_ns = cell.age_ns(self.inner.core.clock.now_ns());
            let Some((id, priority)) = state.declared(cell.slot()) else {
                continue;
            };
            state.count(priority, true, age_ns);
            let carried = CarriedCell {
                id,
                publisher,
                seq,
                age_ns,
                payload: *cell.payload(),
            };
            let Some(to) = cells.next() else { break };
            // SAFETY: `to` is `CARRIED_CELL_BYTES` long and ours alone; unaligned writes are allowed by the call.
            unsafe {
                to.as_mut_ptr()
                    .cast::<CarriedCell>()
                    .write_unaligned(carried)
            };
            written += CARRIED_CELL_BYTES;
        }
        written
    }

    /// Delivers carried events to this instance's subscribers, in the order of the cells; returns how many.
    /// Their publishers' numbers get the highest bit. The latency is the age they were drained with and `crossing_ns`, what the
    /// caller knows of the way here.
    ///
    /// # Errors
    /// [`BusError::TornCells`], [`BusError::UnknownEvent`]; [`BusError::Delivering`] while another thread pumps, and
    /// within a handler. Nothing was delivered then.
    ///
    /// # Safety
    /// The bytes are whole cells, unchanged, from [`drain_cells`](Self::drain_cells) of an instance of this very
    /// build, and the event types among them hold no references.
    pub unsafe fn inject_cells(
        &self,
        bytes: &[MaybeUninit<u8>],
        crossing_ns: u64,
    ) -> Result<usize, BusError> {
        let cells = bytes.chunks_exact(CARRIED_CELL_BYTES);
        if !cells.remainder().is_empty() {
            return Err(BusError::TornCells {
                bytes: bytes.len(),
                cell_bytes: CARRIED_CELL_BYTES,
            });
        }
        let Some(_turn) = self.try_turn() else {
            return Err(BusError::Delivering);
        };
        // SAFETY: the chunks have the size of a cell; the caller says that `drain_cells` wrote them.
        let cells =
            cells.map(|cell| unsafe { cell.as_ptr().cast::<CarriedCell>().read_unaligned() });
        let unknown = {
            let state = lock(&self.inner.state);
            let mut ids = cells.clone().map(|cell| cell.id).enumerate();
            ids.find(|&(_, id)| state.slot_of(id).is_none())
        };
        if let Some((index, id)) = unknown {
            return Err(BusError::UnknownEvent { id, index });
        }
        let mut report = PumpReport::default();
        for CarriedCell {
            id,
            publisher,
            seq,
            age_ns,
            payload,
        } in cells
        {
            // Found just now, and types are never taken away.
            let Some(slot) = lock(&self.inner.state).slot_of(id) else {
                continue;
            };
            let cell = EventCell::from_parts(slot, 0, payload);
            let taken = Taken {
                cell,
                publisher: publisher | FROM_AFAR,
                seq,
            };
            self.deliver_carried(&taken, age_ns.saturating_add(crossing_ns), &mut report);
        }
        Ok(report.taken())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::test_events::{Beat, Meter};
    use crate::event_bus::{BusConfig, EventsDropped, Published};

    fn buffer(cells: usize) -> Vec<MaybeUninit<u8>> {
        vec![MaybeUninit::uninit(); cells * CARRIED_CELL_BYTES]
    }

    #[test]
    fn events_cross_in_order_with_their_numbers() {
        let (sender, receiver) = (TypedEventBus::default(), TypedEventBus::default());
        sender.carry_all();
        // Declared in another order than at the receiver.
        sender.declare::<Meter>().unwrap();
        sender.declare::<Beat>().unwrap();
        let (send, records) = std::sync::mpsc::channel();
        receiver.declare::<Beat>().unwrap();
        receiver.declare::<Meter>().unwrap();
        let _guard = receiver.subscribe_json(move |record| send.send(record.clone()).unwrap());

        let publisher = sender.publisher().unwrap();
        publisher.publish(Meter(1));
        publisher.publish(Beat(2));
        publisher.publish(Beat(3));
        let mut bytes = buffer(2);
        // One byte short of the third cell.
        bytes.extend(vec![MaybeUninit::uninit(); CARRIED_CELL_BYTES - 1]);
        let mut carried = Vec::new();
        loop {
            let written = sender.drain_cells(&mut bytes);
            carried.push(written / CARRIED_CELL_BYTES);
            // SAFETY: drained above.
            let delivered = unsafe { receiver.inject_cells(&bytes[..written], 0) };
            assert_eq!(delivered, Ok(written / CARRIED_CELL_BYTES));
            if written == 0 {
                break;
            }
        }
        assert_eq!(carried, [2, 1, 0]);
        let seen: Vec<_> = records
            .try_iter()
            .map(|r| (r.name, r.publisher, r.seq, r.data))
            .collect();
        let afar = 1 << 31 | publisher.id();
        assert_eq!(
            seen,
            [
                ("Beat", afar, 0, 2.into()),
                ("Beat", afar, 1, 3.into()),
                ("Meter", afar, 0, 1.into())
            ]
        );
        for bus in [&sender, &receiver] {
            let stats = bus.stats();
            assert_eq!((stats.critical.published, stats.critical.delivered), (2, 2));
            assert_eq!((stats.normal.published, stats.normal.delivered), (1, 1));
        }
    }

    #[test]
    fn a_stalled_crossing_drops_counted_and_the_announcement_crosses() {
        let config = BusConfig {
            critical_cells: 2,
            ..BusConfig::default()
        };
        let (sender, receiver) = (TypedEventBus::new(config), TypedEventBus::default());
        sender.carry_all();
        sender.declare::<Beat>().unwrap();
        let drops = receiver.queue::<EventsDropped>(4).unwrap();
        receiver.declare::<Beat>().unwrap();
        let publisher = sender.publisher().unwrap();
        let fates: Vec<_> = (0..3).map(|n| publisher.publish(Beat(n))).collect();
        assert_eq!(fates[2], Published::Dropped);
        let mut bytes = buffer(8);
        let written = sender.drain_cells(&mut bytes);
        // SAFETY: drained above.
        let delivered = unsafe { receiver.inject_cells(&bytes[..written], 0) };
        assert_eq!(delivered, Ok(3));
        assert_eq!(drops.try_next().map(|event| event.dropped), Some(1));
    }

    #[test]
    fn torn_and_unknown_cells_are_refused() {
        let (sender, receiver) = (TypedEventBus::default(), TypedEventBus::default());
        sender.carry_all();
        sender.declare::<Beat>().unwrap();
        sender.publisher().unwrap().publish(Beat(1));
        let mut bytes = buffer(1);
        let written = sender.drain_cells(&mut bytes);
        // SAFETY: both drained above; the first is refused for its length.
        let (torn, unknown) = unsafe {
            (
                receiver.inject_cells(&bytes[..written - 1], 0),
                receiver.inject_cells(&bytes[..written], 0),
            )
        };
        assert_eq!(
            torn.unwrap_err().to_string(),
            "79 carried bytes are not whole cells of 80 bytes"
        );
        let id = crate::event_bus::fnv1a("Beat");
        assert_eq!(
            unknown.unwrap_err().to_string(),
            format!(
                "carried cell 0 is of event type {id:#010x}, which this instance has not declared"
            )
        );
    }
}
