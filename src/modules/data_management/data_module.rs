//! The pool as a module of the application: booted by the registry, stepped by the host.

use super::pool_builder::{BufferPool, PoolBuilder};
use super::pool_control::PoolControl;
use super::pool_events::{
    self, HitRateLow, MemoryOverheadHigh, PoolFragmentation, PoolMetricsSnapshot, PoolOptimization,
};
use super::pool_metrics::PoolMetrics;
use super::pool_monitor::{Alert, AlertKind, AlertRules, PoolMetricsMonitor};
use super::pool_optimization::PoolOptimizationEngine;
use super::realtime_pool::RealtimePool;
use super::sizing_plan::{SizingPlan, SizingStep};
use super::sizing_rules::SizingPolicy;
use crate::event_bus::{Publisher, TypedEventBus};
use crate::registry::{
    Health, InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration, Version,
};

/// The pool may grow to this many times its first half's share, unless the host says otherwise.
const LIMIT_SHARES: usize = 8;
/// Buffers one scheduled step moves.
const STEP_BUDGET: u32 = 256;
/// Between two `PoolMetricsSnapshot` events.
const SNAPSHOT_MS: f64 = 100.0;

/// How the pool is to be: give it to the registry with `configure`.
#[derive(Debug, Clone)]
pub struct DataManagementConfig {
    /// Size classes, limits, policies.
    pub pool: PoolBuilder,
    /// How sizes follow demand; none leaves them as built.
    pub sizing: Option<SizingPolicy>,
    /// When to raise alerts.
    pub alerts: AlertRules,
}

impl Default for DataManagementConfig {
    fn default() -> Self {
        let share: usize = super::DEFAULT_MIX
            .iter()
            .map(|&(samples, buffers)| samples * buffers as usize)
            .sum();
        Self {
            pool: BufferPool::builder().limit_samples(LIMIT_SHARES * share),
            sizing: Some(SizingPolicy::default()),
            alerts: AlertRules::default(),
        }
    }
}

/// The pool, its monitor and its optimizer, under one name: `data_management`.
#[derive(Default)]
pub struct DataManagementModule {
    parts: Option<Parts>,
}

struct Parts {
    bus: TypedEventBus,
    publisher: Publisher,
    control: PoolControl,
    /// Built with the pool, given to the first who asks.
    first: Option<RealtimePool>,
    monitor: PoolMetricsMonitor,
    optimizer: Option<PoolOptimizationEngine>,
    /// Requests by size at the last look.
    demand: Vec<(usize, u64)>,
    snapshot_at_ms: f64,
}

/// The module was used before its `init`, or after its `stop`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DataManagementError {
    /// It is not running.
    #[error("the data_management module is not initialised")]
    NotRunning,
    /// The pool refused.
    #[error(transparent)]
    Pool(#[from] super::PoolError),
    /// The bus refused a publisher.
    #[error("the event bus has no publisher left")]
    NoPublisher,
}

impl Module for DataManagementModule {
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
        let config = ctx
            .config::<DataManagementConfig>()
            .cloned()
            .unwrap_or_default();
        pool_events::declare_all(ctx.bus())?;
        let (mut control, mut first) = config.pool.build()?;
        control.attach_publisher(ctx.bus().publisher()?);
        first.attach_publisher(ctx.bus().publisher()?);
        self.parts = Some(Parts {
            bus: ctx.bus().clone(),
            publisher: ctx.bus().publisher()?,
            control,
            first: Some(first),
            monitor: PoolMetricsMonitor::new(config.alerts),
            optimizer: config.sizing.map(PoolOptimizationEngine::new),
            demand: Vec::new(),
            snapshot_at_ms: f64::NEG_INFINITY,
        });
        Ok(())
    }

    fn stop(&mut self) {
        self.parts = None;
    }

    fn health(&self) -> Health {
        match &self.parts {
            None => Health::Failed("not initialised".to_owned()),
            Some(parts) => match parts.monitor.active().next() {
                None => Health::Healthy,
                Some(alert) => Health::Degraded(format!("{:?}: {:.1}", alert.kind, alert.value)),
            },
        }
    }
}

