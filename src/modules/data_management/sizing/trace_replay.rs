//! Plays recorded demand on a real pool, with the control step in between as it runs live.

use serde::{Deserialize, Serialize};

use super::demand_trace::{DemandTrace, TraceOpKind};
use super::sizing_plan::AppliedPlan;
use super::sizing_profile::SizingProfile;
use super::sizing_rules::SizingPolicy;
use crate::modules::data_management::control::pool_builder::PoolBuilder;
use crate::modules::data_management::control::pool_control::PoolControl;
use crate::modules::data_management::control::pool_maintenance::PoolMaintenance;
use crate::modules::data_management::error::PoolError;
use crate::modules::data_management::pool_monitor::AlertRules;
use crate::modules::data_management::pool_optimization::PoolOptimizationEngine;
use crate::modules::data_management::realtime::buffer::PooledBuffer;
use crate::modules::data_management::realtime::realtime_pool::RealtimePool;
use crate::modules::data_management::setting_error::{SettingError, check};

/// How to play a trace.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The pool to begin with.
    pub pool: PoolBuilder,
    /// What the optimizer may do; none plays without any control step.
    pub policy: Option<SizingPolicy>,
    /// Quanta from one control step to the next, at least one.
    pub quanta_per_step: u32,
    /// Requests, use and memory are counted from this frame on.
    pub score_from_frame: u64,
    /// Microseconds of the clock that times control steps: the thread's own, say, which a busy machine does not falsify.
    /// None times nothing.
    pub clock_us: Option<fn() -> f64>,
}

/// Why a trace cannot be played.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ReplayError {
    /// An option, the policy's included, is outside of its limits.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The pool cannot be built, or a request is larger than its largest class.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// Requests.
    pub requests: u64,
    /// Those of them served from their own class.
    pub hits: u64,
    /// Those of them refused.
    pub exhausted: u64,
    /// Highest fragmentation, looked at after every operation and control step, in percent.
    pub fragmentation_percentage_max: f64,
    /// Fragmentation after a defragmentation at the end, in percent.
    pub fragmentation_percentage_after_defragment: f64,
    /// Mean internal waste over the control steps that found a leased buffer, in percent.
    pub internal_waste_percentage_mean: Option<f64>,
    /// Overhead of the pool's tables at the end, in percent.
    pub memory_overhead_percentage: Option<f64>,
    /// Most bytes held.
    pub bytes_held_peak: u64,
    /// Mean of the bytes held, over quanta.
    pub bytes_held_mean: u64,
    /// Most bytes asked for at once.
    pub bytes_used_peak: u64,
    /// Bytes reserved at the end.
    pub bytes_reserved: u64,
    /// Times of the control steps in microseconds, ascending; empty without a clock.
    #[serde(skip)]
    pub control_step_us: Vec<f64>,
    /// Most buffers any control step moved.
    pub control_step_operations_max: u32,
    /// Most slots and free runs any control step looked at.
    pub control_step_looks_max: u32,
    /// Pages by which WebAssembly memory grew from the frame that is scored first; none elsewhere.
    pub pages_grown: Option<u64>,
    /// What a next start should begin with.
    pub profile: Option<SizingProfile>,
    /// The last plan that was applied, with what it did.
    pub last_plan: Option<AppliedPlan>,
}

impl ReplayReport {
    /// Share of requests served from their own class; none without requests.
    #[must_use]
    pub fn hit_rate_percentage(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.hits as f64 / self.requests as f64 * 100.0)
    }
}

/// Plays `trace`: every buffer with an even number is released by its owner, every other one dropped, as if by another
/// thread.
///
/// Bounded by the operations and quanta of the trace, which a [`DemandTrace`] limits.
///
/// # Errors
/// When an option is outside of its limits, the pool cannot be built, or a request is larger than its largest class. A
/// request that finds no buffer is counted, and its release left out.
pub fn replay(trace: &DemandTrace, options: &ReplayOptions) -> Result<ReplayReport, ReplayError> {
    check(
        "ReplayOptions::quanta_per_step",
        options.quanta_per_step.into(),
        1.0..=u32::MAX.into(),
    )?;
    let maintenance = match options.policy.clone() {
        Some(policy) => Some(PoolMaintenance::new(AlertRules::default(), Some(policy))?),
        None => None,
    };
    let (control, realtime) = options.pool.clone().build()?;
    let mut player = Player {
        clock_us: options.clock_us,
        control,
        realtime,
        maintenance,
        report: ReplayReport::default(),
        held: (0.0, 0),
        waste: (0.0, 0),
    };
    let mut buffers: Vec<Option<PooledBuffer>> = Vec::new();
    buffers.resize_with(trace.buffers(), || None);
    let mut used = 0;
    let mut quantum = 0;
    let mut pages = None;
    player.realtime.begin_quantum(0);
    for op in trace.ops() {
        let scored = op.frame >= options.score_from_frame;
        if scored && pages.is_none() {
            pages = memory_pages();
        }
        while quantum < op.frame / u64::from(trace.quantum_frames()) {
            quantum += 1;
            let frame = quantum * u64::from(trace.quantum_frames());
            player.realtime.begin_quantum(frame);
            if quantum.is_multiple_of(u64::from(options.quanta_per_step)) {
                player.control_step(frame as f64 / trace.sample_rate_hz() * 1000.0, scored);
            }
            player.look_at_held(scored);
        }
        let buffer = &mut buffers[op.buffer as usize];
        match op.kind {
            TraceOpKind::Acquire(samples) => {
                *buffer = player.acquire(samples as usize, scored)?;
                used += buffer.as_ref().map_or(0, |buffer| buffer.len() as u64 * 4);
            }
            TraceOpKind::Release => {
                used -= buffer.as_ref().map_or(0, |buffer| buffer.len() as u64 * 4);
                match buffer.take() {
                    Some(buffer) if op.buffer.is_multiple_of(2) => player.realtime.release(buffer),
                    dropped => drop(dropped),
                }
            }
        }
        if scored {
            player.report.bytes_used_peak = player.report.bytes_used_peak.max(used);
            player.look_at_fragmentation();
        }
    }
    player.report.pages_grown = memory_pages().zip(pages).map(|(now, then)| now - then);
    Ok(player.finish())
}

