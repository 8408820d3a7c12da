//! How many buffers given streams can need at most, so that a pool built from the plan cannot run out.

use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::class_boundaries::{BoundarySearch, MAX_CLASSES};
use super::histograms::SizeHistogram;
use super::sizing_profile::{ClassBuffers, MAX_BUFFERS_AT_ONCE};
use crate::modules::data_management::control::arena::MOST_BYTES;
use crate::modules::data_management::realtime::slot_table::MAX_SAMPLES;
use crate::modules::data_management::setting_error::Plain;

/// A stream that is cut into windows, one buffer for each window and channel.
///
/// Written `RATE:CHANNELS:WINDOW/HOP:HOLD_MS`, as in `48000:2:4096/1024:50`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StreamNeed {
    /// Frames per second.
    pub sample_rate_hz: u32,
    /// Channels, a buffer each.
    pub channels: u32,
    /// Frames in a window.
    pub window: u32,
    /// Frames from the start of one window to the start of the next.
    pub hop: u32,
    /// How long a complete window is held by those who read it, at most.
    pub hold_ms: f64,
    /// Frames handed in at once: all windows they touch may be open together.
    pub quantum_frames: u32,
}

/// Frames an audio callback hands in unless it says otherwise: the Web Audio quantum.
const QUANTUM_FRAMES: u32 = 128;

impl StreamNeed {
    /// Windows that can exist at once.
    ///
    /// Window *i* takes its buffer with the quantum that holds frame *i* × hop, and returns it `hold_ms` after the one
    /// that completes it: the buffers alive are those of windows that touch a stretch of window + quantum + hold frames.
    ///
    /// # Errors
    /// [`CapacityError::Number`] when a number of the stream is outside of its limits; [`CapacityError::TooManyBuffers`].
    pub fn windows_at_once(&self) -> Result<u32, CapacityError> {
        self.check()?;
        let hold = (self.hold_ms / 1000.0 * f64::from(self.sample_rate_hz)).ceil();
        // Below 2^63 by the limits of hold and rate.
        let frames = u64::from(self.window) + hold as u64 + u64::from(self.quantum_frames) - 1;
        buffers_of_a_class(self.window as usize, frames.div_ceil(self.hop.into()))
    }

    /// Buffers that can be leased at once.
    ///
    /// # Errors
    /// As for [`windows_at_once`](Self::windows_at_once).
    pub fn buffers(&self) -> Result<u32, CapacityError> {
        let buffers = u64::from(self.windows_at_once()?) * u64::from(self.channels);
        buffers_of_a_class(self.window as usize, buffers)
    }

    /// Whether every number is within its limits.
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

/// Frames per second of a stream.
const MAX_RATE_HZ: u32 = 10_000_000;
/// A window is held for a day at most.
const MAX_HOLD_MS: f64 = 86_400_000.0;
/// Streams of one plan: what finding the classes takes grows with their square.
const MAX_STREAMS: usize = 4096;

/// So many buffers of one class, if a pool can have them when it is built.
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

/// A stream that cannot be planned for.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CapacityError {
    /// Not of the form that was asked for.
    #[error(
        "stream \"{text}\" is not RATE:CHANNELS:WINDOW/HOP:HOLD_MS, such as 48000:2:4096/1024:50"
    )]
    Form {
        /// What was given.
        text: String,
    },
    /// A number no stream can have.
    #[error("{what} must be {} to {} (got {})", Plain(*least), Plain(*most), Plain(*value))]
    Number {
        /// Which of its numbers.
        what: &'static str,
        /// What was given.
        value: f64,
        /// The smallest that is accepted.
        least: f64,
        /// The largest that is accepted.
        most: f64,
    },
    /// More buffers of one size than a pool can be built with.
    #[error(
        "{buffers} buffers of {samples} samples are needed, a pool is built with at most {MAX_BUFFERS_AT_ONCE} of one class: use a shorter HOLD_MS, a longer HOP, or fewer streams"
    )]
    TooManyBuffers {
        /// Buffers that are needed.
        buffers: u64,
        /// Samples of each.
        samples: usize,
    },
    /// More samples than a pool can be built with.
    #[error("{samples} samples are needed, a pool is built with at most {most}")]
    TooManySamples {
        /// Samples that are needed.
        samples: u64,
        /// The most a pool is built with.
        most: usize,
    },
    /// More streams than a plan is made for.
    #[error("a plan is made for at most {MAX_STREAMS} streams (got {count})")]
    TooManyStreams {
        /// Streams given.
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

/// Classes and buffers that rule exhaustion out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapacityPlan {
    /// What to reserve, ascending by capacity, when one real-time half serves all streams.
    pub classes: Vec<ClassBuffers>,
    /// What each stream needs for itself, in the order given: for a half of its own.
    pub streams: Vec<ClassBuffers>,
}

