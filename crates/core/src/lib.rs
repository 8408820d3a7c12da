//! The core of Wavepool: a pool of sample buffers for real-time audio, `no_std`, without dependencies.
//!
//! [`BufferPool::builder`] makes two halves. [`RealtimePool`] belongs to the audio thread: acquire, `Scratch` and release
//! of its own buffers are wait-free, and no method allocates, locks or makes a system call. [`PoolControl`] belongs to
//! any other thread: it allocates, grows, shrinks and counts. A handle may be dropped on any thread.
//!
//! ```
//! use wavepool_core::BufferPool;
//!
//! let (control, mut audio) = BufferPool::builder().class(512, 8).class(2048, 4).build()?;
//! audio.begin_quantum(0);
//! let mut block = audio.acquire_silent(480)?;
//! block[0] = 1.0;
//! let shared = block.freeze();
//! let reader = std::thread::spawn(move || shared[0]);
//! assert_eq!(reader.join().unwrap(), 1.0);
//! assert_eq!(control.leased(), 0);
//! # Ok::<(), wavepool_core::PoolError>(())
//! ```
//!
//! The crate `wavepool` adds events on a typed bus, metrics, sizing by demand, audio processing and the browser.
//!
//! # Features
//! - `std`: debug builds check the accounts when the control half is dropped, unless the thread panics.
//! - `serde`: JSON forms of reports, counts and sizing steps.
//! - `mapped`, `page-lock`: sample memory in pages of its own; need `std` and memmap2.

#![cfg_attr(not(any(test, loom)), no_std)]
#![cfg_attr(not(test), deny(clippy::disallowed_types))]

extern crate alloc;
#[cfg(all(any(feature = "std", feature = "stop-threads"), not(any(test, loom))))]
extern crate std;

mod control;
mod error;
mod limits;
mod memory;
mod observer;
mod realtime;
#[doc(hidden)]
pub mod sync;
#[doc(hidden)]
mod unshared;

pub use control::accounts::{LeakReport, LeakSite, SlotInfo};
pub use control::arena_map::{ArenaMap, ArenaSpan, SpanState};
pub use control::defragmentation::DefragmentationResult;
pub use control::housekeeping::StepReport;
pub use control::pool_builder::{BufferPool, DEFAULT_MIX, PoolBuilder};
pub use control::pool_control::PoolControl;
pub use control::reclaim::Reclaimed;
pub use control::sizing_step::{ClassBuffers, SizingStep};
pub use control::usage::{ClassMetrics, PoolUsage};
pub use error::{LeaseMove, LeaseState, PoolError, Table};
pub use memory::MemorySource;
pub use observer::{
    BufferLeaked, BufferPoolAllocation, BufferPoolRecycling, LeasesReclaimed, PoolExhausted,
    PoolGrown, PoolObserver,
};
pub use realtime::buffer::{AudioMetadata, BufferRef, PooledBuffer, Scratch};
pub use realtime::class_table::MAX_CLASSES;
pub use realtime::exhaustion::ExhaustionPolicy;
pub use realtime::lease::{LEASE_BITS, Lease, LeaseTable, LeasedBuffer, MAX_HOLDERS, MAX_LEASES};
pub use realtime::planar::{MAX_CHANNELS, PlanarBuffer, PlanarRef};
pub use realtime::raw_handle::RELEASED_BITS;
pub use realtime::realtime_pool::RealtimePool;

/// For the crate `wavepool` alone: no part of the interface.
#[doc(hidden)]
pub mod internal {
    #[cfg(all(feature = "mapped", not(target_arch = "wasm32")))]
    pub use crate::control::foreign::ForeignBuffers;
    pub use crate::control::own_halves::OwnClass;
    pub use crate::control::sizing_step::with_margin;
    pub use crate::control::stretches::MOST_STRETCHES;
    pub use crate::limits::MOST_BYTES;
    pub use crate::realtime::class_table::BUCKETS;
    pub use crate::realtime::free_list::MAX_NEWLY_CARVED;
    pub use crate::realtime::slot_table::MAX_SAMPLES;
    pub use crate::sync;
    pub use crate::unshared::Unshared;
}
