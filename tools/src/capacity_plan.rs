//! Capacity planning: the largest number of buffers that given streams can need, so that a pool built from the plan is never
//! exhausted.

use core::str::FromStr;

use serde::{Deserialize, Serialize};

use wavepool::internal::{BoundarySearch, MAX_BUFFERS_AT_ONCE, Plain, SizeHistogram};
use wavepool_core::internal::{MAX_SAMPLES, MOST_BYTES};
use wavepool_core::{ClassBuffers, MAX_CLASSES};

/// A stream of windows, with one buffer for each window and channel.
///
/// Written `RATE:CHANNELS:WINDOW/HOP:HOLD_MS`, as in `48000:2:4096/1024:50`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamNeed {
    /// Frames per second.
    pub sample_rate_hz: u32,
    /// Channels, a buffer each.
    pub channels: u32,
    /// Frames of a window.
    pub window: u32,
    /// Frames from the start of one window to the start of the next.
    pub hop: u32,
    /// The longest time that a complete window is in use by its readers.
    pub hold_ms: f64,
    /// Frames of one call of the capture. All windows with frames of the call may be open at the same time.
    pub quantum_frames: u32,
}

/// The default for the frames of an audio callback: the quantum of Web Audio.
const QUANTUM_FRAMES: u32 = 128;

impl StreamNeed {
    /// The most windows that exist at a time.
    ///
    /// Window *i* acquires its buffer in the quantum with frame *i* × hop, and releases it `hold_ms` after the quantum that
    /// completes it. The windows that exist at a time are those with a frame in a range of window + quantum + hold frames.
    ///
    /// # Errors
    /// [`CapacityError::Number`] if a number of the stream is outside its limits; [`CapacityError::TooManyBuffers`].
    pub fn windows_at_once(&self) -> Result<u32, CapacityError> {
        self.check()?;
        let hold = (self.hold_ms / 1000.0 * f64::from(self.sample_rate_hz)).ceil();
        // Below 2^63 by the limits of hold and rate.
        let frames = u64::from(self.window) + hold as u64 + u64::from(self.quantum_frames) - 1;
        buffers_of_a_class(self.window as usize, frames.div_ceil(self.hop.into()))
    }

    /// The most buffers that are in use at a time.
    ///
    /// # Errors
    /// As for [`windows_at_once`](Self::windows_at_once).
    pub fn buffers(&self) -> Result<u32, CapacityError> {
        let buffers = u64::from(self.windows_at_once()?) * u64::from(self.channels);
        buffers_of_a_class(self.window as usize, buffers)
    }

    /// Checks that every number is within its limits.
    fn check(&self) -> Result<(), CapacityError> {
        let numbers = [
            ("RATE", self.sample_rate_hz, MAX_RATE_HZ),
            ("CHANNELS", self.channels, MAX_BUFFERS_AT_ONCE),
            ("WINDOW", self.window, MAX_SAMPLES as u32),
            ("HOP", self.hop, u32::MAX),
            ("QUANTUM", self.quantum_frames, u32::MAX),
        ];
        for (what, value, most) in numbers {
            check_number(what, value.into(), 1.0..=most.into())?;
        }
        check_number("HOLD_MS", self.hold_ms, 0.0..=MAX_HOLD_MS)
    }
}

/// The limits of a stream's frames per second.
const MAX_RATE_HZ: u32 = 10_000_000;
/// The longest time that a window is in use: a day.
const MAX_HOLD_MS: f64 = 86_400_000.0;
/// The most streams of one plan: the time for finding the classes grows with the square of their number.
const MAX_STREAMS: usize = 4096;

/// Checks that a pool can be built with so many buffers of one class.
fn buffers_of_a_class(samples: usize, buffers: u64) -> Result<u32, CapacityError> {
    match u32::try_from(buffers) {
        Ok(buffers) if buffers <= MAX_BUFFERS_AT_ONCE => Ok(buffers),
        _ => Err(CapacityError::TooManyBuffers { buffers, samples }),
    }
}

fn check_number(
    what: &'static str,
    value: f64,
    limits: core::ops::RangeInclusive<f64>,
) -> Result<(), CapacityError> {
    if limits.contains(&value) {
        return Ok(());
    }
    Err(CapacityError::Number {
        what,
        value,
        least: *limits.start(),
        most: *limits.end(),
    })
}

