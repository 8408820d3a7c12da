//! The scheduled control step: collects, measures, raises alerts, plans, applies, defragments.

use super::defragmentation::DefragmentationResult;
use super::pool_control::PoolControl;
use crate::event_bus::Publisher;
use crate::modules::data_management::pool_events::{
    HitRateLow, JSGCPressureReduction, MemoryOverheadHigh, PoolFragmentation, PoolMetricsSnapshot,
    PoolOptimization, declare_for,
};
use crate::modules::data_management::pool_metrics::{BoundaryCounts, PoolCounts, PoolMetrics};
use crate::modules::data_management::pool_monitor::{
    Alert, AlertKind, AlertRules, PoolMetricsMonitor,
};
use crate::modules::data_management::pool_optimization::PoolOptimizationEngine;
use crate::modules::data_management::realtime::class_table::BUCKETS;
use crate::modules::data_management::setting_error::SettingError;
use crate::modules::data_management::sizing::sizing_plan::{SizingPlan, SizingStep};
use crate::modules::data_management::sizing::sizing_rules::SizingPolicy;
use crate::modules::data_management::step_clock::StepClock;

/// Buffers collected or replenished in one step, beside those that the plan moves.
const COLLECT_BUDGET: u32 = 256;
/// Steps between two readings of the request sizes, which change slowly.
const STEPS_PER_SIZE_READING: u32 = 16;
/// Time between two [`PoolMetricsSnapshot`] events.
const SNAPSHOT_MS: f64 = 100.0;
/// Time between two complete defragmentation runs while the alert lasts.
const DEFRAGMENT_MS: f64 = 1000.0;

/// From this fragmentation on each step fills a few gaps, which mostly prevents the alert.
const PREVENTION_PERCENTAGE: f32 = 2.0;
const PREVENTION_BUFFERS: u32 = 8;

/// What one control step did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MaintenanceReport {
    /// Buffers carved or collected: with `looks` what bounds the step.
    pub operations: u32,
    /// Slots and free runs scanned.
    pub looks: u32,
    /// Alerts that began or ended.
    pub alerts: Vec<Alert>,
    /// The plan that was applied.
    pub plan: Option<SizingPlan>,
    /// The defragmentation run, when the alert asked for one.
    pub defragmentation: Option<DefragmentationResult>,
}

/// Maintains a pool: monitor and optimizer in one step.
#[derive(Debug, Clone)]
pub struct PoolMaintenance {
    monitor: PoolMetricsMonitor,
    engine: Option<PoolOptimizationEngine>,
    metrics: PoolMetrics,
    clock: StepClock,
    /// Requests by size at the last reading.
    sizes_read: [u32; BUCKETS],
    steps: u32,
    snapshot_at_ms: f64,
    defragment_at_ms: f64,
    boundary_published: BoundaryCounts,
}

/// The default rules and the default policy.
impl Default for PoolMaintenance {
    fn default() -> Self {
        Self::of(
            PoolMetricsMonitor::default(),
            Some(PoolOptimizationEngine::default()),
        )
    }
}

impl PoolMaintenance {
    /// Maintenance without any history. Without a policy sizes stay as built.
    ///
    /// # Errors
    /// Those of [`AlertRules::check`] and [`SizingPolicy::check`].
    pub fn new(rules: AlertRules, policy: Option<SizingPolicy>) -> Result<Self, SettingError> {
        let monitor = PoolMetricsMonitor::new(rules)?;
        let engine = policy.map(PoolOptimizationEngine::new).transpose()?;
        Ok(Self::of(monitor, engine))
    }

    fn of(monitor: PoolMetricsMonitor, engine: Option<PoolOptimizationEngine>) -> Self {
        Self {
            monitor,
            engine,
            metrics: PoolMetrics::default(),
            clock: StepClock::default(),
            sizes_read: [0; BUCKETS],
            steps: 0,
            snapshot_at_ms: f64::NEG_INFINITY,
            defragment_at_ms: f64::NEG_INFINITY,
            boundary_published: BoundaryCounts::default(),
        }
    }

