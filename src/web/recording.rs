//! Records what is asked of the pools, from their own events, for `cargo xtask plan --trace FILE`.
#![allow(clippy::disallowed_types)] // A lock on the control worker.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::event_bus::{BusError, Subscription, TypedEventBus};
use crate::modules::data_management::pool_events::{BufferPoolAllocation, BufferPoolRecycling};
use crate::modules::data_management::sizing::demand_trace::{TraceError, TraceRecorder};

/// Acquires and releases that one recording keeps: about two minutes of the tuner.
const MOST_OPS: usize = 50_000;
const QUANTUM_FRAMES: u32 = 128;

/// A recording under way.
pub(super) struct Recording {
    recorder: Arc<Mutex<TraceRecorder>>,
    _subscriptions: [Subscription; 2],
}

/// How far a recording is.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct RecordingFigures {
    requests: u64,
    /// Requests for which there was no room.
    dropped: u64,
}

/// Why no recording could be begun.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordingError {
    /// The bus has no room for its subscribers.
    #[error(transparent)]
    Bus(#[from] BusError),
    /// The stream's sample rate is none.
    #[error(transparent)]
    Rate(#[from] TraceError),
}

impl Recording {
    pub(super) fn start(bus: &TypedEventBus, sample_rate_hz: f64) -> Result<Self, RecordingError> {
        let recorder = TraceRecorder::new(sample_rate_hz, QUANTUM_FRAMES, MOST_OPS)?;
        let recorder = Arc::new(Mutex::new(recorder));
        let (on_allocation, on_recycling) = (recorder.clone(), recorder.clone());
        let _subscriptions = [
            bus.subscribe(move |event: &BufferPoolAllocation| {
                // Halves that follow no stream have no place in its time.
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

    pub(super) fn figures(&self) -> RecordingFigures {
        let recorder = lock(&self.recorder);
        RecordingFigures {
            requests: recorder.requests(),
            dropped: recorder.dropped(),
        }
    }

    /// The recording as JSON.
    pub(super) fn finish(self) -> Result<String, TraceError> {
        let recorder = lock(&self.recorder).clone();
        Ok(recorder.finish()?.to_json())
    }
}

fn lock(recorder: &Mutex<TraceRecorder>) -> std::sync::MutexGuard<'_, TraceRecorder> {
    recorder.lock().unwrap_or_else(PoisonError::into_inner)
}
