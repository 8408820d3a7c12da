//! Root-mean-square and peak level.

/// The lowest level ever reported, in dBFS: the step of 24-bit audio. Digital silence reads this, so that a level
/// is always a finite number.
pub const FLOOR_DBFS: f32 = -144.0;

/// Level of a stretch of samples, linear, full scale = 1.0.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Level {
    /// Root mean square. A full-scale sine has 0.707.
    pub rms: f32,
    /// Largest absolute sample.
    pub peak: f32,
}

impl Level {
    /// Measures one channel; an empty slice is silent.
    ///
    /// # Real-time
    /// No allocation, no lock, one pass.
    #[must_use]
    pub fn measure(samples: &[f32]) -> Self {
        if samples.is_empty() {
            return Self::default();
        }
        let mut squares = 0.0_f64;
        let mut peak = 0.0_f32;
        for &sample in samples {
            squares += f64::from(sample) * f64::from(sample);
            peak = peak.max(sample.abs());
        }
        Self {
            rms: (squares / samples.len() as f64).sqrt() as f32,
            peak,
        }
    }

    /// Measures several channels of the same length as one sound: RMS over all samples, peak of all.
    ///
    /// # Real-time
    /// As for [`measure`](Self::measure).
    #[must_use]
    pub fn of_channels<'a>(channels: impl IntoIterator<Item = &'a [f32]>) -> Self {
        let (mut squares, mut peak, mut count) = (0.0, 0.0_f32, 0.0_f32);
        for level in channels.into_iter().map(Self::measure) {
            squares += level.rms * level.rms;
            peak = peak.max(level.peak);
            count += 1.0;
        }
        Self {
            rms: (squares / count.max(1.0)).sqrt(),
            peak,
        }
    }

    /// RMS in dBFS (a full-scale sine reads -3.01), never below [`FLOOR_DBFS`].
    #[must_use]
    pub fn rms_dbfs(self) -> f32 {
        dbfs(self.rms)
    }

    /// Sample peak in dBFS, never below [`FLOOR_DBFS`].
    #[must_use]
    pub fn peak_dbfs(self) -> f32 {
        dbfs(self.peak)
    }
}

fn dbfs(amplitude: f32) -> f32 {
    // `max` also turns the NaN of a broken input into the floor.
    (20.0 * amplitude.log10()).max(FLOOR_DBFS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::f32::consts::TAU;

    #[test]
    fn a_full_scale_sine_reads_minus_three() {
        let sine: Vec<f32> = (0..4800).map(|n| (TAU * n as f32 / 48.0).sin()).collect();
        let level = Level::measure(&sine);
        assert!((level.rms_dbfs() + 3.01).abs() < 0.01);
        assert!(level.peak_dbfs().abs() < 0.01);
    }

    #[test]
    fn silence_reads_the_floor_and_stays_finite() {
        for samples in [&[][..], &[0.0; 64][..], &[f32::MIN_POSITIVE / 4.0; 64][..]] {
            let level = Level::measure(samples);
            assert_eq!(level.rms_dbfs(), FLOOR_DBFS);
            assert_eq!(level.peak_dbfs(), FLOOR_DBFS);
        }
        assert_eq!(Level::measure(&[f32::NAN; 4]).rms_dbfs(), FLOOR_DBFS);
    }

    #[test]
    fn channels_count_as_one_sound() {
        let level = Level::of_channels([&[1.0, -1.0][..], &[0.0, 0.0]]);
        assert!((level.rms - 0.5_f32.sqrt()).abs() < 1e-6);
        assert_eq!(level.peak, 1.0);
        assert_eq!(Level::of_channels([]), Level::default());
    }

    #[test]
    fn negative_peaks_count_and_overs_read_above_zero() {
        let level = Level::measure(&[0.0, -2.0, 1.0, 0.0]);
        assert_eq!(level.peak, 2.0);
        assert!((level.peak_dbfs() - 6.02).abs() < 0.01);
    }
}