    /// One step at `now_ms`. `add` adds what the pool does not count itself: the boundary, leaks, recycled vectors. A
    /// time before the last one, or one that is no number, counts as the last one.
    ///
    /// # Real-time
    /// For the control side. At most 256 buffers are collected, twice the policy's `buffers_per_step` planned, and
    /// those of one bounded defragmentation run scanned.
    pub fn step(
        &mut self,
        now_ms: f64,
        control: &mut PoolControl,
        publisher: Option<&Publisher>,
        add: impl FnOnce(&mut PoolCounts),
    ) -> MaintenanceReport {
        let now_ms = self.clock.at(now_ms);
        if let Some(publisher) = publisher
            && now_ms >= self.snapshot_at_ms
        {
            // A publisher passed in need not have declared the types. A bus without room for more types leaves out the
            // JSON form.
            let _ = declare_for(publisher);
        }
        let looks = control.looks();
        let collected = control.step(COLLECT_BUDGET);
        let mut counts = control.counts_of_step();
        let demand = control.demand_counts(&counts);
        add(&mut counts);
        self.metrics.refresh(&counts);
        self.read_sizes(control);
        for (samples, buffers) in control.take_attached() {
            if let Some(engine) = &mut self.engine {
                engine.observe_attached(samples as usize, buffers);
            }
        }

        let mut report = MaintenanceReport {
            operations: collected.collected + collected.replenished,
            alerts: self.monitor.observe(now_ms, &self.metrics).collect(),
            ..MaintenanceReport::default()
        };
        report.plan = self
            .engine
            .as_mut()
            .and_then(|engine| engine.step(now_ms, &PoolMetrics::from_counts(&demand)));
        if let Some(plan) = &report.plan {
            report.operations += apply(plan, control, publisher);
        }
        if self.monitor.is_active(AlertKind::Fragmentation) && now_ms >= self.defragment_at_ms {
            let result = match self.engine {
                Some(_) => control.defragment_beside_plans(),
                None => control.defragment(),
            };
            report.operations += result.steps;
            if result.complete {
                self.defragment_at_ms = now_ms + DEFRAGMENT_MS;
            }
            report.defragmentation = Some(result);
        } else if self.metrics.fragmentation_percentage > PREVENTION_PERCENTAGE {
            report.operations += control.fill_some_gaps(PREVENTION_BUFFERS);
        } else {
            control.compute_thresholds();
        }
        control.begin_peak_window();
        report.looks = (control.looks() - looks) as u32;
        if let Some(publisher) = publisher {
            report
                .alerts
                .iter()
                .for_each(|alert| self.publish(alert, publisher));
            if now_ms >= self.snapshot_at_ms {
                self.snapshot_at_ms = now_ms + SNAPSHOT_MS;
                self.publish_snapshot(counts.boundary, publisher);
            }
        }
        report
    }

    /// The metrics of the last step.
    #[must_use]
    pub fn metrics(&self) -> &PoolMetrics {
        &self.metrics
    }

    /// The alert rules' state.
    #[must_use]
    pub fn monitor(&self) -> &PoolMetricsMonitor {
        &self.monitor
    }

    /// The optimizer: demand, last plan, profile.
    #[must_use]
    pub fn engine(&self) -> Option<&PoolOptimizationEngine> {
        self.engine.as_ref()
    }

    /// The optimizer, to report memory pressure to.
    pub fn engine_mut(&mut self) -> Option<&mut PoolOptimizationEngine> {
        self.engine.as_mut()
    }

    fn read_sizes(&mut self, control: &PoolControl) {
        self.steps = self.steps.wrapping_add(1);
        let due = self.steps.is_multiple_of(STEPS_PER_SIZE_READING);
        let Some(engine) = self.engine.as_mut().filter(|_| due) else {
            return;
        };
        for (index, (samples, count)) in control.demand().enumerate() {
            let read = std::mem::replace(&mut self.sizes_read[index], count);
            if count != read {
                engine.observe_size(samples, u64::from(count.wrapping_sub(read)));
            }
        }
    }

    fn publish(&self, alert: &Alert, publisher: &Publisher) {
        if !alert.raised {
            return;
        }
        let (value, threshold) = (alert.value as f32, alert.threshold as f32);
        match alert.kind {
            AlertKind::HitRateLow => {
                publisher.publish(HitRateLow {
                    hit_rate_percentage: value,
                    threshold_percentage: threshold,
                    total_allocations: self.metrics.total_allocations,
                    pool_misses: self.metrics.pool_misses,
                });
            }
            AlertKind::MemoryOverheadHigh => {
                publisher.publish(MemoryOverheadHigh {
                    overhead_percentage: value,
                    threshold_percentage: threshold,
                    overhead_bytes: self.metrics.memory_overhead_bytes as u64,
                });
            }
            AlertKind::Fragmentation => {
                publisher.publish(PoolFragmentation {
                    fragmentation_percentage: value,
                    threshold_percentage: threshold,
                    largest_free_run_samples: self.metrics.largest_free_run_samples as u64,
                });
            }
            // Published by the half that refused, and by the finder of the leak, with numbers that only they have.
            AlertKind::Exhausted | AlertKind::Leaked => {}
        }
    }

