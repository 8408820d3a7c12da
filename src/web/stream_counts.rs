//! A capture's counters, readable from another thread: the capture itself belongs to the audio thread.

use std::sync::Arc;

use super::unit_costs::Made;
use crate::modules::audio_foundations::{CAPTURE_FIELDS, CaptureCounters};
use crate::sync::atomic::{AtomicU64, Ordering};

/// Written by the audio thread after each quantum, read by the host. Each field is exact; together they may be a quantum apart.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamCounts(Arc<Cells>);

#[derive(Debug, Default)]
struct Cells {
    capture: [AtomicU64; CAPTURE_FIELDS],
    /// JavaScript objects made by the worklet's side of the boundary (views, messages, buffers), and views of the consumer's.
    made: [AtomicU64; 3],
    consumer_views: AtomicU64,
    /// Calls of the allocator from the audio thread since its first quantum.
    allocator_calls: AtomicU64,
    /// The last window, if it is not full: its first frame plus 1 (0: there is none), and its frames.
    partial: [AtomicU64; 2],
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

    /// Before the window is queued.
    pub(super) fn set_partial(&self, first_frame: u64, frames: usize) {
        let [begin, length] = &self.0.partial;
        // Relaxed: the window's own way through the queue orders these stores before the loads in `frames_of`.
        length.store(frames as u64, Ordering::Relaxed);
        begin.store(first_frame.saturating_add(1), Ordering::Relaxed);
    }

    /// The frames of a window that came through the queue: `full`, unless it is the one of `set_partial`.
    pub(super) fn frames_of(&self, first_frame: u64, full: usize) -> usize {
        let [begin, length] = &self.0.partial;
        // Relaxed: see `set_partial`. The loads for another window may see either value, of which none names that window.
        if begin.load(Ordering::Relaxed) == first_frame.saturating_add(1) {
            length.load(Ordering::Relaxed) as usize
        } else {
            full
        }
    }

    pub(super) fn set_made(&self, made: [u64; 3]) {
        for (cell, count) in self.0.made.iter().zip(made) {
            // Relaxed: see `publish`.
            cell.store(count, Ordering::Relaxed);
        }
    }

    pub(super) fn set_consumer_views(&self, views: u64) {
        // Relaxed: see `publish`.
        self.0.consumer_views.store(views, Ordering::Relaxed);
    }

    /// What the worklet's side has made.
    pub(super) fn made_by_worklet(&self) -> [u64; 3] {
        // Relaxed: see `publish`.
        core::array::from_fn(|kind| self.0.made[kind].load(Ordering::Relaxed))
    }

    pub(super) fn made(&self) -> Made {
        let [views, messages, buffers] = self.made_by_worklet();
        Made {
            // Relaxed: see `publish`.
            views: views + self.0.consumer_views.load(Ordering::Relaxed),
            messages,
            buffers,
            buffer_bytes: 0,
        }
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

/// Views that one thread has made, read by another.
#[derive(Debug, Clone, Default)]
pub(super) struct ViewCount(Arc<AtomicU64>);

impl ViewCount {
    pub(super) fn set(&self, views: u64) {
        // Relaxed: a figure for people; nothing is reached through it.
        self.0.store(views, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        // Relaxed: see `set`.
        self.0.load(Ordering::Relaxed)
    }
}
