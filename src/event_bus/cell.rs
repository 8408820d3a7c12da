//! One event in a lane: a cache line of a header word and 56 bytes, which may only be read as the event's own type.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.
#![allow(unsafe_code)] // Type erasure without a box: the bytes of any event are written to and read from one fixed shape.

use core::mem::MaybeUninit;

use super::event::{Event, MAX_EVENT_BYTES};

/// The event's bytes. `MaybeUninit`, because padding inside an event has no value.
pub(crate) type Payload = [MaybeUninit<u64>; MAX_EVENT_BYTES / 8];

const TIMESTAMP_BITS: u32 = 56;
const TIMESTAMP_MASK: u64 = (1 << TIMESTAMP_BITS) - 1;

/// Invariant: `payload` was written from the type in slot `slot()` of the type table of the cell's bus.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct EventCell {
    /// The slot in the type table in the top byte; below it the timestamp in nanoseconds: 56 bits, which wrap every 834 days.
    header: u64,
    payload: Payload,
}

impl EventCell {
    /// Writes `event` into `cell`.
    #[inline(always)]
    pub(crate) fn write<E: Event>(
        cell: &mut MaybeUninit<Self>,
        slot: u8,
        timestamp_ns: u64,
        event: E,
    ) {
        const {
            assert!(
                size_of::<E>() <= MAX_EVENT_BYTES,
                "an event is at most 56 bytes"
            );
            assert!(
                align_of::<E>() <= 8,
                "an event is aligned to at most 8 bytes"
            );
        }
        let cell = cell.as_mut_ptr();
        // SAFETY: both fields lie inside the cell, which is borrowed mutably; `E` fits the payload and its alignment
        // divides the payload's (asserted above). The payload needs no initialisation beyond the event's bytes, and
        // `E: Copy`, so that overwriting them later skips no drop.
        unsafe {
            (&raw mut (*cell).header).write(header(slot, timestamp_ns));
            (&raw mut (*cell).payload).cast::<E>().write(event);
        }
    }

    pub(crate) const fn from_parts(slot: u8, timestamp_ns: u64, payload: Payload) -> Self {
        Self {
            header: header(slot, timestamp_ns),
            payload,
        }
    }

    pub(crate) const fn slot(&self) -> u8 {
        (self.header >> TIMESTAMP_BITS) as u8
    }

    pub(crate) const fn timestamp_ns(&self) -> u64 {
        self.header & TIMESTAMP_MASK
    }

    /// The time since the timestamp, by a clock that has not gone back. Exact for ages below 834 days at any uptime, since
    /// only the difference counts.
    pub(crate) const fn age_ns(&self, now_ns: u64) -> u64 {
        now_ns.wrapping_sub(self.timestamp_ns()) & TIMESTAMP_MASK
    }

    pub(crate) const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The event.
    ///
    /// # Safety
    /// The payload was written from a value of `E`.
    pub(crate) unsafe fn event<E: Event>(&self) -> &E {
        // SAFETY: the caller guarantees that these bytes are an `E`; `write` checked size and alignment for every `E` that
        // can be in a payload; the reference borrows the cell.
        unsafe { &*self.payload.as_ptr().cast::<E>() }
    }
}

const fn header(slot: u8, timestamp_ns: u64) -> u64 {
    ((slot as u64) << TIMESTAMP_BITS) | (timestamp_ns & TIMESTAMP_MASK)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event_bus::Priority;

    #[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
    struct Padded {
        first_frame: u64,
        channel: u8,
        level: f32,
    }
    impl Event for Padded {
        const NAME: &'static str = "Padded";
        const PRIORITY: Priority = Priority::Normal;
    }

    #[test]
    fn event_cell_is_one_cache_line_and_round_trips_an_event() {
        assert_eq!(size_of::<EventCell>(), 64);
        let event = Padded {
            first_frame: u64::MAX,
            channel: 7,
            level: -0.5,
        };
        let cell = {
            let mut cell = MaybeUninit::uninit();
            EventCell::write(&mut cell, 255, (1 << 56) - 1, event);
            // SAFETY: written on the line above.
            unsafe { cell.assume_init() }
        };
        assert_eq!((cell.slot(), cell.timestamp_ns()), (255, (1 << 56) - 1));
        // SAFETY: the cell was made from a `Padded` above.
        assert_eq!(unsafe { *cell.event::<Padded>() }, event);
    }

    #[test]
    fn event_age_is_exact_at_any_uptime() {
        let age_of =
            |stamp, now| EventCell::from_parts(7, stamp, [MaybeUninit::uninit(); 7]).age_ns(now);
        for bit in 0..64 {
            for off in -2_i64..=2 {
                let stamp = (1_u64 << bit).wrapping_add_signed(off);
                for age in [
                    0,
                    1,
                    499_999,
                    500_001,
                    1 << 32,
                    (1 << 55) + 1,
                    TIMESTAMP_MASK,
                ] {
                    assert_eq!(
                        age_of(stamp, stamp.wrapping_add(age)),
                        age,
                        "timestamp {stamp}"
                    );
                }
            }
        }
    }
}
