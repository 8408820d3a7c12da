//! A demand trace: recorded requests and releases, for offline replay.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use wavepool_core::internal::MAX_SAMPLES;

/// The version of the recorded format.
pub const TRACE_VERSION: u16 = 1;
/// The most operations of a trace.
pub const MAX_OPERATIONS: usize = 1 << 22;
/// The most quanta from the first frame to the last operation, each of which a replay runs: three hours at 48 kHz with quanta
/// of 128 frames.
pub const MAX_QUANTA: u64 = 1 << 22;
/// The most buffers of a trace: a replay has a slot for each.
pub const MAX_BUFFERS: u32 = 1 << 20;
/// The limits of a trace's frames per second.
const SAMPLE_RATES_HZ: core::ops::RangeInclusive<f64> = 1.0..=10_000_000.0;

/// One acquire or release. Serialises as `[frame, buffer, samples]`; the release has no samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u32, u32)", into = "(u64, u32, u32)")]
pub struct TraceOp {
    /// The time in frames since the recording began.
    pub frame: u64,
    /// The buffer's number within the recording; numbers are reused after the release.
    pub buffer: u32,
    /// The operation.
    pub kind: TraceOpKind,
}

/// An operation on a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceOpKind {
    /// A request for so many samples, at least one.
    Acquire(u32),
    /// The release of the buffer.
    Release,
}

impl From<(u64, u32, u32)> for TraceOp {
    fn from((frame, buffer, samples): (u64, u32, u32)) -> Self {
        let kind = if samples == 0 {
            TraceOpKind::Release
        } else {
            TraceOpKind::Acquire(samples)
        };
        Self {
            frame,
            buffer,
            kind,
        }
    }
}

impl From<TraceOp> for (u64, u32, u32) {
    fn from(op: TraceOp) -> Self {
        let samples = match op.kind {
            TraceOpKind::Acquire(samples) => samples,
            TraceOpKind::Release => 0,
        };
        (op.frame, op.buffer, samples)
    }
}

/// A recording of demand. Making or reading one checks it, so that the replay of any trace is bounded.
/// See `docs/decisions/0026-files-are-checked-when-they-are-read.md`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Recorded")]
pub struct DemandTrace {
    version: u16,
    sample_rate_hz: f64,
    quantum_frames: u32,
    /// Requests after the recorder was full.
    pub dropped: u64,
    ops: Vec<TraceOp>,
}

/// The recorded format, before it is checked.
#[derive(Deserialize)]
struct Recorded {
    version: u16,
    sample_rate_hz: f64,
    quantum_frames: u32,
    dropped: u64,
    ops: Vec<TraceOp>,
}

impl TryFrom<Recorded> for DemandTrace {
    type Error = TraceError;

    fn try_from(recorded: Recorded) -> Result<Self, TraceError> {
        if recorded.version != TRACE_VERSION {
            return Err(TraceError::Version {
                found: recorded.version,
            });
        }
        let trace = Self::new(
            recorded.sample_rate_hz,
            recorded.quantum_frames,
            recorded.ops,
        )?;
        Ok(Self {
            dropped: recorded.dropped,
            ..trace
        })
    }
}

/// Why a recording cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The text is not the JSON of a trace.
    #[error("not a demand trace: {0}")]
    Json(#[from] serde_json::Error),
    /// The format has another version.
    #[error(
        "demand trace has version {found}, this version reads {TRACE_VERSION}; record a new one"
    )]
    Version {
        /// The version of the file.
        found: u16,
    },
    /// The clock is outside its limits.
    #[error(
        "demand trace has {sample_rate_hz} frames per second and quanta of {quantum_frames} frames: {least} to {most} frames per second and quanta of at least 1 frame are needed",
        least = SAMPLE_RATES_HZ.start(),
        most = SAMPLE_RATES_HZ.end()
    )]
    Clock {
        /// Frames per second.
        sample_rate_hz: f64,
        /// Frames per quantum.
        quantum_frames: u32,
    },
    /// More operations than a replay runs.
    #[error(
        "demand trace has {count} operations, at most {MAX_OPERATIONS} are replayed; record a shorter one"
    )]
    TooLong {
        /// The number of operations.
        count: usize,
    },
    /// A number of an operation is above its limit.
    #[error("demand trace, operation {index}: {what} must be at most {most} (got {value})")]
    Number {
        /// The index of the operation.
        index: usize,
        /// The name of the number.
        what: &'static str,
        /// The value in the file.
        value: u64,
        /// The largest accepted value.
        most: u64,
    },
    /// An operation contradicts the ones before it.
    #[error("demand trace, operation {index}: {what}")]
    Operation {
        /// The index of the operation.
        index: usize,
        /// The contradiction.
        what: &'static str,
    },
}

