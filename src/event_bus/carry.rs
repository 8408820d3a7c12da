//! Events between two instances of one build that share no memory: transfer mode.
#![allow(unsafe_code)] // Events leave and enter as bytes; the caller vouches that they are unchanged.

use core::mem::MaybeUninit;

use super::bus::{TypedEventBus, lock};
use super::cell::{EventCell, Payload};
use super::dispatch::{PumpReport, Taken};
use super::error::BusError;

/// Marks publishers of another instance, so that their numbers do not meet ours.
const FROM_AFAR: u32 = 1 << 31;

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
        self.want_everything(&mut lock(&self.inner.state));
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
        let mut state = lock(&self.inner.state);
        state.tidy();
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
            let age_ns = self
                .inner
                .core
                .clock
                .now_ns()
                .saturating_sub(cell.stamp_ns());
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
    /// Their publishers' numbers get the highest bit. The latency is the age they were drained with: the crossing
    /// itself is not in it.
    ///
    /// # Errors
    /// [`BusError::TornCells`] (nothing was delivered), [`BusError::UnknownEvent`] (those before it were).
    ///
    /// # Safety
    /// The bytes are whole cells, unchanged, from [`drain_cells`](Self::drain_cells) of an instance of this very
    /// build, and the event types among them hold no references.
    pub unsafe fn inject_cells(&self, bytes: &[MaybeUninit<u8>]) -> Result<usize, BusError> {
        let cells = bytes.chunks_exact(CARRIED_CELL_BYTES);
        if !cells.remainder().is_empty() {
            return Err(BusError::TornCells {
                bytes: bytes.len(),
                cell_bytes: CARRIED_CELL_BYTES,
            });
        }
        let mut report = PumpReport::default();
        for (index, cell) in cells.enumerate() {
            // SAFETY: the chunk has the size of a cell; the caller says that `drain_cells` wrote it.
            let carried = unsafe { cell.as_ptr().cast::<CarriedCell>().read_unaligned() };
            let CarriedCell {
                id,
                publisher,
                seq,
                age_ns,
                payload,
            } = carried;
            let slot = lock(&self.inner.state).slot_of(id);
            let Some(slot) = slot else {
                return Err(BusError::UnknownEvent { id, index });
            };
            let cell = EventCell::from_parts(slot, 0, payload);
            let taken = Taken {
                cell,
                publisher: publisher | FROM_AFAR,
                seq,
            };
            self.deliver_carried(&taken, age_ns, &mut report);
        }
        Ok(report.taken())
    }
}
