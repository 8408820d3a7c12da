//! What a pool should reserve: `cargo xtask plan --trace FILE` or `cargo xtask plan --streams STREAM...`.
//!
//! With a recorded demand trace the optimizer runs offline on it, by the same function as live, and the figures with
//! and without it are printed. With streams (`RATE:CHANNELS:WINDOW/HOP:HOLD_MS`) the answer is a mix that cannot run out.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what it is for"
)]

use std::error::Error;
use std::process::ExitCode;

use wavepool::modules::data_management::BufferPool;
use wavepool::modules::data_management::sizing::demand_trace::DemandTrace;
use wavepool::modules::data_management::sizing::sizing_profile::ClassBuffers;
use wavepool::modules::data_management::sizing::sizing_rules::SizingPolicy;
use wavepool_tools::capacity_plan::{CapacityPlan, StreamNeed};
use wavepool_tools::trace_replay::{ReplayOptions, ReplayReport, replay};

/// A control step about every 20 ms at 48 kHz, as a host would schedule it.
const QUANTA_PER_STEP: u32 = 8;

/// Room for the optimizer to grow into: 16 MiB.
const LIMIT_SAMPLES: usize = 4 << 20;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (first, rest) = arguments
        .split_first()
        .map_or(("", &[][..]), |(first, rest)| (first.as_str(), rest));
    let result = match (first, rest) {
        ("--trace", [file]) => trace(file),
        ("--streams", streams @ [_, ..]) => capacity(streams),
        _ => Err("usage: plan --trace FILE | --streams RATE:CHANNELS:WINDOW/HOP:HOLD_MS...".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn trace(file: &str) -> Result<(), Box<dyn Error>> {
    let json = std::fs::read_to_string(file).map_err(|error| format!("{file}: {error}"))?;
    let trace = DemandTrace::from_json(&json).map_err(|error| format!("{file}: {error}"))?;
    let fixed = ReplayOptions {
        pool: BufferPool::builder().limit_samples(LIMIT_SAMPLES),
        policy: None,
        quanta_per_step: QUANTA_PER_STEP,
        score_from_frame: 0,
        clock_us: None,
    };
    let sized = ReplayOptions {
        policy: Some(SizingPolicy::default()),
        ..fixed.clone()
    };
    let before = replay(&trace, &fixed)?;
    let after = replay(&trace, &sized)?;
    println!("default mix     {}", figures(&before));
    println!("with optimizer  {}", figures(&after));
    if let Some(applied) = &after.last_plan {
        println!("\nThe last plan it applied:\n{}", applied.plan);
    }
    if let Some(profile) = &after.profile {
        println!("\nWhat a next start should begin with:");
        print_mix(&profile.mix());
    }
    Ok(())
}

fn figures(report: &ReplayReport) -> String {
    let hits = report
        .hit_rate_percentage()
        .map_or_else(|| "not measured".into(), |rate| format!("{rate:.2} %"));
    let kib = |bytes: u64| bytes.div_ceil(1024);
    format!(
        "hit rate {hits}, {} exhausted, held at most {} KiB (mean {}), used at most {} KiB, fragmentation at most {:.2} %",
        report.exhausted,
        kib(report.bytes_held_peak),
        kib(report.bytes_held_mean),
        kib(report.bytes_used_peak),
        report.fragmentation_percentage_max,
    )
}

fn capacity(streams: &[String]) -> Result<(), Box<dyn Error>> {
    let mut needs: Vec<StreamNeed> = Vec::new();
    for stream in streams {
        let need = stream.parse().and_then(|need: StreamNeed| {
            need.buffers()?;
            Ok(need)
        });
        needs.push(need.map_err(|error| format!("stream \"{stream}\": {error}"))?);
    }
    let plan = CapacityPlan::for_streams(&needs)?;
    for (stream, need) in streams.iter().zip(&plan.streams) {
        println!(
            "{stream}: {} buffers of {} samples",
            need.buffers, need.samples
        );
    }
    println!(
        "\nReserve {} KiB; none of these streams can then run out:",
        (plan.samples() * 4).div_ceil(1024)
    );
    print_mix(&plan.classes);
    Ok(())
}

fn print_mix(mix: &[ClassBuffers]) {
    println!("    BufferPool::builder()");
    for class in mix {
        println!("        .class({}, {})", class.samples, class.buffers);
    }
}
