//! The library's tests compiled to WebAssembly, run in Node and in Chromium.
//!
//! Tests are marked `#[wasm_bindgen_test(unsupported = test)]`, which natively is `#[test]`. The
//! usual runner needs a WebDriver of the browser's own version; this one is driven like the end to
//! end tests, so that a browser is all it takes.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use wasm_bindgen_cli_support::Bindgen;

use crate::report::{Counts, parse_libtest};
use crate::wasm::Build;
use crate::wasm_toolchain::WasmToolchain;
use crate::{process, setup};

const RUNNER: &str = "xtask/js/wasm_tests.mjs";
const OUTPUT: &str = "target/wasm-tests";

/// Compiles the tests and makes their JavaScript; the runner finds them in `target/wasm-tests`.
pub(crate) fn build() -> Result<()> {
    let toolchain = WasmToolchain::prepare()?;
    let mut cargo = Build::Transfer.cargo(&toolchain, "test");
    cargo.args([
        "--package",
        "wavepool",
        "--lib",
        "--no-run",
        "--message-format",
        "json-render-diagnostics",
    ]);
    let output = cargo
        .stderr(Stdio::inherit())
        .output()
        .context("cargo could not be started")?;
    process::check(&cargo, output.status)?;
    let module = test_binary(&String::from_utf8_lossy(&output.stdout))?;
    Bindgen::new()
        .input_path(&module)
        .out_name("tests")
        .web(true)?
        .debug(true)
        // The tests are plain exports; the runner calls them by name.
        .export_wasm(true)
        .emit_start(false)
        .typescript(false)
        .generate(OUTPUT)
        .with_context(|| format!("wasm-bindgen over {}", module.display()))
}

/// Runs them in Node.
pub(crate) fn in_node() -> Result<(Counts, Result<()>)> {
    execute(
        process::node()
            .args([RUNNER, "node", OUTPUT])
            .env_remove("CHROMIUM"),
    )
}

/// Runs the same module in Chromium.
pub(crate) fn in_chromium() -> Result<(Counts, Result<()>)> {
    let browser = setup::chromium()?;
    execute(
        process::node()
            .args([RUNNER, "chromium", OUTPUT])
            .env("CHROMIUM", browser),
    )
}

fn execute(command: &mut std::process::Command) -> Result<(Counts, Result<()>)> {
    setup::npm_packages()?;
    let (status, text) = process::tee(command)?;
    Ok((parse_libtest(&text), process::check(command, status)))
}

/// The one executable among cargo's build messages.
fn test_binary(messages: &str) -> Result<PathBuf> {
    let path = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"]
            .as_str()
            .map(|path| Path::new(path).to_owned())
    });
    match path {
        Some(path) => Ok(path),
        None => bail!("cargo built no WebAssembly test binary"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/wavepool.wasm\"}\n\
                        {\"reason\":\"build-finished\",\"success\":true}";
        assert_eq!(
            test_binary(messages).unwrap(),
            Path::new("/t/wavepool.wasm")
        );
        assert!(test_binary("").is_err());
    }
}
