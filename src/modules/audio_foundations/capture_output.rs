//! Where a capture gets its windows' buffers from, and where it delivers complete windows.

use super::audio_events::{SkipReason, StreamClosed, StreamOpened, WindowSkipped};
use super::capture_counters::CaptureCounters;
use super::reblocker::WindowStore;
use super::stream::StreamConfig;
use crate::event_bus::Publisher;
use crate::modules::data_management::{AudioMetadata, PlanarBuffer, PlanarRef, RealtimePool};

/// The pool half, the queue and the events of a capture.
pub(super) struct CaptureOutput {
    pub(super) stream: u32,
    pub(super) config: StreamConfig,
    /// The number of the pool half.
    pub(super) half: u16,
    /// `None` after the capture was closed or abandoned.
    pub(super) pool: Option<RealtimePool>,
    publisher: Publisher,
    queue: rtrb::Producer<PlanarRef>,
    pub(super) counters: CaptureCounters,
    /// Whether [`StreamOpened`] was published, and [`StreamClosed`] was not.
    opened: bool,
}

impl CaptureOutput {
    pub(super) fn new(
        stream: u32,
        config: StreamConfig,
        pool: RealtimePool,
        publisher: Publisher,
        queue: rtrb::Producer<PlanarRef>,
    ) -> Self {
        Self {
            stream,
            config,
            half: pool.id(),
            pool: Some(pool),
            publisher,
            queue,
            counters: CaptureCounters::default(),
            opened: false,
        }
    }

    /// Begins a quantum of the pool half; publishes [`StreamOpened`] before the first one.
    pub(super) fn begin(&mut self, first_frame: u64) {
        if let Some(pool) = &mut self.pool {
            pool.begin_quantum(first_frame);
        }
        if !self.opened {
            self.opened = true;
            self.publisher.publish(StreamOpened {
                first_frame,
                stream: self.stream,
                sample_rate_hz: self.config.sample_rate_hz,
                window: self.config.window as u32,
                hop: self.config.hop as u32,
                channels: self.config.channels as u16,
            });
        }
    }

    /// Publishes [`StreamClosed`] if the stream was opened.
    pub(super) fn publish_closed(&mut self, next_frame: u64) {
        if core::mem::take(&mut self.opened) {
            self.publisher.publish(StreamClosed {
                first_frame: next_frame,
                stream: self.stream,
                frames: self.counters.frames,
                windows: self.counters.windows,
                skipped_windows: self.counters.skipped_windows,
            });
        }
    }

    /// Releases the pool half of a thread that died. Publishes nothing more: the state of the lanes, in which the thread may
    /// have been pushing, is not known.
    pub(super) fn abandon_pool(&mut self) {
        self.opened = false;
        let half = self.pool.take();
        drop(half.map(RealtimePool::abandon));
    }

    fn skip(&self, first_frame: u64, reason: SkipReason) {
        self.publisher.publish(WindowSkipped {
            first_frame,
            stream: self.stream,
            reason,
        });
    }

    /// Queues a window; returns false, and counts it as skipped, if the queue is full.
    pub(super) fn deliver(
        &mut self,
        first_frame: u64,
        filled: usize,
        window: PlanarBuffer,
    ) -> bool {
        self.count_copied(filled);
        let delivered = self.queue.push(window.freeze()).is_ok();
        if delivered {
            self.counters.windows += 1;
        } else {
            self.counters.skipped_windows += 1;
            self.skip(first_frame, SkipReason::QueueFull);
        }
        delivered
    }

    fn count_copied(&mut self, filled: usize) {
        let samples = filled * self.config.channels;
        self.counters.bytes_copied += (samples * size_of::<f32>()) as u64;
    }
}

impl WindowStore<PlanarBuffer> for CaptureOutput {
    fn open(&mut self, first_frame: u64) -> Option<PlanarBuffer> {
        let pool = self.pool.as_ref();
        let acquired =
            pool.map(|pool| pool.acquire_planar(self.config.channels, self.config.window));
        if let Some(Ok(mut window)) = acquired {
            window.set_metadata(AudioMetadata {
                sample_rate_hz: self.config.sample_rate_hz,
                channels: self.config.channels as u16,
                channel: 0,
                first_frame,
            });
            return Some(window);
        }
        self.counters.skipped_windows += 1;
        self.skip(first_frame, SkipReason::PoolExhausted);
        None
    }

    fn complete(&mut self, first_frame: u64, window: PlanarBuffer) {
        self.deliver(first_frame, self.config.window, window);
    }

    fn abandon(&mut self, first_frame: u64, filled: usize, window: PlanarBuffer) {
        self.count_copied(filled);
        self.counters.interrupted_windows += 1;
        self.skip(first_frame, SkipReason::Interrupted);
        drop(window);
    }

    fn count_lost(&mut self, frames: u64) {
        self.counters.lost_frames = self.counters.lost_frames.saturating_add(frames);
    }
}
