//! Sizing, fragmentation and memory held, on recorded and made-up demand: the pool, the system allocator, fixed buckets.
//!
//! `cargo bench --bench sizing_benchmarks -- --json FILE`; `--record` keeps the figures in `tests/benchmarks/record/`. Every
//! case plays the same operations on the real thing.
#![allow(unsafe_code)] // A counting global allocator, and the C library's account of its heap.
#![allow(missing_docs)]

mod record;
mod sizing_baselines;
mod sizing_traces;
mod sizing_tuner;

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use sizing_baselines::{Row, bytes_used_peak, fixed_buckets, system_allocator};
use sizing_traces::Scenario;
use wavepool::modules::data_management::BufferPool;
use wavepool::modules::data_management::sizing::demand_trace::DemandTrace;
use wavepool::modules::data_management::sizing::sizing_rules::SizingPolicy;
use wavepool::modules::data_management::sizing::trace_replay::{ReplayOptions, replay};

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

/// Buffers one control step may move: what it collects, plans both ways, and defragments, and a change of classes with
/// all their first buffers.
const OPERATIONS_PER_STEP: u32 = 256 + 2 * 128 + 32 + 1024;

/// Slots one control step may look at, in all its parts, and free runs: no trace has more than a few thousand of these.
const LOOKS_PER_STEP: u32 = 2 * 4096 + 2048 + 16_384;

/// What this thread has run: a machine that is busy with other things does not make a control step longer.
fn thread_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
}

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
        clock_us: Some(thread_us),
    }
}

fn ours(scenario: &Scenario) -> Result<Row, Box<dyn Error>> {
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
    assert!(
        report.control_step_operations_max <= OPERATIONS_PER_STEP
            && report.control_step_looks_max <= LOOKS_PER_STEP,
        "a control step is bounded: {} moved, {} looked at",
        report.control_step_operations_max,
        report.control_step_looks_max
    );
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
        control_step_us_p99: quantile(0.99),
        control_step_us_max: quantile(1.0),
    })
}

/// The system allocator's heap is measured in a process that does nothing else.
fn system_in_child(scenario: &Scenario) -> Result<Row, Box<dyn Error>> {
    let file = std::env::temp_dir().join(format!(
        "wavepool-{}-{}.json",
        std::process::id(),
        scenario.name
    ));
    std::fs::write(&file, scenario.trace.to_json())?;
    let output = Command::new(std::env::current_exe()?)
        .arg("--system")
        .arg(&file)
        .args(["--from", &scenario.warm_from_frame.to_string()])
        // Large blocks, such as the trace's own, stay out of the heap that is measured.
        .env("MALLOC_MMAP_THRESHOLD_", "65536")
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .output()?;
    std::fs::remove_file(&file)?;
    let mut row: Row = serde_json::from_slice(&output.stdout)?;
    row.trace = scenario.name.to_owned();
    Ok(row)
}

