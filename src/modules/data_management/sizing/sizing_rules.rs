//! The sizing rules: a pure function from metrics and demand to a plan.
//!
//! Each class gets a target between three marks: what it needs *now* (present peak, and where its rise leads until
//! the next step), what it needed *recently*, and what it needed over all windows. Idle memory may stay where it was
//! last used as long as the pool holds no more than its share over the peak of use; beyond that, and under pressure,
//! classes give back what lies above their marks, the oldest mark first. So idle memory moves between classes
//! instead of adding up.

use serde::{Deserialize, Serialize};

use super::class_boundaries::{ClassProposal, wasted_samples};
use super::demand::{ClassDemand, Demand, WINDOWS};
use super::sizing_plan::{
    ClassTarget, Effect, MemoryPressure, PLAN_VERSION, PlannedStep, Reason, SizingPlan, SizingStep,
    Strategy,
};
use super::sizing_profile::ClassBuffers;
use crate::modules::data_management::pool_metrics::{ClassMetrics, PoolMetrics};

/// The share of control steps whose peak the idle target covers.
pub(super) const QUANTILE: f64 = 0.999;
/// Margin over a mark: this share, at least one buffer.
const MARGIN: f64 = 0.06;
/// Bytes held ÷ peak of bytes used: above the first the plan shrinks, down to the second.
pub(super) const HELD_LIMIT: f64 = 1.24;
const HELD_TARGET: f64 = 1.2;
/// One part in this many of a class is a little.
const LITTLE: u64 = 8;
/// Held ÷ limit from which memory is short, and very short, without the host saying so.
const MODERATE_FILL: f64 = 0.9;
const CRITICAL_FILL: f64 = 0.97;
/// Learned classes must save this much of the waste, and the waste must be worth it (share of capacity, percent).
const SAVED_WASTE: f64 = 0.5;
const WASTE_WORTH_LEARNING: f64 = 5.0;
/// Control steps that a falling trend is followed ahead.
const FALL_STEPS: i64 = 3;
/// A class whose requests come further apart than this may borrow.
const RARE_PAUSE_US: u32 = 250_000;

/// What the optimizer may do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SizingPolicy {
    /// Length of a demand window. Memory falls back only after [`WINDOWS`] of them.
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

/// What one class needs, by age of the observation.
#[derive(Debug, Clone, Copy, Default)]
struct Marks {
    now: u64,
    recent: u64,
    long: u64,
    strategy: Option<Strategy>,
    target: u64,
}

pub(crate) fn with_margin(buffers: u64) -> u64 {
    buffers + ((buffers as f64 * MARGIN).ceil() as u64).max(1)
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
        let fall = demand.peak.saturating_add_signed(trend * FALL_STEPS);
        let rise = demand.peak.saturating_add_signed(trend);
        let ahead = match trend {
            ..0 => fall,
            _ => (demand.peak + demand.rise() * 5 / 4)
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
            target: 0,
        }
    }

    fn is_rare(demand: &ClassDemand) -> bool {
        demand
            .inter_arrival_us
            .quantile(0.5, WINDOWS)
            .is_some_and(|pause_us| pause_us >= RARE_PAUSE_US)
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
    let mut marks = vec![Marks::default(); classes.len()];
    for ((mark, class), demand) in marks.iter_mut().zip(classes).zip(&demand.classes) {
        // A retired class has no marks: it drains by itself.
        if !class.retired {
            *mark = Marks::of(demand, class, policy);
        }
    }
    settle_borrowers(&mut marks);
    let pressure = pressure.max(pressure_of(metrics));
    set_targets(&mut marks, classes, budget(demand), pressure);

    let learned = proposal.filter(|proposal| is_worth_it(proposal, metrics, demand));
    let steps = steps(&marks, classes, demand, learned, policy, pressure);
    (!steps.is_empty()).then(|| describe(metrics, demand, &marks, steps, learned, pressure))
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
            Some(Strategy::BorrowedFromAbove) => class.leased,
            Some(_) => staying(class).max(mark.recent),
        };
    }
    // What was asked back is held until it has come home.
    let draining = classes
        .iter()
        .map(|class| class.draining as usize * class.samples * size_of::<f32>());
    let draining = draining.sum::<usize>() as f64;
    let passes: [fn(&Marks) -> u64; 3] = [|mark| mark.long, |mark| mark.recent, |mark| mark.now];
    for (pass, floor) in passes.into_iter().enumerate() {
        let bytes = |buffers: fn(&Marks, u64) -> u64| -> f64 {
            let each = marks.iter().zip(classes);
            let samples =
                each.map(|(mark, class)| buffers(mark, floor(mark)) * class.samples as u64);
            (samples.sum::<u64>() as usize * size_of::<f32>()) as f64
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
        let little = staying..=staying + staying / LITTLE;
        if mark.now <= staying && little.contains(&mark.target) {
            mark.target = staying;
        }
    }
}

