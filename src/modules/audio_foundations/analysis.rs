//! The reading end of a stream: level and pitch of every window.

use serde::Serialize;

use super::audio_events::{LevelMeasured, PitchDetected, SkipReason, WindowSkipped};
use super::level::Level;
use super::note::Note;
use super::pitch::{Pitch, PitchDetector, PitchWork};
use super::stream::{AudioError, StreamConfig};
use super::windows::Windows;
use crate::event_bus::Publisher;
use crate::modules::data_management::{MAX_CHANNELS, PlanarRef, RealtimePool};

/// The counters of an analyser since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AnalysisCounters {
    /// Windows analysed.
    pub windows: u64,
    /// Windows with a pitch.
    pub pitched_windows: u64,
    /// Windows whose pitch was not detected because the pool had no scratch.
    pub unread_windows: u64,
}

/// Level and pitch of one window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// First frame of the window.
    pub first_frame: u64,
    /// RMS over all channels, peak of all. `None` if a sample is infinite or not a number.
    pub level: Option<Level>,
    /// Pitch of the loudest channel.
    pub pitch: Pitch,
}

/// Analyses windows of one stream, and publishes the results as [`LevelMeasured`] and [`PitchDetected`].
///
/// # Real-time
/// Analysing allocates nothing: the transforms are planned when the analyser is opened, and working memory is scratch from its
/// pool half.
pub struct Analyser {
    stream: u32,
    config: StreamConfig,
    detector: PitchDetector,
    pool: RealtimePool,
    publisher: Publisher,
    counters: AnalysisCounters,
}

impl Analyser {
    pub(super) fn new(
        stream: u32,
        config: StreamConfig,
        detector: PitchDetector,
        pool: RealtimePool,
        publisher: Publisher,
    ) -> Self {
        Self {
            stream,
            config,
            detector,
            pool,
            publisher,
            counters: AnalysisCounters::default(),
        }
    }

    /// Analyses one window, from this stream's own capture or copied from another instance.
    ///
    /// The pitch is that of the loudest channel, since a sum of channels can cancel. A channel with a sample that is infinite or
    /// NaN has no pitch, and its window has no level.
    ///
    /// # Real-time
    /// No allocation, no lock; the number of steps is bounded by the window's length, whatever the samples are.
    ///
    /// # Errors
    /// [`AudioError::WindowLength`] for a window of another length than the stream's; nothing was published then. The
    /// pool's error if it has no scratch; the level was published nevertheless.
    pub fn analyse(&mut self, window: &PlanarRef) -> Result<Reading, AudioError> {
        if window.frames() != self.config.window {
            return Err(AudioError::WindowLength {
                given: window.frames(),
                expected: self.config.window,
            });
        }
        let first_frame = window.metadata().first_frame;
        self.pool.begin_quantum(first_frame);
        let mut measured = [None; MAX_CHANNELS];
        for (measured, samples) in measured.iter_mut().zip(window.iter()) {
            *measured = Level::measure(samples);
        }
        let measured = &measured[..window.channels()];
        let level = Level::combined(measured.iter().copied());
        self.publisher.publish(LevelMeasured {
            first_frame,
            stream: self.stream,
            rms_dbfs: level.map(Level::rms_dbfs),
            peak_dbfs: level.map(Level::peak_dbfs),
        });
        self.counters.windows += 1;
        let loudest = measured
            .iter()
            .zip(window.iter())
            .filter_map(|(level, samples)| Some((level.as_ref()?.rms, samples)))
            .max_by(|(a, _), (b, _)| a.total_cmp(b));
        let detected = match loudest {
            Some((_, samples)) => self.pitch_of(samples),
            None => Ok(Pitch::default()),
        };
        let pitch = detected.inspect_err(|_| {
            self.counters.unread_windows += 1;
            self.publisher.publish(WindowSkipped {
                first_frame,
                stream: self.stream,
                reason: SkipReason::NoScratch,
            });
        })?;
        let nearest = pitch.hz.and_then(Note::nearest);
        self.counters.pitched_windows += u64::from(pitch.hz.is_some());
        self.publisher.publish(PitchDetected {
            first_frame,
            stream: self.stream,
            hz: pitch.hz,
            note: nearest.map(|(note, _)| note),
            cents: nearest.map(|(_, cents)| cents),
            clarity: pitch.clarity,
        });
        Ok(Reading {
            first_frame,
            level,
            pitch,
        })
    }

