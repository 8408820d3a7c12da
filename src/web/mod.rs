//! The browser host: numeric exports for the worklet (`tap`), one object for the control worker ([`Host`]).
//!
//! Two builds, one API. **Shared**: the host opens a stream and hands the tap's address to the worklet, which runs on the
//! same memory. **Transfer**: the worklet boots an instance of its own and sends windows, counts and events in blocks.

mod block_header;
mod exercise;
mod feed;
mod host;
mod inspection;
mod memory;
mod panic_note;
mod receiver;
mod recording;
mod sender;
mod stream_counts;
mod tap;
mod tracks;

pub use host::Host;
