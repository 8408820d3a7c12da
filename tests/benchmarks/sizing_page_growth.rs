//! The phase shift on WebAssembly, in a memory that may grow: how many pages it grew after the first cycle.
//!
//! Built by the sizing benchmark for `wasm32-unknown-unknown` and run by Node.
#![allow(unsafe_code)] // Exports a function by its name.
#![allow(missing_docs)]

#[allow(dead_code, reason = "one trace of many is played here")]
#[path = "sizing_traces.rs"]
mod sizing_traces;

use wavepool::modules::data_management::BufferPool;
use wavepool::modules::data_management::sizing::sizing_rules::SizingPolicy;
use wavepool_tools::trace_replay::{ReplayOptions, replay};

/// Pages grown; -1 when the trace could not be played or pages are not known here.
#[unsafe(no_mangle)]
pub extern "C" fn pages_grown() -> i32 {
    let Ok(scenario) = sizing_traces::phase_shift("phase-shift", 20) else {
        return -1;
    };
    let classes = [256, 512, 1024, 2048, 4096].into_iter();
    let pool = classes.fold(BufferPool::builder(), |pool, samples| {
        pool.class(samples, 8)
    });
    let options = ReplayOptions {
        // Growth is allowed, and nothing reserved: what it needs is taken in the first cycle.
        pool: pool.limit_samples(4 << 20),
        policy: Some(SizingPolicy::default()),
        quanta_per_step: 1,
        score_from_frame: scenario.warm_from_frame,
        clock_us: None,
    };
    let report = replay(&scenario.trace, &options).ok();
    let pages = report
        .filter(|report| report.requests > 500_000)
        .and_then(|report| report.pages_grown);
    pages.map_or(-1, |pages| pages as i32)
}

/// Cargo wants one; nobody calls it.
#[allow(dead_code, reason = "an example has a main when it is not a library")]
fn main() {}
