//! What publishers share with the dispatching side without a lock.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.

use super::clock::Clock;
use super::type_table::TypeTable;
use crate::contain::count_panics;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The part of a bus that a publisher may use on the audio thread.
pub(crate) struct Shared {
    pub(crate) types: TypeTable,
    pub(crate) clock: Clock,
    /// Panics of user code that were caught, on whichever thread.
    panics: AtomicU64,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            types: TypeTable::new(),
            clock: Clock::new(),
            panics: AtomicU64::new(0),
        }
    }

    /// Runs user code, and counts its panics and those of their payloads' drops. The caller must not hold a lock.
    pub(crate) fn count_panics(&self, code: impl FnOnce()) -> usize {
        let panics = count_panics(code);
        if panics > 0 {
            // Relaxed: a counter.
            self.panics.fetch_add(panics as u64, Ordering::Relaxed);
        }
        panics
    }

    /// All panics that were counted so far.
    pub(crate) fn panics(&self) -> u64 {
        // Relaxed: a counter.
        self.panics.load(Ordering::Relaxed)
    }
}
