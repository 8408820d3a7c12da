//! The real-time end of a stream: from quanta to frozen windows in the queue.

use serde::Serialize;

use super::audio_events::{SkipReason, StreamClosed, StreamOpened, WindowSkipped};
use super::engine::copy_or_silence;
use super::reblocker::{MAX_QUANTUM_FRAMES, Reblocker, Span, WindowStore};
use super::stream::StreamConfig;
use crate::event_bus::Publisher;
use crate::modules::data_management::{AudioMetadata, PlanarBuffer, PlanarRef, RealtimePool};

/// The most silence that one call of [`Capture::push_silence`] takes: more than 20 s at 48 kHz.
pub const MAX_SILENCE_FRAMES: usize = 1 << 20;

/// One stretch to copy: `count` samples of input channel `channel`, from sample `src` of the quantum, into the buffer
/// `slot` at sample `dst`. All numbers, so that JavaScript can read the plan out of memory and do the copying.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct CopySpan {
    /// Input channel.
    pub channel: u32,
    /// Number of the pool's buffer: `slot_index`.
    pub slot: u32,
    /// First sample in the buffer.
    pub dst: u32,
    /// First sample in the quantum.
    pub src: u32,
    /// Samples.
    pub count: u32,
    /// Address of the first sample to write: `dst` within `slot`, for a host that knows memory by address.
    pub address: usize,
}

/// What a capture has done since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CaptureCounters {
    /// Quanta committed.
    pub quanta: u64,
    /// Frames committed.
    pub frames: u64,
    /// Windows delivered to the queue.
    pub windows: u64,
    /// Windows not delivered for want of a buffer or of room in the queue.
    pub skipped_windows: u64,
    /// Windows given up because the stream had a gap, a restart or an uncommitted plan.
    pub interrupted_windows: u64,
    /// Frames that were never given to the capture: those of gaps, whether or not a window was open then.
    pub lost_frames: u64,
    /// Sample bytes copied into windows that were delivered, skipped for want of room, or interrupted. As long as none
    /// but the first happens this is windows × window × channels × 4: each sample is copied once into each window.
    pub bytes_copied: u64,
}

/// Numbers that [`CaptureCounters`] consists of.
#[cfg(all(target_arch = "wasm32", feature = "page"))]
pub(crate) const CAPTURE_FIELDS: usize = 7;

#[cfg(all(target_arch = "wasm32", feature = "page"))]
impl CaptureCounters {
    /// As plain numbers, to cross between threads and memories.
    pub(crate) const fn to_fields(self) -> [u64; CAPTURE_FIELDS] {
        let Self {
            quanta,
            frames,
            windows,
            skipped_windows,
            interrupted_windows,
            lost_frames,
            bytes_copied,
        } = self;
        [
            quanta,
            frames,
            windows,
            skipped_windows,
            interrupted_windows,
            lost_frames,
            bytes_copied,
        ]
    }

    /// The other way round.
    pub(crate) const fn from_fields(fields: [u64; CAPTURE_FIELDS]) -> Self {
        let [
            quanta,
            frames,
            windows,
            skipped_windows,
            interrupted_windows,
            lost_frames,
            bytes_copied,
        ] = fields;
        Self {
            quanta,
            frames,
            windows,
            skipped_windows,
            interrupted_windows,
            lost_frames,
            bytes_copied,
        }
    }
}

/// The capturing end of a stream, for the real-time thread.
///
/// Windows begin every `hop` frames from the first frame on. Each has its own pooled planar buffer, into which samples
/// are copied straight from the input, once; when it is full it is frozen and queued for the
/// [`Analysis`](super::Analysis). A window for which the pool has no buffer, or the queue no room, is skipped, counted
/// and announced by [`WindowSkipped`]; audio goes on. A quantum that does not follow the one before starts the windows
/// afresh, so that none has a hole; the frames between are counted as lost.
///
/// # Real-time
/// All methods: no allocation, no lock, steps bounded by the windows open at once. Dropping it releases its windows,
/// publishes [`StreamClosed`] and drops its pool half, see [`RealtimePool`].
pub struct Capture {
    // First, so that windows still open go home before their half does.
    reblocker: Reblocker<PlanarBuffer>,
    copies: Vec<CopySpan>,
    /// The plan under way does not begin its quantum.
    continues: bool,
    outlet: Outlet,
}

