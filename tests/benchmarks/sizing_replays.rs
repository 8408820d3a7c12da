//! The benchmark's traces, each replayed on a real pool of ours.

use std::error::Error;

use wavepool::modules::data_management::sizing::demand_trace::{DemandTrace, TraceOpKind};
use wavepool::modules::data_management::sizing::sizing_rules::SizingPolicy;
use wavepool::modules::data_management::{BufferPool, LearnedMix};
use wavepool_tools::trace_replay::{ReplayOptions, replay};

use crate::sizing_limits::Row;
use crate::sizing_traces::{self, Scenario};
use crate::sizing_tuner;

/// 8 MB, taken at the start: no control step asks the system for memory.
const RESERVE_SAMPLES: usize = 2 << 20;

/// One configuration for every trace: a few buffers of the default classes, all else is learned.
fn options(score_from_frame: u64) -> ReplayOptions {
    let pool = [256, 512, 1024, 2048, 4096]
        .into_iter()
        .fold(BufferPool::builder(), |pool, samples| {
            pool.class(samples, 8)
        });
    ReplayOptions {
        pool: pool.reserve_samples(RESERVE_SAMPLES),
        policy: Some(SizingPolicy::default()),
        quanta_per_step: 1,
        score_from_frame,
        clock_us: None,
    }
}

/// The scenario of that name: a trace, or one derived from it: a second start, classes learned on one half and scored on
/// the other, and the recording of the tuner.
pub(crate) fn scenario(name: &'static str) -> Result<Scenario, Box<dyn Error>> {
    let after = |first: &DemandTrace, second| -> Result<Scenario, Box<dyn Error>> {
        Ok(Scenario {
            name,
            trace: second,
            warm_from_frame: 0,
            start_from: replay(first, &options(0))?.profile,
        })
    };
    match name {
        "steady-second-start" => {
            let steady = sizing_traces::named("steady")?.trace;
            after(&steady, steady.clone())
        }
        "odd-sizes-held-out" => {
            let [learn, score] = sizing_traces::halves(&sizing_traces::named("odd-sizes")?.trace)?;
            after(&learn, score)
        }
        "tuner" => {
            let trace = sizing_tuner::record()?;
            let warm_from_frame = sizing_tuner::FIRST_CYCLE_SECONDS * trace.sample_rate_hz() as u64;
            Ok(Scenario {
                name,
                trace,
                warm_from_frame,
                start_from: None,
            })
        }
        _ => Ok(sizing_traces::named(name)?),
    }
}

/// Replays a scenario on a pool of ours. `clock_us` times control steps, if they are to be timed.
pub(crate) fn ours(
    scenario: &Scenario,
    clock_us: Option<fn() -> f64>,
) -> Result<Row, Box<dyn Error>> {
    let options = ReplayOptions {
        clock_us,
        ..options(scenario.warm_from_frame)
    };
    let pool = match &scenario.start_from {
        Some(profile) => options.pool.clone().profile(profile)?,
        None => options.pool.clone(),
    };
    let report = replay(&scenario.trace, &ReplayOptions { pool, ..options })?;
    let quantile = |q: f64| {
        let times = &report.control_step_us;
        let rank = (times.len() as f64 * q).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied()
    };
    Ok(Row {
        trace: scenario.name.to_owned(),
        case: "ours".to_owned(),
        hit_rate_pct: report.hit_rate_percentage(),
        fragmentation_pct_max: Some(report.fragmentation_percentage_max),
        fragmentation_pct_after_defragment: Some(report.fragmentation_percentage_after_defragment),
        internal_waste_pct: report.internal_waste_percentage_mean,
        overhead_pct: report.memory_overhead_percentage,
        bytes_held_peak: Some(report.bytes_held_peak),
        bytes_held_mean: Some(report.bytes_held_mean),
        bytes_used_peak: bytes_used_peak(&scenario.trace, scenario.warm_from_frame),
        bytes_reserved: Some(report.bytes_reserved),
        exhaustions: report.exhausted,
        pages_grown: None,
        control_step_moves_max: Some(report.control_step_operations_max),
        control_step_looks_max: Some(report.control_step_looks_max),
        control_step_us_p99: quantile(0.99),
        control_step_us_max: quantile(1.0),
    })
}

/// Most bytes the trace asks for at once, in samples asked for: the same for every case, whatever it refuses.
pub(crate) fn bytes_used_peak(trace: &DemandTrace, from_frame: u64) -> u64 {
    let mut sizes = vec![0; trace.buffers()];
    let (mut used, mut peak) = (0, 0);
    for op in trace.ops() {
        let size = &mut sizes[op.buffer as usize];
        match op.kind {
            TraceOpKind::Acquire(samples) => *size = u64::from(samples) * 4,
            TraceOpKind::Release => {
                used -= std::mem::take(size);
                continue;
            }
        }
        used += *size;
        peak = if op.frame >= from_frame {
            peak.max(used)
        } else {
            0
        };
    }
    peak
}