/// Pages that WebAssembly memory grew by in the phase shift after its first cycle, counted by the module itself in
/// Node; none where the target or Node is missing.
fn pages_grown() -> Option<u64> {
    const SCRIPT: &str = "
        const module = new WebAssembly.Module(require('fs').readFileSync(process.argv[1]));
        const imports = {};
        for (const { module: from, name } of WebAssembly.Module.imports(module)) (imports[from] ??= {})[name] = () => 0;
        console.log(new WebAssembly.Instance(module, imports).exports.pages_grown());
    ";
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args([
            "build",
            "--quiet",
            "--release",
            "--example",
            "sizing_page_growth",
        ])
        .args([
            "--target",
            "wasm32-unknown-unknown",
            "--message-format",
            "json",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .ok()?;
    let messages = String::from_utf8(built.stdout).ok()?;
    let module = messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| {
            let files = message["filenames"]
                .as_array()?
                .iter()
                .filter_map(|file| file.as_str());
            files
                .filter(|file| file.ends_with("sizing_page_growth.wasm"))
                .map(str::to_owned)
                .next()
        })?;
    let run = Command::new("node")
        .args(["-e", SCRIPT, &module])
        .output()
        .ok()?;
    String::from_utf8(run.stdout).ok()?.trim().parse().ok()
}

/// All traces, with what is derived from others: a second start, classes learned on one half and scored on the other,
/// and the recording of the tuner.
fn scenarios() -> Result<Vec<Scenario>, Box<dyn Error>> {
    let mut scenarios = sizing_traces::all()?;
    let find = |name| {
        scenarios
            .iter()
            .find(|scenario: &&Scenario| scenario.name == name)
            .ok_or("no such trace")
    };
    let steady = find("steady")?.trace.clone();
    let [learn, score] = sizing_traces::halves(&find("odd-sizes")?.trace)?;
    for (name, first, second) in [
        ("steady-second-start", steady.clone(), steady),
        ("odd-sizes-held-out", learn, score),
    ] {
        let report = replay(&first, &options(0))?;
        scenarios.push(Scenario {
            name,
            trace: second,
            warm_from_frame: 0,
            start_from: report.profile,
        });
    }
    let trace = sizing_tuner::record()?;
    let warm_from_frame = sizing_tuner::FIRST_CYCLE_SECONDS * trace.sample_rate_hz as u64;
    scenarios.push(Scenario {
        name: "tuner",
        trace,
        warm_from_frame,
        start_from: None,
    });
    Ok(scenarios)
}

/// What the figures must be; times are reported, not judged.
fn shortcomings(rows: &[Row]) -> Vec<String> {
    let mut found = Vec::new();
    let mut expect = |holds: bool, row: &Row, what: &str| {
        if !holds {
            found.push(format!("{}: {what}", row.trace));
        }
    };
    for row in rows.iter().filter(|row| row.case == "ours") {
        let held = row.bytes_held_peak.unwrap_or(0) as f64 / row.bytes_used_peak.max(1) as f64;
        let fragmentation = row.fragmentation_pct_max.unwrap_or(100.0);
        let rival = |case: &str| {
            rows.iter()
                .find(|other| other.trace == row.trace && other.case == case)
        };
        expect(
            row.fragmentation_pct_after_defragment < Some(1.0),
            row,
            "fragmentation of 1 % or more after defragment()",
        );
        expect(
            row.pages_grown.unwrap_or(0) == 0,
            row,
            "WebAssembly memory grew after the first cycle",
        );
        match row.trace.as_str() {
            "adversarial" => {
                let system = rival("system-allocator").and_then(|system| system.bytes_held_peak);
                let system = system.map_or(f64::INFINITY, |peak| {
                    peak as f64 / row.bytes_used_peak.max(1) as f64
                });
                expect(held <= system, row, "holds more than the system allocator");
                continue;
            }
            _ => expect(held <= 1.3, row, "holds more than 1.3 x the peak of use"),
        }
        if row.trace == "phase-shift-instant" {
            // Faster than anybody can follow: its hit rate is reported beside the others.
            continue;
        }
        expect(fragmentation < 5.0, row, "fragmentation of 5 % or more");
        expect(row.hit_rate_pct >= Some(99.9), row, "hit rate below 99.9 %");
        expect(row.overhead_pct < Some(1.0), row, "overhead of 1 % or more");
        if row.trace.ends_with("second-start") {
            expect(row.hit_rate_pct == Some(100.0), row, "a warm start missed");
        }
        if row.trace == "odd-sizes-held-out" {
            let powers = rival("fixed-buckets")
                .and_then(|fixed| fixed.internal_waste_pct)
                .unwrap_or(0.0);
            expect(
                row.internal_waste_pct <= Some(powers / 3.0),
                row,
                "cuts less than two thirds of the waste",
            );
        }
    }
    found
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let mut out = std::io::stdout().lock();
    if let Some(trace) = value("--system") {
        let trace = DemandTrace::from_json(&std::fs::read_to_string(trace)?)?;
        let from = value("--from")
            .and_then(|from| from.parse().ok())
            .unwrap_or(0);
        let row = system_allocator(&trace, from);
        return Ok(out.write_all(serde_json::json!(row).to_string().as_bytes())?);
    }
    let mut rows = Vec::new();
    for scenario in &scenarios()? {
        let mut ours = ours(scenario)?;
        if scenario.name == "phase-shift" {
            ours.pages_grown = pages_grown();
        }
        let mut fixed = fixed_buckets(&scenario.trace, scenario.warm_from_frame);
        fixed.trace = scenario.name.to_owned();
        for row in [ours, fixed, system_in_child(scenario)?] {
            writeln!(out, "{}", describe(&row))?;
            rows.push(row);
        }
    }
    if let Some(file) = value("--json") {
        std::fs::write(file, serde_json::to_string_pretty(&rows)?)?;
    }
    if arguments.iter().any(|argument| argument == "--record") {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        record::keep(&csv(&rows)?, "-sizing", cores)?;
    }
    match shortcomings(&rows) {
        none if none.is_empty() => Ok(()),
        some => Err(some.join("; ").into()),
    }
}

/// The rows under their JSON names; what is null is left empty.
fn csv(rows: &[Row]) -> Result<String, serde_json::Error> {
    let mut lines = Vec::new();
    for row in rows {
        // Values by name, in the order of names.
        let serde_json::Value::Object(fields) = serde_json::to_value(row)? else {
            continue;
        };
        if lines.is_empty() {
            lines.push(fields.keys().cloned().collect::<Vec<_>>().join(","));
        }
        let text = |value: &serde_json::Value| match value {
            serde_json::Value::Null => String::new(),
            serde_json::Value::String(text) => text.clone(),
            number => number.to_string(),
        };
        lines.push(fields.values().map(text).collect::<Vec<_>>().join(","));
    }
    Ok(lines.join("\n") + "\n")
}

fn describe(row: &Row) -> String {
    let number =
        |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.3}"));
    let held = row
        .bytes_held_peak
        .map(|held| held as f64 / row.bytes_used_peak.max(1) as f64);
    format!(
        "{:22} {:16} hit {:>8} frag {:>7}/{:>6} waste {:>7} over {:>6} held/used {:>6} exhausted {:>6} step us {:>7}/{:>8}",
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