/// Where windows come from and go to.
struct Outlet {
    stream: u32,
    config: StreamConfig,
    half: u16,
    /// None once the capture has been closed or abandoned.
    pool: Option<RealtimePool>,
    publisher: Publisher,
    queue: rtrb::Producer<PlanarRef>,
    counters: CaptureCounters,
    opened: bool,
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
            outlet: Outlet {
                stream,
                config,
                half: pool.id(),
                pool: Some(pool),
                publisher,
                queue,
                counters: CaptureCounters::default(),
                opened: false,
            },
        }
    }

    /// Takes one quantum, one slice per channel; returns how many windows it completed. The first channel says how many
    /// frames there are; what others lack is silence, as are channels that are not given.
    pub fn process(&mut self, inputs: &[&[f32]], first_frame: u64) -> usize {
        let frames = inputs.first().map_or(0, |channel| channel.len());
        self.in_quanta(frames, first_frame, |channel, at, samples| {
            let input = inputs.get(channel).copied().unwrap_or_default();
            copy_or_silence(samples, input, at);
        })
    }

    /// Takes `frames` frames of silence, for when the source is not connected; returns how many windows it completed. At
    /// most [`MAX_SILENCE_FRAMES`] of them, so that the call ends: the others count as lost.
    pub fn push_silence(&mut self, frames: usize, first_frame: u64) -> usize {
        let frames = frames.min(MAX_SILENCE_FRAMES);
        self.in_quanta(frames, first_frame, |_, _, samples| samples.fill(0.0))
    }

    /// Plans the copying of one quantum, for whoever does it elsewhere: of its first [`MAX_QUANTUM_FRAMES`] frames. A longer
    /// one goes on with [`begin_part`](Self::begin_part), or the other frames count as lost. Without the
    /// [`commit`](Self::commit) that follows each plan, the windows it touched are given up.
    pub fn begin(&mut self, frames: usize, first_frame: u64) -> &[CopySpan] {
        self.begin_part(frames, 0, first_frame)
    }

    /// Plans a part of a quantum of `frames` frames that begins with `first_frame`: from its frame `from` on, at most
    /// [`MAX_QUANTUM_FRAMES`] of them. The spans count their samples from the beginning of the quantum.
    pub fn begin_part(&mut self, frames: usize, from: usize, first_frame: u64) -> &[CopySpan] {
        let first_frame = first_frame.saturating_add(from as u64);
        self.outlet.begin(first_frame);
        self.continues = from > 0;
        self.reblocker
            .begin(frames.saturating_sub(from), first_frame, &mut self.outlet);
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

    /// Takes the plan as carried out; returns how many windows are now complete. Without a plan, nothing happens.
    pub fn commit(&mut self) -> usize {
        self.copies.clear();
        self.carry_out(|_, _| ())
    }

    #[inline(always)] // With what it copies.
    fn carry_out(&mut self, copy: impl FnMut(Span, &mut PlanarBuffer)) -> usize {
        let Some((frames, completed)) = self.reblocker.commit(&mut self.outlet, copy) else {
            return 0;
        };
        self.outlet.counters.quanta += u64::from(!self.continues);
        self.outlet.counters.frames += frames as u64;
        completed
    }

    /// The window that [`flush`](Self::flush) would deliver: its first frame, and how many frames it has.
    #[must_use]
    pub fn partial(&self) -> Option<(u64, usize)> {
        self.reblocker.partial()
    }

    /// Ends the stream: delivers the oldest window that is not full yet, the rest of it silent. It has every frame that no
    /// delivered window has, so the others are dropped. Returns whether there was one that the queue had room for.
    pub fn flush(&mut self) -> bool {
        let Some((first_frame, filled, mut window)) = self.reblocker.take_partial() else {
            return false;
        };
        for samples in window.iter_mut() {
            samples[filled..].fill(0.0);
        }
        self.outlet.deliver(first_frame, filled, window)
    }

    /// What it has done so far.
    #[must_use]
    pub const fn counters(&self) -> &CaptureCounters {
        &self.outlet.counters
    }

    /// The number of its pool half, for a host that has seen its thread die.
    #[must_use]
    pub const fn half(&self) -> u16 {
        self.outlet.half
    }

    /// Ends the stream, as dropping does, but returns the pool half: as long as that is kept, no other stream gets it. For
    /// a host that cannot tell yet whether the windows that went to another thread will all be released.
    #[must_use]
    pub fn close(mut self) -> Option<RealtimePool> {
        self.outlet.pool.take()
    }

    /// Takes apart a capture whose thread died in the middle of something: frees its memory and drops its publishers, so
    /// that their places on the bus are given back, but touches neither its open windows nor the lists of its half.
    /// Returns the number of the half, which stays attached, for
    /// [`PoolControl::reclaim`](crate::modules::data_management::PoolControl::reclaim). Publishes nothing.
    pub fn abandon(mut self) -> u16 {
        self.reblocker.forget();
        // Where the dead thread was in publishing is not known: its lanes take nothing more.
        self.outlet.opened = false;
        let half = self.outlet.pool.take();
        drop(half.map(RealtimePool::abandon));
        self.half()
    }

    /// The stream's number in its events.
    #[must_use]
    pub const fn stream(&self) -> u32 {
        self.outlet.stream
    }

    /// How the stream was opened.
    #[must_use]
    pub const fn config(&self) -> &StreamConfig {
        &self.outlet.config
    }

    /// `copy(channel, from, samples)` fills `samples` with the channel's frames from `from` on.
    fn in_quanta(
        &mut self,
        frames: usize,
        first_frame: u64,
        copy: impl Fn(usize, usize, &mut [f32]),
    ) -> usize {
        let (mut from, mut completed) = (0, 0);
        while from < frames {
            let part = (frames - from).min(MAX_QUANTUM_FRAMES);
            let first_frame = first_frame.saturating_add(from as u64);
            self.outlet.begin(first_frame);
            self.continues = from > 0;
            self.reblocker.begin(part, first_frame, &mut self.outlet);
            completed += self.carry_out(|span, window| {
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
        if self.outlet.opened {
            self.outlet.publisher.publish(StreamClosed {
                first_frame: self.reblocker.next_frame(),
                stream: self.outlet.stream,
                frames: self.outlet.counters.frames,
                windows: self.outlet.counters.windows,
                skipped_windows: self.outlet.counters.skipped_windows,
            });
        }
    }
}

impl Outlet {
    fn begin(&mut self, first_frame: u64) {
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

    fn skip(&self, first_frame: u64, reason: SkipReason) {
        self.publisher.publish(WindowSkipped {
            first_frame,
            stream: self.stream,
            reason,
        });
    }

    /// Queues a window; false if it found no room, which is counted.
    fn deliver(&mut self, first_frame: u64, filled: usize, window: PlanarBuffer) -> bool {
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

impl WindowStore<PlanarBuffer> for Outlet {
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

    fn lose(&mut self, frames: u64) {
        self.counters.lost_frames = self.counters.lost_frames.saturating_add(frames);
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[allow(unsafe_code)] // Takes over from a thread that a test has stopped.
mod tests {
    use super::super::test_rig::{MONO, Rig, play};
    use super::*;
    use crate::sync::atomic::stop_after;
    use std::collections::HashMap;

    fn ramp(from: u64, frames: usize) -> Vec<f32> {
        (from..).take(frames).map(|frame| frame as f32).collect()
    }

    #[test]
    fn a_capture_that_died_anywhere_leaves_no_buffer_no_publisher_and_no_half_behind() {
        let mut rig = Rig::boot();
        let before = (rig.publishers(), rig.leased());
        for stores in (0..).step_by(if cfg!(miri) { 97 } else { 1 }) {
            let (mut capture, mut windows) = rig.open_windows(MONO);
            play(&mut capture, &[0.5; 2000], 0);
            let held = windows.next_window();
            let done = stop_after(stores, || {
                play(&mut capture, &[0.5; 700], 2000);
            });
            let half = capture.abandon();
            // What was queued is taken back with what the reader held.
            core::mem::forget((held, windows));
            // SAFETY: worklet and reader are gone, with all their windows.
            let reclaimed = unsafe { rig.control().reclaim_all(half) };
            assert!(reclaimed.count >= 1, "stopped after {stores}");
            assert_eq!(
                (rig.publishers(), rig.leased()),
                before,
                "stopped after {stores}"
            );
            if done < stores {
                break;
            }
        }
    }

    #[test]
    fn a_closed_capture_keeps_its_half_until_that_is_dropped() {
        let mut rig = Rig::boot();
        let (mut capture, windows) = rig.open_windows(MONO);
        play(&mut capture, &[0.5; 4096], 0);
        let half = capture.half();
        let kept = capture.close().unwrap();
        assert_eq!(kept.id(), half);
        let (next, _next_windows) = rig.open_windows(MONO);
        assert_ne!(next.half(), half);
        drop((kept, windows, next));
        let (again, _again_windows) = rig.open_windows(MONO);
        assert_eq!((again.half(), rig.leased()), (half, 0));
    }

    #[test]
    fn windows_hold_their_frames_of_every_channel() {
        let stereo = StreamConfig {
            channels: 2,
            ..MONO
        };
        let mut rig = Rig::boot();
        let (mut capture, mut analysis) = rig.open(stereo);
        let mut at = 1000;
        for frames in [128, 1, 127, 441, 1024, 5000, 63]
            .into_iter()
            .cycle()
            .take(20)
        {
            let left = ramp(at, frames);
            let right: Vec<f32> = left.iter().map(|x| -x).collect();
            capture.process(&[&left, &right], at);
            at += frames as u64;
            while let Some(window) = analysis.next_window() {
                let metadata = *window.metadata();
                assert_eq!((metadata.first_frame - 1000) % 256, 0);
                assert_eq!((metadata.channels, metadata.sample_rate_hz), (2, 48_000.0));
                let right_one = ramp(metadata.first_frame, 1024);
                assert_eq!(window.channel(0), right_one);
                assert!(
                    window
                        .channel(1)
                        .iter()
                        .zip(&right_one)
                        .all(|(a, b)| *a == -b)
                );
            }
        }
        let counters = *capture.counters();
        assert_eq!(counters.frames, at - 1000);
        assert_eq!(counters.windows, (counters.frames - 1024) / 256 + 1);
        assert_eq!(
            (counters.skipped_windows, counters.interrupted_windows),
            (0, 0)
        );
        assert_eq!(counters.bytes_copied, counters.windows * 1024 * 2 * 4);
        drop((capture, analysis));
        assert_eq!(rig.leased(), 0);
    }

    #[test]
    fn a_plan_carried_out_elsewhere_gives_the_same_windows() {
        let mut rig = Rig::boot();
        let (mut here, mut here_windows) = rig.open(MONO);
        let (mut planned, mut planned_windows) = rig.open(MONO);
        // What JavaScript would write into the pool's memory, by buffer number.
        let mut memory: HashMap<u32, Vec<f32>> = HashMap::new();
        let mut at = 0;
        for frames in [128, 96, 333, 1024, 1].into_iter().cycle().take(60) {
            let quantum = ramp(at, frames);
            here.process(&[&quantum], at);
            for span in planned.begin(frames, at) {
                assert_eq!(span.channel, 0);
                let slot = memory.entry(span.slot).or_insert_with(|| vec![0.0; 1024]);
                let (dst, src, count) = (span.dst as usize, span.src as usize, span.count as usize);
                slot[dst..dst + count].copy_from_slice(&quantum[src..src + count]);
            }
            planned.commit();
            at += frames as u64;
            while let Some(window) = here_windows.next_window() {
                let planned = planned_windows.next_window().unwrap();
                assert_eq!(planned.metadata(), window.metadata());
                assert_eq!(memory[&planned.slot_index(0)], window.channel(0));
            }
            assert!(planned_windows.next_window().is_none());
        }
        assert_eq!(planned.counters(), here.counters());
    }

    #[test]
    fn quantum_of_any_length_in_parts_gives_every_window() {
        for frames in [1, 128, 4095, 4096, 4097, 8192, 10_000, 16_384] {
            let mut rig = Rig::boot();
            let (mut capture, mut windows) = rig.open(MONO);
            let mut memory: HashMap<u32, Vec<f32>> = HashMap::new();
            let (quanta, mut delivered) = (40_000_usize.div_ceil(frames), 0);
            for quantum in 0..quanta {
                let at = (quantum * frames) as u64;
                let input = ramp(at, frames);
                for from in (0..frames).step_by(MAX_QUANTUM_FRAMES) {
                    for span in capture.begin_part(frames, from, at) {
                        let slot = memory.entry(span.slot).or_insert_with(|| vec![0.0; 1024]);
                        let (dst, src) = (span.dst as usize, span.src as usize);
                        let count = span.count as usize;
                        slot[dst..dst + count].copy_from_slice(&input[src..src + count]);
                    }
                    capture.commit();
                    while let Some(window) = windows.next_window() {
                        let first = window.metadata().first_frame;
                        assert_eq!(first, delivered * 256, "quanta of {frames}");
                        assert_eq!(memory[&window.slot_index(0)], ramp(first, 1024));
                        delivered += 1;
                    }
                }
            }
            let counters = *capture.counters();
            assert_eq!(counters.quanta, quanta as u64);
            assert_eq!(counters.frames, (quanta * frames) as u64);
            assert_eq!(delivered, (counters.frames - 1024) / 256 + 1);
            assert_eq!((counters.skipped_windows, counters.lost_frames), (0, 0));
        }
    }

    #[test]
    fn lost_frames_are_counted_where_no_window_was_open() {
        let mut rig = Rig::boot();
        let (mut capture, _windows) = rig.open(StreamConfig { hop: 1024, ..MONO });
        // Each window ends with the part that was planned: no window is interrupted by what is left out.
        for quantum in 0..3 {
            capture.begin(8192, quantum * 8192);
            capture.commit();
        }
        let counters = *capture.counters();
        assert_eq!(counters.interrupted_windows, 0);
        assert_eq!(
            (counters.frames, counters.lost_frames),
            (3 * 4096, 2 * 4096)
        );
        // Time that goes backwards is a restart.
        capture.process(&[&[0.0; 128]], 0);
        assert_eq!(capture.counters().lost_frames, 2 * 4096);
    }

    #[test]
    fn silence_of_any_length_ends() {
        let mut rig = Rig::boot();
        let (mut capture, _windows) = rig.open(MONO);
        capture.push_silence(usize::MAX, 0);
        assert_eq!(capture.counters().frames, MAX_SILENCE_FRAMES as u64);
        capture.push_silence(1, u64::MAX);
        let lost = u64::MAX - MAX_SILENCE_FRAMES as u64;
        assert_eq!(capture.counters().lost_frames, lost);
    }

    #[test]
    fn flush_delivers_what_fills_no_window() {
        for frames in [1_u64, 255, 1023, 1024, 1025, 1280, 3000, 4096] {
            let mut rig = Rig::boot();
            let (mut capture, mut windows) = rig.open(MONO);
            // What an earlier window left in the buffer must not be in the last one.
            play(&mut capture, &vec![9.0; 2048], 0);
            while windows.next_window().is_some() {}
            let begin = 1_000_000;
            play(&mut capture, &ramp(begin, frames as usize), begin);
            let complete = std::iter::from_fn(|| windows.next_window()).count() as u64;
            assert_eq!(complete, (frames + 256).saturating_sub(1024) / 256);
            let (first, filled) = capture.partial().unwrap();
            assert_eq!(
                (first, first + filled as u64),
                (begin + complete * 256, begin + frames)
            );
            assert!(capture.flush());
            let last = windows.next_window().unwrap();
            assert_eq!(last.metadata().first_frame, first);
            assert_eq!(last.channel(0)[..filled], ramp(first, filled));
            assert!(
                last.channel(0)[filled..]
                    .iter()
                    .all(|sample| *sample == 0.0)
            );
            assert!(windows.next_window().is_none() && !capture.flush());
            drop((capture, windows, last));
            assert_eq!(rig.leased(), 0);
        }
    }

    #[test]
    fn missing_channels_and_silence_are_zero() {
        let stereo = StreamConfig {
            channels: 2,
            ..MONO
        };
        let mut rig = Rig::boot();
        let (mut capture, mut analysis) = rig.open(stereo);
        capture.process(&[&[0.5; 512], &[0.25; 100]], 0);
        capture.push_silence(512, 512);
        let window = analysis.next_window().unwrap();
        assert!(window.channel(0)[..512].iter().all(|x| *x == 0.5));
        assert!(window.channel(1)[..100].iter().all(|x| *x == 0.25));
        assert!(window.channel(0)[512..].iter().all(|x| *x == 0.0));
        assert!(window.channel(1)[100..].iter().all(|x| *x == 0.0));
        assert_eq!(capture.process(&[], 1024), 0);
        assert_eq!(capture.counters().frames, 1024);
    }

    #[test]
    fn a_full_queue_skips_windows_and_audio_goes_on() {
        let mut rig = Rig::boot();
        let (mut capture, mut analysis) = rig.open(MONO);
        let frames = 100 * 256;
        play(&mut capture, &ramp(0, frames), 0);
        let counters = *capture.counters();
        assert_eq!(counters.frames, frames as u64);
        assert_eq!(counters.windows + counters.skipped_windows, 97);
        // Half a second of hops of 256, capped at 64.
        assert_eq!(counters.windows, 64);
        let skipped = rig.events("WindowSkipped");
        assert_eq!(skipped.len(), 33);
        assert_eq!(skipped[0]["first_frame"], 64 * 256);
        assert_eq!(skipped[0]["reason"], "queue-full");
        while analysis.next_window().is_some() {}
        play(&mut capture, &ramp(frames as u64, 1024), frames as u64);
        assert_eq!(capture.counters().windows, 64 + 4);
    }

    #[test]
    fn an_exhausted_pool_skips_windows_and_recovers() {
        let mut rig = Rig::boot();
        let (mut capture, mut analysis) = rig.open(MONO);
        // A consumer that keeps what it takes.
        let mut kept = Vec::new();
        let mut at = 0;
        while capture.counters().skipped_windows == 0 {
            play(&mut capture, &ramp(at, 256), at);
            at += 256;
            kept.extend(std::iter::from_fn(|| analysis.next_window()));
            assert!(at < 1_000_000, "never exhausted");
        }
        let skipped = rig.events("WindowSkipped");
        assert_eq!(skipped[0]["reason"], "pool-exhausted");
        for window in &kept {
            assert_eq!(window.channel(0), ramp(window.metadata().first_frame, 1024));
        }
        kept.clear();
        let before = *capture.counters();
        play(&mut capture, &ramp(at, 4096), at);
        assert_eq!(capture.counters().skipped_windows, before.skipped_windows);
        assert!(capture.counters().windows >= before.windows + 12);
        let last = std::iter::from_fn(|| analysis.next_window())
            .last()
            .unwrap();
        assert_eq!(last.channel(0), ramp(last.metadata().first_frame, 1024));
    }

    #[test]
    fn no_window_spans_a_gap() {
        let mut rig = Rig::boot();
        let (mut capture, mut analysis) = rig.open(MONO);
        play(&mut capture, &ramp(0, 1000), 0);
        play(&mut capture, &ramp(5000, 1024), 5000);
        let window = analysis.next_window().unwrap();
        assert_eq!(window.channel(0), ramp(5000, 1024));
        assert!(analysis.next_window().is_none());
        assert_eq!(capture.counters().interrupted_windows, 4);
        // 1000, 744, 488 and 232 samples for nothing, and one whole window.
        assert_eq!(
            capture.counters().bytes_copied,
            4 * (1000 + 744 + 488 + 232 + 1024)
        );
        let skipped = rig.events("WindowSkipped");
        let starts: Vec<_> = skipped
            .iter()
            .map(|e| e["first_frame"].as_u64().unwrap())
            .collect();
        assert_eq!(starts, [0, 256, 512, 768]);
        assert!(skipped.iter().all(|e| e["reason"] == "interrupted"));
    }

    #[test]
    fn opening_and_closing_are_told_with_their_frames() {
        let mut rig = Rig::boot();
        let (mut capture, analysis) = rig.open(MONO);
        play(&mut capture, &ramp(300, 2048), 300);
        let opened = rig.events("StreamOpened");
        assert_eq!(opened.len(), 1);
        assert_eq!(opened[0]["first_frame"], 300);
        assert_eq!(opened[0]["window"], 1024);
        drop(capture);
        let closed = rig.events("StreamClosed");
        assert_eq!(closed[0]["first_frame"], 2348);
        assert_eq!(
            (&closed[0]["frames"], &closed[0]["windows"]),
            (&2048.into(), &5.into())
        );
        assert!(!analysis.is_finished());
    }
}
