//! The counters of a capture, in words that other threads can read: the capture itself belongs to the audio thread.

use std::sync::Arc;

use super::capture_fields::{CAPTURE_FIELDS, from_fields, to_fields};
use crate::sync::atomic::{AtomicU64, Ordering};
use wavepool::modules::audio_foundations::CaptureCounters;
use wavepool::modules::data_management::{Crossings, ObjectCounts};

/// Written by the audio thread after each quantum, read by the host. Each field is exact; two fields may be of different quanta.
#[derive(Debug, Clone, Default)]
pub(crate) struct StreamCounts(Arc<CounterWords>);

#[derive(Debug, Default)]
struct CounterWords {
    capture: [AtomicU64; CAPTURE_FIELDS],
    /// JavaScript objects (views, messages, buffers) that the worklet has made, and views that the consumer has made.
    objects: [AtomicU64; 3],
    consumer_views: AtomicU64,
    /// Calls of the allocator from the audio thread since its first quantum.
    allocator_calls: AtomicU64,
    /// The last window, if it is partial: its first frame plus 1 (0: it is not), and the number of its frames.
    partial: [AtomicU64; 2],
}

impl StreamCounts {
    pub(crate) fn publish(&self, counters: CaptureCounters) {
        for (cell, value) in self.0.capture.iter().zip(to_fields(counters)) {
            // Relaxed: figures for people; no other memory is read on the strength of them.
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> CaptureCounters {
        // Relaxed: see `publish`.
        let fields = core::array::from_fn(|i| self.0.capture[i].load(Ordering::Relaxed));
        from_fields(fields)
    }

    /// Sets the length of the last window. Called before that window is queued.
    pub(crate) fn set_partial(&self, first_frame: u64, frames: usize) {
        let [begin, length] = &self.0.partial;
        // Relaxed: the queue, through which the window is sent, orders these stores before the loads in `frames_of`.
        length.store(frames as u64, Ordering::Relaxed);
        begin.store(first_frame.saturating_add(1), Ordering::Relaxed);
    }

    /// The number of frames of a window from the queue: `full`, unless it is the window of [`set_partial`](Self::set_partial).
    pub(crate) fn frames_of(&self, first_frame: u64, full: usize) -> usize {
        let [begin, length] = &self.0.partial;
        // Relaxed: see `set_partial`. For another window the load may return the old or the new value; neither is its first frame.
        if begin.load(Ordering::Relaxed) == first_frame.saturating_add(1) {
            length.load(Ordering::Relaxed) as usize
        } else {
            full
        }
    }

    pub(crate) fn set_objects(&self, objects: [u64; 3]) {
        for (cell, count) in self.0.objects.iter().zip(objects) {
            // Relaxed: see `publish`.
            cell.store(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn set_consumer_views(&self, views: u64) {
        // Relaxed: see `publish`.
        self.0.consumer_views.store(views, Ordering::Relaxed);
    }

    /// The JavaScript objects that the worklet has made: views, messages, buffers.
    pub(crate) fn worklet_objects(&self) -> [u64; 3] {
        // Relaxed: see `publish`.
        core::array::from_fn(|kind| self.0.objects[kind].load(Ordering::Relaxed))
    }

    /// All JavaScript objects that were made for the stream.
    pub(crate) fn objects(&self) -> ObjectCounts {
        let [views, messages, buffers] = self.worklet_objects();
        ObjectCounts {
            // Relaxed: see `publish`.
            views: views + self.0.consumer_views.load(Ordering::Relaxed),
            messages,
            buffers,
            content_bytes: 0,
        }
    }

    pub(crate) fn set_allocator_calls(&self, calls: u64) {
        // Relaxed: see `publish`.
        self.0.allocator_calls.store(calls, Ordering::Relaxed);
    }

    pub(crate) fn allocator_calls(&self) -> u64 {
        // Relaxed: see `publish`.
        self.0.allocator_calls.load(Ordering::Relaxed)
    }
}

/// What a participant passes to JavaScript on its own thread, readable by another thread: the views made, the buffers seen, and the
/// bytes of their samples.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParticipantCounts(Arc<[AtomicU64; 3]>);

impl ParticipantCounts {
    pub(crate) fn set(&self, crossings: &Crossings) {
        for (cell, value) in self.0.iter().zip(participant_fields(crossings)) {
            // Relaxed: figures for people; no other memory is read on the strength of them.
            cell.store(value, Ordering::Relaxed);
        }
    }

    pub(crate) fn get(&self) -> Crossings {
        // Relaxed: see `set`.
        participant_crossings(core::array::from_fn(|at| {
            self.0[at].load(Ordering::Relaxed)
        }))
    }
}

pub(crate) fn participant_fields(crossings: &Crossings) -> [u64; 3] {
    [
        crossings.made.views,
        crossings.arrays,
        crossings.sample_bytes,
    ]
}

pub(crate) fn participant_crossings([views, arrays, sample_bytes]: [u64; 3]) -> Crossings {
    Crossings {
        made: ObjectCounts {
            views,
            ..ObjectCounts::default()
        },
        arrays,
        sample_bytes,
        windows: 0,
    }
}
