//! The benchmarks that run in Node and in Chromium: the boundary's module, and the scripts that measure it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use wasm_bindgen_cli_support::Bindgen;

use crate::wasm::Build;
use crate::wasm_toolchain::WasmToolchain;
use crate::{process, setup};

/// What they are called on the command line.
pub(crate) const NAMES: [&str; 1] = ["boundary"];

const MODULE: &str = "wasm_js_boundary_benchmarks";
const OUTPUT: &str = "target/boundary";
const IN_NODE: &str = "tests/benchmarks/boundary/node.mjs";

/// Runs one; `json` is where its figures go.
pub(crate) fn run(json: Option<&Path>) -> Result<ExitCode> {
    setup::node()?;
    build()?;
    let mut node = process::node();
    node.args(["--expose-gc", IN_NODE, OUTPUT]).args(json);
    process::exit_code(&mut node)
}

/// Compiles the module and makes its glue.
fn build() -> Result<()> {
    let toolchain = WasmToolchain::prepare()?;
    let mut cargo = Build::Transfer.cargo(&toolchain, "build");
    cargo.args(["--package", "wavepool", "--profile", "wasm"]);
    process::run(cargo.args(["--example", MODULE]))?;
    let module = format!(
        "target/wasm-{}/wasm32-unknown-unknown/wasm/examples/{MODULE}.wasm",
        Build::Transfer.name()
    );
    Bindgen::new()
        .input_path(&module)
        .out_name("shapes")
        .web(true)?
        .typescript(false)
        .generate(OUTPUT)
        .with_context(|| format!("wasm-bindgen over {module}"))
}
