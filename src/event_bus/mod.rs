//! Typed events in three priority lanes.
//!
//! A [`Publisher`] belongs to one thread and puts small `Copy` values into bounded lanes, wait-free. The dispatching
//! side takes them out ([`TypedEventBus::pump`], or a [`DispatcherThread`] natively), Critical first, and calls the
//! subscribers.
//!
//! Promised:
//! - publishing does not allocate, lock, wait, wake anybody or make a system call;
//! - when nobody subscribes to a type, nothing is written;
//! - events of one publisher and one lane arrive in order, each at most once;
//! - a full lane drops what comes next, counts it, and [`EventsDropped`] tells subscribers;
//! - a panicking subscriber is caught (natively) and counted, also where what it held is dropped, and the others go on;
//! - handlers run, and are dropped, while no lock of the bus is held;
//! - pumps and shutdown end, also while handlers or faster publishers go on publishing;
//! - a handler that does not return is told to whoever asks [`TypedEventBus::stuck_handler`];
//! - a subscription ends when its guard is dropped.
//!
//! Not promised: an order between lanes or between publishers; delivery when nobody pumps; isolation from a handler
//! that takes long: handlers share the dispatching thread, and while one sleeps, lanes fill and drop. Whoever cannot be
//! brief takes an [`EventQueue`].
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
mod carry;
mod cell;
mod clock;
mod dispatch;
mod error;
mod event;
mod interest;
mod lane;
#[cfg(all(test, loom))]
mod loom_models;
mod orderings;
mod publisher;
mod queue;
mod state;
mod stats;
mod subscriber;
#[cfg(test)]
mod test_events;
#[cfg(not(target_arch = "wasm32"))]
mod thread;
mod watchdog;

pub use bus::{BusConfig, EventType, MAX_LANE_CELLS, Subscription, TypedEventBus};
pub use carry::CARRIED_CELL_BYTES;
pub use dispatch::PumpReport;
pub use error::BusError;
pub use event::{Event, EventRecord, EventsDropped, MAX_EVENT_BYTES, Priority, fnv1a};
pub use publisher::{MAX_INLINE_HANDLERS, Published, Publisher};
pub use queue::{EventQueue, MAX_QUEUE_EVENTS};
pub use stats::{BusStats, LaneStats, Latency};
#[cfg(not(target_arch = "wasm32"))]
pub use thread::{DispatcherHealth, DispatcherThread};
pub use watchdog::{STUCK_AFTER, StuckHandler};
