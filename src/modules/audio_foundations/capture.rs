//! The real-time end of a stream: copies quanta into windows, freezes full ones and queues them.

use super::capture_counters::CaptureCounters;
use super::capture_output::CaptureOutput;
use super::engine::copy_or_silence;
use super::reblocker::{MAX_QUANTUM_FRAMES, Reblocker, Span};
use super::stream::StreamConfig;
use crate::event_bus::Publisher;
use crate::modules::data_management::{PlanarBuffer, PlanarRef, RealtimePool};

/// The most frames that one call of [`Capture::push_silence`] captures: more than 20 s at 48 kHz.
pub const MAX_SILENCE_FRAMES: usize = 1 << 20;

/// One range to copy: `count` samples of input channel `channel`, from sample `src` of the quantum, into the buffer `slot`
/// from sample `dst` on. All fields are numbers, so that JavaScript can read the plan from memory and copy the samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct CopySpan {
    /// Input channel.
    pub channel: u32,
    /// Number of the buffer in the pool: `slot_index`.
    pub slot: u32,
    /// First sample to write in the buffer.
    pub dst: u32,
    /// First sample to read in the quantum.
    pub src: u32,
    /// Number of samples.
    pub count: u32,
    /// Address of the first sample to write, `dst` within `slot`, for a host that accesses memory by address.
    pub address: usize,
}

/// The capturing end of a stream, for the real-time thread.
///
/// A window begins every `hop` frames, from the first frame on. Each window has its own pooled planar buffer, into which the
/// samples are copied once, directly from the input. A full window is frozen and queued for the
/// [`Analysis`](super::Analysis). A window is skipped if the pool has no buffer for it or the queue is full; skipped windows
/// are counted and announced by [`WindowSkipped`](super::WindowSkipped), and capturing continues. If a quantum does not follow
/// the previous one, the open windows are abandoned and new ones begin with it, so that no window has a gap; the frames
/// between are counted as lost.
///
/// # Real-time
/// All methods: no allocation, no lock, steps bounded by the number of open windows. Dropping it releases its windows,
/// publishes [`StreamClosed`](super::StreamClosed) and drops its pool half, see [`RealtimePool`].
pub struct Capture {
    // The first field, so that open windows are released before their pool half is dropped.
    reblocker: Reblocker<PlanarBuffer>,
    copies: Vec<CopySpan>,
    /// Whether the current plan is a later part of its quantum.
    continues: bool,
    output: CaptureOutput,
}

impl Capture {
    pub(super) fn new(
        stream: u32,
        config: StreamConfig,
        pool: RealtimePool,
        publisher: Publisher,
        queue: rtrb::Producer<PlanarRef>,
    ) -> Self {
        let most_open = Reblocker::<PlanarBuffer>::most_open(config.window, config.hop);
        Self {
            reblocker: Reblocker::new(config.window, config.hop),
            copies: Vec::with_capacity(most_open * config.channels),
            continues: false,
            output: CaptureOutput::new(stream, config, pool, publisher, queue),
        }
    }

    /// Captures one quantum, one slice per channel; returns how many windows it completed. The length of the first channel is
    /// the number of frames; missing frames of other channels, and missing channels, are silence.
    pub fn process(&mut self, inputs: &[&[f32]], first_frame: u64) -> usize {
        let frames = inputs.first().map_or(0, |channel| channel.len());
        self.capture_parts(frames, first_frame, |channel, at, samples| {
            let input = inputs.get(channel).copied().unwrap_or_default();
            copy_or_silence(samples, input, at);
        })
    }

    /// Captures `frames` frames of silence, for a source that is not connected; returns how many windows it completed. It
    /// captures at most [`MAX_SILENCE_FRAMES`], which bounds the call; the remaining frames count as lost.
    pub fn push_silence(&mut self, frames: usize, first_frame: u64) -> usize {
        let frames = frames.min(MAX_SILENCE_FRAMES);
        self.capture_parts(frames, first_frame, |_, _, samples| samples.fill(0.0))
    }

    /// Plans the copying of one quantum, for a caller that copies the samples itself. The plan covers the first
    /// [`MAX_QUANTUM_FRAMES`] frames; further plans for a longer quantum are made with [`begin_part`](Self::begin_part), otherwise
    /// its other frames count as lost. [`commit`](Self::commit) must follow each plan; without it, the open windows are abandoned.
    pub fn begin(&mut self, frames: usize, first_frame: u64) -> &[CopySpan] {
        self.begin_part(frames, 0, first_frame)
    }

