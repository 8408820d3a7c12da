//! Forwards events between two instances of one build that share no memory: transfer mode.
#![allow(unsafe_code)] // Events leave and enter as bytes; the caller guarantees that they are unchanged.

use core::mem::MaybeUninit;

use super::bus::TypedEventBus;
use super::cell::{EventCell, Payload};
use super::dispatch::PumpReport;
use super::error::BusError;
use super::state::FORWARDED_PUBLISHER;
use super::subscriber::PoppedEvent;
use crate::lock::lock;

/// An event outside of any bus. Slots and clocks differ between instances; type numbers and ages do not.
#[derive(Clone, Copy)]
#[repr(C)]
struct ForwardedCell {
    /// `Event::ID`.
    id: u32,
    publisher: u32,
    seq: u64,
    /// The time that the event was pending in its lane.
    age_ns: u64,
    payload: Payload,
}

/// Bytes of one forwarded event.
pub const FORWARDED_CELL_BYTES: usize = size_of::<ForwardedCell>();

impl TypedEventBus {
    /// From now on every declared type, also one that is declared later, counts as subscribed to, and [`drain_cells`]
    /// returns its events.
    ///
    /// [`drain_cells`]: Self::drain_cells
    pub fn forward_all(&self) {
        let mut state = lock(&self.inner.state);
        if !state.forwards {
            state.forwards = true;
            self.inner.add_subscriber_of_all(&mut state);
        }
    }

    /// The earlier name of [`forward_all`](Self::forward_all).
    #[doc(hidden)]
    pub fn carry_all(&self) {
        self.forward_all();
    }

    /// Pops events from the lanes, Critical first, and writes them to `out` as whole cells; returns the bytes written. Events
    /// that do not fit stay in their lanes. The popped ones count as delivered; subscribers on this instance do not get them.
    ///
    /// `out` is `MaybeUninit`, because the padding inside an event has no value.
    ///
    /// # Real-time
    /// For the worklet of an unshared instance: it does not allocate, and its locks are never contended there (one thread).
    /// At most `out.len() / FORWARDED_CELL_BYTES` events.
    pub fn drain_cells(&self, out: &mut [MaybeUninit<u8>]) -> usize {
        self.inner.free_drained_publishers();
        let mut state = lock(&self.inner.state);
        let mut cells = out.chunks_exact_mut(FORWARDED_CELL_BYTES);
        let mut written = 0;
        while cells.len() > 0 {
            let Some(PoppedEvent {
                cell,
                publisher,
                seq,
            }) = state.pop()
            else {
                break;
            };
            let age_ns = cell.age_ns(self.inner.shared.clock.now_ns());
            let Some((id, priority)) = state.declared(cell.slot()) else {
                continue;
            };
            state.count(priority, true, age_ns);
            let forwarded = ForwardedCell {
                id,
                publisher,
                seq,
                age_ns,
                payload: *cell.payload(),
            };
            let Some(to) = cells.next() else { break };
            // SAFETY: `to` is `FORWARDED_CELL_BYTES` long and borrowed mutably; `write_unaligned` needs no alignment.
            unsafe {
                to.as_mut_ptr()
                    .cast::<ForwardedCell>()
                    .write_unaligned(forwarded)
            };
            written += FORWARDED_CELL_BYTES;
        }
        written
    }

