//! `cargo xtask bench` and `cargo xtask plan`: what is measured and computed outside the tests.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::cli::Plan;
use crate::native_tests::Targets;
use crate::{process, web_bench};

/// The word before this in a target's name is what the benchmark is called on the command line.
const SUFFIX: &str = "_benchmarks";

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

/// Runs one; `json` is where its figures go.
pub(crate) fn run(name: &str, json: Option<&Path>) -> Result<ExitCode> {
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
    let Some(target) = target else {
        return web_bench::run(json);
    };
    let mut cargo = process::cargo();
    cargo.args(["bench", "--bench", target]);
    if let Some(json) = json {
        cargo.arg("--").arg("--json").arg(json);
    }
    process::exit_code(&mut cargo)
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
