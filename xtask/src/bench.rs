//! `cargo xtask bench` and `cargo xtask plan`: what is measured and computed outside the tests.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::cli::Plan;
use crate::native_tests::Targets;
use crate::wasm_toolchain::WasmToolchain;
use crate::{process, setup, wasm, web_bench};

/// The word before this in a target's name is what the benchmark is called on the command line.
const SUFFIX: &str = "_benchmarks";

/// Those of the native benchmarks that keep records.
const RECORDED: [&str; 2] = ["native", "sizing"];

/// The benchmark with a part in the browser, and what drives that part.
const EVENTS: &str = "events";
const LANES: &str = "web/e2e/lanes.mjs";

/// The benchmarks that can be asked for.
pub(crate) fn names() -> Result<Vec<String>> {
    Ok(Targets::read()?
        .benches()
        .iter()
        .filter_map(|target| short_name(target))
        .chain(web_bench::NAMES)
        .map(str::to_owned)
        .collect())
}

/// Runs one; `json` is where its figures go, `record` keeps them in `tests/benchmarks/record`, `seconds` is how long those
/// run that take real time.
pub(crate) fn run(
    name: &str,
    json: Option<&Path>,
    record: bool,
    seconds: Option<u32>,
) -> Result<ExitCode> {
    let targets = Targets::read()?.benches();
    let target = targets
        .iter()
        .find(|target| short_name(target) == Some(name));
    let in_web = web_bench::NAMES.contains(&name);
    if target.is_none() && !in_web {
        bail!("no benchmark `{name}`; there are: {}", names()?.join(", "));
    }
    if let Some(json) = json {
        process::require_writable(json)?;
    }
    if seconds.is_some() && name != web_bench::IN_REAL_TIME {
        bail!("only `{}` runs for --seconds", web_bench::IN_REAL_TIME);
    }
    if record && !in_web && !RECORDED.contains(&name) {
        bail!("`{name}` keeps no record");
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
    if let Some(json) = json {
        // Rows of an earlier run must not be taken for this one's.
        std::fs::write(json, "[]")?;
    }
    let native = process::exit_code(&mut cargo)?;
    let browser = lanes(json)?;
    Ok(if native == ExitCode::SUCCESS {
        browser
    } else {
        native
    })
}

/// Measures the bus's lanes in the browser, and adds their rows to those in `json`.
fn lanes(json: Option<&Path>) -> Result<ExitCode> {
    let browser = setup::chromium()?;
    setup::npm_packages()?;
    wasm::build_lanes(&WasmToolchain::prepare()?)?;
    let rows = Path::new("target/lanes.json");
    std::fs::write(rows, "[]")?;
    let mut node = process::node();
    node.args([LANES, "--out"]).arg(rows);
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
    let mut cargo = process::cargo();
    cargo.args([
        "run",
        "--quiet",
        "--package",
        "wavepool",
        "--example",
        "plan",
        "--",
    ]);
    match plan {
        Plan::Trace(file) => cargo.arg("--trace").arg(file),
        Plan::Streams(streams) => cargo.arg("--streams").args(streams),
    };
    process::exit_code(&mut cargo)
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
