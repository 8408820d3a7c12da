//! What the control side of the bus refuses.

/// Why the bus refused. None of these can happen within `publish`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// No more publishers; dropping one (and pumping what it left) makes room.
    #[error("the bus has {limit} publishers, which is its limit (BusConfig::max_publishers)")]
    TooManyPublishers {
        /// [`BusConfig::max_publishers`](super::BusConfig).
        limit: usize,
    },
    /// A lane is asked to have more cells than any may have.
    #[error("`BusConfig::{field}` is {cells}, but a lane has at most {limit} cells")]
    LaneTooLarge {
        /// Which field of [`BusConfig`](super::BusConfig).
        field: &'static str,
        /// Its value.
        cells: usize,
        /// [`MAX_LANE_CELLS`](super::MAX_LANE_CELLS).
        limit: usize,
    },
    /// The lanes of a publisher do not fit into memory.
    #[error(
        "there is no memory for a lane of {cells} cells of 64 bytes (`BusConfig::{field}`); make it smaller"
    )]
    NoMemory {
        /// Which field of [`BusConfig`](super::BusConfig).
        field: &'static str,
        /// Its value.
        cells: usize,
    },
    /// A queue is asked to hold more events than any may hold.
    #[error("a queue of {capacity} events is too long: at most {limit}")]
    QueueTooLong {
        /// What was asked for.
        capacity: usize,
        /// [`MAX_QUEUE_EVENTS`](super::MAX_QUEUE_EVENTS).
        limit: usize,
    },
    /// Carried cells came while a handler was running. Nothing was delivered; the same cells may be injected later.
    #[error(
        "another call is delivering events of this bus; none of these cells was delivered: inject them when it has returned"
    )]
    Delivering,
    /// No more event types.
    #[error("the bus knows {limit} event types, which is its limit")]
    TooManyTypes {
        /// The fixed limit.
        limit: usize,
    },
    /// No more inline handlers on this publisher.
    #[error("this publisher has {limit} inline handlers, which is its limit")]
    TooManyInlineHandlers {
        /// [`MAX_INLINE_HANDLERS`](super::MAX_INLINE_HANDLERS).
        limit: usize,
    },
    /// Two types claim one name, or two names one number.
    #[error(
        "event type `{name}` cannot be declared: `{taken_by}` has the same number {id:#010x}; rename one"
    )]
    NameTaken {
        /// The refused type's name.
        name: &'static str,
        /// The name of the type that was there first.
        taken_by: &'static str,
        /// The number both have.
        id: u32,
    },
    /// Carried cells name a type that was not declared here.
    #[error(
        "carried cell {index} is of event type {id:#010x}, which this instance has not declared"
    )]
    UnknownEvent {
        /// The type's number.
        id: u32,
        /// Which cell. None was delivered.
        index: usize,
    },
    /// Carried bytes that are not whole cells.
    #[error("{bytes} carried bytes are not whole cells of {cell_bytes} bytes")]
    TornCells {
        /// Bytes given.
        bytes: usize,
        /// Bytes in one carried cell.
        cell_bytes: usize,
    },
}
