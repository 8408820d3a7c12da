//! How many buffers each class should have.
//!
//! Each class gets a target between three marks: what it needs *now* (present peak, and where its rise leads until
//! the next step), what it needed *recently*, and what it needed over all windows. Idle memory may stay where it was
//! last used as long as the pool holds no more than its share over the peak of use; beyond that, and under pressure,
//! classes give back what lies above their marks, the oldest mark first. So idle memory moves between classes
//! instead of adding up.

use super::demand::{ClassDemand, Demand};
use super::histograms::WINDOWS;
use super::sizing_plan::{MemoryPressure, Strategy};
use super::sizing_rules::SizingPolicy;
use crate::modules::data_management::pool_metrics::{ClassMetrics, PoolMetrics, sample_bytes};

/// The share of control steps whose peak the idle target covers.
pub(super) const QUANTILE: f64 = 0.999;
/// Margin over a mark: this share, at least one buffer.
const MARGIN: f64 = 0.06;
/// Bytes held ÷ peak of bytes used: above the first the plan shrinks, down to the second.
/// See `docs/decisions/0020-class-targets-by-window-under-one-budget.md`.
pub(super) const HELD_LIMIT: f64 = 1.24;
const HELD_TARGET: f64 = 1.2;
/// One part in this many of a class is a little.
const LITTLE: u64 = 8;
/// Control steps that a falling trend is followed ahead.
const FALL_STEPS: i64 = 3;
/// Control steps until what one class is asked for serves another: shed, collected, carved.
const STEPS_TO_MOVE: i64 = 2;
/// A class whose requests come further apart than this may borrow.
const RARE_PAUSE_US: u32 = 250_000;

/// What one class needs, by age of the observation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Marks {
    pub(super) now: u64,
    recent: u64,
    long: u64,
    /// None for a retired class: it drains by itself.
    pub(super) strategy: Option<Strategy>,
    pub(super) target: u64,
    /// Those that are there of what the host configured, while demand has not aged: a plan does not go below it.
    configured: u64,
}

pub(crate) fn with_margin(buffers: u64) -> u64 {
    buffers.saturating_add(((buffers as f64 * MARGIN).ceil() as u64).max(1))
}

impl Marks {
    fn of(demand: &ClassDemand, class: &ClassMetrics, policy: &SizingPolicy) -> Self {
        let floor = policy
            .floors
            .iter()
            .find(|floor| floor.samples == class.samples);
        let floor = floor.map_or(0, |floor| u64::from(floor.buffers));
        let quantile = |windows| {
            demand
                .concurrent
                .quantile(QUANTILE, windows)
                .map_or(0, u64::from)
        };
        let (recent, long) = (
            quantile(2).max(demand.peak),
            quantile(WINDOWS).max(demand.peak),
        );
        // Within known use a rise is followed at once and a quarter as far again; beyond it, only a trend. A falling trend
        // is followed as far as it takes buffers to come home.
        let trend = demand.trend();
        let fall = demand
            .peak
            .saturating_add_signed(trend.saturating_mul(FALL_STEPS));
        let rise = demand.peak.saturating_add_signed(trend);
        let ahead = match trend {
            ..0 => fall,
            _ => demand
                .peak
                .saturating_add(demand.rise())
                .saturating_add(demand.rise() / 4)
                .min(long.max(demand.expected))
                .max(rise),
        };
        let strategy = if policy.may_borrow && floor == 0 && Self::is_rare(demand) {
            Strategy::BorrowedFromAbove
        } else if long == 0 {
            Strategy::OnDemand
        } else {
            Strategy::Prewarmed
        };
        let mark = |buffers| match strategy {
            Strategy::BorrowedFromAbove => 0,
            _ => with_margin(buffers).max(floor),
        };
        Self {
            now: mark(ahead),
            recent: mark(recent.max(ahead)),
            long: mark(long.max(ahead)),
            strategy: Some(strategy),
            ..Self::default()
        }
    }

    fn is_rare(demand: &ClassDemand) -> bool {
        demand
            .inter_arrival_us
            .quantile(0.5, WINDOWS)
            .is_some_and(|pause_us| pause_us >= RARE_PAUSE_US)
    }
}

/// Whether a class was refused a request, or use rises so steadily that it will be before memory can be moved to it. For a pool
/// whose limit leaves no room: there another class has to give what it has idle.
pub(super) fn outgrows_limit(metrics: &PoolMetrics, demand: &Demand) -> bool {
    let mut each = metrics.classes.iter().zip(&demand.classes);
    each.any(|(class, demand)| {
        let trend = demand.trend().saturating_mul(STEPS_TO_MOVE);
        let is_rising = trend > 0 && demand.peak.saturating_add_signed(trend) > staying(class);
        !class.retired && (demand.is_refused || is_rising)
    })
}

