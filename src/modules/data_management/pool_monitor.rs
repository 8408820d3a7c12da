//! The monitor: judges the metrics, and raises each alert once when its rule trips and ends it once when the figure has
//! clearly recovered.

use serde::{Deserialize, Serialize};

pub use super::alert_rules::{AlertRules, Threshold};
use super::metrics::pool_metrics::PoolMetrics;
use crate::setting_error::SettingError;
use crate::step_clock::StepClock;

/// The kind of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertKind {
    /// Too many requests missed their class in the last window.
    HitRateLow,
    /// Tables and lists need too much memory compared with the samples.
    MemoryOverheadHigh,
    /// Too much of the arena is in runs that are too short for the largest class.
    Fragmentation,
    /// Requests failed.
    Exhausted,
    /// Buffers leaked: they are in use after their holder has ended.
    Leaked,
}

/// The beginning or the end of an alert.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// The rule.
    pub kind: AlertKind,
    /// True if the alert begins, false if it ends.
    pub raised: bool,
    /// The figure that was judged: percent, or for `Exhausted` and `Leaked` the increase since the last observation.
    pub value: f64,
    /// The threshold.
    pub threshold: f64,
}

/// The state of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct AlertState {
    /// The rule.
    pub kind: AlertKind,
    /// Whether the alert was raised and has not ended.
    pub raised: bool,
    /// The figure that was judged last; `None` if it was not judged or not measured.
    pub value: Option<f64>,
    /// The alert is raised beyond this value.
    pub raise: f64,
    /// The alert ends when the figure is better than this value; `None` for an alert that ends after a time, or never.
    pub clear: Option<f64>,
}

/// Raises and ends alerts from successive snapshots.
///
/// # Real-time
/// For the control side. Does not allocate or block; bounded.
#[derive(Debug, Clone)]
pub struct PoolMetricsMonitor {
    rules: AlertRules,
    clock: StepClock,
    active: [Option<Alert>; KINDS.len()],
    /// The figure that each rule judged last.
    judged: [Option<f64>; KINDS.len()],
    window: Option<Window>,
    exhausted: u64,
    exhausted_at_ms: f64,
    leaked: u64,
}

/// The beginning of the current window of the hit rate.
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

/// A monitor with the default rules.
impl Default for PoolMetricsMonitor {
    fn default() -> Self {
        Self::of_checked(AlertRules::default())
    }
}

impl PoolMetricsMonitor {
    /// A monitor without observations.
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

    /// Observes a snapshot that was taken at `now_ms`; returns the alerts that begin or end with it. A time before the last
    /// one, or NaN, counts as the last one.
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

    /// The state of every rule.
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
    pub(crate) fn is_active(&self, kind: AlertKind) -> bool {
        self.active[kind as usize].is_some()
    }

    /// The hit rate of the window that ends now; `None` within a window, or if it had too few requests.
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

    /// A leak never ends: every further one is an alert of its own.
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

    /// Sets the state; returns an alert if it changed.
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
#[path = "pool_monitor_tests.rs"]
mod tests;