impl DemandTrace {
    /// A trace of operations, ordered by frame, with so many frames per second and per quantum.
    ///
    /// # Errors
    /// If there are more than [`MAX_OPERATIONS`] operations, an operation contradicts earlier ones or has a number above its
    /// limit, or the clock is outside its limits.
    pub fn new(
        sample_rate_hz: f64,
        quantum_frames: u32,
        ops: Vec<TraceOp>,
    ) -> Result<Self, TraceError> {
        check_clock(sample_rate_hz, quantum_frames)?;
        if ops.len() > MAX_OPERATIONS {
            return Err(TraceError::TooLong { count: ops.len() });
        }
        let mut live = std::collections::HashSet::new();
        let mut frame = 0;
        for (index, op) in ops.iter().enumerate() {
            let most_frame = last_frame(quantum_frames);
            let (what, value, most) = match op.kind {
                _ if op.frame > most_frame => ("the frame", op.frame, most_frame),
                _ if op.buffer >= MAX_BUFFERS => (
                    "the buffer's number",
                    op.buffer.into(),
                    u64::from(MAX_BUFFERS) - 1,
                ),
                TraceOpKind::Acquire(samples) if samples as usize > MAX_SAMPLES => {
                    ("the size", samples.into(), MAX_SAMPLES as u64)
                }
                _ => ("", 0, 0),
            };
            if value > most {
                return Err(TraceError::Number {
                    index,
                    what,
                    value,
                    most,
                });
            }
            let wrong = match op.kind {
                _ if op.frame < frame => Some("earlier than the one before it"),
                TraceOpKind::Acquire(0) => Some("acquires a buffer of no samples"),
                TraceOpKind::Acquire(_) if !live.insert(op.buffer) => {
                    Some("acquires a buffer that is in use")
                }
                TraceOpKind::Release if !live.remove(&op.buffer) => {
                    Some("releases a buffer that is not in use")
                }
                _ => None,
            };
            if let Some(what) = wrong {
                return Err(TraceError::Operation { index, what });
            }
            frame = op.frame;
        }
        Ok(Self {
            version: TRACE_VERSION,
            sample_rate_hz,
            quantum_frames,
            dropped: 0,
            ops,
        })
    }

    /// Reads a recorded trace.
    ///
    /// # Errors
    /// If the text is not a trace or has another version, and as for [`new`](Self::new).
    pub fn from_json(text: &str) -> Result<Self, TraceError> {
        serde_json::from_str::<Recorded>(text)?.try_into()
    }

    /// The recorded format, to be saved.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Frames per second, which turn frames into time.
    #[must_use]
    pub const fn sample_rate_hz(&self) -> f64 {
        self.sample_rate_hz
    }

    /// Frames per quantum of the real-time half.
    #[must_use]
    pub const fn quantum_frames(&self) -> u32 {
        self.quantum_frames
    }

    /// The operations, ordered by frame. Every buffer is acquired before it is released, and acquired again only after that.
    #[must_use]
    pub fn ops(&self) -> &[TraceOp] {
        &self.ops
    }

    /// One more than the largest buffer number.
    #[must_use]
    pub fn buffers(&self) -> usize {
        self.ops
            .iter()
            .map(|op| op.buffer as usize + 1)
            .max()
            .unwrap_or(0)
    }
}

fn check_clock(sample_rate_hz: f64, quantum_frames: u32) -> Result<(), TraceError> {
    if SAMPLE_RATES_HZ.contains(&sample_rate_hz) && quantum_frames > 0 {
        return Ok(());
    }
    Err(TraceError::Clock {
        sample_rate_hz,
        quantum_frames,
    })
}

/// The last frame that a replay reaches with [`MAX_QUANTA`].
const fn last_frame(quantum_frames: u32) -> u64 {
    MAX_QUANTA * quantum_frames as u64
}

/// Records a trace from allocation and recycling events, on the dispatching side.
///
/// A recycling event has a count, but does not name buffers: the recorder assumes that the oldest buffer of the class is
/// released first. Releases of buffers that were acquired before the recording are left out.
#[derive(Debug, Clone)]
pub struct TraceRecorder {
    sample_rate_hz: f64,
    quantum_frames: u32,
    capacity: usize,
    first_frame: Option<u64>,
    dropped: u64,
    ops: Vec<TraceOp>,
    /// Buffers in use per class, oldest first.
    live: Vec<(usize, VecDeque<u32>)>,
    free: Vec<u32>,
    numbers: u32,
}

