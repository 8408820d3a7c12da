//! The bus's counters, per lane. The dispatching side keeps them; publishers count only the events they drop.

use core::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::event::Priority;

/// The bus's figures since it was made.
///
/// Per lane: `published = delivered + unclaimed + dropped + pending`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BusStats {
    /// The Critical lanes of all publishers.
    pub critical: LaneStats,
    /// The High lanes of all publishers.
    pub high: LaneStats,
    /// The Normal lanes of all publishers.
    pub normal: LaneStats,
    /// Panics of user code that were caught, on whichever thread: in handlers (inline ones, too), in `Serialize`, and in drops
    /// of handlers and of panics' payloads.
    pub subscriber_panics: u64,
    /// Publishers whose lanes are not freed yet.
    pub publishers: usize,
    /// Bytes in lanes and histograms.
    pub bytes_reserved: usize,
}

impl BusStats {
    /// The figures of one lane.
    #[must_use]
    pub const fn lane(&self, priority: Priority) -> &LaneStats {
        match priority {
            Priority::Critical => &self.critical,
            Priority::High => &self.high,
            Priority::Normal => &self.normal,
        }
    }
}

/// The figures of one priority.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LaneStats {
    /// Events published while their type had a subscriber.
    pub published: u64,
    /// Events delivered to at least one subscriber, or forwarded to another instance.
    pub delivered: u64,
    /// Events lost because the lane was full.
    pub dropped: u64,
    /// Events whose last subscription ended before they were dispatched.
    pub unclaimed: u64,
    /// Events that are in the lanes now.
    pub pending: u64,
    /// Delivered events whose latency exceeded the priority's deadline.
    pub late: u64,
    /// The time from publishing to the first handler. `None`: no event was delivered yet.
    pub latency: Option<Latency>,
}

/// A distribution of latencies in nanoseconds, each too long by at most one poll of the dispatcher (see
/// `docs/decisions/0001-event-timestamps-from-a-shared-clock-word.md`) and rounded up to 1 %.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50_ns: u64,
    /// The 99th percentile.
    pub p99_ns: u64,
    /// The 99.9th percentile.
    pub p999_ns: u64,
    /// The maximum.
    pub max_ns: u64,
}

/// The counters of one priority.
pub(crate) struct LaneTally {
    pub(crate) delivered: u64,
    pub(crate) unclaimed: u64,
    pub(crate) dropped: u64,
    late: u64,
    deadline_ns: u64,
    latency: Histogram<u64>,
}

/// Longer latencies are recorded as this one.
const MAX_RECORDED_LATENCY: Duration = Duration::from_secs(60);

impl LaneTally {
    pub(crate) fn new(priority: Priority) -> Self {
        #[expect(
            clippy::unwrap_used,
            reason = "the bounds are constants that the constructor accepts"
        )]
        let latency =
            Histogram::new_with_bounds(100, MAX_RECORDED_LATENCY.as_nanos() as u64, 2).unwrap();
        let deadline_ns = priority.deadline().as_nanos() as u64;
        Self {
            delivered: 0,
            unclaimed: 0,
            dropped: 0,
            late: 0,
            deadline_ns,
            latency,
        }
    }

    /// Counts a delivered event; returns whether it was late.
    pub(crate) fn deliver(&mut self, latency_ns: u64) -> bool {
        let is_late = latency_ns > self.deadline_ns;
        self.delivered += 1;
        self.late += u64::from(is_late);
        self.latency.saturating_record(latency_ns);
        is_late
    }

    /// The figures, with the dropped events that are not in the tally yet and those pending now.
    pub(crate) fn stats(&self, untallied: u64, pending: u64) -> LaneStats {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        let dropped = self.dropped + untallied;
        LaneStats {
            published: self.delivered + self.unclaimed + dropped + pending,
            delivered: self.delivered,
            dropped,
            unclaimed: self.unclaimed,
            pending,
            late: self.late,
            latency: (!self.latency.is_empty()).then(|| Latency {
                p50_ns: at(0.5),
                p99_ns: at(0.99),
                p999_ns: at(0.999),
                max_ns: self.latency.max(),
            }),
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.latency.distinct_values() * size_of::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_quantiles_equal_those_of_a_sorted_list_within_one_percent() {
        let mut tally = LaneTally::new(Priority::Critical);
        let mut latencies: Vec<u64> = (0..10_000_u64).map(|i| 1_000 + i * i % 700_001).collect();
        for &ns in &latencies {
            tally.deliver(ns);
        }
        latencies.sort_unstable();
        let stats = tally.stats(3, 2);
        let latency = stats.latency.unwrap();
        let sorted = |q: f64| latencies[(q * latencies.len() as f64).ceil() as usize - 1];
        for (got, want) in [
            (latency.p50_ns, sorted(0.5)),
            (latency.p99_ns, sorted(0.99)),
            (latency.p999_ns, sorted(0.999)),
            (latency.max_ns, sorted(1.0)),
        ] {
            assert!(
                got >= want && got as f64 <= want as f64 * 1.01,
                "{got} for {want}"
            );
        }
        assert_eq!(
            stats.late,
            latencies.iter().filter(|&&ns| ns > 500_000).count() as u64
        );
        assert_eq!(
            (stats.published, stats.dropped, stats.pending),
            (10_005, 3, 2)
        );
    }

    #[test]
    fn latency_is_none_before_the_first_delivery() {
        assert_eq!(LaneTally::new(Priority::Normal).stats(0, 0).latency, None);
    }
}
