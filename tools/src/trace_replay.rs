//! Replays recorded demand on a real pool, with the control step between quanta as it runs live.

use serde::{Deserialize, Serialize};

use wavepool::internal::check;
use wavepool::modules::data_management::pool_maintenance::PoolMaintenance;
use wavepool::modules::data_management::pool_monitor::AlertRules;
use wavepool::modules::data_management::pool_optimization::PoolOptimizationEngine;
use wavepool::modules::data_management::sizing::demand_trace::{DemandTrace, TraceOpKind};
use wavepool::modules::data_management::sizing::sizing_plan::AppliedPlan;
use wavepool::modules::data_management::sizing::sizing_profile::SizingProfile;
use wavepool::modules::data_management::sizing::sizing_rules::SizingPolicy;
use wavepool::modules::data_management::{
    PoolBuilder, PoolControl, PoolError, PoolFigures, PooledBuffer, RealtimePool, SettingError,
};

/// The options of a replay.
#[derive(Debug, Clone)]
pub struct ReplayOptions {
    /// The initial pool.
    pub pool: PoolBuilder,
    /// The policy of the optimizer; `None` replays without control steps.
    pub policy: Option<SizingPolicy>,
    /// Quanta between two control steps, at least one.
    pub quanta_per_step: u32,
    /// The first frame whose requests, use and memory are counted.
    pub score_from_frame: u64,
    /// The clock in microseconds that measures control steps, for example the processor time of the thread, which does not
    /// depend on the load of the machine. `None` measures nothing.
    pub clock_us: Option<fn() -> f64>,
}

/// Why a trace cannot be replayed.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum ReplayError {
    /// An option, or a setting of the policy, is outside its limits.
    #[error(transparent)]
    Setting(#[from] SettingError),
    /// The pool cannot be built, or a request is larger than its largest class.
    #[error(transparent)]
    Pool(#[from] PoolError),
}

/// The result of a replay.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ReplayReport {
    /// The number of requests.
    pub requests: u64,
    /// Requests that their own class served.
    pub hits: u64,
    /// Requests that failed.
    pub exhausted: u64,
    /// The highest fragmentation, measured after every operation and control step, in percent.
    pub fragmentation_percentage_max: f64,
    /// Fragmentation after a defragmentation at the end, in percent.
    pub fragmentation_percentage_after_defragment: f64,
    /// The mean internal fragmentation over the control steps with acquired buffers, in percent.
    pub internal_waste_percentage_mean: Option<f64>,
    /// Overhead of the pool's tables at the end, in percent.
    pub memory_overhead_percentage: Option<f64>,
    /// The most carved bytes.
    pub bytes_held_peak: u64,
    /// The mean of the carved bytes over all quanta.
    pub bytes_held_mean: u64,
    /// The most requested bytes at a time.
    pub bytes_used_peak: u64,
    /// Bytes reserved at the end.
    pub bytes_reserved: u64,
    /// The durations of the control steps in microseconds, ascending; empty without a clock.
    #[serde(skip)]
    pub control_step_us: Vec<f64>,
    /// The most buffers that one control step moved.
    pub control_step_operations_max: u32,
    /// The most slots, free runs and stretches of the arena that one control step scanned.
    pub control_step_looks_max: u32,
    /// The growth of the WebAssembly memory in pages, from the first counted frame on; `None` natively.
    pub pages_grown: Option<u64>,
    /// The profile for the next start.
    pub profile: Option<SizingProfile>,
    /// The last applied plan, with its effect.
    pub last_plan: Option<AppliedPlan>,
}

impl ReplayReport {
    /// The percentage of requests that their own class served; `None` without requests.
    #[must_use]
    pub fn hit_rate_percentage(&self) -> Option<f64> {
        (self.requests > 0).then(|| self.hits as f64 / self.requests as f64 * 100.0)
    }
}

/// Replays `trace`. Buffers with even numbers are released by their owner; the others are dropped, as if by another thread.
///
/// Bounded by the operations and quanta of the trace, which a [`DemandTrace`] limits.
///
/// # Errors
/// If an option is outside its limits, the pool cannot be built, or a request is larger than its largest class. A request
/// that finds no buffer is counted, and its release is left out.
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
            player.measure_carved(scored);
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
            player.measure_fragmentation();
        }
    }
    player.report.pages_grown = memory_pages().zip(pages).map(|(now, then)| now - then);
    Ok(player.finish())
}

/// The size of the memory on WebAssembly, in pages.
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
    /// Sums and counts for the means of the report.
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
        self.report.control_step_looks_max = self.report.control_step_looks_max.max(report.scans);
        if let Some(waste) = maintenance
            .metrics()
            .internal_waste_percentage
            .filter(|_| scored)
        {
            self.waste.0 += f64::from(waste);
            self.waste.1 += 1;
        }
        if scored {
            self.measure_fragmentation();
        }
    }

    fn measure_carved(&mut self, scored: bool) {
        if scored {
            let held = self.control.bytes_held() as u64;
            self.report.bytes_held_peak = self.report.bytes_held_peak.max(held);
            self.held.0 += held as f64;
            self.held.1 += 1;
        }
    }

    fn measure_fragmentation(&mut self) {
        let now = f64::from(self.control.fragmentation_percentage());
        self.report.fragmentation_percentage_max =
            self.report.fragmentation_percentage_max.max(now);
    }

    fn finish(mut self) -> ReplayReport {
        let mean = |(sum, count): (f64, u64)| (count > 0).then(|| sum / count as f64);
        // No buffer is in use any more.
        self.control.begin_peak_window();
        let mut result = self.control.defragment();
        // The owner returns a few buffers per quantum: a thousand quanta empty any class.
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
#[path = "trace_replay_tests.rs"]
mod tests;
