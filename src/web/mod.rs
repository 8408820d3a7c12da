//! The browser host: one object for the control worker ([`Host`]), numeric exports for the worklet (`tap`) and for
//! JavaScript's other threads (`reader`: windows of a tap; `participant`: buffers of its own).
//!
//! Two builds, one API. **Shared**: the host opens a stream and hands the tap's number to the worklet, and the reader's
//! to the consumer; both run on the same memory. **Transfer**: the worklet boots an instance of its own and sends windows,
//! counts and events in blocks.

mod activity;
mod allocator;
mod arrivals;
mod block_header;
mod closed;
mod closing;
#[cfg(test)]
mod ended_threads;
mod exercise;
mod exports;
mod feed;
mod feeds;
mod figures;
mod host;
mod inspection;
mod memory;
mod participant;
mod participants;
mod reader;
mod receiver;
mod recording;
mod refusal;
mod sender;
mod snapshot;
mod stream;
mod stream_counts;
mod tap;
mod thread_memory;
mod tracks;
mod unit_costs;

pub use allocator::CountingAllocator;
pub use host::Host;
