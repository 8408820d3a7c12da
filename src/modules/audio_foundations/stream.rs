//! What a stream is, and why one cannot be opened.

use serde::Serialize;
use thiserror::Error;

use crate::event_bus::BusError;
use crate::modules::data_management::{MAX_CHANNELS, PoolError};

/// The shortest window, in samples: below it the lowest pitch is above 380 Hz at 48 kHz.
pub const MIN_WINDOW: usize = 256;
/// The most windows that one sample can be in. Each of them is open, and costs a copy, at the same time.
pub const MAX_OVERLAP: usize = 64;

const QUEUE_SECONDS: f32 = 0.5;
/// The queue's length in windows, whatever the hop.
const QUEUE_WINDOWS: core::ops::RangeInclusive<usize> = 8..=64;

/// Rate, channels, and how the stream is cut into windows.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StreamConfig {
    /// Sample rate.
    pub sample_rate_hz: f32,
    /// Channels, 1 to 16.
    pub channels: usize,
    /// Samples per window and channel, from [`MIN_WINDOW`] to the pool's largest class.
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
        if self.window < MIN_WINDOW {
            return Err(AudioError::Window {
                given: self.window,
                least: MIN_WINDOW,
            });
        }
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

pub(super) fn check_format(sample_rate_hz: f32, channels: usize) -> Result<(), AudioError> {
    if !(sample_rate_hz.is_finite() && sample_rate_hz >= 1.0) {
        return Err(AudioError::SampleRate {
            given: sample_rate_hz,
        });
    }
    if channels == 0 || channels > MAX_CHANNELS {
        return Err(AudioError::Channels {
            given: channels,
            most: MAX_CHANNELS,
        });
    }
    Ok(())
}

/// Why a stream or an engine could not be opened.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum AudioError {
    /// Not a sample rate.
    #[error("{given} is not a sample rate in hertz")]
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
    /// A window too short to be useful.
    #[error("a window of {given} samples given, at least {least} are needed")]
    Window {
        /// What was given.
        given: usize,
        /// The least possible.
        least: usize,
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
    fn what_cannot_be_cut_is_refused_with_the_numbers() {
        assert_eq!(GOOD.check(), Ok(()));
        for (config, text) in [
            (
                StreamConfig { hop: 0, ..GOOD },
                "a hop of 0 frames given, 64 to 4096 are possible",
            ),
            (
                StreamConfig { hop: 63, ..GOOD },
                "a hop of 63 frames given, 64 to 4096 are possible",
            ),
            (
                StreamConfig { hop: 4097, ..GOOD },
                "a hop of 4097 frames given, 64 to 4096 are possible",
            ),
            (
                StreamConfig {
                    window: 255,
                    ..GOOD
                },
                "a window of 255 samples given, at least 256 are needed",
            ),
            (
                StreamConfig {
                    channels: 0,
                    ..GOOD
                },
                "0 channels given, 1 to 16 are possible",
            ),
            (
                StreamConfig {
                    channels: 17,
                    ..GOOD
                },
                "17 channels given, 1 to 16 are possible",
            ),
            (
                StreamConfig {
                    sample_rate_hz: f32::NAN,
                    ..GOOD
                },
                "NaN is not a sample rate in hertz",
            ),
        ] {
            assert_eq!(config.check().unwrap_err().to_string(), text);
        }
    }
}
