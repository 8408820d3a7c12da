//! The scheduled control step: collect, measure, alert, plan, apply, defragment. Nobody has to ask for any of it.

use super::class_table::BUCKETS;
use super::defragmentation::DefragmentationResult;
use super::pool_control::PoolControl;
use super::pool_events::{
    HitRateLow, JSGCPressureReduction, MemoryOverheadHigh, PoolFragmentation, PoolMetricsSnapshot,
    PoolOptimization,
};
use super::pool_metrics::{BoundaryCounts, PoolCounts, PoolMetrics};
use super::pool_monitor::{Alert, AlertKind, AlertRules, PoolMetricsMonitor};
use super::pool_optimization::PoolOptimizationEngine;
use super::sizing_plan::{SizingPlan, SizingStep};
use super::sizing_rules::SizingPolicy;
use crate::event_bus::Publisher;

/// Buffers collected or replenished in one step, beside those the plan moves.
const COLLECT_BUDGET: u32 = 256;
/// Request sizes are read this often; they change slowly.
const STEPS_PER_SIZE_READING: u32 = 16;
/// Between two [`PoolMetricsSnapshot`] events.
const SNAPSHOT_MS: f64 = 100.0;
/// Between two complete defragmentation runs while the alert lasts.
const DEFRAGMENT_MS: f64 = 1000.0;

/// What one control step did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KeeperReport {
    /// Buffers carved, taken back or looked at: what bounds the step.
    pub operations: u32,
    /// Alerts that began or ended.
    pub alerts: Vec<Alert>,
    /// The plan that was applied.
    pub plan: Option<SizingPlan>,
    /// The defragmentation run, when the alert asked for one.
    pub defragmentation: Option<DefragmentationResult>,
}

/// Keeps a pool: monitor and optimizer in one step.
#[derive(Debug, Clone)]
pub struct PoolKeeper {
    monitor: PoolMetricsMonitor,
    engine: Option<PoolOptimizationEngine>,
    metrics: PoolMetrics,
    /// Requests by size as last read.
    sizes_read: [u32; BUCKETS],
    steps: u32,
    snapshot_at_ms: f64,
    defragment_at_ms: f64,
    boundary_told: BoundaryCounts,
}

impl PoolKeeper {
    /// A keeper that has seen nothing yet. Without a policy sizes stay as built.
    #[must_use]
    pub fn new(rules: AlertRules, policy: Option<SizingPolicy>) -> Self {
        Self {
            monitor: PoolMetricsMonitor::new(rules),
            engine: policy.map(PoolOptimizationEngine::new),
            metrics: PoolMetrics::default(),
            sizes_read: [0; BUCKETS],
            steps: 0,
            snapshot_at_ms: f64::NEG_INFINITY,
            defragment_at_ms: f64::NEG_INFINITY,
            boundary_told: BoundaryCounts::default(),
        }
    }

    /// One step at `now_ms`. `add` puts in what the pool does not count itself: the boundary, leaks, shelved vectors.
    ///
    /// # Real-time
    /// For the control side. At most [`COLLECT_BUDGET`] buffers are collected, twice the policy's `buffers_per_step`
    /// planned, and those of one bounded defragmentation run looked at.
    pub fn step(
        &mut self,
        now_ms: f64,
        control: &mut PoolControl,
        publisher: Option<&Publisher>,
        add: impl FnOnce(&mut PoolCounts),
    ) -> KeeperReport {
        let collected = control.step(COLLECT_BUDGET);
        let mut counts = control.counts();
        control.begin_peak_window();
        add(&mut counts);
        self.metrics.refresh(&counts);
        self.read_sizes(control);

        let mut report = KeeperReport {
            operations: collected.collected + collected.replenished,
            alerts: self.monitor.observe(now_ms, &self.metrics).collect(),
            ..KeeperReport::default()
        };
        report.plan = self
            .engine
            .as_mut()
            .and_then(|engine| engine.step(now_ms, &self.metrics));
        if let Some(plan) = &report.plan {
            report.operations += apply(plan, control, publisher);
        }
        if self.monitor.is_active(AlertKind::Fragmentation) && now_ms >= self.defragment_at_ms {
            let result = control.defragment();
            report.operations += result.steps;
            if result.complete {
                self.defragment_at_ms = now_ms + DEFRAGMENT_MS;
            }
            report.defragmentation = Some(result);
        }
        if let Some(publisher) = publisher {
            report
                .alerts
                .iter()
                .for_each(|alert| self.tell(alert, publisher));
            if now_ms >= self.snapshot_at_ms {
                self.snapshot_at_ms = now_ms + SNAPSHOT_MS;
                self.tell_snapshot(counts.boundary, publisher);
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

    /// Demand, last plan, profile.
    #[must_use]
    pub fn engine(&self) -> Option<&PoolOptimizationEngine> {
        self.engine.as_ref()
    }

    /// To tell of memory pressure.
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

    fn tell(&self, alert: &Alert, publisher: &Publisher) {
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
            // Told by the half that refused, and by whoever found the leak, with the numbers only they know.
            AlertKind::Exhausted | AlertKind::Leaked => {}
        }
    }

    fn tell_snapshot(&mut self, boundary: BoundaryCounts, publisher: &Publisher) {
        let metrics = &self.metrics;
        publisher.publish(PoolMetricsSnapshot {
            total_allocations: metrics.total_allocations,
            pool_misses: metrics.pool_misses,
            bytes_held: metrics.bytes_held as u64,
            bytes_reserved: metrics.bytes_reserved as u64,
            leased: metrics.leased as u32,
            exhausted: metrics.exhausted as u32,
            fragmentation_percentage: metrics.fragmentation_percentage,
            memory_overhead_percentage: metrics.memory_overhead_percentage.unwrap_or(f32::NAN),
        });
        if let Some(reduction_percentage) = metrics.js_gc_pressure_reduction
            && std::mem::replace(&mut self.boundary_told, boundary) != boundary
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

/// Applies what can be; a step the pool refuses (its limit is reached, a class is just gone) leaves the rest to do. The
/// next look at the metrics plans anew from what there is. Answers how many buffers were moved.
fn apply(plan: &SizingPlan, control: &mut PoolControl, publisher: Option<&Publisher>) -> u32 {
    let mut told = PoolOptimization {
        steps: 0,
        buffers_added: 0,
        buffers_removed: 0,
        classes: 0,
        bytes_held_before: plan.before.bytes_held as u64,
        bytes_held_after: plan.before.bytes_held as u64,
    };
    for planned in &plan.steps {
        if control.apply(&planned.step).is_err() {
            continue;
        }
        told.steps += 1;
        told.bytes_held_after = told
            .bytes_held_after
            .saturating_add_signed(planned.bytes_held_change);
        match &planned.step {
            SizingStep::Grow { buffers, .. } => told.buffers_added += buffers,
            SizingStep::Shrink { buffers, .. } => told.buffers_removed += buffers,
            SizingStep::SetClasses { classes } => {
                told.buffers_added += classes.iter().map(|class| class.buffers).sum::<u32>();
            }
        }
    }
    told.classes = control.classes().count() as u32;
    if let Some(publisher) = publisher.filter(|_| told.steps > 0) {
        publisher.publish(told);
    }
    told.buffers_added + told.buffers_removed
}