/// Why no plan can be made.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CapacityError {
    /// The text is not a stream.
    #[error(
        "stream \"{text}\" is not RATE:CHANNELS:WINDOW/HOP:HOLD_MS, such as 48000:2:4096/1024:50"
    )]
    Form {
        /// The value given.
        text: String,
    },
    /// A number of a stream is outside its limits.
    #[error("{what} must be {} to {} (got {})", Plain(*least), Plain(*most), Plain(*value))]
    Number {
        /// The name of the number.
        what: &'static str,
        /// The value given.
        value: f64,
        /// The smallest accepted value.
        least: f64,
        /// The largest accepted value.
        most: f64,
    },
    /// More buffers of one size than a pool can be built with.
    #[error(
        "{buffers} buffers of {samples} samples are needed, a pool is built with at most {MAX_BUFFERS_AT_ONCE} of one class: use a shorter HOLD_MS, a longer HOP, or fewer streams"
    )]
    TooManyBuffers {
        /// Needed buffers.
        buffers: u64,
        /// Samples of each buffer.
        samples: usize,
    },
    /// More samples than a pool can be built with.
    #[error("{samples} samples are needed, a pool is built with at most {most}")]
    TooManySamples {
        /// Needed samples.
        samples: u64,
        /// The largest number that a pool can be built with.
        most: usize,
    },
    /// More streams than a plan can have.
    #[error("a plan is made for at most {MAX_STREAMS} streams (got {count})")]
    TooManyStreams {
        /// The number of streams given.
        count: usize,
    },
}

impl FromStr for StreamNeed {
    type Err = CapacityError;

    fn from_str(text: &str) -> Result<Self, CapacityError> {
        let parse = || -> Option<Self> {
            let mut parts = text.trim().split(':');
            let sample_rate_hz = parts.next()?.parse().ok()?;
            let channels = parts.next()?.parse().ok()?;
            let (window, hop) = parts.next()?.split_once('/')?;
            let hold_ms: f64 = parts.next()?.parse().ok()?;
            parts.next().is_none().then_some(Self {
                sample_rate_hz,
                channels,
                window: window.parse().ok()?,
                hop: hop.parse().ok()?,
                hold_ms,
                quantum_frames: QUANTUM_FRAMES,
            })
        };
        let stream = parse().ok_or_else(|| CapacityError::Form {
            text: text.to_owned(),
        })?;
        stream.check()?;
        Ok(stream)
    }
}

/// Classes and numbers of buffers with which the pool cannot be exhausted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityPlan {
    /// The buffers to reserve, ascending by capacity, if one real-time half serves all streams.
    pub classes: Vec<ClassBuffers>,
    /// The buffers that each stream needs, in the given order, for halves of their own.
    pub streams: Vec<ClassBuffers>,
}

impl CapacityPlan {
    /// A plan for `streams` that run at the same time. The classes are the window sizes; if there are more sizes than a pool
    /// can have classes, they are the classes with the least waste.
    ///
    /// # Errors
    /// [`CapacityError`] for streams with numbers outside their limits, and for more buffers than a pool can be built with.
    pub fn for_streams(streams: &[StreamNeed]) -> Result<Self, CapacityError> {
        if streams.len() > MAX_STREAMS {
            return Err(CapacityError::TooManyStreams {
                count: streams.len(),
            });
        }
        let mut sizes = SizeHistogram::default();
        let mut buffers = Vec::with_capacity(streams.len());
        for stream in streams {
            buffers.push(stream.buffers()?);
            sizes.add(stream.window as usize, u64::from(stream.buffers()?));
        }
        let search = BoundarySearch::new(&sizes, 0, MAX_CLASSES);
        let mut classes: Vec<ClassBuffers> = Vec::new();
        for samples in search.least_waste().classes {
            // The granule of the largest size may end above the largest capacity of a buffer.
            let samples = samples.min(MAX_SAMPLES);
            classes.push(ClassBuffers {
                samples,
                buffers: 0,
            });
        }
        let mut needs = Vec::with_capacity(streams.len());
        for (stream, buffers) in streams.iter().zip(buffers) {
            let class = classes
                .iter_mut()
                .find(|class| class.samples >= stream.window as usize);
            // The largest class serves the largest window.
            let Some(class) = class else { continue };
            let together = u64::from(class.buffers) + u64::from(buffers);
            class.buffers = buffers_of_a_class(class.samples, together)?;
            needs.push(ClassBuffers {
                samples: class.samples,
                buffers,
            });
        }
        let plan = Self {
            classes,
            streams: needs,
        };
        let most = MOST_BYTES / size_of::<f32>();
        let samples = plan.classes.iter().fold(0, |sum: u64, class| {
            sum.saturating_add(class.samples as u64 * u64::from(class.buffers))
        });
        if samples > most as u64 {
            return Err(CapacityError::TooManySamples { samples, most });
        }
        Ok(plan)
    }

    /// Samples to reserve.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.classes.iter().fold(0, |sum: usize, class| {
            let samples = class.samples.saturating_mul(class.buffers as usize);
            sum.saturating_add(samples)
        })
    }
}

#[cfg(test)]
#[path = "capacity_plan_tests.rs"]
mod tests;
