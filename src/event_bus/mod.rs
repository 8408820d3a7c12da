//! Typed events in three priority lanes.
//!
//! A [`Publisher`] belongs to one thread and pushes small `Copy` values into bounded lanes, wait-free. The dispatching
//! side pops them ([`TypedEventBus::pump`], or a [`DispatcherThread`] natively), Critical first, and calls the
//! subscribers.
//!
//! Promised:
//! - publishing does not allocate, lock, wait, wake a thread or make a system call;
//! - events of a type without subscribers are not written anywhere;
//! - events of one publisher and one lane are delivered in order, each at most once;
//! - a full lane drops the next events and counts them, and [`EventsDropped`] is published;
//! - a panic in a handler, or in the drop of one, is caught (natively) and counted, and the other subscribers are still called;
//! - handlers run, and are dropped, while no lock of the bus is held;
//! - a pump and a shutdown return, also while handlers or faster publishers keep publishing;
//! - [`TypedEventBus::stuck_handler`] reports a handler that does not return;
//! - a subscription ends when its guard is dropped.
//!
//! Not promised: an order between lanes or between publishers; delivery without calls of `pump`; isolation from a slow
//! handler: handlers share the dispatching thread, and while one of them sleeps, lanes fill up and drop events. A subscriber
//! that takes long uses an [`EventQueue`].
//!
//! ```
//! use wavepool::event_bus::{Event, Priority, TypedEventBus};
//!
//! #[derive(Clone, Copy, serde::Serialize)]
//! struct NoteOn { first_frame: u64, key: u8 }
//! impl Event for NoteOn {
//!     const NAME: &'static str = "NoteOn";
//!     const PRIORITY: Priority = Priority::High;
//! }
//!
//! let bus = TypedEventBus::default();
//! let _guard = bus.subscribe(|note: &NoteOn| assert_eq!(note.key, 69))?;
//! bus.publisher()?.publish(NoteOn { first_frame: 0, key: 69 });
//! assert_eq!(bus.pump(16).delivered, 1);
//! # Ok::<(), wavepool::event_bus::BusError>(())
//! ```

mod bus;
mod cell;
mod clock;
mod config;
mod dispatch;
mod error;
mod event;
mod forwarding;
mod inline_handlers;
mod inner;
mod lane;
#[cfg(all(test, loom))]
mod loom_models;
mod orderings;
mod publisher;
mod queue;
mod shared;
mod state;
mod stats;
mod subscriber;
#[cfg(test)]
mod test_events;
#[cfg(not(target_arch = "wasm32"))]
mod thread;
mod type_table;
mod watchdog;

pub use bus::{EventType, Subscription, TypedEventBus};
pub use config::{BusConfig, MAX_LANE_CELLS};
pub use dispatch::PumpReport;
pub use error::BusError;
pub use event::{Event, EventRecord, EventsDropped, MAX_EVENT_BYTES, Priority};
pub use forwarding::FORWARDED_CELL_BYTES;
/// The earlier name of [`FORWARDED_CELL_BYTES`].
#[doc(hidden)]
pub use forwarding::FORWARDED_CELL_BYTES as CARRIED_CELL_BYTES;
pub use inline_handlers::MAX_INLINE_HANDLERS;
pub use publisher::{Published, Publisher};
pub use queue::{EventQueue, MAX_QUEUE_EVENTS};
pub use stats::{BusStats, LaneStats, Latency};
#[cfg(not(target_arch = "wasm32"))]
pub use thread::{DispatcherHealth, DispatcherThread};
pub use watchdog::{STUCK_AFTER, StuckHandler};
