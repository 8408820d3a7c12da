//! What a defragmentation run did: idle memory handed back to the arena and coalesced, leased buffers left where they are.

use serde::{Deserialize, Serialize};

/// The outcome of one bounded defragmentation run.
///
/// The percentages are [`fragmentation_percentage`](super::pool_metrics::PoolMetrics::fragmentation_percentage)
/// before the first step and after the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct DefragmentationResult {
    /// Fragmentation when the run began, in percent.
    pub before_percentage: f32,
    /// Fragmentation when it ended, in percent.
    pub after_percentage: f32,
    /// Bytes of idle buffers handed back to the arena.
    pub bytes_moved: usize,
    /// Idle buffers handed back.
    pub buffers_moved: u32,
    /// Steps taken: one for each idle buffer looked at, handed back or kept.
    pub steps: u32,
    /// Whether the run looked at everything, or stopped at its bound and wants to be called again.
    pub complete: bool,
    /// Longest free run when it ended, in samples.
    pub largest_free_run_samples: usize,
}
