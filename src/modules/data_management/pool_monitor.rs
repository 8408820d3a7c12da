//! Watches the metrics and raises alerts, each once when its rule trips and once when it has clearly passed.

use serde::{Deserialize, Serialize};

pub use super::alert_rules::{AlertRules, Threshold};
use super::pool_metrics::PoolMetrics;
use super::setting_error::SettingError;
use super::step_clock::StepClock;

/// What an alert is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Too many requests missed their class during the last window.
    HitRateLow,
    /// Tables and lists weigh too much against the samples.
    MemoryOverheadHigh,
    /// Too much of the arena lies in runs too short for the largest class.
    Fragmentation,
    /// Requests were refused.
    Exhausted,
    /// Buffers outlived their holder.
    Leaked,
}

/// A rule that tripped, or that passed again.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The rule.
    pub kind: AlertKind,
    /// True when the rule tripped, false when the alert is over.
    pub raised: bool,
    /// The figure that decided: percent, or for `Exhausted` and `Leaked` how many more than at the last look.
    pub value: f64,
    /// What it was held against.
    pub threshold: f64,
}

/// Where a rule stands between its two marks.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AlertState {
    /// The rule.
    pub kind: AlertKind,
    /// Whether the alert was raised and has not ended.
    pub raised: bool,
    /// The figure as last judged; none before it was, or when it could not be.
    pub value: Option<f64>,
    /// The alert is raised beyond this.
    pub raise: f64,
    /// The alert ends once the figure is on the good side of this; none for what ends by time, or not at all.
    pub clear: Option<f64>,
}

/// Turns successive snapshots into alerts.
///
/// # Real-time
/// For the control side. Does not allocate or block; bounded.
#[derive(Debug, Clone)]
pub struct PoolMetricsMonitor {
    rules: AlertRules,
    clock: StepClock,
    active: [Option<Alert>; KINDS.len()],
    /// What each rule judged last.
    judged: [Option<f64>; KINDS.len()],
    window: Option<Window>,
    exhausted: u64,
    exhausted_at_ms: f64,
    leaked: u64,
}

/// Where the hit rate's current window began.
#[derive(Debug, Clone, Copy)]
struct Window {
    from_ms: f64,
    hits: u64,
    requests: u64,
}

const KINDS: [AlertKind; 5] = [
    AlertKind::HitRateLow,
    AlertKind::MemoryOverheadHigh,
    AlertKind::Fragmentation,
    AlertKind::Exhausted,
    AlertKind::Leaked,
];

/// A monitor of the default rules.
impl Default for PoolMetricsMonitor {
    fn default() -> Self {
        Self::of_checked(AlertRules::default())
    }
}

impl PoolMetricsMonitor {
    /// A monitor that has seen nothing yet.
    ///
    /// # Errors
    /// Those of [`AlertRules::check`].
    pub fn new(rules: AlertRules) -> Result<Self, SettingError> {
        rules.check()?;
        Ok(Self::of_checked(rules))
    }

    fn of_checked(rules: AlertRules) -> Self {
        Self {
            rules,
            clock: StepClock::default(),
            active: [None; KINDS.len()],
            judged: [None; KINDS.len()],
            window: None,
            exhausted: 0,
            exhausted_at_ms: f64::NEG_INFINITY,
            leaked: 0,
        }
    }

    /// Looks at a snapshot taken at `now_ms`; yields the alerts that begin or end with it. A time before the last one, or
    /// one that is no number, counts as the last one.
    pub fn observe(
        &mut self,
        now_ms: f64,
        metrics: &PoolMetrics,
    ) -> impl Iterator<Item = Alert> + use<> {
        let now_ms = self.clock.at(now_ms);
        let rules = self.rules;
        let mut changes = [None; KINDS.len()];
        if let Some(rate) = self.windowed_hit_rate(now_ms, metrics) {
            changes[0] = self.judge(AlertKind::HitRateLow, rate, rules.hit_rate);
        }
        if let Some(overhead) = metrics.memory_overhead_percentage {
            changes[1] = self.judge(
                AlertKind::MemoryOverheadHigh,
                overhead,
                rules.memory_overhead,
            );
        }
        changes[2] = self.judge(
            AlertKind::Fragmentation,
            metrics.fragmentation_percentage,
            rules.fragmentation,
        );
        changes[3] = self.judge_exhaustion(now_ms, metrics.exhausted);
        changes[4] = self.judge_leaks(metrics.buffers_leaked);
        changes.into_iter().flatten()
    }

