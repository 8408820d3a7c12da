//! The errors of the pool: numbers, no strings, nothing allocated.

use core::fmt;

use crate::limits::MOST_BYTES;

/// Why a pool operation was refused, with numbers, and what to do.
///
/// A refused request on the real-time half has changed nothing, nor has a refused lease. A refused change on the
/// control half leaves no buffer carved; memory it took from the system, or a half it made, is used by the next one. A
/// refused vector was freed, and a full lease table has released the buffer.
///
/// # Real-time
/// Small and `Copy`: making, returning and dropping one never allocates. (`Display` and
/// [`source`](core::error::Error::source) are for the control side.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolError {
    /// Every buffer of the class is in use, or kept for critical acquires.
    Exhausted {
        /// Requested samples.
        requested: u32,
        /// Size of the class that would have served the request.
        class_samples: u32,
        /// Buffers of that class this half owns.
        carved: u32,
    },
    /// The request is larger than the largest size class.
    TooLarge {
        /// Requested samples.
        requested: usize,
        /// The largest request that can succeed.
        largest: usize,
    },
    /// The request was for no samples.
    ZeroLength,
    /// The request was for a planar buffer of no channels, or of more than a handle has room for.
    ChannelCount {
        /// Requested channels.
        requested: usize,
        /// The most a planar buffer has.
        most: usize,
    },
    /// Growing would exceed the limit of the builder.
    LimitReached {
        /// Requested samples.
        requested: usize,
        /// Samples that are available to such buffers: free ones, and those that the pool may still take.
        available: usize,
        /// The limit in samples.
        limit: usize,
    },
    /// A fixed table of the pool is full.
    TableFull {
        /// The table.
        table: Table,
        /// Its size.
        capacity: usize,
    },
    /// The system had no memory left, or refused to map or lock it.
    OutOfMemory {
        /// Requested bytes.
        bytes: usize,
    },
    /// Invalid size classes: none, too many, an empty one, one twice, or not in order.
    BadClasses {
        /// Classes given.
        count: usize,
        /// The smallest of them.
        smallest: usize,
        /// The most a pool has.
        most: usize,
    },
    /// One class was given twice in a mix.
    ClassGivenTwice {
        /// The class.
        samples: usize,
    },
    /// The pool has no such class.
    UnknownClass {
        /// The class that was given.
        samples: usize,
        /// The nearest class of the pool.
        nearest: usize,
    },
    /// No half is attached that could take new buffers of the class.
    NoHalf {
        /// The class.
        class_samples: u32,
    },
    /// More buffers of one class at once than an inbox can count.
    TooManyAtOnce {
        /// Requested buffers.
        requested: usize,
        /// The most at once.
        most: usize,
    },
    /// The number names no live lease: it was forged, released before, or belongs to an earlier use of its entry.
    StaleLease {
        /// The number given.
        lease: u32,
    },
    /// The lease belongs to another participant.
    WrongHolder {
        /// The number given.
        lease: u32,
        /// Number of the participant that the lease belongs to.
        holder: u8,
        /// Number of the participant whose table was used.
        asked: u8,
    },
    /// The number of a participant that cannot exist: leases carry it in four bits.
    NoSuchHolder {
        /// The number given.
        holder: u8,
        /// The largest number of a participant.
        most: u8,
    },
    /// The lease is live, but its state does not allow the operation.
    IllegalMove {
        /// The number given.
        lease: u32,
        /// The state of the lease.
        state: LeaseState,
        /// The operation.
        asked: LeaseMove,
    },
    /// A vector too small for every class; it was freed.
    VectorTooSmall {
        /// The vector's capacity in samples.
        capacity: usize,
        /// The smallest that is kept.
        smallest: usize,
    },
    /// A vector too large to be kept; it was freed.
    VectorTooLarge {
        /// The vector's capacity in samples.
        capacity: usize,
        /// The largest that is kept.
        most: usize,
    },
    /// The memory limit has no room for the vector; it was freed.
    NoRoomForVector {
        /// The vector's capacity in samples.
        capacity: usize,
        /// Samples the pool may still take.
        available: usize,
    },
}

