//! A size class with a number of buffers, and the margin over such a number.

use serde::{Deserialize, Serialize};

use crate::modules::data_management::realtime::free_list::MAX_NEWLY_CARVED;

/// The margin over a watermark: this share, and at least one buffer.
const MARGIN: f64 = 0.06;
/// The most buffers of one class that a half can receive at a time, when a pool is built or grown.
pub const MAX_BUFFERS_AT_ONCE: u32 = MAX_NEWLY_CARVED as u32;

/// A class and a number of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClassBuffers {
    /// Capacity of the class.
    pub samples: usize,
    /// Number of buffers.
    pub buffers: u32,
}

impl ClassBuffers {
    /// The capacity of all of them in bytes.
    #[must_use]
    pub fn bytes(self) -> usize {
        let buffers = self.buffers as usize;
        self.samples
            .saturating_mul(buffers)
            .saturating_mul(size_of::<f32>())
    }
}

/// The number with its margin.
pub(crate) fn with_margin(buffers: u64) -> u64 {
    buffers.saturating_add(((buffers as f64 * MARGIN).ceil() as u64).max(1))
}
