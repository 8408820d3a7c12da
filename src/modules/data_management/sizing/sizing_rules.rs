//! The sizing rules: a pure function from metrics and demand to a plan.

use serde::{Deserialize, Serialize};

use super::class_boundaries::{ClassProposal, wasted_samples};
use super::class_targets::{self, Marks, staying, with_margin};
use super::demand::Demand;
use super::sizing_plan::{
    ClassTarget, Effect, MemoryPressure, PLAN_VERSION, PlannedStep, Reason, SizingPlan, SizingStep,
};
use super::sizing_profile::ClassBuffers;
use crate::modules::data_management::pool_metrics::{ClassMetrics, PoolMetrics};

/// Held ÷ limit from which memory is short, and very short, without the host saying so.
const MODERATE_FILL: f64 = 0.9;
const CRITICAL_FILL: f64 = 0.97;
/// Learned classes must save this much of the waste, and the waste must be worth it (share of capacity, percent).
const SAVED_WASTE: f64 = 0.5;
const WASTE_WORTH_LEARNING: f64 = 5.0;

/// What the optimizer may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizingPolicy {
    /// Length of a demand window. Memory falls back only after [`WINDOWS`](super::histograms::WINDOWS) of them.
    pub window_ms: f64,
    /// Buffers carved or taken back in one control step, at most.
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
    let pressure = pressure.max(pressure_of(metrics));
    let marks = class_targets::of(metrics, demand, policy, pressure);

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
        (buffers as usize * class.samples * size_of::<f32>()) as i64
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
            with_margin(expected.ceil() as u64) as u32
        } else {
            0
        };
        bytes += ClassBuffers { samples, buffers }.bytes();
        ClassBuffers { samples, buffers }
    });
    PlannedStep {
        step: SizingStep::SetClasses {
            classes: classes.collect(),
        },
        reason: Reason::WastedSamples,
        bytes_held_change: bytes as i64,
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
    let change: i64 = steps.iter().map(|step| step.bytes_held_change).sum();
    let going = metrics
        .classes
        .iter()
        .map(|class| class.draining as usize * class.samples * size_of::<f32>());
    let settled = metrics.bytes_held.saturating_sub(going.sum());
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
            bytes_held: settled.saturating_add_signed(change as isize),
            hit_rate_percentage: (requests > 0.0).then(|| (covered / requests * 100.0) as f32),
            internal_waste_percentage: learned
                .map_or(metrics.internal_waste_percentage, |proposal| {
                    Some(proposal.waste_percentage() as f32)
                }),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules::data_management::pool_optimization::tests::Bench;

    #[test]
    fn a_nearly_full_pool_presses_by_itself() {
        let pressed = |limit_buffers: usize| {
            let mut bench = Bench::new(&[(256, 100)], SizingPolicy::default());
            bench.metrics.bytes_limit = limit_buffers * 256 * 4;
            bench.step(&[10]).map(|plan| plan.pressure)
        };
        assert_eq!(pressed(120), None);
        assert_eq!(pressed(110), Some(MemoryPressure::Moderate));
        assert_eq!(pressed(101), Some(MemoryPressure::Critical));
    }

    #[test]
    fn a_step_is_bounded() {
        let mut bench = Bench::new(&[(256, 1), (512, 1000)], SizingPolicy::default());
        bench.engine.set_memory_pressure(MemoryPressure::Critical);
        bench.metrics.classes[0].carved = 500;
        let plan = bench.step(&[500, 0]).unwrap();
        let (mut carved, mut taken) = (0, 0);
        for planned in plan.steps {
            match planned.step {
                SizingStep::Grow { buffers, .. } => carved += buffers,
                SizingStep::Shrink { buffers, .. } => taken += buffers,
                SizingStep::SetClasses { .. } => {}
            }
        }
        assert_eq!((carved, taken), (30, 128));
    }
}