    /// Plans a part of a quantum that begins at `first_frame` and has `frames` frames. The part begins at frame `from` of the
    /// quantum and has at most [`MAX_QUANTUM_FRAMES`] frames. `src` of the spans counts from the beginning of the quantum.
    pub fn begin_part(&mut self, frames: usize, from: usize, first_frame: u64) -> &[CopySpan] {
        let first_frame = first_frame.saturating_add(from as u64);
        self.output.begin(first_frame);
        self.continues = from > 0;
        self.reblocker
            .begin(frames.saturating_sub(from), first_frame, &mut self.output);
        self.copies.clear();
        for (span, window) in self.reblocker.plan() {
            for channel in 0..window.channels() {
                self.copies.push(CopySpan {
                    channel: channel as u32,
                    slot: window.slot_index(channel),
                    dst: span.dst as u32,
                    address: window.channel(channel)[span.dst..].as_ptr().addr(),
                    src: (from + span.src) as u32,
                    count: span.count as u32,
                });
            }
        }
        &self.copies
    }

    /// Marks the samples of the plan as copied; returns how many windows are now complete. Does nothing without a plan.
    pub fn commit(&mut self) -> usize {
        self.copies.clear();
        self.commit_with(|_, _| ())
    }

    /// Commits the plan, copying its samples with `copy`.
    #[inline(always)] // Together with `copy`.
    fn commit_with(&mut self, copy: impl FnMut(Span, &mut PlanarBuffer)) -> usize {
        let Some((frames, completed)) = self.reblocker.commit(&mut self.output, copy) else {
            return 0;
        };
        self.output.counters.quanta += u64::from(!self.continues);
        self.output.counters.frames += frames as u64;
        completed
    }

    /// The window that [`flush`](Self::flush) would deliver: its first frame, and the number of its frames.
    #[must_use]
    pub fn partial(&self) -> Option<(u64, usize)> {
        self.reblocker.partial()
    }

    /// Ends the stream: fills the oldest open window up with silence and delivers it. It has all frames that were not
    /// delivered yet, so that the other open windows are dropped. Returns whether a window was queued.
    pub fn flush(&mut self) -> bool {
        let Some((first_frame, filled, mut window)) = self.reblocker.take_partial() else {
            return false;
        };
        for samples in window.iter_mut() {
            samples[filled..].fill(0.0);
        }
        self.output.deliver(first_frame, filled, window)
    }

    /// The counters so far.
    #[must_use]
    pub const fn counters(&self) -> &CaptureCounters {
        &self.output.counters
    }

    /// The number of its pool half, for a host that has to reclaim it after its thread died.
    #[must_use]
    pub const fn half(&self) -> u16 {
        self.output.half
    }

    /// Ends the stream, as dropping does, but returns the pool half. No other stream gets that half until it is dropped. For a
    /// host that does not know yet whether another thread will release all windows that it got.
    #[must_use]
    pub fn close(mut self) -> Option<RealtimePool> {
        self.output.pool.take()
    }

    /// Takes apart a capture whose thread died at an unknown point: frees its memory and drops its publishers, so that the bus
    /// can make others, but accesses neither its open windows nor the lists of its pool half. Returns the number of the half,
    /// which stays attached, for
    /// [`PoolControl::reclaim`](crate::modules::data_management::PoolControl::reclaim). Publishes nothing.
    pub fn abandon(mut self) -> u16 {
        self.reblocker.forget();
        self.output.abandon_pool();
        self.half()
    }

    /// The stream's number in its events.
    #[must_use]
    pub const fn stream(&self) -> u32 {
        self.output.stream
    }

    /// The configuration of the stream.
    #[must_use]
    pub const fn config(&self) -> &StreamConfig {
        &self.output.config
    }

    /// Captures `frames` frames in parts of at most [`MAX_QUANTUM_FRAMES`]. `copy(channel, from, samples)` fills `samples` with
    /// the channel's frames from `from` on.
    fn capture_parts(
        &mut self,
        frames: usize,
        first_frame: u64,
        copy: impl Fn(usize, usize, &mut [f32]),
    ) -> usize {
        let (mut from, mut completed) = (0, 0);
        while from < frames {
            let part = (frames - from).min(MAX_QUANTUM_FRAMES);
            let first_frame = first_frame.saturating_add(from as u64);
            self.output.begin(first_frame);
            self.continues = from > 0;
            self.reblocker.begin(part, first_frame, &mut self.output);
            completed += self.commit_with(|span, window| {
                for (channel, samples) in window.iter_mut().enumerate() {
                    copy(
                        channel,
                        from + span.src,
                        &mut samples[span.dst..][..span.count],
                    );
                }
            });
            from += part;
        }
        completed
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.output.publish_closed(self.reblocker.next_frame());
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "capture_tests.rs"]
mod tests;
