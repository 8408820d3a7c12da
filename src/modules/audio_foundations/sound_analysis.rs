//! Offline analysis: level and notes of a whole sound, with vectors of the story's trait as working memory.

use std::collections::BTreeMap;

use serde::Serialize;

use super::level::Level;
use super::note::Note;
use super::pitch::{Pitch, PitchDetector, PitchWork};
use super::stream::AudioError;
use crate::modules::data_management::BufferRecyclingPool;

/// What a sound is, as far as it was analysed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SoundSummary {
    /// Frames of the sound.
    pub frames: u64,
    /// RMS over all channels relative to full scale, in decibels, from -144 (silence) to 770.6. `None` if a sample is infinite or
    /// NaN.
    pub rms_dbfs: Option<f32>,
    /// The largest sample, likewise.
    pub peak_dbfs: Option<f32>,
    /// Whole windows: the rest of the sound, which is shorter than a window, has a level only.
    pub windows: u64,
    /// The notes, most frequent first.
    pub notes: Vec<NoteCount>,
}

/// A note of a sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct NoteCount {
    /// Letter, accidental, octave.
    pub note: Note,
    /// The number of windows with this note.
    pub windows: u64,
}

/// Analyses a sound window by window: the level of all of it, and the note of each window, by its loudest channel.
///
/// # Real-time
/// Not for the audio thread: the pool may allocate.
///
/// # Examples
/// ```
/// use wavepool::modules::audio_foundations::SoundAnalysis;
/// use wavepool::modules::data_management::{BufferPool, BufferRecyclingPoolImpl};
///
/// let mut pool = BufferRecyclingPoolImpl::new(BufferPool::builder())?;
/// let tone: Vec<f32> = (0..4096).map(|n| (n as f32 * 440.0 / 48_000.0 * std::f32::consts::TAU).sin()).collect();
/// let mut analysis = SoundAnalysis::new(48_000.0, 4096)?;
/// analysis.add(&mut pool, &[tone])?;
/// assert_eq!(analysis.finish(&mut pool).notes[0].note.to_string(), "A4");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SoundAnalysis {
    detector: PitchDetector,
    /// Working memory of the detector; empty before the first window.
    work: [Vec<f32>; PitchWork::BUFFERS as usize],
    window: usize,
    frames: u64,
    samples: u64,
    /// The sum of all squared samples, and the largest magnitude; `None` after a sample that is infinite or NaN.
    level: Option<(f64, f32)>,
    windows: u64,
    notes: BTreeMap<Note, u64>,
}

impl SoundAnalysis {
    /// An analysis in windows of `window` frames.
    ///
    /// # Errors
    /// Those of [`PitchDetector::new`].
    pub fn new(sample_rate_hz: f32, window: usize) -> Result<Self, AudioError> {
        Ok(Self {
            detector: PitchDetector::new(sample_rate_hz, window)?,
            work: Default::default(),
            window,
            frames: 0,
            samples: 0,
            level: Some((0.0, 0.0)),
            windows: 0,
            notes: BTreeMap::new(),
        })
    }

    /// Analyses the next window: one slice per channel. One of another length than a window, for example the rest of the sound,
    /// has a level only.
    ///
    /// # Errors
    /// The pool's, if it has no working memory; the level was measured then.
    pub fn add(
        &mut self,
        pool: &mut impl BufferRecyclingPool,
        channels: &[impl AsRef<[f32]>],
    ) -> Result<(), AudioError> {
        let mut loudest: Option<(f32, &[f32])> = None;
        for samples in channels.iter().map(AsRef::as_ref) {
            let level = Level::measure(samples);
            let count = samples.len() as f64;
            self.samples += samples.len() as u64;
            self.level = self.level.zip(level).map(|((squares, peak), level)| {
                let rms = f64::from(level.rms);
                (rms.mul_add(rms * count, squares), peak.max(level.peak))
            });
            if let Some(level) = level
                && loudest.is_none_or(|(rms, _)| level.rms > rms)
            {
                loudest = Some((level.rms, samples));
            }
        }
        let frames = channels.first().map_or(0, |samples| samples.as_ref().len());
        self.frames += frames as u64;
        if frames != self.window {
            return Ok(());
        }
        self.windows += 1;
        let pitch = loudest.map_or(Ok(Pitch::default()), |(_, samples)| {
            self.pitch_of(pool, samples)
        })?;
        if let Some((note, _)) = pitch.hz.and_then(Note::nearest) {
            *self.notes.entry(note).or_default() += 1;
        }
        Ok(())
    }

    fn pitch_of(
        &mut self,
        pool: &mut impl BufferRecyclingPool,
        samples: &[f32],
    ) -> Result<Pitch, AudioError> {
        for work in &mut self.work {
            if work.is_empty() {
                *work = pool.get_or_create(self.detector.work_samples())?;
            }
        }
        let [lags, near, far, fft] = &mut self.work;
        let work = PitchWork {
            lags,
            near,
            far,
            fft,
        };
        self.detector.detect(samples, work)
    }