impl CapacityPlan {
    /// Plans for `streams` that all run at once. Classes are the window sizes, or where there are more than a pool
    /// can have, those that waste the least.
    ///
    /// # Errors
    /// [`CapacityError`], for streams with numbers outside of their limits, and for more than a pool can be built with.
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
            // The granule of the largest size may end beyond what a buffer can have.
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
            // The largest class holds the largest window.
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(text: &str) -> StreamNeed {
        text.parse().unwrap()
    }

    /// How many windows a walk is long. The interpreter is slow.
    const LENGTH: u64 = if cfg!(miri) { 3 } else { 40 };

    /// Walks the stream quantum by quantum, with every window held for as long as it may be; most windows alive.
    fn walked(stream: &StreamNeed) -> usize {
        let hold = (stream.hold_ms / 1000.0 * f64::from(stream.sample_rate_hz)).ceil() as u64;
        let [window, hop, quantum] =
            [stream.window, stream.hop, stream.quantum_frames].map(u64::from);
        let (mut open, mut next, mut most) = (Vec::new(), 0, 0);
        for start in (0..LENGTH * (window + hold + hop)).step_by(quantum as usize) {
            open.retain(|&first: &u64| first + window + hold > start);
            while next < start + quantum {
                open.push(next);
                next += hop;
            }
            most = most.max(open.len());
        }
        most
    }

    proptest! {
        #[test]
        fn no_walk_needs_more_than_planned(
            window in 16u32..2048, hop in 16u32..2048, quantum in prop::sample::select(vec![1u32, 64, 128, 480]),
            hold_ms in 0.0f64..30.0,
        ) {
            let stream = StreamNeed {
                sample_rate_hz: 48_000, channels: 1, window, hop, hold_ms, quantum_frames: quantum,
            };
            prop_assert!(walked(&stream) <= stream.windows_at_once().unwrap() as usize);
        }
    }

    #[test]
    fn the_bound_is_reached() {
        // Frame by frame, where every phase of window against quantum occurs.
        for (window, hop, hold_ms) in [(4096, 1024, 0.0), (1024, 1024, 10.0), (1000, 300, 1.0)] {
            let stream = StreamNeed {
                sample_rate_hz: 48_000,
                channels: 1,
                window,
                hop,
                hold_ms,
                quantum_frames: 1,
            };
            assert_eq!(walked(&stream), stream.windows_at_once().unwrap() as usize);
        }
    }

    #[test]
    fn classes_are_the_windows_and_streams_add_up() {
        let streams = [
            stream("48000:2:4096/1024:0"),
            stream("48000:1:441/441:0"),
            stream("44100:1:4096/4096:0"),
        ];
        let plan = CapacityPlan::for_streams(&streams).unwrap();
        // (4096 + 127) / 1024 -> 5 windows of 2 channels; 1 + 127 frames more than one window -> 2; likewise 2.
        let needs: Vec<_> = plan
            .streams
            .iter()
            .map(|need| (need.samples, need.buffers))
            .collect();
        assert_eq!(needs, [(4096, 10), (448, 2), (4096, 2)]);
        let classes: Vec<_> = plan
            .classes
            .iter()
            .map(|class| (class.samples, class.buffers))
            .collect();
        assert_eq!(classes, [(448, 2), (4096, 12)]);
        assert_eq!(plan.samples(), 2 * 448 + 12 * 4096);
    }

    #[test]
    fn more_windows_than_classes_share() {
        let streams: Vec<_> = (1..=20)
            .map(|i| stream(&format!("48000:1:{}/64:0", i * 64)))
            .collect();
        let plan = CapacityPlan::for_streams(&streams).unwrap();
        assert_eq!((plan.classes.len(), plan.streams.len()), (MAX_CLASSES, 20));
    }

