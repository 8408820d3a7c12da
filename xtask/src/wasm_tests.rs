//! The library's tests compiled to WebAssembly, run in Node and in Chromium.
//!
//! Tests are marked `#[wasm_bindgen_test(unsupported = test)]`, which natively is `#[test]`. The
//! usual runner needs a WebDriver of the browser's own version; this one is driven like the end to
//! end tests, so that a browser is all it takes.
//! See `docs/decisions/0045-wasm-tests-without-webdriver.md`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;
use wasm_bindgen_cli_support::Bindgen;

use crate::report::{Counts, parse_libtest};
use crate::wasm::{self, Build};
use crate::wasm_toolchain::WasmToolchain;
use crate::{process, setup};

const RUNNER: &str = "xtask/js/wasm_tests.mjs";
const OUTPUT: &str = "target/wasm-tests";
/// The library, the browser host, and the example host, which boots a module from outside.
const PACKAGES: [&str; 3] = ["wavepool", "wavepool-host", "module_host"];

/// Compiles the tests and makes their JavaScript; the runner finds them below `target/wasm-tests`.
pub(crate) fn build() -> Result<()> {
    let toolchain = WasmToolchain::prepare()?;
    PACKAGES
        .iter()
        .try_for_each(|package| build_package(&toolchain, package))
}

fn build_package(toolchain: &WasmToolchain, package: &str) -> Result<()> {
    let mut cargo = Build::Transfer.cargo(toolchain, "test");
    cargo
        .args(["--package", package, "--lib", "--no-run"])
        // Some compute for a minute without. Assertions and overflow checks stay.
        .env("CARGO_PROFILE_TEST_OPT_LEVEL", "1");
    let module = process::built(&mut cargo)?;
    let mut bindgen = Bindgen::new();
    bindgen
        .debug(true)
        // The tests are plain exports; the runner calls them by name.
        .export_wasm(true)
        .emit_start(false)
        .typescript(false);
    wasm::bind(&mut bindgen, &module, "tests", &output_of(package))
}

fn output_of(package: &str) -> PathBuf {
    Path::new(OUTPUT).join(package)
}

/// Runs them in Node.
pub(crate) fn in_node() -> Result<(Counts, Result<()>)> {
    execute("node", |node| node.env_remove("CHROMIUM"))
}

/// Runs the same modules in Chromium.
pub(crate) fn in_chromium() -> Result<(Counts, Result<()>)> {
    let browser = setup::chromium()?;
    execute("chromium", |node| node.env("CHROMIUM", &browser))
}

/// All packages' tests in one host. The later ones run even when the first fails; an empty one is a failure.
fn execute(
    host: &str,
    prepare: impl Fn(&mut Command) -> &mut Command,
) -> Result<(Counts, Result<()>)> {
    setup::npm_packages()?;
    let (mut all, mut result) = (Counts::default(), Ok(()));
    for package in PACKAGES {
        let mut node = process::node();
        prepare(node.args([RUNNER, host]).arg(output_of(package)));
        let (status, text) = process::tee(&mut node)?;
        all.add(parse_libtest(&text));
        result = result.and(process::check(&node, status));
    }
    Ok((all, result))
}
