//! Time for timestamps: one shared word that the dispatching side stores and publishers only load.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.

use crate::sync::atomic::{AtomicU64, Ordering};

/// A publisher's timestamps are the word's last value, which is never later than the true time. A latency computed from
/// them can be too long, by up to one poll of the dispatcher, and never too short.
#[repr(align(128))] // On a cache line of its own: it is stored on every poll and loaded on every publish.
pub(crate) struct Clock {
    /// Nanoseconds since the bus was made (natively) or since the host first set the time (wasm).
    time_ns: AtomicU64,
    #[cfg(not(target_arch = "wasm32"))]
    origin: std::time::Instant,
    #[cfg(target_arch = "wasm32")]
    epoch: HostEpoch,
}

/// The shortest time between two stores of the word, so that publishers keep its cache line during a long pump.
#[cfg(not(target_arch = "wasm32"))]
const MIN_UPDATE_INTERVAL_NS: u64 = 10_000;

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            time_ns: AtomicU64::new(0),
            #[cfg(not(target_arch = "wasm32"))]
            origin: std::time::Instant::now(),
            #[cfg(target_arch = "wasm32")]
            epoch: HostEpoch::default(),
        }
    }

    /// The timestamp of an event that is published now.
    #[inline(always)]
    pub(crate) fn timestamp_ns(&self) -> u64 {
        // Relaxed: every stored value is a time in the past, and a timestamp promises no more.
        self.time_ns.load(Ordering::Relaxed)
    }

    /// The time now, for the dispatching side; stores it for the publishers.
    pub(crate) fn now_ns(&self) -> u64 {
        #[cfg(not(target_arch = "wasm32"))]
        {
            let now = self.origin.elapsed().as_nanos() as u64;
            if now.saturating_sub(self.timestamp_ns()) >= MIN_UPDATE_INTERVAL_NS {
                self.set_ns(now);
            }
            now
        }
        #[cfg(target_arch = "wasm32")]
        self.timestamp_ns()
    }

    /// Sets the host's time, of any epoch. The first one is this clock's zero; events published before it have timestamp zero.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn set_host_ns(&self, now: u64) {
        self.set_ns(self.epoch.since_ns(now));
    }

    /// Stores `now`, unless it is in the past: two threads may pump alternately, and a host's clock may be set back.
    fn set_ns(&self, now: u64) {
        // Relaxed: see `timestamp_ns`.
        let _ = self
            .time_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |time| {
                is_later(now, time).then_some(now)
            });
    }
}

/// Whether `now` comes after `then` on a clock that wraps: within half of its range.
const fn is_later(now: u64, then: u64) -> bool {
    let ahead = now.wrapping_sub(then);
    ahead > 0 && ahead <= u64::MAX / 2
}

/// The first time that the host set.
#[cfg(any(target_arch = "wasm32", test))]
#[derive(Default)]
struct HostEpoch(std::sync::OnceLock<u64>);

#[cfg(any(target_arch = "wasm32", test))]
impl HostEpoch {
    /// Nanoseconds since the first call, also if the host's counter wrapped in between.
    fn since_ns(&self, now: u64) -> u64 {
        now.wrapping_sub(*self.0.get_or_init(|| now))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    /// Every power of two and its neighbours.
    fn edges() -> impl Iterator<Item = u64> {
        let around =
            |bit: u32| (-2_i64..=2).map(move |off| (1_u64 << bit).wrapping_add_signed(off));
        (0..64).flat_map(around).chain([0, u64::MAX])
    }

    #[test]
    fn clock_counts_from_the_hosts_first_time_in_any_epoch() {
        for epoch in edges() {
            for elapsed in edges().filter(|&elapsed| elapsed <= u64::MAX / 2) {
                let (clock, host) = (Clock::new(), HostEpoch::default());
                clock.set_ns(host.since_ns(epoch));
                assert_eq!(clock.timestamp_ns(), 0, "epoch {epoch}");
                clock.set_ns(host.since_ns(epoch.wrapping_add(elapsed)));
                assert_eq!(clock.timestamp_ns(), elapsed, "epoch {epoch}");
                // The host's clock is set back to a time before its epoch.
                clock.set_ns(host.since_ns(epoch.wrapping_sub(1)));
                assert_eq!(clock.timestamp_ns(), elapsed, "epoch {epoch}");
            }
        }
    }
}
