//! The atomic orderings outside the pool core and the event bus, which have files of their own: each constant names the
//! operation that it pairs with, and what breaks without it. For the mutants see the pool core's `orderings.rs`.

use super::atomic::Ordering::{self, Acquire, Release};

/// A reader of windows has popped one. Pairs with [`WINDOW_TAKE_IS_UNDER_WAY`]: a thread that takes over from a dead reader
/// sees everything that the pop stored.
pub(crate) const WINDOW_TAKE_END: Ordering = Release;

/// A thread that takes over from a dead reader checks whether it died inside a pop. Pairs with [`WINDOW_TAKE_END`]. Weaker, a
/// half-done pop passes for a finished one, and its window is released twice.
pub(crate) const WINDOW_TAKE_IS_UNDER_WAY: Ordering = Acquire;
