//! The browser host: one object for the control worker ([`Host`]), numeric exports for the worklet (`tap`) and for other
//! threads of JavaScript (`reader`: windows of a tap; `participant`: buffers of its own).
//!
//! There are two modes with one API. **Shared**: all threads run on the same memory. The host opens a stream, the worklet gets
//! the number of its tap, and the consumer the number of its reader. **Transfer**: the worklet boots an instance of its own,
//! and sends windows, counts and events in blocks.

mod activity;
mod allocator;
mod arrivals;
mod block_header;
mod closed;
mod closing;
mod dashboard_events;
#[cfg(test)]
mod ended_threads;
mod exercise;
mod exports;
mod feeds;
mod figures;
mod host;
mod host_feeds;
mod host_participants;
mod host_streams;
mod inspection;
mod memory;
mod options;
mod participant;
mod participants;
mod reader;
mod receiver;
mod recording;
mod refusal;
mod refusal_codes;
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
