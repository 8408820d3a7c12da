//! Records a demand trace from the pool's own events.

use std::collections::VecDeque;

use super::demand_trace::{
    DemandTrace, MAX_BUFFERS, MAX_OPERATIONS, TraceError, TraceOp, TraceOpKind, check_clock,
    last_frame,
};
use wavepool_core::internal::MAX_SAMPLES;

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
mod tests;
