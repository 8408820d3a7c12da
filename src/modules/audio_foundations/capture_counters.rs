//! The counters of a capture.

use serde::Serialize;

/// The counters of a capture since it was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CaptureCounters {
    /// Quanta committed.
    pub quanta: u64,
    /// Frames committed.
    pub frames: u64,
    /// Windows delivered to the queue.
    pub windows: u64,
    /// Windows that were not delivered, because the pool had no buffer or the queue was full.
    pub skipped_windows: u64,
    /// Windows that were abandoned because the stream had a gap, a restart or an uncommitted plan.
    pub interrupted_windows: u64,
    /// Frames of gaps, which the capture never got, whether or not a window was open at the time.
    pub lost_frames: u64,
    /// Sample bytes copied into windows that were delivered, skipped because the queue was full, or interrupted. While all
    /// windows are delivered this is windows × window × channels × 4: each sample is copied once into each of its windows.
    pub bytes_copied: u64,
}
