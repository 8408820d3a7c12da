//! A value that is `Sync` because it is never accessed through a shared reference.
#![allow(clippy::disallowed_types)] // The lock is never taken.

use std::sync::{Mutex, PoisonError};

/// Contains a value that is `Send` and not `Sync`, in a type that must be both.
///
/// The mutex is never locked: `get` needs an exclusive reference, so that there is nothing to wait for.
pub(super) struct Unshared<T>(Mutex<T>);

impl<T> Unshared<T> {
    pub(super) const fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(super) fn get(&mut self) -> &mut T {
        // Never poisoned, since it is never locked.
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