    fn pitch_of(&self, samples: &[f32]) -> Result<Pitch, AudioError> {
        let length = self.detector.work_samples();
        let mut lags = self.pool.scratch(length)?;
        let mut near = self.pool.scratch(length)?;
        let mut far = self.pool.scratch(length)?;
        let mut fft = self.pool.scratch(length)?;
        let work = PitchWork {
            lags: &mut lags,
            near: &mut near,
            far: &mut far,
            fft: &mut fft,
        };
        self.detector.detect(samples, work)
    }

    /// The stream's number in its events.
    #[must_use]
    pub const fn stream(&self) -> u32 {
        self.stream
    }

    /// The configuration of the stream.
    #[must_use]
    pub const fn config(&self) -> &StreamConfig {
        &self.config
    }

    /// The lowest pitch that can be detected in windows of this length.
    #[must_use]
    pub fn lowest_hz(&self) -> f32 {
        self.detector.lowest_hz()
    }

    /// The counters so far.
    #[must_use]
    pub const fn counters(&self) -> &AnalysisCounters {
        &self.counters
    }
}

/// The reading end of a stream: pops the windows that a [`Capture`](super::Capture) queued and analyses them. It then releases
/// their buffers, on this thread, by one lock-free push each.
pub struct Analysis {
    // The first field, so that queued windows are released before the analyser's pool half is dropped.
    windows: Windows,
    pub(super) analyser: Analyser,
}

impl Analysis {
    pub(super) const fn new(windows: Windows, analyser: Analyser) -> Self {
        Self { windows, analyser }
    }

    /// Analyses up to `max` queued windows; returns how many there were.
    ///
    /// # Real-time
    /// No allocation, no lock; about 30 µs per window of 4096 samples on a desktop processor.
    pub fn poll(&mut self, max: usize) -> usize {
        for read in 0..max {
            let Some(window) = self.next_window() else {
                return read;
            };
            // An error was counted and published.
            let _ = self.analyser.analyse(&window);
        }
        max
    }

    /// Pops the next queued window without analysing it.
    pub fn next_window(&mut self) -> Option<PlanarRef> {
        self.windows.next_window()
    }