/// Marks and target of each class. With `keeps_configured`, what the host configured is kept until demand has aged. See
/// `docs/decisions/0021-configured-mix-is-kept-per-class.md`.
pub(super) fn of(
    metrics: &PoolMetrics,
    demand: &Demand,
    policy: &SizingPolicy,
    pressure: MemoryPressure,
    keeps_configured: bool,
) -> Vec<Marks> {
    let classes = &metrics.classes;
    let mut marks = vec![Marks::default(); classes.len()];
    for ((mark, class), of_class) in marks.iter_mut().zip(classes).zip(&demand.classes) {
        if !class.retired {
            *mark = Marks::of(of_class, class, policy);
            if keeps_configured {
                mark.configured = demand.configured_buffers(class.samples).min(staying(class));
            }
        }
    }
    settle_borrowers(&mut marks);
    set_targets(&mut marks, classes, budget(demand), pressure);
    marks
}

/// A class can borrow only from one that keeps buffers.
fn settle_borrowers(marks: &mut [Marks]) {
    for index in 0..marks.len() {
        let lender = marks.get(index + 1).and_then(|mark| mark.strategy);
        if marks[index].strategy == Some(Strategy::BorrowedFromAbove)
            && lender != Some(Strategy::Prewarmed)
        {
            marks[index].strategy = Some(Strategy::OnDemand);
        }
    }
}

/// Bytes above which the pool gives back, and down to which.
fn budget(demand: &Demand) -> (f64, f64) {
    let configured = demand.configured_bytes() as f64;
    let peak = demand.peak_bytes() as f64;
    (
        (peak * HELD_LIMIT).max(configured),
        (peak * HELD_TARGET).max(configured),
    )
}

fn set_targets(
    marks: &mut [Marks],
    classes: &[ClassMetrics],
    (limit, goal): (f64, f64),
    pressure: MemoryPressure,
) {
    for (mark, class) in marks.iter_mut().zip(classes) {
        mark.target = match mark.strategy {
            None => 0,
            Some(Strategy::BorrowedFromAbove) => class.leased.max(mark.configured),
            Some(_) => staying(class).max(mark.recent),
        };
    }
    // What was asked back is held until it has come home.
    let draining = classes
        .iter()
        .map(|class| sample_bytes(class.samples, class.draining) as f64);
    let draining: f64 = draining.sum();
    let passes: [fn(&Marks) -> u64; 3] = [|mark| mark.long, |mark| mark.recent, |mark| mark.now];
    for (pass, mark_of_pass) in passes.into_iter().enumerate() {
        let floor = |mark: &Marks| mark_of_pass(mark).max(mark.configured);
        let bytes = |buffers: fn(&Marks, u64) -> u64| -> f64 {
            let each = marks.iter().zip(classes);
            each.map(|(mark, class)| sample_bytes(class.samples, buffers(mark, floor(mark))) as f64)
                .sum()
        };
        let held = bytes(|mark, _| mark.target) + draining;
        let excess = bytes(|mark, floor| mark.target.saturating_sub(floor));
        // Under pressure everything above the mark goes; otherwise as much as the budget asks.
        let forced = match pressure {
            MemoryPressure::None => false,
            MemoryPressure::Moderate => pass <= 1,
            MemoryPressure::Critical => true,
        };
        let share = if forced {
            1.0
        } else if held > limit && excess > 0.0 {
            ((held - goal) / excess).min(1.0)
        } else {
            continue;
        };
        for mark in marks.iter_mut() {
            let above = mark.target.saturating_sub(floor(mark));
            mark.target -= ((above as f64 * share).ceil() as u64).min(above);
        }
    }
    // Where memory is shared out anew at every step, a little would go to and fro with every fluctuation: it goes only to
    // those that need it now.
    for (mark, class) in marks.iter_mut().zip(classes) {
        let staying = staying(class);
        let little = staying..=staying.saturating_add(staying / LITTLE);
        if mark.now <= staying && little.contains(&mark.target) {
            mark.target = staying;
        }
    }
}

/// Buffers that are there and were not asked back.
pub(super) fn staying(class: &ClassMetrics) -> u64 {
    class.carved.saturating_sub(class.draining)
}

#[cfg(test)]
#[path = "class_targets_tests.rs"]
mod tests;
