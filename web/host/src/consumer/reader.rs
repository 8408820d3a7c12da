//! Shared mode: the windows of one stream for a JavaScript consumer, in the page or in a worker.
//!
//! The consumer's thread has an instance of the module on the same memory and calls these exports. They do not allocate or
//! wait. A window is passed to JavaScript as a lease of the consumer's own table.
#![allow(unsafe_code)] // Exports by name.

use super::refusal::Refusal;
use crate::shared::exports::{ThreadObject, exports, thread_object};
use crate::shared::stream_counts::StreamCounts;
use wavepool::modules::audio_foundations::Windows;
use wavepool::modules::data_management::{Lease, LeaseState, LeaseTable, PlanarRef, PoolError};

/// The most windows that one consumer can have leased: four times the longest queue.
const MAX_WINDOW_LEASES: usize = 256;

/// The consuming end of a stream.
pub(crate) struct Reader {
    // The first field, so that leased windows are released before the queue is dropped.
    leases: LeaseTable<PlanarRef>,
    windows: Windows,
    counts: StreamCounts,
    refusal: Refusal,
}

impl Reader {
    pub(crate) fn new(
        holder: u8,
        windows: Windows,
        counts: StreamCounts,
    ) -> Result<Box<Self>, PoolError> {
        Ok(Box::new(Self {
            leases: LeaseTable::try_of(holder, MAX_WINDOW_LEASES)?,
            windows,
            counts,
            refusal: Refusal::default(),
        }))
    }

    /// Drops a reader whose thread died at an unknown point, without releasing its leased windows.
    pub(crate) fn abandon(self) {
        self.leases.abandon();
        self.windows.abandon();
    }

    /// The leases, to be reclaimed.
    pub(crate) const fn leases(&mut self) -> &mut LeaseTable<PlanarRef> {
        &mut self.leases
    }

    fn take(&mut self) -> u32 {
        // If no further lease is possible, windows stay in the queue; the capture counts those that do not fit.
        if self.leases.is_full() {
            return 0;
        }
        let Some(window) = self.windows.next_window() else {
            return 0;
        };
        self.leases.open(window).map_or(0, Lease::raw)
    }

    /// A leased window. The first access marks its lease as in use.
    fn access(&mut self, lease: u32) -> Result<&PlanarRef, PoolError> {
        let lease = Lease::from_raw(lease);
        if self.leases.state(lease)? == LeaseState::Allocated {
            self.leases.view(lease)?;
        }
        self.leases.get(lease)
    }

    fn address(&mut self, lease: u32, channel: u32) -> usize {
        let refusal = match self.access(lease) {
            Ok(window) if (channel as usize) < window.channels() => {
                return window.channel(channel as usize).as_ptr() as usize;
            }
            Ok(window) => Refusal::no_channel(channel, window.channels() as u32),
            Err(error) => error.into(),
        };
        self.refusal = refusal;
        0
    }

    fn refuse<T>(&mut self, result: Result<T, PoolError>) -> Option<T> {
        result.map_err(|error| self.refusal = error.into()).ok()
    }
}

thread_object!(Reader, "reader");

exports! {
    /// Leases the next window; 0 if the queue is empty or no further lease is possible.
    fn reader_take(reader: &mut Reader) -> u32 { reader.take() } else 0;
    /// Address of one channel of a leased window; 0 if refused.
    fn reader_address(reader: &mut Reader, lease: u32, channel: u32) -> usize { reader.address(lease, channel) } else 0;
    /// First frame of a leased window; -1 if refused.
    fn reader_first_frame(reader: &mut Reader, lease: u32) -> f64 {
        let window = reader.leases.get(Lease::from_raw(lease)).map(|window| window.metadata().first_frame);
        reader.refuse(window).map_or(-1.0, |frame| frame as f64)
    } else -1.0;
    /// Frames of a leased window; the last window of a stream may have fewer than the others. 0 if refused.
    fn reader_frames(reader: &mut Reader, lease: u32) -> u32 {
        let window = reader.leases.get(Lease::from_raw(lease));
        let frames = window.map(|window| reader.counts.frames_of(window.metadata().first_frame, window.frames()));
        reader.refuse(frames).map_or(0, |frames| frames as u32)
    } else 0;
    /// Releases a window; returns 0 or the code of the refusal.
    fn reader_release(reader: &mut Reader, lease: u32) -> u32 {
        let released = reader.leases.release(Lease::from_raw(lease));
        reader.refuse(released).map_or(reader.refusal.code(), |()| 0)
    } else Refusal::CLOSED.code();
    /// 1 while no further lease is possible; windows are not taken from the queue then.
    fn reader_is_full(reader: &mut Reader) -> u32 { u32::from(reader.leases.is_full()) } else 1;
    /// Number of leased windows.
    fn reader_live(reader: &mut Reader) -> usize { reader.leases.live() } else 0;
    /// Address of the last refusal: its code, and three numbers.
    fn reader_refusal(reader: &mut Reader) -> *const Refusal { &raw const reader.refusal } else core::ptr::from_ref(Refusal::CLOSED);
    /// Sets the number of views that the consumer has made so far.
    fn reader_views(reader: &mut Reader, views: u32) { reader.counts.set_consumer_views(u64::from(views)) }
}

/// The consumer's last call; afterwards it does not use the reader any more.
#[unsafe(no_mangle)]
pub(crate) extern "C" fn reader_leave(reader: u32) {
    Reader::slots().close(reader);
}
