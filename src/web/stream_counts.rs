//! A capture's counters, readable from another thread: the capture itself belongs to the audio thread.

use std::sync::Arc;

use crate::modules::audio_foundations::CaptureCounters;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Written by the audio thread after each quantum, read by the host. Each field is exact; together they may be a quantum apart.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamCounts(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    capture: [AtomicU64; 6],
    /// JavaScript objects made by the worklet's side of the boundary, and by the consumer's.
    objects: AtomicU64,
    consumer_objects: AtomicU64,
    /// Calls of the allocator from the audio thread since its first quantum.
    allocator_calls: AtomicU64,
}

impl StreamCounts {
    pub(super) fn publish(&self, counters: CaptureCounters) {
        for (cell, value) in self.0.capture.iter().zip(counters.to_fields()) {
            // Relaxed: figures for people; nothing is reached through them.
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(super) fn read(&self) -> CaptureCounters {
        // Relaxed: see `publish`.
        let fields = core::array::from_fn(|i| self.0.capture[i].load(Ordering::Relaxed));
        CaptureCounters::from_fields(fields)
    }

    pub(super) fn set_objects(&self, objects: u64) {
        // Relaxed: see `publish`.
        self.0.objects.store(objects, Ordering::Relaxed);
    }

    pub(super) fn set_consumer_objects(&self, objects: u64) {
        // Relaxed: see `publish`.
        self.0.consumer_objects.store(objects, Ordering::Relaxed);
    }

    pub(super) fn objects(&self) -> u64 {
        // Relaxed: see `publish`.
        self.0.objects.load(Ordering::Relaxed) + self.0.consumer_objects.load(Ordering::Relaxed)
    }

    pub(super) fn set_allocator_calls(&self, calls: u64) {
        // Relaxed: see `publish`.
        self.0.allocator_calls.store(calls, Ordering::Relaxed);
    }

    pub(super) fn allocator_calls(&self) -> u64 {
        // Relaxed: see `publish`.
        self.0.allocator_calls.load(Ordering::Relaxed)
    }
}

/// JavaScript objects that one thread has made, read by another.
#[derive(Debug, Clone, Default)]
pub(super) struct ObjectCount(Arc<AtomicU64>);

impl ObjectCount {
    pub(super) fn set(&self, objects: u64) {
        // Relaxed: a figure for people; nothing is reached through it.
        self.0.store(objects, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        // Relaxed: see `set`.
        self.0.load(Ordering::Relaxed)
    }
}
