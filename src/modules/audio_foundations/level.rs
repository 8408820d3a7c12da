//! Root-mean-square and peak level.

/// The lowest level, in dBFS: the step of 24-bit audio. Digital silence has this level, so that a level is always a finite
/// number. Samples that are not finite have no level: see [`Level::measure`] and
/// `docs/decisions/0031-infinite-and-nan-samples.md`.
pub const FLOOR_DBFS: f32 = -144.0;

/// The highest level, in dBFS: that of the largest finite sample, `f32::MAX`.
pub const CEILING_DBFS: f32 = 770.636_8;

/// The level of a range of samples, linear, full scale = 1.0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Level {
    /// Root mean square, at most the peak. A full-scale sine has 0.707.
    pub rms: f32,
    /// Largest absolute sample.
    pub peak: f32,
}

impl Level {
    /// Measures one channel; an empty slice is silent. `None` if a sample is infinite or NaN.
    ///
    /// # Real-time
    /// No allocation, no lock, one pass.
    #[must_use]
    pub fn measure(samples: &[f32]) -> Option<Self> {
        if samples.is_empty() {
            return Some(Self::default());
        }
        let mut squares = 0.0_f64;
        let mut peak = 0;
        for &sample in samples {
            squares += f64::from(sample) * f64::from(sample);
            peak = peak.max(magnitude(sample));
        }
        let peak = f32::from_bits(peak);
        let rms = (squares / samples.len() as f64).sqrt() as f32;
        peak.is_finite().then_some(Self {
            // Rounding may make the mean larger than its largest term.
            rms: rms.min(peak),
            peak,
        })
    }

    /// Measures several channels of the same length together: RMS over all samples, peak of all.
    ///
    /// # Real-time
    /// As for [`measure`](Self::measure).
    #[must_use]
    pub(crate) fn of_channels<'a>(channels: impl IntoIterator<Item = &'a [f32]>) -> Option<Self> {
        Self::combined(channels.into_iter().map(Self::measure))
    }

    /// The level of several channels of the same length, from the level of each. `None` if one channel has none.
    pub(super) fn combined(channels: impl Iterator<Item = Option<Self>>) -> Option<Self> {
        // Double precision: no sum of squares of single-precision numbers overflows.
        let (mut squares, mut peak, mut count) = (0.0_f64, 0.0_f32, 0.0_f64);
        for level in channels {
            let level = level?;
            squares += f64::from(level.rms) * f64::from(level.rms);
            peak = peak.max(level.peak);
            count += 1.0;
        }
        let rms = (squares / count.max(1.0)).sqrt() as f32;
        Some(Self {
            rms: rms.min(peak),
            peak,
        })
    }

    /// RMS in dBFS (a full-scale sine reads -3.01), from [`FLOOR_DBFS`] to [`CEILING_DBFS`].
    #[must_use]
    pub fn rms_dbfs(self) -> f32 {
        dbfs(self.rms)
    }

    /// Sample peak in dBFS, from [`FLOOR_DBFS`] to [`CEILING_DBFS`].
    #[must_use]
    pub fn peak_dbfs(self) -> f32 {
        dbfs(self.peak)
    }
}

/// The bits of the absolute value: an integer with the same order. Infinity is above every number, and NaN above infinity.
pub(super) const fn magnitude(sample: f32) -> u32 {
    sample.to_bits() & !(1 << 31)
}

#[allow(clippy::manual_clamp, reason = "`clamp` would return NaN for NaN")]
fn dbfs(amplitude: f32) -> f32 {
    // `max` also turns NaN, which a level made by the caller may contain, into the floor.
    (20.0 * amplitude.log10()).max(FLOOR_DBFS).min(CEILING_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::f32::consts::TAU;

    fn measure(samples: &[f32]) -> Level {
        Level::measure(samples).unwrap()
    }

    #[test]
    fn rms_of_a_full_scale_sine_is_minus_three_dbfs() {
        let sine: Vec<f32> = (0..4800).map(|n| (TAU * n as f32 / 48.0).sin()).collect();
        let level = measure(&sine);
        assert!((level.rms_dbfs() + 3.01).abs() < 0.01);
        assert!(level.peak_dbfs().abs() < 0.01);
    }

    #[test]
    fn silence_has_the_finite_floor_level() {
        for samples in [&[][..], &[0.0; 64][..], &[f32::MIN_POSITIVE / 4.0; 64][..]] {
            let level = measure(samples);
            assert_eq!(level.rms_dbfs(), FLOOR_DBFS);
            assert_eq!(level.peak_dbfs(), FLOOR_DBFS);
        }
    }

    #[test]
    fn nan_and_infinity_have_no_level() {
        for broken in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for at in 0..4 {
                let mut samples = [0.5; 4];
                samples[at] = broken;
                assert_eq!(Level::measure(&samples), None);
                assert_eq!(Level::of_channels([&[0.5; 4][..], &samples]), None);
                assert_eq!(Level::of_channels([&samples[..], &[0.5; 4]]), None);
            }
        }
    }

    #[test]
    fn largest_finite_samples_have_the_ceiling_level() {
        for samples in [&[f32::MAX; 4096][..], &[f32::MIN; 5][..], &[-3e38; 64][..]] {
            let level = measure(samples);
            assert_eq!(level.rms, level.peak);
            assert!(level.rms_dbfs() > 769.0 && level.rms_dbfs() <= CEILING_DBFS);
            let both = Level::of_channels([samples, samples]).unwrap();
            assert_eq!(both, level);
        }
        assert!((measure(&[f32::MAX]).peak_dbfs() - CEILING_DBFS).abs() < 1e-3);
        assert!((20.0 * f64::from(f32::MAX).log10() - f64::from(CEILING_DBFS)).abs() < 1e-4);
    }

    #[test]
    fn level_of_channels_is_that_of_all_samples() {
        let level = Level::of_channels([&[1.0, -1.0][..], &[0.0, 0.0]]).unwrap();
        assert!((level.rms - 0.5_f32.sqrt()).abs() < 1e-6);
        assert_eq!(level.peak, 1.0);
        assert_eq!(Level::of_channels([]), Some(Level::default()));
    }

    #[test]
    fn peak_counts_negative_samples_and_may_exceed_full_scale() {
        let level = measure(&[0.0, -2.0, 1.0, 0.0]);
        assert_eq!(level.peak, 2.0);
        assert!((level.peak_dbfs() - 6.02).abs() < 0.01);
    }
}
