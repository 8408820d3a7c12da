//! Locks a mutex whether or not a panic has poisoned it.
#![allow(clippy::disallowed_types)] // A lock on the control worker.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// For data that is consistent at every point where code under its lock can panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
