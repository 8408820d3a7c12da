//! The times between two deliveries of events, by what the control worker did meanwhile: the causes of late events.

use core::cell::Cell;

use serde::Serialize;

use super::activity::Activity;

/// The deadline of a Critical event, in milliseconds.
const DEADLINE_MS: f64 = 0.5;

/// The deliveries that had to wait for one kind of activity.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct DispatchGap {
    /// What the worker did meanwhile; `idle` is its own JavaScript.
    activity: Activity,
    /// Deliveries after this activity.
    deliveries: u32,
    /// Those of them for which a Critical event can have waited longer than its deadline.
    late: u32,
    /// The events that were delivered late then.
    late_events: u32,
    /// The longest time without a delivery.
    max_ms: f64,
}

/// The gaps since boot.
#[derive(Debug)]
pub(crate) struct DispatchGaps {
    gaps: [Cell<DispatchGap>; Activity::ALL.len()],
    /// When the last delivery ended.
    ended_ms: Cell<f64>,
}

impl DispatchGaps {
    pub(crate) fn new(now_ms: f64) -> Self {
        let gap = |activity| {
            Cell::new(DispatchGap {
                activity,
                deliveries: 0,
                late: 0,
                late_events: 0,
                max_ms: 0.0,
            })
        };
        Self {
            gaps: Activity::ALL.map(gap),
            ended_ms: Cell::new(now_ms),
        }
    }

    /// Records that a delivery begins at `now_ms`, after the activity.
    pub(crate) fn begin(&self, activity: Activity, now_ms: f64) {
        let waited_ms = now_ms - self.ended_ms.get();
        let gap = &self.gaps[activity as usize];
        let mut sum = gap.get();
        sum.deliveries = sum.deliveries.wrapping_add(1);
        sum.late += u32::from(waited_ms > DEADLINE_MS);
        sum.max_ms = sum.max_ms.max(waited_ms);
        gap.set(sum);
    }

    /// Records that the delivery after the activity has ended, with so many late events.
    pub(crate) fn end(&self, activity: Activity, now_ms: f64, late_events: usize) {
        let gap = &self.gaps[activity as usize];
        let mut sum = gap.get();
        sum.late_events = sum.late_events.saturating_add(late_events as u32);
        gap.set(sum);
        self.restart(now_ms);
    }

    /// Ends the current gap without a delivery: nobody publishes events.
    pub(crate) fn restart(&self, now_ms: f64) {
        self.ended_ms.set(now_ms);
    }

    /// The gaps after each activity.
    pub(crate) fn figures(&self) -> Vec<DispatchGap> {
        self.gaps.iter().map(Cell::get).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_counted_for_the_activity_before_the_delivery() {
        let gaps = DispatchGaps::new(100.0);
        gaps.begin(Activity::Window, 100.4);
        gaps.end(Activity::Window, 100.5, 0);
        gaps.begin(Activity::Sleep, 101.5);
        gaps.end(Activity::Sleep, 101.6, 3);
        // Without publishers no time counts.
        gaps.restart(200.0);
        gaps.begin(Activity::Sleep, 200.25);
        gaps.end(Activity::Sleep, 200.3, 0);
        let figures = gaps.figures();
        let of = |activity| {
            let gap = figures.iter().find(|gap| gap.activity == activity).unwrap();
            (gap.deliveries, gap.late, gap.late_events, gap.max_ms)
        };
        let (deliveries, late, late_events, max_ms) = of(Activity::Window);
        assert_eq!((deliveries, late, late_events), (1, 0, 0));
        assert!((max_ms - 0.4).abs() < 1e-9);
        assert_eq!(of(Activity::Sleep), (2, 1, 3, 1.0));
        assert_eq!(of(Activity::Report), (0, 0, 0, 0.0));
    }
}
