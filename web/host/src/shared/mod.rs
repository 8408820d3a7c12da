//! What several threads use: objects by number, counts in shared words, the header of a block.

pub(crate) mod allocator;
pub(crate) mod block_header;
pub(crate) mod capture_fields;
pub(crate) mod exports;
pub(crate) mod platform;
pub(crate) mod stream_counts;
mod thread_memory;
pub(crate) mod unit_costs;
