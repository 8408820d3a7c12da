//! Time for stamps: one shared word that the dispatching side moves and publishers only read.
#![cfg_attr(not(test), forbid(clippy::disallowed_types))] // Real-time: no lock, and nothing here can allow one.

use crate::sync::atomic::{AtomicU64, Ordering};

/// A publisher stamps with the word's last value, which is never later than the true time: a latency computed from
/// it can be too long, by up to one poll of the dispatcher, and not too short.
#[repr(align(128))] // On a line of its own: it is written on every poll and read on every publish.
pub(crate) struct Clock {
    /// Nanoseconds since the bus was made (natively) or since the host first told the time (wasm).
    word_ns: AtomicU64,
    #[cfg(not(target_arch = "wasm32"))]
    origin: std::time::Instant,
    #[cfg(target_arch = "wasm32")]
    epoch: HostEpoch,
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
            #[cfg(target_arch = "wasm32")]
            epoch: HostEpoch::default(),
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

    /// Sets the host's time, of any epoch. The first one is this clock's zero: what was stamped before it counts as stamped
    /// then.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn set_host_ns(&self, now: u64) {
        self.set_ns(self.epoch.since_ns(now));
    }

    /// Moves the word to `now`, unless that is in the past: two threads may take turns at pumping, and a host's clock may
    /// be set back.
    fn set_ns(&self, now: u64) {
        // Relaxed: see `stamp_ns`.
        let _ = self
            .word_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |word| {
                is_later(now, word).then_some(now)
            });
    }
}

/// Whether `now` comes after `then` on a clock that comes round: within half of its width.
const fn is_later(now: u64, then: u64) -> bool {
    let ahead = now.wrapping_sub(then);
    ahead > 0 && ahead <= u64::MAX / 2
}

/// The host's first time.
#[cfg(any(target_arch = "wasm32", test))]
#[derive(Default)]
struct HostEpoch(std::sync::OnceLock<u64>);

#[cfg(any(target_arch = "wasm32", test))]
impl HostEpoch {
    /// Nanoseconds since the first call, also where the host's count came round in between.
    fn since_ns(&self, now: u64) -> u64 {
        now.wrapping_sub(*self.0.get_or_init(|| now))
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    /// Every power of two, and its neighbours.
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
                assert_eq!(clock.stamp_ns(), 0, "epoch {epoch}");
                clock.set_ns(host.since_ns(epoch.wrapping_add(elapsed)));
                assert_eq!(clock.stamp_ns(), elapsed, "epoch {epoch}");
                // The host's clock is set back, before its epoch even.
                clock.set_ns(host.since_ns(epoch.wrapping_sub(1)));
                assert_eq!(clock.stamp_ns(), elapsed, "epoch {epoch}");
            }
        }
    }
}
