//! Records the requests to the pools, from their events, for `cargo xtask plan --trace FILE`.
#![allow(clippy::disallowed_types)] // A lock on the control worker.

use std::sync::{Arc, Mutex};

use serde::Serialize;

use super::lock::lock;
use wavepool::event_bus::{BusError, Subscription, TypedEventBus};
use wavepool::modules::data_management::pool_events::{BufferPoolAllocation, BufferPoolRecycling};
use wavepool::modules::data_management::sizing::demand_trace::{TraceError, TraceRecorder};

/// The most acquires and releases of one recording: about two minutes of the tuner.
const MAX_OPS: usize = 50_000;
const QUANTUM_FRAMES: u32 = 128;

/// A recording under way.
pub(crate) struct Recording {
    recorder: Arc<Mutex<TraceRecorder>>,
    _subscriptions: [Subscription; 2],
}

/// The size of a recording that is under way.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct RecordingFigures {
    requests: u64,
    /// Requests after the recording was full.
    dropped: u64,
}

/// Why no recording could be begun.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecordingError {
    /// The bus refused a subscription.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The sample rate of the stream is invalid.
    #[error(transparent)]
    Rate(#[from] TraceError),
}

impl Recording {
    pub(crate) fn start(bus: &TypedEventBus, sample_rate_hz: f64) -> Result<Self, RecordingError> {
        let recorder = TraceRecorder::new(sample_rate_hz, QUANTUM_FRAMES, MAX_OPS)?;
        let recorder = Arc::new(Mutex::new(recorder));
        let (on_allocation, on_recycling) = (recorder.clone(), recorder.clone());
        let _subscriptions = [
            bus.subscribe(move |event: &BufferPoolAllocation| {
                // Halves without a stream have no time that could be recorded.
                if let Some(first_frame) = event.first_frame {
                    lock(&on_allocation).acquired(
                        first_frame,
                        event.class_samples as usize,
                        event.requested as usize,
                        u64::from(event.count),
                    );
                }
            })?,
            bus.subscribe(move |event: &BufferPoolRecycling| {
                if let Some(first_frame) = event.first_frame {
                    lock(&on_recycling).released(
                        first_frame,
                        event.class_samples as usize,
                        u64::from(event.count),
                    );
                }
            })?,
        ];
        Ok(Self {
            recorder,
            _subscriptions,
        })
    }

    pub(crate) fn figures(&self) -> RecordingFigures {
        let recorder = lock(&self.recorder);
        RecordingFigures {
            requests: recorder.requests(),
            dropped: recorder.dropped(),
        }
    }

    /// The recording as JSON.
    pub(crate) fn finish(self) -> Result<String, TraceError> {
        let recorder = lock(&self.recorder).clone();
        Ok(recorder.finish()?.to_json())
    }
}
