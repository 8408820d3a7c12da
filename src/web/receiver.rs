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
    /// Dropped before the half it comes from.
    window: Option<PlanarBuffer>,
    analyser: Analyser,
    pool: RealtimePool,
    header: Box<Header>,
    first_frame: u64,
    sent: CaptureCounters,
    /// The worklet's own pool, as its last block told.
    pub(super) remote: PoolCounts,
    pub(super) remote_recycled: u64,
    /// Windows that found no buffer here, and bytes copied into those that did.
    unreceived: u64,
    bytes_copied: u64,
}

impl Receiver {
    pub(super) fn new(analyser: Analyser, pool: RealtimePool) -> Self {
        Self {
            window: None,
            analyser,
            pool,
            header: Header::boxed(),
            first_frame: 0,
            sent: CaptureCounters::default(),
            remote: PoolCounts::default(),
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
        let (head, cells) = self.header.read(&mut self.remote)?;
        self.first_frame = head.first_frame;
        self.remote_recycled = head.recycled;
        counts.set_objects(head.objects);
        let crossing_ns = now_ms.saturating_sub(head.sent_ms) * 1_000_000;
        // SAFETY: the cells were drained by the worklet's instance of the module that this instance was made from (the
        // page hands the same one to both), and copied byte by byte; event types are plain values.
        unsafe { bus.inject_cells(cells, crossing_ns) }?;
        self.sent = head.capture;
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
        let StreamConfig {
            channels, window, ..
        } = *self.analyser.config();
        self.pool.begin_quantum(self.first_frame);
        self.window = self.pool.acquire_planar(channels, window).ok();
        self.unreceived += u64::from(self.window.is_none());
        self.window.is_some()
    }

    /// Where a channel of the window goes; 0 without a window.
    pub(super) fn address(&mut self, channel: usize) -> usize {
        let window = self
            .window
            .as_mut()
            .filter(|window| channel < window.channels());
        window.map_or(0, |window| {
            window.channel_mut(channel).as_mut_ptr() as usize
        })
    }

    /// The window is complete: reads it and gives it back.
    pub(super) fn end(&mut self, counts: &StreamCounts) {
        let Some(mut window) = self.window.take() else {
            return;
        };
        let StreamConfig {
            sample_rate_hz,
            channels,
            window: samples,
            ..
        } = *self.analyser.config();
        window.set_metadata(AudioMetadata {
            sample_rate_hz,
            channels: channels as u16,
            channel: 0,
            first_frame: self.first_frame,
        });
        self.bytes_copied += (channels * samples * size_of::<f32>()) as u64;
        counts.publish(self.counters());
        // A refused scratch was counted and published.
        let _ = self.analyser.analyse(&window.freeze());
    }
}
