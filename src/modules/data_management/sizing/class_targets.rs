//! The target number of buffers of each class.
//!
//! The target of a class lies between three watermarks: the number that it needs *now* (its present peak, and where a rise
//! leads until the next step), the number that it needed *recently*, and the number that it needed over all windows. Idle
//! memory may stay where it was used last while the pool has no more than its budget over the peak of use. Above the budget,
//! and under memory pressure, classes return the buffers above their watermarks, the oldest watermark first. Idle memory
//! therefore moves between classes instead of adding up.

pub(crate) use super::class_buffers::with_margin;
use super::demand::{ClassDemand, Demand};
use super::histograms::WINDOWS;
use super::sizing_plan::{MemoryPressure, Strategy};
use super::sizing_policy::SizingPolicy;
use crate::modules::data_management::metrics::pool_metrics::{
    ClassMetrics, PoolMetrics, sample_bytes,
};

/// The share of control steps whose peak the target of idle buffers covers.
pub(super) const QUANTILE: f64 = 0.999;
/// Carved bytes ÷ peak of used bytes: above the first the plan shrinks the pool, down to the second.
/// See `docs/decisions/0020-class-targets-by-window-under-one-budget.md`.
pub(super) const CARVED_LIMIT: f64 = 1.24;
const CARVED_TARGET: f64 = 1.2;
/// A change of less than one part in this many of a class is within the hysteresis band.
const HYSTERESIS_PARTS: u64 = 8;
/// The number of control steps for which a falling trend is extrapolated.
const FALL_STEPS: i64 = 3;
/// The number of control steps until buffers requested from one class serve another: they are shed, collected and carved.
const STEPS_TO_MOVE: i64 = 2;
/// A class with longer pauses between requests than this may be served by a larger class.
const RARE_PAUSE_US: u32 = 250_000;

/// The needs of one class, by age of the observation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Watermarks {
    pub(super) now: u64,
    recent: u64,
    long: u64,
    /// `None` for a retired class, which drains by itself.
    pub(super) strategy: Option<Strategy>,
    pub(super) target: u64,
    /// The existing buffers of those that the host configured, until demand has aged. A plan keeps at least these.
    configured: u64,
}

