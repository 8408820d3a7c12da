//! The module that the registry boots: the pool, its monitor and its optimizer.

use super::audio_buffer_manager::AudioBufferManagerImpl;
use super::buffer_recycling_pool::{BufferRecyclingPool, BufferRecyclingPoolImpl};
use super::bus_observer::AttachPublisher;
use super::half_accounts::HalfAccount;
use super::metrics::pool_metrics::{BoundaryCounts, PoolCounts, PoolMetrics};
use super::pool_events;
use super::pool_maintenance::{MaintenanceReport, PoolMaintenance};
use super::pool_monitor::{AlertRules, PoolMetricsMonitor};
use super::pool_optimization::PoolOptimizationEngine;
use super::recycled_vectors::VectorAccount;
use super::sizing::sizing_profile::{LearnedMix, ProfileError, SizingProfile};
use super::sizing::sizing_rules::SizingPolicy;
use crate::event_bus::{BusError, TypedEventBus};
use crate::registry::{
    CallTracker, Health, InitContext, Module, ModuleDescriptor, ModuleError, ModuleRegistration,
    Version,
};
use wavepool_core::PoolControl;
use wavepool_core::RealtimePool;
use wavepool_core::{BufferPool, PoolBuilder};

/// The default limit of the pool, as a multiple of its first half's mix.
const LIMIT_SHARES: usize = 8;
/// Buffers that are collected at a time when the pool is built.
const COLLECTED_AT_ONCE: u32 = 1024;
/// Buffers of each class for a stereo stream: one block being written and one being read.
const AUDIO_BUFFERS: u32 = 4;

/// The configuration of the pool: pass it to the registry's `configure`.
#[derive(Debug, Clone)]
pub struct DataManagementConfig {
    /// Size classes, limits, policies.
    pub pool: PoolBuilder,
    /// The policy of the optimizer; `None` leaves the sizes as built.
    pub sizing: Option<SizingPolicy>,
    /// The alert rules.
    pub alerts: AlertRules,
    /// The first buffers of the audio buffer manager's half: `(class samples, buffers)`.
    pub audio_buffers: Vec<(usize, u32)>,
}

impl Default for DataManagementConfig {
    fn default() -> Self {
        let share: usize = wavepool_core::DEFAULT_MIX
            .iter()
            .map(|&(samples, buffers)| samples * buffers as usize)
            .sum();
        Self {
            pool: BufferPool::builder().limit_samples(LIMIT_SHARES * share),
            sizing: Some(SizingPolicy::default()),
            alerts: AlertRules::default(),
            audio_buffers: wavepool_core::DEFAULT_MIX
                .map(|(samples, _)| (samples, AUDIO_BUFFERS))
                .to_vec(),
        }
    }
}

impl DataManagementConfig {
    /// The same, started with what an earlier run learned.
    ///
    /// # Errors
    /// As for [`LearnedMix::profile`]; the configuration can still be used without the profile then.
    pub fn with_profile(mut self, profile: &SizingProfile) -> Result<Self, ProfileError> {
        self.pool = self.pool.profile(profile)?;
        let classes = profile.mix().into_iter();
        self.audio_buffers = classes
            .map(|class| (class.samples, AUDIO_BUFFERS))
            .collect();
        Ok(self)
    }
}

/// The module `data_management`: the pool, its monitor and its optimizer.
#[derive(Default)]
pub struct DataManagementModule {
    parts: Option<Parts>,
}

struct Parts {
    bus: TypedEventBus,
    /// Records control steps for the registry's watchdog.
    calls: CallTracker,
    pool: BufferRecyclingPoolImpl,
    audio_buffers: AudioBufferManagerImpl,
    /// The first buffers of its half, which is attached when it is first used.
    audio_buffer_mix: Vec<(usize, u32)>,
}