    #[test]
    fn nothing_to_serve_needs_nothing() {
        assert_eq!(CapacityPlan::for_streams(&[]).unwrap().samples(), 0);
    }

    #[test]
    fn bad_streams_are_refused_with_the_form() {
        for text in [
            "",
            "48000",
            "48000:2:4096:50",
            "48000:2:4096/1024",
            "a:2:4096/1024:5",
            "48000:2:4096/4294967296:5",
            "48000:-1:4096/1024:5",
            "48000:2:4096/1024:5:6",
        ] {
            assert!(
                matches!(text.parse::<StreamNeed>(), Err(CapacityError::Form { .. })),
                "{text}"
            );
        }
    }

    #[test]
    fn stream_numbers_from_zero_to_their_largest_are_planned_for_or_refused_with_their_limits() {
        let good = stream("48000:2:4096/1024:50");
        let numbers = [0, 1, 64, 4096, 1 << 29, u32::MAX - 1, u32::MAX];
        let holds = [
            0.0,
            -0.0,
            1e-300,
            50.0,
            86_400_000.0,
            1e300,
            -1.0,
            f64::NAN,
            f64::INFINITY,
            f64::MAX,
        ];
        let fields: [fn(&mut StreamNeed, u32); 5] = [
            |stream, number| stream.sample_rate_hz = number,
            |stream, number| stream.channels = number,
            |stream, number| stream.window = number,
            |stream, number| stream.hop = number,
            |stream, number| stream.quantum_frames = number,
        ];
        let mut refused = 0;
        for (first, second) in (0..5).flat_map(|a| (0..5).map(move |b| (a, b))) {
            for (a, b) in numbers.into_iter().flat_map(|a| numbers.map(|b| (a, b))) {
                for hold_ms in holds {
                    let mut stream = good.clone();
                    fields[first](&mut stream, a);
                    fields[second](&mut stream, b);
                    stream.hold_ms = hold_ms;
                    match CapacityPlan::for_streams(&[stream.clone(), stream.clone()]) {
                        Ok(plan) => {
                            assert!(plan.samples() >= stream.window as usize * 2);
                            assert_eq!(plan.streams[0].buffers, stream.buffers().unwrap());
                        }
                        Err(CapacityError::Form { text }) => panic!("{text}"),
                        Err(_) => refused += 1,
                    }
                }
            }
        }
        assert!(refused > 0);
    }

    #[test]
    fn a_stream_number_outside_of_its_limits_is_refused_with_name_value_and_limits() {
        for (text, message) in [
            ("48000:2:4096/0:50", "HOP must be 1 to 4294967295 (got 0)"),
            ("0:2:4096/1024:50", "RATE must be 1 to 10000000 (got 0)"),
            (
                "48000:2:4096/1024:1e300",
                "HOLD_MS must be 0 to 86400000 (got 1e300)",
            ),
            (
                "48000:2:4096/1024:inf",
                "HOLD_MS must be 0 to 86400000 (got inf)",
            ),
            (
                "48000:2:4096/1024:NaN",
                "HOLD_MS must be 0 to 86400000 (got NaN)",
            ),
            (
                "48000:2:4096/1024:-1",
                "HOLD_MS must be 0 to 86400000 (got -1)",
            ),
            (
                "48000:2:4294967295/1:0",
                "WINDOW must be 1 to 536870911 (got 4294967295)",
            ),
        ] {
            let error = text.parse::<StreamNeed>().unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let long = stream("48000:2:4096/1:86400000");
        assert!(matches!(
            long.buffers(),
            Err(CapacityError::TooManyBuffers { samples: 4096, .. })
        ));
        let large = vec![stream("48000:1:536870911/536870911:0"); 512];
        assert!(matches!(
            CapacityPlan::for_streams(&large),
            Err(CapacityError::TooManySamples { .. })
        ));
        let many = vec![stream("48000:1:64/64:0"); MAX_STREAMS + 1];
        assert_eq!(
            CapacityPlan::for_streams(&many).unwrap_err(),
            CapacityError::TooManyStreams {
                count: MAX_STREAMS + 1
            }
        );
    }
}
