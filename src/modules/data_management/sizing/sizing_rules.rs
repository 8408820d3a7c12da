//! The sizing rules: a pure function from metrics and demand to a plan.

use super::class_boundaries::{ClassProposal, wasted_samples};
use super::class_buffers::{ClassBuffers, with_margin};
use super::class_targets::{self, Watermarks, retained};
use super::demand::Demand;
use super::sizing_plan::{
    ClassTarget, Effect, MemoryPressure, PLAN_VERSION, PlannedStep, Reason, SizingPlan, SizingStep,
};
pub use super::sizing_policy::SizingPolicy;
use crate::modules::data_management::metrics::pool_metrics::{
    ClassMetrics, PoolMetrics, sample_bytes,
};

/// Carved memory ÷ limit from which the pressure is moderate, and high, whatever the host reports.
const MODERATE_FILL: f64 = 0.9;
const CRITICAL_FILL: f64 = 0.97;
/// Learned classes must save this share of the waste, and the waste must be at least this percentage of the capacity.
const SAVED_WASTE: f64 = 0.5;
const WASTE_WORTH_LEARNING: f64 = 5.0;

/// The whole pool, of which the rules size only the halves without a mix of their own.
pub(crate) struct Whole<'a> {
    /// The figures of all halves.
    pub(crate) metrics: &'a PoolMetrics,
    /// The changes of halves with a mix of their own.
    pub(crate) stated: Vec<PlannedStep>,
    /// Whether a half is attached that the rules size.
    pub(crate) has_sized_half: bool,
}

/// Makes a plan; `None` if nothing has to change. `metrics` and `demand` are of the halves without a mix of their own.
///
/// A pure function: the same figures, demand, proposal, policy and pressure give the same plan, live and in a replay.
#[must_use]
pub(crate) fn plan(
    whole: Whole<'_>,
    metrics: &PoolMetrics,
    demand: &Demand,
    proposal: Option<&ClassProposal>,
    policy: &SizingPolicy,
    pressure: MemoryPressure,
) -> Option<SizingPlan> {
    let classes = &metrics.classes;
    let own_pressure = pressure_of(metrics);
    let has_room = own_pressure == MemoryPressure::None;
    let keeps_configured = pressure == MemoryPressure::None
        && !demand.has_outgrown_configured()
        && (has_room || !class_targets::outgrows_limit(metrics, demand));
    let pressure = pressure.max(own_pressure);
    let watermarks = if whole.has_sized_half {
        class_targets::of(metrics, demand, policy, pressure, keeps_configured)
    } else {
        Vec::new()
    };

    let learned = proposal.filter(|proposal| saves_enough(proposal, metrics, demand));
    let mut steps = steps(&watermarks, classes, demand, learned, policy, pressure);
    steps.extend(whole.stated);
    (!steps.is_empty()).then(|| {
        let classes = targets(&watermarks, classes);
        let hit_rate_percentage = expected_hit_rate(&watermarks, metrics, demand);
        describe(
            whole.metrics,
            classes,
            hit_rate_percentage,
            steps,
            learned,
            pressure,
        )
    })
}

pub(crate) fn pressure_of(metrics: &PoolMetrics) -> MemoryPressure {
    // If the buffers in use alone fill the limit, there is nothing to return.
    let fill = metrics.bytes_held as f64 / metrics.bytes_limit.max(1) as f64;
    match fill {
        _ if metrics.bytes_limit == 0 => MemoryPressure::None,
        fill if fill >= CRITICAL_FILL => MemoryPressure::Critical,
        fill if fill >= MODERATE_FILL => MemoryPressure::Moderate,
        _ => MemoryPressure::None,
    }
}

fn steps(
    watermarks: &[Watermarks],
    classes: &[ClassMetrics],
    demand: &Demand,
    learned: Option<&ClassProposal>,
    policy: &SizingPolicy,
    pressure: MemoryPressure,
) -> Vec<PlannedStep> {
    let mut steps = Vec::new();
    steps.extend(learned.map(|proposal| change_classes(proposal, classes, demand)));
    let bytes = |class: &ClassMetrics, buffers: u64| {
        i64::try_from(sample_bytes(class.samples, buffers)).unwrap_or(i64::MAX)
    };
    // Shrinking comes first, so that its memory can be carved again in the same step.
    let mut left = u64::from(policy.buffers_per_step);
    for (watermark, class) in watermarks
        .iter()
        .zip(classes)
        .filter(|(watermark, class)| watermark.target < retained(class) && !class.retired)
    {
        let buffers = (retained(class) - watermark.target).min(left);
        left -= buffers;
        if buffers > 0 {
            let reason = if pressure == MemoryPressure::None {
                Reason::HeldAbovePeak
            } else {
                Reason::MemoryPressure
            };
            steps.push(PlannedStep {
                half: None,
                step: SizingStep::Shrink {
                    class_samples: class.samples,
                    buffers: buffers as u32,
                },
                reason,
                bytes_held_change: -bytes(class, buffers),
            });
        }
    }
    let mut left = u64::from(policy.buffers_per_step);
    for (watermark, class) in watermarks
        .iter()
        .zip(classes)
        .filter(|(watermark, class)| watermark.target > retained(class))
    {
        let buffers = (watermark.target - retained(class)).min(left);
        left -= buffers;
        if buffers > 0 {
            let reason = if watermark.now > retained(class) {
                Reason::DemandRises
            } else {
                Reason::BelowQuantile
            };
            steps.push(PlannedStep {
                half: None,
                step: SizingStep::Grow {
                    class_samples: class.samples,
                    buffers: buffers as u32,
                },
                reason,
                bytes_held_change: bytes(class, buffers),
            });
        }
    }
    steps
}

