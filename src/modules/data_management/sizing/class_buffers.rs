//! A size class with a number of buffers, and the margin over such a number.

pub use crate::modules::data_management::control::sizing_step::ClassBuffers;
pub(crate) use crate::modules::data_management::control::sizing_step::with_margin;
use crate::modules::data_management::realtime::free_list::MAX_NEWLY_CARVED;

/// The most buffers of one class that a half can receive at a time, when a pool is built or grown.
pub const MAX_BUFFERS_AT_ONCE: u32 = MAX_NEWLY_CARVED as u32;
