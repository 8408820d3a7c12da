//! Transfer mode, control side: blocks become windows of this side's own pool.
#![allow(unsafe_code)] // Events arrive as bytes that JavaScript carried.

use super::block_header::Header;
use super::stream_counts::StreamCounts;
use crate::event_bus::TypedEventBus;
use crate::modules::audio_foundations::{Analyser, CaptureCounters, StreamConfig};
use crate::modules::data_management::pool_metrics::PoolCounts;
use crate::modules::data_management::{AudioMetadata, PlanarBuffer, RealtimePool};
use crate::registry::ModuleError;

/// The receiving end of one stream.
pub(super) struct Receiver {
    /// None where a JavaScript consumer reads the samples: then headers are all that arrives here.
    reading: Option<Reading>,
    header: Box<Header>,
    first_frame: u64,
    /// Of the newest header, and what it said.
    sequence: u64,
    sent: CaptureCounters,
    /// The worklet's own pool, as its newest block told.
    pub(super) remote: PoolCounts,
    /// What the block at hand tells; kept, so that reading does not allocate.
    arrived: PoolCounts,
    pub(super) remote_recycled: u64,
    /// Windows that found no buffer here, and bytes copied into those that did.
    unreceived: u64,
    bytes_copied: u64,
}

/// What reads the windows that arrive.
struct Reading {
    /// Dropped before the half it comes from.
    window: Option<PlanarBuffer>,
    analyser: Analyser,
    pool: RealtimePool,
}

impl Receiver {
    pub(super) fn reading(analyser: Analyser, pool: RealtimePool) -> Self {
        let reading = Reading {
            window: None,
            analyser,
            pool,
        };
        Self {
            reading: Some(reading),
            ..Self::counting()
        }
    }

    /// For a stream whose windows are read elsewhere.
    pub(super) fn counting() -> Self {
        Self {
            reading: None,
            header: Header::boxed(),
            first_frame: 0,
            sequence: 0,
            sent: CaptureCounters::default(),
            remote: PoolCounts::default(),
            arrived: PoolCounts::default(),
            remote_recycled: 0,
            unreceived: 0,
            bytes_copied: 0,
        }
    }

    pub(super) fn header_address(&self) -> usize {
        self.header.address()
    }

    /// Takes the counts and the events of the block whose header JavaScript has just copied here.
    pub(super) fn read_header(
        &mut self,
        bus: &TypedEventBus,
        counts: &StreamCounts,
        now_ms: u64,
    ) -> Result<(), ModuleError> {
        let (head, cells) = self.header.read(&mut self.arrived)?;
        self.first_frame = head.first_frame;
        // A block that its reader kept comes late: its events are news, its counts are not.
        if head.sequence > self.sequence {
            self.sequence = head.sequence;
            core::mem::swap(&mut self.remote, &mut self.arrived);
            self.remote_recycled = head.recycled;
            self.sent = head.capture;
            counts.set_made(head.made);
            counts.set_allocator_calls(head.allocator_calls);
        }
        let crossing_ns = now_ms
            .saturating_sub(head.sent_ms)
            .saturating_mul(1_000_000);
        // SAFETY: the cells were drained by the worklet's instance of the module that this instance was made from (the
        // page hands the same one to both), and copied byte by byte; event types are plain values.
        unsafe { bus.inject_cells(cells, crossing_ns) }?;
        counts.publish(self.counters());
        Ok(())
    }

    /// What the worklet counted, less what did not arrive, plus what arriving cost.
    fn counters(&self) -> CaptureCounters {
        CaptureCounters {
            windows: self.sent.windows.saturating_sub(self.unreceived),
            skipped_windows: self.sent.skipped_windows + self.unreceived,
            bytes_copied: self.sent.bytes_copied + self.bytes_copied,
            ..self.sent
        }
    }

    /// Makes room for the block's window; false if the pool has none, which counts as skipped.
    pub(super) fn begin(&mut self) -> bool {
        let Some(reading) = &mut self.reading else {
            return false;
        };
        let StreamConfig {
            channels, window, ..
        } = *reading.analyser.config();
        reading.pool.begin_quantum(self.first_frame);
        reading.window = reading.pool.acquire_planar(channels, window).ok();
        self.unreceived += u64::from(reading.window.is_none());
        reading.window.is_some()
    }

    /// Where a channel of the window goes; 0 without a window.
    pub(super) fn address(&mut self, channel: usize) -> usize {
        let window = self.reading.as_mut().and_then(|reading| {
            let window = reading.window.as_mut();
            window.filter(|window| channel < window.channels())
        });
        window.map_or(0, |window| {
            window.channel_mut(channel).as_mut_ptr() as usize
        })
    }

    /// The window is complete: reads it and gives it back.
    pub(super) fn end(&mut self, counts: &StreamCounts) {
        let Some(reading) = &mut self.reading else {
            return;
        };
        let Some(mut window) = reading.window.take() else {
            return;
        };
        let StreamConfig {
            sample_rate_hz,
            channels,
            window: samples,
            ..
        } = *reading.analyser.config();
        window.set_metadata(AudioMetadata {
            sample_rate_hz,
            channels: channels as u16,
            channel: 0,
            first_frame: self.first_frame,
        });
        self.bytes_copied += (channels * samples * size_of::<f32>()) as u64;
        // A refused scratch was counted and published.
        let _ = reading.analyser.analyse(&window.freeze());
        counts.publish(self.counters());
    }
}
