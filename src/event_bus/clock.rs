//! Time for stamps: one shared word that the dispatching side moves and publishers only read.
#![deny(clippy::disallowed_types)] // No lock: real-time.

use crate::sync::atomic::{AtomicU64, Ordering};

/// A publisher stamps with the word's last value, which is never later than the true time: a latency computed from
/// it can be too long, by up to one poll of the dispatcher, and not too short.
#[repr(align(128))] // On a line of its own: it is written on every poll and read on every publish.
pub(crate) struct Clock {
    /// Nanoseconds since the bus was made (natively) or of the host's choice (wasm).
    word_ns: AtomicU64,
    #[cfg(not(target_arch = "wasm32"))]
    origin: std::time::Instant,
}

/// While a long pump runs, the word is moved at most this often, so that publishers keep their copy of its line.
#[cfg(not(target_arch = "wasm32"))]
const MOVE_EVERY_NS: u64 = 10_000;

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            word_ns: AtomicU64::new(0),
            #[cfg(not(target_arch = "wasm32"))]
            origin: std::time::Instant::now(),
        }
    }

    /// The time a publisher stamps with.
    #[inline(always)]
    pub(crate) fn stamp_ns(&self) -> u64 {
        // Relaxed: any value that was ever stored is in the past, which is all a stamp promises.
        self.word_ns.load(Ordering::Relaxed)
    }

    /// The time now, on the dispatching side; moves the word along.
    pub(crate) fn now_ns(&self) -> u64 {
        #[cfg(not(target_arch = "wasm32"))]
        {
            let now = self.origin.elapsed().as_nanos() as u64;
            if now.saturating_sub(self.stamp_ns()) >= MOVE_EVERY_NS {
                self.set_ns(now);
            }
            now
        }
        #[cfg(target_arch = "wasm32")]
        self.stamp_ns()
    }

    pub(crate) fn set_ns(&self, now: u64) {
        // Relaxed: see `stamp_ns`. `max`, because two threads may take turns at pumping.
        self.word_ns.fetch_max(now, Ordering::Relaxed);
    }
}