    /// Delivers forwarded events to this instance's subscribers, in the order of the cells; returns how many. The highest
    /// bit of their publishers' numbers is set. The latency is the age at which they were drained plus `crossing_ns`, the
    /// caller's measure of the time since then.
    ///
    /// # Errors
    /// [`BusError::TornCells`], [`BusError::UnknownEvent`]; [`BusError::Delivering`] while another thread pumps, and
    /// within a handler. No event was delivered in these cases.
    ///
    /// # Safety
    /// The bytes are whole cells, unchanged, from [`drain_cells`](Self::drain_cells) of an instance of the same build, and
    /// the event types among them contain no references.
    /// See `docs/decisions/0004-events-cross-instances-as-raw-bytes.md`.
    pub unsafe fn inject_cells(
        &self,
        bytes: &[MaybeUninit<u8>],
        crossing_ns: u64,
    ) -> Result<usize, BusError> {
        let cells = bytes.chunks_exact(FORWARDED_CELL_BYTES);
        if !cells.remainder().is_empty() {
            return Err(BusError::TornCells {
                bytes: bytes.len(),
                cell_bytes: FORWARDED_CELL_BYTES,
            });
        }
        let Some(_dispatching) = self.inner.try_dispatch() else {
            return Err(BusError::Delivering);
        };
        // SAFETY: the chunks have the size of a cell; the caller guarantees that `drain_cells` wrote them.
        let cells =
            cells.map(|cell| unsafe { cell.as_ptr().cast::<ForwardedCell>().read_unaligned() });
        let unknown = {
            let state = lock(&self.inner.state);
            let mut ids = cells.clone().map(|cell| cell.id).enumerate();
            ids.find(|&(_, id)| state.slot_of(id).is_none())
        };
        if let Some((index, id)) = unknown {
            return Err(BusError::UnknownEvent { id, index });
        }
        let mut report = PumpReport::default();
        for ForwardedCell {
            id,
            publisher,
            seq,
            age_ns,
            payload,
        } in cells
        {
            // Always `Some`: the types were checked above, and are never removed.
            let Some(slot) = lock(&self.inner.state).slot_of(id) else {
                continue;
            };
            let cell = EventCell::from_parts(slot, 0, payload);
            let event = PoppedEvent {
                cell,
                publisher: publisher | FORWARDED_PUBLISHER,
                seq,
            };
            self.deliver_forwarded(&event, age_ns.saturating_add(crossing_ns), &mut report);
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
        vec![MaybeUninit::uninit(); cells * FORWARDED_CELL_BYTES]
    }

    #[test]
    fn forwarded_events_arrive_in_order_with_their_numbers() {
        let (sender, receiver) = (TypedEventBus::default(), TypedEventBus::default());
        sender.forward_all();
        // Declared in another order than on the receiver.
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
        bytes.extend(vec![MaybeUninit::uninit(); FORWARDED_CELL_BYTES - 1]);
        let mut forwarded = Vec::new();
        loop {
            let written = sender.drain_cells(&mut bytes);
            forwarded.push(written / FORWARDED_CELL_BYTES);
            // SAFETY: drained above.
            let delivered = unsafe { receiver.inject_cells(&bytes[..written], 0) };
            assert_eq!(delivered, Ok(written / FORWARDED_CELL_BYTES));
            if written == 0 {
                break;
            }
        }
        assert_eq!(forwarded, [2, 1, 0]);
        let seen: Vec<_> = records
            .try_iter()
            .map(|r| (r.name, r.publisher, r.seq, r.data))
            .collect();
        let remote = 1 << 31 | publisher.id();
        assert_eq!(
            seen,
            [
                ("Beat", remote, 0, 2.into()),
                ("Beat", remote, 1, 3.into()),
                ("Meter", remote, 0, 1.into())
            ]
        );
        for bus in [&sender, &receiver] {
            let stats = bus.stats();
            assert_eq!((stats.critical.published, stats.critical.delivered), (2, 2));
            assert_eq!((stats.normal.published, stats.normal.delivered), (1, 1));
        }
    }

    #[test]
    fn forwarding_that_stalls_counts_dropped_events_and_forwards_the_announcement() {
        let config = BusConfig {
            critical_cells: 2,
            ..BusConfig::default()
        };
        let (sender, receiver) = (TypedEventBus::new(config), TypedEventBus::default());
        sender.forward_all();
        sender.declare::<Beat>().unwrap();
        let drops = receiver.queue::<EventsDropped>(4).unwrap();
        receiver.declare::<Beat>().unwrap();
        let publisher = sender.publisher().unwrap();
        let results: Vec<_> = (0..3).map(|n| publisher.publish(Beat(n))).collect();
        assert_eq!(results[2], Published::Dropped);
        let mut bytes = buffer(8);
        let written = sender.drain_cells(&mut bytes);
        // SAFETY: drained above.
        let delivered = unsafe { receiver.inject_cells(&bytes[..written], 0) };
        assert_eq!(delivered, Ok(3));
        assert_eq!(drops.try_next().map(|event| event.dropped), Some(1));
    }

    #[test]
    fn forwarded_cells_torn_or_of_unknown_type_are_refused() {
        let (sender, receiver) = (TypedEventBus::default(), TypedEventBus::default());
        sender.forward_all();
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
            "79 forwarded bytes are not whole cells of 80 bytes: pass exactly the bytes that `drain_cells` wrote"
        );
        let id = <Beat as crate::event_bus::Event>::ID;
        assert_eq!(
            unknown.unwrap_err().to_string(),
            format!(
                "forwarded cell 0 has the event type {id:#010x}, which this instance has not declared: declare the same types on both instances"
            )
        );
    }
}
