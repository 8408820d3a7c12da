//! Sizing, fragmentation and memory held, on recorded and made-up demand: the pool, the system allocator, fixed buckets.
//!
//! `cargo bench --bench sizing_benchmarks -- --json FILE`. Every case plays the same operations on the real thing.
#![allow(unsafe_code)] // A counting global allocator, and the C library's account of its heap.
#![allow(missing_docs)]

mod sizing_baselines;
mod sizing_traces;

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use sizing_baselines::{Row, fixed_buckets, system_allocator};
use sizing_traces::Scenario;
use wavepool::modules::data_management::BufferPool;
use wavepool::modules::data_management::sizing_profile::SizingProfile;
use wavepool::modules::data_management::sizing_rules::SizingPolicy;
use wavepool::modules::data_management::trace_replay::{ReplayOptions, ReplayReport, replay};

/// The system allocator, counting the bytes that are out.
pub(crate) struct Counting {
    live: AtomicU64,
}

#[global_allocator]
pub(crate) static COUNTING: Counting = Counting {
    live: AtomicU64::new(0),
};

impl Counting {
    pub(crate) fn live_bytes(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }
}

// SAFETY: every call goes to the system allocator with its arguments as they came; the count does not touch memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.live.fetch_add(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        self.live.fetch_sub(layout.size() as u64, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(block, layout) }
    }
}

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
    }
}

fn ours(scenario: &Scenario) -> Result<(Row, ReplayReport), Box<dyn Error>> {
    let options = options(scenario.warm_from_frame);
    let pool = match &scenario.start_from {
        Some(profile) => profile
            .mix()
            .iter()
            .fold(BufferPool::builder(), |pool, class| {
                pool.class(class.samples, class.buffers)
            })
            .reserve_samples(RESERVE_SAMPLES),
        None => options.pool.clone(),
    };
    let report = replay(&scenario.trace, &ReplayOptions { pool, ..options })?;
    let quantile = |q: f64| {
        let times = &report.control_step_us;
        let rank = (times.len() as f64 * q).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied()
    };
    let row = Row {
        trace: scenario.name.to_owned(),
        case: "ours".to_owned(),
        hit_rate_pct: report.hit_rate_percentage(),
        fragmentation_pct_max: Some(report.fragmentation_percentage_max),
        fragmentation_pct_after_defragment: Some(report.fragmentation_percentage_after_defragment),
        internal_waste_pct: report.internal_waste_percentage_mean,
        overhead_pct: report.memory_overhead_percentage,
        bytes_held_peak: Some(report.bytes_held_peak),
        bytes_held_mean: Some(report.bytes_held_mean),
        bytes_used_peak: report.bytes_used_peak,
        bytes_reserved: Some(report.bytes_reserved),
        exhaustions: report.exhausted,
        pages_grown: None,
        control_step_us_p99: quantile(0.99),
        control_step_us_max: quantile(1.0),
    };
    Ok((row, report))
}

/// The system allocator's heap is measured in a process that does nothing else.
fn system_in_child(scenario: &Scenario) -> Result<Row, Box<dyn Error>> {
    let output = std::process::Command::new(std::env::current_exe()?)
        .args(["--system", scenario.name])
        // Large blocks, such as the trace's own, stay out of the heap that is measured.
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .output()?;
    let mut row: Row = serde_json::from_slice(&output.stdout)?;
    row.trace = scenario.name.to_owned();
    Ok(row)
}

/// A second start: the same demand, from the profile that the first run saved.
fn second_start(first: &Scenario, profile: Option<SizingProfile>) -> Scenario {
    Scenario {
        name: "steady-second-start",
        trace: first.trace.clone(),
        warm_from_frame: 0,
        start_from: profile,
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let mut out = std::io::stdout().lock();
    let scenarios = sizing_traces::all()?;
    if let Some(name) = value("--system") {
        let scenario = scenarios
            .iter()
            .find(|scenario| scenario.name == name)
            .ok_or("no such trace")?;
        let row = system_allocator(&scenario.trace, scenario.warm_from_frame);
        return Ok(out.write_all(serde_json::json!(row).to_string().as_bytes())?);
    }
    let wanted = value("--trace");
    let mut rows = Vec::new();
    for scenario in scenarios
        .iter()
        .filter(|scenario| wanted.as_ref().is_none_or(|name| name == scenario.name))
    {
        let (row, report) = ours(scenario)?;
        if std::env::var("DBG").is_ok() {
            let t = &report.control_step_us;
            writeln!(
                out,
                "p50 {} p90 {} p95 {}",
                t[t.len() / 2],
                t[t.len() * 9 / 10],
                t[t.len() * 95 / 100]
            )?;
        }
        writeln!(
            out,
            "{}",
            describe(&row, report.control_step_operations_max)
        )?;
        rows.push(row);
        if scenario.name == "steady" {
            let again = second_start(scenario, report.profile);
            let (row, report) = ours(&again)?;
            writeln!(
                out,
                "{}",
                describe(&row, report.control_step_operations_max)
            )?;
            rows.push(row);
        }
        let mut fixed = fixed_buckets(&scenario.trace, scenario.warm_from_frame);
        fixed.trace = scenario.name.to_owned();
        writeln!(out, "{}", describe(&fixed, 0))?;
        rows.push(fixed);
        let system = system_in_child(scenario)?;
        writeln!(out, "{}", describe(&system, 0))?;
        rows.push(system);
    }
    if let Some(file) = value("--json") {
        std::fs::write(file, serde_json::to_string_pretty(&rows)?)?;
    }
    Ok(())
}

fn describe(row: &Row, operations: u32) -> String {
    let number =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let held = row
        .bytes_held_peak
        .map(|held| held as f64 / row.bytes_used_peak.max(1) as f64);
    format!(
        "{:22} {:16} hit {:>8} frag {:>7}/{:>6} waste {:>7} over {:>6} held/used {:>6} exhausted {:>6} step us {:>7}/{:>8} ops {operations}",
        row.trace,
        row.case,
        number(row.hit_rate_pct),
        number(row.fragmentation_pct_max),
        number(row.fragmentation_pct_after_defragment),
        number(row.internal_waste_pct),
        number(row.overhead_pct),
        number(held),
        row.exhaustions,
        number(row.control_step_us_p99),
        number(row.control_step_us_max),
    )
}
