//! A size class with a number of buffers, and the margin over such a number.

pub use wavepool_core::ClassBuffers;
use wavepool_core::internal::MAX_NEWLY_CARVED;
pub(crate) use wavepool_core::internal::with_margin;

/// The most buffers of one class that a half can receive at a time, when a pool is built or grown.
pub const MAX_BUFFERS_AT_ONCE: u32 = MAX_NEWLY_CARVED as u32;
