//! `cargo xtask bench` and `cargo xtask plan`: what is measured and computed outside the tests.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::Value;

use crate::arguments::{absolute, seconds};
use crate::native_tests::Targets;
use crate::wasm_toolchain::WasmToolchain;
use crate::{process, setup, wasm, web_bench};

/// The word before this in a target's name is what the benchmark is called on the command line.
const SUFFIX: &str = "_benchmarks";

/// Those of the native benchmarks that keep records.
const RECORDED: [&str; 3] = ["native", "sizing", EVENTS];

/// The benchmark with a part in the browser, and that part alone.
const EVENTS: &str = "events";
const LANES: &str = "lanes";
/// Those that take for as long as `--seconds` says.
pub(crate) const IN_REAL_TIME: [&str; 2] = [web_bench::IN_REAL_TIME, LANES];
const LANES_DRIVER: &str = "web/e2e/lanes.mjs";

#[derive(Debug, PartialEq, Args)]
pub(crate) struct Bench {
    /// The benchmark; without it, they are listed
    pub(crate) name: Option<String>,
    /// Write the figures to this file
    #[arg(long, value_name = "FILE", value_parser = absolute, requires = "name")]
    pub(crate) json: Option<PathBuf>,
    /// Keep the figures in tests/benchmarks/record
    #[arg(long, requires = "name")]
    pub(crate) record: bool,
    /// How long a benchmark in real time runs
    #[arg(long, requires = "name", value_parser = seconds(), help = format!("How long `{}` run", IN_REAL_TIME.join("` and `")))]
    pub(crate) seconds: Option<u32>,
}

#[derive(Debug, PartialEq, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Plan {
    /// Replay recorded demand with and without the optimizer, and print its plan
    #[arg(long, value_name = "FILE", value_parser = absolute)]
    pub(crate) trace: Option<PathBuf>,
    /// Plan for streams RATE:CHANNELS:WINDOW/HOP:HOLD_MS, such as 48000:2:4096/1024:50
    #[arg(long, value_name = "STREAM", num_args = 1..)]
    pub(crate) streams: Vec<String>,
}

/// The benchmarks that can be asked for.
pub(crate) fn names() -> Result<Vec<String>> {
    Ok(Targets::read()?
        .benches()
        .iter()
        .filter_map(|target| short_name(target))
        .chain(web_bench::NAMES)
        .chain([LANES])
        .map(str::to_owned)
        .collect())
}

/// Runs one, or lists them.
pub(crate) fn run(bench: &Bench) -> Result<ExitCode> {
    let Some(name) = bench.name.as_deref() else {
        println!("{}", names()?.join("\n"));
        return Ok(ExitCode::SUCCESS);
    };
    let (json, record, seconds) = (bench.json.as_deref(), bench.record, bench.seconds);
    let targets = Targets::read()?.benches();
    let target = targets
        .iter()
        .find(|target| short_name(target) == Some(name));
    let in_web = web_bench::NAMES.contains(&name) || name == LANES;
    if target.is_none() && !in_web {
        bail!("no benchmark `{name}`; there are: {}", names()?.join(", "));
    }
    if let Some(json) = json {
        process::require_writable(json)?;
    }
    if seconds.is_some() && !IN_REAL_TIME.contains(&name) {
        bail!("only `{}` run for --seconds", IN_REAL_TIME.join("` and `"));
    }
    if record && !in_web && !RECORDED.contains(&name) {
        bail!("`{name}` keeps no record");
    }
    if let Some(json) = json.filter(|_| name == EVENTS || name == LANES) {
        // Rows are added to it; those of an earlier run must not be taken for this one's.
        std::fs::write(json, "[]")?;
    }
    if name == LANES {
        return lanes(json, record, seconds);
    }
    let Some(target) = target else {
        return web_bench::run(name, json, record, seconds);
    };
    let mut cargo = process::cargo();
    cargo.args(["bench", "--bench", target]);
    cargo.arg("--");
    if let Some(json) = json {
        cargo.arg("--json").arg(json);
    }
    cargo.args(record.then_some("--record"));
    if name != EVENTS {
        return process::exit_code(&mut cargo);
    }
    let native = process::exit_code(&mut cargo)?;
    let browser = lanes(json, record, None)?;
    Ok(if native == ExitCode::SUCCESS {
        browser
    } else {
        native
    })
}

/// Measures the bus's lanes in the browser, and adds their rows to those in `json`; `record` keeps them beside the native ones.
fn lanes(json: Option<&Path>, record: bool, seconds: Option<u32>) -> Result<ExitCode> {
    let browser = setup::chromium()?;
    setup::npm_packages()?;
    wasm::build_lanes(&WasmToolchain::prepare()?)?;
    let rows = Path::new("target/lanes.json");
    std::fs::write(rows, "[]")?;
    let mut node = process::node();
    node.args([LANES_DRIVER, "--out"]).arg(rows);
    node.args(record.then_some("--record"));
    if let Some(seconds) = seconds {
        node.args(["--seconds", &seconds.to_string()]);
    }
    let code = process::exit_code(node.env("CHROMIUM", browser))?;
    if let Some(json) = json {
        let mut all = read_rows(json)?;
        all.extend(read_rows(rows)?);
        std::fs::write(json, serde_json::to_string_pretty(&all)?)?;
    }
    Ok(code)
}

fn read_rows(file: &Path) -> Result<Vec<Value>> {
    let text = std::fs::read_to_string(file)?;
    serde_json::from_str(&text).with_context(|| format!("{} holds no rows", file.display()))
}

/// Runs the sizing rules offline, on a recorded trace or for given streams.
pub(crate) fn plan(plan: &Plan) -> Result<ExitCode> {
    let mut example = process::example("plan")?;
    match &plan.trace {
        Some(file) => example.arg("--trace").arg(file),
        None => example.arg("--streams").args(&plan.streams),
    };
    process::exit_code(&mut example)
}

/// `native` of `native_benchmarks`.
fn short_name(target: &str) -> Option<&str> {
    target.strip_suffix(SUFFIX)?.rsplit('_').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names() {
        assert_eq!(short_name("wasm_js_boundary_benchmarks"), Some("boundary"));
        assert_eq!(short_name("native_benchmarks"), Some("native"));
        assert_eq!(short_name("other"), None);
    }
}