    /// The alerts that were raised and have not ended.
    pub fn active(&self) -> impl Iterator<Item = Alert> + '_ {
        self.active.iter().flatten().copied()
    }

    /// Every rule, with the figure it judged last and the marks it is held against.
    pub fn states(&self) -> impl Iterator<Item = AlertState> + '_ {
        let rules = &self.rules;
        KINDS.into_iter().map(|kind| {
            let marks = match kind {
                AlertKind::HitRateLow => Some(rules.hit_rate),
                AlertKind::MemoryOverheadHigh => Some(rules.memory_overhead),
                AlertKind::Fragmentation => Some(rules.fragmentation),
                AlertKind::Exhausted | AlertKind::Leaked => None,
            };
            AlertState {
                kind,
                raised: self.is_active(kind),
                value: self.judged[kind as usize],
                raise: marks.map_or(0.0, |marks| f64::from(marks.raise)),
                clear: marks.map(|marks| f64::from(marks.clear)),
            }
        })
    }

    /// Whether this alert was raised and has not ended.
    #[must_use]
    pub fn is_active(&self, kind: AlertKind) -> bool {
        self.active[kind as usize].is_some()
    }

    /// Hit rate of the window that ends now; none within a window or when it had too few requests.
    fn windowed_hit_rate(&mut self, now_ms: f64, metrics: &PoolMetrics) -> Option<f32> {
        let next = Window {
            from_ms: now_ms,
            hits: metrics.pool_hits,
            requests: metrics.total_allocations,
        };
        let window = *self.window.get_or_insert(Window {
            from_ms: now_ms,
            hits: 0,
            requests: 0,
        });
        if now_ms - window.from_ms < self.rules.window_ms {
            return None;
        }
        self.window = Some(next);
        let requests = next.requests.saturating_sub(window.requests);
        let hits = next.hits.saturating_sub(window.hits);
        (requests >= self.rules.minimum_requests.max(1))
            .then(|| (hits as f64 / requests as f64 * 100.0) as f32)
    }

    fn judge(&mut self, kind: AlertKind, value: f32, threshold: Threshold) -> Option<Alert> {
        let bad_is_low = kind == AlertKind::HitRateLow;
        let beyond = |limit: f32| {
            if bad_is_low {
                value < limit
            } else {
                value > limit
            }
        };
        let raised = if self.is_active(kind) {
            beyond(threshold.clear)
        } else {
            beyond(threshold.raise)
        };
        self.turn(kind, raised, f64::from(value), f64::from(threshold.raise))
    }

    fn judge_exhaustion(&mut self, now_ms: f64, exhausted: u64) -> Option<Alert> {
        let more = exhausted.saturating_sub(self.exhausted);
        self.exhausted = exhausted;
        if more > 0 {
            self.exhausted_at_ms = now_ms;
        }
        let raised = now_ms - self.exhausted_at_ms < self.rules.window_ms;
        self.turn(AlertKind::Exhausted, raised, more as f64, 0.0)
    }

    /// A leak does not pass: every further one is an alert of its own.
    fn judge_leaks(&mut self, leaked: u64) -> Option<Alert> {
        let more = leaked.saturating_sub(self.leaked);
        self.leaked = leaked;
        self.judged[AlertKind::Leaked as usize] = Some(leaked as f64);
        if more == 0 {
            return None;
        }
        let alert = Alert {
            kind: AlertKind::Leaked,
            raised: true,
            value: more as f64,
            threshold: 0.0,
        };
        self.active[AlertKind::Leaked as usize] = Some(alert);
        Some(alert)
    }

    /// Enters the state; yields an alert only when it changed.
    fn turn(&mut self, kind: AlertKind, raised: bool, value: f64, threshold: f64) -> Option<Alert> {
        self.judged[kind as usize] = Some(value);
        let slot = &mut self.active[kind as usize];
        let changed = slot.is_some() != raised;
        let alert = Alert {
            kind,
            raised,
            value,
            threshold,
        };
        *slot = raised.then_some(if changed {
            alert
        } else {
            slot.unwrap_or(alert)
        });
        changed.then_some(alert)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn monitor() -> PoolMetricsMonitor {
        PoolMetricsMonitor::new(AlertRules::default()).unwrap()
    }

    #[test]
    fn a_threshold_without_hysteresis_is_judged_on_the_right_side() {
        let same = Threshold {
            raise: 90.0,
            clear: 90.0,
        };
        let rules = AlertRules {
            hit_rate: same,
            minimum_requests: 1,
            ..AlertRules::default()
        };
        for (hits, raised) in [(95, false), (50, true)] {
            let mut monitor = PoolMetricsMonitor::new(rules).unwrap();
            let metrics = |share: u64| PoolMetrics {
                pool_hits: hits * share,
                total_allocations: 100 * share,
                ..Default::default()
            };
            drop(monitor.observe(0.0, &metrics(0)));
            drop(monitor.observe(2000.0, &metrics(10)));
            assert_eq!(monitor.is_active(AlertKind::HitRateLow), raised);
        }
    }

    #[test]
    fn a_clock_that_goes_back_or_gives_nan_does_not_stop_the_monitor() {
        let mut monitor = monitor();
        let exhausted = |exhausted| PoolMetrics {
            exhausted,
            ..Default::default()
        };
        drop(monitor.observe(1000.0, &exhausted(1)));
        for given in [
            f64::NAN,
            f64::INFINITY,
            f64::NEG_INFINITY,
            0.0,
            f64::MAX,
            -5.0,
        ] {
            drop(monitor.observe(given, &exhausted(1)));
            assert!(monitor.is_active(AlertKind::Exhausted));
        }
        drop(monitor.observe(1995.0, &exhausted(1)));
        assert!(!monitor.is_active(AlertKind::Exhausted));
    }

    fn kinds(
        monitor: &mut PoolMetricsMonitor,
        now_ms: f64,
        metrics: &PoolMetrics,
    ) -> Vec<(AlertKind, bool)> {
        monitor
            .observe(now_ms, metrics)
            .map(|alert| (alert.kind, alert.raised))
            .collect()
    }

    fn rate(hits: u64, requests: u64) -> PoolMetrics {
        PoolMetrics {
            pool_hits: hits,
            total_allocations: requests,
            ..Default::default()
        }
    }

    #[test]
    fn kinds_are_indexed_in_order() {
        for (index, kind) in KINDS.into_iter().enumerate() {
            assert_eq!(kind as usize, index);
        }
    }

    #[test]
    fn hit_rate_is_judged_per_window_and_not_since_the_beginning() {
        let mut monitor = monitor();
        assert!(kinds(&mut monitor, 0.0, &rate(1_000_000, 1_000_000)).is_empty());
        // First window: from nothing to a million hits.
        assert!(kinds(&mut monitor, 1000.0, &rate(1_000_000, 1_000_000)).is_empty());
        // 100 more requests, 85 hits: the total is still 99.99 %.
        assert_eq!(
            kinds(&mut monitor, 2000.0, &rate(1_000_085, 1_000_100)),
            [(AlertKind::HitRateLow, true)]
        );
        // 91 %: better than the threshold, not yet clearly.
        assert!(kinds(&mut monitor, 3000.0, &rate(1_000_176, 1_000_200)).is_empty());
        assert_eq!(
            kinds(&mut monitor, 4000.0, &rate(1_000_276, 1_000_300)),
            [(AlertKind::HitRateLow, false)]
        );
    }

    #[test]
    fn a_window_with_few_requests_says_nothing() {
        let mut monitor = monitor();
        kinds(&mut monitor, 0.0, &rate(0, 0));
        assert!(kinds(&mut monitor, 1000.0, &rate(0, 49)).is_empty());
        assert!(!kinds(&mut monitor, 2000.0, &rate(0, 99)).is_empty());
    }

    #[test]
    fn levels_trip_and_clear_with_hysteresis() {
        let mut monitor = monitor();
        let mut metrics = PoolMetrics {
            memory_overhead_percentage: Some(3.0),
            ..Default::default()
        };
        metrics.fragmentation_percentage = 5.0;
        assert!(kinds(&mut monitor, 0.0, &metrics).is_empty());
        metrics.memory_overhead_percentage = Some(3.01);
        metrics.fragmentation_percentage = 5.01;
        assert_eq!(
            kinds(&mut monitor, 1.0, &metrics),
            [
                (AlertKind::MemoryOverheadHigh, true),
                (AlertKind::Fragmentation, true)
            ]
        );
        metrics.memory_overhead_percentage = Some(2.6);
        metrics.fragmentation_percentage = 4.1;
        assert!(kinds(&mut monitor, 2.0, &metrics).is_empty());
        assert_eq!(monitor.active().count(), 2);
        let states: Vec<_> = monitor.states().collect();
        assert_eq!(
            states[2],
            AlertState {
                kind: AlertKind::Fragmentation,
                raised: true,
                value: Some(f64::from(4.1f32)),
                raise: 5.0,
                clear: Some(4.0)
            }
        );
        // No window has ended: the hit rate was not judged.
        assert_eq!((states[0].value, states[0].raised), (None, false));
        metrics.memory_overhead_percentage = Some(2.5);
        metrics.fragmentation_percentage = 4.0;
        assert_eq!(
            kinds(&mut monitor, 3.0, &metrics),
            [
                (AlertKind::MemoryOverheadHigh, false),
                (AlertKind::Fragmentation, false)
            ]
        );
        assert_eq!(monitor.active().count(), 0);
    }

    #[test]
    fn exhaustion_ends_after_a_quiet_window() {
        let mut monitor = monitor();
        let metrics = PoolMetrics {
            exhausted: 3,
            ..Default::default()
        };
        assert_eq!(
            kinds(&mut monitor, 0.0, &metrics),
            [(AlertKind::Exhausted, true)]
        );
        assert!(kinds(&mut monitor, 999.0, &metrics).is_empty());
        assert_eq!(
            kinds(&mut monitor, 1000.0, &metrics),
            [(AlertKind::Exhausted, false)]
        );
    }

    #[test]
    fn leak_alert_for_each_further_leak() {
        let mut monitor = monitor();
        let leaked = |n| PoolMetrics {
            buffers_leaked: n,
            ..Default::default()
        };
        assert_eq!(
            kinds(&mut monitor, 0.0, &leaked(1)),
            [(AlertKind::Leaked, true)]
        );
        assert!(kinds(&mut monitor, 1.0, &leaked(1)).is_empty());
        assert_eq!(
            kinds(&mut monitor, 2.0, &leaked(2)),
            [(AlertKind::Leaked, true)]
        );
        assert!(monitor.is_active(AlertKind::Leaked));
    }
}
