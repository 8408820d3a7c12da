//! A capture's counters, readable from another thread: the capture itself belongs to the audio thread.

use std::sync::Arc;

use crate::modules::audio_foundations::CaptureCounters;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Written by the audio thread after each quantum, read by the host. Each field is exact; together they may be a quantum apart.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamCounts(Arc<[AtomicU64; 6]>);

impl StreamCounts {
    pub(super) fn publish(&self, counters: CaptureCounters) {
        for (cell, value) in self.0.iter().zip(counters.to_fields()) {
            // Relaxed: figures for people; nothing is reached through them.
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> CaptureCounters {
        // Relaxed: see `publish`.
        let fields = core::array::from_fn(|i| self.0[i].load(Ordering::Relaxed));
        CaptureCounters::from_fields(fields)
    }
}
