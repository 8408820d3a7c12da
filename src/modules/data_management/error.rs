//! What the pool answers when it cannot do what was asked: numbers, no strings, nothing allocated.

use thiserror::Error;

/// Why a pool operation was refused. Nothing has changed when one of these comes back.
///
/// # Real-time
/// Small and `Copy`: making, returning and dropping one never allocates. (`Display` and [`source`](std::error::Error::source)
/// are for the control side.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PoolError {
    /// Every buffer of the class is in somebody's hands (or kept for critical callers).
    #[error(
        "no idle buffer for {requested} samples: class {class_samples} has all {carved} buffers in use or reserved"
    )]
    Exhausted {
        /// Samples asked for.
        requested: u32,
        /// Size of the class that would have served them.
        class_samples: u32,
        /// Buffers of that class this half owns.
        carved: u32,
    },
    /// The request is larger than the largest size class.
    #[error("{requested} samples asked for, the largest class has {largest}")]
    TooLarge {
        /// Samples asked for.
        requested: usize,
        /// The largest request that can succeed.
        largest: usize,
    },
    /// A buffer of no samples was asked for.
    #[error("a buffer needs at least one sample")]
    ZeroLength,
    /// A planar buffer of no channels, or of more than a handle can carry.
    #[error("{requested} channels asked for, a planar buffer has 1 to {most}")]
    ChannelCount {
        /// Channels asked for.
        requested: usize,
        /// The most a planar buffer has.
        most: usize,
    },
    /// Growing would exceed what the builder allowed.
    #[error("{requested} samples asked for, {available} left of the limit of {limit}")]
    LimitReached {
        /// Samples asked for.
        requested: usize,
        /// Samples the pool may still take.
        available: usize,
        /// The limit in samples.
        limit: usize,
    },
    /// A fixed table of the pool is full.
    #[error("{table} table is full: {capacity} entries")]
    TableFull {
        /// Which one.
        table: Table,
        /// Its size.
        capacity: usize,
    },
    /// The system had no memory left, or refused to map or lock it.
    #[error("the system refused {bytes} bytes of memory")]
    OutOfMemory {
        /// Bytes asked for.
        bytes: usize,
    },
    /// The configuration names no class, a class twice, an empty one, or more than 16.
    #[error(
        "{count} size classes given, smallest {smallest} samples: 1 to {most} distinct sizes above zero are possible"
    )]
    BadClasses {
        /// Classes given.
        count: usize,
        /// The smallest of them.
        smallest: usize,
        /// The most a pool has.
        most: usize,
    },
    /// The pool has no such class.
    #[error("there is no class of {samples} samples")]
    UnknownClass {
        /// The class asked for.
        samples: usize,
    },
    /// The number does not name a live lease: it was forged, released before, or belongs to an earlier life of its entry.
    #[error("lease {lease:#x} is not live")]
    StaleLease {
        /// The number given.
        lease: u32,
    },
    /// The lease belongs to another participant.
    #[error("lease {lease:#x} belongs to holder {holder}, not to {asked}")]
    WrongHolder {
        /// The number given.
        lease: u32,
        /// Whose it is, by its number.
        holder: u8,
        /// Whose table was asked.
        asked: u8,
    },
    /// The lease is live, but not in a state in which this may be done.
    #[error("lease {lease:#x} is {state}: {asked} is not allowed")]
    IllegalMove {
        /// The number given.
        lease: u32,
        /// The state it is in.
        state: LeaseState,
        /// What was asked of it.
        asked: LeaseMove,
    },
    /// A vector too small for every class; it was freed.
    #[error("a vector of {capacity} samples was freed: the smallest class has {smallest}")]
    VectorTooSmall {
        /// The vector's capacity in samples.
        capacity: usize,
        /// The smallest that is kept.
        smallest: usize,
    },
    /// A vector too large to be kept; it was freed.
    #[error("a vector of {capacity} samples was freed: none above {most} is kept")]
    VectorTooLarge {
        /// The vector's capacity in samples.
        capacity: usize,
        /// The largest that is kept.
        most: usize,
    },
    /// The memory limit has no room for the vector; it was freed.
    #[error(
        "a vector of {capacity} samples was freed: the limit leaves {available}; `limit_samples` raises it"
    )]
    NoRoomForVector {
        /// The vector's capacity in samples.
        capacity: usize,
        /// Samples the pool may still take.
        available: usize,
    },
}

impl PoolError {
    /// Whether the same call can succeed later without anybody changing the configuration.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Exhausted { .. }
                | Self::TableFull { .. }
                | Self::OutOfMemory { .. }
                | Self::LimitReached { .. }
        )
    }
}

/// The pool's tables of fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Buffers a pool can describe.
    Slots,
    /// Real-time halves on one control.
    Halves,
    /// Size classes of all halves together.
    Shelves,
    /// Memory regions.
    Regions,
    /// Leases of one holder.
    Leases,
    /// Fresh buffers that wait in one class of a half for its owner.
    Inbox,
    /// Named audio buffers.
    AudioBuffers,
}

impl core::fmt::Display for Table {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Slots => "slot",
            Self::Halves => "half",
            Self::Shelves => "shelf",
            Self::Regions => "region",
            Self::Leases => "lease",
            Self::Inbox => "inbox",
            Self::AudioBuffers => "audio buffer",
        })
    }
}

/// Where a lease is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LeaseState {
    /// Free: its number is stale.
    Recycled,
    /// Leased, nobody looks at the samples.
    Allocated,
    /// In use: a view of the samples was handed out.
    Viewed,
}

impl core::fmt::Display for LeaseState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Recycled => "recycled",
            Self::Allocated => "allocated",
            Self::Viewed => "viewed",
        })
    }
}

/// What can be asked of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LeaseMove {
    /// Look at the samples.
    View,
    /// Stop looking.
    EndView,
    /// Give the buffer back.
    Release,
    /// Open another lease on the same samples.
    Share,
    /// End this lease and hand the buffer to another holder.
    Cross,
}

impl core::fmt::Display for LeaseMove {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::View => "a view",
            Self::EndView => "ending a view",
            Self::Release => "a release",
            Self::Share => "a share",
            Self::Cross => "a crossing",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_the_numbers_and_retry_is_told() {
        let error = PoolError::TooLarge {
            requested: 9000,
            largest: 4096,
        };
        assert_eq!(
            error.to_string(),
            "9000 samples asked for, the largest class has 4096"
        );
        assert!(!error.is_retryable());
        let error = PoolError::Exhausted {
            requested: 300,
            class_samples: 512,
            carved: 64,
        };
        assert!(error.to_string().contains("512"));
        assert!(error.is_retryable());
        assert!(size_of::<PoolError>() <= 32);
    }
}
