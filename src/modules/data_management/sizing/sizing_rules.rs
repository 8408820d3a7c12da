//! The sizing rules: a pure function from metrics and demand to a plan.

use serde::{Deserialize, Serialize};

use super::class_boundaries::{ClassProposal, wasted_samples};
use super::class_targets::{self, Marks, staying, with_margin};
use super::demand::Demand;
use super::sizing_plan::{
    ClassTarget, Effect, MemoryPressure, PLAN_VERSION, PlannedStep, Reason, SizingPlan, SizingStep,
};
use super::sizing_profile::{ClassBuffers, MAX_BUFFERS_AT_ONCE};
use crate::modules::data_management::pool_metrics::{ClassMetrics, PoolMetrics, sample_bytes};
use crate::modules::data_management::realtime::slot_table::MAX_SAMPLES;
use crate::modules::data_management::setting_error::{SettingError, check};

/// Held ÷ limit from which memory is short, and very short, without the host saying so.
const MODERATE_FILL: f64 = 0.9;
const CRITICAL_FILL: f64 = 0.97;
/// Learned classes must save this much of the waste, and the waste must be worth it (share of capacity, percent).
const SAVED_WASTE: f64 = 0.5;
const WASTE_WORTH_LEARNING: f64 = 5.0;

/// How long a window of observation may be: from a millisecond to a day.
pub(crate) const WINDOW_LIMITS_MS: core::ops::RangeInclusive<f64> = 1.0..=86_400_000.0;

/// What the optimizer may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizingPolicy {
    /// Length of a demand window, from a millisecond to a day. Memory falls back only after [`WINDOWS`](super::histograms::WINDOWS) of them.
    pub window_ms: f64,
    /// Buffers carved or taken back in one control step, at most: from one to as many as a half can be handed at once.
    pub buffers_per_step: u32,
    /// Whether a class may be left to borrow from the next larger one (the pool's exhaustion policy must allow it).
    pub may_borrow: bool,
    /// Whether size classes may be learned.
    pub learn_classes: bool,
    /// What a class never falls below, as a capacity plan reserves it.
    pub floors: Vec<ClassBuffers>,
}

impl Default for SizingPolicy {
    fn default() -> Self {
        Self {
            window_ms: 2000.0,
            buffers_per_step: 128,
            may_borrow: false,
            learn_classes: true,
            floors: Vec::new(),
        }
    }
}

impl SizingPolicy {
    /// Whether an optimizer accepts this policy.
    ///
    /// # Errors
    /// [`SettingError`] with the first setting that is outside of its limits.
    pub fn check(&self) -> Result<(), SettingError> {
        check("SizingPolicy::window_ms", self.window_ms, WINDOW_LIMITS_MS)?;
        check(
            "SizingPolicy::buffers_per_step",
            self.buffers_per_step.into(),
            1.0..=f64::from(MAX_BUFFERS_AT_ONCE),
        )?;
        for floor in &self.floors {
            check(
                "SizingPolicy::floors.samples",
                floor.samples as f64,
                1.0..=MAX_SAMPLES as f64,
            )?;
        }
        Ok(())
    }
}

/// Makes a plan. None when there is nothing to change.
///
/// A pure function: the same metrics, demand, proposal, policy and pressure give the same plan, live or replayed.
#[must_use]
pub fn plan(
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
    let marks = class_targets::of(metrics, demand, policy, pressure, keeps_configured);

    let learned = proposal.filter(|proposal| is_worth_it(proposal, metrics, demand));
    let steps = steps(&marks, classes, demand, learned, policy, pressure);
    (!steps.is_empty()).then(|| describe(metrics, demand, &marks, steps, learned, pressure))
}

fn pressure_of(metrics: &PoolMetrics) -> MemoryPressure {
    // A limit that the buffers in use fill by themselves leaves nothing to give back.
    let fill = metrics.bytes_held as f64 / metrics.bytes_limit.max(1) as f64;
    match fill {
        _ if metrics.bytes_limit == 0 => MemoryPressure::None,
        fill if fill >= CRITICAL_FILL => MemoryPressure::Critical,
        fill if fill >= MODERATE_FILL => MemoryPressure::Moderate,
        _ => MemoryPressure::None,
    }
}

fn steps(
    marks: &[Marks],
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
    // What is taken back first can be carved again in the same step.
    let mut left = u64::from(policy.buffers_per_step);
    for (mark, class) in marks
        .iter()
        .zip(classes)
        .filter(|(mark, class)| mark.target < staying(class) && !class.retired)
    {
        let buffers = (staying(class) - mark.target).min(left);
        left -= buffers;
        if buffers > 0 {
            let reason = if pressure == MemoryPressure::None {
                Reason::HeldAbovePeak
            } else {
                Reason::MemoryPressure
            };
            steps.push(PlannedStep {
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
    for (mark, class) in marks
        .iter()
        .zip(classes)
        .filter(|(mark, class)| mark.target > staying(class))
    {
        let buffers = (mark.target - staying(class)).min(left);
        left -= buffers;
        if buffers > 0 {
            let reason = if mark.now > staying(class) {
                Reason::DemandRises
            } else {
                Reason::BelowQuantile
            };
            steps.push(PlannedStep {
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

/// New classes begin with what they are expected to need: their requests come as soon as the classes change.
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
        step: SizingStep::SetClasses {
            classes: classes.collect(),
        },
        reason: Reason::WastedSamples,
        bytes_held_change: i64::try_from(bytes).unwrap_or(i64::MAX),
    }
}

fn is_worth_it(proposal: &ClassProposal, metrics: &PoolMetrics, demand: &Demand) -> bool {
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

fn describe(
    metrics: &PoolMetrics,
    demand: &Demand,
    marks: &[Marks],
    steps: Vec<PlannedStep>,
    learned: Option<&ClassProposal>,
    pressure: MemoryPressure,
) -> SizingPlan {
    let (mut covered, mut requests) = (0.0, 0.0);
    for ((mark, class), demand) in marks.iter().zip(&metrics.classes).zip(&demand.classes) {
        let target = u32::try_from(mark.target).unwrap_or(u32::MAX);
        if let Some(share) = demand.concurrent.share_up_to(target) {
            covered += share * class.acquires() as f64;
            requests += class.acquires() as f64;
        }
    }
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
        classes: marks
            .iter()
            .zip(&metrics.classes)
            .filter_map(|(mark, class)| {
                let strategy = mark.strategy?;
                Some(ClassTarget {
                    samples: class.samples,
                    strategy,
                    carved: class.carved,
                    target: mark.target,
                })
            })
            .collect(),
        steps,
        before: Effect {
            bytes_held: metrics.bytes_held,
            hit_rate_percentage: metrics.hit_rate_percentage,
            internal_waste_percentage: metrics.internal_waste_percentage,
        },
        expected: Effect {
            bytes_held: settled
                .saturating_add_signed(isize::try_from(change).unwrap_or(isize::MAX)),
            hit_rate_percentage: (requests > 0.0).then(|| (covered / requests * 100.0) as f32),
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