impl DataManagementModule {
    /// A real-time half with its publisher attached.
    ///
    /// # Errors
    /// Those of [`PoolControl::attach`]; when the bus has no publisher left; before `init`.
    pub fn attach_realtime(&mut self) -> Result<RealtimePool, DataManagementError> {
        let parts = self.parts.as_mut().ok_or(DataManagementError::NotRunning)?;
        if let Some(first) = parts.first.take() {
            return Ok(first);
        }
        let publisher = parts
            .bus
            .publisher()
            .map_err(|_| DataManagementError::NoPublisher)?;
        let mut half = parts.control.attach()?;
        half.attach_publisher(publisher);
        Ok(half)
    }

    /// The control half.
    #[must_use]
    pub fn control(&self) -> Option<&PoolControl> {
        self.parts.as_ref().map(|parts| &parts.control)
    }

    /// The control half.
    #[must_use]
    pub fn control_mut(&mut self) -> Option<&mut PoolControl> {
        self.parts.as_mut().map(|parts| &mut parts.control)
    }

    /// A snapshot of every figure.
    #[must_use]
    pub fn metrics(&self) -> Option<PoolMetrics> {
        self.parts.as_ref().map(|parts| parts.control.metrics())
    }

    /// The optimizer, for its last plan, its demand and its profile.
    #[must_use]
    pub fn optimizer(&self) -> Option<&PoolOptimizationEngine> {
        self.parts
            .as_ref()
            .and_then(|parts| parts.optimizer.as_ref())
    }

    /// The optimizer, to tell it of memory pressure.
    #[must_use]
    pub fn optimizer_mut(&mut self) -> Option<&mut PoolOptimizationEngine> {
        self.parts
            .as_mut()
            .and_then(|parts| parts.optimizer.as_mut())
    }

    /// The scheduled control step: measures, alerts, sizes, replenishes, collects, defragments while that alert is
    /// raised, tells the bus. Call it every few milliseconds to a few hundred; nothing else needs to be called for the pool to keep itself.
    ///
    /// # Real-time
    /// For the control side. Bounded: a fixed number of buffers moved, of classes looked at.
    pub fn tick(&mut self, now_ms: f64) {
        let Some(parts) = &mut self.parts else {
            return;
        };
        let metrics = parts.control.metrics();
        let alerts: Vec<_> = parts.monitor.observe(now_ms, &metrics).collect();
        for alert in alerts {
            parts.tell(alert, &metrics);
        }
        parts.optimize(now_ms, &metrics);
        parts.control.step(STEP_BUDGET);
        if parts.monitor.is_active(AlertKind::Fragmentation) {
            parts.control.defragment();
        }
        if now_ms - parts.snapshot_at_ms >= SNAPSHOT_MS {
            parts.snapshot_at_ms = now_ms;
            parts.publisher.publish(snapshot(&metrics));
        }
    }
}

impl Parts {
    fn tell(&self, alert: Alert, metrics: &PoolMetrics) {
        if !alert.raised {
            return;
        }
        let (value, threshold_percentage) = (alert.value as f32, alert.threshold as f32);
        match alert.kind {
            AlertKind::HitRateLow => drop(self.publisher.publish(HitRateLow {
                hit_rate_percentage: value,
                threshold_percentage,
                total_allocations: metrics.total_allocations,
                pool_misses: metrics.pool_misses,
            })),
            AlertKind::MemoryOverheadHigh => drop(self.publisher.publish(MemoryOverheadHigh {
                overhead_percentage: value,
                threshold_percentage,
                overhead_bytes: metrics.memory_overhead_bytes as u64,
            })),
            AlertKind::Fragmentation => drop(self.publisher.publish(PoolFragmentation {
                fragmentation_percentage: value,
                threshold_percentage,
                largest_free_run_samples: metrics.largest_free_run_samples as u64,
            })),
            // Told where they happen: `PoolExhausted` by the half, `BufferLeaked` by whoever found the leak.
            AlertKind::Exhausted | AlertKind::Leaked => {}
        }
    }

