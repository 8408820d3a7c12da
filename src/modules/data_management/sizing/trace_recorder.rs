//! Makes a demand trace of the pool's own events.

use std::collections::VecDeque;

use super::demand_trace::{
    DemandTrace, MAX_BUFFERS, MAX_OPERATIONS, TraceError, TraceOp, TraceOpKind, check_clock,
    last_frame,
};
use crate::modules::data_management::realtime::slot_table::MAX_SAMPLES;

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
    /// A recorder for at most `capacity` operations, and no more than a [`DemandTrace`] can have; later requests are
    /// counted as dropped.
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

    /// `count` requests for `requested` samples each were served by the class of `class_samples`; 0 where the size
    /// was not told: then it counts as the whole class.
    pub fn acquired(&mut self, frame: u64, class_samples: usize, requested: usize, count: u64) {
        let frame = self.relative(frame);
        let samples = if requested == 0 {
            class_samples
        } else {
            requested
        };
        // Room for the release is kept, so that every recorded request can end.
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

    /// `count` buffers of the class of `class_samples` came back.
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
    /// None that a recorder can bring about: those of [`DemandTrace::new`].
    pub fn finish(mut self) -> Result<DemandTrace, TraceError> {
        // Events of one publisher come in order; a late one of another must not end a buffer before it began.
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

    /// Whether a replay would come to this frame.
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
mod tests {
    use super::*;

    fn op(frame: u64, buffer: u32, samples: u32) -> TraceOp {
        (frame, buffer, samples).into()
    }

    #[test]
    fn the_oldest_of_a_class_comes_back_first() {
        let mut recorder = TraceRecorder::new(48_000.0, 128, 100).unwrap();
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
        let mut recorder = TraceRecorder::new(48_000.0, 128, 6).unwrap();
        recorder.acquired(0, 256, 256, 10);
        recorder.released(1, 256, 10);
        let trace = recorder.finish().unwrap();
        assert_eq!((trace.ops().len(), trace.dropped), (6, 7));
    }

    #[test]
    fn late_events_do_not_break_the_order() {
        let mut recorder = TraceRecorder::new(48_000.0, 128, 100).unwrap();
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
    fn a_recording_of_extreme_numbers_can_be_replayed_and_counts_what_it_dropped() {
        let extremes = [0, 1, 16, MAX_SAMPLES, MAX_SAMPLES + 1, usize::MAX];
        let mut recorder = TraceRecorder::new(48_000.0, 128, usize::MAX).unwrap();
        let mut asked = 0u64;
        for frame in [0, 1, last_frame(128), last_frame(128) + 1, u64::MAX] {
            for class in extremes {
                for requested in extremes {
                    recorder.acquired(frame, class, requested, 1);
                    asked += 1;
                }
                recorder.released(frame, class, u64::MAX);
            }
        }
        assert_eq!(recorder.requests() + recorder.dropped(), asked);
        assert!(recorder.requests() > 0 && recorder.dropped() > 0);
        recorder.acquired(0, 16, 16, u64::MAX);
        assert!(recorder.dropped() >= u64::MAX - u64::from(MAX_BUFFERS));
        assert!(recorder.requests() <= u64::from(MAX_BUFFERS) + asked);
        assert!(recorder.finish().is_ok());
    }
}
