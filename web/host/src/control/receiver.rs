//! Transfer mode, control side: copies blocks into windows of this side's own pool.
#![allow(unsafe_code)] // Events arrive as bytes that JavaScript copied.

use crate::shared::block_header::Header;
use crate::shared::stream_counts::StreamCounts;
use wavepool::event_bus::TypedEventBus;
use wavepool::modules::audio_foundations::{Analyser, CaptureCounters, StreamConfig};
use wavepool::modules::data_management::pool_metrics::{ClassMetrics, PoolCounts};
use wavepool::modules::data_management::{AudioMetadata, HalfAccount, PlanarBuffer, RealtimePool};
use wavepool::registry::ModuleError;

/// The receiving end of one stream.
pub(crate) struct Receiver {
    /// `None` if a JavaScript consumer reads the samples; only headers arrive here then.
    analysis: Option<ReceivedAnalysis>,
    header: Box<Header>,
    first_frame: u64,
    /// The sequence number and the counters of the newest header.
    sequence: u64,
    sent: CaptureCounters,
    /// The counts of the worklet's pool in the newest header.
    pub(crate) remote: PoolCounts,
    /// The counts in the current header; swapped with `remote`, so that reading does not allocate.
    arrived: PoolCounts,
    pub(crate) remote_recycled: u64,
    /// The bytes that the worklet's pool held in the first header.
    bytes_stated: Option<usize>,
    /// Windows for which this pool had no buffer, and bytes copied into the others.
    unreceived: u64,
    bytes_copied: u64,
}

/// Analyses the windows that arrive.
struct ReceivedAnalysis {
    /// The first field, so that it is released before its pool half is dropped.
    window: Option<PlanarBuffer>,
    analyser: Analyser,
    pool: RealtimePool,
}

impl Receiver {
    /// A receiver that analyses the windows.
    pub(crate) fn analysing(analyser: Analyser, pool: RealtimePool) -> Self {
        let analysis = ReceivedAnalysis {
            window: None,
            analyser,
            pool,
        };
        Self {
            analysis: Some(analysis),
            ..Self::counting()
        }
    }

    /// A receiver of headers only, for a stream whose windows another thread reads.
    pub(crate) fn counting() -> Self {
        Self {
            analysis: None,
            header: Header::boxed(),
            first_frame: 0,
            sequence: 0,
            sent: CaptureCounters::default(),
            remote: PoolCounts::default(),
            arrived: PoolCounts::default(),
            remote_recycled: 0,
            bytes_stated: None,
            unreceived: 0,
            bytes_copied: 0,
        }
    }

    pub(crate) fn header_address(&self) -> usize {
        self.header.address()
    }

    /// Reads the counts and the events of the header that JavaScript has copied here.
    pub(crate) fn read_header(
        &mut self,
        bus: &TypedEventBus,
        counts: &StreamCounts,
        now_ms: u64,
    ) -> Result<(), ModuleError> {
        let (head, cells) = self.header.read(&mut self.arrived)?;
        self.first_frame = head.first_frame;
        // A block that its reader kept for a while arrives late: its events are new, its counts are not.
        if head.sequence > self.sequence {
            self.sequence = head.sequence;
            core::mem::swap(&mut self.remote, &mut self.arrived);
            self.remote_recycled = head.recycled;
            self.bytes_stated
                .get_or_insert_with(|| sum_bytes(&self.remote, |class| class.carved));
            self.sent = head.capture;
            counts.set_objects(head.objects);
            counts.set_allocator_calls(head.allocator_calls);
        }
        let crossing_ns = now_ms
            .saturating_sub(head.sent_ms)
            .saturating_mul(1_000_000);
        // SAFETY: the cells were drained by the worklet's instance, which the page made from the same module as this instance,
        // and copied byte by byte; event types are plain values.
        unsafe { bus.inject_cells(cells, crossing_ns) }?;
        counts.publish(self.counters());
        Ok(())
    }

    /// The account of the worklet's pool, whose only user is the stream.
    pub(crate) fn account(&self, stream: u32) -> HalfAccount {
        HalfAccount {
            name: format!("stream {stream} capture"),
            half: 0,
            bytes_stated: self.bytes_stated.unwrap_or_default(),
            bytes_held: sum_bytes(&self.remote, |class| class.carved),
            bytes_leased: sum_bytes(&self.remote, |class| class.leased),
            bytes_peak: sum_bytes(&self.remote, |class| class.high_water),
        }
    }

    /// The worklet's counters, corrected by the windows that were not received and the bytes copied here.
    fn counters(&self) -> CaptureCounters {
        CaptureCounters {
            windows: self.sent.windows.saturating_sub(self.unreceived),
            skipped_windows: self.sent.skipped_windows + self.unreceived,
            bytes_copied: self.sent.bytes_copied + self.bytes_copied,
            ..self.sent
        }
    }

    /// Acquires a buffer for the block's window; returns false if the pool has none, which counts as skipped.
    pub(crate) fn begin(&mut self) -> bool {
        let Some(analysis) = &mut self.analysis else {
            return false;
        };
        let StreamConfig {
            channels, window, ..
        } = *analysis.analyser.config();
        analysis.pool.begin_quantum(self.first_frame);
        analysis.window = analysis.pool.acquire_planar(channels, window).ok();
        self.unreceived += u64::from(analysis.window.is_none());
        analysis.window.is_some()
    }

    /// The address of a channel of the window; 0 without a window.
    pub(crate) fn address(&mut self, channel: usize) -> usize {
        let window = self.analysis.as_mut().and_then(|analysis| {
            let window = analysis.window.as_mut();
            window.filter(|window| channel < window.channels())
        });
        window.map_or(0, |window| {
            window.channel_mut(channel).as_mut_ptr() as usize
        })
    }

    /// Analyses the window, which is complete, and releases it.
    pub(crate) fn end(&mut self, counts: &StreamCounts) {
        let Some(analysis) = &mut self.analysis else {
            return;
        };
        let Some(mut window) = analysis.window.take() else {
            return;
        };
        let StreamConfig {
            sample_rate_hz,
            channels,
            window: samples,
            ..
        } = *analysis.analyser.config();
        window.set_metadata(AudioMetadata {
            sample_rate_hz,
            channels: channels as u16,
            channel: 0,
            first_frame: self.first_frame,
        });
        self.bytes_copied += (channels * samples * size_of::<f32>()) as u64;
        // An error was counted and published.
        let _ = analysis.analyser.analyse(&window.freeze());
        counts.publish(self.counters());
    }
}

/// The bytes of so many buffers of each class.
fn sum_bytes(counts: &PoolCounts, buffers: fn(&ClassMetrics) -> u64) -> usize {
    let bytes = |class: &ClassMetrics| buffers(class) as usize * class.samples * size_of::<f32>();
    counts.classes.iter().map(bytes).sum()
}
