//! How many buffers given streams can need at most, so that a pool built from the plan cannot run out.

use core::str::FromStr;

use serde::{Deserialize, Serialize};

use super::class_boundaries::{BoundarySearch, MAX_CLASSES};
use super::histograms::SizeHistogram;
use super::sizing_profile::ClassBuffers;

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
    #[must_use]
    pub fn windows_at_once(&self) -> u32 {
        let hold = (self.hold_ms / 1000.0 * f64::from(self.sample_rate_hz)).ceil() as u32;
        (self.window + hold + self.quantum_frames.saturating_sub(1)).div_ceil(self.hop)
    }

    /// Buffers that can be leased at once.
    #[must_use]
    pub fn buffers(&self) -> u32 {
        self.windows_at_once() * self.channels
    }
}

/// A stream that cannot be planned for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    #[error("stream \"{text}\": {what} must be above zero")]
    Zero {
        /// What was given.
        text: String,
        /// Which of its numbers.
        what: &'static str,
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
            let complete = parts.next().is_none() && hold_ms.is_finite() && hold_ms >= 0.0;
            complete.then_some(Self {
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
        let numbers = [
            (stream.sample_rate_hz, "RATE"),
            (stream.channels, "CHANNELS"),
            (stream.window, "WINDOW"),
            (stream.hop, "HOP"),
        ];
        match numbers.into_iter().find(|&(number, _)| number == 0) {
            Some((_, what)) => Err(CapacityError::Zero {
                text: text.to_owned(),
                what,
            }),
            None => Ok(stream),
        }
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
    #[must_use]
    pub fn for_streams(streams: &[StreamNeed]) -> Self {
        let mut sizes = SizeHistogram::default();
        for stream in streams {
            sizes.add(stream.window as usize, u64::from(stream.buffers()));
        }
        let capacities = BoundarySearch::new(&sizes, 0, MAX_CLASSES)
            .least_waste()
            .classes;
        let streams: Vec<ClassBuffers> = streams
            .iter()
            .filter_map(|stream| {
                let samples = capacities
                    .iter()
                    .copied()
                    .find(|&class| class >= stream.window as usize)?;
                Some(ClassBuffers {
                    samples,
                    buffers: stream.buffers(),
                })
            })
            .collect();
        let total = |samples| ClassBuffers {
            samples,
            buffers: streams
                .iter()
                .filter(|need| need.samples == samples)
                .map(|need| need.buffers)
                .sum(),
        };
        Self {
            classes: capacities.into_iter().map(total).collect(),
            streams,
        }
    }

    /// Samples to reserve.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.classes
            .iter()
            .map(|class| class.samples * class.buffers as usize)
            .sum()
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
            prop_assert!(walked(&stream) <= stream.windows_at_once() as usize);
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
            assert_eq!(walked(&stream), stream.windows_at_once() as usize);
        }
    }

    #[test]
    fn classes_are_the_windows_and_streams_add_up() {
        let streams = [
            stream("48000:2:4096/1024:0"),
            stream("48000:1:441/441:0"),
            stream("44100:1:4096/4096:0"),
        ];
        let plan = CapacityPlan::for_streams(&streams);
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
        let plan = CapacityPlan::for_streams(&streams);
        assert_eq!((plan.classes.len(), plan.streams.len()), (MAX_CLASSES, 20));
    }

    #[test]
    fn nothing_to_serve_needs_nothing() {
        assert_eq!(CapacityPlan::for_streams(&[]).samples(), 0);
    }

    #[test]
    fn bad_streams_are_refused_with_the_form() {
        for text in [
            "",
            "48000",
            "48000:2:4096:50",
            "48000:2:4096/1024",
            "a:2:4096/1024:5",
            "48000:2:4096/1024:-1",
            "48000:2:4096/1024:inf",
            "48000:2:4096/1024:5:6",
        ] {
            assert!(
                matches!(text.parse::<StreamNeed>(), Err(CapacityError::Form { .. })),
                "{text}"
            );
        }
        let error = "48000:2:4096/0:50".parse::<StreamNeed>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "stream \"48000:2:4096/0:50\": HOP must be above zero"
        );
    }
}