impl TraceRecorder {
    /// A recorder for at most `capacity` operations, and no more than a [`DemandTrace`] can have. Later requests are counted
    /// as dropped.
    ///
    /// # Errors
    /// [`TraceError::Clock`].
    pub fn new(
        sample_rate_hz: f64,
        quantum_frames: u32,
        capacity: usize,
    ) -> Result<Self, TraceError> {
        check_clock(sample_rate_hz, quantum_frames)?;
        Ok(Self {
            sample_rate_hz,
            quantum_frames,
            capacity: capacity.min(MAX_OPERATIONS),
            first_frame: None,
            dropped: 0,
            ops: Vec::new(),
            live: Vec::new(),
            free: Vec::new(),
            numbers: 0,
        })
    }

    /// Records `count` requests for `requested` samples each, served by the class of `class_samples`. A size of 0, which
    /// means unknown, counts as the whole class.
    pub fn acquired(&mut self, frame: u64, class_samples: usize, requested: usize, count: u64) {
        let frame = self.relative(frame);
        let samples = if requested == 0 {
            class_samples
        } else {
            requested
        };
        // Space for the release is reserved, so that every recorded request can end.
        let in_use: usize = self.live.iter().map(|(_, live)| live.len()).sum();
        let left = self.capacity.saturating_sub(self.ops.len() + in_use) / 2;
        let numbers = self.free.len() + (MAX_BUFFERS - self.numbers) as usize;
        let replayable = (1..=MAX_SAMPLES).contains(&samples) && self.is_in_time(frame);
        let recorded = if replayable {
            count.min(left.min(numbers) as u64)
        } else {
            0
        };
        self.dropped = self.dropped.saturating_add(count - recorded);
        for _ in 0..recorded {
            let buffer = self.free.pop().unwrap_or_else(|| {
                self.numbers += 1;
                self.numbers - 1
            });
            self.class(class_samples).push_back(buffer);
            self.ops.push(TraceOp {
                frame,
                buffer,
                kind: TraceOpKind::Acquire(samples as u32),
            });
        }
    }

    /// Records the release of `count` buffers of the class of `class_samples`.
    pub fn released(&mut self, frame: u64, class_samples: usize, count: u64) {
        let frame = self.relative(frame);
        if !self.is_in_time(frame) {
            // The buffers are in use until the recording ends.
            return;
        }
        for _ in 0..count {
            let Some(buffer) = self.class(class_samples).pop_front() else {
                return;
            };
            self.free.push(buffer);
            self.ops.push(TraceOp {
                frame,
                buffer,
                kind: TraceOpKind::Release,
            });
        }
    }

    /// The number of recorded requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let acquires = |op: &&TraceOp| matches!(op.kind, TraceOpKind::Acquire(_));
        self.ops.iter().filter(acquires).count() as u64
    }

    /// The number of requests after the recorder was full.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The trace so far, ordered by frame: events of several threads may have arrived out of order.
    ///
    /// # Errors
    /// Those of [`DemandTrace::new`], of which a recorder causes none.
    pub fn finish(mut self) -> Result<DemandTrace, TraceError> {
        // Events of one publisher are in order. A late event of another publisher must not release a buffer before its
        // acquire.
        let mut frame = 0;
        for op in &mut self.ops {
            frame = op.frame.max(frame);
            op.frame = frame;
        }
        let mut trace = DemandTrace::new(self.sample_rate_hz, self.quantum_frames, self.ops)?;
        trace.dropped = self.dropped;
        Ok(trace)
    }

    fn relative(&mut self, frame: u64) -> u64 {
        frame.saturating_sub(*self.first_frame.get_or_insert(frame))
    }

    /// Whether a replay reaches this frame.
    const fn is_in_time(&self, frame: u64) -> bool {
        frame <= last_frame(self.quantum_frames)
    }

    fn class(&mut self, samples: usize) -> &mut VecDeque<u32> {
        let at = self
            .live
            .iter()
            .position(|(class, _)| *class == samples)
            .unwrap_or_else(|| {
                self.live.push((samples, VecDeque::new()));
                self.live.len() - 1
            });
        &mut self.live[at].1
    }
}

#[cfg(test)]
#[path = "trace_recorder_tests.rs"]
mod recorder_tests;
#[cfg(test)]
#[path = "demand_trace_tests.rs"]
mod tests;
