//! The configuration of streams, and the errors of this module.

use serde::Serialize;
use thiserror::Error;

use crate::event_bus::BusError;
use crate::modules::data_management::{DataManagementError, MAX_CHANNELS, PoolError};

/// The shortest window, in samples. With shorter ones the lowest detectable pitch would be above 380 Hz at 48 kHz.
pub const MIN_WINDOW: usize = 256;
/// The longest window, in samples: almost six minutes at 48 kHz. The pool's largest class is usually a lower limit.
pub const MAX_WINDOW: usize = 1 << 24;
/// The most windows that one sample can be in. The sample is copied once into each of them.
pub const MAX_OVERLAP: usize = 64;
/// The lowest sample rate, in hertz.
pub const MIN_SAMPLE_RATE_HZ: f32 = 1.0;
/// The highest sample rate, in hertz: above that of every audio converter, and low enough that periods and ramps counted
/// in frames stay exact.
pub const MAX_SAMPLE_RATE_HZ: f32 = 10_000_000.0;

const QUEUE_SECONDS: f32 = 0.5;
/// The limits of the queue's length in windows, for any hop.
const QUEUE_WINDOWS: core::ops::RangeInclusive<usize> = 8..=64;

/// The sample rate, channels and windows of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StreamConfig {
    /// Sample rate, [`MIN_SAMPLE_RATE_HZ`] to [`MAX_SAMPLE_RATE_HZ`].
    pub sample_rate_hz: f32,
    /// Channels, 1 to [`MAX_CHANNELS`].
    pub channels: usize,
    /// Samples per window and channel, from [`MIN_WINDOW`] to the pool's largest class, at most [`MAX_WINDOW`].
    pub window: usize,
    /// Frames from the beginning of one window to that of the next: at most the window, at least a
    /// [`MAX_OVERLAP`]th of it.
    pub hop: usize,
}

impl StreamConfig {
    /// The length of the queue: windows that can be unread at a time. A longer queue would use more memory for sound that is
    /// read too late anyway.
    pub fn queue_windows(&self) -> usize {
        let windows = (QUEUE_SECONDS * self.sample_rate_hz / self.hop as f32) as usize;
        windows.clamp(*QUEUE_WINDOWS.start(), *QUEUE_WINDOWS.end())
    }

    pub(super) fn check(&self) -> Result<(), AudioError> {
        check_format(self.sample_rate_hz, self.channels)?;
        check_window(self.window, MIN_WINDOW)?;
        let least = self.window.div_ceil(MAX_OVERLAP);
        if self.hop < least || self.hop > self.window {
            return Err(AudioError::Hop {
                given: self.hop,
                least,
                most: self.window,
            });
        }
        Ok(())
    }
}

pub(super) fn check_rate(given: f32) -> Result<(), AudioError> {
    // A range contains no NaN.
    if (MIN_SAMPLE_RATE_HZ..=MAX_SAMPLE_RATE_HZ).contains(&given) {
        Ok(())
    } else {
        Err(AudioError::SampleRate { given })
    }
}

pub(super) fn check_window(given: usize, least: usize) -> Result<(), AudioError> {
    if (least..=MAX_WINDOW).contains(&given) {
        Ok(())
    } else {
        Err(AudioError::Window {
            given,
            least,
            most: MAX_WINDOW,
        })
    }
}

pub(crate) fn check_format(sample_rate_hz: f32, channels: usize) -> Result<(), AudioError> {
    check_rate(sample_rate_hz)?;
    if channels == 0 || channels > MAX_CHANNELS {
        return Err(AudioError::Channels {
            given: channels,
            most: MAX_CHANNELS,
        });
    }
    Ok(())
}

