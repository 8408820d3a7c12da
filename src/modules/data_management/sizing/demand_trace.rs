//! A recording of what was asked of the pool and when it came back, to be replayed offline.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Version of the recorded form.
pub const TRACE_VERSION: u16 = 1;

/// One acquire or release. Serialises as `[frame, buffer, samples]`, where no samples means the release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u32, u32)", into = "(u64, u32, u32)")]
pub struct TraceOp {
    /// When, in frames since the recording began.
    pub frame: u64,
    /// Which buffer of the recording; numbers are used again after the release.
    pub buffer: u32,
    /// What happened.
    pub kind: TraceOpKind,
}

/// What happened to a buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TraceOpKind {
    /// A request for so many samples, at least one.
    Acquire(u32),
    /// The buffer came back.
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

/// A recording of demand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DemandTrace {
    version: u16,
    /// Frames per second, which turns frames into time.
    pub sample_rate_hz: f64,
    /// Frames handled at once: the real-time half begins a quantum this often.
    pub quantum_frames: u32,
    /// Requests the recorder had no room for.
    pub dropped: u64,
    ops: Vec<TraceOp>,
}

/// A recording that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Not the JSON of a trace.
    #[error("not a demand trace: {0}")]
    Json(#[from] serde_json::Error),
    /// Written by a version that means something else by it.
    #[error(
        "demand trace has version {found}, this version reads {TRACE_VERSION}; record a new one"
    )]
    Version {
        /// Version of the file.
        found: u16,
    },
    /// Time that is none.
    #[error(
        "demand trace has {sample_rate_hz} frames per second and quanta of {quantum_frames} frames: both must be above zero"
    )]
    Clock {
        /// Frames per second.
        sample_rate_hz: f64,
        /// Frames per quantum.
        quantum_frames: u32,
    },
    /// An operation that cannot have happened.
    #[error("demand trace, operation {index}: {what}")]
    Operation {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl DemandTrace {
    /// A trace of operations that are ordered by frame.
    ///
    /// # Errors
    /// When an operation cannot have happened, or the clock is none.
    pub fn new(
        sample_rate_hz: f64,
        quantum_frames: u32,
        ops: Vec<TraceOp>,
    ) -> Result<Self, TraceError> {
        Self {
            version: TRACE_VERSION,
            sample_rate_hz,
            quantum_frames,
            dropped: 0,
            ops,
        }
        .checked()
    }

    /// Reads a recorded trace.
    ///
    /// # Errors
    /// When the text is not a trace, is of another version, or holds an operation that cannot have happened.
    pub fn from_json(text: &str) -> Result<Self, TraceError> {
        serde_json::from_str::<Self>(text)?.checked()
    }

    /// The form to save.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// The operations, ordered by frame. Every buffer is acquired before it is released, and once at a time.
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

    fn checked(self) -> Result<Self, TraceError> {
        if self.version != TRACE_VERSION {
            return Err(TraceError::Version {
                found: self.version,
            });
        }
        if !(self.sample_rate_hz.is_finite()
            && self.sample_rate_hz > 0.0
            && self.quantum_frames > 0)
        {
            let Self {
                sample_rate_hz,
                quantum_frames,
                ..
            } = self;
            return Err(TraceError::Clock {
                sample_rate_hz,
                quantum_frames,
            });
        }
        let mut live = std::collections::HashSet::new();
        let mut frame = 0;
        for (index, op) in self.ops.iter().enumerate() {
            let wrong = match op.kind {
                _ if op.frame < frame => Some("earlier than the one before it"),
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
        Ok(self)
    }
}

/// Records a trace from allocation and recycling events, on the side that dispatches them.
///
/// A recycling event counts buffers and does not name them: within a class the oldest is taken to have come back
/// first. Returns of buffers acquired before the recording began are left out.
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
    /// A recorder for at most `capacity` operations; later requests are counted as dropped.
    #[must_use]
    pub fn new(sample_rate_hz: f64, quantum_frames: u32, capacity: usize) -> Self {
        Self {
            sample_rate_hz,
            quantum_frames,
            capacity,
            first_frame: None,
            dropped: 0,
            ops: Vec::new(),
            live: Vec::new(),
            free: Vec::new(),
            numbers: 0,
        }
    }

    /// `count` requests for `requested` samples each were served by the class of `class_samples`; 0 where the size
    /// was not told: then it counts as the whole class.
    pub fn acquired(&mut self, frame: u64, class_samples: usize, requested: usize, count: u64) {
        let frame = self.relative(frame);
        let samples = if requested == 0 {
            class_samples
        } else {
            requested
        };
        for _ in 0..count {
            // Room for the release is kept, so that every recorded request can end.
            let in_use: usize = self.live.iter().map(|(_, live)| live.len()).sum();
            if self.ops.len() + in_use + 2 > self.capacity {
                self.dropped += 1;
                continue;
            }
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

    /// `count` buffers of the class of `class_samples` came back.
    pub fn released(&mut self, frame: u64, class_samples: usize, count: u64) {
        let frame = self.relative(frame);
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

    /// Requests recorded so far.
    #[must_use]
    pub fn requests(&self) -> u64 {
        let acquires = |op: &&TraceOp| matches!(op.kind, TraceOpKind::Acquire(_));
        self.ops.iter().filter(acquires).count() as u64
    }

    /// Requests there was no room for.
    #[must_use]
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The trace so far. Events of several threads may have come out of order; the trace is in order of frames.
    ///
    /// # Errors
    /// When the clock given to the recorder is none.
    pub fn finish(mut self) -> Result<DemandTrace, TraceError> {
        // Events of one publisher come in order; a late one of another must not end a buffer before it began.
        let mut frame = 0;
        for op in &mut self.ops {
            frame = op.frame.max(frame);
            op.frame = frame;
        }
        let trace = DemandTrace::new(self.sample_rate_hz, self.quantum_frames, self.ops)?;
        Ok(DemandTrace {
            dropped: self.dropped,
            ..trace
        })
    }

    fn relative(&mut self, frame: u64) -> u64 {
        frame.saturating_sub(*self.first_frame.get_or_insert(frame))
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
mod tests {
    use super::*;

    fn op(frame: u64, buffer: u32, samples: u32) -> TraceOp {
        (frame, buffer, samples).into()
    }

    #[test]
    fn the_oldest_of_a_class_comes_back_first() {
        let mut recorder = TraceRecorder::new(48_000.0, 128, 100);
        recorder.released(1000, 256, 3);
        recorder.acquired(1000, 256, 200, 2);
        recorder.acquired(1128, 512, 512, 1);
        recorder.released(1256, 256, 1);
        recorder.acquired(1384, 256, 100, 1);
        let trace = recorder.finish().unwrap();
        assert_eq!(
            trace.ops(),
            [
                op(0, 0, 200),
                op(0, 1, 200),
                op(128, 2, 512),
                op(256, 0, 0),
                op(384, 0, 100)
            ]
        );
        assert_eq!(trace.buffers(), 3);
        assert_eq!(DemandTrace::from_json(&trace.to_json()).unwrap(), trace);
    }

    #[test]
    fn a_full_recorder_still_takes_every_release() {
        let mut recorder = TraceRecorder::new(48_000.0, 128, 6);
        recorder.acquired(0, 256, 256, 10);
        recorder.released(1, 256, 10);
        let trace = recorder.finish().unwrap();
        assert_eq!((trace.ops().len(), trace.dropped), (6, 7));
    }

    #[test]
    fn late_events_do_not_break_the_order() {
        let mut recorder = TraceRecorder::new(48_000.0, 128, 100);
        recorder.acquired(1000, 256, 256, 1);
        recorder.acquired(1300, 256, 256, 1);
        recorder.released(1100, 256, 2);
        let frames: Vec<u64> = recorder
            .finish()
            .unwrap()
            .ops()
            .iter()
            .map(|op| op.frame)
            .collect();
        assert_eq!(frames, [0, 300, 300, 300]);
    }

    #[test]
    fn what_cannot_have_happened_is_refused() {
        let error = |ops| {
            DemandTrace::new(48_000.0, 128, ops)
                .unwrap_err()
                .to_string()
        };
        assert!(
            error(vec![op(0, 0, 0)]).ends_with("operation 0: releases a buffer that is not in use")
        );
        assert!(
            error(vec![op(0, 0, 1), op(0, 0, 1)])
                .ends_with("operation 1: acquires a buffer that is in use")
        );
        assert!(
            error(vec![op(5, 0, 1), op(4, 0, 0)])
                .ends_with("operation 1: earlier than the one before it")
        );
        assert!(matches!(
            DemandTrace::new(0.0, 128, vec![]),
            Err(TraceError::Clock { .. })
        ));
        assert!(matches!(
            DemandTrace::new(f64::NAN, 128, vec![]),
            Err(TraceError::Clock { .. })
        ));
        assert!(matches!(
            DemandTrace::from_json("[]"),
            Err(TraceError::Json(_))
        ));
        let old = DemandTrace::new(1.0, 1, vec![])
            .unwrap()
            .to_json()
            .replace("\"version\":1", "\"version\":7");
        assert!(matches!(
            DemandTrace::from_json(&old),
            Err(TraceError::Version { found: 7 })
        ));
    }
}
