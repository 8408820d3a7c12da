//! The optimizer: runs the sizing rules step by step, measures demand, learns size classes in portions, and measures the
//! effect of plans.

use super::metrics::pool_metrics::PoolMetrics;
use super::sizing::class_boundaries::{BoundarySearch, ClassProposal};
use super::sizing::demand::Demand;
use super::sizing::histograms::WINDOWS;
use super::sizing::sizing_plan::{AppliedPlan, Effect, MemoryPressure, SizingPlan, SizingStep};
use super::sizing::sizing_profile::{ClassBuffers, MAX_BUFFERS_AT_ONCE, SizingProfile};
use super::sizing::sizing_rules::{SizingPolicy, Whole, plan, pressure_of};
use super::sizing::stated_needs::{OwnHalves, StatedNeeds};
use crate::setting_error::SettingError;
use crate::step_clock::StepClock;
use wavepool_core::MAX_CLASSES;
use wavepool_core::internal::OwnClass;

/// The budget of a profile ÷ peak of use: lower than the rules allow, so that there is space for growth.
const HELD_AT_START: f64 = 1.15;
/// The number of requests after which classes are learned from a size histogram.
const REQUESTS_TO_LEARN: u64 = 1000;
/// Comparisons of the class search in one control step: a few microseconds.
const SEARCH_BUDGET: usize = 4096;

/// Runs the sizing rules on a schedule: measures demand, learns size classes in portions, and measures the effect of plans.
#[derive(Debug, Clone)]
pub struct PoolOptimizationEngine {
    policy: SizingPolicy,
    clock: StepClock,
    pressure: MemoryPressure,
    demand: Demand,
    stated: StatedNeeds,
    search: Option<BoundarySearch>,
    /// Requests counted by size, and the number at which classes are learned next.
    sizes_observed: u64,
    search_at: u64,
    measuring: Option<Measuring>,
    last: Option<AppliedPlan>,
}

/// What a control step observes beside the halves that the rules size.
pub(crate) struct Observed<'a, H> {
    /// The figures of all halves.
    pub(crate) metrics: &'a PoolMetrics,
    /// The halves with a mix of their own.
    pub(crate) own: &'a H,
    /// Whether a half is attached that the rules size.
    pub(crate) has_sized_half: bool,
}

/// A pool without halves with a mix of their own.
struct NoOwnHalves;

impl OwnHalves for NoOwnHalves {
    fn classes(&self) -> &[OwnClass] {
        &[]
    }

    fn requests(&self, _: u16) -> Vec<(usize, u32)> {
        Vec::new()
    }

    fn class_for(&self, _: usize) -> Option<usize> {
        None
    }
}

#[derive(Debug, Clone)]
struct Measuring {
    applied: AppliedPlan,
    hits: u64,
    requests: u64,
}

/// An optimizer with the default policy.
impl Default for PoolOptimizationEngine {
    fn default() -> Self {
        Self::of_checked(SizingPolicy::default())
    }
}

impl PoolOptimizationEngine {
    /// An optimizer without observations.
    ///
    /// # Errors
    /// Those of [`SizingPolicy::check`].
    pub fn new(policy: SizingPolicy) -> Result<Self, SettingError> {
        policy.check()?;
        Ok(Self::of_checked(policy))
    }

    fn of_checked(policy: SizingPolicy) -> Self {
        Self {
            demand: Demand::of_window(policy.window_ms),
            policy,
            clock: StepClock::default(),
            pressure: MemoryPressure::None,
            stated: StatedNeeds::default(),
            search: None,
            sizes_observed: 0,
            search_at: REQUESTS_TO_LEARN,
            measuring: None,
            last: None,
        }
    }

    /// Sets the memory pressure, as the host measures it, until the next call.
    pub fn set_memory_pressure(&mut self, pressure: MemoryPressure) {
        self.pressure = pressure;
    }

    /// The memory pressure that was set last.
    #[must_use]
    pub const fn memory_pressure(&self) -> MemoryPressure {
        self.pressure
    }