/// Why a stream, an engine or a detector could not be opened, or refused an argument.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum AudioError {
    /// The sample rate is NaN or outside the limits.
    #[error(
        "the sample rate must be {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz (got {given:?})"
    )]
    SampleRate {
        /// The value given.
        given: f32,
    },
    /// No channel, or more than a planar buffer has.
    #[error("the number of channels must be 1 to {most} (got {given})")]
    Channels {
        /// The value given.
        given: usize,
        /// The largest possible value.
        most: usize,
    },
    /// The window is too short or too long.
    #[error("the window must be {least} to {most} samples (got {given})")]
    Window {
        /// The value given.
        given: usize,
        /// The smallest possible value.
        least: usize,
        /// The largest possible value.
        most: usize,
    },
    /// The length of the window is not the one that the detector or analyser was made for.
    #[error(
        "the window must have the {expected} samples that the detector or analyser was made for (got {given})"
    )]
    WindowLength {
        /// The value given.
        given: usize,
        /// The length that the detector or analyser was made for.
        expected: usize,
    },
    /// A work slice of the pitch detection is too short.
    #[error("each work slice must have at least {least} samples (the shortest has {given})")]
    WorkLength {
        /// The length of the shortest slice given.
        given: usize,
        /// The smallest possible length.
        least: usize,
    },
    /// The gain is infinite or NaN.
    #[error("the gain must be a finite number (got {given:?})")]
    Gain {
        /// The value given.
        given: f32,
    },
    /// The hop would skip samples, or need too many open windows.
    #[error("the hop must be {least} to {most} frames for this window (got {given})")]
    Hop {
        /// The value given.
        given: usize,
        /// The smallest possible hop for the window.
        least: usize,
        /// The length of the window.
        most: usize,
    },
    /// One of the modules was not booted by a registry, or was stopped.
    #[error(
        "audio_foundations and data_management are not running: boot them through the module registry"
    )]
    NotInitialised,
    /// The pool cannot serve the stream. For a window above its largest class, configure a larger class.
    #[error("the pool cannot serve the stream: {0}")]
    Pool(#[from] PoolError),
    /// The bus cannot make another publisher.
    #[error("the bus cannot serve the stream: {0}")]
    Bus(#[from] BusError),
}

impl From<DataManagementError> for AudioError {
    fn from(error: DataManagementError) -> Self {
        match error {
            DataManagementError::NotRunning => Self::NotInitialised,
            DataManagementError::Pool(error) => Self::Pool(error),
            DataManagementError::Bus(error) => Self::Bus(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: StreamConfig = StreamConfig {
        sample_rate_hz: 48_000.0,
        channels: 1,
        window: 4096,
        hop: 1024,
    };

    #[test]
    fn sample_rate_is_checked_from_nan_to_infinity() {
        for given in [
            f32::NAN,
            -f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            0.0,
            -0.0,
            -48_000.0,
            f32::MIN_POSITIVE / 2.0,
            f32::MIN_POSITIVE,
            MIN_SAMPLE_RATE_HZ.next_down(),
            MAX_SAMPLE_RATE_HZ.next_up(),
            4_294_967_295.0,
            f32::MAX,
        ] {
            let config = StreamConfig {
                sample_rate_hz: given,
                ..GOOD
            };
            let text = config.check().unwrap_err().to_string();
            assert_eq!(
                text,
                format!("the sample rate must be 1 to 10000000 Hz (got {given:?})")
            );
        }
        for given in [
            MIN_SAMPLE_RATE_HZ,
            8_000.0,
            44_100.0,
            768_000.0,
            MAX_SAMPLE_RATE_HZ,
        ] {
            assert_eq!(check_rate(given), Ok(()), "{given}");
        }
    }

    #[test]
    fn stream_numbers_are_checked_from_zero_to_the_types_maximum() {
        const HOP: &str = "the hop must be 64 to 4096 frames for this window (got ";
        const WINDOW: &str = "the window must be 256 to 16777216 samples (got ";
        const CHANNELS: &str = "the number of channels must be 1 to 16 (got ";
        /// Channels, window, hop, and the refusal: the text before the given value, and that value.
        type Case = (usize, usize, usize, Option<(&'static str, usize)>);
        const CASES: [Case; 16] = [
            (1, 4096, 0, Some((HOP, 0))),
            (1, 4096, 63, Some((HOP, 63))),
            (1, 4096, 64, None),
            (1, 4096, 4096, None),
            (1, 4096, 4097, Some((HOP, 4097))),
            (1, 4096, usize::MAX, Some((HOP, usize::MAX))),
            (1, 0, 0, Some((WINDOW, 0))),
            (1, 255, 64, Some((WINDOW, 255))),
            (1, 256, 4, None),
            (1, MAX_WINDOW, MAX_WINDOW, None),
            (1, MAX_WINDOW + 1, 1024, Some((WINDOW, MAX_WINDOW + 1))),
            (1, usize::MAX, usize::MAX, Some((WINDOW, usize::MAX))),
            (0, 4096, 1024, Some((CHANNELS, 0))),
            (16, 4096, 1024, None),
            (17, 4096, 1024, Some((CHANNELS, 17))),
            (usize::MAX, 4096, 1024, Some((CHANNELS, usize::MAX))),
        ];
        for (channels, window, hop, refusal) in CASES {
            let config = StreamConfig {
                channels,
                window,
                hop,
                ..GOOD
            };
            match (config.check(), refusal) {
                (Ok(()), None) => {}
                (Err(error), Some((text, given))) => {
                    assert_eq!(error.to_string(), format!("{text}{given})"));
                }
                (found, _) => panic!("{config:?}: {found:?}"),
            }
        }
    }
}
