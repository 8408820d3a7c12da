//! `cargo xtask coverage`: lines of the pool that the native tests reach.
//!
//! `cargo llvm-cov` counts the lines of `crates/core`, `src/modules/data_management` and `tools` that are compiled natively, without
//! the tests, which are in files of their own (`…_tests.rs`). It fails below the floor.

use std::process::Command;

use anyhow::{Result, bail};

use crate::{process, setup};

const TOOLS: &str = "target/tools";
const LEAST_PERCENT: &str = "90";
/// Everything that is not the pool, and the pool's tests.
const NOT_COUNTED: &str = r"/src/(contain|lib|lock|panic_note|stopwatch|sync)\.rs$|/src/(event_bus|registry|sync|worklet)/|/audio_foundations/|/tests/|_(tests|loom)\.rs$|/integration_tests|/examples/|/xtask/";

/// Prints a table per file, after installing `cargo-llvm-cov` if need be; fails below the floor.
pub(crate) fn run() -> Result<()> {
    let tool = format!("{TOOLS}/bin/cargo-llvm-cov");
    let works = || process::succeeds(Command::new(&tool).args(["llvm-cov", "--version"]));
    if !setup::rustup(&["component", "add", "llvm-tools"]) {
        bail!(
            "coverage needs the compiler's llvm-tools, and rustup could not bring them: `rustup component add llvm-tools` (https://rustup.rs)"
        );
    }
    if !works() {
        process::run(process::cargo().args([
            "install",
            "--locked",
            "--root",
            TOOLS,
            "cargo-llvm-cov",
        ]))?;
    }
    let command = |arguments: &[&str], least_percent| {
        let mut command = Command::new(&tool);
        command.arg("llvm-cov").args(arguments);
        command.args(["--ignore-filename-regex", NOT_COUNTED]);
        command.args(["--fail-under-lines", least_percent]);
        command
    };
    let packages = ["wavepool", "wavepool-core", "wavepool-tools"];
    let packages: Vec<_> = packages
        .iter()
        .flat_map(|name| ["--package", name])
        .collect();
    process::run(&mut command(&packages, LEAST_PERCENT))?;
    // The floor trips: nothing reaches more than all lines.
    if process::succeeds(&mut command(&["report", "--summary-only"], "101")) {
        bail!("`cargo llvm-cov` accepts less than the lines it was asked for");
    }
    Ok(())
}