    /// Observes a snapshot; returns a plan if something should change. The caller applies the whole plan before the next
    /// call. A time before the last one, or NaN, counts as the last one.
    ///
    /// # Real-time
    /// For the control side. Bounded by the number of classes and a portion of the class search; allocates only when it
    /// plans.
    pub fn step(&mut self, now_ms: f64, metrics: &PoolMetrics) -> Option<SizingPlan> {
        let whole = Observed {
            metrics,
            own: &NoOwnHalves,
            has_sized_half: true,
        };
        self.step_beside(now_ms, whole, metrics)
    }

    /// [`step`](Self::step) for a pool that also has halves with a mix of their own. `metrics` are of the other halves.
    pub(crate) fn step_beside(
        &mut self,
        now_ms: f64,
        observed: Observed<'_, impl OwnHalves>,
        metrics: &PoolMetrics,
    ) -> Option<SizingPlan> {
        let now_ms = self.clock.at(now_ms);
        self.demand.observe(now_ms, metrics);
        self.measure(now_ms, observed.metrics);
        let proposal = self.learn(metrics);
        let stated = self.stated.step(
            now_ms,
            self.policy.window_ms,
            observed.own,
            self.pressure.max(pressure_of(observed.metrics)),
            self.policy.buffers_per_step,
        );
        let whole = Whole {
            metrics: observed.metrics,
            stated,
            has_sized_half: observed.has_sized_half,
        };
        let plan = plan(
            whole,
            metrics,
            &self.demand,
            proposal.as_ref(),
            &self.policy,
            self.pressure,
        )?;
        for planned in &plan.steps {
            if let SizingStep::SetClasses { classes } = &planned.step {
                self.demand
                    .expect_classes(classes.iter().map(|class| class.samples));
            }
        }
        let applied = AppliedPlan {
            plan: plan.clone(),
            applied_at_ms: now_ms,
            measured: None,
        };
        self.measuring.get_or_insert(Measuring {
            applied,
            hits: observed.metrics.pool_hits,
            requests: observed.metrics.total_allocations,
        });
        Some(plan)
    }

    /// Observes the classes before there is any demand: their buffers are those that the host expects to need.
    pub(crate) fn expect(&mut self, metrics: &PoolMetrics) {
        self.demand.observe(self.clock.at(f64::NAN), metrics);
    }

    /// Records that a half was attached with so many buffers of a class, which the host configured: they are kept until
    /// demand has aged.
    pub(crate) fn observe_attached(&mut self, samples: usize, buffers: u32) {
        self.demand.observe_attached(samples, buffers);
    }

    /// Counts `count` requests of `samples` samples, for learning the classes.
    pub(crate) fn observe_size(&mut self, samples: usize, count: u64) {
        self.demand.add_size(samples, count);
        self.sizes_observed = self.sizes_observed.saturating_add(count);
    }

    /// The recent demand.
    #[doc(hidden)] // For the browser host's dashboard.
    #[must_use]
    pub fn demand(&self) -> &Demand {
        &self.demand
    }

    /// The last plan; its measured effect is added after a window has passed.
    #[must_use]
    pub fn last_plan(&self) -> Option<&AppliedPlan> {
        self.last
            .as_ref()
            .or(self.measuring.as_ref().map(|measuring| &measuring.applied))
    }

    /// The profile for the next start. With few observations, it has at least the buffers with which this run began.
    #[must_use]
    pub fn profile(&self) -> SizingProfile {
        let is_aged = self.demand.is_aged();
        let active = self.demand.classes.iter().filter(|class| !class.retired);
        let classes = active.map(|class| {
            let peak = class.concurrent.quantile(1.0, WINDOWS).map_or(0, u64::from);
            let began_with = if is_aged { 0 } else { class.expected };
            ClassBuffers {
                samples: class.samples,
                // A start cannot carve more at a time; the pool grows to the rest later.
                buffers: peak.max(began_with).min(MAX_BUFFERS_AT_ONCE.into()) as u32,
            }
        });
        SizingProfile::of_checked(
            classes.collect(),
            ((self.demand.peak_bytes() as f64 * HELD_AT_START) as usize)
                .max(self.demand.configured_bytes()),
        )
    }

