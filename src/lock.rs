//! Locks a mutex whether or not a panic has poisoned it.
#![allow(clippy::disallowed_types)] // The lock itself; real-time files do not use it on their real-time paths.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// For data that is consistent at every point where code under its lock can panic: the poison then carries no information.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