    /// Whether the capture was dropped and all its windows were popped.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.windows.is_finished()
    }

    /// The analyser of the windows.
    #[must_use]
    pub const fn analyser(&self) -> &Analyser {
        &self.analyser
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::super::test_rig::{MONO, Rig, play};
    use super::*;
    use core::f32::consts::TAU;

    const TUNER: StreamConfig = StreamConfig {
        window: 4096,
        hop: 1024,
        ..MONO
    };

    fn sine(hz: f32, frames: usize) -> Vec<f32> {
        (0..frames)
            .map(|n| 0.5 * (TAU * hz * n as f32 / 48_000.0).sin())
            .collect()
    }

    #[test]
    fn tone_is_published_as_its_note() {
        let mut rig = Rig::boot();
        let (mut capture, mut analysis) = rig.open(TUNER);
        let windows = play(&mut capture, &sine(443.0, 8192), 0);
        assert_eq!(windows, 5);
        assert_eq!(analysis.poll(3), 3);
        assert_eq!(analysis.poll(100), 2);
        let pitches = rig.events("PitchDetected");
        let frames: Vec<_> = pitches
            .iter()
            .map(|e| e["first_frame"].as_u64().unwrap())
            .collect();
        assert_eq!(frames, [0, 1024, 2048, 3072, 4096]);
        for pitch in &pitches {
            assert_eq!(pitch["note"], "A4");
            assert!((pitch["cents"].as_f64().unwrap() - 11.76).abs() < 0.5);
            assert!(pitch["clarity"].as_f64().unwrap() > 0.99);
        }
        assert_eq!(analysis.analyser().counters().pitched_windows, 5);
    }

    #[test]
    fn silence_has_a_level_and_no_pitch() {
        let mut rig = Rig::boot();
        let (mut capture, mut analysis) = rig.open(TUNER);
        capture.push_silence(4096, 0);
        analysis.poll(1);
        let pitch = rig.events("PitchDetected");
        assert!(pitch[0]["hz"].is_null() && pitch[0]["note"].is_null());
        capture.push_silence(1024, 4096);
        analysis.poll(1);
        assert_eq!(rig.events("LevelMeasured")[0]["rms_dbfs"], -144.0);
    }

    #[test]
    fn pitch_is_that_of_the_loudest_channel() {
        let mut rig = Rig::boot();
        let config = StreamConfig {
            channels: 2,
            ..TUNER
        };
        let (mut capture, mut analysis) = rig.open(config);
        let quiet: Vec<f32> = sine(1000.0, 4096).iter().map(|x| 0.1 * x).collect();
        capture.process(&[&quiet, &sine(440.0, 4096)], 0);
        let window = analysis.next_window().unwrap();
        let reading = analysis.analyser.analyse(&window).unwrap();
        assert!((reading.pitch.hz.unwrap() - 440.0).abs() < 0.5);
        assert!((reading.level.unwrap().peak - 0.5).abs() < 1e-3);
        // With opposite phases the sum is silent, but the channels are not.
        let tone = sine(440.0, 4096);
        let opposite: Vec<f32> = tone.iter().map(|x| -x).collect();
        let (mut capture, mut analysis) = rig.open(config);
        capture.process(&[&tone, &opposite], 0);
        let window = analysis.next_window().unwrap();
        assert!(
            analysis
                .analyser
                .analyse(&window)
                .unwrap()
                .pitch
                .hz
                .is_some()
        );
    }

    #[test]
    fn nan_in_one_channel_leaves_the_other_its_pitch() {
        let mut rig = Rig::boot();
        let (mut capture, mut analysis) = rig.open(StreamConfig {
            channels: 2,
            ..TUNER
        });
        let mut broken = sine(1000.0, 4096);
        broken[77] = f32::NAN;
        capture.process(&[&sine(440.0, 4096), &broken], 0);
        let window = analysis.next_window().unwrap();
        let reading = analysis.analyser.analyse(&window).unwrap();
        assert!((reading.pitch.hz.unwrap() - 440.0).abs() < 0.5);
        assert_eq!(reading.level, None);
        let level = rig.events("LevelMeasured").pop().unwrap();
        assert!(level["rms_dbfs"].is_null() && level["peak_dbfs"].is_null());
    }

    #[test]
    fn window_of_another_length_is_refused_and_not_counted() {
        let mut rig = Rig::boot();
        let (mut capture, mut short) = rig.open(MONO);
        let (_capture, mut analysis) = rig.open(TUNER);
        play(&mut capture, &[0.5; 1024], 0);
        let window = short.next_window().unwrap();
        let refused = analysis.analyser.analyse(&window).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the window must have the 4096 samples that the detector or analyser was made for (got 1024)"
        );
        assert_eq!(analysis.analyser().counters().windows, 0);
        assert_eq!(rig.events("LevelMeasured").len(), 0);
    }

    #[test]
    fn missing_scratch_is_counted_and_the_level_is_still_published() {
        let mut rig = Rig::boot();
        let (mut capture, mut analysis) = rig.open(TUNER);
        capture.process(&[&sine(440.0, 4096)], 0);
        let window = analysis.next_window().unwrap();
        let taken: Vec<_> =
            std::iter::from_fn(|| analysis.analyser.pool.acquire(4096).ok()).collect();
        assert_eq!(taken.len(), PitchWork::BUFFERS as usize);
        assert!(analysis.analyser.analyse(&window).is_err());
        assert_eq!(rig.events("WindowSkipped")[0]["reason"], "no-scratch");
        assert_eq!(analysis.analyser().counters().unread_windows, 1);
        drop(taken);
        assert!(analysis.analyser.analyse(&window).is_ok());
    }

    #[test]
    fn stream_ends_may_be_dropped_in_any_order() {
        let mut rig = Rig::boot();
        for capture_first in [true, false] {
            let (mut capture, mut analysis) = rig.open(TUNER);
            play(&mut capture, &sine(440.0, 6000), 0);
            if capture_first {
                drop(capture);
                assert!(!analysis.is_finished());
                // Queued windows can still be analysed.
                assert_eq!(analysis.poll(100), 2);
                assert!(analysis.is_finished());
            } else {
                drop(analysis);
                play(&mut capture, &sine(440.0, 100_000), 6000);
                drop(capture);
            }
            assert_eq!(rig.leased(), 0);
        }
    }
}
