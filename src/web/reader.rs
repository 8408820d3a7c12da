//! Shared mode: the windows of one stream for a JavaScript consumer, in the page or in a worker of its own.
//!
//! The consumer's thread has an instance of the module on the same memory and calls these exports; nothing here
//! allocates, waits, or reaches for another thread. A window crosses as a lease in the consumer's own table.
#![allow(unsafe_code)] // Exports by name.

use super::exports::{Lendable, exports, lendable};
use super::refusal::Refusal;
use super::stream_counts::StreamCounts;
use crate::modules::audio_foundations::Windows;
use crate::modules::data_management::{Lease, LeaseState, LeaseTable, PlanarRef, PoolError};

/// Windows one consumer can hold at once: all that can wait in the queue, and as many again to keep, twice.
const MOST_LEASES: usize = 256;

/// The consuming end of a stream.
pub(super) struct Reader {
    // First, so that what is leased goes home before the queue.
    leases: LeaseTable<PlanarRef>,
    windows: Windows,
    counts: StreamCounts,
    refusal: Refusal,
}

impl Reader {
    pub(super) fn new(
        holder: u8,
        windows: Windows,
        counts: StreamCounts,
    ) -> Result<Box<Self>, PoolError> {
        Ok(Box::new(Self {
            leases: LeaseTable::try_of(holder, MOST_LEASES)?,
            windows,
            counts,
            refusal: Refusal::default(),
        }))
    }

    /// Ends a reader whose thread died in the middle of something, without releasing what it had leased.
    pub(super) fn abandon(self) {
        self.leases.abandon();
        self.windows.abandon();
    }

    /// Its leases, for whoever takes them back.
    pub(super) const fn leases(&mut self) -> &mut LeaseTable<PlanarRef> {
        &mut self.leases
    }

    fn take(&mut self) -> u32 {
        // A consumer that keeps as many as it can leaves the rest in the queue, where a full one is counted.
        if self.leases.is_full() {
            return 0;
        }
        let Some(window) = self.windows.next_window() else {
            return 0;
        };
        self.leases.open(window).map_or(0, Lease::raw)
    }

    /// The first look at a window puts its lease in use.
    fn look(&mut self, lease: u32) -> Result<&PlanarRef, PoolError> {
        let lease = Lease::from_raw(lease);
        if self.leases.state(lease)? == LeaseState::Allocated {
            self.leases.view(lease)?;
        }
        self.leases.get(lease)
    }

    fn address(&mut self, lease: u32, channel: u32) -> usize {
        let refusal = match self.look(lease) {
            Ok(window) if (channel as usize) < window.channels() => {
                return window.channel(channel as usize).as_ptr() as usize;
            }
            Ok(window) => Refusal::no_channel(lease, channel, window.channels() as u32),
            Err(error) => error.into(),
        };
        self.refusal = refusal;
        0
    }

    fn refuse<T>(&mut self, result: Result<T, PoolError>) -> Option<T> {
        result.map_err(|error| self.refusal = error.into()).ok()
    }
}

lendable!(Reader, "reader");

exports! {
    /// Leases the next window; 0 if none waits, or if no further lease is to be had.
    fn reader_take(reader: &mut Reader) -> u32 { reader.take() } else 0;
    /// Address of one channel of a leased window; 0 if refused.
    fn reader_address(reader: &mut Reader, lease: u32, channel: u32) -> usize { reader.address(lease, channel) } else 0;
    /// First frame of a leased window; -1 if refused.
    fn reader_first_frame(reader: &mut Reader, lease: u32) -> f64 {
        let window = reader.leases.get(Lease::from_raw(lease)).map(|window| window.metadata().first_frame);
        reader.refuse(window).map_or(-1.0, |frame| frame as f64)
    } else -1.0;
    /// Frames of a leased window: fewer than the stream's others have in the last one, if that is delivered. 0 if refused.
    fn reader_frames(reader: &mut Reader, lease: u32) -> u32 {
        let window = reader.leases.get(Lease::from_raw(lease));
        let frames = window.map(|window| reader.counts.frames_of(window.metadata().first_frame, window.frames()));
        reader.refuse(frames).map_or(0, |frames| frames as u32)
    } else 0;
    /// Gives a window back; 0, or the refusal's code.
    fn reader_release(reader: &mut Reader, lease: u32) -> u32 {
        let released = reader.leases.release(Lease::from_raw(lease));
        reader.refuse(released).map_or(reader.refusal.code(), |()| 0)
    } else Refusal::CLOSED.code();
    /// 1 while no further lease is to be had: the queue is not looked at then.
    fn reader_is_full(reader: &mut Reader) -> u32 { u32::from(reader.leases.is_full()) } else 1;
    /// Windows that are leased.
    fn reader_live(reader: &mut Reader) -> usize { reader.leases.live() } else 0;
    /// Where the last refusal is: its code, and three numbers.
    fn reader_refusal(reader: &mut Reader) -> *const Refusal { &raw const reader.refusal } else core::ptr::from_ref(Refusal::CLOSED);
    /// Tells how many views the consumer's side has made so far.
    fn reader_views(reader: &mut Reader, views: u32) { reader.counts.set_consumer_views(u64::from(views)) }
}

/// The consumer's last call: it does not use the reader again.
#[unsafe(no_mangle)]
pub(super) extern "C" fn reader_leave(reader: u32) {
    Reader::slots().close(reader);
}