    fn measure(&mut self, now_ms: f64, metrics: &PoolMetrics) {
        let Some(measuring) = &mut self.measuring else {
            return;
        };
        if now_ms - measuring.applied.applied_at_ms < self.policy.window_ms {
            return;
        }
        // Counts fall when a half with requests is removed: nothing was measured then.
        let requests = metrics.total_allocations.checked_sub(measuring.requests);
        let hits = metrics.pool_hits.checked_sub(measuring.hits);
        let counted = requests
            .zip(hits)
            .filter(|&(requests, hits)| requests > 0 && hits <= requests);
        measuring.applied.measured = Some(Effect {
            bytes_held: metrics.bytes_held,
            hit_rate_percentage: counted
                .map(|(requests, hits)| (hits as f64 / requests as f64 * 100.0) as f32),
            internal_waste_percentage: metrics.internal_waste_percentage,
        });
        self.last = self.measuring.take().map(|measuring| measuring.applied);
    }

    /// Advances the class search, or begins one after enough observations.
    fn learn(&mut self, metrics: &PoolMetrics) -> Option<ClassProposal> {
        if !self.policy.learn_classes {
            return None;
        }
        if self.search.is_none() && self.sizes_observed >= self.search_at {
            let largest = metrics.classes.last().map_or(0, |class| class.samples);
            self.search = Some(BoundarySearch::new(
                &self.demand.sizes,
                largest,
                MAX_CLASSES,
            ));
        }
        let proposal = self.search.as_mut()?.advance(SEARCH_BUDGET)?;
        self.search = None;
        self.search_at = self
            .sizes_observed
            .saturating_add(self.demand.sizes.requests());
        Some(proposal)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::modules::data_management::metrics::pool_metrics::ClassMetrics;
    use crate::modules::data_management::sizing::sizing_plan::Reason;

    mockall::mock! {
        Halves {}
        impl OwnHalves for Halves {
            fn classes(&self) -> &[OwnClass];
            fn requests(&self, half: u16) -> Vec<(usize, u32)>;
            fn class_for(&self, samples: usize) -> Option<usize>;
        }
    }

    pub(in super::super) const WINDOW_MS: f64 = 100.0;

    /// A model of a pool that applies plans immediately: classes with so many carved and leased buffers.
    pub(in super::super) struct Bench {
        pub(in super::super) metrics: PoolMetrics,
        pub(in super::super) engine: PoolOptimizationEngine,
        now_ms: f64,
    }

    impl Bench {
        pub(in super::super) fn new(classes: &[(usize, u64)], policy: SizingPolicy) -> Self {
            let classes = classes.iter().map(|&(samples, carved)| ClassMetrics {
                samples,
                carved,
                idle: carved,
                ..Default::default()
            });
            let metrics = PoolMetrics {
                classes: classes.collect(),
                bytes_limit: 1 << 30,
                ..Default::default()
            };
            let policy = SizingPolicy {
                window_ms: WINDOW_MS,
                ..policy
            };
            Self {
                metrics,
                engine: PoolOptimizationEngine::new(policy).unwrap(),
                now_ms: 0.0,
            }
        }

        /// One control step with so many leased buffers per class.
        pub(in super::super) fn step(&mut self, leased: &[u64]) -> Option<SizingPlan> {
            self.now_ms += 5.0;
            for (class, &leased) in self.metrics.classes.iter_mut().zip(leased) {
                class.exhausted += leased.saturating_sub(class.carved);
                class.leased = leased.min(class.carved);
                class.recent_high_water = class.leased;
                class.idle = class.carved - class.leased;
                class.hits += class.leased;
            }
            self.drain();
            self.refresh();
            let plan = self.engine.step(self.now_ms, &self.metrics)?;
            for planned in &plan.steps {
                match &planned.step {
                    &SizingStep::Grow {
                        class_samples,
                        buffers,
                    } => self.resize(class_samples, i64::from(buffers)),
                    &SizingStep::Shrink {
                        class_samples,
                        buffers,
                    } => self.resize(class_samples, -i64::from(buffers)),
                    SizingStep::SetClasses { classes } => self.reclass(classes),
                }
            }
            self.drain();
            self.refresh();
            let draining = self
                .metrics
                .classes
                .iter()
                .map(|class| class.draining as usize * class.samples * 4);
            assert_eq!(
                self.metrics.bytes_held - draining.sum::<usize>(),
                plan.expected.bytes_held
            );
            Some(plan)
        }

        fn resize(&mut self, samples: usize, by: i64) {
            let class = self
                .metrics
                .classes
                .iter_mut()
                .find(|class| class.samples == samples)
                .unwrap();
            let kept = by.clamp(0, class.draining as i64);
            class.draining -= kept as u64;
            class.draining += (-by).max(0) as u64;
            class.carved += (by - kept).max(0) as u64;
            assert!(class.draining <= class.carved);
        }

        /// Buffers that were requested back are returned as soon as they are idle.
        fn drain(&mut self) {
            for class in &mut self.metrics.classes {
                let going = class.draining.min(class.carved - class.leased);
                class.draining -= going;
                class.carved -= going;
                class.idle = class.carved - class.leased;
            }
        }

        fn reclass(&mut self, classes: &[ClassBuffers]) {
            let present = &mut self.metrics.classes;
            for class in present.iter_mut() {
                class.retired = classes.iter().all(|new| new.samples != class.samples);
            }
            for &ClassBuffers { samples, buffers } in classes {
                if present.iter().all(|class| class.samples != samples) {
                    let carved = u64::from(buffers);
                    present.push(ClassMetrics {
                        samples,
                        carved,
                        idle: carved,
                        ..Default::default()
                    });
                }
            }
            present.sort_unstable_by_key(|class| class.samples);
        }

        fn refresh(&mut self) {
            let classes = &self.metrics.classes;
            self.metrics.total_allocations = classes.iter().map(ClassMetrics::acquires).sum();
            self.metrics.pool_hits = classes.iter().map(|class| class.hits).sum();
            self.metrics.bytes_held = classes
                .iter()
                .map(|class| class.carved as usize * class.samples * 4)
                .sum();
        }

        pub(in super::super) fn carved(&self) -> Vec<u64> {
            self.metrics
                .classes
                .iter()
                .map(|class| class.carved)
                .collect()
        }

        pub(in super::super) fn exhausted(&self) -> u64 {
            self.metrics
                .classes
                .iter()
                .map(|class| class.exhausted)
                .sum()
        }
    }

    /// Enough steps of 5 ms for every window to pass.
    pub(in super::super) const AGE: usize = WINDOWS * (WINDOW_MS as usize) / 5 + WINDOWS;

    #[test]
    fn optimizer_reads_the_requests_of_a_half_when_it_is_attached_and_once_per_window() {
        let policy = SizingPolicy {
            window_ms: WINDOW_MS,
            ..Default::default()
        };
        let mut engine = PoolOptimizationEngine::new(policy).unwrap();
        let metrics = PoolMetrics::default();
        for step in 0..=20 {
            let mut halves = MockHalves::new();
            let class = ClassMetrics {
                samples: 256,
                carved: 30,
                recent_high_water: 5,
                hits: 5 * (step + 1),
                ..Default::default()
            };
            halves.expect_classes().return_const(vec![OwnClass {
                half: 3,
                attachment: 1,
                class,
            }]);
            let reads = halves.expect_requests().with(mockall::predicate::eq(3));
            reads
                .times(usize::from(step % 10 == 0))
                .return_const(vec![(200, 5)]);
            halves.expect_class_for().return_const(256_usize);
            let observed = Observed {
                metrics: &metrics,
                own: &halves,
                has_sized_half: false,
            };
            if step == 20 {
                engine.set_memory_pressure(MemoryPressure::Critical);
            }
            let plan = engine.step_beside(step as f64 * WINDOW_MS / 10.0, observed, &metrics);
            assert_eq!(plan.is_some(), step == 20);
            if let Some(plan) = plan {
                let shrink = SizingStep::Shrink {
                    class_samples: 256,
                    buffers: 24,
                };
                assert_eq!(
                    (&plan.steps[0].step, plan.steps[0].half),
                    (&shrink, Some(3))
                );
            }
        }
    }

    #[test]
    fn optimizer_replaces_wasteful_classes() {
        let mut bench = Bench::new(&[(512, 8), (1024, 8), (4096, 8)], SizingPolicy::default());
        bench.engine.observe_size(960, 1000);
        bench.engine.observe_size(600, 1000);
        let plan = (0..10).find_map(|_| bench.step(&[0, 4, 0])).unwrap();
        // The four buffers of 1024 in use served both sizes.
        let class = |samples, buffers| ClassBuffers { samples, buffers };
        let classes = vec![class(608, 3), class(960, 3), class(4096, 0)];
        let learned = SizingStep::SetClasses { classes };
        assert_eq!(
            (&plan.steps[0].step, plan.steps[0].reason),
            (&learned, Reason::WastedSamples)
        );
        assert_eq!(plan.expected.internal_waste_percentage, Some(0.0));
    }

    #[test]
    fn optimizer_keeps_classes_that_fit() {
        let mut bench = Bench::new(&[(512, 8), (1024, 8)], SizingPolicy::default());
        bench.engine.observe_size(1000, 2000);
        assert!((0..20).all(|_| bench.step(&[0, 4]).is_none()));
    }

    #[test]
    fn optimizer_measures_the_effect_of_a_plan() {
        let mut bench = Bench::new(&[(256, 8)], SizingPolicy::default());
        bench.step(&[8]);
        assert_eq!(bench.engine.last_plan().unwrap().measured, None);
        for _ in 0..30 {
            bench.step(&[8]);
        }
        let last = bench.engine.last_plan().unwrap();
        assert_eq!(last.plan.expected.hit_rate_percentage, Some(100.0));
        assert_eq!(last.measured.unwrap().hit_rate_percentage, Some(100.0));
        assert_eq!(last.measured.unwrap().bytes_held, bench.metrics.bytes_held);
    }

    #[test]
    fn optimizer_is_deterministic() {
        let run = || {
            let mut bench = Bench::new(&[(256, 8), (512, 8)], SizingPolicy::default());
            (0..50u64)
                .filter_map(|step| bench.step(&[step % 17, step / 3]))
                .collect::<Vec<_>>()
        };
        assert_eq!(run(), run());
    }

    #[test]
    fn sizing_profile_of_a_short_run_keeps_the_initial_buffers() {
        let mut bench = Bench::new(&[(256, 40), (1024, 10)], SizingPolicy::default());
        bench.step(&[3, 0]);
        let class = |samples, buffers| ClassBuffers { samples, buffers };
        let mix = bench.engine.profile().mix();
        assert_eq!(mix, [class(256, 40), class(1024, 10)]);
    }

    #[test]
    fn sizing_profile_starts_the_next_run_without_exhaustion() {
        let mut bench = Bench::new(&[(256, 8), (1024, 8)], SizingPolicy::default());
        for _ in 0..AGE {
            bench.step(&[30, 10]);
        }
        let mix: Vec<_> = bench
            .engine
            .profile()
            .mix()
            .iter()
            .map(|c| (c.samples, u64::from(c.buffers)))
            .collect();
        let mut next = Bench::new(&mix, SizingPolicy::default());
        for _ in 0..AGE {
            next.step(&[30, 10]);
        }
        assert_eq!(next.exhausted(), 0);
    }
}
