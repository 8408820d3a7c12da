//! Sizing, fragmentation and memory held, on recorded and made-up demand: the pool, the system allocator, fixed buckets.
//!
//! `cargo bench --bench sizing_benchmarks -- --json FILE`; `--record` keeps the figures in `tests/benchmarks/record/`. Every
//! case plays the same operations on the real thing.
#![allow(unsafe_code)] // A counting global allocator, and the C library's account of its heap.
#![allow(missing_docs)]

mod record;
mod sizing_baselines;
mod sizing_limits;
mod sizing_replays;
mod sizing_traces;
mod sizing_tuner;

use std::alloc::{GlobalAlloc, Layout, System};
use std::error::Error;
use std::io::Write;
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};
use sizing_baselines::{fixed_buckets, system_allocator};
use sizing_limits::{LIMITS, Row};
use sizing_replays::{ours, scenario};
use sizing_traces::Scenario;
use wavepool::modules::data_management::sizing::demand_trace::DemandTrace;

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

/// What this thread has run: a machine that is busy with other things does not make a control step longer.
fn thread_us() -> f64 {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e6 + now.tv_nsec as f64 / 1e3
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
    for limits in LIMITS {
        let scenario = &scenario(limits.trace)?;
        let mut ours = ours(scenario, Some(thread_us))?;
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
    let ours = rows.iter().filter(|row| row.case == "ours");
    let mut found: Vec<_> = ours.flat_map(sizing_limits::shortcomings).collect();
    found.extend(sizing_baselines::shortcomings(&rows));
    if found.is_empty() {
        return Ok(());
    }
    Err(found.join("; ").into())
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
    format!(
        "{:22} {:16} hit {:>8} frag {:>7}/{:>6} waste {:>7} over {:>6} held/used {:>6} exhausted {:>6} step us {:>7}/{:>8}",
        row.trace,
        row.case,
        number(row.hit_rate_pct),
        number(row.fragmentation_pct_max),
        number(row.fragmentation_pct_after_defragment),
        number(row.internal_waste_pct),
        number(row.overhead_pct),
        number(row.held_per_used()),
        row.exhaustions,
        number(row.control_step_us_p99),
        number(row.control_step_us_max),
    )
}