/// Why the module could not serve a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DataManagementError {
    /// The module is not running: it was used before its `init` or after its `stop`.
    #[error("the data_management module is not initialised")]
    NotRunning,
    /// The error of the pool.
    #[error(transparent)]
    Pool(#[from] wavepool_core::PoolError),
    /// The error of the bus.
    #[error(transparent)]
    Bus(#[from] BusError),
}

impl Module for DataManagementModule {
    fn init(&mut self, ctx: &mut InitContext<'_>) -> Result<(), ModuleError> {
        let config = ctx
            .config::<DataManagementConfig>()
            .cloned()
            .unwrap_or_default();
        pool_events::declare_all(ctx.bus())?;
        let policy = config.sizing.clone().unwrap_or_default();
        let mut maintenance = PoolMaintenance::new(config.alerts, config.sizing)?;
        let (mut control, first) = config.pool.build()?;
        maintenance.expect_mix_of(&control);
        // Each half is attached when it is needed: until then the pool reserves the memory of the mix, but holds no buffers.
        drop(first);
        control.take_attached();
        while !control.step(COLLECTED_AT_ONCE).complete {}
        self.parts = Some(Parts {
            bus: ctx.bus().clone(),
            calls: ctx.call_tracker(),
            pool: BufferRecyclingPoolImpl::on_bus(
                control,
                maintenance,
                policy.window_ms,
                ctx.bus(),
            )?,
            audio_buffers: AudioBufferManagerImpl::default(),
            audio_buffer_mix: config.audio_buffers,
        });
        Ok(())
    }

    fn stop(&mut self) {
        self.parts = None;
    }

    fn health(&self) -> Health {
        match &self.parts {
            None => Health::Failed("not initialised".to_owned()),
            Some(parts) => match parts.pool.maintenance().monitor().active().next() {
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
    /// Those of [`PoolControl::attach`]; if the bus has its largest number of publishers; before `init`.
    pub fn attach_realtime(&mut self) -> Result<RealtimePool, DataManagementError> {
        let parts = self.parts.as_mut().ok_or(DataManagementError::NotRunning)?;
        let publisher = parts.bus.publisher()?;
        let mut half = parts.pool.control_mut().attach()?;
        half.attach_publisher(publisher)?;
        Ok(half)
    }

    /// The control half.
    #[must_use]
    pub fn control(&self) -> Option<&PoolControl> {
        self.parts.as_ref().map(|parts| parts.pool.control())
    }

    /// The control half.
    #[must_use]
    pub fn control_mut(&mut self) -> Option<&mut PoolControl> {
        self.parts.as_mut().map(|parts| parts.pool.control_mut())
    }

    /// Named audio buffers, from a half of their own.
    ///
    /// # Errors
    /// As for [`attach_realtime`](Self::attach_realtime).
    pub fn audio_buffers_mut(
        &mut self,
    ) -> Result<&mut AudioBufferManagerImpl, DataManagementError> {
        if !self.running()?.audio_buffers.has_half() {
            let mix = self.running()?.audio_buffer_mix.clone();
            let half = self.attach_stream("named audio buffers", &mix)?;
            self.running()?.audio_buffers.set_half(half);
        }
        Ok(&mut self.running()?.audio_buffers)
    }

    /// A half for a user with a known need, from the [manager](AudioBufferManagerImpl::attach), with its publisher attached. `need`
    /// is `(class samples, buffers)`: the most buffers that can be in use at a time.
    ///
    /// # Errors
    /// Those of [`PoolControl::attach_with`]; if the bus has its largest number of publishers; before `init`.
    pub fn attach_stream(
        &mut self,
        name: &str,
        need: &[(usize, u32)],
    ) -> Result<RealtimePool, DataManagementError> {
        let parts = self.running()?;
        let publisher = parts.bus.publisher()?;
        let mut half = parts
            .audio_buffers
            .attach(parts.pool.control_mut(), name, need)?;
        half.attach_publisher(publisher)?;
        Ok(half)
    }

    /// The accounts of the halves with a stated need, as of the last control step.
    pub fn accounts(&self) -> impl Iterator<Item = &HalfAccount> {
        let parts = self.parts.iter();
        parts.flat_map(|parts| parts.audio_buffers.accounts())
    }

    fn running(&mut self) -> Result<&mut Parts, DataManagementError> {
        self.parts.as_mut().ok_or(DataManagementError::NotRunning)
    }

    /// A snapshot of every figure.
    #[must_use]
    pub fn metrics(&self) -> Option<PoolMetrics> {
        Some(self.parts.as_ref()?.pool.get_efficiency_metrics())
    }

    /// The counts of all halves and of the recycled vectors.
    #[must_use]
    pub fn counts(&self) -> Option<PoolCounts> {
        Some(self.parts.as_ref()?.pool.counts())
    }

    /// The number of buffers and recycled vectors that came back so far.
    #[must_use]
    pub fn recycled(&self) -> u64 {
        self.parts.as_ref().map_or(0, |parts| parts.pool.recycled())
    }

    /// The story's trait on this module's pool: vectors that are recycled or created, and buffers for JavaScript. They share
    /// arena, limit, [`metrics`](Self::metrics) and events with the halves. For decoding and offline analysis: it may allocate.
    ///
    /// # Errors
    /// Before `init`.
    ///
    /// # Examples
    /// ```
    /// use wavepool::modules::data_management::{
    ///     BufferRecyclingPool, DataManagementError, DataManagementModule,
    /// };
    ///
    /// fn decode(data: &mut DataManagementModule) -> Result<(), DataManagementError> {
    ///     let mut samples = data.recycling_pool()?.get_or_create(48_000)?;
    ///     samples.fill(0.5);
    ///     Ok(data.recycling_pool()?.recycle(samples)?)
    /// }
    /// # assert_eq!(decode(&mut DataManagementModule::default()), Err(DataManagementError::NotRunning));
    /// ```
    pub fn recycling_pool(&mut self) -> Result<&mut BufferRecyclingPoolImpl, DataManagementError> {
        Ok(&mut self.running()?.pool)
    }

    /// How much memory the recycled vectors need.
    #[must_use]
    pub fn vectors(&self) -> Option<VectorAccount> {
        Some(self.parts.as_ref()?.pool.vectors())
    }

    /// Sets what the bridges to JavaScript have counted so far, all together: the next [`tick`](Self::tick) uses it.
    pub fn observe_boundary(&mut self, counts: BoundaryCounts) {
        if let Some(parts) = &mut self.parts {
            parts.pool.set_boundary(counts);
        }
    }

    /// Counts and publishes every buffer that is still in use, except the blocks of named audio buffers; returns how
    /// many were new. To be called when nobody may have one any more: the last stream has closed. See
    /// [`PoolControl::report_leaks`].
    pub fn report_leaks(&mut self) -> u32 {
        let Some(parts) = &mut self.parts else {
            return 0;
        };
        let manager = &parts.audio_buffers;
        let control = parts.pool.control_mut();
        control.report_leaks(|slot| manager.holds(slot))
    }

    /// The measurements of the last control step: high-water marks are those since the step before.
    #[must_use]
    pub fn observed(&self) -> Option<&PoolMetrics> {
        Some(self.parts.as_ref()?.pool.maintenance().metrics())
    }

    /// The alert rules and their state.
    #[must_use]
    pub fn monitor(&self) -> Option<&PoolMetricsMonitor> {
        Some(self.parts.as_ref()?.pool.maintenance().monitor())
    }

    /// The optimizer, with its last plan, its demand and its profile.
    #[must_use]
    pub fn optimizer(&self) -> Option<&PoolOptimizationEngine> {
        self.parts.as_ref()?.pool.maintenance().engine()
    }

    /// The optimizer, to report memory pressure to.
    #[must_use]
    pub fn optimizer_mut(&mut self) -> Option<&mut PoolOptimizationEngine> {
        self.parts.as_mut()?.pool.maintenance_mut().engine_mut()
    }

    /// The scheduled control step: collects returned buffers, measures, raises alerts, applies sizing plans, defragments
    /// while that alert is active, frees idle vectors that are not needed, and publishes events. Call it at intervals between a few milliseconds and a few hundred;
    /// the pool needs no other call to maintain itself. `None` before `init`. The registry's
    /// [`Watchdog`](crate::registry::Watchdog) reports a step that does not return.
    ///
    /// # Real-time
    /// For the control side. Bounded: see [`PoolMaintenance::step`].
    pub fn tick(&mut self, now_ms: f64) -> Option<MaintenanceReport> {
        let parts = self.parts.as_mut()?;
        let _call = parts.calls.enter("tick");
        if let Some(half) = parts.audio_buffers.half_mut() {
            // The control side owns this half.
            half.begin_round();
        }
        let report = parts.pool.step(now_ms);
        parts
            .audio_buffers
            .observe(parts.pool.maintenance().own_classes());
        Some(report)
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
#[path = "data_module_tests.rs"]
mod tests;
