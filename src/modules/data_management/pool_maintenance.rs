//! The scheduled control step: collects, measures, raises alerts, plans, applies, defragments.

use crate::event_bus::Publisher;
use crate::modules::data_management::metrics::pool_metrics::{
    BoundaryCounts, PoolCounts, PoolFigures, PoolMetrics,
};
use crate::modules::data_management::pool_events::{
    HitRateLow, JSGCPressureReduction, MemoryOverheadHigh, PoolAlertEnded, PoolFragmentation,
    PoolMetricsSnapshot, PoolOptimization, declare_for,
};
use crate::modules::data_management::pool_monitor::{
    Alert, AlertKind, AlertRules, PoolMetricsMonitor,
};
use crate::modules::data_management::pool_optimization::{Observed, PoolOptimizationEngine};
use crate::modules::data_management::sizing::sizing_plan::{SizingPlan, SizingStep};
use crate::modules::data_management::sizing::sizing_rules::SizingPolicy;
use crate::modules::data_management::sizing::stated_needs::OwnHalves;
use crate::setting_error::SettingError;
use crate::step_clock::StepClock;
use wavepool_core::DefragmentationResult;
use wavepool_core::PoolControl;
use wavepool_core::internal::{BUCKETS, OwnClass};

/// Buffers collected or replenished in one step, beside those that the plan moves.
const COLLECT_BUDGET: u32 = 256;
/// Slots that one step scans for requested lengths: all of most pools. A pool of more takes the interpreter hours.
const SLOTS_PER_STEP: u32 = if cfg!(miri) { 64 } else { 2048 };
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
    /// Buffers carved or collected: with `scans` what bounds the step.
    pub operations: u32,
    /// Slots, free runs and stretches of the arena scanned.
    pub scans: u32,
    /// Alerts that began or ended.
    pub alerts: Vec<Alert>,
    /// The plan that was applied.
    pub plan: Option<SizingPlan>,
    /// The defragmentation run, when the alert was raised.
    pub defragmentation: Option<DefragmentationResult>,
}

/// Maintains a pool: monitor and optimizer in one step.
#[derive(Debug, Clone)]
pub struct PoolMaintenance {
    monitor: PoolMetricsMonitor,
    engine: Option<PoolOptimizationEngine>,
    metrics: PoolMetrics,
    /// The classes of halves with a mix of their own at the last step.
    own: Vec<OwnClass>,
    clock: StepClock,
    /// Requests by size at the last reading.
    sizes_read: [u32; BUCKETS],
    slots_per_step: u32,
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
            own: Vec::new(),
            clock: StepClock::default(),
            sizes_read: [0; BUCKETS],
            slots_per_step: SLOTS_PER_STEP,
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
        let scans = control.scans();
        let collected = control.step(COLLECT_BUDGET);
        let usage = control.usage_of_step(self.slots_per_step);
        let demand = PoolMetrics::from_counts(&control.usage_of_demand(&usage).into());
        self.own.clear();
        self.own.extend(control.own_classes());
        let mut counts = PoolCounts::from(usage);
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
        let observed = Observed {
            metrics: &self.metrics,
            own: &AttachedHalves {
                control,
                classes: &self.own,
            },
            has_sized_half: control.has_half_of_demand(),
        };
        report.plan = self
            .engine
            .as_mut()
            .and_then(|engine| engine.step_beside(now_ms, observed, &demand));
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
        }
        control.begin_peak_window();
        report.scans = (control.scans() - scans) as u32;
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

    /// The classes of halves with a mix of their own, as counted by the last step.
    pub(crate) fn own_classes(&self) -> &[OwnClass] {
        &self.own
    }

    /// Gives the optimizer the mix that the pool was built with, before the first half is detached: it stays in the profile until
    /// demand was measured.
    pub(crate) fn expect_mix_of(&mut self, control: &PoolControl) {
        if let Some(engine) = &mut self.engine {
            engine.expect(&control.metrics());
        }
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
    pub(crate) fn engine_mut(&mut self) -> Option<&mut PoolOptimizationEngine> {
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
        let (value, threshold) = (alert.value as f32, alert.threshold as f32);
        if !alert.raised {
            publisher.publish(PoolAlertEnded {
                kind: alert.kind,
                value,
                threshold,
            });
            return;
        }
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

/// The halves with a mix of their own, as the optimizer sees them.
struct AttachedHalves<'a> {
    control: &'a PoolControl,
    classes: &'a [OwnClass],
}

impl OwnHalves for AttachedHalves<'_> {
    fn classes(&self) -> &[OwnClass] {
        self.classes
    }

    fn requests(&self, half: u16) -> Vec<(usize, u32)> {
        self.control.demand_of_half(half).collect()
    }

    fn class_for(&self, samples: usize) -> Option<usize> {
        let mut classes = self.control.classes();
        classes.find(|&class| class >= samples)
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
        bytes_held_expected: control.bytes_held() as u64,
    };
    for planned in &plan.steps {
        let applied = match planned.half {
            Some(half) => control.apply_to_half(half, &planned.step),
            None => control.apply(&planned.step),
        };
        if applied.is_err() {
            continue;
        }
        published.steps += 1;
        published.bytes_held_expected = published
            .bytes_held_expected
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
#[path = "pool_maintenance_tests.rs"]
mod tests;