impl fmt::Display for PoolError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted {
                requested,
                class_samples,
                carved,
            } => write!(
                out,
                "no idle buffer for {requested} samples: all {carved} of class {class_samples} are in use or reserved; release one, or `PoolControl::grow` the class"
            ),
            Self::TooLarge { requested, largest } => write!(
                out,
                "{requested} samples asked for, at most {largest} can be had: ask for less, or build the pool with a larger class"
            ),
            Self::ZeroLength => {
                out.write_str("a buffer of no samples was asked for: ask for 1 or more")
            }
            Self::ChannelCount { requested, most } => write!(
                out,
                "{requested} channels asked for: a planar buffer has 1 to {most}"
            ),
            Self::LimitReached {
                requested,
                available,
                limit,
            } => write!(
                out,
                "{requested} samples asked for, {available} left of the limit of {limit}: trim another class, or raise `limit_samples`"
            ),
            Self::TableFull { table, capacity } => write!(out, "all {capacity} {table}"),
            Self::OutOfMemory { bytes } => write!(
                out,
                "the system refused {bytes} bytes of memory: build the pool with fewer buffers, or grow it by less (locked memory: raise RLIMIT_MEMLOCK)"
            ),
            Self::BadClasses {
                count,
                smallest,
                most,
            } => write!(
                out,
                "{count} size classes given, smallest {smallest} samples: give 1 to {most} sizes above zero, ascending, each once"
            ),
            Self::ClassGivenTwice { samples } => write!(
                out,
                "class {samples} is given twice: add its numbers of buffers up"
            ),
            Self::UnknownClass { samples, nearest } => write!(
                out,
                "there is no class of {samples} samples, the nearest has {nearest}: `PoolControl::classes` lists them"
            ),
            Self::NoHalf { class_samples } => write!(
                out,
                "no half is attached that takes buffers of class {class_samples}: `PoolControl::attach` one"
            ),
            Self::TooManyAtOnce { requested, most } => write!(
                out,
                "{requested} buffers of one class asked for at once: ask for {most} at most, then for more"
            ),
            Self::StaleLease { lease } => write!(
                out,
                "lease {lease:#x} is not live: it was released before, or never given out; acquire a buffer for a new one"
            ),
            Self::WrongHolder {
                lease,
                holder,
                asked,
            } => write!(
                out,
                "lease {lease:#x} belongs to participant {holder}, not to {asked}: use the table of that participant"
            ),
            Self::NoSuchHolder { holder, most } => write!(
                out,
                "participant {holder} cannot have leases: participants are numbered from 0 to {most}"
            ),
            Self::IllegalMove {
                lease,
                state,
                asked,
            } => write!(
                out,
                "lease {lease:#x} is {state}, which does not allow {asked}"
            ),
            Self::VectorTooSmall { capacity, smallest } => write!(
                out,
                "a vector of {capacity} samples was freed, the smallest class has {smallest}: recycle what `get_or_create` gave"
            ),
            Self::VectorTooLarge { capacity, most } => write!(
                out,
                "a vector of {capacity} samples was freed, none above {most} is kept: build the pool with a larger class"
            ),
            Self::NoRoomForVector {
                capacity,
                available,
            } => write!(
                out,
                "a vector of {capacity} samples was freed, the limit leaves {available}: raise `limit_samples`"
            ),
        }
    }
}

impl core::error::Error for PoolError {}

impl PoolError {
    /// Whether the same call can succeed later, after others have released something.
    ///
    /// # Example
    /// ```
    /// # use wavepool_core::*;
    /// # let (mut control, mut audio) = BufferPool::builder().class(256, 4).build()?;
    /// let _all = [(); 4].map(|()| audio.acquire(256).unwrap());
    /// assert!(audio.acquire(256).is_err_and(|error| error.is_retryable()));
    /// assert!(audio.acquire(0).is_err_and(|error| !error.is_retryable()));
    /// # Ok::<(), wavepool_core::PoolError>(())
    /// ```
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::Exhausted { carved, .. } => *carved > 0,
            Self::TableFull { .. } => true,
            Self::OutOfMemory { bytes } => *bytes <= MOST_BYTES,
            Self::LimitReached {
                requested, limit, ..
            } => *requested <= *limit,
            _ => false,
        }
    }
}

/// The pool's tables of fixed size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Buffers that a pool can describe.
    Slots,
    /// Real-time halves of one control half.
    Halves,
    /// Size classes of all halves together.
    SizeClasses,
    /// Memory regions.
    Regions,
    /// Leases of one participant.
    Leases,
    /// Newly carved buffers that wait in one class of a half for its owner.
    Inbox,
}

impl Table {
    /// Earlier name of [`SizeClasses`](Self::SizeClasses).
    #[expect(non_upper_case_globals, reason = "It was a variant.")]
    pub const Shelves: Self = Self::SizeClasses;
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Slots => "buffers are carved that the limit has room to describe: trim a class",
            Self::Halves => "real-time halves are attached: drop one first",
            Self::SizeClasses => {
                "classes of all halves are there: `PoolControl::step` until old ones have drained"
            }
            Self::Regions => {
                "memory regions are taken, and what is free lies in pieces: trim a class, or build with `reserve_samples`"
            }
            Self::Leases => "leases are open: release one, or make the table larger",
            Self::Inbox => {
                "new buffers of the class wait for their half: let it begin a quantum and acquire"
            }
        })
    }
}

/// The state of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LeaseState {
    /// Free: the number of the lease is stale.
    Recycled,
    /// Leased, without a view of the samples.
    Allocated,
    /// In use: there is a view of the samples.
    Viewed,
}

impl fmt::Display for LeaseState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Recycled => "recycled (acquire a new one)",
            Self::Allocated => "allocated (nobody looks at it)",
            Self::Viewed => "viewed (end the view first)",
        })
    }
}

/// The operations on a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LeaseMove {
    /// Opens a view of the samples.
    View,
    /// Ends the view.
    EndView,
    /// Releases the buffer.
    Release,
    /// Opens another lease on the same samples.
    Share,
    /// Ends this lease and gives the buffer to another participant.
    Cross,
}

impl fmt::Display for LeaseMove {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
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
#[path = "error_tests.rs"]
mod tests;