    fn publish_snapshot(&mut self, boundary: BoundaryCounts, publisher: &Publisher) {
        let metrics = &self.metrics;
        publisher.publish(PoolMetricsSnapshot {
            total_allocations: metrics.total_allocations,
            pool_misses: metrics.pool_misses,
            bytes_held: metrics.bytes_held as u64,
            bytes_reserved: metrics.bytes_reserved as u64,
            leased: u32::try_from(metrics.leased).unwrap_or(u32::MAX),
            exhausted: u32::try_from(metrics.exhausted).unwrap_or(u32::MAX),
            fragmentation_percentage: metrics.fragmentation_percentage,
            memory_overhead_percentage: metrics.memory_overhead_percentage.unwrap_or(f32::NAN),
        });
        if let Some(reduction_percentage) = metrics.js_gc_pressure_reduction
            && std::mem::replace(&mut self.boundary_published, boundary) != boundary
        {
            publisher.publish(JSGCPressureReduction {
                reduction_percentage,
                bytes_allocated: boundary.bytes_allocated,
                bytes_unpooled: boundary.bytes_unpooled,
                objects: boundary.objects,
            });
        }
    }
}

/// Applies the steps that can be applied. A step that the pool refuses (its limit is reached, a class was just
/// retired) leaves the rest to do; the next step plans anew. Returns how many buffers were moved.
fn apply(plan: &SizingPlan, control: &mut PoolControl, publisher: Option<&Publisher>) -> u32 {
    let mut published = PoolOptimization {
        steps: 0,
        buffers_added: 0,
        buffers_removed: 0,
        classes: 0,
        bytes_held_before: control.bytes_held() as u64,
        bytes_held_after: control.bytes_held() as u64,
    };
    for planned in &plan.steps {
        if control.apply_without_thresholds(&planned.step).is_err() {
            continue;
        }
        published.steps += 1;
        published.bytes_held_after = published
            .bytes_held_after
            .saturating_add_signed(planned.bytes_held_change);
        match &planned.step {
            SizingStep::Grow { buffers, .. } => published.buffers_added += buffers,
            SizingStep::Shrink { buffers, .. } => published.buffers_removed += buffers,
            SizingStep::SetClasses { classes } => {
                published.buffers_added += classes.iter().map(|class| class.buffers).sum::<u32>();
            }
        }
    }
    published.classes = control.classes().count() as u32;
    if let Some(publisher) = publisher.filter(|_| published.steps > 0) {
        publisher.publish(published);
    }
    published.buffers_added + published.buffers_removed
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use super::super::{threshold_search, usage_scan};
    use super::*;
    use crate::event_bus::{Event, TypedEventBus};
    use crate::modules::data_management::pool_events::PoolExhausted;
    use crate::modules::data_management::sizing::sizing_profile::ClassBuffers;
    use crate::modules::data_management::{BufferPool, RealtimePool};

    /// Counts events of one type as they are dispatched.
    fn tally<E: Event>(
        bus: &TypedEventBus,
    ) -> (Arc<Mutex<Vec<E>>>, crate::event_bus::Subscription) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&seen);
        let guard = bus
            .subscribe(move |event: &E| sink.lock().unwrap().push(*event))
            .unwrap();
        (seen, guard)
    }

    struct Host {
        bus: TypedEventBus,
        publisher: Publisher,
        control: PoolControl,
        half: RealtimePool,
        maintenance: PoolMaintenance,
        step: u64,
    }

    impl Host {
        fn new(classes: &[(usize, u32)]) -> Self {
            let bus = TypedEventBus::default();
            let pool = classes
                .iter()
                .fold(BufferPool::builder(), |pool, &(samples, buffers)| {
                    pool.class(samples, buffers)
                });
            let (control, mut half) = pool.limit_samples(1 << 20).build().unwrap();
            half.attach_publisher(bus.publisher().unwrap()).unwrap();
            let policy = SizingPolicy {
                window_ms: 50.0,
                ..Default::default()
            };
            let publisher = bus.publisher().unwrap();
            let maintenance = PoolMaintenance::new(AlertRules::default(), Some(policy)).unwrap();
            Self {
                bus,
                publisher,
                control,
                half,
                maintenance,
                step: 0,
            }
        }

        /// One control step, after a quantum in which `count` buffers of `samples` were in use at once.
        fn use_buffers(&mut self, samples: usize, count: usize) -> MaintenanceReport {
            self.step += 1;
            self.half.begin_quantum(self.step * 128);
            let held: Vec<_> = (0..count)
                .filter_map(|_| self.half.acquire(samples).ok())
                .collect();
            held.into_iter()
                .for_each(|buffer| self.half.release(buffer));
            let now_ms = self.step as f64 * 5.0;
            let report =
                self.maintenance
                    .step(now_ms, &mut self.control, Some(&self.publisher), |_| {});
            self.bus.pump(usize::MAX);
            assert!(!self.step.is_multiple_of(64) || self.control.is_valid());
            report
        }
    }

    #[test]
    fn maintenance_grows_what_is_needed_and_reclaims_what_is_not() {
        let mut host = Host::new(&[(256, 4), (1024, 40)]);
        let (plans, _guard) = tally::<PoolOptimization>(&host.bus);
        for _ in 0..if cfg!(miri) { 70 } else { 200 } {
            host.use_buffers(256, 30);
        }
        let metrics = host.maintenance.metrics().clone();
        assert!(
            metrics.classes[0].carved >= 30 && metrics.classes[1].carved < 10,
            "{:?}",
            metrics.classes
        );
        assert!((metrics.bytes_held as f64) < 1.3 * f64::from(30 * 256 * 4));
        let plans = plans.lock().unwrap();
        assert!(
            plans.iter().any(|plan| plan.buffers_added > 0)
                && plans.iter().any(|plan| plan.buffers_removed > 0)
        );
        assert!(host.use_buffers(256, 30).plan.is_none(), "it has settled");
    }

    #[test]
    fn maintenance_learns_the_classes() {
        let mut host = Host::new(&[(256, 8), (1024, 8)]);
        let (plans, _guard) = tally::<PoolOptimization>(&host.bus);
        for _ in 0..if cfg!(miri) { 220 } else { 400 } {
            host.use_buffers(600, 6);
        }
        assert_eq!(host.control.classes().collect::<Vec<_>>(), [608, 1024]);
        assert!(plans.lock().unwrap().iter().any(|plan| plan.classes == 2));
        let exhausted = host.maintenance.metrics().exhausted;
        host.use_buffers(600, 6);
        assert_eq!(
            host.maintenance.metrics().exhausted,
            exhausted,
            "the new class serves at once"
        );
    }

    #[test]
    fn maintenance_refuses_no_alternating_sizes_while_it_learns() {
        // Classes are learned when enough was asked for, whatever moment of a turn that is.
        // The interpreter is slow: one turn, and everything so many times as quick.
        let (turns, quicker): (&[usize], _) = if cfg!(miri) {
            (&[187], 4.0)
        } else {
            (&[750, 800, 875], 1.0)
        };
        let default = SizingPolicy::default();
        let policy = SizingPolicy {
            window_ms: default.window_ms / quicker,
            ..default
        };
        for &turn in turns {
            let mut host = Host::new(&[256, 512, 1024, 2048, 4096].map(|samples| (samples, 64)));
            host.maintenance =
                PoolMaintenance::new(AlertRules::default(), Some(policy.clone())).unwrap();
            let mut held = VecDeque::new();
            for quantum in 0..8 * turn {
                host.half.begin_quantum(quantum as u64 * 128);
                let samples = [600, 1500, 350, 3000][quantum / turn % 4];
                let into = quantum % turn;
                // From none at once to 24 and back; the oldest goes in each quantum.
                let most = 48 * into.min(turn - into) / turn;
                while let Some(oldest) = held.pop_front() {
                    host.half.release(oldest);
                    if held.len() <= most {
                        break;
                    }
                }
                while held.len() < most {
                    held.push_back(host.half.acquire(samples).unwrap());
                }
                if quantum.is_multiple_of(4) {
                    let now_ms = quantum as f64 * 128.0 / 48.0;
                    host.maintenance
                        .step(now_ms, &mut host.control, None, |_| {});
                }
            }
            let classes: Vec<_> = host.control.classes().collect();
            assert_eq!(classes, [352, 608, 1504, 3008, 4096]);
        }
    }

    #[test]
    fn class_change_without_room_succeeds() {
        let mut host = Host::new(&[(1024, 8)]);
        host.control.limit_samples = 8 * 1024;
        let held: Vec<_> = (0..8).map(|_| host.half.acquire(600).unwrap()).collect();
        let class = |samples, buffers| ClassBuffers { samples, buffers };
        let classes = vec![class(608, 8), class(1024, 0)];
        host.control
            .apply(&SizingStep::SetClasses { classes })
            .unwrap();
        assert_eq!(host.control.classes().collect::<Vec<_>>(), [608, 1024]);
        assert!(host.control.is_valid());
        drop(held);
    }

    #[test]
    fn alerts_become_events() {
        let mut host = Host::new(&[(256, 2)]);
        host.maintenance = PoolMaintenance::new(AlertRules::default(), None).unwrap();
        let (low, _low) = tally::<HitRateLow>(&host.bus);
        let (overhead, _overhead) = tally::<MemoryOverheadHigh>(&host.bus);
        let (refused, _refused) = tally::<PoolExhausted>(&host.bus);
        let (snapshots, _snapshots) = tally::<PoolMetricsSnapshot>(&host.bus);
        for _ in 0..250 {
            host.use_buffers(256, 4);
        }
        let low = low.lock().unwrap();
        assert_eq!(low.len(), 1, "raised once, not at every step");
        assert!((low[0].hit_rate_percentage - 50.0).abs() < 0.5);
        // Two buffers of 1 KB: the tables weigh more than that.
        assert_eq!(overhead.lock().unwrap().len(), 1);
        assert_eq!(
            refused.lock().unwrap().len() as u64,
            host.maintenance.metrics().exhausted
        );
        assert!(
            (12..=13).contains(&snapshots.lock().unwrap().len()),
            "every 100 ms"
        );
    }

    #[test]
    fn fragmentation_is_published_and_reduced() {
        let mut host = Host::new(&[(256, 64), (1024, 1)]);
        host.maintenance = PoolMaintenance::new(AlertRules::default(), None).unwrap();
        let (published, _told) = tally::<PoolFragmentation>(&host.bus);
        let mut held: Vec<_> = (0..64).map(|_| host.half.acquire(256).unwrap()).collect();
        held.sort_unstable_by_key(|buffer| buffer.as_ptr().addr());
        let mut index = 0;
        held.retain(|_| {
            index += 1;
            index % 2 == 0
        });
        host.control.trim(256, 0).unwrap();
        let runs = (0..40)
            .filter_map(|_| host.use_buffers(1024, 0).defragmentation)
            .count();
        assert_eq!(published.lock().unwrap().len(), 1);
        assert!(runs > 0);
        drop(held);
    }

    #[test]
    fn boundary_figures_are_published_when_measured_and_changed() {
        let mut host = Host::new(&[(256, 2)]);
        let (published, _guard) = tally::<JSGCPressureReduction>(&host.bus);
        let boundary = BoundaryCounts {
            objects: 1,
            bytes_allocated: 10,
            bytes_unpooled: 100,
        };
        for step in 0..3 {
            let now_ms = f64::from(step) * 200.0;
            host.maintenance
                .step(now_ms, &mut host.control, Some(&host.publisher), |counts| {
                    counts.boundary = boundary
                });
        }
        host.bus.pump(usize::MAX);
        let published = published.lock().unwrap();
        assert_eq!(
            (published.len(), published[0].reduction_percentage),
            (1, 90.0)
        );
    }

    /// What a step may look at: slots by number, free runs by how often it passes over them.
    fn most_looks(host: &Host) -> usize {
        const PASSES: usize = 3 * 16 + 8;
        let runs = host.control.free_runs().count();
        (2 * threshold_search::SLOTS_PER_STEP + usage_scan::SLOTS_PER_STEP) as usize
            + PASSES * (runs + 1)
    }

    /// A pool of more buffers than a step may look at, whose use jumps between two sizes. Answers the most looks of a step.
    fn needs_service(slots_per_step: u32) -> u32 {
        let moves = 2 * SizingPolicy::default().buffers_per_step + COLLECT_BUDGET + 32;
        let sizes = if cfg!(miri) {
            [(16, 300), (64, 80)]
        } else {
            [(16, 9000), (64, 2000)]
        };
        let mut host = Host::new(&sizes);
        host.control.slots_per_step = slots_per_step;
        let (mut most, mut plans) = (0, 0);
        let (steps, turn) = if cfg!(miri) { (36, 12) } else { (300, 30) };
        for step in 0..steps {
            let (samples, count) = sizes[usize::from(step % (2 * turn) < turn)];
            let report = host.use_buffers(samples, count as usize);
            assert!(report.operations <= moves, "{}", report.operations);
            assert!(
                report.looks as usize <= most_looks(&host),
                "{} looks in a step",
                report.looks
            );
            most = most.max(report.looks);
            plans += u32::from(report.plan.is_some());
        }
        assert!(plans > 10, "nothing was asked of it");
        most
    }

    #[test]
    fn control_step_moves_and_scans_a_bounded_number() {
        assert!(needs_service(threshold_search::SLOTS_PER_STEP) > threshold_search::SLOTS_PER_STEP);
    }

    #[test]
    #[should_panic(expected = "looks in a step")]
    fn control_step_bound_trips_when_every_slot_is_scanned() {
        needs_service(u32::MAX);
    }
}
