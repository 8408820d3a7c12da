//! Every memory ordering of the event bus that is stronger than `Relaxed`, each with the access that it pairs with.
//!
//! Counters, timestamps and numbers of subscribers are `Relaxed` where they stand: no other memory is read on the strength
//! of their values.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.

use crate::sync::atomic::Ordering;

/// `LaneWriter::push` stores the tail after it has written the cell. Pairs with [`TAIL_LOAD`].
///
/// With `Relaxed` the reader could see the new tail before the bytes of the cell, and would deliver an event that was never
/// written.
pub(super) const TAIL_STORE: Ordering = Ordering::Release;

/// `LaneReader::len` loads the tail before a cell is read. Pairs with [`TAIL_STORE`].
///
/// With `Relaxed` the read of the cell could happen before the load, and would return the bytes of an older event.
pub(super) const TAIL_LOAD: Ordering = Ordering::Acquire;

/// `LaneReader::pop` stores the head after it has copied the cell. Pairs with [`HEAD_LOAD`].
///
/// With `Relaxed` the writer could see the cell as free while it is still being copied, and would overwrite it.
pub(super) const HEAD_STORE: Ordering = Ordering::Release;

/// `LaneWriter::push` loads the head before it writes into a lane that looked full. Pairs with [`HEAD_STORE`].
///
/// With `Relaxed` the write could happen before the reader has finished copying the cell.
pub(super) const HEAD_LOAD: Ordering = Ordering::Acquire;

/// Dropping a `DispatcherThread` stores its command after it has marked the events to flush. Pairs with [`COMMAND_LOAD`].
///
/// The marks are behind a lock of their own, so that `Relaxed` would lose no memory; the pair states the order of the two
/// steps without that lock.
#[cfg(not(target_arch = "wasm32"))]
pub(super) const COMMAND_STORE: Ordering = Ordering::Release;

/// The dispatcher's thread loads its command before it flushes. Pairs with [`COMMAND_STORE`].
#[cfg(not(target_arch = "wasm32"))]
pub(super) const COMMAND_LOAD: Ordering = Ordering::Acquire;