impl Watermarks {
    fn of(
        demand: &ClassDemand,
        class: &ClassMetrics,
        policy: &SizingPolicy,
        pressure: MemoryPressure,
    ) -> Self {
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
        // Up to the known peak, a rise is followed immediately and extrapolated by a quarter; above it, only a trend is
        // followed. A falling trend is extrapolated over the steps that buffers need to be released.
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
        } else if long == 0 && !demand.is_refused {
            Strategy::OnDemand
        } else {
            Strategy::Prewarmed
        };
        let watermark = |buffers| match strategy {
            Strategy::BorrowedFromAbove => 0,
            Strategy::OnDemand if pressure > MemoryPressure::None => floor,
            Strategy::OnDemand | Strategy::Prewarmed => with_margin(buffers).max(floor),
        };
        Self {
            now: watermark(ahead),
            recent: watermark(recent.max(ahead)),
            long: watermark(long.max(ahead)),
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

/// Whether a class refused a request, or its use rises so steadily that it will before memory can be moved to it. Used for a
/// pool at its limit, in which another class has to return idle buffers.
pub(super) fn outgrows_limit(metrics: &PoolMetrics, demand: &Demand) -> bool {
    let mut each = metrics.classes.iter().zip(&demand.classes);
    each.any(|(class, demand)| {
        let trend = demand.trend().saturating_mul(STEPS_TO_MOVE);
        let is_rising = trend > 0 && demand.peak.saturating_add_signed(trend) > retained(class);
        !class.retired && (demand.is_refused || is_rising)
    })
}

/// Watermarks and target of each class. With `keeps_configured`, the configured buffers are kept until demand has aged. See
/// `docs/decisions/0021-configured-mix-is-kept-per-class.md`.
pub(super) fn of(
    metrics: &PoolMetrics,
    demand: &Demand,
    policy: &SizingPolicy,
    pressure: MemoryPressure,
    keeps_configured: bool,
) -> Vec<Watermarks> {
    let classes = &metrics.classes;
    let mut watermarks = vec![Watermarks::default(); classes.len()];
    for ((watermark, class), of_class) in watermarks.iter_mut().zip(classes).zip(&demand.classes) {
        if !class.retired {
            *watermark = Watermarks::of(of_class, class, policy, pressure);
            if keeps_configured {
                watermark.configured = demand
                    .configured_buffers(class.samples)
                    .min(retained(class));
            }
        }
    }
    resolve_served_by_larger(&mut watermarks);
    set_targets(&mut watermarks, classes, budget(demand), pressure);
    watermarks
}

/// A class may rely on a larger class only if that one keeps buffers.
fn resolve_served_by_larger(watermarks: &mut [Watermarks]) {
    for index in 0..watermarks.len() {
        let larger = watermarks
            .get(index + 1)
            .and_then(|watermark| watermark.strategy);
        if watermarks[index].strategy == Some(Strategy::BorrowedFromAbove)
            && larger != Some(Strategy::Prewarmed)
        {
            watermarks[index].strategy = Some(Strategy::OnDemand);
        }
    }
}

/// The bytes above which the pool shrinks, and down to which.
fn budget(demand: &Demand) -> (f64, f64) {
    let configured = demand.configured_bytes() as f64;
    let peak = demand.peak_bytes() as f64;
    (
        (peak * CARVED_LIMIT).max(configured),
        (peak * CARVED_TARGET).max(configured),
    )
}

fn set_targets(
    watermarks: &mut [Watermarks],
    classes: &[ClassMetrics],
    (limit, goal): (f64, f64),
    pressure: MemoryPressure,
) {
    for (watermark, class) in watermarks.iter_mut().zip(classes) {
        watermark.target = match watermark.strategy {
            None => 0,
            Some(Strategy::BorrowedFromAbove) => class.leased.max(watermark.configured),
            Some(_) => retained(class).max(watermark.recent),
        };
    }
    // Buffers that were requested back count until they are released.
    let draining = classes
        .iter()
        .map(|class| sample_bytes(class.samples, class.draining) as f64);
    let draining: f64 = draining.sum();
    let passes: [fn(&Watermarks) -> u64; 3] = [
        |watermark| watermark.long,
        |watermark| watermark.recent,
        |watermark| watermark.now,
    ];
    for (pass, watermark_of_pass) in passes.into_iter().enumerate() {
        let floor = |watermark: &Watermarks| watermark_of_pass(watermark).max(watermark.configured);
        let bytes = |buffers: fn(&Watermarks, u64) -> u64| -> f64 {
            let each = watermarks.iter().zip(classes);
            each.map(|(watermark, class)| {
                sample_bytes(class.samples, buffers(watermark, floor(watermark))) as f64
            })
            .sum()
        };
        let held = bytes(|watermark, _| watermark.target) + draining;
        let excess = bytes(|watermark, floor| watermark.target.saturating_sub(floor));
        // Under pressure all buffers above the watermark are returned; otherwise as many as the budget requires.
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
        for watermark in watermarks.iter_mut() {
            let above = watermark.target.saturating_sub(floor(watermark));
            watermark.target -= ((above as f64 * share).ceil() as u64).min(above);
        }
    }
    // At the limit, small changes would move buffers back and forth with every fluctuation: only classes that need buffers
    // now get them.
    for (watermark, class) in watermarks.iter_mut().zip(classes) {
        let retained = retained(class);
        let hysteresis_band = retained..=retained.saturating_add(retained / HYSTERESIS_PARTS);
        if watermark.now <= retained && hysteresis_band.contains(&watermark.target) {
            watermark.target = retained;
        }
    }
}

/// Buffers that exist and were not requested back.
pub(super) fn retained(class: &ClassMetrics) -> u64 {
    class.carved.saturating_sub(class.draining)
}

#[cfg(test)]
#[path = "class_targets_tests.rs"]
mod tests;