/// New classes begin with their expected number of buffers: their requests begin as soon as the classes change.
fn change_classes(
    proposal: &ClassProposal,
    present: &[ClassMetrics],
    demand: &Demand,
) -> PlannedStep {
    let mut below = 0;
    let mut bytes = 0;
    let classes = proposal.classes.iter().map(|&samples| {
        let is_new = present
            .iter()
            .all(|class| class.samples != samples || class.retired);
        let expected = if is_new {
            demand.expected_use(below, samples)
        } else {
            0.0
        };
        below = samples;
        let buffers = if expected > 0.0 {
            u32::try_from(with_margin(expected.ceil() as u64)).unwrap_or(u32::MAX)
        } else {
            0
        };
        bytes = ClassBuffers { samples, buffers }
            .bytes()
            .saturating_add(bytes);
        ClassBuffers { samples, buffers }
    });
    PlannedStep {
        half: None,
        step: SizingStep::SetClasses {
            classes: classes.collect(),
        },
        reason: Reason::WastedSamples,
        bytes_held_change: i64::try_from(bytes).unwrap_or(i64::MAX),
    }
}

fn saves_enough(proposal: &ClassProposal, metrics: &PoolMetrics, demand: &Demand) -> bool {
    let classes: Vec<usize> = metrics
        .classes
        .iter()
        .filter(|class| !class.retired)
        .map(|class| class.samples)
        .collect();
    let wasted = wasted_samples(&demand.sizes, &classes);
    let present = ClassProposal {
        wasted_samples: wasted,
        ..proposal.clone()
    };
    proposal.classes != classes
        && present.waste_percentage() >= WASTE_WORTH_LEARNING
        && proposal.wasted_samples as f64 <= wasted as f64 * (1.0 - SAVED_WASTE)
}

fn targets(watermarks: &[Watermarks], classes: &[ClassMetrics]) -> Vec<ClassTarget> {
    let each = watermarks.iter().zip(classes);
    let target = |(watermark, class): (&Watermarks, &ClassMetrics)| {
        let strategy = watermark.strategy?;
        Some(ClassTarget {
            samples: class.samples,
            strategy,
            carved: class.carved,
            target: watermark.target,
        })
    };
    each.filter_map(target).collect()
}

/// The share of the requests that the targets serve, by the peaks of past control steps.
fn expected_hit_rate(
    watermarks: &[Watermarks],
    metrics: &PoolMetrics,
    demand: &Demand,
) -> Option<f32> {
    let (mut covered, mut requests) = (0.0, 0.0);
    for ((watermark, class), demand) in watermarks.iter().zip(&metrics.classes).zip(&demand.classes)
    {
        let target = u32::try_from(watermark.target).unwrap_or(u32::MAX);
        if let Some(share) = demand.concurrent.share_up_to(target) {
            covered += share * class.acquires() as f64;
            requests += class.acquires() as f64;
        }
    }
    (requests > 0.0).then(|| (covered / requests * 100.0) as f32)
}

/// `metrics` are of all halves.
fn describe(
    metrics: &PoolMetrics,
    classes: Vec<ClassTarget>,
    hit_rate_percentage: Option<f32>,
    steps: Vec<PlannedStep>,
    learned: Option<&ClassProposal>,
    pressure: MemoryPressure,
) -> SizingPlan {
    let change = steps
        .iter()
        .fold(0i64, |sum, step| sum.saturating_add(step.bytes_held_change));
    let going = metrics
        .classes
        .iter()
        .map(|class| sample_bytes(class.samples, class.draining));
    let settled = going.fold(metrics.bytes_held, usize::saturating_sub);
    SizingPlan {
        version: PLAN_VERSION,
        pressure,
        classes,
        steps,
        before: Effect {
            bytes_held: metrics.bytes_held,
            hit_rate_percentage: metrics.hit_rate_percentage,
            internal_waste_percentage: metrics.internal_waste_percentage,
        },
        expected: Effect {
            bytes_held: settled
                .saturating_add_signed(isize::try_from(change).unwrap_or(isize::MAX)),
            hit_rate_percentage,
            internal_waste_percentage: learned
                .map_or(metrics.internal_waste_percentage, |proposal| {
                    Some(proposal.waste_percentage() as f32)
                }),
        },
    }
}

#[cfg(test)]
#[path = "sizing_rules_tests.rs"]
mod tests;
