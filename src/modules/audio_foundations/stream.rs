//! What a stream is, and why one cannot be opened.

use serde::Serialize;
use thiserror::Error;

use crate::event_bus::BusError;
use crate::modules::data_management::{MAX_CHANNELS, PoolError};

/// The shortest window, in samples: below it the lowest pitch is above 380 Hz at 48 kHz.
pub const MIN_WINDOW: usize = 256;
/// The longest window, in samples: almost six minutes at 48 kHz. The pool's largest class is usually a smaller limit.
pub const MAX_WINDOW: usize = 1 << 24;
/// The most windows that one sample can be in. Each of them is open, and costs a copy, at the same time.
pub const MAX_OVERLAP: usize = 64;
/// The lowest sample rate, in hertz.
pub const MIN_SAMPLE_RATE_HZ: f32 = 1.0;
/// The highest sample rate, in hertz: above that of every audio converter, and low enough that periods and ramps counted
/// in frames stay exact.
pub const MAX_SAMPLE_RATE_HZ: f32 = 10_000_000.0;

const QUEUE_SECONDS: f32 = 0.5;
/// The queue's length in windows, whatever the hop.
const QUEUE_WINDOWS: core::ops::RangeInclusive<usize> = 8..=64;

/// Rate, channels, and how the stream is cut into windows.
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
    /// Windows that can wait to be read. Later ones are skipped. Longer would hold more memory
    /// for sound nobody sees in time.
    pub(crate) fn queue_windows(&self) -> usize {
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
    // NaN is in no range.
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

/// Why a stream, an engine or a detector could not be opened, or refused what it was given.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum AudioError {
    /// A sample rate that is not a number or outside the limits.
    #[error(
        "a sample rate of {given:?} Hz given, {MIN_SAMPLE_RATE_HZ} to {MAX_SAMPLE_RATE_HZ} Hz are possible"
    )]
    SampleRate {
        /// What was given.
        given: f32,
    },
    /// No channel, or more than a planar buffer has.
    #[error("{given} channels given, 1 to {most} are possible")]
    Channels {
        /// What was given.
        given: usize,
        /// The most possible.
        most: usize,
    },
    /// A window too short to be useful, or too long.
    #[error("a window of {given} samples given, {least} to {most} are possible")]
    Window {
        /// What was given.
        given: usize,
        /// The least possible.
        least: usize,
        /// The most possible.
        most: usize,
    },
    /// A window of another length than the detector or analyser was made for.
    #[error("a window of {given} samples given to what reads windows of {expected}")]
    WindowLength {
        /// What was given.
        given: usize,
        /// The length it was made for.
        expected: usize,
    },
    /// Working memory of the pitch detection is too short.
    #[error("working memory of {given} samples given, at least {least} are needed in each slice")]
    WorkLength {
        /// The shortest slice given.
        given: usize,
        /// The least needed.
        least: usize,
    },
    /// A gain that is not a finite number.
    #[error("a gain of {given:?} given, any finite number is possible")]
    Gain {
        /// What was given.
        given: f32,
    },
    /// A hop that would leave samples out, or keep too many windows open.
    #[error("a hop of {given} frames given, {least} to {most} are possible")]
    Hop {
        /// What was given.
        given: usize,
        /// The least possible for the window.
        least: usize,
        /// The window.
        most: usize,
    },
    /// One of the modules was not booted by a registry, or was stopped.
    #[error(
        "audio_foundations and data_management are not running: boot them through the module registry"
    )]
    NotInitialised,
    /// The pool cannot serve the stream; for a window above its largest class, configure a larger one.
    #[error("the pool cannot serve the stream: {0}")]
    Pool(#[from] PoolError),
    /// The bus has no room for another publisher.
    #[error("the bus cannot serve the stream: {0}")]
    Bus(#[from] BusError),
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
                format!("a sample rate of {given:?} Hz given, 1 to 10000000 Hz are possible")
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
        const CASES: [(usize, usize, usize, Option<&str>); 16] = [
            (
                1,
                4096,
                0,
                Some("a hop of 0 frames given, 64 to 4096 are possible"),
            ),
            (
                1,
                4096,
                63,
                Some("a hop of 63 frames given, 64 to 4096 are possible"),
            ),
            (1, 4096, 64, None),
            (1, 4096, 4096, None),
            (
                1,
                4096,
                4097,
                Some("a hop of 4097 frames given, 64 to 4096 are possible"),
            ),
            (
                1,
                4096,
                usize::MAX,
                Some("frames given, 64 to 4096 are possible"),
            ),
            (
                1,
                0,
                0,
                Some("a window of 0 samples given, 256 to 16777216 are possible"),
            ),
            (
                1,
                255,
                64,
                Some("a window of 255 samples given, 256 to 16777216 are possible"),
            ),
            (1, 256, 4, None),
            (1, MAX_WINDOW, MAX_WINDOW, None),
            (
                1,
                MAX_WINDOW + 1,
                1024,
                Some("a window of 16777217 samples given"),
            ),
            (
                1,
                usize::MAX,
                usize::MAX,
                Some("samples given, 256 to 16777216 are possible"),
            ),
            (
                0,
                4096,
                1024,
                Some("0 channels given, 1 to 16 are possible"),
            ),
            (16, 4096, 1024, None),
            (
                17,
                4096,
                1024,
                Some("17 channels given, 1 to 16 are possible"),
            ),
            (
                usize::MAX,
                4096,
                1024,
                Some("channels given, 1 to 16 are possible"),
            ),
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
                (Err(error), Some(text)) => {
                    assert!(error.to_string().contains(text), "{error}");
                }
                (found, _) => panic!("{config:?}: {found:?}"),
            }
        }
    }
}
