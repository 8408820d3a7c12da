//! The errors of the bus.

/// Why a call of the bus failed. `publish` never fails with one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// The bus has its largest number of publishers. A dropped publisher counts until its events have been pumped.
    #[error(
        "the bus has {limit} publishers, which is its limit (BusConfig::max_publishers): drop one and pump what it published, or raise the limit"
    )]
    TooManyPublishers {
        /// [`BusConfig::max_publishers`](super::BusConfig).
        limit: usize,
    },
    /// A lane would have too many cells.
    #[error("`BusConfig::{field}` must be at most {limit} cells (got {cells})")]
    LaneTooLarge {
        /// Which field of [`BusConfig`](super::BusConfig).
        field: &'static str,
        /// The value given.
        cells: usize,
        /// [`MAX_LANE_CELLS`](super::MAX_LANE_CELLS).
        limit: usize,
    },
    /// The lanes of a publisher cannot be allocated.
    #[error(
        "a lane of {cells} cells of 64 bytes (`BusConfig::{field}`) cannot be allocated: make it smaller"
    )]
    NoMemory {
        /// Which field of [`BusConfig`](super::BusConfig).
        field: &'static str,
        /// The value given.
        cells: usize,
    },
    /// The capacity of a queue is too large.
    #[error("the capacity of a queue must be at most {limit} events (got {capacity})")]
    QueueTooLong {
        /// The capacity given.
        capacity: usize,
        /// [`MAX_QUEUE_EVENTS`](super::MAX_QUEUE_EVENTS).
        limit: usize,
    },
    /// Forwarded cells were injected while another call was delivering events, on another thread or around this handler. None
    /// of them was delivered; the same cells may be injected later.
    #[error(
        "another call is delivering events of this bus, and none of these cells was delivered: inject them again when it has returned"
    )]
    Delivering,
    /// The bus has its largest number of event types.
    #[error("the bus has {limit} event types, which is the limit")]
    TooManyTypes {
        /// The fixed limit.
        limit: usize,
    },
    /// The publisher has its largest number of inline handlers.
    #[error(
        "this publisher has {limit} inline handlers, which is the limit (MAX_INLINE_HANDLERS): use one handler for several purposes, or `TypedEventBus::subscribe`"
    )]
    TooManyInlineHandlers {
        /// [`MAX_INLINE_HANDLERS`](super::MAX_INLINE_HANDLERS).
        limit: usize,
    },
    /// Two types have the same name, or two names have the same number.
    #[error(
        "event type `{name}` cannot be declared: `{taken_by}` has the same number {id:#010x}; rename one"
    )]
    NameTaken {
        /// The refused type's name.
        name: &'static str,
        /// The name of the type that was declared first.
        taken_by: &'static str,
        /// The number of both.
        id: u32,
    },
    /// A forwarded cell has a type that was not declared on this instance. No cell was delivered.
    #[error(
        "forwarded cell {index} has the event type {id:#010x}, which this instance has not declared: declare the same types on both instances"
    )]
    UnknownEvent {
        /// The type's number.
        id: u32,
        /// The cell's index.
        index: usize,
    },
    /// The forwarded bytes are not whole cells.
    #[error(
        "{bytes} forwarded bytes are not whole cells of {cell_bytes} bytes: pass exactly the bytes that `drain_cells` wrote"
    )]
    TornCells {
        /// Bytes given.
        bytes: usize,
        /// Bytes of one forwarded cell.
        cell_bytes: usize,
    },
}