/// Buffers that are there and were not asked back.
fn staying(class: &ClassMetrics) -> u64 {
    class.carved.saturating_sub(class.draining)
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
    use crate::modules::data_management::pool_optimization::tests::{AGE, Bench, WINDOW_MS};

    #[test]
    fn steady_use_settles_and_then_nothing_changes() {
        let mut bench = Bench::new(&[(256, 8), (1024, 8)], SizingPolicy::default());
        for _ in 0..AGE {
            bench.step(&[30, 10]);
        }
        assert!(bench.carved()[0] >= with_margin(30) && bench.carved()[1] >= with_margin(10));
        let peak = (30 * 256 + 10 * 1024) * 4;
        assert!(bench.metrics.bytes_held as f64 <= HELD_LIMIT * f64::from(peak));
        assert!((0..AGE).all(|_| bench.step(&[30, 10]).is_none()));
    }

    #[test]
    fn a_steady_rise_never_runs_out() {
        let mut bench = Bench::new(&[(512, 8)], SizingPolicy::default());
        for leased in (0..400).step_by(4) {
            bench.step(&[leased]);
        }
        assert_eq!(bench.exhausted(), 0);
    }

    #[test]
    fn idle_memory_moves_between_classes_instead_of_adding_up() {
        let mut bench = Bench::new(&[(256, 130), (1024, 8)], SizingPolicy::default());
        let peak = 128 * 256 * 4;
        let mut most = 0;
        for cycle in 0..20 {
            for step in 0..100u64 {
                // Ten steps (50 ms) from one class to the other, then forty of rest.
                let there = (step % 50).min(10);
                let there = if step < 50 { there } else { 10 - there };
                bench.step(&[128 - 128 * there / 10, 32 * there / 10]);
                if cycle > 4 {
                    most = most.max(bench.metrics.bytes_held);
                }
            }
            if cycle == 4 {
                bench
                    .metrics
                    .classes
                    .iter_mut()
                    .for_each(|class| class.exhausted = 0);
            }
        }
        assert_eq!(bench.exhausted(), 0);
        assert!(most as f64 <= 1.3 * f64::from(peak), "{most} of {peak}");
    }

    #[test]
    fn memory_falls_back_only_with_age() {
        let mut bench = Bench::new(&[(256, 100)], SizingPolicy::default());
        for _ in 0..10 {
            bench.step(&[90]);
        }
        for _ in 0..AGE - 20 {
            assert!(bench.step(&[10]).is_none());
        }
        for _ in 0..AGE {
            bench.step(&[10]);
        }
        assert_eq!(bench.carved(), [12], "a fifth above the peak of use");
    }

    #[test]
    fn each_level_of_pressure_takes_back_more() {
        let use_and_press = |pressure| {
            let mut bench = Bench::new(&[(256, 100)], SizingPolicy::default());
            for _ in 0..5 {
                bench.step(&[90]);
            }
            for _ in 0..2 * WINDOW_MS as usize / 5 + 2 {
                bench.step(&[50]);
            }
            for _ in 0..5 {
                bench.step(&[10]);
            }
            bench.engine.set_memory_pressure(pressure);
            for _ in 0..3 {
                bench.step(&[10]);
            }
            bench.carved()[0]
        };
        assert_eq!(use_and_press(MemoryPressure::None), 100);
        assert_eq!(use_and_press(MemoryPressure::Moderate), with_margin(50));
        assert_eq!(use_and_press(MemoryPressure::Critical), with_margin(10));
    }

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
    fn a_floor_is_kept_under_any_pressure() {
        let floors = vec![ClassBuffers {
            samples: 256,
            buffers: 40,
        }];
        let mut bench = Bench::new(
            &[(256, 60)],
            SizingPolicy {
                floors,
                ..Default::default()
            },
        );
        bench.engine.set_memory_pressure(MemoryPressure::Critical);
        for _ in 0..AGE {
            bench.step(&[1]);
        }
        assert_eq!(bench.carved(), [40]);
    }

    #[test]
    fn strategies_follow_the_pattern() {
        let policy = SizingPolicy {
            may_borrow: true,
            window_ms: WINDOW_MS,
            ..Default::default()
        };
        let mut bench = Bench::new(&[(256, 4), (512, 4), (1024, 4)], policy);
        let mut last = None;
        for step in 0..400u64 {
            // 256: one buffer every 0.4 s. 512: steady. 1024: never.
            last = bench
                .step(&[u64::from(step % 80 == 0), 6 + step % 3, 0])
                .or(last);
        }
        let strategies: Vec<_> = last
            .unwrap()
            .classes
            .iter()
            .map(|class| class.strategy)
            .collect();
        assert_eq!(
            strategies,
            [
                Strategy::BorrowedFromAbove,
                Strategy::Prewarmed,
                Strategy::OnDemand
            ]
        );
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
