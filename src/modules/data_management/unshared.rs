//! A value that is `Sync` because nobody can reach it through a shared reference.
#![allow(clippy::disallowed_types)] // The lock is never taken.

use std::sync::{Mutex, PoisonError};

/// Holds a value that is `Send` and not `Sync` inside something that must be both.
///
/// The lock is never taken: `get` needs the one exclusive reference, so there is nothing to wait for.
pub(super) struct Unshared<T>(Mutex<T>);

impl<T> Unshared<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(super) fn get(&mut self) -> &mut T {
        // Never poisoned, since nobody locks it.
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
