//! The counts of the pool and of each size class, as the control half reads them.

use alloc::vec::Vec;

/// A snapshot of one size class.
#[derive(Debug, Clone, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ClassMetrics {
    /// Samples of each buffer.
    pub samples: usize,
    /// Buffers that exist: idle and leased.
    pub carved: u64,
    /// Buffers on a free list: local list, inbox and surplus.
    pub idle: u64,
    /// Buffers in use.
    pub leased: u64,
    /// Most buffers ever in use at once.
    pub high_water: u64,
    /// Most buffers in use at once since the last control step of maintenance.
    pub recent_high_water: u64,
    /// Requests served from idle buffers of this class.
    pub hits: u64,
    /// Requests of this class that the next larger one served.
    pub borrowed: u64,
    /// Requests of this class that the system allocator served, outside the pool. The pool itself counts none.
    pub created: u64,
    /// Requests of this class that were refused.
    pub exhausted: u64,
    /// Buffers that return to the arena as soon as they are idle.
    pub draining: u64,
    /// Whether the class serves no more requests and only waits for its buffers.
    pub retired: bool,
    /// Samples that the holders of the leased buffers requested.
    pub requested_samples: u64,
}

impl ClassMetrics {
    /// Requests of this class that its own idle buffers did not serve.
    #[must_use]
    pub fn misses(&self) -> u64 {
        self.borrowed
            .saturating_add(self.created)
            .saturating_add(self.exhausted)
    }

    /// Requests of this class.
    #[must_use]
    pub fn acquires(&self) -> u64 {
        self.hits.saturating_add(self.misses())
    }
}

/// A snapshot of the pool's counts.
///
/// Read while other threads acquire and release, they may be a few operations apart; they agree when no thread is
/// inside an operation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PoolUsage {
    /// Counts per class, smallest class first.
    pub classes: Vec<ClassMetrics>,
    /// Bytes that the pool requested from the system beyond sample memory.
    pub overhead_bytes: usize,
    /// Bytes that carved buffers take of the arena beyond their capacity: to the end of their last 64 bytes.
    pub padding_bytes: usize,
    /// Sample memory of the arena.
    pub bytes_reserved: usize,
    /// Sample memory that the arena may grow to.
    pub bytes_limit: usize,
    /// Free arena in coalesced runs shorter than the largest class.
    pub short_run_samples: usize,
    /// Longest free run of the arena.
    pub largest_free_run_samples: usize,
    /// Leases reclaimed from dead participants.
    pub leases_reclaimed: u64,
    /// Buffers reported as leaked.
    pub buffers_leaked: u64,
}

impl PoolUsage {
    /// The sum of one count over all classes; it stops at the largest number.
    #[must_use]
    pub fn sum(&self, count: impl Fn(&ClassMetrics) -> u64) -> u64 {
        let counts = self.classes.iter().map(count);
        counts.fold(0, u64::saturating_add)
    }
}