/// Size of the memory where that is counted in pages.
fn memory_pages() -> Option<u64> {
    #[cfg(target_arch = "wasm32")]
    return Some(core::arch::wasm32::memory_size(0) as u64);
    #[cfg(not(target_arch = "wasm32"))]
    None
}

struct Player {
    clock_us: Option<fn() -> f64>,
    control: PoolControl,
    realtime: RealtimePool,
    maintenance: Option<PoolMaintenance>,
    report: ReplayReport,
    /// Sums and counts of which the report has the means.
    held: (f64, u64),
    waste: (f64, u64),
}

impl Player {
    fn acquire(&mut self, samples: usize, scored: bool) -> Result<Option<PooledBuffer>, PoolError> {
        let own = self.control.classes().find(|&class| class >= samples);
        let answer = self.realtime.acquire(samples);
        let hit = answer
            .as_ref()
            .is_ok_and(|buffer| Some(buffer.capacity()) == own);
        self.report.requests += u64::from(scored);
        self.report.hits += u64::from(scored && hit);
        match answer {
            Ok(buffer) => Ok(Some(buffer)),
            Err(PoolError::Exhausted { .. }) => {
                self.report.exhausted += u64::from(scored);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn control_step(&mut self, now_ms: f64, scored: bool) {
        let Some(maintenance) = &mut self.maintenance else {
            return;
        };
        let start_us = self.clock_us.map(|now| now());
        let report = maintenance.step(now_ms, &mut self.control, None, |_| {});
        let took_us = self
            .clock_us
            .zip(start_us)
            .map(|(now, start)| now() - start);
        self.report.control_step_us.extend(took_us);
        self.report.control_step_operations_max = self
            .report
            .control_step_operations_max
            .max(report.operations);
        self.report.control_step_looks_max = self.report.control_step_looks_max.max(report.looks);
        if let Some(waste) = maintenance
            .metrics()
            .internal_waste_percentage
            .filter(|_| scored)
        {
            self.waste.0 += f64::from(waste);
            self.waste.1 += 1;
        }
        if scored {
            self.look_at_fragmentation();
        }
    }

    fn look_at_held(&mut self, scored: bool) {
        if scored {
            let held = self.control.bytes_held() as u64;
            self.report.bytes_held_peak = self.report.bytes_held_peak.max(held);
            self.held.0 += held as f64;
            self.held.1 += 1;
        }
    }

    fn look_at_fragmentation(&mut self) {
        let now = f64::from(self.control.fragmentation_percentage());
        self.report.fragmentation_percentage_max =
            self.report.fragmentation_percentage_max.max(now);
    }

    fn finish(mut self) -> ReplayReport {
        let mean = |(sum, count): (f64, u64)| (count > 0).then(|| sum / count as f64);
        // Nothing is in use any more.
        self.control.begin_peak_window();
        let mut result = self.control.defragment();
        // The owner sheds a few in each quantum: a thousand quanta empty any class.
        for _ in 0..1000 {
            if result.complete {
                break;
            }
            self.realtime.begin_quantum(0);
            result = self.control.defragment();
        }
        let metrics = self.control.metrics();
        let engine = self.maintenance.as_ref().and_then(PoolMaintenance::engine);
        ReplayReport {
            fragmentation_percentage_after_defragment: f64::from(result.after_percentage),
            internal_waste_percentage_mean: mean(self.waste),
            memory_overhead_percentage: metrics.memory_overhead_percentage.map(f64::from),
            bytes_held_mean: mean(self.held).unwrap_or(0.0) as u64,
            bytes_reserved: metrics.bytes_reserved as u64,
            control_step_us: {
                let mut times = std::mem::take(&mut self.report.control_step_us);
                times.sort_unstable_by(f64::total_cmp);
                times
            },
            profile: engine.map(PoolOptimizationEngine::profile),
            last_plan: engine.and_then(|engine| engine.last_plan().cloned()),
            ..self.report
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
#[path = "trace_replay_tests.rs"]
mod tests;
