//! The atomic orderings of the host: each constant names the operation that it pairs with, and what breaks without it. For
//! the mutants see the pool core's `orderings.rs`.

use crate::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release};

/// Claiming a free slot for a new value. Pairs with [`SLOT_TAKE`], which freed the slot: the last value was read
/// before this one is stored.
pub(crate) const SLOT_CLAIM: Ordering = Acquire;

/// Opening a slot whose value was just stored. Pairs with [`SLOT_ENTER`] and [`SLOT_TAKE`], which read the value.
pub(crate) const SLOT_OPEN: Ordering = Release;

/// Entering a slot. Pairs with [`SLOT_OPEN`] and [`SLOT_EXIT`]: the value is seen as it was left.
pub(crate) const SLOT_ENTER: Ordering = Acquire;

/// Ending a stay in a slot. Pairs with [`SLOT_ENTER`] and [`SLOT_TAKE`]: the next thread sees the value as it was left.
/// Weaker, two threads write the value without an order between them.
pub(crate) const SLOT_EXIT: Ordering = if cfg!(wavepool_mutant = "slot_exit_relaxed") {
    Relaxed
} else {
    Release
};

/// A thread leaves its slot for good. Pairs with [`SLOT_IS_CLOSED`] and [`SLOT_TAKE`]: what the thread did before is
/// seen by whoever takes the value back.
pub(crate) const SLOT_CLOSE: Ordering = Release;

/// The host looks whether a thread has left its slot. Pairs with [`SLOT_CLOSE`].
pub(crate) const SLOT_IS_CLOSED: Ordering = Acquire;

/// Taking a value out of its slot. Acquire pairs with [`SLOT_EXIT`], [`SLOT_CLOSE`] and [`SLOT_OPEN`]. Release pairs
/// with [`SLOT_CLAIM`].
pub(crate) const SLOT_TAKE: Ordering = AcqRel;
