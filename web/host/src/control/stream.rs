//! The host's record of one stream: its configuration, its counts and its two ends.

use serde::Serialize;

use super::options::Consumer;
use super::receiver::Receiver;
use crate::consumer::reader::Reader;
use crate::shared::exports::ThreadHandle;
use crate::shared::stream_counts::StreamCounts;
use crate::worklet::tap::Tap;
use wavepool::modules::audio_foundations::{Analysis, StreamConfig};
use wavepool::modules::data_management::Crossings;

pub(crate) struct Stream {
    pub(crate) config: StreamConfig,
    pub(crate) counts: StreamCounts,
    pub(crate) consumer: Consumer,
    pub(crate) ends: StreamEnds,
}

pub(crate) enum StreamEnds {
    /// The worklet fills windows in this memory, and the host analyses them.
    Analysed {
        tap: ThreadHandle<Tap>,
        analysis: Box<Analysis>,
    },
    /// The worklet fills windows in this memory, and a JavaScript consumer reads them.
    Read {
        tap: ThreadHandle<Tap>,
        reader: ThreadHandle<Reader>,
        /// The holder's number in the reader's leases.
        holder: u8,
    },
    /// Windows arrive in blocks, or blocks that a consumer has read bring their headers.
    Received(Box<Receiver>),
}

/// The figures of the stream of a tap or a tuner.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct StreamFigures {
    /// The stream's number in events and notes.
    stream: u32,
    consumer: Consumer,
    /// In Hz.
    sample_rate: f32,
    channels: usize,
    /// Frames per window.
    window: usize,
    /// Frames between the beginnings of two windows.
    hop: usize,
    /// Frames per quantum; `None` before the first quantum.
    quantum_frames: Option<u64>,
    quanta: u64,
    frames: u64,
    windows: u64,
    /// Windows that were skipped because no buffer was free, or the queue was full.
    skipped_windows: u64,
    /// Windows that were discarded because the stream had a gap.
    interrupted_windows: u64,
    /// Frames in gaps of the stream, whether or not a window was open.
    lost_frames: u64,
    /// `None` before the first window.
    bytes_copied_per_window: Option<u64>,
    /// Calls of the WebAssembly allocator in the quanta of the audio thread: 0, or the thread may have waited.
    allocator_calls: u64,
}

impl Stream {
    /// Whether the stream's windows reach JavaScript. Those of a tuner in this memory never do.
    pub(crate) const fn reaches_javascript(&self) -> bool {
        !matches!(self.ends, StreamEnds::Analysed { .. })
    }

    /// Adds the windows that reached JavaScript, and the objects that the worklet and the consumer made for them.
    pub(crate) fn count_crossings(&self, crossed: &mut Crossings) {
        if !self.reaches_javascript() {
            return;
        }
        crossed.made += self.counts.objects();
        let StreamConfig {
            channels, window, ..
        } = self.config;
        crossed.add_windows(self.counts.read().windows, channels, window);
    }

    pub(crate) fn figures(&self, number: u32) -> StreamFigures {
        let counters = self.counts.read();
        StreamFigures {
            stream: number,
            consumer: self.consumer,
            sample_rate: self.config.sample_rate_hz,
            channels: self.config.channels,
            window: self.config.window,
            hop: self.config.hop,
            quantum_frames: counters.frames.checked_div(counters.quanta),
            quanta: counters.quanta,
            frames: counters.frames,
            windows: counters.windows,
            skipped_windows: counters.skipped_windows,
            interrupted_windows: counters.interrupted_windows,
            lost_frames: counters.lost_frames,
            bytes_copied_per_window: counters.bytes_copied.checked_div(counters.windows),
            allocator_calls: self.counts.allocator_calls(),
        }
    }
}