    /// Ends the analysis: recycles its working memory, and returns what the sound is.
    pub fn finish(self, pool: &mut impl BufferRecyclingPool) -> SoundSummary {
        let summary = self.summary();
        for vector in self.work.into_iter().filter(|work| !work.is_empty()) {
            // A vector for which the limit has no room was freed.
            let _ = pool.recycle(vector);
        }
        summary
    }

    /// What the sound is so far.
    #[must_use]
    pub fn summary(&self) -> SoundSummary {
        let level = self.level.map(|(squares, peak)| Level {
            rms: ((squares / self.samples.max(1) as f64).sqrt() as f32).min(peak),
            peak,
        });
        let mut notes: Vec<_> = self
            .notes
            .iter()
            .map(|(&note, &windows)| NoteCount { note, windows })
            .collect();
        notes.sort_by_key(|count| core::cmp::Reverse(count.windows));
        SoundSummary {
            frames: self.frames,
            rms_dbfs: level.map(Level::rms_dbfs),
            peak_dbfs: level.map(Level::peak_dbfs),
            windows: self.windows,
            notes,
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::modules::data_management::{BufferPool, BufferRecyclingPoolImpl};

    const WINDOW: usize = 4096;

    fn sine(hz: f32, frames: usize) -> Vec<f32> {
        let step = std::f32::consts::TAU * hz / 48_000.0;
        (0..frames).map(|n| 0.5 * (step * n as f32).sin()).collect()
    }

    fn pool() -> BufferRecyclingPoolImpl {
        BufferRecyclingPoolImpl::new(BufferPool::builder()).unwrap()
    }

    #[test]
    fn sound_analysis_counts_notes_of_the_loudest_channel_and_measures_every_sample() {
        let mut pool = pool();
        let mut analysis = SoundAnalysis::new(48_000.0, WINDOW).unwrap();
        let quiet = vec![0.001; WINDOW];
        for hz in [440.0, 880.0, 440.0] {
            let window = [sine(hz, WINDOW), quiet.clone()];
            analysis.add(&mut pool, &window).unwrap();
        }
        analysis
            .add(&mut pool, &[vec![-0.9; 100], vec![0.0; 100]])
            .unwrap();
        let summary = analysis.summary();
        let notes: Vec<_> = { &summary.notes }
            .iter()
            .map(|count| (count.note.to_string(), count.windows))
            .collect();
        assert_eq!(notes, [("A4".to_owned(), 2), ("A5".to_owned(), 1)]);
        assert_eq!((summary.windows, summary.frames), (3, 3 * 4096 + 100));
        assert!((summary.peak_dbfs.unwrap() - 20.0 * 0.9_f32.log10()).abs() < 0.01);
        let squares: f64 = 3.0 * 0.125 * 4096.0 + 3.0 * 1e-6 * 4096.0 + 0.81 * 100.0;
        let rms = (squares / f64::from(2 * (3 * 4096 + 100))).sqrt();
        assert!((f64::from(summary.rms_dbfs.unwrap()) - 20.0 * rms.log10()).abs() < 0.01);
    }

    #[test]
    fn sound_analysis_recycles_its_vectors_for_the_next_sound() {
        let mut pool = pool();
        for _ in 0..2 {
            let mut analysis = SoundAnalysis::new(48_000.0, WINDOW).unwrap();
            for _ in 0..10 {
                analysis.add(&mut pool, &[sine(440.0, WINDOW)]).unwrap();
            }
            assert!(pool.vectors().bytes_leased >= 4 * 4 * analysis.detector.work_samples());
            assert_eq!(analysis.finish(&mut pool).windows, 10);
        }
        let metrics = pool.get_efficiency_metrics();
        assert_eq!((metrics.created, metrics.pool_hits), (4, 4));
        assert_eq!(pool.vectors().bytes_leased, 0);
    }

    #[test]
    fn sound_analysis_has_no_level_after_a_sample_that_is_not_finite() {
        let mut pool = pool();
        let mut analysis = SoundAnalysis::new(48_000.0, WINDOW).unwrap();
        let silence = analysis.summary();
        assert_eq!(
            silence.peak_dbfs,
            Some(crate::modules::audio_foundations::FLOOR_DBFS)
        );
        for sample in [f32::NAN, 0.5] {
            analysis.add(&mut pool, &[vec![sample; WINDOW]]).unwrap();
        }
        let summary = analysis.summary();
        assert_eq!((summary.peak_dbfs, summary.rms_dbfs), (None, None));
        assert!(summary.notes.is_empty());
    }
}
