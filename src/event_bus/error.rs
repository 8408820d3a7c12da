//! What the control side of the bus refuses.

/// Why the bus refused. None of these can happen within `publish`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BusError {
    /// No more publishers; dropping one (and pumping what it left) makes room.
    #[error("the bus has {limit} publishers, which is its limit (BusConfig::max_publishers)")]
    TooManyPublishers {
        /// [`BusConfig::max_publishers`](super::BusConfig).
        limit: usize,
    },
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
        /// Which cell; those before it were delivered.
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
