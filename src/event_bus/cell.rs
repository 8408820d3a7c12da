//! One event in a lane: a cache line of a header word and 56 bytes that only the event's own type may read.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.
#![allow(unsafe_code)] // Type erasure without a box: the bytes of any event are written to and read from one fixed shape.

use core::mem::MaybeUninit;

use super::event::{Event, MAX_EVENT_BYTES};

/// The event's bytes. `MaybeUninit`, because padding inside an event has no value.
pub(crate) type Payload = [MaybeUninit<u64>; MAX_EVENT_BYTES / 8];

const STAMP_BITS: u32 = 56;
const STAMP_MASK: u64 = (1 << STAMP_BITS) - 1;

/// Invariant: `payload` was written from the type that owns interest slot `slot()` on the cell's bus.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct EventCell {
    /// Interest slot in the top byte, stamp in nanoseconds below: 56 bits, which come round every 834 days.
    header: u64,
    payload: Payload,
}

impl EventCell {
    /// Makes `cell` hold `event`.
    #[inline(always)]
    pub(crate) fn write<E: Event>(cell: &mut MaybeUninit<Self>, slot: u8, stamp_ns: u64, event: E) {
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
        // `E: Copy`, so that nothing is forgotten when they are overwritten later.
        unsafe {
            (&raw mut (*cell).header).write(header(slot, stamp_ns));
            (&raw mut (*cell).payload).cast::<E>().write(event);
        }
    }

    pub(crate) const fn from_parts(slot: u8, stamp_ns: u64, payload: Payload) -> Self {
        Self {
            header: header(slot, stamp_ns),
            payload,
        }
    }

    pub(crate) const fn slot(&self) -> u8 {
        (self.header >> STAMP_BITS) as u8
    }

    pub(crate) const fn stamp_ns(&self) -> u64 {
        self.header & STAMP_MASK
    }

    /// How long ago the event was stamped, by a clock that has not gone back since. Exact for 834 days at any time, since
    /// only the difference counts.
    pub(crate) const fn age_ns(&self, now_ns: u64) -> u64 {
        now_ns.wrapping_sub(self.stamp_ns()) & STAMP_MASK
    }

    pub(crate) const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The event.
    ///
    /// # Safety
    /// The payload was written from a value of `E`.
    pub(crate) unsafe fn event<E: Event>(&self) -> &E {
        // SAFETY: the caller says that these bytes are an `E`; `write` checked size and alignment for every `E` that
        // can be in a payload; the borrow is the cell's own.
        unsafe { &*self.payload.as_ptr().cast::<E>() }
    }
}

const fn header(slot: u8, stamp_ns: u64) -> u64 {
    ((slot as u64) << STAMP_BITS) | (stamp_ns & STAMP_MASK)
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
    fn a_cell_is_one_cache_line_and_gives_back_what_was_put_in() {
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
        assert_eq!((cell.slot(), cell.stamp_ns()), (255, (1 << 56) - 1));
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
                for age in [0, 1, 499_999, 500_001, 1 << 32, (1 << 55) + 1, STAMP_MASK] {
                    assert_eq!(
                        age_of(stamp, stamp.wrapping_add(age)),
                        age,
                        "stamped at {stamp}"
                    );
                }
            }
        }
    }
}