    fn optimize(&mut self, now_ms: f64, metrics: &PoolMetrics) {
        let Some(optimizer) = &mut self.optimizer else {
            return;
        };
        let demand: Vec<_> = self.control.demand().collect();
        for &(samples, count) in &demand {
            let before = self
                .demand
                .iter()
                .find(|seen| seen.0 == samples)
                .map_or(0, |seen| seen.1);
            if count > before {
                optimizer.observe_size(samples, count - before);
            }
        }
        self.demand = demand;
        if let Some(plan) = optimizer.step(now_ms, metrics) {
            self.apply(&plan, metrics);
        }
    }

    fn apply(&mut self, plan: &SizingPlan, before: &PoolMetrics) {
        let mut event = PoolOptimization {
            steps: 0,
            buffers_added: 0,
            buffers_removed: 0,
            classes: 0,
            bytes_held_before: before.bytes_held as u64,
            bytes_held_after: 0,
        };
        for planned in &plan.steps {
            // A step that does not fit now (limit, draining classes) is planned again when it still matters.
            if self.control.apply(&planned.step).is_err() {
                continue;
            }
            event.steps += 1;
            match planned.step {
                SizingStep::Grow { buffers, .. } => event.buffers_added += buffers,
                SizingStep::Shrink { buffers, .. } => event.buffers_removed += buffers,
                SizingStep::SetClasses { .. } => {}
            }
        }
        event.classes = self.control.classes().count() as u32;
        event.bytes_held_after = self.control.metrics().bytes_held as u64;
        self.publisher.publish(event);
    }
}

fn snapshot(metrics: &PoolMetrics) -> PoolMetricsSnapshot {
    PoolMetricsSnapshot {
        total_allocations: metrics.total_allocations,
        pool_misses: metrics.pool_misses,
        bytes_held: metrics.bytes_held as u64,
        bytes_reserved: metrics.bytes_reserved as u64,
        leased: metrics.leased as u32,
        exhausted: metrics.exhausted as u32,
        fragmentation_percentage: metrics.fragmentation_percentage,
        memory_overhead_percentage: metrics.memory_overhead_percentage.unwrap_or(f32::NAN),
    }
}

inventory::submit! {
    ModuleRegistration {
        descriptor: ModuleDescriptor { name: "data_management", version: Version(0, 1, 0), dependencies: &[] },
        construct: || Box::new(DataManagementModule::default()),
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;
    use crate::registry::ModuleRegistry;

    #[test]
    fn booted_by_the_registry_it_serves_and_publishes() {
        let bus = TypedEventBus::default();
        let (sent, seen) = std::sync::mpsc::channel();
        let _guard = bus
            .subscribe(move |event: &PoolMetricsSnapshot| sent.send(*event).unwrap())
            .unwrap();
        let mut registry = ModuleRegistry::builder(bus.clone()).boot().unwrap();
        let module = registry.get_mut::<DataManagementModule>().unwrap();
        let first = module.attach_realtime().unwrap();
        let second = module.attach_realtime().unwrap();
        let held = (first.acquire(100).unwrap(), second.acquire(100).unwrap());
        module.tick(0.0);
        bus.pump(usize::MAX);
        let snapshot = seen.try_recv().unwrap();
        assert_eq!((snapshot.leased, snapshot.total_allocations), (2, 2));
        drop(held);
        assert_eq!(module.control().unwrap().leased(), 0);
        assert_eq!(module.health(), Health::Healthy);
        registry.shutdown();
        assert!(first.acquire(100).is_ok());
    }
}
