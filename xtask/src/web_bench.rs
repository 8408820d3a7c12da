//! The benchmarks that run in Node and in Chromium: the boundary's module, and the scripts that measure it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Result;
use wasm_bindgen_cli_support::Bindgen;

use crate::wasm::{self, Build};
use crate::wasm_toolchain::WasmToolchain;
use crate::{package, process, setup};

/// What they are called on the command line.
pub(crate) const NAMES: [&str; 2] = ["boundary", IN_REAL_TIME];
/// The one that runs for a time that can be chosen.
pub(crate) const IN_REAL_TIME: &str = "browser";

const MODULE: &str = "wasm_js_boundary_benchmarks";
const OUTPUT: &str = "target/boundary";
const IN_NODE: &str = "tests/benchmarks/boundary/node.mjs";
const IN_CHROMIUM: &str = "tests/benchmarks/browser/measure.mjs";
/// Real time that each implementation gets in Chromium, unless `--seconds` says otherwise.
const SECONDS: u32 = 60;

/// Runs one; `json` is where its figures go, `record` keeps them beside the native ones, `seconds` is how long each
/// implementation runs in real time.
pub(crate) fn run(
    name: &str,
    json: Option<&Path>,
    record: bool,
    seconds: Option<u32>,
) -> Result<ExitCode> {
    build()?;
    let mut node = process::node();
    if name == IN_REAL_TIME {
        let browser = setup::chromium()?;
        package::build()?;
        node.arg(IN_CHROMIUM)
            .arg(seconds.unwrap_or(SECONDS).to_string())
            .env("CHROMIUM", browser);
    } else {
        node.args(["--expose-gc", IN_NODE, OUTPUT]);
    }
    if let Some(json) = json {
        node.arg("--json").arg(json);
    }
    process::exit_code(node.args(record.then_some("--record")))
}

/// Compiles the module and makes its glue.
pub(crate) fn build() -> Result<()> {
    setup::npm_packages()?;
    let toolchain = WasmToolchain::prepare()?;
    let mut cargo = Build::Transfer.cargo(&toolchain, "build");
    cargo.args(["--package", "wavepool", "--profile", "wasm"]);
    process::run(cargo.args(["--example", MODULE]))?;
    let module = format!(
        "target/wasm-{}/wasm32-unknown-unknown/wasm/examples/{MODULE}.wasm",
        Build::Transfer.name()
    );
    let mut bindgen = Bindgen::new();
    bindgen.typescript(false);
    wasm::bind(&mut bindgen, module.as_ref(), "shapes", OUTPUT.as_ref())
}
