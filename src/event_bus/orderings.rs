//! The atomic orderings of the event bus: each constant names the operation that it pairs with, and what breaks without it.

use crate::sync::atomic::Ordering::{self, Acquire, Release};

/// The writer's new end of a lane. Pairs with [`LANE_TAIL_READ`]: a reader that sees the position sees the cell before it.
/// Weaker, it reads a cell that was not written yet.
pub(super) const LANE_TAIL_PUBLISH: Ordering = Release;

/// The reader's look at the end of a lane. Pairs with [`LANE_TAIL_PUBLISH`].
pub(super) const LANE_TAIL_READ: Ordering = Acquire;

/// The reader's new beginning of a lane. Pairs with [`LANE_HEAD_READ`]: the reader's read of the cell is over before the
/// writer overwrites it. Weaker, an event is overwritten while it is read.
pub(super) const LANE_HEAD_PUBLISH: Ordering = Release;

/// The writer's look at the beginning of a full lane. Pairs with [`LANE_HEAD_PUBLISH`].
pub(super) const LANE_HEAD_READ: Ordering = Acquire;

/// An order to the dispatcher's thread. Pairs with [`DISPATCHER_ORDER_READ`]: the thread sees the events that were made
/// due before the order was given. Weaker, it ends without delivering them.
#[cfg(not(target_arch = "wasm32"))]
pub(super) const DISPATCHER_ORDER: Ordering = Release;

/// The dispatcher's thread reads its order. Pairs with [`DISPATCHER_ORDER`].
#[cfg(not(target_arch = "wasm32"))]
pub(super) const DISPATCHER_ORDER_READ: Ordering = Acquire;
